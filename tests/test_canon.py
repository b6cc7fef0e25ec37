"""One encoding a document, one hash a document (RFC 8785)."""

import json
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from protocols.canon import MAX_INTEGER, Tag, digest, dumps, framed, loads
from protocols.errors import FormatError

VECTORS = Path(__file__).parent / "vectors/jcs_rfc8785"
FLOATS = {"structures", "values"}
NAMES = sorted(path.stem for path in (VECTORS / "input").glob("*.json"))

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4
        )
    ),
    max_leaves=12,
)
documents = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])), values, max_size=5
)


@pytest.mark.parametrize("name", NAMES)
def test_vectors_of_the_author_of_the_rfc(name: str) -> None:
    """Objects without floats come out as the RFC's author has them."""
    document = json.loads((VECTORS / f"input/{name}.json").read_text())
    expected = (VECTORS / f"output/{name}.json").read_bytes()

    if name in FLOATS:  # documents of ours have none
        with pytest.raises(FormatError):
            dumps({"a": document})
    else:
        assert dumps({"a": document}) == b'{"a":' + expected + b"}"


@given(documents)
def test_fast_encoder_agrees_with_the_library(document: dict[str, object]) -> None:
    """The C encoder writes what the RFC 8785 library writes."""
    assert dumps(document) == rfc8785.dumps(document)


@given(documents)
def test_what_is_written_is_read_and_nothing_else(document: dict[str, object]) -> None:
    """Canonical bytes read back; the same document written otherwise does not."""
    data = dumps({**document, "v": "x/1"})

    assert loads(data, "x/1") == {**document, "v": "x/1"}
    with pytest.raises(FormatError):
        loads(data + b" ", "x/1")
    with pytest.raises(FormatError):
        loads(data, "x/2")


@pytest.mark.parametrize(
    "data",
    [
        b'{"v":"x/1","v":"x/1"}',
        b'{"a":1.0,"v":"x/1"}',
        b'{"a":1e2,"v":"x/1"}',
        b'{"a":NaN,"v":"x/1"}',
        b'{"a":9007199254740992,"v":"x/1"}',
        b'{"a":"\\ud800","v":"x/1"}',
        b'{"a":"\\u0041","v":"x/1"}',
        b'{"v":"x/1"}\n',
        b'["x/1"]',
        b"\xff",
        b"[" * 100_000,
    ],
    ids=lambda data: data[:24].decode("latin-1"),
)
def test_other_encodings_are_refused(data: bytes) -> None:
    """Duplicate members, floats, big integers, surrogates, spaces: all refused."""
    with pytest.raises(FormatError):
        loads(data, "x/1")


@pytest.mark.parametrize("value", [1.5, float("nan"), 2**53, -(2**53), "\ud800"])
def test_values_that_do_not_travel_are_refused(value: object) -> None:
    """What another reader would understand otherwise is not written."""
    with pytest.raises(FormatError):
        dumps({"v": "x/1", "a": [{"b": value}]})
    with pytest.raises(FormatError):
        dumps({"v": "x/1", "名": [{"b": value}]})


def test_no_two_tags_collide() -> None:
    """Every domain of hashing and signing has a name of its own."""
    prefixes = [tag.prefix for tag in Tag]

    assert len(set(prefixes)) == len(prefixes)
    assert not any(a != b and a.startswith(b) for a in prefixes for b in prefixes)


@given(st.lists(st.binary(max_size=5), max_size=4), st.lists(st.binary(max_size=5)))
def test_parts_cannot_be_shifted(first: list[bytes], second: list[bytes]) -> None:
    """Two lists of parts hash alike only if they are the same list."""
    same = framed(Tag.ROW, *first) == framed(Tag.ROW, *second)

    assert same == (first == second)
    assert digest(Tag.ROW, *first) != digest(Tag.SEED, *first)
