r"""Whether a session of intersection may run, and over which entries of the list.

A pure function, as `contracts.decide` is for calls: both nodes apply it in the
transaction that journals what came of it, and an auditor applies it again.  The
rules, besides those on the contract itself (`decide_job`: open to the bank, of this
kind, in force, for this purpose):

1. TOO_MANY when the bank names more subjects than the contract allows.  In a count
   as many points as the list has entries stand beside them (`protocols.psi`), and
   exactly so many: else the number of points would tell how many are markers.
2. SESSIONS_SPENT when the bank had as many sessions with this list, whatever the
   contract, as this contract allows in 90 days.
3. STALE_DATA unless the session is about the newest version of the list.
4. NO_CONSENT when the list is not public and no entry has a consent in force;
   STALE_DATA when so many have none that they fill more than `MOST_RUNS` runs: then
   a new version without them is due.
5. Once all is multiplied, before the authority says so, and again before it tells a
   number: the contract is still in force, and NO_CONSENT when an entry that takes part
   has lost its consent since.

*Consents* are the authority's, which alone knows whose entry is whose, and of them it
knows no more than ids: an entry takes part if its consent is active, in its time,
names the bank, the purpose, and the list or the contract, sets no limit of uses, and
rests on a basis that is accepted for the list.
(A limited one cannot be counted where nobody sees whom a session found.)

>>> terms = SessionTerms("subsidy", public=True, most_ids=3, sessions=4, extra=0)
>>> print(*findings(terms, points=4, before=4, newest=True))
SESSIONS_SPENT: 4 of 4 in 90 days TOO_MANY: 4 subjects, at most 3
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from contracts.basis import STRICT, Bases, basis_of
from contracts.consent import Status
from contracts.decide import ORDER, Data, Finding, Grant, Reason
from contracts.intersection import CompiledIntersection, is_public
from protocols.psi import Mode, Runs, runs_of
from protocols.psi_call import ListManifest

MOST_RUNS: Final = 2_500  # of entries left out; a journal entry holds as many


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """What a contract allows, over one version of its list."""

    list: str
    public: bool
    most_ids: int
    sessions: int  # of a bank in 90 days
    extra: int  # points that must stand beside the subjects

    @classmethod
    def of(
        cls, compiled: CompiledIntersection, manifest: ListManifest
    ) -> "SessionTerms":
        """Take the terms of a contract; `manifest` is the version asked about."""
        extra = manifest.rows if compiled.mode is Mode.CARDINALITY else 0
        return cls(
            compiled.list.id,
            is_public(compiled),
            compiled.most_ids,
            compiled.sessions,
            extra,
        )


def findings(
    terms: SessionTerms, points: int, before: int, *, newest: bool
) -> list[Finding]:
    """Apply rules 1 to 3; `before` counts the bank's sessions of 90 days."""
    found = []
    subjects = points - terms.extra
    if not 1 <= subjects <= terms.most_ids:  # 1
        found.append(
            Finding(Reason.TOO_MANY, f"{subjects} subjects, at most {terms.most_ids}")
        )
    if before >= terms.sessions:  # 2
        found.append(
            Finding(Reason.SESSIONS_SPENT, f"{before} of {terms.sessions} in 90 days")
        )
    if not newest:  # 3
        found.append(
            Finding(Reason.STALE_DATA, f"not the newest version of `{terms.list}`")
        )
    return sorted(found, key=lambda finding: ORDER[finding.reason])


@dataclass(frozen=True, slots=True)
class Whose:
    """Who asks, for what: what a consent must name."""

    bank: str
    purpose: str
    contract_id: str
    list: Data
    bases: Bases = STRICT  # that the trust domain accepts, now


def covers(grant: Grant | None, whose: Whose, now_ms: int) -> bool:
    """Tell whether a consent lets an entry take part in a session, now."""
    if grant is None or grant.status is not Status.ACTIVE or grant.pending:
        return False
    consent = grant.consent
    named = f"contract:{whose.contract_id}" in consent.scope
    return (
        grant.to(whose.bank)
        and whose.purpose in consent.purposes
        and (named or whose.list.in_scope(consent.scope))
        and consent.not_before_ms <= now_ms < consent.not_after_ms
        and consent.granted_at_ms <= now_ms
        and consent.max_uses is None
        and consent.frequency is None
        and whose.bases.accepts(
            basis_of(consent.evidence_kind), whose.list.tier, whose.list.category
        )
    )


def check_since(terms: SessionTerms, before: Runs, now: Runs) -> list[Finding]:
    """Apply rule 5 to the entries that did not take part, and do not now."""
    lost = len(_numbers(now) - _numbers(before))
    if lost:
        detail = f"{lost} of `{terms.list}` ended since the permit"
        return [Finding(Reason.NO_CONSENT, detail)]
    return []


def _numbers(runs: Runs) -> set[int]:
    return {n for first, count in runs for n in range(first, first + count)}


def check_dropped(terms: SessionTerms, runs: Runs, rows: int) -> list[Finding]:
    """Apply rule 4 to the entries that do not take part."""
    if sum(count for _, count in runs) >= rows:
        return [Finding(Reason.NO_CONSENT, f"no entry of `{terms.list}` has one")]
    if len(runs) > MOST_RUNS:
        return [Finding(Reason.STALE_DATA, f"`{terms.list}` is full of gaps")]
    return []


def dropped(grants: Iterable[Grant | None], whose: Whose, now_ms: int) -> Runs:
    """Return the entries that do not take part; `grants` in the order of the list."""
    return runs_of(
        number
        for number, grant in enumerate(grants)
        if not covers(grant, whose, now_ms)
    )
