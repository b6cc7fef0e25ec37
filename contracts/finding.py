"""One approval rule applied to one contract; what of it may stand.

Every kind of contract has rules of its own, which keep its answers from reading the
records.  A contract is refused unless each is kept, or somebody whose data it reads
has answered, inside the contract's hash, for the one that is not.

>>> found = waived(
...     [Finding("outcomes", False, "70", "at most 64")],
...     [Waiver("outcomes", "a pilot", "tax-bureau")],
... )
>>> refuse("card", found)
>>> print(*found)
outcomes: 70, expected at most 64: waived by `tax-bureau`
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from contracts.errors import RuleBroken
from contracts.scoring import Waiver


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule, applied."""

    rule: str
    ok: bool
    figure: str  # what the contract has
    limit: str  # what is asked
    waived_by: str = ""  # party id of who answers for it

    def __str__(self) -> str:
        verdict = "kept" if self.ok else "broken"
        if self.waived_by and not self.ok:
            verdict = f"waived by `{self.waived_by}`"
        return f"{self.rule}: {self.figure}, expected {self.limit}: {verdict}"


def waived(
    findings: Iterable[Finding], waivers: Iterable[Waiver]
) -> tuple[Finding, ...]:
    """Note for every rule who answers for it."""
    signed = {waiver.rule: waiver.signed_by for waiver in waivers}
    return tuple(replace(f, waived_by=signed.get(f.rule, "")) for f in findings)


def refuse(contract: str, findings: Iterable[Finding]) -> None:
    """Raise `RuleBroken` for rules that are neither kept nor waived."""
    unwaived = [f for f in findings if not f.ok and not f.waived_by]
    if unwaived:
        raise RuleBroken(
            f"contract `{contract}`: " + "; ".join(map(_told, unwaived)),
            "change the contract, or add a waiver that says why and who answers",
        )


def _told(finding: Finding) -> str:
    return f"rule `{finding.rule}`: expected {finding.limit}, got {finding.figure}"
