"""A town whose banks asked about subjects, and report what became of their loans."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from contracts.feedback import Ending
from contracts.subject import SubjectType
from node.clock import now_ms
from node.feedback_client import Feedback, FeedbackDesk, FeedbackSender, Told
from node.keys import BankKeys, CustodianKeys
from protocols.note import LogProof
from tests.german import German
from tests.simulator import World

SUBJECTS = 8
CUSTODIAN = "credit-bureau"
A, B = "jnrcb", "lsbank"


def today() -> str:
    """Return the day of now."""
    return datetime.fromtimestamp(now_ms() / 1000, UTC).date().isoformat()


def sender(world: World, bank: str = A) -> FeedbackSender:
    """Open a bank's side."""
    return FeedbackSender(world.config(bank), world.keys(bank, BankKeys), world.domain)


def desk(world: World, party: str = CUSTODIAN) -> FeedbackDesk:
    """Open a custodian's side."""
    keys = world.keys(party, CustodianKeys)
    return FeedbackDesk(world.config(party), keys, world.domain)


@contextmanager
def town(folder: Path) -> Iterator[German]:
    """Let bank A ask about subjects 0 to 2, B about 2 and 3; the desk is open."""
    with World(folder / "world") as world:
        german = German(world, SUBJECTS)
        for subject in german.ids[:4]:
            german.grant(subject)
        for bank, asked in ((A, range(3)), (B, range(2, 4))):
            with german.bank(bank) as client:
                for number in asked:
                    subject = german.ids[number]
                    client.score("german-card", subject, consent=f"c-{subject}")
                assert client.flush() == 0
        with desk(world) as own:
            own.open_desk()
        yield german


def forget(german: German) -> None:
    """Let nobody remember a parcel, so that a town can be used once more."""
    german.house.ledger.commit(lambda tx: tx.db.execute("DELETE FROM feedback_parcel"))
    for party in (A, B, CUSTODIAN):
        receipts = german.world.folder / party / "data/receipts/feedback"
        shutil.rmtree(receipts, ignore_errors=True)


def told(german: German, *numbers: int, ending: Ending = Ending.REPAID) -> list[Told]:
    """Say of some subjects what became of their loans."""
    return [Told(german.ids[number], ending, today()) for number in numbers]


def report(german: German, said: Sequence[Told], bank: str = A) -> list[LogProof]:
    """Report with a bank's own receipts."""
    with german.bank(bank) as client, sender(german.world, bank) as own:
        return own.send(
            CUSTODIAN, SubjectType.OPAQUE, said, client.receipts(), now_ms()
        )


def fetched(german: German, party: str = CUSTODIAN) -> Feedback:
    """Fetch what reached a custodian."""
    with desk(german.world, party) as own:
        return own.fetch(now_ms())
