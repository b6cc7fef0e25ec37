"""What auditors see of private calls: decisions, one story, and the message again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from contracts.job_transcript import NOT_SEED
from contracts.private_transcript import PrivateCase
from contracts.transcript import Share
from node.auditor import Auditor
from node.errors import Denied, NotFound
from node.private_house import Made
from node.replays import AnyCase, find, replayed
from node.transcript import sample
from node.verify import verify
from tests.crowd_of_one import Hidden, settle


@dataclass
class Audit:
    """A town, its export, one honest call and one whose tables were spoilt."""

    hidden: Hidden
    folder: Path
    calls: list[bytes]
    auditors: tuple[Auditor, Auditor]

    def differences(
        self,
        call: bytes,
        change: Any = lambda shares: shares,  # noqa: ANN401
    ) -> tuple[str, ...]:
        """Compute a call again."""
        trust = self.hidden.town.world.domain
        cases: list[AnyCase] = list(find(self.folder, trust, call))
        shares: list[Share] = [
            auditor.seed_share(cases[0]) for auditor in self.auditors
        ]
        (found,) = replayed(self.auditors[0], trust, cases, change(shares))
        return found.differences


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    """Ask, be refused, be lied to, and export."""
    folder = tmp_path_factory.mktemp("audit")
    world, hidden = settle(folder / "world")
    with world, hidden.bank() as bank:
        honest, other, spent = hidden.town.ids[:3]
        calls = [bank.range("turnover-floor", honest, hidden.among()).request]
        calls += [
            bank.range("turnover-floor", spent, hidden.among()).request
            for _ in range(3)
        ]
        with pytest.raises(Denied):
            bank.range("turnover-floor", spent, hidden.among())
        compute = hidden.house._compute

        def spoil(*given: Any) -> Made:  # noqa: ANN401
            made = compute(*given)
            *rest, last = made.messages
            tables = last.tables[:-1] + bytes([last.tables[-1] ^ 1])
            return replace(made, messages=(*rest, replace(last, tables=tables)))

        hidden.house._compute = spoil  # type: ignore[method-assign]
        calls.append(bank.range("turnover-floor", other, hidden.among()).request)
        with world.auditor() as one, world.auditor("auditor-b") as two:
            one.export(folder / "export")
            yield Audit(hidden, folder / "export", calls, (one, two))


def test_every_decision_follows_from_the_journals(audit: Audit) -> None:
    """Permits and a sealed refusal, in one story; all documents are signed."""
    report = verify(audit.folder, audit.hidden.town.world.domain)
    assert report.findings == ()
    assert report.unfinished.permits == 0


def test_a_private_call_is_computed_again(audit: Audit) -> None:
    """Byte for byte, over all candidates, and nobody needs to know who was meant."""
    assert audit.differences(audit.calls[0]) == ()
    drawn = sample(audit.folder, audit.hidden.town.world.domain, 100, bytes(32))
    assert set(audit.calls) < set(drawn)


def test_a_spoilt_table_is_found(audit: Audit) -> None:
    """Of a candidate who was not even meant."""
    assert audit.differences(audit.calls[-1]) == (
        "the message to the authority is another one",
    )


def test_another_seed_is_found(audit: Audit) -> None:
    """The ticket commits to it."""

    def edit(shares: list[Share]) -> list[Share]:
        first, second = shares
        return [first, replace(second, share=bytes(len(second.share)))]

    assert audit.differences(audit.calls[0], edit) == (NOT_SEED,)


def test_a_place_outside_its_block_is_a_difference(audit: Audit) -> None:
    """Whatever a house puts into its ticket, an auditor gets a result."""
    trust = audit.hidden.town.world.domain
    (case,) = find(audit.folder, trust, audit.calls[0])
    assert isinstance(case, PrivateCase)
    (block, _), *rest = case.ticket.places
    ticket = replace(case.ticket, places=((block, 75), *rest))
    shares = [auditor.seed_share(case) for auditor in audit.auditors]
    (found,) = replayed(
        audit.auditors[0], trust, [replace(case, ticket=ticket)], shares
    )
    assert found.differences == ("the ticket names a place outside its block",)


def test_a_call_that_nobody_made(audit: Audit) -> None:
    """It is not found."""
    with pytest.raises(NotFound):
        find(audit.folder, audit.hidden.town.world.domain, bytes(32))
