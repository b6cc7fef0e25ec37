r"""Whether a statistic may be asked: the basis, and how much epsilon is left.

Nobody consents to a statistic.  Its basis is that every custodian whose data it reads
has signed the contract's hash, that the data are not of tier T3, that no group is
under the contract's floor, that both nodes add noise, and that who objects is left out.

A decision is a pure function, as in `contracts.decide`, with these rules:

 1. the contract is known, open to the bank, a statistic, active, for this purpose;
 2. EPSILON_SPENT when what one bank was told of the dataset in this quarter, or all
    banks together, and this call exceed a limit: over all contracts on the dataset
    and all their versions;
 3. GROUP_SIZE when no group has as many subjects as the floor, or one has more than
    the contract provides for.

Rule 2 is the authority's, which counts.  An answer that is released again spends
nothing.

Epsilon is of neighbours that differ by one subject's record, there or not.  A record
exchanged for another moves a histogram by two, so is hidden by twice as much; and what
several datasets tell about one subject adds up, which no odometer counts.

>>> limits = EpsilonLimits(bank=1000, banks=1500)
>>> Spent(bank=600, banks=600).left(limits), Spent(bank=0, banks=1200).left(limits)
(400, 300)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contracts.aggregate_compiled import BANK_LIMIT, Aggregate, epsilon
from contracts.contract import ContractKind
from contracts.decide import ALLOW, Decision, Finding, Reason, Terms, decide_job, denied
from contracts.selection import Selection


@dataclass(frozen=True, slots=True)
class EpsilonLimits:
    """What statistics may reveal of one dataset in a quarter, in milliepsilon."""

    bank: int = BANK_LIMIT  # to one bank
    banks: int = 3 * BANK_LIMIT  # to all of them


LIMITS: Final = EpsilonLimits()


@dataclass(frozen=True, slots=True)
class Spent:
    """What was revealed of a dataset in a quarter; permits count, nothing else."""

    bank: int  # to the bank that asks
    banks: int  # to all banks

    def left(self, limits: EpsilonLimits) -> int:
        """Return what the bank may still be told, in milliepsilon."""
        return max(0, min(limits.bank - self.bank, limits.banks - self.banks))


def decide_aggregate(
    bank: str, purpose: str, terms: Terms | None, findings: Sequence[Finding] = ()
) -> Decision:
    """Apply rule 1, and add what the other rules found."""
    decision = decide_job(bank, purpose, terms, ContractKind.AGGREGATE)
    found = [*decision.reasons, *findings]
    return denied(found) if found else ALLOW


def check_spent(
    spends: int, spent: Spent, limits: EpsilonLimits = LIMITS
) -> list[Finding]:
    """Apply rule 2.

    The detail is told: a bank that is refused may ask for less.  It does not say
    which limit, nor what other banks asked.
    """
    left = spent.left(limits)
    if spends <= left:
        return []
    told = f"it takes {epsilon(spends)}, {epsilon(left)} is left in this quarter"
    return [Finding(Reason.EPSILON_SPENT, told)]


def check_groups(aggregate: Aggregate, selection: Selection) -> list[Finding]:
    """Apply rule 3."""
    if not selection.groups:
        return [
            Finding(
                Reason.GROUP_SIZE,
                f"no group has {aggregate.floor} subjects, the contract's floor",
            )
        ]
    largest = max(selection.groups, key=lambda group: group.subjects)
    if largest.subjects > aggregate.most_subjects:
        name = "、".join(largest.labels) or "all"
        return [
            Finding(
                Reason.GROUP_SIZE,
                f"group `{name}` has {largest.subjects} subjects, the contract provides"
                f" for {aggregate.most_subjects}",
            )
        ]
    return []
