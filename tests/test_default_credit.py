"""The main proof of joint scores: every band is the one of the model's own logits.

30,000 cardholders, ten columns at three custodians and thirteen at the bank, the
logistic regression of examples/default-credit.  For every subject the parties do what
they do in a call, on their own mask, number and decryption, with a small key; the
nodes around them are in tests/test_joint.py.
"""

import csv
import gzip
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from contracts import kinds, rules
from contracts.bank_model import BankModel
from contracts.compile import evaluate
from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.errors import SourceError
from contracts.finding import Finding
from contracts.gates import Machine
from contracts.inputs import Inputs, message
from node.client import number_of
from protocols import sharing
from protocols.call import Input
from protocols.drbg import Drbg
from protocols.lookup import authority_pick, bank_open
from protocols.paillier import FixedBase, _small_key, encrypt
from protocols.slots import pack, slots_per_block
from tests.scripts import scripts

FOLDER = Path(__file__).parents[1] / "examples/default-credit"
KEY_BITS = 1024
SUBJECTS = 30_000
FEW = 1_000

Row = Mapping[str, str]


def script(name: str) -> ModuleType:
    """Import one of the folder's scripts."""
    with scripts(FOLDER, name) as found:
        module: ModuleType = getattr(found, name)
    return module


def table(name: str) -> Iterator[Row]:
    """Read a table of source/."""
    with gzip.open(FOLDER / f"source/{name}.csv.gz", "rt", newline="") as file:
        yield from csv.DictReader(file)


def documents() -> tuple[Compiled, dict[str, Dataset], BankModel]:
    """Read the folder's documents; the contract with its rules and examples."""
    datasets = {
        path.stem: Dataset.from_yaml(path.read_bytes(), path.name)
        for path in (FOLDER / "datasets").glob("*.yaml")
    }
    written = kinds.read((FOLDER / "contract.yaml").read_bytes(), "contract.yaml")
    compiled = written.admit(datasets)
    assert isinstance(compiled, Compiled)
    model = BankModel.from_yaml((FOLDER / "bank-model.yaml").read_bytes(), "model.yaml")
    return compiled, datasets, model


CONTRACT, DATASETS, MODEL = documents()
MAKE = script("make_data")


def custodians_rows(folder: Path) -> dict[str, list[Row]]:
    """Read what the custodians have of everybody."""
    found = {}
    for name in DATASETS:
        with (folder / f"{name}.csv").open(newline="") as file:
            found[name] = list(csv.DictReader(file))
    return found


class Parties:
    """House, authority and bank, as far as they compute."""

    def __init__(self) -> None:
        self.drbg = Drbg(b"default of credit card clients".ljust(32))
        self.key = _small_key(KEY_BITS, secrets.token_bytes)
        public = self.key.public
        self.slots = slots_per_block(public.bits)
        self.stored = FixedBase(public, public.stored_exponent_bits)
        self.obfuscators = FixedBase(public, public.authority_exponent_bits)
        self.machine = Machine(CONTRACT)
        self.private = X25519PrivateKey.generate()

    def grades(
        self, custodians: Mapping[str, Sequence[Row]], bank: Sequence[Row]
    ) -> Iterator[str]:
        """Score everybody, block by block."""
        public = self.key.public
        for block, first in enumerate(range(0, len(bank), self.slots)):
            slots = range(min(self.slots, len(bank) - first))
            values = np.zeros((len(CONTRACT.columns), self.slots), np.int64)
            for slot in slots:
                cells = [
                    value
                    for use in CONTRACT.datasets
                    for value in DATASETS[use.id].encode(
                        custodians[use.id][first + slot]
                    )
                ]
                values[:, slot] = cells
            columns = [
                encrypt(public, pack(row), self.stored.power(secrets.token_bytes(64)))
                for row in values
            ]
            totals = self.machine.totals(public, columns)
            items = (Input("all", 1, block.to_bytes(32, "big"), bytes(32)),)
            for slot in slots:
                yield self._call(totals, Inputs(block, slot, items), bank[first + slot])

    def _call(self, totals: Sequence[object], inputs: Inputs, row: Row) -> str:
        name = f"{inputs.block} {inputs.slot}"
        seed, salt, drawn, jti = (
            self.drbg.bytes(f"{what} {name}", size)
            for what, size in (("seed", 32), ("salt", 32), ("share", 16), ("jti", 16))
        )
        # bank
        number = number_of(CONTRACT, MODEL, row)
        mine, theirs = sharing.split(number, CONTRACT.card.m, salt, drawn)
        box = sharing.seal(self.private.public_key(), theirs, jti, CONTRACT.hash)
        # house
        gate = self.machine.gate
        made, pads = message(
            gate,
            self.obfuscators,
            totals,  # type: ignore[arg-type]
            inputs,
            seed,
            mine.value,
        )
        # authority
        rest = sharing.unseal(self.private, box, jti, CONTRACT.hash)
        picked = authority_pick(gate, self.key, made, shares=(rest,))
        # bank
        slots = (inputs.slot,)
        (code,) = bank_open(gate, picked.u, picked.rows, pads, slots, (theirs,))
        return str(dict(CONTRACT.explain(int(code)).outcome)["grade"])


def test_the_documents_are_what_the_script_makes_of_the_model(tmp_path: Path) -> None:
    """Weights, means and deviations of lr_model.json, digit for digit."""
    script("import_model").main(tmp_path)
    for name in ("contract.yaml", "bank-model.yaml"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_the_plan_tells_the_rounding_and_what_the_bank_adds() -> None:
    """In points of the score, not below what any subject can meet."""
    planned = kinds.plan(CONTRACT, DATASETS)
    lines = {line.word: line.text for line in planned.lines}
    assert lines["rounded"] == (
        "weights to 1/100000000; a score moves by at most 0.00000316"
    )
    assert lines["joint"] == (
        "the bank adds -2.2 to 0.4 of a model of its own, 19.9 % of the range;"
        " one call a subject in 30 days"
    )
    assert (CONTRACT.gate, CONTRACT.card.m, CONTRACT.card.added) == (
        "thr",
        32,
        26 * 10**7,
    )
    assert planned.broken == ()
    (waived,) = [found for found in planned.rules if not found.ok]
    assert waived.rule == "share"


def test_no_logit_is_within_the_rounding_of_a_threshold() -> None:
    """Of 30,000: so every band is the exact one.

    Beside the compiler's rounding, the published logits are of z-scores that were
    rounded to six decimals: at most 10^-6 off.
    """
    margin = Decimal(CONTRACT.rounding) + Decimal("0.000001")
    logits = [Decimal(row["logit"]) for row in table("expected_scores")]
    assert len(logits) == SUBJECTS
    gaps = [min(abs(logit - t) for logit in logits) for t in MAKE.THRESHOLDS]
    assert min(gaps) > margin
    steps = [first for first, _ in CONTRACT.card.steps[1:]]
    assert [CONTRACT.score(first) for first in steps] == [
        Fraction(t) for t in MAKE.THRESHOLDS
    ]


def test_an_example_within_the_rounding_is_refused() -> None:
    """A threshold at an observed score, give or take half a millionth."""
    text = (FOLDER / "contract.yaml").read_text()
    written = kinds.read(text, "contract.yaml")
    exact = written.source.examples[0]
    assert exact.bank is not None
    assert CONTRACT.joint is not None
    cells: dict[str, dict[str, str | None]] = {name: {} for name in DATASETS}
    for ref, value in exact.given:
        cells[ref.dataset][ref.column] = value
    number = CONTRACT.joint.added(Fraction(exact.bank), CONTRACT.scale)
    assert number is not None
    score = evaluate(CONTRACT, DATASETS, cells, number).score
    near = Decimal(score.numerator) / Decimal(score.denominator) + Decimal("5e-7")
    moved = text.replace("from: 0.1,", f"from: {near:.9f},")
    assert moved != text
    with pytest.raises(SourceError, match=r"as near to the threshold .* as rounding"):
        kinds.read(moved, "contract.yaml").admit(DATASETS)


def test_a_range_of_more_than_a_fifth_is_refused() -> None:
    """What the bank adds decides too much; a custodian would have to answer for it."""
    text = (FOLDER / "contract.yaml").read_text()
    wider = text.replace("least: -2.2, most: 0.4", "least: -2.3, most: 0.4")
    compiled = kinds.read(wider, "contract.yaml").compile(DATASETS)
    assert isinstance(compiled, Compiled)
    found = {item.rule: item for item in rules.check_rules(compiled, DATASETS)}
    assert found["joint-range"] == Finding(
        "joint-range", ok=False, figure="20.5 %", limit="at most 20 % of the range"
    )


# -- what the bank gains


@pytest.fixture(scope="module")
def gain() -> ModuleType:
    """Import the script that works it out."""
    return script("gain")


def test_the_pages_quote_the_areas(gain: ModuleType) -> None:
    """Made again from the committed data; that of the logits is the model's own."""
    areas: dict[str, float] = gain.areas()
    model = json.loads((FOLDER / "source/lr_model.json").read_text())
    assert round(areas["joint"], 6) == model["test"]["auc"]
    quoted = [f"{area:.3f}".removeprefix("0") for area in areas.values()]
    lost = f"{areas['joint'] - areas['joint, in grades']:.4f}".removeprefix("0")
    for name in ("README.md", "README.zh-CN.md"):
        text = (FOLDER / name).read_text("utf-8")
        assert re.findall(r"^\|.*\| (\.\d+) \|$", text, re.MULTILINE) == quoted
        assert lost in text


def test_the_picture_is_what_the_script_draws(gain: ModuleType) -> None:
    """Word for word, and each line to a pixel: arithmetic differs between machines."""
    number = re.compile(r"\d+\.\d")
    drawn, kept = gain.draw(), (FOLDER / "gain.svg").read_text()
    assert number.sub("", drawn) == number.sub("", kept)
    places, expected = (
        [float(text) for text in number.findall(picture)] for picture in (drawn, kept)
    )
    assert places == pytest.approx(expected, abs=1)
    assert len(places) > 4 * 2 * 8


def test_an_area_counts_pairs(gain: ModuleType) -> None:
    """One who defaulted before one who paid; equal scores are half."""
    score = np.array([1.0, 2, 2, 3, 3, 5])
    defaulted = np.array([False, True, False, True, False, True])
    pairs = [
        1.0 * (bad > paid) + 0.5 * (bad == paid)
        for bad in score[defaulted]
        for paid in score[~defaulted]
    ]
    assert gain._area(score, defaulted) == sum(pairs) / len(pairs)


# -- the main proof


def proof(folder: Path, subjects: int) -> None:
    """Hold every grade to the one of the model's logit."""
    MAKE.main(folder, subjects)
    with (folder / "bank.csv").open(newline="") as file:
        bank = list(csv.DictReader(file))
    with (folder / "expected_outcomes.csv").open(newline="") as file:
        expected = [row["grade"] for row in csv.DictReader(file)]
    assert len(expected) == len(bank) == subjects
    assert list(Parties().grades(custodians_rows(folder), bank)) == expected
    assert set(expected) == set(MAKE.GRADES)


def test_every_band_of_the_first_thousand_is_the_model_s(tmp_path: Path) -> None:
    """Through the protocol, subject by subject; none of them capped differently."""
    proof(tmp_path, FEW)


@pytest.mark.slow
def test_every_band_of_all_thirty_thousand_is_the_model_s(tmp_path: Path) -> None:
    """The 95 whose bank points are capped at -2.2 among them."""
    proof(tmp_path, SUBJECTS)
