"""The main job through the clients alone: register, push, approve, consent, score."""

import csv
from collections.abc import Iterator

import pytest

from contracts.compiled import Answer
from contracts.dataset import Dataset
from contracts.subject import SubjectType
from node.author import Author
from node.clock import now_ms
from node.errors import Denied
from node.keys import BankKeys
from tests.german import FOLDER, expected
from tests.simulator import World

CUSTODIANS = ("credit-bureau", "social-insurance", "housing-loans")
ASKED = 60  # subjects


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Do everything up to the first question, as the parties would."""
    data = FOLDER / "data"
    with World(tmp_path_factory.mktemp("town")) as world:
        with world.custodian("credit-bureau") as custodian:
            register = data / "register.csv"
            custodian.put_register(SubjectType.OPAQUE, register, "subject_id", now_ms())
        for name in CUSTODIANS:
            document = (FOLDER / f"datasets/{name}.yaml").read_bytes()
            dataset = Dataset.from_yaml(document, f"{name}.yaml")
            with world.custodian(name) as custodian:
                custodian.register(dataset)
                custodian.push(dataset, data / f"{name}.csv", "2025", now_ms())
        held = world.keys("jnrcb", BankKeys)
        with Author(world.config("jnrcb"), held, world.domain) as author:
            source = (FOLDER / "contract.yaml").read_text("utf-8")
            contract = author.submit(source, "contract.yaml").hash
            for name in CUSTODIANS:
                with world.custodian(name) as custodian:
                    approved = custodian.approve(contract)
            assert approved.missing == ()
            author.activate(contract)
        with world.registrar() as registrar:
            registrar.import_consents(
                data / "consents.csv", data / "events.csv", SubjectType.OPAQUE, now_ms()
            )
        yield world


def _consents() -> list[dict[str, str]]:
    with (FOLDER / "data/consents.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))[:ASKED]


def test_banks_read_what_the_published_card_says(town: World) -> None:
    """Every consented call is answered right, every other one denied."""
    with (FOLDER / "data/events.csv").open(encoding="utf-8") as file:
        ended = {row["consent_id"] for row in csv.DictReader(file)}
    wanted, answered, denied = expected(), 0, dict[str, str]()
    with town.bank("jnrcb") as bank:
        for row in _consents():
            subject, consent = row["subject_id"], row["consent_id"]
            try:
                outcome = bank.score("german-card", subject, consent=consent)
            except Denied as refusal:
                denied[consent] = refusal.reason
                continue
            answered += 1
            right = wanted[subject]
            assert outcome.kind == right["answer"]
            if outcome.kind is Answer.SCORED:
                assert outcome.fields["grade"] == right["grade"]
                assert outcome.fields["limit"] == int(right["limit"])
    assert answered > len(denied) > 0
    assert answered + len(denied) == ASKED
    withdrawn = {name for name, reason in denied.items() if reason == "WITHDRAWN"}
    assert withdrawn == ended & {row["consent_id"] for row in _consents()}


def test_no_plain_identifier_is_on_a_nodes_disk(town: World) -> None:
    """Neither node ever saw one; the tables stay with their custodians."""
    # The contract says in comments whose rows its golden examples are.
    public = (FOLDER / "contract.yaml").read_bytes()
    ids = [row["subject_id"].encode() for row in _consents()]
    ids = [name for name in ids if name not in public]
    for node in ("house", "authority"):
        for path, data in town.disk(node).items():
            assert not any(name in data for name in ids), path
