"""Joint scores end to end: flat tables and keys, vetoes, crashes, quotas, audits."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contracts.bank_model import BankModel
from contracts.decide import Reason
from contracts.errors import (
    ContractError,
    DocumentInvalid,
    KindRefused,
    PointsBeyond,
    ValueInvalid,
)
from contracts.replay import Mark, Replay
from contracts.replay import Role as Journal
from contracts.transcript import Case, Transcripts
from node import clock, evidence
from node.auditor import Auditor
from node.cli import bank as teller
from node.client import BankClient, Outcome
from node.domain import Role
from node.errors import Denied, NodeError, Refused, TableInvalid
from node.export import read_export
from node.keys import BankKeys
from node.report import Report
from node.transcript import find_cases, sample
from node.verify import verify
from protocols.call import Request
from protocols.drbg import SEED_BYTES
from protocols.entry import Entry, Kind
from protocols.sharing import HouseShare
from tests.hostile import Wall, journal, kinds, permits, question, reasons, send, uses
from tests.joint_town import JointTown, model, model_source, source
from tests.simulator import World
from tests.test_call_crashes import CUTS, RECOVERIES, WHOLE, Cut, Recover

SUBJECTS = 99
ROW = {"开户年数": 3, "逾期": 0}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JointTown]:
    """Run a town in eight blocks."""
    with World(tmp_path_factory.mktemp("joint")) as world:
        made = JointTown(world, SUBJECTS)
        for subject in made.ids:
            made.consent(subject)
        yield made


@pytest.fixture(scope="module")
def bank(town: JointTown) -> Iterator[BankClient]:
    """Open the bank's SDK."""
    with town.bank() as client:
        yield client


_taken = count(22)


@pytest.fixture
def subject(town: JointTown) -> str:
    """Name a subject that nobody has asked about."""
    return town.ids[next(_taken)]


def row_of(number: int) -> dict[str, object]:
    """Make up a customer: from the least points to the most, and beyond the cap."""
    return {"开户年数": Decimal(number * 61 % 1200) / 100, "逾期": str(number % 3 % 2)}


def test_every_grade_is_the_plain_one(town: JointTown, bank: BankClient) -> None:
    """Of 22 subjects with a veto among them, through tables and through keys."""
    assert (town.flat.gate, town.fine.gate) == ("flat", "thr")
    assert (town.flat.card.added, town.fine.card.added) == (150, 150_000)
    seen = set()
    for compiled in (town.flat, town.fine):
        for number, subject in enumerate(town.ids[:22]):
            row = row_of(number)
            expected = town.plain(compiled, subject, town.added(compiled, row))
            assert town.ask(bank, compiled.id, subject, row) == expected
            seen.add(expected)
    assert {"many-credits", "AAA", "D"} <= seen
    assert bank.flush() == 0


def test_the_bank_s_number_moves_the_grade(
    town: JointTown, bank: BankClient, subject: str
) -> None:
    """By exactly its points: of the two contracts one is asked with less."""
    rows = {
        "german-joint": {"开户年数": 0, "逾期": 1},
        "german-fine": {"开户年数": 9, "逾期": 0},
    }
    told = {name: town.ask(bank, name, subject, row) for name, row in rows.items()}
    plain = {
        c.id: town.plain(c, subject, town.added(c, rows[c.id]))
        for c in (town.flat, town.fine)
    }
    assert told == plain
    assert len(set(told.values())) == 2


@pytest.mark.parametrize("form", ["series", "row", "text"])
def test_features_come_as_the_bank_holds_them(
    town: JointTown, bank: BankClient, subject: str, form: str
) -> None:
    """A row of a pandas frame, of a numpy table, of a file."""
    frame = pd.DataFrame(
        {"逾期": [1, 0], "开户年数": [8.25, 0.5], "name": ["甲", "乙"]}
    )
    rows = {
        "series": frame.iloc[0],
        "row": np.array([8.25, 1]),
        "text": {"开户年数": "8.25", "逾期": "1"},
    }
    number = town.added(town.flat, {"开户年数": "8.25", "逾期": 1})
    outcome = bank.joint(
        "german-joint", subject, model(), rows[form], consent=f"c-{subject}"
    )
    assert (outcome.reason or outcome.fields["grade"]) == town.plain(
        town.flat, subject, number
    )


def frame_of(asked: list[str]) -> pd.DataFrame:
    """Make up a frame of customers, the second without a consent."""
    return pd.DataFrame(
        {
            "subject_id": asked,
            "consent_id": [f"c-{asked[0]}", "c-nobody", f"c-{asked[2]}"],
            "开户年数": [0.5, 1, 8.25],
            "逾期": [0, 0, 1],
        }
    )


def test_a_frame_of_customers_is_asked_row_by_row(
    town: JointTown, bank: BankClient
) -> None:
    """Outcomes and denials, each with its subject."""
    asked = [town.ids[next(_taken)] for _ in range(3)]
    frame = frame_of(asked)
    told = list(bank.joint_frame("german-joint", model(), frame))
    assert [subject for subject, _ in told] == asked
    for place in (0, 2):
        outcome, row = told[place][1], frame.iloc[place]
        number = town.added(town.flat, row)
        assert isinstance(outcome, Outcome)
        assert (outcome.reason or outcome.fields["grade"]) == town.plain(
            town.flat, asked[place], number
        )
    denied = told[1][1]
    assert isinstance(denied, Denied)
    assert denied.reason == "NO_CONSENT"


def test_of_a_frame_with_one_wrong_cell_nobody_is_asked(
    town: JointTown, bank: BankClient
) -> None:
    """Not even those before it: each call is spent for thirty days."""
    assert bank.flush() == 0
    frame = frame_of(town.ids[:3])
    twice, nobody = frame.subject_id.tolist(), frame.subject_id.tolist()
    twice[2], nobody[1] = f" {twice[0]}", None
    wide = BankModel.from_yaml(
        model_source().replace("per_unit: 10", "per_unit: 11"), "m"
    )
    capped = frame.assign(开户年数=[1, 1, 9.5], 逾期=0)
    crimes: list[tuple[pd.DataFrame, BankModel, type[Exception], str]] = [
        (frame.assign(逾期=[0, 0, 7]), model(), ValueInvalid, "column `arrears`"),
        (frame.drop(columns="逾期"), model(), DocumentInvalid, "no feature `逾期`"),
        (frame.assign(subject_id=twice), model(), DocumentInvalid, "is there twice"),
        (frame.assign(subject_id=nobody), model(), DocumentInvalid, "`subject_id`"),
        (frame.drop(columns="consent_id"), model(), DocumentInvalid, "`consent_id`"),
        (capped, wide, PointsBeyond, "expected points of -60 to 90"),
        (frame, model("german-fine"), DocumentInvalid, "written for contract"),
    ]
    before = town.house.ledger.head.size
    for wrong, own, error, message in crimes:
        with pytest.raises(error, match=message):
            bank.joint_frame("german-joint", own, wrong)
    assert bank.unanswered() == []
    assert town.house.ledger.head.size == before


def test_nobody_the_custodians_know_is_insufficient_data(
    town: JointTown, bank: BankClient, subject: str
) -> None:
    """Whatever the bank adds; the veto of missing data outranks the score."""
    dataset = town.datasets["credit-bureau"]
    values = town.values(dataset, [name for name in town.ids if name != subject])
    town.push(dataset, values, version=2)
    assert town.ask(bank, "german-joint", subject, ROW) == "insufficient_data"
    town.push(dataset, town.values(dataset, town.ids), version=3)


# -- one call in 30 days


def test_one_call_in_thirty_days(
    town: JointTown, bank: BankClient, subject: str
) -> None:
    """The same number again is another call; it is denied, and told why."""
    consent = f"c-{subject}"
    town.ask(bank, "german-joint", subject, ROW)
    for row in (ROW, {"开户年数": 0, "逾期": 0}):
        with pytest.raises(Denied) as caught:
            town.ask(bank, "german-joint", subject, row)
        assert caught.value.reason == "JOINT_SPENT"
        assert reasons(town.authority, caught.value) == [Reason.JOINT_SPENT]
    assert [permit.millibits for permit in permits(town, consent)] == [3_907]
    town.ask(bank, "german-fine", subject, ROW)  # another contract
    assert uses(town, consent) == 2


def test_after_thirty_days_it_may_be_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A millisecond before it is denied, then it is answered."""
    wall = Wall()
    monkeypatch.setattr(clock, "now_ms", wall)
    with World(tmp_path) as world:
        town = JointTown(world, 1)
        (subject,) = town.ids
        days = 31 * clock.DAY_MS
        town.grant(
            subject, scope=("contract:german-joint",), not_after_ms=wall() + 2 * days
        )
        with town.bank() as bank:
            town.ask(bank, "german-joint", subject, ROW)
            (permit,) = (
                e for e in journal(town.authority) if e.kind is Kind.CALL_PERMIT
            )
            again_ms = permit.time_ms + 30 * clock.DAY_MS
            for core in (town.authority, town.house):  # nothing else happened meanwhile
                core.ledger._clock._seen = again_ms - 1, clock.monotonic_ms()
            wall.frozen_ms = again_ms - 1
            with pytest.raises(Denied, match="was scored jointly"):
                town.ask(bank, "german-joint", subject, ROW)
            wall.frozen_ms = again_ms
            assert town.ask(bank, "german-joint", subject, ROW)


def test_a_new_version_of_the_contract_is_no_new_call(
    town: JointTown, bank: BankClient, subject: str
) -> None:
    """Its author may submit as many as custodians approve."""
    town.ask(bank, "german-joint", subject, ROW)
    newer = town.submit(source(version=2), town.datasets)
    assert newer.hash != town.flat.hash
    with pytest.raises(Denied) as caught:
        bank.joint(newer.hash, subject, model(), ROW, consent=f"c-{subject}")
    assert caught.value.reason == "JOINT_SPENT"


def test_a_new_model_needs_no_approval(
    town: JointTown, bank: BankClient, subject: str
) -> None:
    """Another version of the bank's part under the contract that is in force.

    The journals name each by a commitment that tells the versions apart.
    """
    later = BankModel.from_yaml(model_source(version=2), "model.yaml")
    outcome = bank.joint("german-joint", subject, later, ROW, consent=f"c-{subject}")
    (permit,) = permits(town, f"c-{subject}")
    shared = Request.parse(permit.request.payload).shared
    assert shared is not None
    assert shared.model == bank.model_commitment(later)
    assert shared.model != bank.model_commitment(model())
    assert outcome.fields


# -- what is refused before anything is sent


def test_nothing_is_sent_for_features_that_the_model_does_not_take(
    town: JointTown, bank: BankClient, subject: str
) -> None:
    """No call is used up by a wrong cell, too many points, or another's model."""
    assert bank.flush() == 0
    before = town.house.ledger.head.size
    wide = BankModel.from_yaml(
        model_source().replace("per_unit: 10", "per_unit: 11"), "m"
    )
    ask, consent = bank.joint, f"c-{subject}"
    with pytest.raises(ValueInvalid, match="column `arrears`"):
        ask(
            "german-joint",
            subject,
            model(),
            {"开户年数": 1, "逾期": 2},
            consent=consent,
        )
    with pytest.raises(ValueInvalid, match="column `years`"):
        ask(
            "german-joint",
            subject,
            model(),
            {"开户年数": None, "逾期": 1},
            consent=consent,
        )
    with pytest.raises(DocumentInvalid, match="no feature `开户年数`"):
        ask("german-joint", subject, model(), {"逾期": 1}, consent=consent)
    with pytest.raises(DocumentInvalid, match="expected 2 features, got 3"):
        ask("german-joint", subject, model(), [1, 0, 0], consent=consent)
    with pytest.raises(PointsBeyond, match="expected points of -60 to 90"):
        ask("german-joint", subject, wide, {"开户年数": 9, "逾期": 0}, consent=consent)
    with pytest.raises(DocumentInvalid, match="written for contract `german-joint`"):
        ask("german-fine", subject, model(), ROW, consent=consent)
    with pytest.raises(KindRefused, match="answers `score`, not `joint`"):
        ask("german-card", subject, model("german-card"), ROW, consent=consent)
    with pytest.raises(KindRefused) as caught:
        bank.score("german-joint", subject, consent=consent)
    assert caught.value.hint == "ask it with `safehouse score --model`"
    assert town.house.ledger.head.size == before


TABLE = "subject_id,逾期,开户年数\n{subject},0,3\n"
MODEL = model_source()
CRIMES = {  # model, features, contract: what is said
    "unknown feature": (MODEL, '{"逾期": 0, "开户年": 3}', "no feature `开户年`"),
    "unknown column": (MODEL, TABLE.replace("开户年数", "年"), "no column `开户年数`"),
    "no row": (MODEL, TABLE.replace("{subject}", "nobody"), "no row of subject"),
    "two rows": (MODEL, TABLE + "{subject},1,3\n", "2 rows of subject"),
    "wrong cell": (MODEL, TABLE.replace(",0,", ",7,"), "column `arrears`: expected"),
    "points beyond": (
        MODEL.replace("per_unit: 10", "per_unit: 31"),
        TABLE,
        "expected points of -60 to 90",
    ),
    "another's model": (
        model_source("german-fine"),
        TABLE,
        "written for contract `german-fine`, not for `german-joint`",
    ),
    "no model": ("", TABLE, "given together"),
    "no features": (MODEL, "", "given together"),
}


@pytest.mark.parametrize("crime", CRIMES)
def test_a_clerk_s_mistake_is_told_and_spends_nothing(
    town: JointTown,
    bank: BankClient,
    subject: str,
    crime: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of `safehouse score`: the same command with the right files is answered."""
    world = town.world
    loaded = world.config("jnrcb"), world.keys("jnrcb", BankKeys), world.domain
    monkeypatch.setattr(teller, "load", lambda *_: loaded)

    def ask(text: str, features: str) -> None:
        own, given = tmp_path / "model.yaml", tmp_path / "bank.csv"
        own.write_text(text)
        given.write_text(features.replace("{subject}", subject))
        teller.score(
            "german-joint",
            subject,
            f"c-{subject}",
            model=own if text else None,
            features=features if features[:1] in ("", "{") else str(given),
        )

    assert bank.flush() == 0
    before, (text, features, said) = town.house.ledger.head.size, CRIMES[crime]
    with pytest.raises((ContractError, TableInvalid), match=said):
        ask(text, features)
    assert bank.unanswered() == []
    assert town.house.ledger.head.size == before
    ask(MODEL, TABLE)
    assert len(permits(town, f"c-{subject}")) == 1


def test_shares_model_and_kind_belong_together(
    town: JointTown, bank: BankClient, subject: str
) -> None:
    """A joint request without shares or model, and a score with them, are refused."""
    asked = town.joint(subject, 60)
    shared = asked.request.shared
    assert shared is not None
    named = town.flat.hash
    with pytest.raises(Denied, match="another kind of question"):
        send(bank, question(town, subject, contract=named))
    mixed = question(town, subject, contract=named, shared=shared)
    with pytest.raises(Refused, match="a request for `score` with shares, or without"):
        send(bank, mixed)
    without = town.joint(subject, 60, shared=replace(shared, model=b""))
    without = replace(without, private=asked.private)
    with pytest.raises(Refused, match="a request for `joint` with a model, or without"):
        town.send(bank, without)


# -- crashes


def in_vain(bank: BankClient, subject: str) -> bytes:
    """Ask, get nothing, and return the call's name."""
    with pytest.raises(NodeError) as caught:
        bank.joint("german-joint", subject, model(), ROW, consent=f"c-{subject}")
    assert not isinstance(caught.value, Denied)
    (call,) = bank.unanswered()
    return call


@pytest.mark.parametrize(
    ("cut", "recover"),
    [
        *((cut, RECOVERIES[-1]) for cut in CUTS),
        *((CUTS[-1], r) for r in RECOVERIES[:-1]),
    ],
    ids=lambda what: what.__name__,
)
def test_an_interrupted_call_ends_once(
    town: JointTown, subject: str, cut: Cut, recover: Recover
) -> None:
    """The house keeps its share and the sealed one: the same message, one permit."""
    with town.bank() as own, pytest.MonkeyPatch.context() as patch:
        cut(town, patch)
        call = in_vain(own, subject)
    assert kinds(town.house, call) == ["call.intent"]
    recover(town, call)
    with town.bank() as own:
        outcome = own.retry(call)
        assert own.retry(call) == outcome
        expected = town.plain(town.flat, subject, town.added(town.flat, ROW))
        assert (outcome.reason or outcome.fields["grade"]) == expected
        assert own.unanswered() == []
    assert kinds(town.house, call)[:2] == WHOLE
    assert kinds(town.authority, call) == ["call.permit", "call.done"]
    assert uses(town, f"c-{subject}") == 1
    with town.house.ledger.reader() as db:
        assert list(db.execute("SELECT secret FROM flight")) == []


def test_asking_anew_does_not_probe_what_was_interrupted(
    town: JointTown, subject: str
) -> None:
    """A second number after a lost answer is denied; the first is still to be had."""
    with town.bank() as own:
        with pytest.MonkeyPatch.context() as patch:
            CUTS[1](town, patch)
            call = in_vain(own, subject)
        with pytest.raises(Denied) as caught:
            town.ask(own, "german-joint", subject, {"开户年数": 9, "逾期": 1})
        assert caught.value.reason == "JOINT_SPENT"
        assert own.retry(call).request == call


# -- audits


@dataclass
class Audit:
    """A town, its export, and the calls that were computed."""

    town: JointTown
    folder: Path
    report: Report
    cases: list[Case]
    auditors: tuple[Auditor, Auditor]


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    """Ask both contracts, be denied, and export."""
    folder = tmp_path_factory.mktemp("audit")
    with World(folder / "world") as world:
        town = JointTown(world, 3)
        for subject in town.ids:
            town.consent(subject)
        with town.bank() as client:
            for number, subject in enumerate(town.ids):
                for name in ("german-joint", "german-fine"):
                    town.ask(client, name, subject, row_of(number))
            with pytest.raises(Denied):
                town.ask(client, "german-joint", town.ids[0], ROW)
            assert client.flush() == 0
            kept = client.receipts()
        openings = [*evidence.openings_of(kept), *town.openings]
        with world.auditor() as auditor, world.auditor("auditor-b") as other:
            auditor.export(folder / "export")
            trust = world.domain
            answered = [a for item in kept if (a := evidence.answered(item))]
            report = verify(
                folder / "export", trust, receipts=answered, openings=openings
            )
            seed = b"drawn after the export".ljust(32)
            calls = sample(folder / "export", trust, 100, seed)
            cases = list(find_cases(folder / "export", trust, calls))
            yield Audit(town, folder / "export", report, cases, (auditor, other))


def test_every_decision_and_every_message_is_made_again(audit: Audit) -> None:
    """Byte for byte: tables, keys of the range's lock, pads; and nothing to tell."""
    assert audit.report.findings == ()
    assert len(audit.cases) == 6
    transcripts = Transcripts(audit.town.world.domain.paillier)
    for case in audit.cases:
        shares = [auditor.seed_share(case) for auditor in audit.auditors]
        blocks = audit.auditors[0].blocks(case)
        assert transcripts.replay(case, shares, blocks).differences == ()
        for edited in (SEED_BYTES - 1, -1):  # another seed, another share of b
            first = bytearray(shares[0].share)
            first[edited] ^= 1
            wrong = [replace(shares[0], share=bytes(first)), shares[1]]
            assert transcripts.replay(case, wrong, blocks).differences
        opened = HouseShare.parse(
            bytes(a ^ b for a, b in zip(shares[0].share, shares[1].share, strict=True))[
                SEED_BYTES:
            ]
        )
        assert case.request.shared is not None
        assert opened.commitment() == case.request.shared.house


def test_a_second_call_that_was_permitted_is_found(audit: Audit) -> None:
    """Replay counts joint scores, as the authority must."""
    verifiers = audit.town.world.domain.verifiers(Role.AUTHORITY)
    export = read_export(audit.folder / Role.AUTHORITY.value, verifiers)
    entries = [Entry.parse(data) for data in export.entries()]
    permit = next(e for e in entries if e.kind is Kind.CALL_PERMIT)
    denial = next(e for e in entries if e.kind is Kind.CALL_DENY)
    assert denial.body["public"] == "JOINT_SPENT"
    body = {**permit.body, "request": denial.body["request"], "ticket": "11" * 32}
    forged = replace(denial, kind=Kind.CALL_PERMIT, body=body)
    replay, found = Replay(Journal.AUTHORITY), []
    for index, entry in enumerate(entries):
        found += replay.feed(index, forged if entry is denial else entry)
    assert Mark.DECISION_DIFFERS in {item.mark for item in found}
    assert any("JOINT_SPENT" in str(item) for item in found)
