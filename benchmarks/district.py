"""A whole district, from plaintext to outcomes, on one machine.

A synthetic district of any size: three custodians with 12 indicators and 10 adverse
flags a subject each, one bank with one contract over all 66 columns, house and
authority as two processes with mTLS and durable journals.  Nobody in it exists; the
distributions are made up, and chosen so that every kind of answer occurs:

    indicators   0 to 10, binomial(10, p), p uniform in 0.2 .. 0.8 a column
    flags        1 with probability 0.002, independent
    rows         a custodian has no row of 1 subject in 100
    consents     98 of 100 subjects consent, each once, to this bank

What is timed, wall clock but for `decrypt_s`:

    encrypt_s    custodians' CSV tables to stored blocks, one custodian at a time
    score_s      the job handed in, to every outcome released by the house
    decrypt_s    of which the authority's processor time, its permits included
    total_s      the job handed in, to every outcome checked by the bank

Every outcome is compared with plain integers; those who did not consent must have
none.  `--workers N` gives the whole of it N cores, and the house N processes.

    python benchmarks/district.py --subjects 20000 --workers 2 --json district.json
"""

import json
import os
import secrets
import shutil
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from machine import command_line, publish
from numpy.typing import NDArray

from contracts.consent_csv import CONSENT_COLUMNS
from contracts.dataset import Dataset
from contracts.subject import SubjectType
from examples.synthetic import consent, write
from node import clock
from node.author import Author
from node.children import Child
from node.custodian import Custodian
from node.demo import Stage
from node.job_client import JobClient
from node.keys import BankKeys, CustodianKeys, RegistrarKeys
from node.registrar import Registrar
from protocols import native

CUSTODIANS: Final = ("credit-bureau", "social-insurance", "housing-loans")
CATEGORIES: Final = ("信贷", "社保", "住房公积金")
BANK: Final = "jnrcb"
INDICATORS: Final = 12  # of a custodian
FLAGS: Final = 10
LIMIT: Final = 10  # of an indicator
GRADES: Final = ("D", "C", "B", "BB", "BBB", "A", "AA", "AAA")


@dataclass
class Figures:
    """What `--json` writes."""

    subjects: int
    columns: int
    key_bits: int
    backend: str
    workers: int
    encrypt_s: float = 0.0
    consents_s: float = 0.0
    score_s: float = 0.0
    decrypt_s: float = 0.0
    total_s: float = 0.0
    house_cpu_s: float = 0.0
    bank_cpu_s: float = 0.0
    peak_rss_mb: float = 0.0
    house_rss_mb: float = 0.0
    authority_rss_mb: float = 0.0
    bank_rss_mb: float = 0.0
    bytes_per_subject: float = 0.0
    permitted: int = 0
    outcomes: dict[str, int] | None = None
    mismatches: int = -1


@dataclass
class District:
    """Everybody's plaintext, and what must come of it."""

    ids: list[str]
    values: NDArray[np.int64]  # (custodians, subjects, indicators)
    flags: NDArray[np.int64]  # (custodians, subjects, flags)
    present: NDArray[np.bool_]  # (custodians, subjects)
    consenting: NDArray[np.bool_]
    weights: NDArray[np.int64]  # (custodians, indicators)

    @classmethod
    def draw(cls, subjects: int, seed: int) -> "District":
        """Draw a district."""
        drawn = np.random.default_rng(seed)
        count = len(CUSTODIANS)
        p = drawn.uniform(0.2, 0.8, (count, 1, INDICATORS))
        return cls(
            [f"synthetic-{number:07d}" for number in range(subjects)],
            drawn.binomial(LIMIT, p, (count, subjects, INDICATORS)),
            (drawn.random((count, subjects, FLAGS)) < 0.002).astype(np.int64),
            drawn.random((count, subjects)) >= 0.01,
            drawn.random(subjects) < 0.98,
            drawn.integers(1, 22, (count, INDICATORS)),
        )

    @property
    def top(self) -> int:
        """The highest score."""
        return int(self.weights.sum()) * LIMIT

    @property
    def edges(self) -> list[int]:
        """Where the grades begin."""
        return [self.top * i // len(GRADES) for i in range(1, len(GRADES))]

    def expected(self) -> list[str]:
        """Say in plain integers what each subject's outcome must be."""
        scores = np.einsum("cni,ci->n", self.values, self.weights)
        grades = np.array(GRADES)[np.searchsorted(self.edges, scores, side="right")]
        told = np.where(self.flags.any(axis=(0, 2)), "vetoed", grades)
        told = np.where(self.present.all(axis=0), told, "insufficient_data")
        return np.where(self.consenting, told, "denied").tolist()

    def write(self, folder: Path) -> None:
        """Write what custodians, bank and registrar hand in."""
        write(folder / "register.csv", ["subject_id"], [[name] for name in self.ids])
        for number, custodian in enumerate(CUSTODIANS):
            names = [f"i{i}" for i in range(INDICATORS)]
            names += [f"f{i}" for i in range(FLAGS)]
            cells = np.hstack([self.values[number], self.flags[number]]).tolist()
            rows = (
                [name, *row]
                for name, row, there in zip(
                    self.ids, cells, self.present[number].tolist(), strict=True
                )
                if there
            )
            write(folder / f"{custodian}.csv", ["subject_id", *names], rows)
        rows = (
            consent(f"c-{name}", name, BANK, "pre-approval", "contract:district")
            for name, given in zip(self.ids, self.consenting.tolist(), strict=True)
            if given
        )
        write(folder / "consents.csv", CONSENT_COLUMNS, rows)

    def contract(self) -> str:
        """Write the contract."""
        groups = ""
        for number, custodian in enumerate(CUSTODIANS):
            groups += f"    - name: {custodian}\n      indicators:\n"
            for i, weight in enumerate(self.weights[number].tolist()):
                column = f"{custodian}.i{i}"
                groups += f"        - {{column: {column}, per_unit: {weight}}}\n"
        flags = ", ".join(f"{c}.f{i}" for c in CUSTODIANS for i in range(FLAGS))
        bands = "".join(
            f", {{from: {edge}, value: {grade}}}"
            for edge, grade in zip(self.edges, GRADES[1:], strict=True)
        )
        return CONTRACT.format(
            bank=BANK,
            groups=groups,
            flags=flags,
            bands=f"{{value: {GRADES[0]}}}{bands}",
            width=self.top // len(GRADES),
        )


CONTRACT: Final = """
apiVersion: safehouse/v1
kind: ScoringContract
metadata: {{name: district, version: 1, title: 白名单预授信（合成数据）}}
spec:
  purpose: pre-approval
  subject: opaque
  author: {bank}
  banks: [{bank}]
  base: 0
  groups:
{groups}
  vetoes:
    - {{reason: adverse, flags: [{flags}]}}
  outcome:
    grade: {{bands: [{bands}]}}
  release: {{most_outcomes: 8, narrowest_band: {width}, bits_per_90_days: 12}}
  examples:
    - {{given: {{}}, insufficient_data: true}}
"""

DATASET: Final = """
apiVersion: safehouse/v1
kind: Dataset
metadata: {{name: {name}, version: 1, title: 合成数据}}
spec:
  custodian: {name}
  unit: 合成数据
  category: {category}
  cycle: monthly
  tier: T1
  subject: opaque
  columns:
{columns}
"""


def dataset_of(number: int) -> Dataset:
    """Make a custodian's dataset document."""
    columns = "".join(
        f"    - {{name: i{i}, integer: {{min: 0, max: {LIMIT}}}}}\n"
        for i in range(INDICATORS)
    ) + "".join(f"    - {{name: f{i}, flag: {{}}}}\n" for i in range(FLAGS))
    name, category = CUSTODIANS[number], CATEGORIES[number]
    text = DATASET.format(name=name, category=category, columns=columns)
    return Dataset.from_yaml(text, f"{name}.yaml")


class Measured(Stage):
    """A trust domain whose nodes are watched."""

    def __init__(self, folder: Path, key_bits: int, workers: int) -> None:
        super().__init__(folder, key_bits)
        self.children: dict[str, Child] = {}
        settings = folder / "house" / "safehouse.toml"
        text = settings.read_text()
        if "[limits]" in text:
            raise SystemExit("the house's limits are set already")
        settings.write_text(f"{text}\n[limits]\nworkers = {workers}\n")

    def start(self, party: str) -> Child:
        """Run a node, and remember its process."""
        self.children[party] = super().start(party)
        return self.children[party]

    def cpu_s(self, party: str) -> float:
        """Return the processor time of a node, its workers included."""
        return sum(map(cpu_of, family(self.children[party].pid)))

    def rss_mb(self, party: str) -> float:
        """Return the largest memory that a process of a node has had so far."""
        return max(map(rss_of, family(self.children[party].pid)))


def family(pid: int) -> list[int]:
    """List a process and its children."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(word) for task in tasks for word in task.read_text().split()]
    return [pid, *(each for child in children for each in family(child))]


def cpu_of(pid: int) -> float:
    """Return a process's user and system time, with that of children it has lost."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def rss_of(pid: int) -> float:
    """Return the largest memory a process has had, mapped files included: MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (item for item in status.splitlines() if item.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def prepare(stage: Measured, folder: Path, district: District, out: Figures) -> None:
    """Push the data, put the contract in force, import the consents."""
    began = time.perf_counter()
    ciphertexts = 0
    for number, name in enumerate(CUSTODIANS):
        with Custodian(*stage.party(name, CustodianKeys), out.workers) as custodian:
            if number == 0:
                register = folder / "register.csv"
                kind, now_ms = SubjectType.OPAQUE, clock.now_ms()
                custodian.put_register(kind, register, "subject_id", now_ms)
                began = time.perf_counter()  # the register is no encryption
            dataset = dataset_of(number)
            custodian.register(dataset)
            table = folder / f"{name}.csv"
            pushed = custodian.push(dataset, table, "2026", clock.now_ms())
            ciphertexts += pushed.manifest.blocks * pushed.manifest.columns
    out.encrypt_s = round(time.perf_counter() - began, 2)
    record = stage.trust.paillier.ciphertext_bytes
    out.bytes_per_subject = round(ciphertexts * record / out.subjects, 1)
    say(f"pushed in {out.encrypt_s} s, {out.bytes_per_subject} bytes a subject")
    with Author(*stage.party(BANK, BankKeys)) as author:
        compiled = author.submit(district.contract(), "district.yaml")
        for name in CUSTODIANS:
            with Custodian(*stage.party(name, CustodianKeys)) as custodian:
                custodian.approve(compiled.hash)
        author.activate(compiled.hash)
    began = time.perf_counter()
    with Registrar(*stage.party("registrar", RegistrarKeys)) as registrar:
        registrar.import_consents(
            folder / "consents.csv", None, SubjectType.OPAQUE, clock.now_ms()
        )
    out.consents_s = round(time.perf_counter() - began, 2)
    say(f"consents imported in {out.consents_s} s")


def score(stage: Measured, district: District, out: Figures) -> None:
    """Run the job; compare every outcome."""
    pairs = [(name, f"c-{name}") for name in district.ids]
    before = {party: stage.cpu_s(party) for party in stage.children}
    cpu = time.process_time()
    with (
        JobClient(*stage.party(BANK, BankKeys)) as jobs,
        JobClient(*stage.party(BANK, BankKeys)) as watching,
    ):
        began = time.perf_counter()
        job = jobs.submit("district", pairs)
        say(f"job handed in after {time.perf_counter() - began:.1f} s")

        def watch() -> None:
            for progress in watching.watch(job):
                if progress.state.ended:
                    out.score_s = round(time.perf_counter() - began, 2)
                    say(f"{progress.state} after {out.score_s} s")

        watcher = threading.Thread(target=watch)
        watcher.start()
        jobs.fetch(job)
        out.total_s = round(time.perf_counter() - began, 2)
        watcher.join()
        out.bank_cpu_s = round(time.process_time() - cpu, 2)
        after = {party: stage.cpu_s(party) for party in stage.children}
        results = jobs.results(job)
    out.decrypt_s = round(after["authority"] - before["authority"], 2)
    out.house_cpu_s = round(after["house"] - before["house"], 2)
    out.house_rss_mb = round(stage.rss_mb("house"), 1)
    out.authority_rss_mb = round(stage.rss_mb("authority"), 1)
    out.bank_rss_mb = round(rss_of(os.getpid()), 1)
    out.peak_rss_mb = max(out.house_rss_mb, out.authority_rss_mb, out.bank_rss_mb)
    out.outcomes = results.counts()
    told = [str(r.fields.get("grade", "")) or r.kind for r in results]
    expected = district.expected()
    out.permitted = int(district.consenting.sum())
    out.mismatches = sum(a != b for a, b in zip(told, expected, strict=True))


def main() -> None:
    """Run from the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--subjects", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--key-bits", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where; removed afterwards")
    options = parser.parse_args()
    os.sched_setaffinity(0, range(options.workers))
    out = Figures(
        options.subjects,
        len(CUSTODIANS) * (INDICATORS + FLAGS),
        options.key_bits,
        "native" if native.available(options.key_bits) else "gmpy2",
        options.workers,
    )
    place = options.folder or Path(tempfile.gettempdir())
    folder = place / f"district-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700, parents=True)
    try:
        district = District.draw(options.subjects, options.seed)
        district.write(folder)
        say(f"{out.subjects} synthetic subjects; {out.backend}, {out.key_bits} bits")
        with Measured(folder / "domain", options.key_bits, options.workers) as stage:
            prepare(stage, folder, district, out)
            score(stage, district, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(json.dumps(asdict(out), indent=2, ensure_ascii=False))
    publish(asdict(out), options.json)
    if out.mismatches:
        raise SystemExit(f"{out.mismatches} outcomes are wrong")


if __name__ == "__main__":
    main()
