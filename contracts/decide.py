r"""Whether a call may run: allow, or deny with every reason.

A decision is a pure function of its arguments.  It reads no clock, no store
and no configuration, so house and authority decide alike on their own copies
of the register, and an auditor who replays a journal must come to the same
decision (`contracts.replay`).

The rules, in the order of `Reason`.  All of them are applied; one that lacks
what it is about (no such consent, no such contract, no usage) is silent,
because the rule that asks for it has spoken.

 1. NO_CONSENT unless the consent is known, names the bank as a grantee, by itself or
    by a class that it is a member of now, and is about the subject of the request.
 2. PURPOSE_MISMATCH unless the request's purpose is one of the consent's and
    is the contract's.
 3. SCOPE_TOO_SMALL unless the consent's scope names the contract, or every one
    of its datasets, by its name or its category.
 4. NOT_YET_VALID when now < not_before.
 5. EXPIRED when now >= not_after.
 6. WITHDRAWN when the consent was withdrawn or invalidated, SUPERSEDED when a newer
    one took its place (`contracts.supersede`).
 7. SUSPENDED while it is suspended, UNAPPROVED while its import waits for a second
    operator.
 8. USED_UP when uses >= max_uses; all banks count together.
 9. FREQUENCY when the uses within its window reach the consent's frequency.
10. SEPARATE_CONSENT when a dataset of tier T3 is read and the consent is not
    a separate one; BASIS_REFUSED when the trust domain does not accept the consent's
    basis for a dataset's tier and category (`contracts.basis`), or that of a statistic,
    or of a public list.
11. BITS_SPENT when what was revealed within the window and this call together
    exceed a limit: of bank and subject, of the subject over all banks, or of
    bank, subject and contract.
12. ANSWERS_SPENT when queries about one column have had their answers of a quarter,
    over all banks and contracts; told as BITS_SPENT, so that a bank does not learn
    what others asked.
13. JOINT_SPENT when the bank has added a number of its own to this subject's score
    within 30 days, by this contract in any version: a second number beside the first
    would probe where the score lies.
14. CONTRACT_UNKNOWN unless the contract is registered and open to the bank.
15. CONTRACT_KIND unless it answers the kind of question that is asked, and, in a
    job, can be run for many at once.
16. CONTRACT_NOT_APPROVED until it is active.
17. CONTRACT_RETIRED once it is retired.
18. GRANTED_AFTER_CALL when the subject said yes after now.

Rules 8, 9 and 11 to 13 are the authority's, which counts; the house passes no usage.
An event at time t lies within a window while now - t < window.

**An error while deciding is a denial.**  Whatever this module raises, and
whatever fails while its arguments are fetched, the caller denies with
INTERNAL.

The reasons from REPLAY_MISMATCH on that are not above are given by the nodes'
own checks (PROTOCOL 5); they stand in the one enum so that they have one order
and one sentence each.

What a caller may not know stays in the journal: the reply names the first
reason only, and beside NO_CONSENT, which says the same of an unknown subject,
an unknown consent and another bank's consent, it tells nothing at all.

>>> terms = Terms(
...     contract=bytes(32), contract_id="grade/1", purpose="loan",
...     banks=("bank-a",), datasets=(Data("tax", Tier.T1),), millibits=3_000,
...     limit_millibits=12_000, stage=Stage.ACTIVE,
... )
>>> ask = Ask("bank-a", "loan", subject=b"p", consent_id="c-1", spends=3_000)
>>> decision = decide(ask, terms, None, None, now_ms=0)
>>> decision.allow
False
>>> for finding in decision.reasons:
...     print(finding)
NO_CONSENT: consent `c-1` is not known here
>>> print(public(decision.reasons))
NO_CONSENT
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from contracts.basis import STRICT, Bases, Basis, basis_of
from contracts.consent import DAY_MS, Consent, Status
from contracts.contract import ContractKind
from contracts.dataset import Tier
from contracts.lifecycle import Stage

SEPARATE_TIER: Final = Tier.T3  # sensitive personal data
UNKNOWN_SUBJECT: Final = "the subject is not in the directory"
UNKNOWN_TO_JOB: Final = (
    "when the job began the subject was not in the directory, or had not consented"
)
OUTSIDE_BY: Final = "by its public attributes"


class Reason(StrEnum):
    """Why a call is denied, in the order in which they are told."""

    NO_CONSENT = "NO_CONSENT"
    PURPOSE_MISMATCH = "PURPOSE_MISMATCH"
    SCOPE_TOO_SMALL = "SCOPE_TOO_SMALL"
    NOT_YET_VALID = "NOT_YET_VALID"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"
    SUPERSEDED = "SUPERSEDED"
    SUSPENDED = "SUSPENDED"
    UNAPPROVED = "UNAPPROVED"
    USED_UP = "USED_UP"
    FREQUENCY = "FREQUENCY"
    SEPARATE_CONSENT = "SEPARATE_CONSENT"
    BASIS_REFUSED = "BASIS_REFUSED"
    BITS_SPENT = "BITS_SPENT"
    ANSWERS_SPENT = "ANSWERS_SPENT"
    JOINT_SPENT = "JOINT_SPENT"
    EPSILON_SPENT = "EPSILON_SPENT"
    GROUP_SIZE = "GROUP_SIZE"
    SESSIONS_SPENT = "SESSIONS_SPENT"
    TOO_MANY = "TOO_MANY"
    AUDITED = "AUDITED"
    AUDITS_SPENT = "AUDITS_SPENT"
    CONTRACT_UNKNOWN = "CONTRACT_UNKNOWN"
    CONTRACT_KIND = "CONTRACT_KIND"
    CONTRACT_NOT_APPROVED = "CONTRACT_NOT_APPROVED"
    CONTRACT_RETIRED = "CONTRACT_RETIRED"
    REPLAY_MISMATCH = "REPLAY_MISMATCH"
    CLOCK_SKEW = "CLOCK_SKEW"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    GRANTED_AFTER_CALL = "GRANTED_AFTER_CALL"
    OBJECTION = "OBJECTION"
    STALE_DATA = "STALE_DATA"
    DATA_DAMAGED = "DATA_DAMAGED"
    OUTSIDE_FILTER = "OUTSIDE_FILTER"
    TICKET_INVALID = "TICKET_INVALID"
    MESSAGE_INVALID = "MESSAGE_INVALID"
    INTENT_UNPROVEN = "INTENT_UNPROVEN"
    INTERNAL = "INTERNAL"


SENTENCES: Final = {
    Reason.NO_CONSENT: "no consent of this subject covers a call by this bank",
    Reason.PURPOSE_MISMATCH: "the purpose is not one that contract and consent name",
    Reason.SCOPE_TOO_SMALL: "the consent does not cover all data of the contract",
    Reason.NOT_YET_VALID: "the consent is not valid yet",
    Reason.EXPIRED: "the consent has expired",
    Reason.WITHDRAWN: "the consent was withdrawn",
    Reason.SUPERSEDED: "a newer consent took the place of this one",
    Reason.SUSPENDED: "the consent is suspended",
    Reason.UNAPPROVED: "the consent has not been approved by a second operator",
    Reason.USED_UP: "the consent has no use left",
    Reason.FREQUENCY: "the consent was used too often in a short time",
    Reason.SEPARATE_CONSENT: "the contract reads data that need a separate consent",
    Reason.BASIS_REFUSED: "the legal basis is not accepted for data of the contract",
    Reason.BITS_SPENT: "what may be revealed about this subject is spent for now",
    Reason.ANSWERS_SPENT: "the answers about this column are spent for now",
    Reason.JOINT_SPENT: "this subject was scored jointly by this contract not long ago",
    Reason.EPSILON_SPENT: "what statistics may reveal of the dataset is spent for now",
    Reason.GROUP_SIZE: "no group has as many subjects as the contract asks for",
    Reason.SESSIONS_SPENT: "the sessions with this list are used up for now",
    Reason.TOO_MANY: "more subjects than one session of the contract may ask about",
    Reason.AUDITED: "the call was computed again for an auditor before",
    Reason.AUDITS_SPENT: "as many calls were computed again as may be for now",
    Reason.CONTRACT_UNKNOWN: "no such contract is open to this bank",
    Reason.CONTRACT_KIND: "the contract answers another kind of question",
    Reason.CONTRACT_NOT_APPROVED: "the contract is not in force yet",
    Reason.CONTRACT_RETIRED: "the contract is retired",
    Reason.REPLAY_MISMATCH: "another request was made under the same jti",
    Reason.CLOCK_SKEW: "the time of the request is too far from the clock",
    Reason.SIGNATURE_INVALID: "a signature does not verify",
    Reason.GRANTED_AFTER_CALL: "the consent was given after the call",
    Reason.OBJECTION: "the subject objects",
    Reason.STALE_DATA: "the data are older than the contract allows",
    Reason.DATA_DAMAGED: "the stored data of this subject are damaged",
    Reason.OUTSIDE_FILTER: "the job is not about subjects of this kind",
    Reason.TICKET_INVALID: "the ticket does not fit the request",
    Reason.MESSAGE_INVALID: "the message is not as the contract compiles it",
    Reason.INTENT_UNPROVEN: "the call is not shown to be in the journal",
    Reason.INTERNAL: "the call could not be decided",
}

# What would tell one bank that others have asked is told as this instead.
_TOLD_AS: Final = {Reason.ANSWERS_SPENT: Reason.BITS_SPENT}

ORDER: Final = {reason: number for number, reason in enumerate(Reason)}

# Only these details are about the contract and the request alone.  The others
# would tell one bank what others asked, or when the subject did what.
_TOLD: Final = frozenset(
    {
        Reason.SCOPE_TOO_SMALL,
        Reason.SEPARATE_CONSENT,
        Reason.BASIS_REFUSED,
        Reason.CONTRACT_KIND,
        Reason.EPSILON_SPENT,
        Reason.GROUP_SIZE,  # attributes are public
        Reason.SESSIONS_SPENT,
        Reason.TOO_MANY,
        Reason.AUDITS_SPENT,
    }
)


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset that a contract reads."""

    dataset: str
    tier: Tier
    category: str = ""  # as its custodian declares it

    def in_scope(self, scope: Collection[str]) -> bool:
        """Tell whether a consent's scope names it, by itself or by its category."""
        if f"dataset:{self.dataset}" in scope:
            return True
        return f"category:{self.category}" in scope


@dataclass(frozen=True, slots=True)
class Terms:
    """What a registered contract asks for and reveals."""

    contract: bytes  # hash of the compiled integers
    contract_id: str  # as consents name it
    purpose: str
    banks: tuple[str, ...]  # that may call it
    datasets: tuple[Data, ...]
    millibits: int  # that one call reveals
    limit_millibits: int  # for one bank and subject within the window
    stage: Stage
    kind: ContractKind = ContractKind.SCORE
    batch: bool = True  # whether jobs run it
    attribute: str = ""  # the column that a query is about, whose answers are counted
    bases: Bases = STRICT  # that the trust domain accepts, now


@dataclass(frozen=True, slots=True)
class Grant:
    """A consent as it stands in a node's register."""

    consent: Consent
    status: Status
    subject: bytes  # the node's pseudonym
    members: frozenset[str] = frozenset()  # banks of the classes that it names, now
    pending: bool = False  # its import waits for a second operator

    def to(self, bank: str) -> bool:
        """Tell whether a bank is a grantee."""
        return bank in self.consent.grantees or bank in self.members


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used and revealed before this call; permits count, nothing else."""

    uses: int  # of the consent, ever, over all banks
    recent_uses: int  # within the window of the consent's frequency
    bank_millibits: int  # this bank and subject, within `Limits.window_ms`
    subject_millibits: int  # this subject, all banks
    contract_millibits: int  # this bank, subject and contract
    answers: int = 0  # that the contract's `Quota` counts


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be revealed within a sliding window."""

    bank_millibits: int = 24_000  # a bank and subject
    subject_millibits: int = 72_000  # a subject, over all banks
    window_ms: int = 90 * DAY_MS
    answers: int = 3  # about a subject and column, over all banks and contracts
    answers_ms: int = 92 * DAY_MS  # no quarter is longer
    joint: int = 1  # joint scores, for a bank, subject and contract
    joint_ms: int = 30 * DAY_MS
    audits: int = 100  # calls computed again for auditors, within `window_ms`


LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Quota:
    """What is counted of a subject beside bits: how often, within which window."""

    name: str
    most: int
    window_ms: int
    reason: Reason


def quota(terms: Terms | None, bank: str, limits: Limits) -> Quota | None:
    """Return what a contract's answers to a bank count for, if anything."""
    if terms is None:
        return None
    if terms.kind is ContractKind.JOINT:
        name = f"joint {terms.contract_id} {bank}"  # of any version
        return Quota(name, limits.joint, limits.joint_ms, Reason.JOINT_SPENT)
    if terms.attribute:
        most, window_ms = limits.answers, limits.answers_ms
        return Quota(terms.attribute, most, window_ms, Reason.ANSWERS_SPENT)
    return None


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, as far as it matters for the decision."""

    bank: str
    purpose: str
    subject: bytes  # the node's pseudonym of the subject
    consent_id: str
    spends: int  # millibits; 0 for a repeat of an answer that was released
    kind: str = ContractKind.SCORE  # of question; any other word is another kind


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason and its particulars, for the journal."""

    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


@dataclass(frozen=True, slots=True)
class Decision:
    """Allow, or deny with every reason in the order of the enum."""

    allow: bool
    reasons: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        if self.allow is bool(self.reasons):
            raise RuntimeError("a decision allows, or has a reason to deny")

    def __str__(self) -> str:
        told = "; ".join(str(finding) for finding in self.reasons)
        return "allows" if self.allow else f"denies: {told}"


ALLOW: Final = Decision(allow=True)


def denied(findings: Iterable[Finding]) -> Decision:
    """Deny with these, in order; at least one (empty means a bug, never allow)."""
    return Decision(
        allow=False, reasons=tuple(sorted(findings, key=lambda f: ORDER[f.reason]))
    )


def public(findings: Iterable[Finding]) -> Finding:
    """Return what the caller is told: the first reason, and only harmless detail."""
    first = min(findings, key=lambda f: ORDER[f.reason])
    if first.reason in _TOLD:
        return first
    return Finding(_TOLD_AS.get(first.reason, first.reason))


def decide(
    ask: Ask,
    terms: Terms | None,
    grant: Grant | None,
    usage: Usage | None,
    now_ms: int,
    limits: Limits = LIMITS,
) -> Decision:
    """Apply every rule of the module's docstring.

    `usage` is None for the house, whose decision counts nothing.  Raises
    `RuntimeError` when `grant` is not the consent that was asked for.
    """
    findings: list[Finding] = []
    if grant is None:
        # 1, for a consent that nobody registered
        findings.append(Finding(Reason.NO_CONSENT, _unknown(ask)))
    else:
        if grant.consent.consent_id != ask.consent_id:
            raise RuntimeError("the grant is not the consent of the request")
        _check_parties(findings, ask, grant)
        _check_validity(findings, grant, now_ms)
        if usage is not None:
            _check_uses(findings, grant.consent, usage)
        if terms is not None:
            _check_scope(findings, terms, grant.consent)
    _check_contract(findings, ask, terms)
    if usage is not None and terms is not None:
        _check_bits(findings, ask.spends, terms, usage, limits)
        counted = quota(terms, ask.bank, limits)
        if counted is not None:
            _check_quota(findings, ask.spends, counted, usage)
    return denied(findings) if findings else ALLOW


def decide_job(
    bank: str, purpose: str, terms: Terms | None, kind: str = ContractKind.SCORE
) -> Decision:
    """Apply the rules that hang on no subject: 14 to 17, the contract's half of 2.

    What would deny every entry of a job denies the job; of `kind` is the question.
    """
    findings: list[Finding] = []
    _check_contract(findings, Ask(bank, purpose, b"", "", 0, kind), terms)
    if terms is not None and terms.kind is ContractKind.SCORE and not terms.batch:
        detail = f"contract `{terms.contract_id}` is too wide for a job"
        findings.append(Finding(Reason.CONTRACT_KIND, detail))
    return denied(findings) if findings else ALLOW


def stands(status: Status) -> Finding | None:
    """Say what has happened to a consent since it was permitted, if anything.

    A permit counts as released and outlives the consent's end; but what was
    withdrawn, suspended or superseded before the decryption is not decrypted.
    """
    findings: list[Finding] = []
    _check_status(findings, status)
    return findings[0] if findings else None


def _unknown(ask: Ask) -> str:
    if not ask.consent_id:
        return "the request names no consent"
    return f"consent `{ask.consent_id}` is not known here"


def _check_parties(findings: list[Finding], ask: Ask, grant: Grant) -> None:
    consent = grant.consent
    # 1
    if not grant.to(ask.bank):
        grantees = ", ".join(f"`{grantee}`" for grantee in consent.grantees)
        findings.append(
            Finding(
                Reason.NO_CONSENT,
                f"`{ask.bank}` is not a grantee of consent `{consent.consent_id}`,"
                f" which is for {grantees}" + _now(grant),
            )
        )
    if ask.subject != grant.subject:
        findings.append(
            Finding(
                Reason.NO_CONSENT,
                f"consent `{consent.consent_id}` is about another subject",
            )
        )
    # 2, the consent's half
    if ask.purpose not in consent.purposes:
        findings.append(
            Finding(
                Reason.PURPOSE_MISMATCH,
                f"purpose `{ask.purpose}` is not one of the consent's",
            )
        )


def _now(grant: Grant) -> str:
    if not grant.consent.classes:
        return ""
    members = ", ".join(f"`{bank}`" for bank in sorted(grant.members))
    return f", now {members or 'nobody'}"


def _check_validity(findings: list[Finding], grant: Grant, now_ms: int) -> None:
    consent = grant.consent
    # 4
    if now_ms < consent.not_before_ms:
        findings.append(
            Finding(Reason.NOT_YET_VALID, f"valid from {consent.not_before_ms}")
        )
    # 5: the end is exclusive
    if now_ms >= consent.not_after_ms:
        findings.append(
            Finding(Reason.EXPIRED, f"valid until {consent.not_after_ms}, exclusive")
        )
    _check_status(findings, grant.status)
    # 7
    if grant.pending:
        findings.append(Finding(Reason.UNAPPROVED))
    # 18
    if consent.granted_at_ms > now_ms:
        findings.append(
            Finding(Reason.GRANTED_AFTER_CALL, f"granted at {consent.granted_at_ms}")
        )


def _check_status(findings: list[Finding], status: Status) -> None:
    # 6
    if status is Status.WITHDRAWN or status is Status.INVALIDATED:
        findings.append(Finding(Reason.WITHDRAWN, f"{status}"))
    if status is Status.SUPERSEDED:
        findings.append(Finding(Reason.SUPERSEDED))
    # 7
    if status is Status.SUSPENDED:
        findings.append(Finding(Reason.SUSPENDED))


def _check_uses(findings: list[Finding], consent: Consent, usage: Usage) -> None:
    # 8
    if consent.max_uses is not None and usage.uses >= consent.max_uses:
        findings.append(
            Finding(Reason.USED_UP, f"used {usage.uses} of {consent.max_uses}")
        )
    # 9
    frequency = consent.frequency
    if frequency is not None and usage.recent_uses >= frequency.times:
        findings.append(
            Finding(Reason.FREQUENCY, f"used {usage.recent_uses} of {frequency}")
        )


def _check_scope(findings: list[Finding], terms: Terms, consent: Consent) -> None:
    # 3
    if f"contract:{terms.contract_id}" not in consent.scope:
        missing = [
            data.dataset for data in terms.datasets if not data.in_scope(consent.scope)
        ]
        # A contract that names no dataset is covered by naming it, or not at all.
        if missing or not terms.datasets:
            findings.append(
                Finding(Reason.SCOPE_TOO_SMALL, "missing " + ", ".join(missing))
            )
    # 10
    if not consent.separate:
        separate = [d.dataset for d in terms.datasets if d.tier == SEPARATE_TIER]
        if separate:
            findings.append(
                Finding(
                    Reason.SEPARATE_CONSENT,
                    f"of tier {SEPARATE_TIER}: " + ", ".join(separate),
                )
            )

    refused = _unaccepted(terms, basis_of(consent.evidence_kind))
    if refused:
        findings.append(refused)


def _unaccepted(terms: Terms, basis: Basis) -> Finding | None:
    missing = [
        data.dataset
        for data in terms.datasets
        if not terms.bases.accepts(basis, data.tier, data.category)
    ]
    if not missing:
        return None
    return Finding(Reason.BASIS_REFUSED, f"`{basis}` for " + ", ".join(missing))


def _check_ground(findings: list[Finding], terms: Terms) -> None:
    """Ask for the basis of what needs nobody's consent."""
    basis = None
    if terms.kind is ContractKind.AGGREGATE:
        basis = Basis.AGGREGATE
    if terms.kind is ContractKind.PSI:
        public_ = all(data.tier is Tier.T0 for data in terms.datasets)
        basis = Basis.PUBLIC if public_ else None
    refused = None if basis is None else _unaccepted(terms, basis)
    if refused:
        findings.append(refused)


def _check_contract(findings: list[Finding], ask: Ask, terms: Terms | None) -> None:
    # 14
    if terms is None:
        findings.append(Finding(Reason.CONTRACT_UNKNOWN, "not registered"))
        return
    _check_ground(findings, terms)  # 10
    if ask.bank not in terms.banks:
        findings.append(
            Finding(
                Reason.CONTRACT_UNKNOWN,
                f"contract `{terms.contract_id}` is not open to `{ask.bank}`",
            )
        )
    # 2, the contract's half
    if ask.purpose != terms.purpose:
        findings.append(
            Finding(
                Reason.PURPOSE_MISMATCH,
                f"purpose `{ask.purpose}` is not the contract's, `{terms.purpose}`",
            )
        )
    # 15
    if ask.kind != terms.kind:
        findings.append(
            Finding(
                Reason.CONTRACT_KIND,
                f"contract `{terms.contract_id}` answers `{terms.kind}`,"
                f" not `{ask.kind}`",
            )
        )
    # 16
    if terms.stage is Stage.SUBMITTED:
        findings.append(Finding(Reason.CONTRACT_NOT_APPROVED))
    # 17
    if terms.stage is Stage.RETIRED:
        findings.append(Finding(Reason.CONTRACT_RETIRED))


def _check_bits(
    findings: list[Finding], spends: int, terms: Terms, usage: Usage, limits: Limits
) -> None:
    # 11
    spent_and_limit = (
        ("bank and subject", usage.bank_millibits, limits.bank_millibits),
        ("subject", usage.subject_millibits, limits.subject_millibits),
        ("contract", usage.contract_millibits, terms.limit_millibits),
    )
    over = [
        f"{name} {spent} + {spends} of {limit} millibits"
        for name, spent, limit in spent_and_limit
        if spent + spends > limit
    ]
    if over:
        findings.append(Finding(Reason.BITS_SPENT, "; ".join(over)))


def _check_quota(
    findings: list[Finding], spends: int, counted: Quota, usage: Usage
) -> None:
    # 12, 13; a repeat spends nothing, and is no new answer
    if spends and usage.answers >= counted.most:
        detail = f"{usage.answers} of {counted.most} about `{counted.name}`"
        findings.append(Finding(counted.reason, detail))
