"""A question that is interrupted anywhere ends once, with the same noise.

Between intent and outcome lie these moments; after each of them somebody goes on: the
bank asks again, or the house at its next round, with or without a restart.
"""

from collections.abc import Callable, Iterator

import pytest

from contracts import aggregate_bodies
from contracts.decide import Reason
from contracts.odometer import EpsilonLimits
from contracts.subject import SubjectType
from node import aggregate_authority, clock
from node.aggregate_client import AggregateClient
from node.aggregate_consultation import Consulting
from node.domain import Role
from node.errors import Denied, NodeError, Unreachable
from node.keys import RegistrarKeys
from node.objector import Objector
from protocols.aggregate import Summed, authority_totals
from protocols.entry import Entry, Kind
from tests.simulator import STATISTICS, World
from tests.statistics_town import CONTRACT, Town, people, told

PLENTY = EpsilonLimits(10**9, 10**9)

Cut = Callable[[Town, pytest.MonkeyPatch], None]
Recover = Callable[[Town], None]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Run a town; every test puts a contract of its own in force."""
    folder = tmp_path_factory.mktemp("town")
    with World(folder / "world", bases=STATISTICS) as world:
        yield Town(world, folder / "files", people(60))


@pytest.fixture
def contract(town: Town) -> bytes:
    """Name a contract that nobody has asked."""
    town.authority._limits = PLENTY
    town.versions += 1
    return town.submit(CONTRACT.replace("version: 1", f"version: {town.versions}")).hash


def away(*_: object, **__: object) -> None:
    """Be whoever does not answer, or is killed."""
    raise Unreachable("no answer")


# -- where it is cut


def before_the_authority(_: Town, patch: pytest.MonkeyPatch) -> None:
    """Lose the question: the authority never saw it."""
    patch.setattr(Consulting, "evaluate", away)


def after_the_authority(town: Town, patch: pytest.MonkeyPatch) -> None:
    """Lose the answer: the authority has decrypted."""
    evaluate = Consulting.evaluate

    def lost(*given: object) -> None:
        evaluate(*given)  # type: ignore[arg-type]
        away()

    assert town.house
    patch.setattr(Consulting, "evaluate", lost)


def between_permit_and_done(town: Town, patch: pytest.MonkeyPatch) -> None:
    """Kill the authority with a permit on its disk and no reply."""
    patch.setattr(town.authority, "_decrypt", away)


def between_decryption_and_done(town: Town, patch: pytest.MonkeyPatch) -> None:
    """Kill the authority with the totals in its hand."""
    patch.setattr(town.authority, "_done", away)


def before_the_outcome(town: Town, patch: pytest.MonkeyPatch) -> None:
    """Kill the house with the answer in its hand."""
    patch.setattr(town.house, "_outcome", away)


CUTS = (
    before_the_authority,
    after_the_authority,
    between_permit_and_done,
    between_decryption_and_done,
    before_the_outcome,
)


# -- who goes on


def nobody(town: Town) -> None:
    """Let the bank ask again, of nodes that never stopped."""
    assert town.world.house


def the_house(town: Town) -> None:
    """Let the house go on with its next round."""
    assert town.house.resume() == 1


def two_new_nodes(town: Town) -> None:
    """Restart both: they have forgotten all but their disks."""
    for role in (Role.HOUSE, Role.AUTHORITY):
        town.world.stop(role)
    for role in (Role.AUTHORITY, Role.HOUSE):
        town.world.start(role)
    town.authority._limits = PLENTY


def two_new_nodes_by_themselves(town: Town) -> None:
    """Restart both, and let the house go on before the bank asks."""
    two_new_nodes(town)
    the_house(town)


RECOVERIES = (nobody, the_house, two_new_nodes, two_new_nodes_by_themselves)


def spent(town: Town) -> int:
    """Sum the authority's odometers."""
    with town.world.authority.ledger.reader() as db:
        ((sum_,),) = db.execute("SELECT coalesce(sum(spent), 0) FROM epsilon")
    return int(sum_)


def entries(town: Town, role: Role, call: bytes) -> list[Kind]:
    """List the kinds of a node's entries of one question."""
    node = {Role.HOUSE: town.world.house, Role.AUTHORITY: town.world.authority}[role]
    parsed = map(Entry.parse, node.ledger.entries(0, node.ledger.head.size))
    return [entry.kind for entry in parsed if entry.call == call.hex()]


def interrupted(bank: AggregateClient, contract: bytes) -> bytes:
    """Ask, get no answer, and return the question's name."""
    before = set(bank.unanswered())
    with pytest.raises(NodeError):
        bank.ask(contract)
    (call,) = set(bank.unanswered()) - before
    return call


@pytest.mark.parametrize("recover", RECOVERIES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("cut", CUTS, ids=lambda f: f.__name__)
def test_it_ends_once_whatever_is_killed(
    town: Town,
    contract: bytes,
    monkeypatch: pytest.MonkeyPatch,
    cut: Cut,
    recover: Recover,
) -> None:
    """One permit, one use of epsilon, one outcome; every decryption the same totals."""
    seen: list[list[list[int]]] = []

    def watching(*given: object) -> Summed:
        summed = authority_totals(*given)  # type: ignore[arg-type]
        seen.append(summed.totals.tolist())
        return summed

    monkeypatch.setattr(aggregate_authority, "authority_totals", watching)
    before = spent(town)
    with town.client() as bank:
        with monkeypatch.context() as patch:
            cut(town, patch)
            call = interrupted(bank, contract)
        recover(town)
        statistic = bank.retry(call)
        again = bank.retry(call)
    assert told(again) == told(statistic)
    assert spent(town) == before + 900
    assert entries(town, Role.AUTHORITY, call) == [
        Kind.AGGREGATE_PERMIT,
        Kind.AGGREGATE_DONE,
    ]
    assert entries(town, Role.HOUSE, call) == [
        Kind.AGGREGATE_INTENT,
        Kind.AGGREGATE_OUTCOME,
    ]
    assert 1 <= len(seen) <= 2
    assert all(totals == seen[0] for totals in seen)


def test_killing_the_authority_averages_nothing(
    town: Town, contract: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it dies with the totals in its hand, they are the same ones."""
    seen: list[list[list[int]]] = []

    def watching(*given: object) -> Summed:
        summed = authority_totals(*given)  # type: ignore[arg-type]
        seen.append(summed.totals.tolist())
        return summed

    monkeypatch.setattr(aggregate_authority, "authority_totals", watching)
    with town.client() as bank:
        with monkeypatch.context() as patch:
            between_decryption_and_done(town, patch)
            call = interrupted(bank, contract)
            for _ in range(4):
                with pytest.raises(NodeError):
                    bank.retry(call)
        bank.retry(call)
    assert len(seen) == 6
    assert all(totals == seen[0] for totals in seen)


def test_asking_anew_repeats_what_was_interrupted(
    town: Town, contract: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bank that lost its answer and asks under another jti spends nothing more."""
    before = spent(town)
    with town.client() as bank:
        with monkeypatch.context() as patch:
            between_permit_and_done(town, patch)
            interrupted(bank, contract)
        statistic = bank.ask(contract)
    assert statistic.repeated
    assert spent(town) == before + 900


def test_who_objects_meanwhile_is_not_counted(
    town: Town, contract: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between intent and permit: refused, and asked again without the subject."""
    held = town.world.keys("registrar", RegistrarKeys)
    with town.client() as bank:
        with monkeypatch.context() as patch:
            before_the_authority(town, patch)
            call = interrupted(bank, contract)
        with Objector(
            town.world.config("registrar"), held, town.world.domain
        ) as registrar:
            name, kind = town.rows[8].name, SubjectType.OPAQUE
            registrar.object(kind, name, clock.now_ms(), "o-late")
            with pytest.raises(Denied) as caught:
                bank.retry(call)
            assert caught.value.reason == Reason.OBJECTION
            bank.ask(contract)
            registrar.object(kind, name, clock.now_ms(), "o-late", ends=True)
    ledger = town.world.authority.ledger
    permits = [
        aggregate_bodies.Permit.parse(entry.body)
        for entry in map(Entry.parse, ledger.entries(0, ledger.head.size))
        if entry.kind is Kind.AGGREGATE_PERMIT
    ]
    assert permits[-1].left_out == 1


def test_who_objected_after_the_permit_was_counted(
    town: Town, contract: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A permit counts as released: the same ciphertexts, the same answer."""
    held = town.world.keys("registrar", RegistrarKeys)
    with town.client() as bank:
        with monkeypatch.context() as patch:
            between_permit_and_done(town, patch)
            call = interrupted(bank, contract)
        with Objector(
            town.world.config("registrar"), held, town.world.domain
        ) as registrar:
            name, kind = town.rows[9].name, SubjectType.OPAQUE
            registrar.object(kind, name, clock.now_ms(), "o-later")
            statistic = bank.retry(call)
            registrar.object(kind, name, clock.now_ms(), "o-later", ends=True)
    assert sum(group.subjects for group in statistic.groups) == 60
