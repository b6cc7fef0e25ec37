"""What auditors find in the journals of statistics, and what they compute again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contracts import aggregate_bodies
from contracts.aggregate_transcript import AggregateCase, AggregateTranscripts
from contracts.decide import Reason
from contracts.discrepancy import Mark
from contracts.replay import Replay
from contracts.replay import Role as Journal
from contracts.subject import SubjectType
from contracts.transcript import Block, Replayed
from node import clock
from node.domain import Role
from node.errors import Denied, NotFound
from node.keys import RegistrarKeys
from node.objector import Objector
from node.transcript import find_aggregates, sample
from node.verify import pinned, signers, verify
from protocols import noise
from protocols.canon import Json
from protocols.entry import Entry, Kind
from tests.simulator import STATISTICS, World
from tests.statistics_town import CONTRACT, TOWNS, Town, people


@dataclass
class Audit:
    """A town that was asked, its export, and the calls that computed something."""

    town: Town
    folder: Path
    calls: dict[str, bytes]

    @property
    def world(self) -> World:
        """The trust domain."""
        return self.town.world

    def replay(self, name: str, codes: bytes = b"", **blocks: bytes) -> Replayed:
        """Compute a call again as two auditors do; `codes` or a block changed."""
        trust = self.world.domain
        (case,) = find_aggregates(self.folder, trust, [self.calls[name]])
        with (
            self.world.auditor("auditor-a") as first,
            self.world.auditor("auditor-b") as second,
        ):
            shares = [auditor.seed_share(case) for auditor in (first, second)]

            def fetch(number: int) -> Block | None:
                block = first.block(case, number)
                if block is not None and f"b{number}" in blocks:
                    return replace(block, records=blocks[f"b{number}"])
                return block

            return AggregateTranscripts(trust.paillier).replay(
                case, shares, codes or first.attributes(case), fetch
            )

    def case(self, name: str) -> AggregateCase:
        """Find a call in the export."""
        (case,) = find_aggregates(self.folder, self.world.domain, [self.calls[name]])
        return case

    def entries(self, role: Role) -> list[Entry]:
        """Read a journal as it lies on its disk."""
        node = self.world.house if role is Role.HOUSE else self.world.authority
        return list(map(Entry.parse, node.ledger.entries(0, node.ledger.head.size)))


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    """Ask all kinds of questions, and export the journals."""
    folder = tmp_path_factory.mktemp("audit")
    with World(folder / "world", bases=STATISTICS) as world:
        town = Town(world, folder / "files", people(60))
        whole = town.submit(
            CONTRACT.replace("tax-by-town", "whole")
            .replace("by: [town]", "by: []")
            .replace("epsilon: 0.2", "epsilon: 0.1")
        )
        calls: dict[str, bytes] = {}
        held = world.keys("registrar", RegistrarKeys)
        with (
            town.client() as bank,
            town.client("lsbank") as other,
            Objector(world.config("registrar"), held, world.domain) as registrar,
        ):
            calls["first"] = bank.ask("tax-by-town").request
            calls["repeat"] = bank.ask("tax-by-town").request
            calls["whole"] = other.ask(whole.hash).request
            calls["filter"] = other.ask("tax-by-town", {"trade": ["农业"]}).request
            registrar.object(SubjectType.OPAQUE, "s-0001", clock.now_ms(), "o-1")
            calls["objection"] = bank.ask("tax-by-town", {"trade": ["农业"]}).request
            with monkeyed() as patch:  # a house that leaves its noise out
                patch.setattr(noise.Scale, "draw", quiet_house(noise.Scale.draw))
                calls["silent"] = other.ask("tax-by-town", {"town": TOWNS}).request
            registrar.object(
                SubjectType.OPAQUE, "s-0001", clock.now_ms(), "o-1", ends=True
            )
            for town_, trade in ((0, 0), (1, 0)):
                where = {"town": [TOWNS[town_]], "trade": [("农业", "制造业")[trade]]}
                bank.ask("tax-by-town", where)
            with pytest.raises(Denied) as caught:
                bank.ask("tax-by-town", {"town": [TOWNS[2]]})
            assert caught.value.reason == Reason.EPSILON_SPENT
            with pytest.raises(Denied):
                bank.ask("tax-by-town", purpose="loan-precheck")
        with world.auditor() as auditor:
            auditor.export(folder / "export")
        yield Audit(town, folder / "export", calls)


def monkeyed() -> pytest.MonkeyPatch:
    """Patch for a while."""
    return pytest.MonkeyPatch.context()  # type: ignore[return-value]


def quiet_house(draw: Callable[..., int]) -> Callable[..., int]:
    """Draw nothing where the house draws, whose labels name groups."""

    def drawn(scale: noise.Scale, drbg: object, label: str) -> int:
        return 0 if label.startswith("group") else draw(scale, drbg, label)

    return drawn


def test_both_journals_verify(audit: Audit) -> None:
    """Every decision follows, both tell one story, and all kinds are in it."""
    report = verify(audit.folder, audit.world.domain)
    assert report.findings == ()
    both = audit.entries(Role.HOUSE) + audit.entries(Role.AUTHORITY)
    found = {entry.kind for entry in both}
    assert {kind for kind in Kind if kind.startswith("aggregate.")} <= found
    assert {Kind.CONSENT_OBJECTION, Kind.CONSENT_PLACED} <= found


@pytest.mark.parametrize("name", ["first", "whole", "filter", "objection"])
def test_an_honest_statistic_is_identical(audit: Audit, name: str) -> None:
    """Groups, whole blocks, a filter, somebody left out: byte for byte."""
    replayed = audit.replay(name)
    assert replayed.differences == ()
    assert replayed.call == audit.calls[name]


def test_noise_that_was_left_out_is_found(audit: Audit) -> None:
    """The bank cannot tell, and gets the authority's noise; the auditors can."""
    assert audit.replay("silent").differences == (
        "the masks, or the noise in them, are other ones",
    )


def test_a_repeat_computed_nothing(audit: Audit) -> None:
    """And what is no statistic is not found."""
    for call in (audit.calls["repeat"], bytes(32)):
        with pytest.raises(NotFound, match="no statistic was computed"):
            find_aggregates(audit.folder, audit.world.domain, [call])


def test_a_sample_holds_statistics_too(audit: Audit) -> None:
    """Whoever chooses calls to replay cannot pass them over."""
    chosen = sample(audit.folder, audit.world.domain, 100, b"seed")
    computed = {call for name, call in audit.calls.items() if name != "repeat"}
    assert computed <= set(chosen)


def test_other_attributes_or_blocks_are_found(audit: Audit) -> None:
    """What the house hands out is compared with what custodians signed."""
    case = audit.case("first")
    with audit.world.auditor() as auditor:
        codes = auditor.attributes(case)
        block = auditor.block(case, 0)
    assert block is not None
    (found,) = audit.replay("first", codes[::-1]).differences
    assert "not the ones that were signed" in found
    records = bytes([block.records[0] ^ 1]) + block.records[1:]
    (found,) = audit.replay("first", b0=records).differences
    assert "proof" in found or "root" in found or "inclusion" in found


Change = Callable[[dict[str, Json]], Mapping[str, Json]]


def replayed(
    audit: Audit, role: Role, kind: Kind, change: Change, which: int = 0
) -> set[Mark]:
    """Replay a journal in which one entry says something else."""
    entries = audit.entries(role)
    places = [i for i, entry in enumerate(entries) if entry.kind is kind]
    place = places[which]
    entries[place] = replace(entries[place], body=dict(change(entries[place].body)))
    return marks(entries, role)


def marks(entries: Sequence[Entry], role: Role) -> set[Mark]:
    """List what replay finds, signatures believed."""
    replay = Replay(Journal(role.value))
    return {d.mark for i, entry in enumerate(entries) for d in replay.feed(i, entry)}


@pytest.mark.parametrize(
    ("kind", "change", "mark"),
    [
        (Kind.AGGREGATE_PERMIT, {"milliepsilon": 100}, Mark.EPSILON_DIFFERS),
        (Kind.AGGREGATE_PERMIT, {"bank_spent": 1}, Mark.EPSILON_DIFFERS),
        (Kind.AGGREGATE_PERMIT, {"banks_spent": 1}, Mark.EPSILON_DIFFERS),
        (Kind.AGGREGATE_PERMIT, {"groups": [9]}, Mark.DECISION_DIFFERS),
        (Kind.AGGREGATE_PERMIT, {"groups": []}, Mark.DECISION_DIFFERS),
        (Kind.AGGREGATE_PERMIT, {"left_out": 3}, Mark.DECISION_DIFFERS),
        (Kind.AGGREGATE_PERMIT, {"dataset": "other"}, Mark.MALFORMED),
        (Kind.AGGREGATE_PERMIT, {"quarter": "2001Q1"}, Mark.MALFORMED),
        (Kind.AGGREGATE_PERMIT, {"contract": "00" * 32}, Mark.MALFORMED),
        (Kind.AGGREGATE_PERMIT, {"repeat_of": "ab" * 32}, Mark.REPEAT_UNFOUNDED),
        (Kind.AGGREGATE_DONE, {"ticket": "ab" * 32}, Mark.NO_PERMIT),
        (Kind.CONSENT_PLACED, {"place": 999}, None),
        (Kind.CONSENT_PLACED, {"objection": "o-9"}, Mark.STEP_REFUSED),
    ],
)
def test_what_the_authority_says_must_follow(
    audit: Audit, kind: Kind, change: dict[str, Json], mark: Mark | None
) -> None:
    """Every word of a permit is worked out again."""
    found = replayed(audit, Role.AUTHORITY, kind, lambda body: body | change)
    assert found == set() if mark is None else mark in found


def test_epsilon_beyond_the_odometer_is_found(audit: Audit) -> None:
    """A permit that no odometer had room for, whatever it says itself."""
    entries = audit.entries(Role.AUTHORITY)
    permit = next(e for e in entries if e.kind is Kind.AGGREGATE_PERMIT)
    body = aggregate_bodies.Permit.parse(permit.body)
    more = [
        replace(permit, body=replace(body, ticket=bytes([number]) * 32).to_body())
        for number in range(6)
    ]
    assert Mark.DECISION_DIFFERS in marks([*entries, *more], Role.AUTHORITY)


def test_another_snapshot_is_found(audit: Audit) -> None:
    """A push after the quarter's first one is not what its statistics rest on."""
    entries = audit.entries(Role.HOUSE)
    assert marks(entries, Role.HOUSE) == set()
    late = [entry for entry in entries if entry.kind is not Kind.DATA_PUSH]
    assert Mark.STALE_INPUT in marks(late, Role.HOUSE)
    without = [entry for entry in entries if entry.kind is not Kind.DATA_ATTRIBUTES]
    assert Mark.STALE_INPUT in marks(without, Role.HOUSE)


@pytest.mark.parametrize(
    ("gone", "role", "mark"),
    [
        (Kind.AGGREGATE_INTENT, Role.HOUSE, Mark.NO_INTENT),
        (Kind.AGGREGATE_PERMIT, Role.AUTHORITY, Mark.NO_PERMIT),
        (Kind.CONTRACT_ACTIVATE, Role.HOUSE, Mark.DECISION_DIFFERS),
        (Kind.CONTRACT_APPROVE, Role.AUTHORITY, Mark.STEP_REFUSED),
        (Kind.CONSENT_OBJECTION, Role.HOUSE, Mark.STEP_REFUSED),
        (Kind.CONSENT_PLACED, Role.AUTHORITY, Mark.DECISION_DIFFERS),
    ],
)
def test_an_entry_that_is_missing_is_missed(
    audit: Audit, gone: Kind, role: Role, mark: Mark
) -> None:
    """What follows from it follows no more."""
    left = [entry for entry in audit.entries(role) if entry.kind is not gone]
    assert mark in marks(left, role)


def test_a_denial_must_have_its_reason(audit: Audit) -> None:
    """A refusal for epsilon that was there is found, and the other way round."""
    entries = audit.entries(Role.AUTHORITY)
    (deny,) = [e for e in entries if e.kind is Kind.AGGREGATE_DENY]
    first = next(i for i, e in enumerate(entries) if e.kind is Kind.AGGREGATE_PERMIT)
    early = [*entries[:first], replace(deny, time_ms=entries[first - 1].time_ms)]
    assert marks(early, Role.AUTHORITY) == {Mark.DECISION_DIFFERS}
    other = {
        **deny.body,
        "reasons": [{"reason": "CONTRACT_RETIRED", "detail": ""}],
        "public": "CONTRACT_RETIRED",
    }
    assert Mark.DECISION_DIFFERS in marks([replace(deny, body=other)], Role.AUTHORITY)


def test_signatures_are_verified_with_the_pinned_keys(audit: Audit) -> None:
    """A request, a ticket and a receipt of somebody else's are found."""
    trust = audit.world.domain
    for role, kind, member in (
        (Role.HOUSE, Kind.AGGREGATE_INTENT, "request"),
        (Role.HOUSE, Kind.AGGREGATE_INTENT, "ticket"),
        (Role.AUTHORITY, Kind.AGGREGATE_DONE, "receipt"),
        (Role.AUTHORITY, Kind.CONSENT_OBJECTION, "signed"),
    ):
        entries = audit.entries(role)
        place = next(i for i, entry in enumerate(entries) if entry.kind is kind)
        body = dict(entries[place].body)
        signed = body[member]
        assert isinstance(signed, dict)
        body[member] = {**signed, "signature": "00" * 64}
        entries[place] = replace(entries[place], body=body)
        replay = Replay(Journal(role.value), keys=pinned(trust), signers=signers(trust))
        found = {
            d.mark for i, entry in enumerate(entries) for d in replay.feed(i, entry)
        }
        assert Mark.SIGNATURE_INVALID in found
