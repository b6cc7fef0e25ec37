"""What whole programmes do alike on their trust domain, each step by its own party."""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from contracts.attributes import PublicAttributes
from contracts.contract import Contract as Compiled
from contracts.contract import custodians
from contracts.dataset import Dataset
from contracts.subject import SubjectType
from examples.plain import Facts, Told
from node import catalogue, clock
from node.aggregate_client import Statistic
from node.attribute_puts import AttributesReceipt
from node.auditor import Auditor
from node.author import Author
from node.catalogue import Listed
from node.client import BankClient, Contract
from node.custodian import Custodian
from node.demo import Stage, hand_over
from node.domain import Role
from node.errors import Denied, NodeError
from node.evidence import read_openings, read_receipts
from node.job_client import JobClient
from node.keys import AuditorKeys, BankKeys, CustodianKeys, RegistrarKeys
from node.maps import MapReceipt
from node.registrar import ImportReport, Registrar
from node.remote import channel
from node.verify import verify

Programme: TypeAlias = Callable[[Path, argparse.Namespace], Facts]


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def documents(folder: Path) -> list[Dataset]:
    """Read the documents of a folder."""
    paths = sorted(folder.glob("*.yaml"))
    return [Dataset.from_yaml(path.read_bytes(), path.name) for path in paths]


def put_register(
    stage: Stage, custodian: str, table: Path, column: str, document: Path
) -> tuple[MapReceipt, AttributesReceipt]:
    """Give every subject of a table a slot; publish its attributes."""
    attributes = PublicAttributes.from_yaml(document.read_bytes(), document.name)
    with Custodian(*stage.party(custodian, CustodianKeys)) as desk:
        kind = attributes.subject_type
        made = desk.put_register(kind, table, column, clock.now_ms())
        put = desk.put_attributes(attributes, table, clock.now_ms(), column=column)
    return made, put


def push(
    stage: Stage,
    datasets: Iterable[Dataset],
    table: Callable[[Dataset], Path],
    columns: Mapping[SubjectType, str],
    vintage: str,
) -> tuple[int, int]:
    """Have each department push its datasets; count departments and ciphertexts.

    `columns` name the subject in the tables.
    """
    its: dict[str, list[Dataset]] = {}
    for dataset in datasets:
        its.setdefault(dataset.custodian, []).append(dataset)
    ciphertexts = 0
    for custodian, mine in its.items():
        with Custodian(*stage.party(custodian, CustodianKeys)) as desk:
            for dataset in mine:
                desk.register(dataset)
                pushed = desk.push(
                    dataset,
                    table(dataset),
                    vintage,
                    clock.now_ms(),
                    column=columns[dataset.subject_type],
                )
                ciphertexts += pushed.manifest.blocks * pushed.manifest.columns
    return len(its), ciphertexts


def at_node(stage: Stage, custodian: str) -> dict[str, Listed]:
    """List what the house holds, by dataset: what departments signed of it."""
    settings, held, trust = stage.party(custodian, CustodianKeys)
    link = channel(settings.house, held.tls, trust, Role.HOUSE)
    try:
        listed = catalogue.fetch(link, trust, settings.limits.deadline_ms / 1000)
    finally:
        link.close()
    return {item.dataset.name: item for item in listed}


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
    pairs: Sequence[tuple[str, str]],
    where: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Told]:
    """Ask about a whole list, of subjects with their consents, by one job."""
    with JobClient(*stage.party(bank, BankKeys)) as jobs:
        name = jobs.submit(contract, pairs, where=where or {})
        jobs.fetch(name)
        return {
            each.subject: Told(each.kind, each.reason, dict(each.fields))
            for each in jobs.results(name)
        }


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
