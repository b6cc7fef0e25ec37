"""Sessions of intersection through both nodes, from the custodian's table on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts import psi_bodies
from contracts.consent import Consent, ConsentEvent, Event, Evidence
from contracts.decide import Finding, Reason
from contracts.errors import DocumentInvalid, KindRefused
from contracts.subject import SubjectType, canonical_id, commitment, subject_ref
from node import clock, consents, psi_authority, psi_house
from node.consents import SignedEvent, SignedGrant
from node.domain import Role
from node.errors import (
    Denied,
    DocumentConflict,
    NotFound,
    Refused,
    RowsRefused,
    Unreachable,
)
from node.ledger import Transaction
from node.wire.v1 import psi_evaluation_pb2
from protocols import psi
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.psi import Mode
from protocols.sign import Signed, sign
from tests.lists import BANK, CUSTODIAN, Lists, audit, ids
from tests.simulator import World


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lists]:
    """Run house and authority, with one list of seven and both its contracts."""
    with World(tmp_path_factory.mktemp("lists")) as world:
        made = Lists(world)
        made.push(ids(*range(7)))
        made.contract(sessions=4)
        made.contract("cardinality")
        yield made


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Lists]:
    """Run a trust domain of one's own."""
    with World(tmp_path) as world:
        yield Lists(world)


def kinds(lists: Lists, role: Role) -> list[Kind]:
    """List the kinds of a node's entries of intersections, in order."""
    core = lists.house if role is Role.HOUSE else lists.authority
    size = core.ledger.head.size
    found = [Entry.parse(core.ledger.entry(index)).kind for index in range(size)]
    return [kind for kind in found if kind.startswith("psi.")]


def test_the_bank_learns_who(lists: Lists) -> None:
    """In the order in which it asked, under the names it gave."""
    with lists.bank() as bank:
        found = bank.intersect("subsidy-intersection", ids(9, 5, 8, 0, 3))
    assert found.subjects == tuple(ids(5, 0, 3))
    assert (found.count, found.customers, found.entries) == (3, 5, 7)
    assert (found.mode, found.list, found.version) == (Mode.INTERSECTION, "subsidy", 1)


def test_the_bank_learns_how_many(lists: Lists) -> None:
    """And nobody's name."""
    with lists.bank() as bank:
        found = bank.intersect("subsidy-cardinality", ids(9, 5, 8, 0, 3))
    assert (found.mode, found.count, found.subjects) == (Mode.CARDINALITY, 3, ())


@pytest.mark.parametrize("mode", ["intersection", "cardinality"])
def test_nobody_and_everybody(lists: Lists, mode: str) -> None:
    """The ends of what can come out."""
    with lists.bank("lsbank") as bank:
        for asked, count in ((ids(100), 0), (ids(*range(7)), 7)):
            assert bank.intersect(f"subsidy-{mode}", asked).count == count


def test_the_journals_hold_neither_points_nor_counts(lists: Lists) -> None:
    """Hashes, roots, documents: in the order of the protocol."""
    assert kinds(lists, Role.HOUSE)[:8] == [
        Kind.PSI_LIST,
        *(Kind.PSI_INTENT, Kind.PSI_OUTCOME, Kind.PSI_RESULT),
        *(Kind.PSI_INTENT, Kind.PSI_OUTCOME, Kind.PSI_RETURN, Kind.PSI_COUNTED),
    ]
    assert kinds(lists, Role.AUTHORITY)[:6] == [
        Kind.PSI_LIST,
        *(Kind.PSI_PERMIT, Kind.PSI_DONE),
        *(Kind.PSI_PERMIT, Kind.PSI_DONE, Kind.PSI_COUNT),
    ]


def test_customers_that_cannot_be_asked_about(lists: Lists) -> None:
    """By row, before anything is sent."""
    before = kinds(lists, Role.HOUSE)
    with lists.bank() as bank:
        with pytest.raises(RowsRefused, match="already in row 1"):
            bank.intersect("subsidy-intersection", [*ids(1), *ids(1)])
        with pytest.raises(RowsRefused, match=r"row 2.*printable"):
            bank.intersect("subsidy-intersection", [*ids(1), "a b"])
        with pytest.raises(RowsRefused, match="about nobody"):
            bank.intersect("subsidy-intersection", [])
    assert kinds(lists, Role.HOUSE) == before


def test_a_score_is_no_intersection(lists: Lists) -> None:
    """A contract is asked what it answers."""
    with lists.bank() as bank, pytest.raises(NotFound):
        bank.contract("german-card")
    compiled = lists.contract(version=2)
    with lists.world.bank(BANK) as other, pytest.raises(KindRefused) as caught:
        other.score(compiled.hash, "gc-1", consent="c-1")
    assert "answers `psi`, not `score`" in str(caught.value)


# -- lists


def test_pushes_that_are_refused(quiet: Lists) -> None:
    """Another's list, a public one with consents, a table with a subject twice."""
    with pytest.raises(RowsRefused, match="already in row 2"):
        quiet.push(ids(1, 1))
    with pytest.raises(DocumentInvalid, match="public, and needs no consents"):
        quiet.push(ids(1), consents=["c-1"])
    with pytest.raises(DocumentInvalid, match="every row names a consent"):
        quiet.push(ids(1), name="farmers", tier="T1")
    assert kinds(quiet, Role.HOUSE) == []
    with quiet.bank() as bank, pytest.raises(NotFound, match="never pushed"):
        bank.newest("subsidy")


def test_a_version_replaces_the_one_before(quiet: Lists) -> None:
    """Who left the list is not found; the same subjects have other points."""
    first = quiet.push(ids(1, 2))
    second = quiet.push(ids(2, 3))
    assert (first.manifest.version, second.manifest.version) == (1, 2)
    assert first.manifest.key != second.manifest.key
    quiet.contract()
    with quiet.bank() as bank:
        found = bank.intersect("subsidy-intersection", ids(1, 2, 3))
    assert found.subjects == tuple(ids(2, 3))
    assert found.version == 2


# -- denials


def test_cap_and_quota(quiet: Lists) -> None:
    """Exact to one; each bank has its own quota, each list, too."""
    quiet.push(ids(*range(9)))
    quiet.contract(most=3, sessions=2)
    with quiet.bank() as bank, quiet.bank("lsbank") as other:
        with pytest.raises(Denied) as caught:
            bank.intersect("subsidy-intersection", ids(*range(4)))
        assert caught.value.reason == "TOO_MANY"
        assert "4 subjects, at most 3" in str(caught.value)
        for _ in range(2):
            bank.intersect("subsidy-intersection", ids(1, 2, 3))
        with pytest.raises(Denied) as caught:
            bank.intersect("subsidy-intersection", ids(1))
        assert caught.value.reason == "SESSIONS_SPENT"
        assert other.intersect("subsidy-intersection", ids(1)).count == 1
        # Another contract over the list allows more; what was spent is spent.
        quiet.contract("cardinality", sessions=3)
        assert bank.intersect("subsidy-cardinality", ids(1)).count == 1
        with pytest.raises(Denied):
            bank.intersect("subsidy-cardinality", ids(1))
    assert kinds(quiet, Role.AUTHORITY).count(Kind.PSI_PERMIT) == 4
    assert kinds(quiet, Role.HOUSE).count(Kind.PSI_DENY) == 3


def test_the_authority_counts_for_itself(
    quiet: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A house that forgets its count gets a denial all the same."""
    quiet.push(ids(1))
    quiet.contract(sessions=1)
    monkeypatch.setattr(psi_house.psi_store, "count", lambda *_: 0)
    with quiet.bank() as bank:
        bank.intersect("subsidy-intersection", ids(1))
        with pytest.raises(Denied) as caught:
            bank.intersect("subsidy-intersection", ids(1))
    assert caught.value.reason == "SESSIONS_SPENT"
    assert kinds(quiet, Role.HOUSE)[-2:] == [Kind.PSI_INTENT, Kind.PSI_DENIED]
    assert kinds(quiet, Role.AUTHORITY)[-1] is Kind.PSI_DENY


def test_a_contract_that_is_retired(quiet: Lists) -> None:
    """Denied before a point is taken."""
    quiet.push(ids(1))
    compiled = quiet.contract()
    with quiet.world.custodian(CUSTODIAN) as custodian:
        custodian.retire(compiled.hash)
    with quiet.bank() as bank, pytest.raises(Denied) as caught:
        bank.intersect(compiled.hash, ids(1))
    assert caught.value.reason == "CONTRACT_RETIRED"


def test_an_old_request_is_denied(quiet: Lists) -> None:
    """Five minutes, like any other."""
    quiet.push(ids(1))
    quiet.contract()
    with quiet.bank() as bank:
        late_ms = clock.now_ms() - 301_000
        with pytest.raises(Denied) as caught:
            bank.intersect("subsidy-intersection", ids(1), now_ms=lambda: late_ms)
        assert caught.value.reason == "CLOCK_SKEW"
        assert bank.intersect("subsidy-intersection", ids(1)).count == 1


# -- lists by consent


class Consented:
    """Consents of a list's subjects, at both nodes."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists
        self.key = lists.world.composed.keys["registrar"].sign

    def grant(self, number: int, **changes: object) -> str:
        """Register a consent to be found on the list `farmers`."""
        pepper = self.lists.world.composed.keys["registrar"].pepper
        kind = SubjectType.OPAQUE
        ref = subject_ref(pepper, kind, canonical_id(kind, ids(number)[0]))
        now_ms = clock.now_ms()
        consent = replace(
            Consent(
                consent_id=f"f-{number}",
                subject=commitment(ref, bytes(32)),
                subject_type=kind,
                grantees=(BANK,),
                purposes=("pre-approval",),
                scope=("dataset:farmers",),
                not_before_ms=now_ms - 1_000,
                not_after_ms=now_ms + clock.DAY_MS,
                max_uses=None,
                frequency=None,
                separate=False,
                evidence_kind=Evidence.ONLINE,
                evidence_digest=b"",
                granted_at_ms=now_ms - 1_000,
                registrar="registrar",
            ),
            **changes,  # type: ignore[arg-type]
        )
        signed = sign(Tag.CONSENT, consent.to_bytes(), self.key)
        for core in (self.lists.house, self.lists.authority):
            subject = bytes([number]) * 32
            item = SignedGrant(signed, consent, subject)
            core.ledger.commit(
                lambda tx, i=item: consents.record(tx, [i], self.lists.world.domain)
            )
        return consent.consent_id

    def withdraw(self, number: int) -> None:
        """Withdraw one."""
        event = ConsentEvent(
            f"f-{number}", Event.WITHDRAW, clock.now_ms(), "", "registrar"
        )
        signed = sign(Tag.CONSENT_EVENT, event.to_bytes(), self.key)
        item = SignedEvent(signed, event)
        for core in (self.lists.house, self.lists.authority):
            core.ledger.commit(
                lambda tx: consents.record(tx, [item], self.lists.world.domain)
            )


def test_who_withdrew_is_not_found(quiet: Lists) -> None:
    """At once, without a new push; who never consented to this bank is not, either."""
    consented = Consented(quiet)
    names = [consented.grant(number) for number in range(5)]
    names.append(consented.grant(5, grantees=("lsbank",)))
    names.append("f-never-registered")
    quiet.push(ids(*range(7)), name="farmers", tier="T1", consents=names)
    quiet.contract(name="farmers")
    quiet.contract("cardinality", name="farmers")
    with quiet.bank() as bank:
        found = bank.intersect("farmers-intersection", ids(*range(9)))
        assert (found.subjects, found.entries) == (tuple(ids(*range(5))), 5)
        consented.withdraw(2)
        found = bank.intersect("farmers-intersection", ids(*range(9)))
        assert found.subjects == tuple(ids(0, 1, 3, 4))
        found = bank.intersect("farmers-cardinality", ids(*range(9)))
        assert (found.count, found.entries) == (4, 4)
    with quiet.bank("ryrcb") as bank, pytest.raises(Denied):
        bank.intersect("farmers-intersection", ids(1))
    report = audit(quiet)
    assert report == []


def test_a_list_without_anybody(quiet: Lists) -> None:
    """No entry with a consent in force: denied, and nobody's list is confirmed."""
    consented = Consented(quiet)
    quiet.push(ids(1), name="farmers", tier="T1", consents=[consented.grant(1)])
    quiet.contract(name="farmers")
    consented.withdraw(1)
    with quiet.bank() as bank, pytest.raises(Denied) as caught:
        bank.intersect("farmers-intersection", ids(1))
    assert caught.value.reason == "NO_CONSENT"
    assert kinds(quiet, Role.AUTHORITY)[-1] is Kind.PSI_DENY
    assert audit(quiet) == []


# -- going on after a break


def test_a_session_goes_on_after_a_break(
    quiet: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever dies when: the same command, one session, the right answer."""
    monkeypatch.setattr(psi, "PIECE", 4)
    monkeypatch.setattr(psi, "PIECE_BYTES", 128)
    quiet.push(ids(*range(20)))
    quiet.contract(sessions=1)
    asked = ids(*range(5, 30))
    multiplied: list[int] = []

    def breaks(after: int) -> None:
        real = quiet.psi_authority.evaluate

        def evaluate(message: object) -> object:
            if len(multiplied) >= after:
                raise Unreachable("gone")
            multiplied.append(1)
            return real(message)  # type: ignore[arg-type]

        monkeypatch.setattr(quiet.psi_authority, "evaluate", evaluate)

    breaks(3)
    with quiet.bank() as bank, pytest.raises(Unreachable):
        bank.intersect("subsidy-intersection", asked)
    assert multiplied
    for role in (Role.HOUSE, Role.AUTHORITY):
        quiet.world.stop(role)
    for role in (Role.AUTHORITY, Role.HOUSE):
        quiet.world.start(role)
    with quiet.bank() as bank:
        found = bank.intersect("subsidy-intersection", asked)
        assert found.subjects == tuple(ids(*range(5, 20)))
    assert kinds(quiet, Role.AUTHORITY).count(Kind.PSI_PERMIT) == 1
    assert kinds(quiet, Role.HOUSE).count(Kind.PSI_INTENT) == 1
    assert audit(quiet) == []


@pytest.mark.parametrize("mode", ["intersection", "cardinality"])
@pytest.mark.parametrize("change", ["withdrawn", "retired"])
def test_a_session_ends_with_what_it_rests_on(
    quiet: Lists, monkeypatch: pytest.MonkeyPatch, mode: str, change: str
) -> None:
    """A bank breaks off, waits until somebody withdraws, and goes on: denied."""
    consented = Consented(quiet)
    names = [consented.grant(number) for number in range(4)]
    quiet.push(ids(*range(4)), name="farmers", tier="T1", consents=names)
    compiled = quiet.contract(mode, name="farmers")

    def broken(*_: object) -> None:
        raise Unreachable("gone")

    with quiet.bank() as bank:
        with monkeypatch.context() as patch:
            patch.setattr(quiet.psi_authority, "evaluate", broken)
            with pytest.raises(Unreachable):
                bank.intersect(compiled.hash, ids(*range(9)))
        if change == "withdrawn":
            consented.withdraw(2)
        else:
            with quiet.world.custodian(CUSTODIAN) as custodian:
                custodian.retire(compiled.hash)
        with pytest.raises(Denied) as caught:
            bank.intersect(compiled.hash, ids(*range(9)))
        told = {"withdrawn": "NO_CONSENT", "retired": "CONTRACT_RETIRED"}
        assert caught.value.reason == told[change]
        assert kinds(quiet, Role.HOUSE)[-1] is Kind.PSI_DENIED
        assert Kind.PSI_DONE not in kinds(quiet, Role.AUTHORITY)
        assert quiet.psi_house.resume() == 0
        if change == "withdrawn":  # and who asks again is answered, without them
            assert bank.intersect(compiled.hash, ids(*range(9))).count == 3
    assert audit(quiet) == []


def test_a_session_that_ends_without_its_bank_is_denied_once(
    quiet: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The house asks alone, however often, even where it read the list of them before.

    What a bank does between that reading and the lock must not be journalled twice.
    """
    consented = Consented(quiet)
    names = [consented.grant(number) for number in range(4)]
    quiet.push(ids(*range(4)), name="farmers", tier="T1", consents=names)
    compiled = quiet.contract(name="farmers")

    def broken(*_: object) -> None:
        raise Unreachable("gone")

    with quiet.bank() as bank, monkeypatch.context() as patch:
        patch.setattr(quiet.psi_authority, "finish", broken)
        with pytest.raises(Unreachable):
            bank.intersect(compiled.hash, ids(*range(9)))
    consented.withdraw(2)
    with quiet.house.ledger.reader() as db:
        left = psi_house.psi_store.unfinished(db)
    assert len(left) == 1
    assert quiet.psi_house.resume() == 0
    monkeypatch.setattr(psi_house.psi_store, "unfinished", lambda _: left)
    assert quiet.psi_house.resume() == 0
    assert kinds(quiet, Role.HOUSE)[1:] == [Kind.PSI_INTENT, Kind.PSI_DENIED]
    assert kinds(quiet, Role.AUTHORITY)[-1] is Kind.PSI_DENY
    assert audit(quiet) == []


@pytest.mark.parametrize("change", ["withdrawn", "retired"])
def test_a_count_is_not_made_of_what_has_ended(
    quiet: Lists, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """All is multiplied, somebody withdraws, and only then the bank asks how many."""
    consented = Consented(quiet)
    names = [consented.grant(number) for number in range(4)]
    quiet.push(ids(*range(4)), name="farmers", tier="T1", consents=names)
    compiled = quiet.contract("cardinality", name="farmers")

    def broken(*_: object) -> None:
        raise Unreachable("gone")

    with quiet.bank() as bank:
        with monkeypatch.context() as patch:
            patch.setattr(quiet.psi_authority, "count", broken)
            with pytest.raises(Unreachable):
                bank.intersect(compiled.hash, ids(*range(9)))
        assert Kind.PSI_DONE in kinds(quiet, Role.AUTHORITY)
        if change == "withdrawn":
            consented.withdraw(2)
        else:
            with quiet.world.custodian(CUSTODIAN) as custodian:
                custodian.retire(compiled.hash)
        with pytest.raises(Denied) as caught:
            bank.intersect(compiled.hash, ids(*range(9)))
        told = {"withdrawn": "NO_CONSENT", "retired": "CONTRACT_RETIRED"}
        assert caught.value.reason == told[change]
        assert kinds(quiet, Role.AUTHORITY)[-1] is Kind.PSI_DENY
        assert kinds(quiet, Role.HOUSE)[-1] is Kind.PSI_DENIED
        if change == "withdrawn":  # and who asks again is answered, without them
            assert bank.intersect(compiled.hash, ids(*range(9))).count == 3
    assert audit(quiet) == []


def test_an_authority_that_counts_all_the_same_is_found(
    quiet: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replay looks at consents again where a number was told."""
    consented = Consented(quiet)
    names = [consented.grant(number) for number in range(4)]
    quiet.push(ids(*range(4)), name="farmers", tier="T1", consents=names)
    compiled = quiet.contract("cardinality", name="farmers")
    count = quiet.psi_authority.count

    def late(pieces: Iterator[object]) -> object:
        consented.withdraw(2)
        monkeypatch.setattr(quiet.psi_authority, "_since", lambda *_: [])
        return count(pieces)  # type: ignore[arg-type]

    with quiet.bank() as bank:
        monkeypatch.setattr(quiet.psi_authority, "count", late)
        assert bank.intersect(compiled.hash, ids(*range(9))).count == 4
    (found,) = audit(quiet)
    assert "counted, but replay denies: NO_CONSENT" in str(found)


@pytest.mark.parametrize("reason", [Reason.INTERNAL, Reason.STALE_DATA])
def test_an_authority_that_forgets_its_denial_is_found(
    quiet: Lists, monkeypatch: pytest.MonkeyPatch, reason: Reason
) -> None:
    """Even one whose reason no replay finds again: the session was over."""
    quiet.push(ids(*range(4)))
    compiled = quiet.contract()
    keep = psi_authority._keep

    def forgetful(tx: Transaction, name: bytes, column: str, signed: Signed) -> None:
        if column != "denial":
            keep(tx, name, column, signed)

    with quiet.bank() as bank, monkeypatch.context() as patch:
        against = [Finding(reason, "for once")]
        patch.setattr(quiet.psi_authority, "_since", lambda *_: against)
        patch.setattr(psi_authority, "_keep", forgetful)
        patch.setattr(quiet.psi_house, "_denied", lambda *_: None)
        with pytest.raises(Denied):
            bank.intersect(compiled.hash, ids(1, 2))
    assert audit(quiet) == []
    assert quiet.psi_house.resume() == 1
    told = "done, but replay denies: it was denied before"
    assert sum(told in found for found in audit(quiet)) == 1


def test_a_forged_demand_ends_no_session(
    quiet: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends a permitted session again under a signature that is none."""
    quiet.push(ids(*range(4)))
    compiled = quiet.contract()
    permit, evaluate = quiet.psi_authority.permit, quiet.psi_authority.evaluate
    asked: list[psi_evaluation_pb2.PermitSessionRequest] = []

    def keeping(
        message: psi_evaluation_pb2.PermitSessionRequest,
    ) -> psi_evaluation_pb2.PermitSessionResponse:
        asked.append(message)
        return permit(message)

    def forging(
        message: psi_evaluation_pb2.EvaluatePointsRequest,
    ) -> psi_evaluation_pb2.EvaluatePointsResponse:
        forged = psi_evaluation_pb2.PermitSessionRequest()
        forged.CopyFrom(asked[0])
        forged.request.signature = bytes(64)
        with pytest.raises(Denied):
            permit(forged)
        return evaluate(message)

    monkeypatch.setattr(quiet.psi_authority, "permit", keeping)
    monkeypatch.setattr(quiet.psi_authority, "evaluate", forging)
    with quiet.bank() as bank:
        assert bank.intersect(compiled.hash, ids(1, 2)).count == 2
    assert Kind.PSI_DENY in kinds(quiet, Role.AUTHORITY)
    assert [one for one in audit(quiet) if "denied before" in one] == []


def test_a_count_is_made_once(quiet: Lists) -> None:
    """Another return to the same session gets no second number."""
    quiet.push(ids(*range(5)))
    quiet.contract("cardinality")
    with quiet.bank() as bank:
        kept: list[object] = []
        erase = bank._states.erase
        bank._states.erase = kept.append  # type: ignore[method-assign,assignment]
        first = bank.intersect("subsidy-cardinality", ids(1, 2, 9))
        again = bank.intersect("subsidy-cardinality", ids(1, 2, 9))  # goes on
        assert again == first
        bank._states.keep(replace(kept[0], boxes=()))  # type: ignore[type-var,arg-type]
        with pytest.raises((Refused, DocumentConflict), match="another return"):
            bank.intersect("subsidy-cardinality", ids(1, 2, 9))
        bank._states.erase = erase  # type: ignore[method-assign]
    assert kinds(quiet, Role.AUTHORITY).count(Kind.PSI_COUNT) == 1


def test_an_auditor_finds_nothing(lists: Lists) -> None:
    """Every session, permit, denial and count of this file follows from the log."""
    with lists.bank() as bank:
        bank.intersect("subsidy-intersection", ids(1))
    assert Kind.PSI_PERMIT in kinds(lists, Role.AUTHORITY)
    assert audit(lists) == []


def test_the_permit_names_nobody(lists: Lists) -> None:
    """What stands in a permit: the request, hashes, runs of entries left out."""
    with lists.bank() as bank:
        bank.intersect("subsidy-intersection", ids(1))
    ledger = lists.authority.ledger
    entries = [Entry.parse(ledger.entry(index)) for index in range(ledger.head.size)]
    permits = [entry.body for entry in entries if entry.kind is Kind.PSI_PERMIT]
    assert permits
    assert all(psi_bodies.Permit.parse(body).runs == () for body in permits)


# -- real sizes


def half(seed: int) -> list[int]:
    """Draw 27,000 of the 30,000 clients of the default_credit data, by their ids."""
    drawn = np.random.default_rng(seed).choice(30_000, 27_000, replace=False)
    return sorted((drawn + 1).tolist())


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["intersection", "cardinality"])
def test_the_clients_of_default_credit(quiet: Lists, mode: str) -> None:
    """27,000 of the government's against 27,000 of the bank's: exactly 24,331."""
    government, bank_ = half(1), half(2)
    quiet.push([str(one) for one in government])
    quiet.contract(mode, most=30_000)
    with quiet.bank() as bank:
        found = bank.intersect(f"subsidy-{mode}", [str(one) for one in bank_])
    assert (found.count, found.entries) == (24_331, 27_000)
    expected = sorted(set(government) & set(bank_)) if mode == "intersection" else []
    assert [str(one) for one in expected] == list(found.subjects)
