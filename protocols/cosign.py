r"""Witnesses: others who saw a journal grow (C2SP tlog-cosignature, tlog-witness).

A witness keeps the newest checkpoint it has seen of a journal and co-signs a larger one
only with a proof that nothing before was changed.  A journal that shows two histories
needs a witness that signs both; one that was rewound is behind its witnesses.

*Cosignature*, one line below a checkpoint's own signature
(c2sp.org/tlog-cosignature, Ed25519)::

    — <name> base64(key id (4) | seconds since 1970 (8, big-endian) | signature (64))
    signature over  "cosignature/v1\n" "time <seconds>\n" <the checkpoint's text>
    key id          first 4 bytes of SHA-256(<name> "\n" 0x04 <public key>)

*Add-checkpoint*, what a journal sends its witness (c2sp.org/tlog-witness)::

    old <size of the checkpoint that the witness has>
    <consistency proof from there, one base64 hash a line, at most 63>
    <empty line>
    <the checkpoint, a signed note>

>>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
>>> from protocols.note import Checkpoint
>>> key = Ed25519PrivateKey.from_private_bytes(bytes(32))
>>> note = Checkpoint("example.org/log", 1, bytes(32)).sign(key)
>>> witness = Cosigner("example.org/witness", key.public_key().public_bytes_raw())
>>> line = cosign(note, witness.name, key, 1_700_000_000)
>>> [(c.witness, c.time_s) for c in cosignatures(note + line, [witness])]
[('example.org/witness', 1700000000)]
>>> cosignatures(note, [witness])
()
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols import ed25519
from protocols.errors import FormatError, SignatureInvalid
from protocols.note import (
    KEY_ID_BYTES,
    MAX_SIGNATURES,
    encode_hash,
    parse_decimal,
    parse_hash,
    parse_note,
    refuse_name,
    signature_line,
)

COSIGNATURE: Final = b"\x04"  # type of the key
TIME_BYTES: Final = 8
MOST_HASHES: Final = 63
MOST_BYTES: Final = 1 << 16  # of an add-checkpoint request


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A witness's name and public key."""

    name: str
    public: bytes  # 32 bytes, RFC 8032

    def __post_init__(self) -> None:
        refuse_name(self.name)
        if len(self.public) != ed25519.KEY_BYTES:
            raise FormatError(f"expected a public key of {ed25519.KEY_BYTES} bytes")

    @property
    def id(self) -> bytes:
        """The 4 bytes that tell keys of one name apart; not a strong hash."""
        hashed = self.name.encode() + b"\n" + COSIGNATURE + self.public
        return sha256(hashed).digest()[:KEY_ID_BYTES]


@dataclass(frozen=True, slots=True)
class Cosignature:
    """That a witness saw a checkpoint, and nothing that contradicts it, at a time."""

    witness: str
    time_s: int


def cosign(note: str, name: str, key: Ed25519PrivateKey, time_s: int) -> str:
    """Co-sign a checkpoint that was verified, and return the line to append.

    Raises `FormatError` for what is no signed note.
    """
    text, _ = parse_note(note)
    own = Cosigner(name, key.public_key().public_bytes_raw())
    signature = ed25519.sign(key, _signed(text, time_s))
    return signature_line(name, own.id, time_s.to_bytes(TIME_BYTES) + signature)


def cosignatures(note: str, witnesses: Iterable[Cosigner]) -> tuple[Cosignature, ...]:
    """Verify the lines of known witnesses below a checkpoint, in their order.

    Others' lines are passed over, the log's own among them.  Raises `FormatError`, and
    `SignatureInvalid` for a line in a known witness's name that it did not sign.
    """
    known = {(witness.name, witness.id): witness for witness in witnesses}
    text, lines = parse_note(note)
    found = []
    for name, key_id, data in lines:
        witness = known.get((name, key_id))
        if witness is None:
            continue
        if len(data) != TIME_BYTES + ed25519.SIGNATURE_BYTES:
            raise FormatError(f"note: expected a cosignature by `{name}`")
        time_s = int.from_bytes(data[:TIME_BYTES])
        try:
            ed25519.verify(data[TIME_BYTES:], _signed(text, time_s), witness.public)
        except SignatureInvalid:
            raise SignatureInvalid(f"cosignature by `{name}` is not valid") from None
        found.append(Cosignature(name, time_s))
    return tuple(found)


def with_cosignatures(note: str, lines: Iterable[str]) -> str:
    """Append witnesses' lines to a checkpoint.

    Raises `FormatError` for lines that are no signatures, or too many.
    """
    cosigned = note + "".join(lines)
    text, signatures = parse_note(cosigned)
    before, own = parse_note(note)
    if text != before or signatures[: len(own)] != own:
        raise FormatError("lines that change the note above them")
    return cosigned


def _signed(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


# c2sp.org/tlog-witness


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A checkpoint, and a proof that it extends the one of `old` entries."""

    old: int
    proof: tuple[bytes, ...]  # RFC 9162, section 2.1.4
    note: str

    def to_bytes(self) -> bytes:
        """Write the body of the request."""
        lines = [f"old {self.old}", *map(encode_hash, self.proof), "", self.note]
        return "\n".join(lines).encode()

    @classmethod
    def parse(cls, data: bytes) -> "AddCheckpoint":
        """Read strictly; raises `FormatError`.  Nothing is verified here."""
        if len(data) > MOST_BYTES:
            raise FormatError(f"expected at most {MOST_BYTES} bytes, got {len(data)}")
        try:
            head, blank, note = data.decode().partition("\n\n")
        except UnicodeDecodeError:
            raise FormatError("add-checkpoint: not UTF-8") from None
        first, *hashes = head.split("\n")
        if not blank or not first.startswith("old "):
            raise FormatError("add-checkpoint: expected `old <size>` and an empty line")
        if len(hashes) > MOST_HASHES:
            raise FormatError(f"add-checkpoint: more than {MOST_HASHES} hashes")
        old = parse_decimal(first.removeprefix("old "), "add-checkpoint")
        return cls(old, tuple(map(parse_hash, hashes)), note)


def parse_lines(data: bytes) -> tuple[str, ...]:
    """Read a witness's reply: its cosignature lines; raises `FormatError`."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FormatError("cosignatures: not UTF-8") from None
    lines = text.splitlines(keepends=True)
    if not 0 < len(lines) <= MAX_SIGNATURES or not text.endswith("\n"):
        raise FormatError("cosignatures: expected whole lines")
    return tuple(lines)
