"""The kinds of contract: what each is written as, compiled to and held to.

===========================  =========  =========================================
YAML                         kind       answers
===========================  =========  =========================================
`ScoringContract`            score      an outcome of a weighted sum, or a veto
`ScoringContract`, joint     joint      the same, with points that the bank adds
`QueryContract`, aggregate   aggregate  numbers by groups of subjects, with noise
`QueryContract`, range       range      whether a column is at least so much
`QueryContract`, verify      verify     whether a column is what a bank claims
`QueryContract`, psi         psi        which of a bank's customers are on a list
===========================  =========  =========================================

A new kind is a module that can do what a `Row` asks, one member of `ContractKind`,
and one row of `ROWS`.  Everybody who meets a contract goes through here: its author,
its custodians, both registries, the auditor.  So what one of them checks all check::

    text --read--> Written --compile--> Contract --to_bytes--> canonical bytes, hash
                           --admit----> the same, if it keeps its rules and its
                                        golden examples come out
    canonical bytes --parse--> Contract

Canonical bytes name their version in their member `v`, and their kind there or in a
member of their own; they are what is hashed, so two kinds never share a hash.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from contracts import (
    aggregate_plan,
    column_query,
    compiled,
    intersection,
    query,
    rules,
)
from contracts import plan as plans
from contracts.aggregate import KIND as QUERY
from contracts.aggregate import MEMBER as AGGREGATE
from contracts.aggregate import AggregateContract
from contracts.aggregate_compiled import VERSION as AGGREGATE_VERSION
from contracts.aggregate_compiled import Aggregate, compile_aggregate
from contracts.compile import check_examples, compile_contract
from contracts.compiled import Compiled
from contracts.contract import Contract, ContractKind
from contracts.dataset import Dataset
from contracts.errors import DocumentInvalid, KindRefused
from contracts.finding import Finding, refuse
from contracts.plan import Line, Plan
from contracts.scoring import KIND as SCORING
from contracts.scoring import ScoringContract
from contracts.source import Document, suggest
from protocols.canon import version_of
from protocols.errors import FormatError

Datasets = Mapping[str, Dataset]
S = TypeVar("S")
C = TypeVar("C", bound=Contract)


@dataclass(frozen=True, slots=True)
class Row(Generic[S, C]):
    """What a kind can do; every function raises `ContractError`."""

    kind: ContractKind
    written: str  # `kind` of its YAML document
    member: str  # of its `spec`, that tells it from others so written; or nothing
    versions: tuple[str, ...]  # `v` of its canonical bytes
    read: Callable[[bytes | str, str], S]  # text, path
    compile: Callable[[S, Datasets], C]
    check_rules: Callable[[C, Datasets], tuple[Finding, ...]]
    check_examples: Callable[[C, S, Datasets], None]
    parse: Callable[[bytes], C]  # raises `FormatError`, too
    lines: Callable[[C, int], tuple[Line, ...]]  # of a plan, with bits of the key
    verb: str  # the command that asks it


def _no_examples(*_: object) -> None:
    """Pass: what a statistic comes to hangs on everybody's data, and on dice."""


ROWS: Final[tuple[Row[Any, Any], ...]] = (
    Row(
        kind=ContractKind.SCORE,
        written=SCORING,
        member="",
        versions=(compiled.VERSION, compiled.KIND_VERSION),
        read=ScoringContract.from_yaml,
        compile=compile_contract,
        check_rules=rules.check_rules,
        check_examples=check_examples,
        parse=Compiled.parse,
        lines=plans.score_lines,
        verb="score",
    ),
    Row(
        kind=ContractKind.AGGREGATE,
        written=QUERY,
        member=AGGREGATE,
        versions=(AGGREGATE_VERSION,),
        read=AggregateContract.from_yaml,
        compile=compile_aggregate,
        check_rules=aggregate_plan.check_rules,
        check_examples=_no_examples,
        parse=Aggregate.parse,
        lines=aggregate_plan.lines,
        verb="query",
    ),
    Row(
        kind=ContractKind.RANGE,
        written=query.KIND,
        member=ContractKind.RANGE.value,
        versions=(compiled.KIND_VERSION,),
        read=column_query.read_range,
        compile=column_query.compile_query,
        check_rules=column_query.check_rules,
        check_examples=column_query.check_examples,
        parse=Compiled.parse,
        lines=column_query.lines,
        verb="range",
    ),
    Row(
        kind=ContractKind.VERIFY,
        written=query.KIND,
        member=ContractKind.VERIFY.value,
        versions=(compiled.KIND_VERSION,),
        read=column_query.read_verify,
        compile=column_query.compile_query,
        check_rules=column_query.check_rules,
        check_examples=column_query.check_examples,
        parse=Compiled.parse,
        lines=column_query.lines,
        verb="verify",
    ),
    Row(
        kind=ContractKind.PSI,
        written=intersection.KIND,
        member=intersection.MEMBER,
        versions=(intersection.VERSION,),
        read=intersection.Intersection.from_yaml,
        compile=intersection.compile_intersection,
        check_rules=intersection.check_rules,
        check_examples=intersection.check_examples,
        parse=intersection.CompiledIntersection.parse,
        lines=intersection.lines,
        verb="psi",
    ),
    Row(
        kind=ContractKind.JOINT,
        written=SCORING,
        member=ContractKind.JOINT.value,
        versions=(compiled.KIND_VERSION,),
        read=ScoringContract.from_yaml,
        compile=compile_contract,
        check_rules=rules.check_rules,
        check_examples=check_examples,
        parse=Compiled.parse,
        lines=plans.score_lines,
        verb="score --model",
    ),
)

_BY_KIND: Final = {row.kind: row for row in ROWS}
WRITTEN: Final = tuple(dict.fromkeys(row.written for row in ROWS))


@dataclass(frozen=True, slots=True)
class Written:
    """A contract as its author wrote it, and the row of its kind."""

    row: Row[Any, Any]
    source: Any

    def compile(self, datasets: Datasets) -> Contract:
        """Compile it against the datasets it names."""
        found: Contract = self.row.compile(self.source, datasets)
        if found.kind is not self.row.kind:
            raise AssertionError(f"`{self.row.kind}` compiled to `{found.kind}`")
        return found

    def admit(self, datasets: Datasets) -> Contract:
        """Compile it, and hold it to its rules and to its golden examples."""
        found = self.compile(datasets)
        refuse(found.id, self.row.check_rules(found, datasets))
        self.row.check_examples(found, self.source, datasets)
        return found


def read(text: bytes | str, path: str) -> Written:
    """Read a contract of any kind; raises `SourceError`, `DocumentInvalid`."""
    document = Document.parse(text, path)
    rows = [row for row in ROWS if row.written == document.kind]
    if not rows:
        raise DocumentInvalid(
            f"{path}: a `{document.kind}` is not a contract",
            suggest(document.kind, WRITTEN),
        )
    for row in sorted(rows, key=lambda row: not row.member):
        if not row.member or document.spec.has(row.member):
            return Written(row, row.read(text, path))
    expected = ", ".join(f"`{row.member}`" for row in rows)
    raise document.spec.error(f"expected one of {expected}")


def parse(data: bytes) -> Contract:
    """Read the canonical bytes of a contract of any kind, strictly.

    Raises `FormatError` for bytes not in a known format, `DocumentInvalid` for
    integers that do not fit each other.
    """
    version = version_of(data)
    for row in ROWS:
        if version in row.versions:
            found: Contract = row.parse(data)
            return found
    raise FormatError(f"`{version}` is no format of a contract")


def require(contract: Contract, asked: ContractKind) -> Compiled:
    """Return a contract that runs over a block of slots, and is of the kind asked.

    Raises `KindRefused`, which names what it answers.
    """
    if isinstance(contract, Compiled) and contract.kind == asked:
        return contract
    raise KindRefused(
        f"contract `{contract.id}` answers `{contract.kind}`, not `{asked}`",
        f"ask it with `safehouse {_row(contract).verb}`",
    )


def plan(
    contract: Contract,
    datasets: Datasets,
    approved: Collection[str] = (),
    key_bits: int = 3072,
) -> Plan:
    """Work out what a contract touches, tells and costs."""
    row = _row(contract)
    found, lines = row.check_rules(contract, datasets), row.lines(contract, key_bits)
    return plans.plan(contract, datasets, found, lines, approved)


def _row(contract: Contract) -> Row[Any, Any]:
    return _BY_KIND[contract.kind]
