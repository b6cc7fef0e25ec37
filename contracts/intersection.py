r"""A contract for intersection: which list a bank may compare its customers with.

A YAML document (`contracts.source`) of kind `QueryContract`, with `psi`::

    metadata: {name: subsidy-customers, version: 1, title: 惠农补贴名单客户比对}
    spec:
      purpose: pre-approval
      subject: cn-resident-id
      author: jnrcb
      banks: [jnrcb]
      psi:
        list: farm-subsidy          # a dataset with `list: true`
        mode: intersection          # or cardinality: how many, not who
        most_ids: 50000             # customers that one session may name
        sessions_per_quarter: 4     # of one bank, in 90 days
      waivers:                      # the list's custodian answers for them
        - {rule: sessions, reason: weekly renewal, signed_by: agriculture}

What a session does is in `protocols.psi`, whether one may run in
`contracts.sessions`.  On the *canonical bytes* (`safehouse/psi-contract/1`), which
hold all of the above but the title, its hash is taken.

*Tiers.*  A list of tier T0 is public by law and needs nobody's consent.  Of one of
tier T1 or T2 only the entries take part whose subjects consented, to this bank, this
purpose and this list.  T3, sensitive personal data, is refused: whether somebody is on
such a list is what the separate consent protects, and nobody could count its uses.

*Rules*, each may be waived by the list's custodian:

============  ==================================================================
rule          why
============  ==================================================================
most-ids      who may name as many as a county has residents reads the list
sessions      so does who may come again and again
============  ==================================================================

>>> bits_of(Mode.INTERSECTION), bits_of(Mode.CARDINALITY)
(1000, 1000)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from contracts.contract import ContractKind, UsedColumn, UsedDataset
from contracts.dataset import Dataset, Tier
from contracts.errors import DocumentInvalid
from contracts.finding import Finding, waived
from contracts.plan import Line, told
from contracts.scoring import (
    MAX_VERSION,
    PURPOSES,
    Waiver,
    read_parties,
    read_waivers,
)
from contracts.source import Document, Place, suggest
from contracts.subject import SubjectType
from protocols.canon import Reader, Tag, digest, dumps, loads
from protocols.errors import FormatError
from protocols.psi import MOST_POINTS, Mode
from protocols.ristretto import POINT_BYTES

KIND: Final = "QueryContract"
MEMBER: Final = "psi"
VERSION: Final = "safehouse/psi-contract/1"
HASH_BYTES: Final = 32

MOST_IDS: Final = 100_000  # by rule; waived, up to MOST_POINTS
SESSIONS: Final = 4  # a quarter, by rule
MOST_SESSIONS: Final = 1_000  # waived
RULES: Final = ("most-ids", "sessions")
POINTS_SENT: Final = 2  # for each of the bank's and each of the list's: there and back


@dataclass(frozen=True, slots=True)
class Intersection:
    """A contract as its author wrote it."""

    name: str
    version: int
    title: str
    purpose: str
    subject_type: SubjectType
    author: str
    banks: tuple[str, ...]
    list: str
    list_place: Place = field(compare=False)
    mode: Mode
    most_ids: int
    sessions: int
    waivers: tuple[Waiver, ...]

    @classmethod
    def from_yaml(cls, data: bytes | str, path: str) -> "Intersection":
        """Read a document; raises `SourceError`."""
        document = Document.parse(data, path, KIND)
        meta = document.metadata.members(("name", "version"), ("title",))
        spec = document.spec.members(
            ("purpose", "subject", "author", "banks", MEMBER), ("waivers",)
        )
        asked = spec[MEMBER].members(
            ("list", "most_ids", "sessions_per_quarter"), ("mode",)
        )
        mode = (
            asked["mode"].word([word.value for word in Mode]) if "mode" in asked else ""
        )
        return cls(
            name=meta["name"].name(),
            version=meta["version"].integer(1, MAX_VERSION),
            title=meta["title"].text() if "title" in meta else "",
            purpose=spec["purpose"].word(tuple(PURPOSES)),
            subject_type=SubjectType(
                spec["subject"].word([word.value for word in SubjectType])
            ),
            author=spec["author"].party(),
            banks=read_parties(spec["banks"]),
            list=asked["list"].name(),
            list_place=asked["list"].place,
            mode=Mode(mode) if mode else Mode.INTERSECTION,
            most_ids=asked["most_ids"].integer(1, MOST_POINTS),
            sessions=asked["sessions_per_quarter"].integer(1, MOST_SESSIONS),
            waivers=read_waivers(spec["waivers"], RULES) if "waivers" in spec else (),
        )


@dataclass(frozen=True, slots=True)
class CompiledIntersection:
    """A contract without its words; `contracts.contract.Contract` in full."""

    id: str
    version: int
    purpose: str
    subject_type: str
    author: str
    banks: tuple[str, ...]
    list: UsedDataset
    mode: Mode
    most_ids: int
    sessions: int  # of a bank in 90 days
    waivers: tuple[Waiver, ...]
    # Names this contract: 32 bytes, the digest of `to_bytes`.
    hash: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", digest(Tag.CONTRACT, self.to_bytes()))

    @property
    def kind(self) -> ContractKind:
        """Which kind of question it asks."""
        return ContractKind.PSI

    @property
    def datasets(self) -> tuple[UsedDataset, ...]:
        """Return the list."""
        return (self.list,)

    @property
    def columns(self) -> tuple[UsedColumn, ...]:
        """Return nothing: a list has no columns."""
        return ()

    @property
    def idle(self) -> frozenset[UsedColumn]:
        """Return nothing."""
        return frozenset()

    @property
    def millibits(self) -> int:
        """Return what a session reveals of one subject: whether it is on the list."""
        return bits_of(self.mode)

    @property
    def limit_millibits(self) -> int:
        """Return what all sessions of 90 days reveal of one subject, at most."""
        return self.sessions * self.millibits

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": VERSION,
                "id": self.id,
                "version": self.version,
                "purpose": self.purpose,
                "subject_type": self.subject_type,
                "author": self.author,
                "banks": self.banks,
                "list": {
                    "id": self.list.id,
                    "schema": self.list.schema_hash.hex(),
                    "tier": self.list.tier.value,
                    "custodian": self.list.custodian,
                },
                "mode": self.mode.value,
                "most_ids": self.most_ids,
                "sessions": self.sessions,
                "waivers": [
                    {"rule": w.rule, "reason": w.reason, "signed_by": w.signed_by}
                    for w in self.waivers
                ],
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "CompiledIntersection":
        """Read strictly; raises `FormatError`, and `DocumentInvalid` for a bad sum."""
        reader = Reader(loads(data, VERSION))
        compiled = cls(
            id=reader.text("id"),
            version=reader.integer("version", 1),
            purpose=reader.text("purpose"),
            subject_type=reader.text("subject_type"),
            author=reader.text("author"),
            banks=reader.texts("banks"),
            list=_read_list(reader.reader("list")),
            mode=_read_mode(reader.text("mode")),
            most_ids=reader.integer("most_ids", 1, MOST_POINTS),
            sessions=reader.integer("sessions", 1, MOST_SESSIONS),
            waivers=tuple(_read_waiver(item) for item in reader.readers("waivers")),
        )
        reader.close()
        for broken, holds in {
            "no bank may call": bool(compiled.banks),
            "the list is sensitive": compiled.list.tier is not Tier.T3,
            "a waiver is not the custodian's": (
                {waiver.signed_by for waiver in compiled.waivers}
                <= {compiled.list.custodian}
            ),
        }.items():
            if not holds:
                raise DocumentInvalid(f"contract `{compiled.id}`: {broken}")
        return compiled


def bits_of(_mode: Mode) -> int:
    """Return the millibits that one session reveals of one subject, at most.

    One bit, in either mode: a bank may make up all its customers but one, and then
    a number says of that one what a name would.
    """
    return 1_000


def compile_intersection(
    contract: Intersection, datasets: Mapping[str, Dataset]
) -> CompiledIntersection:
    """Find the list; raises `SourceError`."""
    place = contract.list_place
    dataset = datasets.get(contract.list)
    if dataset is None:
        lists = sorted(name for name, found in datasets.items() if found.is_list)
        raise place.error(
            f"unknown list `{contract.list}`", suggest(contract.list, lists)
        )
    if not dataset.is_list:
        raise place.error(
            f"dataset `{dataset.name}` is no list",
            "a list is a dataset with `list: true` in place of columns",
        )
    if dataset.subject_type is not contract.subject_type:
        raise place.error(
            f"list `{dataset.name}` is about `{dataset.subject_type}`,"
            f" the contract about `{contract.subject_type}`"
        )
    if dataset.tier is Tier.T3:
        raise place.error(
            f"list `{dataset.name}` is of tier T3, sensitive personal data",
            "ask about one subject at a time, with its separate consent",
        )
    for waiver in contract.waivers:
        if waiver.signed_by != dataset.custodian:
            raise waiver.place.error(
                f"`{waiver.signed_by}` signs no approval of this contract",
                suggest(waiver.signed_by, [dataset.custodian]),
            )
    return CompiledIntersection(
        id=contract.name,
        version=contract.version,
        purpose=contract.purpose,
        subject_type=contract.subject_type.value,
        author=contract.author,
        banks=contract.banks,
        list=UsedDataset(
            dataset.name, dataset.schema_hash, dataset.tier, dataset.custodian
        ),
        mode=contract.mode,
        most_ids=contract.most_ids,
        sessions=contract.sessions,
        waivers=contract.waivers,
    )


def check_rules(
    compiled: CompiledIntersection, _datasets: Mapping[str, Dataset]
) -> tuple[Finding, ...]:
    """Apply the rules of the module's docstring."""
    ids, sessions = compiled.most_ids, compiled.sessions
    return waived(
        (
            Finding(RULES[0], ids <= MOST_IDS, str(ids), f"at most {MOST_IDS}"),
            Finding(
                RULES[1],
                sessions <= SESSIONS,
                f"{sessions} a quarter",
                f"at most {SESSIONS}",
            ),
        ),
        compiled.waivers,
    )


def check_examples(
    _compiled: CompiledIntersection,
    _contract: Intersection,
    _datasets: Mapping[str, Dataset],
) -> None:
    """Check nothing: what an intersection is needs no example."""


def lines(compiled: CompiledIntersection, _key_bits: int) -> tuple[Line, ...]:
    """Tell the figures of an intersection."""
    learns = {
        Mode.INTERSECTION: "which of its customers are on the list",
        Mode.CARDINALITY: "how many of its customers are on the list",
    }[compiled.mode]
    basis = (
        "public by law" if is_public(compiled) else "entries with a consent in force"
    )
    sent = POINTS_SENT * POINT_BYTES
    return (
        Line("list", f"{compiled.list.id}, {basis}", (("list", compiled.list.id),)),
        Line("learns", learns, (("mode", compiled.mode.value),)),
        Line(
            "session",
            f"at most {compiled.most_ids} customers, {compiled.sessions}"
            " sessions of a bank in 90 days",
            (("most_ids", compiled.most_ids), ("sessions", compiled.sessions)),
        ),
        Line("tells", told(compiled, "on the list or not"), ()),
        Line(
            "costs",
            f"{sent} bytes and 3 products a customer, {POINT_BYTES} bytes and 1 product"
            " an entry of the list"
            + ("" if compiled.mode is Mode.INTERSECTION else ", thrice for a count"),
            (("bytes_a_customer", sent), ("bytes_an_entry", POINT_BYTES)),
        ),
    )


def is_public(compiled: CompiledIntersection) -> bool:
    """Tell whether the list needs nobody's consent."""
    return compiled.list.tier is Tier.T0


def _read_list(reader: Reader) -> UsedDataset:
    name, schema = reader.text("id"), reader.hex("schema", HASH_BYTES)
    tier, custodian = reader.text("tier"), reader.text("custodian")
    reader.close()
    if tier not in list(Tier):
        raise FormatError(f"unknown tier `{tier}`")
    return UsedDataset(name, schema, Tier(tier), custodian)


def _read_mode(word: str) -> Mode:
    if word not in list(Mode):
        raise FormatError(f"unknown mode `{word}`")
    return Mode(word)


def _read_waiver(reader: Reader) -> Waiver:
    rule, reason = reader.text("rule"), reader.text("reason")
    waiver = Waiver(rule, reason, reader.text("signed_by"))
    reader.close()
    return waiver
