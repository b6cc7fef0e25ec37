"""Statistics end to end: what a bank reads, what is counted, what is refused."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contracts import aggregate_bodies
from contracts.decide import Reason
from contracts.errors import DocumentInvalid, KindRefused
from contracts.odometer import LIMITS, EpsilonLimits
from contracts.subject import SubjectType
from node import clock
from node.domain import Role
from node.errors import Denied, NotFound, Refused
from node.keys import RegistrarKeys
from node.objector import Objector
from protocols import noise
from protocols.entry import Entry, Kind
from tests.hostile import Wall
from tests.simulator import STATISTICS, World
from tests.statistics_town import CONTRACT, SIZES, TOWNS, Town, people, told

if TYPE_CHECKING:
    from node.aggregate_client import Statistic

PLENTY = EpsilonLimits(10**9, 10**9)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Run a town whose tests only add to what is there; its odometers are long."""
    folder = tmp_path_factory.mktemp("town")
    with World(folder / "world", bases=STATISTICS) as world:
        made = Town(world, folder / "files", people())
        made.authority._limits = PLENTY
        yield made


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no noise, at either node."""
    monkeypatch.setattr(noise.Scale, "draw", lambda *_: 0)


def journal(town: Town, role: Role, kind: Kind) -> list[Entry]:
    """List a node's entries of one kind."""
    ledger = {Role.HOUSE: town.world.house, Role.AUTHORITY: town.world.authority}[
        role
    ].ledger
    entries = map(Entry.parse, ledger.entries(0, ledger.head.size))
    return [entry for entry in entries if entry.kind is kind]


def permits(town: Town) -> list[aggregate_bodies.Permit]:
    """List the authority's permits."""
    return [
        aggregate_bodies.Permit.parse(entry.body)
        for entry in journal(town, Role.AUTHORITY, Kind.AGGREGATE_PERMIT)
    ]


def another(town: Town) -> bytes:
    """Put a new version of the contract in force, which nobody has asked yet."""
    town.versions += 1
    text = CONTRACT.replace("version: 1", f"version: {town.versions}")
    return town.submit(text).hash


@contextmanager
def limited(town: Town, bank: int, banks: int) -> Iterator[None]:
    """Leave so much to `jnrcb` and to all banks, in milliepsilon."""
    with town.world.authority.ledger.reader() as db:
        spent = dict(db.execute("SELECT bank, sum(spent) FROM epsilon GROUP BY bank"))
    ours, all_ = int(spent.get("jnrcb", 0)), sum(map(int, spent.values()))
    town.authority._limits = EpsilonLimits(bank + ours, banks + all_)
    yield
    town.authority._limits = PLENTY


@pytest.mark.usefixtures("silent")
def test_without_noise_every_figure_is_the_raw_one(town: Town) -> None:
    """Counts, sums from 0 and from below, means, histograms; groups, filters."""
    filters: Sequence[Mapping[str, Sequence[str]]] = (
        {},
        {"trade": ["农业"]},
        {"town": ["安居镇", "喻屯镇"]},
        {"town": ["安居镇"], "trade": ["制造业", "农业"]},
    )
    with town.client() as bank:
        for where in filters:
            statistic = bank.ask("tax-by-town", where)
            assert told(statistic) == town.exact(where)
            assert not statistic.repeated
            assert {group.labels: group.subjects for group in statistic.groups} == {
                (name,): sum(
                    row.town == name
                    and all(getattr(row, a) in some for a, some in where.items())
                    for row in town.rows
                )
                for name in where.get("town", TOWNS)
            }


@pytest.mark.usefixtures("silent")
def test_a_whole_district_is_one_decryption_a_read(town: Town) -> None:
    """Without groups, whole blocks are added first: two ciphertexts a read."""
    text = (
        CONTRACT.replace("tax-by-town", "tax-of-all")
        .replace("by: [town]", "by: []")
        .replace("[town, trade]", "[]")
    )
    contract = town.submit(text)
    seen: list[tuple[int, int]] = []
    with town.client() as bank:
        statistic = bank.ask(contract.hash, progress=lambda *at: seen.append(at))
    assert told(statistic) == town.exact(by=())
    whole, rest = divmod(len(town.rows), town.world.slots)
    assert (whole, rest) == (8, 2)
    assert seen[-1] == (2 * len(contract.reads), 2 * len(contract.reads))


def test_noise_is_in_every_figure_and_within_its_margin(town: Town) -> None:
    """Of hundreds of figures, nineteen of twenty are near the raw ones, few exact."""
    text = CONTRACT.replace("version: 1", "version: 2").replace("0.2", "0.1")
    contract = town.submit(text)
    near = same = total = 0
    with town.client() as bank:
        for labels in (list(TOWNS), *([t] for t in TOWNS)):
            for trades in ([], ["农业"], ["制造业"]):
                where = {"town": labels} | ({"trade": trades} if trades else {})
                statistic = bank.ask(contract.hash, where)
                exact = town.exact(where)
                for group in statistic.groups:
                    for figure in group.figures:
                        if figure.number == "average" or figure.value is None:
                            continue
                        raw = exact[group.labels][figure.number, figure.label]
                        assert figure.margin is not None
                        near += abs(figure.value - raw) <= figure.margin
                        same += figure.value == raw
                        total += 1
    assert total == 18 * (4 + len(SIZES))
    assert near / total > 0.8
    assert same / total < 0.1


def test_the_same_question_has_the_same_answer(town: Town) -> None:
    """However often and however it is spelt: nothing is spent, nothing decrypted."""
    where = {"trade": ["制造业", "农业"], "town": ["安居镇"]}
    contract = another(town)
    with town.client() as bank:
        first = bank.ask(contract, where)
        left = bank.budget("tax").left
        for spelt in (
            where,
            {"town": ["安居镇", "安居镇"], "trade": ["农业", "制造业"]},
        ):
            again = bank.ask(contract, spelt)
            assert again.repeated
            assert told(again) == told(first)
        assert bank.budget("tax").left == left == first.left
    *_, one, two, three = permits(town)[-3:]
    assert (one.milliepsilon, two.milliepsilon, three.milliepsilon) == (900, 0, 0)
    assert two.repeat_of == three.repeat_of == one.ticket
    with town.client("lsbank") as other:
        assert not other.ask(contract, where).repeated


def test_an_odometer_is_spent_and_says_what_is_left(town: Town) -> None:
    """Of one bank; the refusal tells what is left, and spends nothing."""
    contract = another(town)
    with limited(town, 1300, 10**9), town.client() as bank:
        first = bank.ask(contract, {"town": ["唐口街道"], "trade": ["农业"]})
        assert (first.left, bank.budget("tax").left) == (400, 400)
        with pytest.raises(Denied) as caught:
            bank.ask(contract, {"town": ["唐口街道"], "trade": ["制造业"]})
        assert caught.value.reason == Reason.EPSILON_SPENT
        assert "it takes 0.9, 0.4 is left in this quarter" in str(caught.value)
        assert bank.budget("tax").left == 400
        assert bank.ask(contract, {"town": ["唐口街道"], "trade": ["农业"]}).repeated


def test_another_version_of_the_contract_resets_nothing(town: Town) -> None:
    """The odometer is the dataset's: a new version, and another name, share it."""
    first, version = another(town), another(town)
    renamed = town.submit(CONTRACT.replace("name: tax-by-town", "name: other"))
    with limited(town, 1000, 10**9), town.client() as bank:
        bank.ask(first, {"town": ["喻屯镇"], "trade": ["农业"]})
        for contract in (version, renamed.hash):
            with pytest.raises(Denied) as caught:
                bank.ask(contract, {"town": ["喻屯镇"], "trade": ["制造业"]})
            assert caught.value.reason == Reason.EPSILON_SPENT


def test_all_banks_share_an_odometer(town: Town) -> None:
    """What one was told the other lacks, though its own is whole."""
    contract = another(town)
    with limited(town, 10**9, 1000):
        with town.client() as bank:
            bank.ask(contract, {"town": ["喻屯镇", "唐口街道"]})
        with town.client("lsbank") as other, pytest.raises(Denied) as caught:
            other.ask(contract, {"town": ["喻屯镇", "唐口街道"]})
    assert caught.value.reason == Reason.EPSILON_SPENT
    assert "0.1 is left" in str(caught.value)


@pytest.mark.usefixtures("silent")
def test_small_groups_are_suppressed_and_none_is_no_answer(town: Town) -> None:
    """Under the contract's floor nobody is added up; the group's name is told."""
    text = CONTRACT.replace("name: tax-by-town", "name: high").replace(
        "floor: 10", "floor: 31"
    )
    contract = town.submit(text)
    with town.client() as bank:
        with pytest.raises(Denied) as caught:
            bank.ask(contract.hash)
        assert caught.value.reason == Reason.GROUP_SIZE
        assert "no group has 31 subjects" in str(caught.value)
    text = CONTRACT.replace("name: tax-by-town", "name: trades").replace(
        "by: [town]", "by: [town, trade]"
    )
    contract = town.submit(text.replace("floor: 10", "floor: 15"))
    where = {"town": ["安居镇"]}
    with town.client() as bank:
        statistic = bank.ask(contract.hash, where)
    sizes = {group.labels: group.subjects for group in statistic.groups}
    assert sizes == {("安居镇", "农业"): 15, ("安居镇", "制造业"): 15}
    assert told(statistic) == town.exact(where, by=("town", "trade"))


def test_what_a_contract_does_not_ask_is_refused_by_name(town: Town) -> None:
    """A filter that is not its own, a class nobody has, a question it is not."""
    with town.client() as bank:
        with pytest.raises(DocumentInvalid, match="not narrowed by `size`"):
            bank.ask("tax-by-town", {"size": ["大"]})
        with pytest.raises(Refused, match="has no class `安居`"):
            bank.ask("tax-by-town", {"town": ["安居"]})
        with pytest.raises(Denied) as caught:
            bank.ask("tax-by-town", purpose="loan-precheck")
        assert caught.value.reason == Reason.PURPOSE_MISMATCH
        with pytest.raises(NotFound):
            bank.ask("nothing")
    assert journal(town, Role.HOUSE, Kind.AGGREGATE_DENY)


def test_a_retired_contract_answers_no_more(town: Town) -> None:
    """Not even what it answered before."""
    contract = another(town)
    with town.client() as bank:
        bank.ask(contract)
        with town.world.custodian("credit-bureau") as custodian:
            custodian.retire(contract)
        with pytest.raises(Denied) as caught:
            bank.ask(contract)
        assert caught.value.reason == Reason.CONTRACT_RETIRED


@pytest.mark.usefixtures("silent")
def test_a_quarter_rests_on_one_snapshot(town: Town) -> None:
    """A new push changes nothing before the next quarter."""
    contract, where = another(town), {"trade": ["农业"]}
    with town.client() as bank:
        before = bank.ask(contract, where)
        town.push([row for row in town.rows if row.town != "安居镇"], "2026-02")
        after = bank.ask(contract, {"trade": ["制造业"]})
        assert before.dataset_version == after.dataset_version == 1
        assert told(after) == town.exact({"trade": ["制造业"]})


@pytest.mark.usefixtures("silent")
def test_who_objects_is_left_out(town: Town) -> None:
    """At both nodes, until the objection ends; a consent is not touched by it."""
    held = town.world.keys("registrar", RegistrarKeys)
    victim = town.rows[5]
    where = {"town": [victim.town]}
    contract = another(town)
    with (
        Objector(town.world.config("registrar"), held, town.world.domain) as registrar,
        town.client() as bank,
        town.client("lsbank") as other,
    ):
        first = registrar.object(SubjectType.OPAQUE, victim.name, clock.now_ms(), "o-1")
        again = registrar.object(SubjectType.OPAQUE, victim.name, clock.now_ms(), "o-1")
        assert first.entries == again.entries
        statistic = bank.ask(contract, where)
        assert told(statistic) == town.exact(where, without=[victim.name])
        assert permits(town)[-1].left_out == 1
        registrar.object(
            SubjectType.OPAQUE, victim.name, clock.now_ms(), "o-1", ends=True
        )
        assert bank.ask(contract, where).repeated  # what was told was told
        assert told(other.ask(contract, where)) == town.exact(where)
        with pytest.raises(Refused, match="is over"):
            registrar.object(SubjectType.OPAQUE, victim.name, clock.now_ms(), "o-1")
    assert len(journal(town, Role.HOUSE, Kind.CONSENT_OBJECTION)) == 2


def test_one_request_is_answered_once(town: Town) -> None:
    """The same bytes again, after a lost reply, spend nothing and are the same."""
    contract = another(town)
    with town.client() as bank:
        first = bank.ask(contract)
        spent = permits(town)
        again = bank.retry(first.request)
        assert (told(again), again.repeated) == (told(first), False)
        assert permits(town) == spent
        assert first.request not in bank.unanswered()
        with pytest.raises(NotFound):
            bank.retry(bytes(32))


def test_two_at_once_are_one(town: Town) -> None:
    """Of two that ask the same at the same time, one repeats the other."""
    contract = another(town)
    found: list[Statistic] = []

    def ask() -> None:
        with town.client() as bank:
            found.append(bank.ask(contract))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(item.repeated for item in found) == [False, True, True]
    assert len({str(told(item)) for item in found}) == 1


def test_the_next_quarter_begins_anew(tmp_path: Path) -> None:
    """The newest version that stood when it began, whole odometers, no old answers."""
    wall = Wall()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now_ms", wall)
        with World(tmp_path / "world", bases=STATISTICS) as world:
            town = Town(world, tmp_path / "files", people(60))
            with town.client() as bank:
                first = bank.ask("tax-by-town")
                town.push(town.rows[:50], "2026-02")
                left = bank.budget("tax").left
            for role in (Role.HOUSE, Role.AUTHORITY):
                world.stop(role)
            wall.offset_ms = 93 * clock.DAY_MS
            for role in (Role.AUTHORITY, Role.HOUSE):
                world.start(role)
            with town.client() as bank:
                assert bank.budget("tax").left == LIMITS.bank > left
                town.push(town.rows[:40], "2026-03")
                again = bank.ask("tax-by-town", now_ms=wall)
            assert (first.dataset_version, again.dataset_version) == (1, 2)
            assert not again.repeated
            assert first.quarter < again.quarter


def test_a_score_is_not_a_statistic(town: Town) -> None:
    """And the other way round: each method answers its own kind."""
    with town.world.bank("jnrcb") as bank, pytest.raises((KindRefused, Refused)):
        bank.score("tax-by-town", "s-0001", consent="c-1")
