"""examples/tax-check, enterprise by enterprise, on a fresh trust domain.

The plain table is the oracle: every range answer, and for each enterprise a claim at
its declared sales, at the end of the tolerance and a fen beyond it.
"""

import csv
import importlib.util
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

from contracts.dataset import Dataset
from contracts.subject import SubjectType
from node import clock
from node.author import Author
from node.client import BankClient
from node.keys import BankKeys
from tests.simulator import World

FOLDER = Path(__file__).parents[1] / "examples/tax-check"
DATA = FOLDER / "data"
FLOOR, TOLERANCE, FEN = Decimal(5_000_000), Decimal(100), Decimal("0.01")


def make_data() -> ModuleType:
    """Load the script that makes the tables."""
    spec = importlib.util.spec_from_file_location("tax_data", FOLDER / "make_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared() -> dict[str, Decimal | None]:
    """Read what every enterprise of the register declared; None: nothing."""
    found: dict[str, Decimal | None] = {}
    with (DATA / "register.csv").open(encoding="utf-8") as file:
        found |= {row["subject_id"]: None for row in csv.DictReader(file)}
    with (DATA / "tax.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found[row["subject_id"]] = Decimal(row["申报销售额"])
    return found


def test_the_tables_come_out_again(tmp_path: Path) -> None:
    """Byte for byte."""
    make_data().main(tmp_path)
    made, kept = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (tmp_path, DATA)
    )
    assert made == kept != {}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankClient]:
    """Do what the page does: register, push, submit, approve, activate, import."""
    now_ms, uscc = clock.now_ms(), SubjectType.CN_USCC
    with World(tmp_path_factory.mktemp("tax")) as world:
        tax = Dataset.from_yaml((FOLDER / "datasets/tax.yaml").read_text(), "tax.yaml")
        with world.custodian("credit-bureau") as custodian:
            custodian.put_register(uscc, DATA / "register.csv", "subject_id", now_ms)
            custodian.register(tax)
            custodian.push(tax, DATA / "tax.csv", "2024", now_ms)
            keys = world.keys("jnrcb", BankKeys)
            with Author(world.config("jnrcb"), keys, world.domain) as author:
                for name in ("turnover-floor", "turnover-check"):
                    text = (FOLDER / f"{name}.yaml").read_text("utf-8")
                    submitted = author.submit(text, name)
                    assert custodian.approve(submitted.hash).missing == ()
                    author.activate(submitted.hash)
        with world.registrar() as registrar:
            registrar.import_consents(DATA / "consents.csv", None, uscc, now_ms)
        with world.bank("jnrcb") as client:
            yield client


SUBJECTS = list(enumerate(declared().items(), 1))


@pytest.mark.parametrize(("number", "subject"), SUBJECTS, ids=lambda s: str(s)[:24])
def test_every_answer_is_the_plain_one(
    bank: BankClient, number: int, subject: tuple[str, Decimal | None]
) -> None:
    """One threshold and two claims: the quota of a quarter."""
    name, sold = subject
    consent = f"tc-{number:02}"
    checked = bank.range("turnover-floor", name, consent=consent)
    missing = "insufficient_data"
    least = missing if sold is None else "at_least" if sold >= FLOOR else "below"
    assert checked.answer == least
    at = Decimal(0) if sold is None else sold
    sign = -1 if at > FLOOR else 1  # towards the middle of the column
    claims = (
        (at + sign * TOLERANCE, "match"),
        (at + sign * (TOLERANCE + FEN), "mismatch"),
    )
    for claim, expected in claims:
        answer = bank.verify("turnover-check", name, str(claim), consent=consent).answer
        assert answer == (missing if sold is None else expected)
