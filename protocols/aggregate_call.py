"""The documents of one question for statistics (PROTOCOL 9 with 3).

=================  =========  ==================================================
document           signed by  says
=================  =========  ==================================================
AggregateRequest   bank       which contract, narrowed to whom
AggregateTicket    house      which snapshot it was computed on, who is in which
                              group, the hash of everything that was made of it
AggregateReceipt   authority  what came out of the decryption, sealed, and how
                              much epsilon is left
=================  =========  ==================================================

Denials and repeat receipts are those of any call (`protocols.call`), and a question
is named like any other, by `call.request_hash` of its signed bytes.

What the authority seals to the bank is `salt (32) | totals (5 bytes each)`, little
endian, group by group and in each read by read; the house sends its masks in the
same shape beside it, and the ticket binds them.

>>> request = AggregateRequest(
...     bytes(32), (("town", ("唐口街道", "安居镇")),), "statistics", bytes(16), 0, "b"
... )
>>> AggregateRequest.parse(request.to_bytes()) == request
True
"""

from dataclasses import dataclass

from protocols.call import HASH_BYTES, JTI_BYTES, SALT_BYTES, Permit
from protocols.canon import Json, Reader, Tag, digest, dumps, loads
from protocols.errors import FormatError
from protocols.where import Where, read, texts, to_json

REQUEST = "safehouse/aggregate-request/1"
TICKET = "safehouse/aggregate-ticket/1"
RECEIPT = "safehouse/aggregate-receipt/1"


@dataclass(frozen=True, slots=True)
class AggregateRequest:
    """A bank's question."""

    contract: bytes  # hash of the compiled contract
    where: Where
    purpose: str
    jti: bytes  # 16 fresh bytes: the request's own name
    iat_ms: int  # the bank's clock when it asked; says the quarter, too
    bank: str  # party id

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": REQUEST,
                "contract": self.contract.hex(),
                "where": to_json(self.where),
                "purpose": self.purpose,
                "jti": self.jti.hex(),
                "iat_ms": self.iat_ms,
                "bank": self.bank,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "AggregateRequest":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, REQUEST))
        request = cls(
            reader.hex("contract", HASH_BYTES),
            read(reader),
            reader.text("purpose"),
            reader.hex("jti", JTI_BYTES),
            reader.integer("iat_ms"),
            reader.text("bank"),
        )
        reader.close()
        return request

    @property
    def question(self) -> bytes:
        """Hash what is asked: who asks the same again gets the same answer."""
        words = to_json(self.where)
        return digest(Tag.AGGREGATE_REQUEST, dumps({"v": REQUEST, "where": words}))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a quarter's statistics of a dataset rest on; it stays for the quarter."""

    quarter: str
    dataset: str
    version: int
    blocks: int
    ciphertext_root: bytes
    row_map_root: bytes
    attributes_version: int
    attributes: bytes  # digest of the signed table

    def to_json(self) -> dict[str, Json]:
        """Write for a ticket."""
        return {
            "quarter": self.quarter,
            "dataset": self.dataset,
            "version": self.version,
            "blocks": self.blocks,
            "ciphertext_root": self.ciphertext_root.hex(),
            "row_map_root": self.row_map_root.hex(),
            "attributes_version": self.attributes_version,
            "attributes": self.attributes.hex(),
        }

    @classmethod
    def from_json(cls, reader: Reader) -> "Snapshot":
        """Read what `to_json` wrote."""
        snapshot = cls(
            reader.text("quarter"),
            reader.text("dataset"),
            reader.integer("version", 1),
            reader.integer("blocks", 1),
            reader.hex("ciphertext_root", HASH_BYTES),
            reader.hex("row_map_root", HASH_BYTES),
            reader.integer("attributes_version", 1),
            reader.hex("attributes", HASH_BYTES),
        )
        reader.close()
        return snapshot

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps({"v": "1", **self.to_json()})


@dataclass(frozen=True, slots=True)
class Group:
    """Subjects who agree in the attributes that make groups."""

    labels: tuple[str, ...]  # of each of them
    subjects: int

    def to_json(self) -> Json:
        """Write for a ticket."""
        return [list(self.labels), self.subjects]

    @classmethod
    def from_json(cls, item: Json) -> "Group":
        """Read what `to_json` wrote; raises `FormatError`."""
        match item:
            case [list(labels), int(subjects)] if texts(labels) and subjects > 0:
                return cls(tuple(map(str, labels)), subjects)
            case _:
                raise FormatError("member `groups`: expected labels and a number")


@dataclass(frozen=True, slots=True)
class AggregateTicket:
    """The house's statement of what it computed, made before anybody decrypts.

    A fresh ticket has `seed`, `message` and `masks`; a repeat has `repeat_of`.
    """

    request: bytes  # request hash
    contract: bytes
    snapshot: Snapshot
    selection: bytes  # digest of the group of every row
    groups: tuple[Group, ...]
    suppressed: tuple[Group, ...]  # under the floor
    left_out: int  # subjects of the map who object
    issued_ms: int
    seed: bytes = b""  # commitment to the call's seed
    message: bytes = b""  # digest of all ciphertexts
    masks: bytes = b""  # digest of what the bank takes off
    repeat_of: bytes = b""  # hash of the earlier ticket

    def __post_init__(self) -> None:
        fresh = (self.seed, self.message, self.masks)
        lengths = {len(part) for part in (fresh if not self.repeat_of else ())}
        if self.repeat_of:
            if any(fresh) or len(self.repeat_of) != HASH_BYTES:
                raise FormatError("a repeat names its earlier ticket and nothing else")
        elif lengths != {HASH_BYTES}:
            raise FormatError("a fresh ticket binds seed, message and masks")

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": TICKET,
                "request": self.request.hex(),
                "contract": self.contract.hex(),
                "snapshot": self.snapshot.to_json(),
                "selection": self.selection.hex(),
                "groups": [group.to_json() for group in self.groups],
                "suppressed": [group.to_json() for group in self.suppressed],
                "left_out": self.left_out,
                "issued_ms": self.issued_ms,
                "seed": self.seed.hex(),
                "message": self.message.hex(),
                "masks": self.masks.hex(),
                "repeat_of": self.repeat_of.hex(),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "AggregateTicket":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, TICKET))
        ticket = cls(
            reader.hex("request", HASH_BYTES),
            reader.hex("contract", HASH_BYTES),
            Snapshot.from_json(reader.reader("snapshot")),
            reader.hex("selection", HASH_BYTES),
            tuple(Group.from_json(item) for item in reader.items("groups")),
            tuple(Group.from_json(item) for item in reader.items("suppressed")),
            reader.integer("left_out"),
            reader.integer("issued_ms"),
            reader.hex("seed"),
            reader.hex("message"),
            reader.hex("masks"),
            reader.hex("repeat_of"),
        )
        reader.close()
        return ticket

    @property
    def root(self) -> bytes:
        """Hash everything that is added up; masks and noise hang on it."""
        return aggregate_root(self.contract, self.snapshot, self.selection)


@dataclass(frozen=True, slots=True)
class AggregateReceipt:
    """The authority's statement of what it decrypted and handed on."""

    ticket: bytes
    opened: bytes  # digest of (salt, totals)
    decrypted: bytes  # digest of (every masked plaintext, another salt)
    noise: bytes  # commitment to the seed of its noise
    left: int  # milliepsilon that this bank may still be told in the quarter
    permit: Permit

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": RECEIPT,
                "ticket": self.ticket.hex(),
                "opened": self.opened.hex(),
                "decrypted": self.decrypted.hex(),
                "noise": self.noise.hex(),
                "left": self.left,
                "permit": self.permit.to_json(),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "AggregateReceipt":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, RECEIPT))
        receipt = cls(
            reader.hex("ticket", HASH_BYTES),
            reader.hex("opened", HASH_BYTES),
            reader.hex("decrypted", HASH_BYTES),
            reader.hex("noise", HASH_BYTES),
            reader.integer("left"),
            Permit.from_json(reader.reader("permit")),
        )
        reader.close()
        return receipt


@dataclass(frozen=True, slots=True, repr=False)
class AggregateOpened:
    """What the authority seals to the bank: totals, masked and noisy."""

    salt: bytes
    totals: bytes

    def to_bytes(self) -> bytes:
        """Write `salt | totals`."""
        return self.salt + self.totals

    @classmethod
    def parse(cls, data: bytes) -> "AggregateOpened":
        """Read a box; raises `FormatError`.  Its reader knows how many totals."""
        if len(data) <= SALT_BYTES:
            raise FormatError("expected a salt and totals")
        return cls(data[:SALT_BYTES], data[SALT_BYTES:])

    def digest(self) -> bytes:
        """Return what the receipt binds."""
        return digest(Tag.AGGREGATE_OPENED, self.to_bytes())


def aggregate_root(contract: bytes, snapshot: Snapshot, selection: bytes) -> bytes:
    """Hash everything that is added up, by contract, snapshot and selection."""
    return digest(Tag.AGGREGATE_INPUTS, contract, snapshot.to_bytes(), selection)


def masks_digest(masks: bytes) -> bytes:
    """Bind what the bank will take off: many bits of noise, so no salt."""
    return digest(Tag.AGGREGATE_MASKS, masks)


def aggregate_ticket_hash(payload: bytes) -> bytes:
    """Name a ticket by its signed bytes."""
    return digest(Tag.AGGREGATE_TICKET, payload)


def aggregate_receipt_hash(payload: bytes) -> bytes:
    """Name a receipt by its signed bytes."""
    return digest(Tag.AGGREGATE_RECEIPT, payload)


def plaintexts_digest(plaintexts: bytes, salt: bytes) -> bytes:
    """Commit to every masked plaintext, for a later opening to an auditor."""
    return digest(Tag.Z, plaintexts, salt)
