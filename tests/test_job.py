"""Documents of a job: one form each, and hashes that bind all of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import job
from protocols.canon import dumps, loads, version_of
from protocols.errors import FormatError
from protocols.job import (
    JOB,
    JOB_2,
    Basis,
    DeniedEntry,
    Job,
    JobCancel,
    JobDenials,
    JobOpened,
    JobReceipt,
    JobResult,
    JobTicket,
    Part,
    Permits,
    cut,
    join,
)
from protocols.lookup import Message
from protocols.slots import Field, split
from protocols.tlog import Tree, leaf_hash, verify_inclusion

texts = st.text(st.characters(codec="utf-8"), max_size=8)
hashes = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, 1 << 40)


@st.composite
def places(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw slots, ascending, and an entry for each: often neighbours."""
    slots = sorted(draw(st.sets(st.integers(0, 74), min_size=1, max_size=20)))
    entries, at = [], draw(st.integers(0, 100))
    for _ in slots:
        at += draw(st.sampled_from([1, 1, 1, 2, 50]))
        entries.append(at)
    return tuple(slots), tuple(entries)


@st.composite
def tickets(draw: st.DrawFn) -> JobTicket:
    """Draw a ticket."""
    blocks = sorted(draw(st.sets(numbers, min_size=1, max_size=4)))
    bases = st.lists(st.builds(Basis, texts, numbers, hashes), max_size=3).map(tuple)
    return JobTicket(
        draw(hashes),
        draw(hashes),
        draw(texts),
        draw(numbers),
        draw(numbers),
        draw(numbers),
        draw(hashes),
        draw(hashes),
        draw(hashes),
        draw(bases),
        tuple(Part(block, draw(hashes), *draw(places())) for block in blocks),
    )


ascending = st.sets(numbers, max_size=4).map(sorted).map(tuple)
slots_of = st.lists(st.integers(0, 74), min_size=1, max_size=4).map(tuple)
documents: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        Job,
        hashes,
        texts,
        hashes,
        st.integers(1, job.MOST_ENTRIES),
        st.binary(min_size=16, max_size=16),
        numbers,
        texts,
        st.sampled_from(["fail", "deny"]),
    ),
    st.builds(JobCancel, hashes, texts),
    st.builds(
        JobDenials,
        hashes,
        texts,
        st.lists(st.builds(DeniedEntry, numbers, texts, texts), max_size=3).map(tuple),
        hashes,
        numbers,
    ),
    tickets(),
    st.builds(
        JobReceipt,
        hashes,
        hashes,
        hashes,
        st.builds(Permits, ascending, st.integers(1, 1 << 40), hashes),
        st.lists(st.tuples(numbers, slots_of), max_size=3).map(tuple),
    ),
    st.builds(JobResult, hashes, hashes),
)


@given(documents)
def test_a_document_survives_its_bytes(document: Any) -> None:  # noqa: ANN401
    """Whatever one party writes, the other reads back as it was."""
    assert type(document).parse(document.to_bytes()) == document


@given(documents, st.data())
def test_no_member_more_or_less(document: Any, data: st.DataObject) -> None:  # noqa: ANN401
    """A missing, an unknown and a mistyped member are refused."""
    kind, members = type(document), {**loads_any(document.to_bytes())}
    name = data.draw(st.sampled_from(sorted(set(members) - {"v"})))
    left = {key: members[key] for key in members if key != name}
    for bad in (left, {**members, "score": 7}, {**members, name: None}):
        with pytest.raises(FormatError):
            kind.parse(dumps(bad))


def loads_any(data: bytes) -> dict[str, Any]:
    """Read a document of any version."""
    version = data.split(b'"v":"')[-1].split(b'"')[0].decode()
    return loads(data, version)


@given(places())
def test_places_are_cut_and_joined(drawn: tuple[tuple[int, ...], ...]) -> None:
    """Runs say the same as pairs, in no more of them."""
    slots, entries = drawn
    runs = join(zip(slots, entries, strict=True))
    assert cut(runs) == (slots, entries)
    assert len(runs) <= len(slots)


@pytest.mark.parametrize(
    ("runs", "crime"),
    [
        ((), "at least one"),
        (((0, 0, 0),), "no run"),
        (((-1, 0, 1),), "no run"),
        (((0, -1, 1),), "no run"),
        (((65_000, 0, 1_000),), "no run"),
        (((5, 0, 1), (4, 1, 1)), "order of slots"),
        (((5, 0, 2), (6, 7, 1)), "order of slots"),
        (((5, 0, 1), (6, 1, 1)), "longest runs"),
    ],
)
def test_wrong_runs_are_refused(
    runs: tuple[tuple[int, int, int], ...], crime: str
) -> None:
    """One way to write places, and no slot twice."""
    with pytest.raises(FormatError, match=crime):
        cut(runs)


TICKET = JobTicket(
    b"j" * 32,
    b"c" * 32,
    "split",
    0,
    0,
    1,
    b"s" * 32,
    b"m" * 32,
    b"p" * 32,
    (Basis("tax", 1, bytes(32)),),
    (Part(3, bytes(32), (0,), (7,)), Part(4, bytes(32), (2,), (9,))),
)


@pytest.mark.parametrize(
    ("change", "crime"),
    [
        ({"parts": ()}, "at least one"),
        ({"parts": TICKET.parts[::-1]}, "ascending"),
        ({"parts": TICKET.parts[:1] * 2}, "ascending"),
        ({"seed": b""}, "32 bytes"),
    ],
)
def test_a_wrong_ticket_is_refused(change: dict[str, Any], crime: str) -> None:
    """Blocks ascend, each once; every hash is one."""
    with pytest.raises(FormatError, match=crime):
        JobTicket.parse(replace(TICKET, **change).to_bytes())


def test_a_truth_value_is_no_number() -> None:
    """`true` is not 1, in whatever language it is read."""
    data = TICKET.to_bytes().replace(b"[[0,7,1]]", b"[[0,7,true]]")
    with pytest.raises(FormatError, match="integers"):
        JobTicket.parse(data)


def test_a_message_hash_binds_blocks_and_their_order() -> None:
    """Another block number, order, or byte is another message."""
    a, b = Message(5, (0,), b"a" * 64), Message(6, (0,), b"b" * 64)
    several = [
        [(1, a), (2, b)],
        [(2, a), (1, b)],
        [(1, b), (2, a)],
        [(1, a)],
        [(1, a), (3, b)],
        [(1, replace(a, tables=b"x" * 64)), (2, b)],
    ]
    assert len({job.message_hash(blocks) for blocks in several}) == len(several)
    assert job.pads_digest([b"a", b"b"]) != job.pads_digest([b"ab", b""])


def test_a_job_is_of_the_oldest_version_that_can_say_it() -> None:
    """Jobs of before there were filters are read, and a filter is never empty."""
    old = Job(bytes(32), "loan", bytes(32), 1, bytes(16), 0, "bank-a")
    new = replace(old, where=(("town", ("安居镇",)),))
    assert (version_of(old.to_bytes()), version_of(new.to_bytes())) == (JOB, JOB_2)
    assert "where" not in loads(old.to_bytes(), JOB)
    assert [Job.parse(each.to_bytes()) for each in (old, new)] == [old, new]
    with pytest.raises(FormatError, match="not narrowed"):
        Job.parse(dumps({**loads(old.to_bytes(), JOB), "v": JOB_2, "where": []}))


def test_a_list_entry_is_subject_and_consent() -> None:
    """Neither can be moved to another entry, nor a byte between them."""
    leaves = {
        job.entry_leaf(subject, consent)
        for subject in (bytes(32), b"s" * 32)
        for consent in ("c-1", "c-2")
    }
    assert len(leaves) == 4


@given(st.lists(st.integers(-8, 63), min_size=1, max_size=9))
def test_each_outcome_opens_by_itself(codes: list[int]) -> None:
    """A leaf of the commitment is proven to an auditor who learns no other."""
    root = job.result_root(b"s" * 32, codes)
    leaves = job.result_leaves(b"s" * 32, codes)
    tree = Tree([leaf_hash(leaf) for leaf in leaves])
    for i, leaf in enumerate(leaves):
        proof = tree.inclusion(i, tree.size)
        verify_inclusion(leaf_hash(leaf), i, tree.size, proof, root)
    assert len(set(leaves)) == len(leaves)  # equal codes look different
    assert job.result_root(b"t" * 32, codes) != root


@given(st.integers(0, (1 << 32) - 1), st.integers(1, 75))
def test_cells_keep_the_fields(seed: int, slots: int) -> None:
    """Five bytes a slot carry every field; above the last field are noughts."""
    fields = (Field(0, 14), Field(14, 6), Field(20, 8))
    drawn = np.random.default_rng(seed)
    u = drawn.integers(0, [field.rows for field in fields], (slots, 3))
    cells = job.write_cells(u, fields)
    assert len(cells) == 5 * slots
    values = job.read_cells(cells)
    assert (split(values, fields) == u).all()
    assert (values >> 28 == 0).all()
    opened = JobOpened(bytes(32), cells, b"r" * 9 * slots)
    again = JobOpened.parse(opened.to_bytes(), slots, 9)
    assert again == opened
    assert again.digest() == opened.digest()
    with pytest.raises(FormatError, match="expected a box"):
        JobOpened.parse(opened.to_bytes() + b"x", slots, 9)
    assert "cells" not in repr(opened)
