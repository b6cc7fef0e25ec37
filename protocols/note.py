r"""Signed notes, checkpoints and offline proofs of a log (C2SP).

*Signed note* (c2sp.org/signed-note): a text of whole lines, an empty line, and
one line a signature, Ed25519 (type 1) only::

    <text>\n
    \n
    — <key name> base64(key id | signature)\n

    key id       = SHA-256(key name | 0x0A | 0x01 | public key)[:4]
    verifier key = <key name>+hex(key id)+base64(0x01 | public key)

*Checkpoint* (c2sp.org/tlog-checkpoint): the note text `origin\nsize\nroot\n`,
root in base64.  Here the key name is the origin.  A checkpoint is the only
place from which a size is taken, because a root does not bind one.

*Proof* (c2sp.org/tlog-proof@v1): what a bank keeps to show that an entry is in
a log, verifiable with nothing but the log's verifier key::

    c2sp.org/tlog-proof@v1\n
    extra <base64>\n                    optional, not authenticated
    index <decimal>\n
    <base64 of 32 bytes>\n              as many as the path has siblings
    \n
    <checkpoint, verbatim>

Base64 is RFC 4648 section 4 with padding, decimals have no leading zeroes, and
only the one right spelling is read.

>>> from protocols.tlog import Tree
>>> signer = Ed25519PrivateKey.from_private_bytes(bytes(32))
>>> vkey = VerifierKey.of("example.org/log", signer)
>>> str(vkey)
'example.org/log+4e933303+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop'
>>> entry, other = b"entry", sha256(b"another leaf").digest()
>>> root = Tree([leaf_hash(entry), other]).root()
>>> note = Checkpoint("example.org/log", 2, root).sign(signer)
>>> print(note.split("\n")[:2], Checkpoint.open(note, [vkey]).size)
['example.org/log', '2'] 2
>>> proof = LogProof(0, (other,), note)
>>> LogProof.parse(proof.to_text()).verify(entry, [vkey]).size
2
>>> proof.verify(b"edited", [vkey])
Traceback (most recent call last):
    ...
protocols.errors.ProofInvalid: inclusion of entry 0 in 2: another root
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from protocols import ed25519
from protocols.errors import FormatError, ProofInvalid, SignatureInvalid
from protocols.tlog import HASH_BYTES, leaf_hash, verify_inclusion

ED25519: Final = b"\1"
KEY_ID_BYTES: Final = 4
KEY_BYTES: Final = 32
MAX_SIGNATURES: Final = 64  # the specification asks for at least 16
MAX_SIZE: Final = (1 << 63) - 1
PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


# c2sp.org/signed-note, verifier keys


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key and the name under which it signs notes."""

    name: str
    public: bytes  # 32 bytes, RFC 8032

    def __post_init__(self) -> None:
        refuse_name(self.name)
        if len(self.public) != KEY_BYTES:
            raise FormatError(f"expected a public key of {KEY_BYTES} bytes")

    @classmethod
    def of(cls, name: str, key: Ed25519PrivateKey | Ed25519PublicKey) -> "VerifierKey":
        """Name the public half of `key`."""
        public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
        return cls(name, public.public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read a verifier key; raises `FormatError`."""
        name, plus, rest = text.partition("+")
        key_id, more, encoded = rest.partition("+")
        if not plus or not more:
            raise FormatError("expected a verifier key `name+id+key`")
        material = _base64(encoded, "verifier key")
        if material[:1] != ED25519:
            raise FormatError("verifier key: expected Ed25519 (type 1)")
        key = cls(name, material[1:])
        if key.id.hex() != key_id:
            raise FormatError(f"verifier key: expected id `{key.id.hex()}`")
        return key

    @property
    def id(self) -> bytes:
        """The 4 bytes that tell keys of one name apart; not a strong hash."""
        hashed = self.name.encode() + b"\n" + ED25519 + self.public
        return sha256(hashed).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_text64(ED25519 + self.public)}"


# c2sp.org/signed-note, format


def sign_note(text: str, name: str, key: Ed25519PrivateKey) -> str:
    r"""Sign `text`, which ends in a newline, as `name`."""
    if not text.endswith("\n") or CONTROL.search(text):
        raise RuntimeError("a note is whole lines without control characters")
    vkey = VerifierKey.of(name, key)
    return f"{text}\n{signature_line(name, vkey.id, ed25519.sign(key, text.encode()))}"


def signature_line(name: str, key_id: bytes, signature: bytes) -> str:
    """Write the line that a signer adds below a note."""
    return f"— {name} {_text64(key_id + signature)}\n"


def open_note(note: str, keys: Iterable[VerifierKey]) -> str:
    """Return the text of `note` once one of `keys` is known to have signed it.

    1. The format is exact; a malformed line makes the whole note worthless.
    2. Signatures by unknown keys are ignored: a witness may have added its own.
    3. Every signature by a known key verifies, and no key signs twice.
    4. There is at least one.

    Raises `FormatError` and `SignatureInvalid`.
    """
    text, signatures = parse_note(note)  # 1
    known = {(key.name, key.id): key for key in keys}
    signed = set()
    for name, key_id, signature in signatures:
        key = known.get((name, key_id))
        if key is None:  # 2
            continue
        if key in signed:  # 3
            raise FormatError(f"note: signed twice by `{name}`")
        signed.add(key)
        _verify(key, signature, text.encode())
    if not signed:  # 4
        names = ", ".join(f"`{name}`" for name, _, _ in signatures)
        raise SignatureInvalid(f"note signed by no known key, only by {names}")
    return text


def unverified_text(note: str) -> str:
    """Return the text of a note **without** verifying it, to see whose it is."""
    return parse_note(note)[0]


def _verify(key: VerifierKey, signature: bytes, text: bytes) -> None:
    try:
        ed25519.verify(signature, text, key.public)
    except SignatureInvalid:
        raise SignatureInvalid(f"note signature by `{key.name}` is not valid") from None


def parse_note(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Split a note into its text and (name, key id, signature) a line, unverified.

    Raises `FormatError`.
    """
    if CONTROL.search(note):
        raise FormatError("note: control character")
    try:
        note.encode()
    except UnicodeEncodeError:
        raise FormatError("note: not UTF-8") from None
    text, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise FormatError("note: expected a text, an empty line, and signatures")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise FormatError(f"note: more than {MAX_SIGNATURES} signatures")
    return text + "\n", [_parse_signature(line) for line in lines]


def _parse_signature(line: str) -> tuple[str, bytes, bytes]:
    dash, _, rest = line.partition(" ")
    name, space, encoded = rest.partition(" ")
    if dash != "—" or not space:
        raise FormatError("note: malformed signature line")
    refuse_name(name)
    data = _base64(encoded, "note signature")
    if len(data) <= KEY_ID_BYTES:
        raise FormatError("note: signature too short")
    return name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:]


@lru_cache(maxsize=64)  # the same few names stand in every note
def refuse_name(name: str) -> None:
    """Raise `FormatError` for what cannot be a signer's name."""
    if not name or "+" in name or any(letter.isspace() for letter in name):
        raise FormatError(f"`{name}` is not a key name: no spaces, no `+`, not empty")


# c2sp.org/tlog-checkpoint


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Origin, size and root of a log at one moment."""

    origin: str
    size: int
    root: bytes  # 32 bytes

    def to_text(self) -> str:
        """Write the note text."""
        return f"{self.origin}\n{self.size}\n{_text64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read a note text; raises `FormatError`.

        Extension lines are refused: nobody could audit what they say.
        """
        lines = text.split("\n")
        if lines.pop():
            raise FormatError("checkpoint: expected a newline at the end")
        if len(lines) != 3:  # noqa: PLR2004
            raise FormatError(f"checkpoint: expected 3 lines, got {len(lines)}")
        origin, size, encoded = lines
        if not origin:
            raise FormatError("checkpoint: empty origin")
        return cls(origin, parse_decimal(size, "checkpoint size"), parse_hash(encoded))

    def sign(self, key: Ed25519PrivateKey) -> str:
        """Sign as the log itself, whose key name is the origin."""
        return sign_note(self.to_text(), self.origin, key)

    @classmethod
    def open(cls, note: str, keys: Sequence[VerifierKey]) -> "Checkpoint":
        """Verify a note by one of the log's own keys and read it.

        The origin must be the name of the key that signed: `keys` hold several
        keys of one log (after a rotation), or of several logs.  Raises
        `FormatError`, `SignatureInvalid`, and `ProofInvalid` for another origin.
        """
        checkpoint = cls.parse(unverified_text(note))
        own = [key for key in keys if key.name == checkpoint.origin]
        if keys and not own:
            expected = ", ".join(sorted({f"`{key.name}`" for key in keys}))
            raise ProofInvalid(
                f"checkpoint of `{checkpoint.origin}`, expected {expected}"
            )
        open_note(note, own)
        return checkpoint


def split_view(
    notes: Iterable[str], keys: Sequence[VerifierKey]
) -> tuple[str, str] | None:
    """Find two valid checkpoints of one size and origin with different roots.

    Such a pair is evidence by itself: the log has shown two histories.  Raises
    what `Checkpoint.open` raises, for a note that is evidence of nothing.
    """
    seen: dict[tuple[str, int], tuple[bytes, str]] = {}
    for note in notes:
        checkpoint = Checkpoint.open(note, keys)
        place = (checkpoint.origin, checkpoint.size)
        root, first = seen.setdefault(place, (checkpoint.root, note))
        if root != checkpoint.root:
            return first, note
    return None


# c2sp.org/tlog-proof


@dataclass(frozen=True, slots=True)
class LogProof:
    """That an entry stands at `index` in the log of the checkpoint."""

    index: int
    hashes: tuple[bytes, ...]  # from the leaf's sibling to the root's child
    checkpoint: str  # the signed note, verbatim
    extra: bytes = b""  # never trusted

    def to_text(self) -> str:
        """Write the proof."""
        lines = [PROOF_HEADER]
        if self.extra:
            lines.append(f"extra {_text64(self.extra)}")
        lines.append(f"index {self.index}")
        lines += map(encode_hash, self.hashes)
        return "\n".join([*lines, "", self.checkpoint])

    @classmethod
    def parse(cls, text: str) -> "LogProof":
        """Read a proof; raises `FormatError`.  Nothing is verified here."""
        head, blank, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not blank or lines.pop(0) != PROOF_HEADER:
            raise FormatError(f"expected a proof of format `{PROOF_HEADER}`")
        extra = b""
        if lines and lines[0].startswith("extra "):
            extra = _base64(lines.pop(0).removeprefix("extra "), "proof extra")
        if not lines or not lines[0].startswith("index "):
            raise FormatError("proof: expected a line `index`")
        index = parse_decimal(lines.pop(0).removeprefix("index "), "proof index")
        if len(lines) > MAX_SIZE.bit_length():
            raise FormatError(f"proof: more than {MAX_SIZE.bit_length()} hashes")
        return cls(index, tuple(parse_hash(line) for line in lines), checkpoint, extra)

    def verify(self, entry: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
        """Check that `entry` is in a log that one of `keys` signed.

        1. The checkpoint is signed by a key that bears its origin.
        2. The path leads from the entry's leaf hash to the checkpoint's root,
           for the checkpoint's size.

        Raises `FormatError`, `SignatureInvalid`, `ProofInvalid`; returns the
        verified checkpoint.
        """
        checkpoint = Checkpoint.open(self.checkpoint, keys)  # 1
        verify_inclusion(  # 2
            leaf_hash(entry),
            self.index,
            checkpoint.size,
            self.hashes,
            checkpoint.root,
        )
        return checkpoint


# The one right spelling of each thing


def _text64(data: bytes) -> str:
    return b64encode(data).decode()


def _base64(text: str, what: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        raise FormatError(f"{what}: not base64") from None
    if not data or _text64(data) != text:  # left-over bits in the last letter
        raise FormatError(f"{what}: not base64")
    return data


def encode_hash(data: bytes) -> str:
    """Write a hash for a line of its own."""
    return _text64(data)


def parse_hash(text: str) -> bytes:
    """Read a line's hash; raises `FormatError`."""
    data = _base64(text, "hash")
    if len(data) != HASH_BYTES:
        raise FormatError(f"expected a hash of {HASH_BYTES} bytes, got {len(data)}")
    return data


def parse_decimal(text: str, what: str) -> int:
    """Read a decimal number in its one right spelling; raises `FormatError`."""
    if not DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        raise FormatError(f"{what}: expected a decimal number, got `{text}`")
    return int(text)
