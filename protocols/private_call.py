r"""A call that does not tell the house whom of a list it is about (匿踪查询).

[C]omposed here from the call of PROTOCOL 3.  Attacked in tests/attacks, not yet
reviewed by others.  The bank names its candidates, 16 to 512 subjects who have all
consented to the question, and seals to the authority which of them it means::

    bank       request {contract, purpose, root and length of the list of candidates},
               signed; the list, in ascending order of subject references, to the house;
               which entry it is, its opening, consent and inclusion in the root sealed
               to the authority, always 700 bytes
    house      decides on every candidate as on an open call (without uses and bits) and
               looks its slot up; one that may not be asked about denies the whole call.
               Masks the total of every block that has a candidate; tables for every
               candidate's slot, all treated alike; one ticket over all of it, with
               every candidate's place, journalled before anything is decrypted
    authority  1 request, box, ticket, intent and message are in order, and every
                 candidate has a place of its own: *before* the box is looked into
               2 opens the box: an entry of the list under the request's root
               3 decides consent, uses and bits for its subject, and counts them
               4 decrypts the one block, picks the one row
               5 seals answer or refusal to the bank: always 32,768 bytes
    house      journals the box's digest; hands it on, with the pads of all candidates
    bank       removes the pads of its candidate; commits to what it read, in any case

*Who learns what.*  The house: who asked, when, under which contract, and about one of
which candidates; not which, nor whether the authority permitted it: answer and refusal,
and the bank's commitment to either, look alike; proofs that the authority's journal has
grown show hashes of salted entries.  The authority: what it learns of any call, and the
consents of the candidates, which stand in the house's intent.  Of the rows of the
others it can read none: they are padded, and it decrypts one block, whose numbers are
uniform.  The bank: its outcome.  The pads of the others fit no row it has.

*Who is asked about twice* is among the candidates of both calls.  So a bank keeps to
one list; `node.private_client` refuses one that leaves fewer than 16 candidates who
were in every list that a subject was asked about in.

*Collusion.*  House and authority: everything, as ever.  Authority and bank: the rows of
all candidates, not of one; all of these have consented to that bank and contract, which
the house has checked, but uses and bits are the authority's to count.  House and bank:
nothing that the bank would not tell, and the exact number of that one call.

*A house that treats candidates apart* to learn which is meant leaves some out, or
spoils their tables or pads, and waits for a difference.  Who is left out is seen by 1,
or is refused openly, by a signed denial that the register of consents bears out or not,
as replay shows, but for one said to be a stranger, of whom no journal tells.  The bank
refuses a reply whose pads are not all there, of the length
that the gate fixes, before it opens the box.  A spoilt table or pad spoils an outcome
that only the bank sees, and the bank acts alike, with a commitment even to what it
could not read; the seed lies sealed for two auditors, who can make the message again.

*No answer twice.*  An open call that repeats an earlier one is answered without a
decryption, because the house finds the answer.  Here it cannot: each call is
decrypted, and spends bits and a use.  The bank keeps its replies; the same request
again gets the same reply.

*Time.*  What the house does hangs on the list alone.  The authority does for a refusal
what it does for an answer (a decryption, of a 1, a pick, a receipt and a proof that are
thrown away); that is as even as Python makes it, and nothing is claimed below a
millisecond.

Documents are canonical JSON.  The two boxes, `hpke.seal` with info = framed(
PRIVATE_REQUEST, contract, jti) and framed(PRIVATE_SEALED, ticket)::

    request   u16 entry | subject_ref (32) | salt (32) | u8 hashes | inclusion |
              u16 length | consent id, UTF-8 | noughts to 652 bytes
    reply     u32 length | JSON {denial} or {receipt, permit, opened} | noughts to
              32,720 bytes: with a box's own 48, 32,768

>>> rows = [(bytes([n]) * 32, bytes(32), f"c-{n}") for n in range(20)]
>>> candidates = Candidates(tuple(rows))
>>> candidates.count, candidates.find(bytes([7]) * 32)
(20, 7)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from protocols import hpke
from protocols.call import HASH_BYTES, JTI_BYTES, SALT_BYTES, Opening
from protocols.canon import Json, Reader, Tag, digest, dumps, framed, loads
from protocols.errors import FormatError
from protocols.job import Basis, entry_leaf
from protocols.sign import Signed
from protocols.tlog import Tree, verify_inclusion

Place: TypeAlias = tuple[int, int]  # block and slot

LEAST: Final = 16  # candidates: fewer hide nobody
MOST: Final = 512  # and more do not fit the journal entry that names them
MOST_CONSENTS: Final = 16_384  # bytes of their consents' ids, for the same reason
SECRET_BYTES: Final = 652
REPLY_BYTES: Final = 32_720
REPLY: Final = "safehouse/private-reply/1"


@dataclass(frozen=True, slots=True, repr=False)
class Candidates:
    """Whom a call may be about: (reference, salt, consent id), by ascending reference.

    Raises `FormatError` for a list that is none, is too short or too long, or has a
    subject twice.
    """

    rows: tuple[tuple[bytes, bytes, str], ...]

    def __post_init__(self) -> None:
        if not LEAST <= len(self.rows) <= MOST:
            raise FormatError(
                f"expected {LEAST} to {MOST} candidates, got {len(self.rows)}",
                "fewer hide nobody",
            )
        if any(a[0] >= b[0] for a, b in pairwise(self.rows)):
            raise FormatError("expected candidates in ascending order, each once")
        if any(
            len(ref) != HASH_BYTES or len(salt) != SALT_BYTES or not consent
            for ref, salt, consent in self.rows
        ):
            raise FormatError("expected a reference, a salt and a consent a candidate")
        consents = sum(len(consent.encode()) for *_, consent in self.rows)
        if consents > MOST_CONSENTS:
            raise FormatError(
                f"expected consents of {MOST_CONSENTS} bytes in all, got {consents}",
                "name fewer candidates",
            )

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self.rows)

    @property
    def root(self) -> bytes:
        """Hash the list; a request names it."""
        return self._tree().root()

    def find(self, subject_ref: bytes) -> int:
        """Find a subject's entry; raises `FormatError` for one who is not there."""
        for entry, (ref, _, _) in enumerate(self.rows):
            if ref == subject_ref:
                return entry
        raise FormatError("the subject is not among the candidates")

    def secret(self, entry: int) -> "Secret":
        """Say, to the authority, which entry is meant."""
        ref, salt, consent = self.rows[entry]
        proof = tuple(self._tree().inclusion(entry, self.count))
        return Secret(entry, Opening(ref, salt), consent, proof)

    def _tree(self) -> Tree:
        return Tree(
            entry_leaf(Opening(ref, salt).commitment(), consent)
            for ref, salt, consent in self.rows
        )


def rows_from(
    refs: bytes, salts: bytes, consents: Sequence[str]
) -> tuple[tuple[bytes, bytes, str], ...]:
    """Cut candidates out of what was sent; raises `FormatError`."""
    count = len(consents)
    if (len(refs), len(salts)) != (count * HASH_BYTES, count * SALT_BYTES):
        raise FormatError("expected a reference, a salt and a consent a candidate")
    return tuple(
        (
            refs[n * HASH_BYTES : (n + 1) * HASH_BYTES],
            salts[n * SALT_BYTES : (n + 1) * SALT_BYTES],
            consent,
        )
        for n, consent in enumerate(consents)
    )


@dataclass(frozen=True, slots=True)
class PrivateRequest:
    """A bank's question about one of many."""

    contract: bytes
    purpose: str
    kind: str  # of question
    among: bytes  # root of the list of candidates
    count: int  # of them
    box: bytes  # digest of the sealed secret
    jti: bytes
    iat_ms: int
    bank: str

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": Tag.PRIVATE_REQUEST.value,
                "contract": self.contract.hex(),
                "purpose": self.purpose,
                "kind": self.kind,
                "among": self.among.hex(),
                "count": self.count,
                "box": self.box.hex(),
                "jti": self.jti.hex(),
                "iat_ms": self.iat_ms,
                "bank": self.bank,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "PrivateRequest":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, Tag.PRIVATE_REQUEST.value))
        request = cls(
            reader.hex("contract", HASH_BYTES),
            reader.text("purpose"),
            reader.text("kind"),
            reader.hex("among", HASH_BYTES),
            reader.integer("count", LEAST, MOST),
            reader.hex("box", HASH_BYTES),
            reader.hex("jti", JTI_BYTES),
            reader.integer("iat_ms"),
            reader.text("bank"),
        )
        reader.close()
        return request

    @property
    def hash(self) -> bytes:
        """Name this request by its bytes."""
        return digest(Tag.PRIVATE_REQUEST, self.to_bytes())


@dataclass(frozen=True, slots=True)
class PrivateTicket:
    """The house's statement of what it computed for all candidates."""

    request: bytes
    contract: bytes
    gate: str
    issued_ms: int
    seed: bytes  # commitment
    message: bytes  # `job.message_hash` of all blocks
    pads: bytes  # `job.pads_digest` of all blocks' pads
    bases: tuple[Basis, ...]  # in the contract's order of datasets
    inputs: bytes  # `inputs_digest` of all blocks
    places: tuple[Place, ...]  # block and slot of every candidate, in their order

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": Tag.PRIVATE_TICKET.value,
                "request": self.request.hex(),
                "contract": self.contract.hex(),
                "gate": self.gate,
                "issued_ms": self.issued_ms,
                "seed": self.seed.hex(),
                "message": self.message.hex(),
                "pads": self.pads.hex(),
                "datasets": [
                    [b.dataset, b.version, b.row_map_root.hex()] for b in self.bases
                ],
                "inputs": self.inputs.hex(),
                "places": list(self.places),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "PrivateTicket":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, Tag.PRIVATE_TICKET.value))
        ticket = cls(
            reader.hex("request", HASH_BYTES),
            reader.hex("contract", HASH_BYTES),
            reader.text("gate"),
            reader.integer("issued_ms"),
            reader.hex("seed", HASH_BYTES),
            reader.hex("message", HASH_BYTES),
            reader.hex("pads", HASH_BYTES),
            tuple(_basis(item) for item in reader.items("datasets")),
            reader.hex("inputs", HASH_BYTES),
            tuple(_place(item) for item in reader.items("places")),
        )
        reader.close()
        return ticket

    @property
    def blocks(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Every block that has a candidate, with their slots; both ascending."""
        return by_block(self.places)

    @property
    def hash(self) -> bytes:
        """Name this ticket by its bytes."""
        return digest(Tag.PRIVATE_TICKET, self.to_bytes())


@dataclass(frozen=True, slots=True)
class PrivateSealed:
    """The authority's statement, to the house, of a box that is not for it."""

    ticket: bytes
    box: bytes  # digest

    def to_bytes(self) -> bytes:
        """Write canonical JSON: the same size whatever is in the box."""
        return dumps(
            {
                "v": Tag.PRIVATE_SEALED.value,
                "ticket": self.ticket.hex(),
                "box": self.box.hex(),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "PrivateSealed":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, Tag.PRIVATE_SEALED.value))
        sealed = cls(reader.hex("ticket", HASH_BYTES), reader.hex("box", HASH_BYTES))
        reader.close()
        return sealed

    @property
    def hash(self) -> bytes:
        """Name this document by its bytes."""
        return digest(Tag.PRIVATE_SEALED, self.to_bytes())


# -- boxes ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Which candidate a call is about: for the authority alone."""

    entry: int
    opening: Opening
    consent: str
    proof: tuple[bytes, ...]  # inclusion under the request's root

    def check(self, request: PrivateRequest) -> None:
        """Refuse an entry that is not of the request's list; raises `ProofInvalid`."""
        leaf = entry_leaf(self.opening.commitment(), self.consent)
        verify_inclusion(leaf, self.entry, request.count, self.proof, request.among)

    def seal(self, public: X25519PublicKey, contract: bytes, jti: bytes) -> bytes:
        """Seal it to the authority; a box of one size."""
        consent = self.consent.encode()
        data = self.entry.to_bytes(2, "big")
        data += self.opening.subject_ref + self.opening.salt
        data += bytes([len(self.proof)]) + b"".join(self.proof)
        data += len(consent).to_bytes(2, "big") + consent
        if len(data) > SECRET_BYTES:
            raise FormatError("the consent's id is too long")
        return hpke.seal(public, _asked(contract, jti), data.ljust(SECRET_BYTES, b"\0"))

    @classmethod
    def unseal(
        cls, private: X25519PrivateKey, contract: bytes, jti: bytes, box: bytes
    ) -> "Secret":
        """Open it; raises `SealBroken`, and `FormatError` for what is no secret."""
        data = hpke.unseal(private, _asked(contract, jti), box)
        if len(data) != SECRET_BYTES:
            raise FormatError(f"expected a secret of {SECRET_BYTES} bytes")
        rest = memoryview(data)
        entry, rest = int.from_bytes(rest[:2], "big"), rest[2:]
        ref, rest = bytes(rest[:HASH_BYTES]), rest[HASH_BYTES:]
        salt, rest = bytes(rest[:SALT_BYTES]), rest[SALT_BYTES:]
        count, rest = rest[0], rest[1:]
        path, rest = bytes(rest[: count * HASH_BYTES]), rest[count * HASH_BYTES :]
        end = 2 + int.from_bytes(rest[:2], "big")
        if end > len(rest) or any(rest[end:]):
            raise FormatError("a secret is followed by noughts")
        proof = tuple(path[at : at + HASH_BYTES] for at in range(0, len(path), 32))
        try:
            consent = bytes(rest[2:end]).decode()
        except UnicodeDecodeError:
            raise FormatError("the consent's id is not text") from None
        return cls(entry, Opening(ref, salt), consent, proof)


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """What the authority seals to the bank: an answer, or a refusal."""

    denial: Signed | None = None
    receipt: Signed | None = None  # `call.Receipt`
    permit: str = ""  # C2SP tlog-proof of the journal entry
    opened: bytes = b""  # `call.Opened`

    def seal(self, public: X25519PublicKey, ticket: bytes) -> bytes:
        """Seal it to the bank; a box of one size, whatever it is."""
        document: dict[str, Json] = {"v": REPLY}
        if self.denial is not None:
            document["denial"] = self.denial.to_json()
        elif self.receipt is not None:
            document |= {
                "receipt": self.receipt.to_json(),
                "permit": self.permit,
                "opened": self.opened.hex(),
            }
        else:
            raise RuntimeError("a reply answers, or refuses")
        data = dumps(document)
        data = len(data).to_bytes(4, "big") + data
        if len(data) > REPLY_BYTES:
            raise AssertionError(f"a reply of {len(data)} bytes")
        return hpke.seal(public, _answered(ticket), data.ljust(REPLY_BYTES, b"\0"))

    @classmethod
    def unseal(cls, private: X25519PrivateKey, ticket: bytes, box: bytes) -> "Reply":
        """Open it; raises `SealBroken`, `FormatError`."""
        data = hpke.unseal(private, _answered(ticket), box)
        end = 4 + int.from_bytes(data[:4], "big")
        if len(data) < end or any(data[end:]):
            raise FormatError("a reply is followed by noughts")
        reader = Reader(loads(data[4:end], REPLY))
        if reader.has("denial"):
            reply = cls(denial=Signed.from_json(reader.reader("denial")))
        else:
            reply = cls(
                receipt=Signed.from_json(reader.reader("receipt")),
                permit=reader.text("permit"),
                opened=reader.hex("opened"),
            )
        reader.close()
        return reply


def box_digest(box: bytes) -> bytes:
    """Bind a sealed box."""
    return digest(Tag.BOX, box)


def by_block(places: Iterable[Place]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Lay places out by block: (block, slots), both ascending.

    >>> by_block([(3, 1), (0, 2), (3, 0)])
    ((0, (2,)), (3, (0, 1)))
    """
    return tuple(
        (block, tuple(slot for _, slot in group))
        for block, group in groupby(sorted(places), lambda place: place[0])
    )


def inputs_digest(roots: Iterable[bytes]) -> bytes:
    """Bind the inputs roots of all blocks of a call, in order."""
    return digest(Tag.PRIVATE_INPUTS, *roots)


def _basis(item: Json) -> Basis:
    match item:
        case [str(dataset), version, str(root)] if type(version) is int:
            reader = Reader({"root": root})
            return Basis(dataset, version, reader.hex("root", HASH_BYTES))
        case _:
            raise FormatError("member `datasets`: expected name, version, root")


def _place(item: Json) -> Place:
    match item:
        case [block, slot] if (
            type(block) is type(slot) is int and min(block, slot) >= 0
        ):
            return block, slot
        case _:
            raise FormatError("member `places`: expected block and slot")


def _asked(contract: bytes, jti: bytes) -> bytes:
    return framed(Tag.PRIVATE_REQUEST, contract, jti)


def _answered(ticket: bytes) -> bytes:
    return framed(Tag.PRIVATE_SEALED, ticket)
