"""Bodies of journal entries: one form each, and nothing beside it."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts import (
    aggregate_bodies,
    audit_bodies,
    bodies,
    job_bodies,
    private_bodies,
    psi_bodies,
    rating_bodies,
)
from contracts.basis import STRICT, Accepted, Basis
from contracts.classes import Class, Owned
from contracts.dataset import Tier
from contracts.decide import Finding, Reason
from protocols.canon import Json, dumps
from protocols.errors import FormatError
from protocols.sign import Signed

ROOMS = (
    aggregate_bodies,
    audit_bodies,
    bodies,
    job_bodies,
    private_bodies,
    psi_bodies,
    rating_bodies,
)
KINDS = sorted(
    bodies.Body.__subclasses__(), key=lambda body: (body.__module__, body.__name__)
)

texts = st.text(st.characters(codec="utf-8"), max_size=8)
findings = st.builds(Finding, st.sampled_from(Reason), texts)
VALUES: dict[object, st.SearchStrategy[Any]] = {
    str: texts,
    int: st.integers(0, (1 << 53) - 1),
    bytes: st.binary(min_size=32, max_size=32),
    Signed: st.builds(Signed, texts.map(str.encode), texts, st.binary(max_size=64)),
    Reason: st.sampled_from(Reason),
    tuple[Finding, ...]: st.lists(findings, max_size=3).map(tuple),
    tuple[int, ...]: st.lists(st.integers(0, (1 << 53) - 1), max_size=3).map(tuple),
    tuple[str, ...]: st.lists(texts, max_size=3).map(tuple),
    tuple[Class, ...]: st.lists(
        st.builds(Class, texts, st.sets(texts).map(sorted).map(tuple)), max_size=3
    ).map(tuple),
    tuple[Owned, ...]: st.lists(st.builds(Owned, texts, texts), max_size=3).map(tuple),
    tuple[bytes, ...]: st.lists(st.binary(min_size=32, max_size=32)).map(tuple),
}
hashes = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, 1 << 22)


@st.composite
def some_seats(draw: st.DrawFn) -> job_bodies.Seats:
    """Draw the entries of one block."""
    slots = draw(st.lists(st.integers(0, 74), min_size=1, max_size=9, unique=True))

    def each(what: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(what, min_size=len(slots), max_size=len(slots)).map(tuple)

    return job_bodies.Seats(
        draw(numbers),
        tuple(sorted(slots)),
        draw(each(numbers)),
        draw(each(hashes)),
        draw(each(texts)),
    )


refused = st.builds(
    job_bodies.RefusedEntry,
    numbers,
    hashes,
    texts,
    st.lists(findings, min_size=1, max_size=3).map(tuple),
)
some_slots = st.lists(numbers, min_size=1, max_size=3).map(tuple)
dropped = st.builds(job_bodies.Dropped, numbers, some_slots, st.sampled_from(Reason))
few = STRICT.with_rows([Accepted(Basis.AGGREGATE, (Tier.T0, Tier.T2), ("税务",))])
VALUES |= {
    tuple[Accepted, ...]: st.sampled_from([STRICT.rows, few.rows, ()]),
    tuple[job_bodies.Seats, ...]: st.lists(some_seats(), max_size=2).map(tuple),
    tuple[job_bodies.RefusedEntry, ...]: st.lists(refused, max_size=2).map(tuple),
    tuple[job_bodies.Dropped, ...]: st.lists(dropped, max_size=2).map(tuple),
    tuple[private_bodies.Named, ...]: st.lists(
        st.builds(private_bodies.Named, hashes, texts), max_size=2
    ).map(tuple),
    tuple[psi_bodies.Run, ...]: st.lists(
        st.builds(psi_bodies.Run, numbers, numbers), max_size=2
    ).map(tuple),
}


@st.composite
def some_bodies(draw: st.DrawFn) -> bodies.Body:
    """Draw a body of any kind."""
    kind = draw(st.sampled_from(KINDS))
    return kind(*(draw(VALUES[field.type]) for field in fields(kind)))


@given(some_bodies())
def test_a_body_survives_its_members(body: bodies.Body) -> None:
    """Whatever a node writes, an auditor reads back as it was."""
    assert type(body).parse(body.to_body()) == body


@given(some_bodies(), st.data())
def test_no_member_more_or_less(body: bodies.Body, data: st.DataObject) -> None:
    """A missing, an unknown and a mistyped member are refused by name."""
    members = body.to_body()
    name = data.draw(st.sampled_from(sorted(members)))
    left: dict[str, Json] = {key: members[key] for key in members if key != name}
    for bad, expected in (
        (left, f"missing member `{name}`"),
        ({**members, "score": 7}, "unknown member `score`"),
        ({**members, name: True}, f"member `{name}`: not of its type"),
        ({**members, name: None}, f"member `{name}`: not of its type"),
    ):
        with pytest.raises(FormatError) as caught:
            type(body).parse(bad)
        assert str(caught.value) == expected


OUTCOME = bodies.Outcome(bytes(32), b"\xab" * 32).to_body()
DENY = bodies.Deny(
    Signed(b"", "", b"\xab"),
    (Finding(Reason.EXPIRED, "d"),),
    Reason.EXPIRED,
    bytes(32),
    Signed(b"", "", b""),
).to_body()
PUSH = bodies.Push("tax", 1, Signed(b"", "", b""), bytes(32)).to_body()


@pytest.mark.parametrize(
    ("kind", "body", "member", "value"),
    [
        (bodies.Outcome, OUTCOME, "receipt", "AB" * 32),
        (bodies.Outcome, OUTCOME, "receipt", "ab" * 31),
        (bodies.Outcome, OUTCOME, "receipt", "zz" * 32),
        (bodies.Outcome, OUTCOME, "receipt", ""),
        (bodies.Outcome, OUTCOME, "denial", "ab"),
        (bodies.Push, PUSH, "version", -1),
        (bodies.Deny, DENY, "public", "BECAUSE"),
        (bodies.Deny, DENY, "reasons", ["EXPIRED"]),
        (bodies.Deny, DENY, "reasons", [{"reason": "EXPIRED"}]),
        (bodies.Deny, DENY, "reasons", [{"reason": "BECAUSE", "detail": ""}]),
        (bodies.Deny, DENY, "request", {"payload": "", "key": ""}),
        (
            bodies.Deny,
            DENY,
            "request",
            {"payload": "", "key": "", "signature": "AB"},
        ),
        (
            bodies.Deny,
            DENY,
            "request",
            {"payload": "", "key": "", "signature": "xy"},
        ),
    ],
)
def test_a_value_of_another_form(
    kind: type[bodies.Body], body: dict[str, Json], member: str, value: Json
) -> None:
    """One value has one spelling."""
    kind.parse(body)
    with pytest.raises(FormatError):
        kind.parse({**body, member: value})


def test_only_marked_members_may_be_empty() -> None:
    """The subject of a refusal and the denial of an outcome; no hash else."""
    empty = {
        (kind.__name__, field.name)
        for kind in KINDS
        for field in fields(kind)
        if field.type is bytes and field.default == b""
    }
    assert empty == {
        ("Deny", "subject"),
        ("Outcome", "denial"),
        ("Permit", "repeat_of"),
        ("Refuse", "subject"),
    }


def test_no_room_of_bodies_is_left_out() -> None:
    """Every kind there is stands in a room that this page knows."""
    assert {kind.__module__ for kind in KINDS} == {room.__name__ for room in ROOMS}


def test_no_body_holds_what_must_not_survive() -> None:
    """No score, outcome, u, z, row, value, seed or plain reference in a journal."""
    names = {field.name for kind in KINDS for field in fields(kind)}
    assert not names & {
        "score",
        "outcome",
        "u",
        "z",
        "row",
        "value",
        "seed",
        "subject_ref",
        "subject_id",
    }


def test_the_digest_of_reasons_binds_each_of_them() -> None:
    """Salt, order, reason and detail."""
    salt = bytes(32)
    one, two = Finding(Reason.EXPIRED, "a"), Finding(Reason.SUSPENDED)
    digests = {
        bodies.reasons_digest(salt, (one, two)),
        bodies.reasons_digest(salt, (two, one)),
        bodies.reasons_digest(salt, (one,)),
        bodies.reasons_digest(salt, (Finding(Reason.EXPIRED, "b"), two)),
        bodies.reasons_digest(b"\x01" * 32, (one, two)),
    }
    assert len(digests) == 5


@given(some_seats())
def test_seats_take_no_more_than_they_say(seats: job_bodies.Seats) -> None:
    """Pages are filled by an upper bound, so that no entry is ever too large."""
    assume(all(not set(c) & set('"\\\x7f') and c.isprintable() for c in seats.consents))
    assert len(dumps({"": seats.to_json()})) <= seats.most_bytes
