"""Crime: a bank reads the custodians' part of a score by choosing what it adds.

b is to be the points of the bank's own model, and nobody sees it.  A bank may as well
add whatever tells most: it moves every threshold, and the guard zone, to where half of
what is possible lies on either side, and searches.  It knows the contract; here it
plays perfectly, against the German scorecard in eight grades, whose 702 possible
totals it takes for equally likely:

    any number, any number of calls      every total is read, in 8 calls at most
    within the range, any number         450 of 702 totals are read
    any number, one call                 1 total is told from all others, at the worst
    within the range, one call (ours)    never fewer than 50 totals are left: one grade

So both rules are needed: the lock of the range (`protocols.range_lock`), and one call
a subject, bank and contract in 30 days (`contracts.decide`).
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from contracts import kinds
from contracts.dataset import Dataset
from contracts.decide import Reason
from node import client
from node.client import BankClient, Outcome
from node.errors import Denied, ReplyRefused
from protocols.drbg import Drbg
from protocols.lookup import FlatGate
from protocols.program import OUT_OF_RANGE, Scorecard
from protocols.slots import Ints
from tests.german import FOLDER
from tests.hostile import permits, reasons
from tests.joint_town import JointTown, model, source
from tests.simulator import World

GUARD = OUT_OF_RANGE
ROW = {"开户年数": 3, "逾期": 0}


def german() -> Scorecard:
    """Compile the contract of `JointTown`."""
    datasets = {
        path.stem: Dataset.from_yaml(path.read_bytes(), path.name)
        for path in (FOLDER / "datasets").glob("*.yaml")
    }
    return kinds.read(source(), "contract.yaml").compile(datasets).card  # type: ignore[union-attr]


CARD = german()
TOTALS = np.arange(CARD.top - CARD.added + 1)  # of the custodians' columns
ANY, WITHIN = range(1 << CARD.m), range(CARD.added + 1)


def told(numbers: range) -> Ints:
    """Tabulate what an answer without a lock says: (numbers, totals)."""
    sums = (np.array(numbers)[:, None] + TOTALS) % (1 << CARD.m)
    firsts = [first for first, _ in CARD.steps]
    codes = np.searchsorted(firsts, sums, side="right") - 1
    return np.where(sums <= CARD.top, codes, GUARD)


class Gate:
    """One subject at house and authority, who answer whatever is asked."""

    def __init__(self, card: Scorecard, total: int) -> None:
        self.gate, self.total, self.calls = FlatGate(card), total, 0

    def __call__(self, number: int) -> int:
        """Ask with a number of the bank's; return the code that it reads."""
        self.calls += 1
        drbg = Drbg((b"%d %d" % (self.total, self.calls)).ljust(32))
        first, rest = 700, (number - 700) % (1 << CARD.m)
        rho = np.array([[999, 3, 7, 50]])
        sizes = [field.rows for field in CARD.fields]
        row = (2 * self.total + 2 * (number % (1 << CARD.m)) + 999) % sizes[0]
        u = np.array([[row, *(rho[0, 1:] % sizes[1:])]])
        tables, pads = self.gate.build(rho, (0,), drbg, (first,))
        rows = self.gate.pick(u, tables, (rest,))
        return int(self.gate.open(u, rows, pads, (0,), (rest,))[0])


def search(ask: Gate, numbers: range, most: int) -> Ints:
    """Ask until nothing more can be told; return the totals that are left."""
    answers, left = told(numbers), TOTALS
    for _ in range(most):
        sizes = np.array([np.bincount(row[left] - GUARD).max() for row in answers])
        best = int(sizes.argmin())
        if sizes[best] == len(left):
            break
        left = left[answers[best, left] == ask(numbers[best])]
    return left


VICTIMS = (0, 1, 149, 150, 299, 300, 431, 599, 600, 701)


@pytest.mark.parametrize("total", VICTIMS)
def test_without_rules_eight_calls_read_the_score(total: int) -> None:
    """Whatever it is; of a gate without a lock."""
    gate = Gate(replace(CARD, added=0), total)
    assert search(gate, ANY, most=99).tolist() == [total]
    assert gate.calls <= 8


@pytest.mark.parametrize("total", VICTIMS)
def test_the_lock_alone_leaves_most_totals_to_a_search(total: int) -> None:
    """All that the bank's range carries over a threshold: 450 of 702."""
    left = search(Gate(CARD, total), WITHIN, most=99)
    expected = {0: 150, 1: 150, 149: 150, 600: 102, 701: 102}.get(total, 1)
    assert (total in left, len(left)) == (True, expected)


def test_one_call_without_the_lock_tells_one_total_from_all_others() -> None:
    """The guard zone is a threshold that no contract has."""
    smallest = min(
        np.unique(row, return_counts=True)[1].min() for row in told(ANY) if np.ptp(row)
    )
    assert smallest == 1


def test_one_call_within_the_range_leaves_a_whole_grade() -> None:
    """Whatever it chooses, and whatever it is told."""
    smallest = min(np.unique(row, return_counts=True)[1].min() for row in told(WITHIN))
    assert smallest == np.diff([first for first, _ in CARD.steps[1:]]).min() == 50


@pytest.mark.parametrize("number", [CARD.added + 1, (1 << CARD.m) - 1])
def test_ours_answers_with_noise_beyond_the_range(number: int) -> None:
    """The same for the least total and the largest, however often it is asked.

    Eight of 256 bytes are grades: 5 of 160 answers, give or take 2.
    """
    for total in (0, 701):
        gate = Gate(CARD, total)
        codes = [gate(number) for _ in range(160)]
        grades = [code for code in codes if code != GUARD]
        assert 0 < len(grades) < 13
        assert len(set(grades)) > 1


# -- at the nodes


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JointTown]:
    """Run a town with a second version of the contract."""
    with World(tmp_path_factory.mktemp("joint-probed")) as world:
        made = JointTown(world, 8)
        made.submit(source(version=2), made.datasets)
        yield made


_victims = count()


@pytest.fixture
def victim(town: JointTown) -> str:
    """Name a subject that consented twice, and that nobody has asked about."""
    subject = town.ids[next(_victims)]
    town.consent(subject)
    town.consent(subject, f"again-{subject}")
    return subject


@pytest.fixture
def bank(town: JointTown) -> Iterator[BankClient]:
    """Open the bank's SDK."""
    with town.bank() as opened:
        yield opened


def add(
    bank: BankClient,
    subject: str,
    number: int,
    contract: str | bytes = "german-joint",
    consent: str = "",
) -> Outcome:
    """Ask with any number at all, whatever the model says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "number_of", lambda *_: number)
        return bank.joint(
            contract, subject, model(), ROW, consent=consent or f"c-{subject}"
        )


def spent(
    town: JointTown,
    bank: BankClient,
    subject: str,
    contract: str | bytes = "german-joint",
    consent: str = "",
) -> None:
    """Ask once more, and be refused for having asked."""
    with pytest.raises(Denied) as caught:
        add(bank, subject, 75, contract, consent)
    assert reasons(town.authority, caught.value) == [Reason.JOINT_SPENT]


def test_ours_stops_a_search_at_its_first_step(
    town: JointTown, bank: BankClient, victim: str
) -> None:
    """Another number, the same one, under another consent, of another version."""
    add(bank, victim, 0)
    for number in (0, 75, 150):
        with pytest.raises(Denied):
            add(bank, victim, number)
    spent(town, bank, victim, consent=f"again-{victim}")
    spent(town, bank, victim, town.flat.hash)  # version 1
    assert len(permits(town, f"c-{victim}")) == 1


def test_ours_counts_a_number_beyond_the_range(
    town: JointTown, bank: BankClient, victim: str
) -> None:
    """It is answered, because nobody sees it; its answer is noise, and was the one."""
    try:
        add(bank, victim, 151)
    except ReplyRefused as refused:
        assert "the total is out of range" in str(refused)  # noqa: PT017  or a grade, by chance
    spent(town, bank, victim)
    assert len(permits(town, f"c-{victim}")) == 1


def test_ours_gives_another_bank_and_another_contract_a_call_of_their_own(
    town: JointTown, bank: BankClient, victim: str
) -> None:
    """What two banks may tell each other is two grades: README says so.

    Another contract is one that the custodians approved; its bits count with the rest.
    """
    add(bank, victim, 0)
    with town.bank("lsbank") as other:
        add(other, victim, 150)
        spent(town, other, victim)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "number_of", lambda *_: 0)
        bank.joint(
            "german-fine", victim, model("german-fine"), ROW, consent=f"c-{victim}"
        )
    spent(town, bank, victim)
    millibits = [permit.millibits for permit in permits(town, f"c-{victim}")]
    assert millibits == [3_907] * 3
