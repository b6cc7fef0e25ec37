r"""Rules that a contract must keep so that its answers do not read the records.

A contract is refused when it is submitted unless it keeps every rule or somebody
has answered, inside the contract's hash, for the one it does not (PROTOCOL 5):

====================  =========================================================
rule                  why
====================  =========================================================
indicators            of few indicators an outcome says much about each
categories            data of one kind repeat each other
custodians            nobody's data alone decide
share                 an indicator of more than a quarter of the range shows in
                      the outcome by itself
outcomes              fewer answers, fewer bits
narrowest-band        a narrow band tells the score
veto-flags/<reason>   a reason over one or two flags tells the flag;
                      insufficient_data is not a reason
input-bits            far more must go in than may come out in 90 days
joint-range           a bank that adds much decides alone, or probes
====================  =========================================================

An indicator counts when its points differ.  All figures are compared as exact
integers.

These are the rules that look at one contract by itself and at what may be said
without its data.  Two more bound, for every indicator, the information that one
budget of outcomes gives about it, over all contracts on the same columns
(PROTOCOL 5); they come with the pair of contracts that reads eight columns and
keeps every rule here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2, prod

from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.encoding import Column, Kind
from contracts.finding import Finding, refuse, waived
from contracts.scoring import Rule


@dataclass(frozen=True, slots=True)
class RuleLimits:
    """What a house asks of every contract."""

    indicators: int = 8  # at least
    categories: int = 3  # at least
    custodians: int = 2  # at least
    share_percent: int = 25  # at most, of the range of scores
    outcomes: int = 64  # at most
    narrowest_percent: int = 1  # at least, of the range of scores
    veto_flags: int = 3  # at least, in each reason
    input_factor: int = 4  # bits of input for one bit that may be revealed
    joint_percent: int = 20  # at most, of the range of scores


LIMITS = RuleLimits()


@dataclass(frozen=True, slots=True)
class Reading:
    """A column that a contract reads, and what it does to the score."""

    dataset: Dataset
    column: Column
    reach: int  # from its least to its largest part of the total

    @property
    def classes(self) -> int:
        """How many values the custodian tells apart."""
        return len(self.column.labels) or self.column.encrypted[0].limit + 1


def readings(
    compiled: Compiled, datasets: Mapping[str, Dataset]
) -> tuple[Reading, ...]:
    """Gather the encrypted columns of a contract by the columns they come from."""
    weights = {
        (column.dataset, column.name): weight
        for column, weight in zip(compiled.columns, compiled.card.weights, strict=True)
    }
    found = []
    for use in compiled.datasets:
        dataset = datasets[use.id]
        for column in dataset.columns:
            encrypted = column.encrypted
            if (use.id, encrypted[0].name) not in weights:
                continue
            values = [weights[use.id, item.name] for item in encrypted]
            if encrypted[0].kind is Kind.CLASS:
                reach = max(values) - min(values)
            else:
                reach = abs(values[0]) * encrypted[0].limit
            found.append(Reading(dataset, column, reach))
    return tuple(found)


def check_rules(
    compiled: Compiled, datasets: Mapping[str, Dataset], limits: RuleLimits = LIMITS
) -> tuple[Finding, ...]:
    """Apply every rule; the order is the docstring's."""
    indicators = [r for r in readings(compiled, datasets) if r.reach]
    spread = compiled.card.top  # the reaches add up to it
    findings = [
        _at_least(Rule.INDICATORS, len(indicators), limits.indicators),
        _at_least(
            Rule.CATEGORIES,
            len({r.dataset.category for r in indicators}),
            limits.categories,
        ),
        _at_least(
            Rule.CUSTODIANS,
            len({r.dataset.custodian for r in indicators}),
            limits.custodians,
        ),
        _share(indicators, spread, limits),
        Finding(
            Rule.OUTCOMES,
            len(compiled.outcomes) <= limits.outcomes,
            str(len(compiled.outcomes)),
            f"at most {limits.outcomes}",
        ),
        _narrowest(compiled, spread, limits),
        *(
            _at_least(
                f"{Rule.VETO_FLAGS}/{group.name}", len(group.members), limits.veto_flags
            )
            for group in compiled.card.groups[:-1]
        ),
        _input_bits(compiled, indicators, limits),
    ]
    if compiled.joint is not None:
        findings.append(_joint_range(compiled, spread, limits))
    return waived(findings, compiled.waivers)


def require(
    compiled: Compiled, datasets: Mapping[str, Dataset], limits: RuleLimits = LIMITS
) -> tuple[Finding, ...]:
    """Apply every rule; raises `RuleBroken` for those that nobody waived."""
    findings = check_rules(compiled, datasets, limits)
    refuse(compiled.id, findings)
    return findings


def _at_least(rule: str, got: int, least: int) -> Finding:
    return Finding(rule, got >= least, str(got), f"at least {least}")


def _share(indicators: list[Reading], spread: int, limits: RuleLimits) -> Finding:
    limit = f"at most {limits.share_percent} % of the range"
    if not indicators:
        return Finding(Rule.SHARE, ok=False, figure="no indicator", limit=limit)
    largest = max(indicators, key=lambda r: r.reach)
    name = f"`{largest.dataset.name}.{largest.column.name}`"
    return Finding(
        Rule.SHARE,
        100 * largest.reach <= limits.share_percent * spread,
        f"{_percent(largest.reach, spread)} of {name}",
        limit,
    )


def _narrowest(compiled: Compiled, spread: int, limits: RuleLimits) -> Finding:
    width = min(compiled.widths)
    return Finding(
        Rule.NARROWEST_BAND,
        100 * width >= limits.narrowest_percent * spread,
        _percent(width, spread),
        f"at least {limits.narrowest_percent} % of the range",
    )


def _input_bits(
    compiled: Compiled, indicators: list[Reading], limits: RuleLimits
) -> Finding:
    # sum of log2(classes) >= factor x limit, as product of classes >= 2^(...)
    product = prod(reading.classes for reading in indicators)
    asked = -(-limits.input_factor * compiled.limit_millibits // 1000)
    return Finding(
        Rule.INPUT_BITS,
        product >= 1 << asked,
        f"{log2(product):.1f} bits",
        f"at least {asked}, {limits.input_factor} x the limit of 90 days",
    )


def _joint_range(compiled: Compiled, spread: int, limits: RuleLimits) -> Finding:
    added = compiled.card.added
    return Finding(
        Rule.JOINT_RANGE,
        100 * added <= limits.joint_percent * spread,
        _percent(added, spread),
        f"at most {limits.joint_percent} % of the range",
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"
