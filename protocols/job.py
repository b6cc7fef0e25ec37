r"""The documents of a job: one question about a whole list (PROTOCOL 4).

================  =========  =========  =========================================
document          signed by  sent to    says
================  =========  =========  =========================================
`Job`             bank       both       which contract, for which purpose, and the
                                        Merkle root of the list it is asked about
`JobDenials`      either     bank       which entries are refused, a public reason
                                        each, and a salted digest of all reasons
`JobTicket`       house      both       on which inputs some blocks were computed,
                                        whose slots are whose entries, and the
                                        hash of everything made of them
`JobReceipt`      authority  both       what came out of the decryption, sealed;
                                        where its permits stand in the journal
`JobResult`       bank       house      a salted commitment to what it read
`JobCancel`       bank       house      no more of it
================  =========  =========  =========================================

*The list.*  Entry i is (subject, consent): leaf i of an RFC 9162 tree is the leaf
hash of `digest(JOB_ENTRY, commitment to the subject, consent id)`.  Entries stand
in the order of the subjects' references, so that no subject is there twice, and a
stretch of the directory, which has that order too, is a stretch of the list.

*The filter.*  A job may be narrowed to who has some public attributes
(`protocols.where`; then its version is 2): both nodes refuse the others, each by the
attributes that it holds, and count nothing.

*Places.*  Which entry sits in which slot is written in runs: `[slot, entry,
count]` says that so many slots from `slot` on hold so many entries from `entry`
on.  Runs are as long as they can be, so there is one way to write places.

*A message* is some blocks, each with the tables of its permitted slots; its hash
covers every block's hash (`lookup.Message.digest`) and number.  What the
authority seals is, little endian::

    salt (32) | the fields of every slot (5 bytes each) | the rows of every slot

in the order of blocks and slots; a slot's fields are its masked 40 bits, of which
those above the last field are 0.

>>> join(((0, 7), (1, 8), (2, 9), (5, 10)))
((0, 7, 3), (5, 10, 1))
>>> cut(((0, 7, 3), (5, 10, 1)))
((0, 1, 2, 5), (7, 8, 9, 10))
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from protocols import where as where_room
from protocols.call import HASH_BYTES, JTI_BYTES, SALT_BYTES, result_commitment
from protocols.canon import Json, Reader, Tag, digest, dumps, loads, version_of
from protocols.drbg import Drbg
from protocols.errors import FormatError
from protocols.lookup import Message
from protocols.slots import SLOT_BYTES, Field, Ints, unpack
from protocols.tlog import leaf_hash, root_of
from protocols.where import Where

Runs: TypeAlias = tuple[tuple[int, int, int], ...]  # slot, entry, count
Numbers: TypeAlias = tuple[int, ...]

JOB: Final = "safehouse/job/1"
JOB_2: Final = "safehouse/job/2"  # one that is narrowed
CANCEL: Final = "safehouse/job-cancel/1"
DENIALS: Final = "safehouse/job-denials/1"
TICKET: Final = "safehouse/job-ticket/1"
RECEIPT: Final = "safehouse/job-receipt/1"
RESULT: Final = "safehouse/job-result/1"

FAIL: Final = "fail"
DENY: Final = "deny"
MOST_ENTRIES: Final = 4_000_000
MOST_SLOTS: Final = 1 << 16  # of a block, in a message hash
_NUMBER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Job:
    """A bank's question about a list."""

    contract: bytes  # hash of the compiled contract
    purpose: str
    root: bytes  # of the list
    entries: int
    jti: bytes  # 16 fresh bytes: the job's own name
    iat_ms: int  # the bank's clock when it asked
    bank: str  # party id
    damaged: str = FAIL  # what a damaged block does: `fail`, or `deny` its subjects
    where: Where = ()  # whom of the list it is about

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        narrowed = {"v": JOB_2, "where": where_room.to_json(self.where)}
        return dumps(
            {
                **(narrowed if self.where else {"v": JOB}),
                "contract": self.contract.hex(),
                "purpose": self.purpose,
                "root": self.root.hex(),
                "entries": self.entries,
                "jti": self.jti.hex(),
                "iat_ms": self.iat_ms,
                "bank": self.bank,
                "damaged": self.damaged,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Job":
        """Read strictly; raises `FormatError`."""
        version = JOB_2 if version_of(data) == JOB_2 else JOB
        reader = Reader(loads(data, version))
        job = cls(
            reader.hex("contract", HASH_BYTES),
            reader.text("purpose"),
            reader.hex("root", HASH_BYTES),
            reader.integer("entries", 1, MOST_ENTRIES),
            reader.hex("jti", JTI_BYTES),
            reader.integer("iat_ms"),
            reader.text("bank"),
            reader.text("damaged"),
            where_room.read(reader) if version == JOB_2 else (),
        )
        reader.close()
        if version == JOB_2 and not job.where:
            raise FormatError(f"a job that is not narrowed is `{JOB}`")
        if job.damaged not in (FAIL, DENY):
            raise FormatError(f"member `damaged`: expected `{FAIL}` or `{DENY}`")
        return job


@dataclass(frozen=True, slots=True)
class JobCancel:
    """A bank's word that it wants no more of a job."""

    job: bytes  # job hash
    bank: str

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps({"v": CANCEL, "job": self.job.hex(), "bank": self.bank})

    @classmethod
    def parse(cls, data: bytes) -> "JobCancel":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, CANCEL))
        cancel = cls(reader.hex("job", HASH_BYTES), reader.text("bank"))
        reader.close()
        return cancel


@dataclass(frozen=True, slots=True)
class DeniedEntry:
    """One entry that is refused, as its bank may know it."""

    index: int
    reason: str  # the public one
    detail: str


@dataclass(frozen=True, slots=True)
class JobDenials:
    """Entries that house or authority refuse; all reasons stay in the journal."""

    job: bytes
    by: str  # party id
    items: tuple[DeniedEntry, ...]
    reasons: bytes  # digest of (salt, every reason of every item)
    time_ms: int

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": DENIALS,
                "job": self.job.hex(),
                "by": self.by,
                "items": [[d.index, d.reason, d.detail] for d in self.items],
                "reasons": self.reasons.hex(),
                "time_ms": self.time_ms,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "JobDenials":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, DENIALS))
        denials = cls(
            reader.hex("job", HASH_BYTES),
            reader.text("by"),
            tuple(_denied(item) for item in reader.items("items")),
            reader.hex("reasons", HASH_BYTES),
            reader.integer("time_ms"),
        )
        reader.close()
        return denials


@dataclass(frozen=True, slots=True)
class Basis:
    """The version of a dataset on which a message rests; 0 for none."""

    dataset: str
    version: int
    row_map_root: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """One block of a message: on what it rests, and whose slots are in it."""

    block: int
    inputs: bytes  # inputs root: every dataset's version and leaf of this block
    slots: Numbers  # ascending
    entries: Numbers  # of the list, one for each slot


@dataclass(frozen=True, slots=True)
class JobTicket:
    """The house's statement of some blocks, made before anybody decrypts."""

    job: bytes
    contract: bytes
    gate: str  # how the tables are laid out
    stretch: int  # of the directory, in this job, from 0
    number: int  # of this message in its stretch, from 0
    issued_ms: int
    seed: bytes  # commitment to the job's seed
    message: bytes  # `message_hash`
    pads: bytes  # `pads_digest` of the blocks' pad keys in order
    bases: tuple[Basis, ...]  # in the contract's order of datasets
    parts: tuple[Part, ...]  # by block, ascending

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": TICKET,
                "job": self.job.hex(),
                "contract": self.contract.hex(),
                "gate": self.gate,
                "stretch": self.stretch,
                "number": self.number,
                "issued_ms": self.issued_ms,
                "seed": self.seed.hex(),
                "message": self.message.hex(),
                "pads": self.pads.hex(),
                "datasets": [
                    {
                        "dataset": basis.dataset,
                        "version": basis.version,
                        "row_map_root": basis.row_map_root.hex(),
                    }
                    for basis in self.bases
                ],
                "blocks": [part_to_json(part) for part in self.parts],
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "JobTicket":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, TICKET))
        ticket = cls(
            reader.hex("job", HASH_BYTES),
            reader.hex("contract", HASH_BYTES),
            reader.text("gate"),
            reader.integer("stretch"),
            reader.integer("number"),
            reader.integer("issued_ms"),
            reader.hex("seed", HASH_BYTES),
            reader.hex("message", HASH_BYTES),
            reader.hex("pads", HASH_BYTES),
            tuple(_basis(item) for item in reader.readers("datasets")),
            tuple(_part(item) for item in reader.items("blocks")),
        )
        reader.close()
        blocks = [part.block for part in ticket.parts]
        if not blocks or blocks != sorted(set(blocks)):
            raise FormatError("expected blocks in ascending order, at least one")
        return ticket


@dataclass(frozen=True, slots=True)
class Permits:
    """Where in the authority's journal the permits of a message stand."""

    indices: Numbers  # of the entries, ascending
    size: int  # of a signed tree that holds them
    root: bytes

    def to_json(self) -> dict[str, Json]:
        """Write for a receipt."""
        return {"indices": self.indices, "size": self.size, "root": self.root.hex()}

    @classmethod
    def from_json(cls, reader: Reader) -> "Permits":
        """Read what `to_json` wrote."""
        indices = tuple(natural("indices", item) for item in reader.items("indices"))
        size = reader.integer("size", 1)
        permits = cls(indices, size, reader.hex("root", HASH_BYTES))
        reader.close()
        if list(indices) != sorted(set(indices)):
            raise FormatError("member `indices`: expected ascending order")
        return permits


@dataclass(frozen=True, slots=True)
class JobReceipt:
    """The authority's statement of what it decrypted and handed on."""

    ticket: bytes
    opened: bytes  # digest of what it sealed
    decrypted: bytes  # root over every block's digest of (z, a salt of its own)
    permits: Permits
    dropped: tuple[tuple[int, Numbers], ...]  # block, slots: withdrawn since

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": RECEIPT,
                "ticket": self.ticket.hex(),
                "opened": self.opened.hex(),
                "decrypted": self.decrypted.hex(),
                "permits": self.permits.to_json(),
                "dropped": self.dropped,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "JobReceipt":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, RECEIPT))
        receipt = cls(
            reader.hex("ticket", HASH_BYTES),
            reader.hex("opened", HASH_BYTES),
            reader.hex("decrypted", HASH_BYTES),
            Permits.from_json(reader.reader("permits")),
            tuple(_dropped(item) for item in reader.items("dropped")),
        )
        reader.close()
        return receipt


@dataclass(frozen=True, slots=True)
class JobResult:
    """The bank's commitment to every outcome of a message (`result_root`)."""

    ticket: bytes
    result: bytes

    def to_bytes(self) -> bytes:
        """Write canonical JSON: the same size whatever came out."""
        return dumps(
            {"v": RESULT, "ticket": self.ticket.hex(), "result": self.result.hex()}
        )

    @classmethod
    def parse(cls, data: bytes) -> "JobResult":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, RESULT))
        result = cls(reader.hex("ticket", HASH_BYTES), reader.hex("result", HASH_BYTES))
        reader.close()
        return result


# -- names ---------------------------------------------------------------------


def job_hash(payload: bytes) -> bytes:
    """Name a job by its signed bytes."""
    return digest(Tag.JOB, payload)


def ticket_hash(payload: bytes) -> bytes:
    """Name a job's ticket by its signed bytes."""
    return digest(Tag.JOB_TICKET, payload)


def receipt_hash(payload: bytes) -> bytes:
    """Name a job's receipt by its signed bytes."""
    return digest(Tag.JOB_RECEIPT, payload)


def entry_leaf(commitment: bytes, consent: str) -> bytes:
    """Hash one entry of a list: a leaf hash of its tree."""
    return leaf_hash(digest(Tag.JOB_ENTRY, commitment, consent.encode()))


def message_hash(blocks: Iterable[tuple[int, Message]]) -> bytes:
    """Hash all blocks of a message, each with its number."""
    parts: list[bytes] = []
    for block, message in blocks:
        parts += (block.to_bytes(_NUMBER_BYTES, "big"), message.digest())
    return digest(Tag.JOB_MESSAGE, *parts)


def pads_digest(pad_keys: Iterable[bytes]) -> bytes:
    """Bind the pads of all blocks of a message, in order."""
    return digest(Tag.PADS, *pad_keys)


def decrypted_root(digests: Sequence[bytes]) -> bytes:
    """Bind the masked plaintexts of all blocks, so that each opens by itself."""
    return root_of([leaf_hash(one) for one in digests])


def result_root(salt: bytes, codes: Sequence[int]) -> bytes:
    """Commit to the outcomes of a message, in order, so that each opens by itself."""
    return root_of([leaf_hash(leaf) for leaf in result_leaves(salt, codes)])


def result_leaves(salt: bytes, codes: Sequence[int]) -> list[bytes]:
    """Commit to each outcome under a salt of its own.

    All are drawn from `salt`: who is shown one of them learns no other.
    """
    if len(salt) != SALT_BYTES:
        raise RuntimeError("a salt is 32 bytes")
    drawn = Drbg(salt).bytes("result salts", SALT_BYTES * len(codes))
    return [
        result_commitment(drawn[i * SALT_BYTES : (i + 1) * SALT_BYTES], code)
        for i, code in enumerate(codes)
    ]


# -- what is sealed to the bank ------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class JobOpened:
    """Masked fields and padded rows of every slot of a message, in order."""

    salt: bytes
    cells: bytes  # 5 bytes a slot
    rows: bytes  # the gate's row_bytes a slot

    def to_bytes(self) -> bytes:
        """Write `salt | cells | rows`."""
        return self.salt + self.cells + self.rows

    @classmethod
    def parse(cls, data: bytes, slots: int, row_bytes: int) -> "JobOpened":
        """Read a box of so many slots; raises `FormatError`."""
        end = SALT_BYTES + slots * SLOT_BYTES
        if len(data) != end + slots * row_bytes:
            raise FormatError(f"expected a box of {slots} slots")
        return cls(data[:SALT_BYTES], data[SALT_BYTES:end], data[end:])

    def digest(self) -> bytes:
        """Return what the receipt binds."""
        return digest(Tag.JOB_OPENED, self.to_bytes())


def write_cells(u: Ints, fields: Sequence[Field]) -> bytes:
    """Put masked fields, (slots, fields), into 5 bytes a slot."""
    offsets = np.array([field.offset for field in fields], np.int64)
    values = (u << offsets).sum(axis=1, dtype=np.int64).astype("<i8")
    words = values.view(np.uint8).reshape(-1, _NUMBER_BYTES)
    cells: bytes = words[:, :SLOT_BYTES].tobytes()
    return cells


def read_cells(cells: bytes) -> Ints:
    """Read the 40-bit values that `write_cells` wrote: (slots,)."""
    return unpack(cells, range(len(cells) // SLOT_BYTES))


# -- places --------------------------------------------------------------------


def join(places: Iterable[tuple[int, int]]) -> Runs:
    """Write (slot, entry) pairs, ascending by slot, as runs."""
    runs: list[tuple[int, int, int]] = []
    slot = entry = count = -1
    for at, whose in places:
        if count > 0 and at == slot + count and whose == entry + count:
            count += 1
            continue
        if count > 0:
            runs.append((slot, entry, count))
        slot, entry, count = at, whose, 1
    if count > 0:
        runs.append((slot, entry, count))
    return tuple(runs)


def cut(runs: Iterable[tuple[int, int, int]]) -> tuple[Numbers, Numbers]:
    """Return the slots and their entries; raises `FormatError` for wrong runs."""
    slots: list[int] = []
    entries: list[int] = []
    for slot, entry, count in runs:
        if count < 1 or slot < 0 or entry < 0 or slot + count > MOST_SLOTS:
            raise FormatError(f"`{[slot, entry, count]}` is no run of places")
        if slots and slot <= slots[-1]:
            raise FormatError("expected runs in the order of slots")
        if slots and (slot, entry) == (slots[-1] + 1, entries[-1] + 1):
            raise FormatError("expected the longest runs")
        slots += range(slot, slot + count)
        entries += range(entry, entry + count)
    if not slots:
        raise FormatError("expected places, at least one")
    return tuple(slots), tuple(entries)


def read_runs(name: str, items: Json) -> Runs:
    """Read runs from a document; raises `FormatError`."""
    if not isinstance(items, list):
        raise FormatError(f"member `{name}`: expected lists of runs")
    runs: list[tuple[int, int, int]] = []
    for item in items:
        match item:
            case [slot, entry, count]:
                run = natural(name, slot), natural(name, entry), natural(name, count)
                runs.append(run)
            case _:
                raise FormatError(f"member `{name}`: expected slot, entry, count")
    return tuple(runs)


def part_to_json(part: Part) -> Json:
    """Write one block of a ticket."""
    runs = join(zip(part.slots, part.entries, strict=True))
    return [part.block, part.inputs.hex(), runs]


def natural(name: str, item: Json) -> int:
    """Read an integer of at least 0."""
    if not isinstance(item, int) or isinstance(item, bool) or item < 0:
        raise FormatError(f"member `{name}`: expected integers of at least 0")
    return item


def _part(item: Json) -> Part:
    match item:
        case [block, str(inputs), list(runs)]:
            reader = Reader({"inputs": inputs})
            return Part(
                natural("blocks", block),
                reader.hex("inputs", HASH_BYTES),
                *cut(read_runs("blocks", runs)),
            )
        case _:
            raise FormatError("member `blocks`: expected block, inputs, runs")


def _basis(reader: Reader) -> Basis:
    basis = Basis(
        reader.text("dataset"),
        reader.integer("version"),
        reader.hex("row_map_root", HASH_BYTES),
    )
    reader.close()
    return basis


def _dropped(item: Json) -> tuple[int, Numbers]:
    match item:
        case [block, [_, *_] as slots]:
            numbers = tuple(natural("dropped", slot) for slot in slots)
            return natural("dropped", block), numbers
        case _:
            raise FormatError("member `dropped`: expected block and slots")


def _denied(item: Json) -> DeniedEntry:
    match item:
        case [index, str(reason), str(detail)]:
            return DeniedEntry(natural("items", index), reason, detail)
        case _:
            raise FormatError("member `items`: expected index, reason, detail")
