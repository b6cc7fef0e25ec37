"""A house that leaves people out of a list, or puts some on it, when a bank asks.

It has the list's points and draws the session's scalar, so a bank sees nothing: who is
left out gets no loan, who is added does.  Two auditors open the seed.  An authority
that leaves an entry out has to say so in its permit, which decision replay decides
again; one that multiplies a point otherwise is not found here (`psi_transcript`).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts import psi_transcript
from contracts.psi_transcript import KEPT_MS, PsiCase
from contracts.transcript import Replayed, Share
from node import psi_authority, psi_house, psi_store
from node.auditor import Auditor
from node.clock import BITS_WINDOW_MS, now_ms
from node.errors import NotFound, ReplyRefused
from node.psi_authority import PsiAuthority
from node.psi_house import Sessions
from node.replays import find, replayed
from node.transcript import find_sessions, sample
from protocols import ristretto
from protocols.ristretto import POINT_BYTES, multiply_all
from tests.lists import Lists, audit, ids
from tests.simulator import World

MODES = ("intersection", "cardinality")
OTHER = "another list was served than the custodian's, as far as permitted"


class Opened:
    """A trust domain with a list of seven, and its two auditors."""

    def __init__(self, lists: Lists, auditors: tuple[Auditor, Auditor]) -> None:
        self.lists = lists
        self.one, self.two = auditors
        self.folder = lists.world.folder / "opened"

    def ask(self, mode: str) -> tuple[bytes, int]:
        """Ask about six customers, three on the list; name the session."""
        before = set(self.sessions())
        with self.lists.bank() as bank:
            found = bank.intersect(f"subsidy-{mode}", ids(9, 5, 8, 0, 3, 12))
        (name,) = set(self.sessions()) - before
        return name, found.count

    def sessions(self) -> list[bytes]:
        """List the sessions that the house remembers."""
        with self.lists.house.ledger.reader() as db:
            return [
                bytes(name) for (name,) in db.execute("SELECT request FROM psi_session")
            ]

    def case(self, name: bytes) -> PsiCase:
        """Find a session in a new export."""
        self.one.export(self.folder)
        (case,) = find_sessions(self.folder, self.lists.world.domain, [name])
        return case

    def shares(self, case: PsiCase) -> list[Share]:
        """Open both shares."""
        return [self.one.seed_share(case), self.two.seed_share(case)]

    def again(self, name: bytes) -> Replayed:
        """Compute a session again, as the command does."""
        case = self.case(name)
        trust = self.lists.world.domain
        (found,) = replayed(
            self.one, trust, find(self.folder, trust, name), self.shares(case)
        )
        return found


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Run house and authority, with one list of seven and both its contracts."""
    with World(tmp_path_factory.mktemp("lists")) as world:
        made = Lists(world)
        made.push(ids(*range(7)))
        for mode in MODES:
            made.contract(mode)
        with (
            pytest.MonkeyPatch.context() as patched,
            world.auditor() as one,
            world.auditor("auditor-b") as two,
        ):  # as if each session were the first
            patched.setattr(psi_store, "count", lambda *_: 0)
            patched.setattr(psi_authority, "_count", lambda *_: 0)
            yield Opened(made, (one, two))


@pytest.mark.parametrize("mode", MODES)
def test_an_honest_session_comes_out_again(opened: Opened, mode: str) -> None:
    """Served list and replies, byte for byte; the sample may draw it."""
    name, count = opened.ask(mode)
    found = opened.again(name)
    assert (found.differences, found.unchecked, count) == ((), (), 3)
    assert str(found).endswith("identical")
    drawn = sample(opened.folder, opened.lists.world.domain, 100, bytes(32))
    assert name in drawn


def lie(monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]) -> None:
    """Have the house serve another list."""
    honest = Sessions._members

    def members(desk: Sessions, *given: Any) -> bytes:  # noqa: ANN401
        return change(honest(desk, *given))

    def served(desk: Sessions, record: Any) -> Any:  # noqa: ANN401
        found = count(desk, record)
        return (
            desk._files.points(
                record.name, "y", len(found._path.read_bytes()) // POINT_BYTES
            )
            if found._path.exists()
            else found
        )

    count = Sessions._served
    monkeypatch.setattr(Sessions, "_members", members)
    monkeypatch.setattr(Sessions, "_served", served)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [0, 3, 6])
def test_an_entry_left_out(
    opened: Opened, mode: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever it is: first, middle, last."""

    def change(points: bytes) -> bytes:
        at = number * POINT_BYTES
        other = multiply_all(ristretto.scalar(b"7" * 64), points[at : at + POINT_BYTES])
        return points[:at] + other + points[at + POINT_BYTES :]

    lie(monkeypatch, change)
    name, _ = opened.ask(mode)
    assert opened.again(name).differences == (OTHER,)


@pytest.mark.parametrize("more", [True, False])
def test_an_entry_added_or_missing(
    tmp_path: Path,
    more: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One point more, of nobody, or one less: the bank counts, and auditors find it."""
    guest = ristretto.base(ristretto.scalar(b"3" * 64))

    def change(points: bytes) -> bytes:
        return points + guest if more else points[POINT_BYTES:]

    lie(monkeypatch, change)
    with World(tmp_path) as world:
        lists = Lists(world)
        lists.push(ids(*range(7)))
        lists.contract()
        with world.auditor() as one, world.auditor("auditor-b") as two:
            opened = Opened(lists, (one, two))
            with pytest.raises(ReplyRefused):
                opened.ask("intersection")
            (name,) = opened.sessions()
            assert opened.again(name).differences == (OTHER,)


def test_a_reply_exchanged(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """A match lost, or another made: Z is not t E."""
    honest = psi_house.multiply_all

    def exchange(scalar: bytes, points: bytes) -> bytes:
        found = honest(scalar, points)
        if len(found) == 6 * POINT_BYTES:  # the bank's points, not the list's
            return found[POINT_BYTES:] + found[:POINT_BYTES]
        return found

    monkeypatch.setattr(psi_house, "multiply_all", exchange)
    name, _ = opened.ask("intersection")
    assert opened.again(name).differences == (
        "other replies were made than the authority's points give",
    )


def test_another_version_is_shown(opened: Opened) -> None:
    """Points that the custodian did not sign, in the place of the list's."""
    name, _ = opened.ask("intersection")
    case = opened.case(name)
    shares = opened.shares(case)
    listed = opened.one.session_points(case, evaluated=False)
    evaluated = opened.one.session_points(case, evaluated=True)
    assert listed is not None
    for wrong in (listed[POINT_BYTES:], listed[::-1], b""):
        found = psi_transcript.replay(case, shares, wrong, evaluated, now_ms())
        assert found.differences == (
            "the points of the list are not what its custodian signed",
        )
    assert evaluated is not None
    swapped = evaluated[POINT_BYTES:] + evaluated[:POINT_BYTES]
    found = psi_transcript.replay(case, shares, listed, swapped, now_ms())
    assert found.differences == ("the points are not what the authority multiplied",)


def test_points_that_a_house_has_lost(opened: Opened) -> None:
    """Within 90 days that is a finding; later it is told and nothing else."""
    assert KEPT_MS == BITS_WINDOW_MS
    name, _ = opened.ask("intersection")
    case = opened.case(name)
    shares = opened.shares(case)
    listed = opened.one.session_points(case, evaluated=False)
    assert listed is not None
    opened.lists.psi_house._files.points(name, "e", 0).erase()
    assert opened.one.session_points(case, evaluated=True) is None
    assert opened.again(name).differences == (
        "the house has not kept the authority's points",
    )
    later_ms = case.time_ms + KEPT_MS
    found = psi_transcript.replay(case, shares, listed, None, later_ms)
    assert (found.identical, len(found.unchecked)) == (True, 1)
    assert "not looked at" in str(found)


def test_a_session_that_a_house_has_rightly_forgotten(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 90 days, of an export of then: the list is there, and nobody accused."""
    name, _ = opened.ask("intersection")
    case = opened.case(name)
    ledger, shares = opened.lists.house.ledger, opened.shares(case)
    ledger.commit(
        lambda tx: tx.db.execute(
            "DELETE FROM psi_session WHERE request = ?", (name,)
        ).fetchall()
    )
    later_ms = case.time_ms + KEPT_MS
    monkeypatch.setattr("node.replays.clock", SimpleNamespace(now_ms=lambda: later_ms))
    (found,) = replayed(opened.one, opened.lists.world.domain, [case], shares)
    assert (found.identical, len(found.unchecked)) == (True, 1)
    found = psi_transcript.replay(case, shares, None, None, later_ms)
    assert "has not kept the list" in str(found)


def test_other_seeds_and_sessions(opened: Opened) -> None:
    """The ticket commits to one seed; a session that nobody began is not found."""
    name, _ = opened.ask("intersection")
    case = opened.case(name)
    first, second = opened.shares(case)
    wrong = [first, replace(second, share=bytes(32))]
    found = psi_transcript.replay(case, wrong, b"", b"", now_ms())
    assert found.differences == (
        "the shares do not make the seed that the ticket commits to",
    )
    with pytest.raises(NotFound):
        find_sessions(opened.folder, opened.lists.world.domain, [bytes(32)])


def test_an_authority_that_leaves_an_entry_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a public list, without a word of anybody: decisions do not follow."""
    honest = PsiAuthority._findings

    def findings(desk: PsiAuthority, *given: Any) -> Any:  # noqa: ANN401
        found, _ = honest(desk, *given)
        return found, ((2, 1),)

    monkeypatch.setattr(PsiAuthority, "_findings", findings)
    with World(tmp_path) as world:
        lists = Lists(world)
        lists.push(ids(*range(7)))
        lists.contract()
        with lists.bank() as bank:
            bank.intersect("subsidy-intersection", ids(1, 2, 3))
        assert any("leaves out 1 entries, replay 0" in told for told in audit(lists))
