"""Whether a call may be computed once more for an auditor; pure.

An audit is no use: it spends neither the consent's uses nor bits, and its outcome goes
to an auditor, never to the bank.  So that it is no other way to ask about somebody:

1. CONTRACT_KIND unless the call asked for a score or a range.  Where the bank added a
   number of its own nobody keeps both halves of it.
2. NO_CONSENT unless the consent of the call is known, and WITHDRAWN, SUPERSEDED,
   SUSPENDED, as for a decryption that comes late
   (`decide.stands`): nothing more is computed about whoever took it back.
3. AUDITED when the call was computed for an auditor before: what came out then is all
   that an auditor is told of it.
4. AUDITS_SPENT when as many calls as `Limits.audits` were computed within the window,
   for all auditors together; the authority counts, the house passes none.

That the call is in the journal, released and committed to, that two auditors signed,
and that it is computed on its own data is for each node to see in its own journal.

>>> print(*findings(None, None, audited=True, before=0))
NO_CONSENT AUDITED CONTRACT_KIND: only scores and ranges are computed again
"""

from typing import Final

from contracts.contract import ContractKind
from contracts.decide import (
    LIMITS,
    ORDER,
    Finding,
    Grant,
    Limits,
    Reason,
    Terms,
    stands,
)

KINDS: Final = frozenset({ContractKind.SCORE, ContractKind.RANGE})
ASKED_MS: Final = 7 * 86_400_000  # two persons sign, one after the other


def findings(
    terms: Terms | None,
    grant: Grant | None,
    *,
    audited: bool,
    before: int,
    limits: Limits = LIMITS,
) -> list[Finding]:
    """Apply the rules; `before` counts what was computed within the window."""
    found = []
    if terms is None or terms.kind not in KINDS:  # 1
        found.append(
            Finding(Reason.CONTRACT_KIND, "only scores and ranges are computed again")
        )
    ended = Finding(Reason.NO_CONSENT) if grant is None else stands(grant.status)
    if ended is not None:  # 2
        found.append(ended)
    if audited:  # 3
        found.append(Finding(Reason.AUDITED))
    if before >= limits.audits:  # 4
        detail = f"{before} of {limits.audits} in 90 days"
        found.append(Finding(Reason.AUDITS_SPENT, detail))
    return sorted(found, key=lambda finding: ORDER[finding.reason])
