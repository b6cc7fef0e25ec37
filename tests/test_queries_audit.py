"""Calls of range and verify in an audit: exported, re-decided, computed again."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contracts.replay import Mark, Replay
from contracts.replay import Role as Journal
from contracts.transcript import Case, Share, Transcripts, combine
from node import evidence
from node.auditor import Auditor
from node.domain import Role
from node.errors import Denied
from node.export import read_export
from node.report import Report
from node.transcript import find_cases, sample
from node.verify import verify
from protocols.drbg import SEED_BYTES
from protocols.entry import Entry, Kind
from protocols.sharing import HOUSE_BYTES, HouseShare
from tests.simulator import World
from tests.turnover import THRESHOLD, TOLERANCE, Town, answer

SEED = b"drawn after the export".ljust(32)


@dataclass
class Audit:
    """A town, its export, and the calls that were computed."""

    town: Town
    folder: Path
    report: Report
    cases: list[Case]
    auditors: tuple[Auditor, Auditor]

    def shares(self, case: Case) -> list[Share]:
        """Let both auditors open their shares."""
        return [auditor.seed_share(case) for auditor in self.auditors]


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    """Ask, be denied, and export."""
    folder = tmp_path_factory.mktemp("audit")
    with World(folder / "world") as world:
        town = Town(world, [1_234_500, THRESHOLD, None])
        first, second, absent = town.ids
        for subject in town.ids:
            town.consent(subject)
        with town.bank() as bank:
            for claim in (1_234_500, 1_234_500 + TOLERANCE + 1, 5, 6):
                with suppress(Denied):  # the fourth
                    answer(bank, first, claim)
            for _ in range(2):  # the second is a repeat
                bank.range("turnover-floor", second, consent=f"c-{second}")
            with suppress(Denied):
                bank.range("turnover-floor", second, consent=f"c-{first}")
            answer(bank, absent, 7)
            assert bank.flush() == 0
            kept = bank.receipts()
        openings = [*evidence.openings_of(kept), *town.openings]
        with world.auditor() as auditor, world.auditor("auditor-b") as other:
            auditor.export(folder / "export")
            trust = world.domain
            answered = [found for item in kept if (found := evidence.answered(item))]
            report = verify(
                folder / "export", trust, receipts=answered, openings=openings
            )
            calls = sample(folder / "export", trust, 100, SEED)
            cases = find_cases(folder / "export", trust, calls)
            yield Audit(town, folder / "export", report, list(cases), (auditor, other))


def entries(audit: Audit, role: Role) -> list[Entry]:
    """Read an exported journal."""
    trust = audit.town.world.domain
    export = read_export(audit.folder / role.value, trust.verifiers(role))
    return [Entry.parse(data) for data in export.entries()]


def test_every_decision_follows_from_the_journals(audit: Audit) -> None:
    """Permits, the quota's denial, another subject's consent: nothing to tell."""
    assert audit.report.findings == ()
    assert len(audit.cases) == 5  # three claims, one threshold, one of nobody
    denials = [e for e in entries(audit, Role.AUTHORITY) if e.kind is Kind.CALL_DENY]
    assert [entry.body["public"] for entry in denials] == ["BITS_SPENT"]


def test_every_call_is_computed_again(audit: Audit) -> None:
    """Byte for byte: two ciphertexts, veto table, key, pads; shares of claims, too."""
    transcripts = Transcripts(audit.town.world.domain.paillier)
    assert {case.request.kind for case in audit.cases} == {"range", "verify"}
    for case in audit.cases:
        blocks = audit.auditors[0].blocks(case)
        replayed = transcripts.replay(case, audit.shares(case), blocks)
        assert replayed.differences == ()


def test_what_auditors_open_of_a_claim_is_the_house_s_share(audit: Audit) -> None:
    """They can make the message again; of the claim they have a uniform half."""
    case = next(case for case in audit.cases if case.request.shared is not None)
    opened = combine(audit.shares(case))
    assert len(opened) == SEED_BYTES + HOUSE_BYTES
    share = HouseShare.parse(opened[SEED_BYTES:])
    assert case.request.shared is not None
    assert share.commitment() == case.request.shared.house


@pytest.mark.parametrize("part", ["value", "salt"])
def test_another_share_of_a_claim_is_named(audit: Audit, part: str) -> None:
    """A house that shifted by what it liked cannot show the share it was given."""
    transcripts = Transcripts(audit.town.world.domain.paillier)
    case = next(case for case in audit.cases if case.request.shared is not None)
    first, second = audit.shares(case)
    edited = bytearray(first.share)
    edited[-1 if part == "value" else SEED_BYTES] ^= 1
    blocks = audit.auditors[0].blocks(case)
    found = transcripts.replay(
        case, [replace(first, share=bytes(edited)), second], blocks
    ).differences
    expected = "the house's share is not the one that the request commits to"
    assert found[0] == expected


def test_a_share_that_nobody_made_is_named(audit: Audit) -> None:
    """A range call has no share, a verify call must have one."""
    transcripts = Transcripts(audit.town.world.domain.paillier)
    by_kind = {case.request.kind: case for case in audit.cases}
    case = by_kind["range"]
    longer = [
        replace(share, share=share.share + bytes(HOUSE_BYTES))
        for share in audit.shares(case)
    ]
    blocks = audit.auditors[0].blocks(case)
    found = transcripts.replay(case, longer, blocks).differences
    assert found == ("a share of a number that nobody shared",)
    case = by_kind["verify"]
    short = [
        replace(share, share=share.share[:SEED_BYTES]) for share in audit.shares(case)
    ]
    found = transcripts.replay(case, short, audit.auditors[0].blocks(case)).differences
    assert found[0] == "the house's share: expected a share of 40 bytes"


def test_a_fourth_claim_that_was_permitted_is_found(audit: Audit) -> None:
    """Replay counts answers about a column, as the authority must."""
    journal = entries(audit, Role.AUTHORITY)
    permits = [e for e in journal if e.kind is Kind.CALL_PERMIT]
    claims = [e for e in permits if e.body["subject"] == permits[0].body["subject"]]
    assert len(claims) == 3
    denial = next(e for e in journal if e.kind is Kind.CALL_DENY)
    body = {
        **claims[0].body,
        "request": denial.body["request"],
        "ticket": "11" * 32,
    }
    forged = replace(denial, kind=Kind.CALL_PERMIT, body=body)
    replay, found = Replay(Journal.AUTHORITY), []
    for index, entry in enumerate(journal):
        found += replay.feed(index, forged if entry is denial else entry)
    assert Mark.DECISION_DIFFERS in {item.mark for item in found}
    assert any("ANSWERS_SPENT" in str(item) for item in found)
