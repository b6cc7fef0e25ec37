"""What whole programmes do alike on their trust domain, each step by its own party."""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from contracts.attributes import PublicAttributes
from contracts.basis import STRICT, Accepted, Basis
from contracts.classes import Class
from contracts.contract import Contract as Compiled
from contracts.contract import custodians
from contracts.dataset import Dataset, Tier
from contracts.subject import SubjectType
from examples.plain import Facts, Told, first_column
from node import clock
from node.aggregate_client import Statistic
from node.auditor import Auditor
from node.author import Author
from node.client import BankClient, Contract
from node.custodian import Collected, Custodian
from node.demo import Stage, hand_over
from node.errors import Denied, NodeError
from node.evidence import read_openings, read_receipts
from node.initialise import read_members
from node.job_client import Filter, JobClient
from node.keys import AuditorKeys, BankKeys, CustodianKeys, RegistrarKeys
from node.registrar import ImportReport, Registrar
from node.verify import verify

Programme: TypeAlias = Callable[[Path, argparse.Namespace], Facts]


# Beside consent a programme has statistics; the strict rule accepts none.
BASES: Final = STRICT.with_rows(
    [Accepted(Basis.AGGREGATE, (Tier.T0, Tier.T1, Tier.T2))]
)


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


@contextmanager
def trust_domain(
    parties: Path,
    folder: Path,
    key_bits: int,
    in_charge: Mapping[SubjectType, str],
    classes: tuple[Class, ...] = (),
) -> Iterator[Stage]:
    """Make the trust domain of a table of parties in `folder / "domain"`; run it.

    `in_charge` are the departments with the base registers.
    """
    members, registers = read_members(parties), tuple(in_charge.items())
    place = folder / "domain"
    with Stage(place, key_bits, members, registers, classes, BASES) as stage:
        say(f"0  Trust domain of {len(stage.trust.parties)} parties; two nodes listen")
        yield stage


def put_register(stage: Stage, custodian: str, table: Path, document: Path) -> str:
    """Give every subject of a table a slot, publish its attributes; count them.

    Identifiers stand in the table's first column.
    """
    shown = PublicAttributes.from_yaml(document.read_bytes(), document.name)
    column, kind = first_column(table), shown.subject_type
    with Custodian(*stage.party(custodian, CustodianKeys)) as desk:
        made = desk.put_register(kind, table, column, clock.now_ms())
        put = desk.put_attributes(shown, table, clock.now_ms(), column=column)
    return (
        f"{table.stem}: {made.row_map.rows} in {made.row_map.blocks} blocks of"
        f" {made.row_map.slots}; {put.moved} of small cells moved to another trade"
    )


def documents(folder: Path, tables: Path | None = None) -> list[Dataset]:
    """Read the documents of datasets: of all, or of those whose tables are there."""
    return [
        Dataset.from_yaml(path.read_bytes(), path.name)
        for path in sorted(folder.glob("*.yaml"))
        if tables is None or (tables / f"{path.stem}.csv").exists()
    ]


def push(
    stage: Stage,
    datasets: Iterable[Dataset],
    table: Callable[[str], Path],
    period: str,
) -> int:
    """Have each department register and push its datasets; count the ciphertexts.

    `table` is where a dataset's table lies; identifiers stand in its first column.
    """
    ciphertexts = 0
    for custodian, its in by_department(datasets).items():
        with Custodian(*stage.party(custodian, CustodianKeys)) as desk:
            for dataset in its:
                desk.register(dataset)
                path, now = table(dataset.name), clock.now_ms()
                pushed = desk.push(
                    dataset, path, period, now, column=first_column(path)
                )
                ciphertexts += pushed.manifest.blocks * pushed.manifest.columns
    return ciphertexts


def by_department(datasets: Iterable[Dataset]) -> dict[str, list[Dataset]]:
    """Gather the datasets of each department."""
    found: dict[str, list[Dataset]] = {}
    for dataset in datasets:
        found.setdefault(dataset.custodian, []).append(dataset)
    return found


def at_node(stage: Stage, custodian: str) -> dict[str, Collected]:
    """List what the house holds, by dataset: what departments signed of it."""
    with Custodian(*stage.party(custodian, CustodianKeys)) as desk:
        return {each.dataset.name: each for each in desk.collection()}


def put_in_force(stage: Stage, author: str, path: Path) -> tuple[Compiled, int]:
    """Submit a contract, have its departments sign, activate it; count them."""
    with Author(*stage.party(author, BankKeys)) as desk:
        compiled = desk.submit(path.read_text("utf-8"), path.name)
        signing = sorted(custodians(compiled.datasets))
        for party in signing:
            with Custodian(*stage.party(party, CustodianKeys)) as custodian:
                custodian.approve(compiled.hash)
        desk.activate(compiled.hash)
    return compiled, len(signing)


def import_consents(
    stage: Stage, folder: Path, kind: SubjectType, suffix: str = ""
) -> ImportReport:
    """Import what subjects authorised, and what they withdrew since."""
    given, after = (folder / f"{name}{suffix}.csv" for name in ("consents", "events"))
    with Registrar(*stage.party("registrar", RegistrarKeys)) as registrar:
        return registrar.import_consents(given, after, kind, clock.now_ms())


def ask(bank: BankClient, contract: str | Contract, subject: str, consent: str) -> Told:
    """Ask one question; a denial is an answer too."""
    try:
        got = bank.score(contract, subject, consent=consent)
    except Denied as denial:
        return Told("denied", denial.reason)
    return Told(got.kind.value, got.reason, dict(got.fields))


def look_up(bank: BankClient, contract: str, subject: str, consent: str) -> Told:
    """Ask whether a number is at least so much; a denial is an answer too."""
    try:
        return Told(bank.range(contract, subject, consent=consent).answer)
    except Denied as denial:
        return Told("denied", denial.reason)


def job(
    stage: Stage,
    bank: str,
    contract: str,
    pairs: Iterable[tuple[str, str]],
    where: Filter | None = None,
) -> dict[str, Told]:
    """Ask about a whole list of subjects and their consents in one job."""
    with JobClient(*stage.party(bank, BankKeys)) as jobs:
        name = jobs.submit(contract, pairs, where=where)
        jobs.fetch(name)
        return {
            each.subject: Told(each.kind, each.reason, dict(each.fields))
            for each in jobs.results(name)
        }


def scored(results: Mapping[str, Told]) -> dict[str, Told]:
    """Keep those with a score."""
    return {s: told for s, told in results.items() if told.kind == "scored"}


def counts(kinds: Mapping[str, int]) -> str:
    """Write how many of each."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def within_margins(answer: Statistic, true: Callable[[str], Sequence[int]]) -> str:
    """Compare a statistic with true counts of each group, by its first label."""
    within = figures = 0
    for group in answer.groups:
        for count, figure in zip(true(group.labels[0]), group.figures, strict=True):
            if figure.value is None or figure.margin is None:
                raise NodeError("a count without a figure")
            figures += 1
            within += abs(figure.value - count) <= figure.margin
    return f"{within} of {figures} figures within their margin"


def audit(stage: Stage, folder: Path, banks: Iterable[str]) -> str:
    """Export both journals into `folder / "audit"`; verify them with the receipts."""
    export, receipts = folder / "audit", folder / "receipts.jsonl"
    openings = folder / "openings.jsonl"
    hand_over(stage, banks, receipts, openings)
    with Auditor(*stage.party("auditor-a", AuditorKeys)) as auditor:
        auditor.export(export)
    report = verify(
        export,
        stage.trust,
        receipts=read_receipts(receipts),
        openings=read_openings(openings),
    )
    report.check()
    return (
        f"{report.decisions_replayed} decisions replayed, {report.receipts} receipts"
        f" agree; verdict {report.verdict}"
    )


def main(doc: str | None, name: str, sizes: Mapping[str, int], run: Programme) -> None:
    """Run a programme from the command line; `sizes` are options with defaults."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for option, default in sizes.items():
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--key-bits", type=int, default=2048)
    parser.add_argument("--keep", type=Path, help="a new folder for all that is made")
    options = parser.parse_args()
    began = clock.monotonic_ms()
    folder = options.keep or Path(tempfile.mkdtemp(prefix=f"{name}-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        facts = run(folder, options)
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    say(f"{facts.mismatches} of {facts.compared} outcomes differ from plain Python")
    say(f"all done in {(clock.monotonic_ms() - began) / 1000:.0f} s")
    if facts.mismatches:
        raise SystemExit(1)
