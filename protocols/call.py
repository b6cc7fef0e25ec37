"""The documents of one scoring call (PROTOCOL 3), each with its bytes and hash.

==============  =========  ==========  ========================================
document        signed by  sent to     says
==============  =========  ==========  ========================================
Request         bank       both        which question, about whom, under which
                                       consent
Ticket          house      both        on which inputs it was computed, and the
                                       hash of everything that was made of them
Receipt         authority  both        what came out of the decryption, sealed
RepeatReceipt   authority  both        the same answer may be released again
Denial          either     bank        refused: one public reason, and a salted
                                       digest of all of them
Result          bank       house       a salted commitment to what it read
==============  =========  ==========  ========================================

The subject is named by `digest(SUBJECT, subject_ref, salt)` everywhere; the
opening `(subject_ref, salt)` travels beside and is never stored.

What the authority seals to the bank is `salt (32) | u (8 bytes a field, little
endian) | rows`; the receipt carries `digest(OPENED, salt, u, rows)`, so a box
that anybody else made does not fit it.  (HPKE names no sender.)
"""

from dataclasses import dataclass
from functools import lru_cache

from protocols.canon import Json, Reader, Tag, digest, dumps, loads
from protocols.errors import FormatError

HASH_BYTES = 32
SALT_BYTES = 32
JTI_BYTES = 16
FIELD_BYTES = 8
SCORE = "score"
MAX_FIELD = (1 << 63) - 1  # what 64-bit integers hold

REQUEST = "safehouse/request/1"
KIND_REQUEST = "safehouse/request/2"
TICKET = "safehouse/ticket/1"
RECEIPT = "safehouse/receipt/1"
REPEAT_RECEIPT = "safehouse/repeat-receipt/1"
DENIAL = "safehouse/denial/1"
RESULT = "safehouse/result/1"

# Members are in order, and `v` is the last.
_OF_KIND = f'"v":"{KIND_REQUEST}"}}'.encode()


@dataclass(frozen=True, slots=True)
class Shared:
    """What a request says of a number of the bank's: `protocols.sharing`."""

    house: bytes  # salted commitment to the house's share
    authority: bytes  # digest of the authority's, sealed
    model: bytes = b""  # commitment to the bank's model, where one made the number

    def to_json(self) -> dict[str, Json]:
        """Write for a request."""
        return {
            "house": self.house.hex(),
            "authority": self.authority.hex(),
            "model": self.model.hex(),
        }

    @classmethod
    def from_json(cls, reader: Reader) -> "Shared":
        """Read what `to_json` wrote."""
        shared = cls(
            reader.hex("house", HASH_BYTES),
            reader.hex("authority", HASH_BYTES),
            reader.hex("model"),
        )
        reader.close()
        if len(shared.model) not in {0, HASH_BYTES}:
            raise FormatError("member `model`: expected 32 bytes, or none")
        return shared


@dataclass(frozen=True, slots=True)
class Request:
    """A bank's question.

    That for a score is of version 1; version 2 names its kind, and the shares of
    the bank's number where the kind has one.
    """

    contract: bytes  # hash of the compiled contract
    subject: bytes  # commitment to the subject
    purpose: str
    consent: str  # consent id
    jti: bytes  # 16 fresh bytes: the request's own name
    iat_ms: int  # the bank's clock when it asked
    bank: str  # party id
    kind: str = SCORE  # of question: a word of `contracts.contract.ContractKind`
    shared: Shared | None = None

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        members: dict[str, Json] = {
            "contract": self.contract.hex(),
            "subject": self.subject.hex(),
            "purpose": self.purpose,
            "consent": self.consent,
            "jti": self.jti.hex(),
            "iat_ms": self.iat_ms,
            "bank": self.bank,
        }
        if self.kind == SCORE and self.shared is None:
            return dumps({"v": REQUEST, **members})
        shared = None if self.shared is None else self.shared.to_json()
        return dumps(
            {"v": KIND_REQUEST, **members, "kind": self.kind, "shared": shared}
        )

    @classmethod
    def parse(cls, data: bytes) -> "Request":
        """Read strictly; raises `FormatError`."""
        of_kind = data.endswith(_OF_KIND)
        reader = Reader(loads(data, KIND_REQUEST if of_kind else REQUEST))
        request = cls(
            reader.hex("contract", HASH_BYTES),
            reader.hex("subject", HASH_BYTES),
            reader.text("purpose"),
            reader.text("consent"),
            reader.hex("jti", JTI_BYTES),
            reader.integer("iat_ms"),
            reader.text("bank"),
            reader.text("kind") if of_kind else SCORE,
            Shared.from_json(shared)
            if of_kind and (shared := reader.optional("shared"))
            else None,
        )
        reader.close()
        if of_kind and request.kind == SCORE and request.shared is None:
            raise FormatError("a request for a score is of version 1")
        return request


@dataclass(frozen=True, slots=True, repr=False)
class Opening:
    """Opens a commitment to a subject; never stored, never logged."""

    subject_ref: bytes
    salt: bytes

    def commitment(self) -> bytes:
        """Return what signed documents call the subject."""
        if len(self.subject_ref) != HASH_BYTES or len(self.salt) != SALT_BYTES:
            raise FormatError("expected a subject reference and a salt of 32 bytes")
        return digest(Tag.SUBJECT, self.subject_ref, self.salt)


@dataclass(frozen=True, slots=True)
class Input:
    """One dataset's part of the inputs: the newest version, one block of it."""

    dataset: str
    version: int
    leaf: bytes  # hash of the block's ciphertexts
    row_map_root: bytes  # of the directory the version was packed by

    def to_json(self) -> dict[str, Json]:
        """Write for a ticket."""
        return {
            "dataset": self.dataset,
            "version": self.version,
            "leaf": self.leaf.hex(),
            "row_map_root": self.row_map_root.hex(),
        }

    @classmethod
    def from_json(cls, reader: Reader) -> "Input":
        """Read what `to_json` wrote."""
        item = cls(
            reader.text("dataset"),
            reader.integer("version"),
            reader.hex("leaf", HASH_BYTES),
            reader.hex("row_map_root", HASH_BYTES),
        )
        reader.close()
        return item


@lru_cache(maxsize=1024)  # the subjects of a block share it
def inputs_root(inputs: tuple[Input, ...]) -> bytes:
    """Hash every input of a block; a mask hangs on it."""
    return digest(Tag.INPUTS, *(dumps({"v": "1", **i.to_json()}) for i in inputs))


@dataclass(frozen=True, slots=True)
class Ticket:
    """The house's statement of what it computed, made before anybody decrypts.

    A fresh ticket has `seed`, `message` and `pads`; a repeat has `repeat_of`.
    """

    request: bytes  # request hash
    contract: bytes
    block: int
    slot: int
    inputs: tuple[Input, ...]
    issued_ms: int
    seed: bytes = b""  # commitment to the call's seed
    message: bytes = b""  # digest of ciphertext and tables
    pads: bytes = b""  # digest of the bank's pad key
    repeat_of: bytes = b""  # hash of the earlier ticket

    def __post_init__(self) -> None:
        fresh = (self.seed, self.message, self.pads)
        lengths = {len(part) for part in (fresh if not self.repeat_of else ())}
        if self.repeat_of:
            if any(fresh) or len(self.repeat_of) != HASH_BYTES:
                raise FormatError("a repeat names its earlier ticket and nothing else")
        elif lengths != {HASH_BYTES}:
            raise FormatError("a fresh ticket binds seed, message and pads")

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": TICKET,
                "request": self.request.hex(),
                "contract": self.contract.hex(),
                "block": self.block,
                "slot": self.slot,
                "inputs": [item.to_json() for item in self.inputs],
                "issued_ms": self.issued_ms,
                "seed": self.seed.hex(),
                "message": self.message.hex(),
                "pads": self.pads.hex(),
                "repeat_of": self.repeat_of.hex(),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Ticket":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, TICKET))
        ticket = cls(
            reader.hex("request", HASH_BYTES),
            reader.hex("contract", HASH_BYTES),
            reader.integer("block"),
            reader.integer("slot"),
            tuple(Input.from_json(item) for item in reader.readers("inputs")),
            reader.integer("issued_ms"),
            reader.hex("seed"),
            reader.hex("message"),
            reader.hex("pads"),
            reader.hex("repeat_of"),
        )
        reader.close()
        return ticket

    @property
    def root(self) -> bytes:
        """The inputs root."""
        return inputs_root(self.inputs)


@dataclass(frozen=True, slots=True)
class Permit:
    """Where in the authority's journal the permit stands."""

    index: int
    size: int  # of a signed tree that holds it
    root: bytes

    def to_json(self) -> dict[str, Json]:
        """Write for a receipt."""
        return {"index": self.index, "size": self.size, "root": self.root.hex()}

    @classmethod
    def from_json(cls, reader: Reader) -> "Permit":
        """Read what `to_json` wrote."""
        permit = cls(
            reader.integer("index"),
            reader.integer("size", 1),
            reader.hex("root", HASH_BYTES),
        )
        reader.close()
        return permit


@dataclass(frozen=True, slots=True)
class Receipt:
    """The authority's statement of what it decrypted and handed on."""

    ticket: bytes
    opened: bytes  # digest of (salt, u, rows)
    decrypted: bytes  # digest of (z, another salt)
    permit: Permit

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": RECEIPT,
                "ticket": self.ticket.hex(),
                "opened": self.opened.hex(),
                "decrypted": self.decrypted.hex(),
                "permit": self.permit.to_json(),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Receipt":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, RECEIPT))
        receipt = cls(
            reader.hex("ticket", HASH_BYTES),
            reader.hex("opened", HASH_BYTES),
            reader.hex("decrypted", HASH_BYTES),
            Permit.from_json(reader.reader("permit")),
        )
        reader.close()
        return receipt


@dataclass(frozen=True, slots=True)
class RepeatReceipt:
    """The authority's leave to release an earlier answer once more."""

    request: bytes
    ticket: bytes
    repeat_of: bytes
    permit: Permit

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": REPEAT_RECEIPT,
                "request": self.request.hex(),
                "ticket": self.ticket.hex(),
                "repeat_of": self.repeat_of.hex(),
                "permit": self.permit.to_json(),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "RepeatReceipt":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, REPEAT_RECEIPT))
        receipt = cls(
            reader.hex("request", HASH_BYTES),
            reader.hex("ticket", HASH_BYTES),
            reader.hex("repeat_of", HASH_BYTES),
            Permit.from_json(reader.reader("permit")),
        )
        reader.close()
        return receipt


@dataclass(frozen=True, slots=True)
class Denial:
    """A refusal; the reasons behind the public one stay in the journal."""

    request: bytes
    by: str  # party id
    reason: str  # the public one
    detail: str  # what the caller may know beside it
    reasons: bytes  # digest of (salt, every reason)
    time_ms: int

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": DENIAL,
                "request": self.request.hex(),
                "by": self.by,
                "reason": self.reason,
                "detail": self.detail,
                "reasons": self.reasons.hex(),
                "time_ms": self.time_ms,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Denial":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, DENIAL))
        denial = cls(
            reader.hex("request", HASH_BYTES),
            reader.text("by"),
            reader.text("reason"),
            reader.text("detail"),
            reader.hex("reasons", HASH_BYTES),
            reader.integer("time_ms"),
        )
        reader.close()
        return denial


@dataclass(frozen=True, slots=True)
class Result:
    """The bank's commitment to what it read, under a salt of its own."""

    ticket: bytes  # of the answer it opened
    result: bytes  # digest of (salt, code)

    def to_bytes(self) -> bytes:
        """Write canonical JSON: the same size whatever came out."""
        return dumps(
            {"v": RESULT, "ticket": self.ticket.hex(), "result": self.result.hex()}
        )

    @classmethod
    def parse(cls, data: bytes) -> "Result":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, RESULT))
        result = cls(reader.hex("ticket", HASH_BYTES), reader.hex("result", HASH_BYTES))
        reader.close()
        return result


def request_hash(payload: bytes) -> bytes:
    """Name a request by its signed bytes."""
    return digest(Tag.REQUEST, payload)


def ticket_hash(payload: bytes) -> bytes:
    """Name a ticket by its signed bytes."""
    return digest(Tag.TICKET, payload)


def receipt_hash(payload: bytes) -> bytes:
    """Name a receipt by its signed bytes."""
    return digest(Tag.RECEIPT, payload)


def seed_commitment(seed: bytes) -> bytes:
    """Commit to 32 random bytes; nothing guessable, so no salt."""
    return digest(Tag.SEED, seed)


def pads_digest(pad_key: bytes) -> bytes:
    """Bind the pads that the bank will remove."""
    return digest(Tag.PADS, pad_key)


def result_commitment(salt: bytes, code: int) -> bytes:
    """Commit to an outcome code under a salt that only the bank knows.

    The salt is the bank's own.  (Under the authority's salt, the authority
    reads the outcome from the journal by trying all of them.)
    """
    if len(salt) != SALT_BYTES:
        raise RuntimeError("a salt is 32 bytes")
    return digest(Tag.RESULT, salt, code.to_bytes(8, "big", signed=True))


@dataclass(frozen=True, slots=True, repr=False)
class Opened:
    """What the authority seals to the bank: masked row numbers, padded rows."""

    salt: bytes
    u: tuple[int, ...]  # one masked value a field
    rows: bytes

    def to_bytes(self) -> bytes:
        """Write `salt | u | rows`."""
        fields = b"".join(value.to_bytes(FIELD_BYTES, "little") for value in self.u)
        return self.salt + fields + self.rows

    @classmethod
    def parse(cls, data: bytes, fields: int, row_bytes: int) -> "Opened":
        """Read a box whose sizes the contract fixes; raises `FormatError`."""
        end = SALT_BYTES + fields * FIELD_BYTES
        if len(data) != end + row_bytes:
            raise FormatError(f"expected a box of {end + row_bytes} bytes")
        u = tuple(
            int.from_bytes(data[at : at + FIELD_BYTES], "little")
            for at in range(SALT_BYTES, end, FIELD_BYTES)
        )
        if max(u, default=0) > MAX_FIELD:
            raise FormatError("u is not the number of a row")
        return cls(data[:SALT_BYTES], u, data[end:])

    def digest(self) -> bytes:
        """Return what the receipt binds."""
        return digest(Tag.OPENED, self.to_bytes())


def decrypted_digest(salt: bytes, *z: int) -> bytes:
    """Commit to masked plaintexts, one or two, for a later opening to an auditor."""
    first, *second = (part.to_bytes((part.bit_length() + 7) // 8, "big") for part in z)
    return digest(Tag.Z, first, salt, *second)
