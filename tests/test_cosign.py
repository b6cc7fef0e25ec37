"""Cosignatures and add-checkpoint: right bytes, and every edit refused."""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocols.cosign import (
    MOST_HASHES,
    AddCheckpoint,
    Cosignature,
    Cosigner,
    cosign,
    cosignatures,
    parse_lines,
    with_cosignatures,
)
from protocols.errors import FormatError, SignatureInvalid
from protocols.note import Checkpoint, VerifierKey

LOG = Ed25519PrivateKey.from_private_bytes(b"l" * 32)
KEY = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
NAME = "rencheng.example/regulator"
WITNESS = Cosigner(NAME, KEY.public_key().public_bytes_raw())
NOTE = Checkpoint("rencheng.example/house", 7, b"r" * 32).sign(LOG)
TIME_S = 1_700_000_000
OWN = [VerifierKey.of("rencheng.example/house", LOG)]


def test_byte_by_byte() -> None:
    """The line is what c2sp.org/tlog-cosignature says, written out here by hand."""
    text = "rencheng.example/house\n7\n" + b64encode(b"r" * 32).decode() + "\n"
    signed = f"cosignature/v1\ntime {TIME_S}\n{text}".encode()
    key_id = hashlib.sha256(NAME.encode() + b"\n\x04" + WITNESS.public).digest()[:4]
    data = key_id + TIME_S.to_bytes(8, "big") + KEY.sign(signed)
    expected = f"— {NAME} {b64encode(data).decode()}\n"
    assert expected == cosign(NOTE, NAME, KEY, TIME_S)


def test_the_logs_own_readers_pass_it_over() -> None:
    """A co-signed checkpoint opens under the log's key as before."""
    cosigned = with_cosignatures(NOTE, [cosign(NOTE, NAME, KEY, TIME_S)])
    own = Checkpoint.open(NOTE, OWN)
    assert own == Checkpoint.open(cosigned, OWN)
    assert cosignatures(cosigned, [WITNESS]) == (Cosignature(NAME, TIME_S),)


def test_nobody_is_trusted_unasked() -> None:
    """Without known witnesses a line says nothing; nor by another key of one name."""
    cosigned = NOTE + cosign(NOTE, NAME, KEY, TIME_S)
    other = Cosigner(NAME, LOG.public_key().public_bytes_raw())
    assert cosignatures(cosigned, []) == ()
    assert cosignatures(cosigned, [other]) == ()


@pytest.mark.parametrize("crime", ["time", "root", "signature", "cut"])
def test_edited(crime: str) -> None:
    """Another time, another tree, another signature: refused, not passed over."""
    line = cosign(NOTE, NAME, KEY, TIME_S)
    note = NOTE
    if crime == "time":
        line = _edit(line, 4, lambda data: (TIME_S + 1).to_bytes(8) + data[8:])
    if crime == "signature":
        line = _edit(line, 4, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    if crime == "cut":
        line = _edit(line, 4, lambda data: data[8:])
    if crime == "root":
        note = Checkpoint("rencheng.example/house", 7, b"x" * 32).sign(LOG)
    expected = FormatError if crime == "cut" else SignatureInvalid
    with pytest.raises(expected):
        cosignatures(note + line, [WITNESS])


def test_lines_that_change_the_note() -> None:
    """A witness cannot put another checkpoint below ours."""
    other = Checkpoint("rencheng.example/house", 8, b"x" * 32).sign(LOG)
    with pytest.raises(FormatError):
        with_cosignatures(NOTE, ["\n" + other])


@given(
    st.integers(0, 1 << 62),
    st.lists(st.binary(min_size=32, max_size=32), max_size=MOST_HASHES),
)
def test_add_checkpoint(old: int, proof: list[bytes]) -> None:
    """What is written is read."""
    asked = AddCheckpoint(old, tuple(proof), NOTE)
    assert asked == AddCheckpoint.parse(asked.to_bytes())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"old 7\n\n"[:-1],
        b"old -1\n\nnote",
        b"old 07\n\nnote",
        b"new 7\n\nnote",
        b"old 7\nAAAA\n\nnote",
        b"old 7\n" + b64encode(bytes(32)) + b"\n" * 1 + b"\xff\n\nnote",
        b"old 7\n" + (b64encode(bytes(32)) + b"\n") * (MOST_HASHES + 1) + b"\nnote",
        b"old 7\n\n" + bytes(1 << 16),
    ],
)
def test_not_an_add_checkpoint(data: bytes) -> None:
    """Anything else is refused before a signature is looked at."""
    with pytest.raises(FormatError):
        AddCheckpoint.parse(data)


@pytest.mark.parametrize("data", [b"", b"no newline", b"\xff\n", b"x\n" * 65])
def test_not_lines(data: bytes) -> None:
    """A witness's reply is whole lines, and not thousands."""
    with pytest.raises(FormatError):
        parse_lines(data)


def _edit(line: str, start: int, change: Callable[[bytes], bytes]) -> str:
    dash, name, encoded = line.rstrip("\n").split(" ")
    data = b64decode(encoded)
    edited = data[:start] + change(data[start:])
    return f"{dash} {name} {b64encode(edited).decode()}\n"
