"""Whether a call may run: the rules, restated slowly, and the cases by number."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.basis import Bases
from contracts.consent import DAY_MS, Consent, Evidence, Frequency, Status
from contracts.contract import ContractKind
from contracts.dataset import Tier
from contracts.decide import (
    ALLOW,
    LIMITS,
    ORDER,
    SENTENCES,
    Ask,
    Data,
    Decision,
    Finding,
    Grant,
    Limits,
    Quota,
    Reason,
    Terms,
    Usage,
    decide,
    denied,
    public,
    quota,
)
from contracts.lifecycle import Stage
from contracts.subject import SubjectType
from tests import strategies

START, END = 1_000_000, 2_000_000
SUBJECT = b"p" * 32

CONSENT = Consent(
    consent_id="c-1",
    subject=bytes(32),
    subject_type=SubjectType.CN_USCC,
    grantees=("bank-a",),
    purposes=("loan",),
    scope=("dataset:I12", "dataset:I13"),
    not_before_ms=START,
    not_after_ms=END,
    max_uses=5,
    frequency=None,
    separate=False,
    evidence_kind=Evidence.ONLINE,
    evidence_digest=b"",
    granted_at_ms=START,
    registrar="registry",
)
TERMS = Terms(
    contract=bytes(32),
    contract_id="grade",
    purpose="loan",
    banks=("bank-a", "bank-b"),
    datasets=(Data("I12", Tier.T1), Data("I13", Tier.T2)),
    millibits=3_000,
    limit_millibits=12_000,
    stage=Stage.ACTIVE,
)
ASK = Ask("bank-a", "loan", SUBJECT, "c-1", 3_000)
GRANT = Grant(CONSENT, Status.ACTIVE, SUBJECT)
UNUSED = Usage(0, 0, 0, 0, 0)


def reasons(
    ask: Ask = ASK,
    terms: Terms | None = TERMS,
    grant: Grant | None = GRANT,
    usage: Usage | None = UNUSED,
    now_ms: int = START,
    limits: Limits = LIMITS,
) -> list[Reason]:
    """Decide and keep the reasons only."""
    decision = decide(ask, terms, grant, usage, now_ms, limits)
    return [finding.reason for finding in decision.reasons]


def consenting(**changes: object) -> Grant:
    """GRANT with another consent."""
    return replace(GRANT, consent=replace(CONSENT, **changes))  # type: ignore[arg-type]


def test_a_call_within_everything_is_allowed() -> None:
    """Nothing stands against it: allowed, by house and authority alike."""
    assert decide(ASK, TERMS, GRANT, UNUSED, START) == ALLOW
    assert decide(ASK, TERMS, GRANT, None, START) == ALLOW


def test_case_1_the_end_is_exclusive() -> None:
    """A call at not_after exactly is EXPIRED; a millisecond before it runs."""
    assert reasons(now_ms=END) == [Reason.EXPIRED]
    assert reasons(now_ms=END - 1) == []


def test_case_2_the_beginning_is_inclusive() -> None:
    """A call before not_before is NOT_YET_VALID; at not_before it runs."""
    early = consenting(granted_at_ms=0)
    assert reasons(grant=early, now_ms=START - 1) == [Reason.NOT_YET_VALID]
    assert reasons(grant=early, now_ms=START) == []


@pytest.mark.parametrize(
    ("ask", "contract"), [("review", "loan"), ("loan", "review"), ("review", "review")]
)
def test_case_3_the_purpose_is_the_consents_and_the_contracts(
    ask: str, contract: str
) -> None:
    """A purpose that one of the two does not name is PURPOSE_MISMATCH."""
    got = reasons(replace(ASK, purpose=ask), replace(TERMS, purpose=contract))
    assert {Reason.PURPOSE_MISMATCH} == set(got)


def test_case_4_another_banks_consent_tells_nothing() -> None:
    """The reply is the one for no consent at all; the journal names both banks."""
    foreign = decide(
        replace(ASK, bank="bank-b"),
        TERMS,
        replace(GRANT, status=Status.WITHDRAWN),
        UNUSED,
        END,
    )
    nothing = decide(replace(ASK, bank="bank-b"), TERMS, None, UNUSED, END)
    assert Finding(Reason.NO_CONSENT) == public(foreign.reasons)
    assert public(nothing.reasons) == public(foreign.reasons)
    assert "`bank-b` is not a grantee" in foreign.reasons[0].detail
    assert "`bank-a`" in foreign.reasons[0].detail
    assert [finding.reason for finding in foreign.reasons] == [
        Reason.NO_CONSENT,
        Reason.EXPIRED,
        Reason.WITHDRAWN,
    ]


def test_case_5_what_the_consent_does_not_cover_is_listed() -> None:
    """The contract needs I12 and I13, the consent has I12: I13 is told."""
    decision = decide(ASK, TERMS, consenting(scope=("dataset:I12",)), UNUSED, START)
    assert (Finding(Reason.SCOPE_TOO_SMALL, "missing I13"),) == decision.reasons
    assert decision.reasons[0] == public(decision.reasons)


def test_a_scope_that_names_the_contract_covers_its_data() -> None:
    """`contract:grade` is enough for grade, and for nothing else."""
    assert reasons(grant=consenting(scope=("contract:grade",))) == []
    assert reasons(grant=consenting(scope=("contract:grade2",))) == [
        Reason.SCOPE_TOO_SMALL
    ]
    # a dataset of the same name as the contract is another thing
    assert reasons(grant=consenting(scope=("dataset:grade",))) == [
        Reason.SCOPE_TOO_SMALL
    ]


def test_no_dataset_is_covered_by_no_dataset() -> None:
    """A contract without datasets needs to be named itself: empty means no."""
    assert reasons(terms=replace(TERMS, datasets=())) == [Reason.SCOPE_TOO_SMALL]


def test_case_12_a_consent_given_after_the_call() -> None:
    """granted_at after now is GRANTED_AFTER_CALL, at now it is not."""
    assert reasons(grant=consenting(granted_at_ms=START + 1)) == [
        Reason.GRANTED_AFTER_CALL
    ]


def test_case_15_sensitive_data_need_a_separate_consent() -> None:
    """A T3 dataset and a consent that is not separate: refused, and named."""
    sensitive = replace(TERMS, datasets=(Data("I12", Tier.T1), Data("I13", Tier.T3)))
    decision = decide(ASK, sensitive, GRANT, UNUSED, START)
    assert (Finding(Reason.SEPARATE_CONSENT, "of tier T3: I13"),) == decision.reasons
    assert reasons(terms=sensitive, grant=consenting(separate=True)) == []


def test_a_category_covers_its_datasets() -> None:
    """By the category that the custodian declares; of another one, or none: refused."""
    reads = (Data("I12", Tier.T1, "纳税"), Data("I13", Tier.T2, "司法"))
    terms = replace(TERMS, datasets=reads)
    both = ("category:纳税", "category:司法")
    assert reasons(terms=terms, grant=consenting(scope=both)) == []
    mixed = ("category:纳税", "dataset:I13")
    assert reasons(terms=terms, grant=consenting(scope=mixed)) == []
    (found,) = decide(ASK, terms, consenting(scope=both[:1]), UNUSED, START).reasons
    assert found == Finding(Reason.SCOPE_TOO_SMALL, "missing I13")
    undeclared = replace(TERMS, datasets=(Data("I12", Tier.T1),))
    assert reasons(terms=undeclared, grant=consenting(scope=both)) == [
        Reason.SCOPE_TOO_SMALL
    ]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.SUSPENDED, [Reason.SUSPENDED]),
        (Status.WITHDRAWN, [Reason.WITHDRAWN]),
        (Status.INVALIDATED, [Reason.WITHDRAWN]),
        (Status.SUPERSEDED, [Reason.SUPERSEDED]),
    ],
)
def test_a_consent_that_does_not_stand(status: Status, expected: list[Reason]) -> None:
    """Suspended, withdrawn, and invalidated, which the caller sees as withdrawn."""
    assert expected == reasons(grant=replace(GRANT, status=status))


def test_uses_end_at_max_uses() -> None:
    """Five of five used: USED_UP; four: allowed; unlimited: always."""
    assert reasons(usage=replace(UNUSED, uses=5)) == [Reason.USED_UP]
    assert reasons(usage=replace(UNUSED, uses=4)) == []
    assert (
        reasons(usage=replace(UNUSED, uses=10**9), grant=consenting(max_uses=None))
        == []
    )


def test_frequency_ends_at_its_times() -> None:
    """Ten in thirty days: the eleventh is FREQUENCY."""
    often = consenting(frequency=Frequency(10, 30))
    assert reasons(usage=replace(UNUSED, recent_uses=9), grant=often) == []
    assert reasons(usage=replace(UNUSED, recent_uses=10), grant=often) == [
        Reason.FREQUENCY
    ]


@pytest.mark.parametrize(
    ("spent", "limit"),
    [
        ("bank_millibits", LIMITS.bank_millibits),
        ("subject_millibits", LIMITS.subject_millibits),
        ("contract_millibits", TERMS.limit_millibits),
    ],
)
def test_bits_may_reach_a_limit_and_not_pass_it(spent: str, limit: int) -> None:
    """Spent and call together at the limit are allowed; one millibit more is not."""
    full = replace(UNUSED, **{spent: limit - ASK.spends})
    assert reasons(usage=full) == []
    over = replace(UNUSED, **{spent: limit - ASK.spends + 1})
    decision = decide(ASK, TERMS, GRANT, over, START)
    assert [finding.reason for finding in decision.reasons] == [Reason.BITS_SPENT]
    # the caller is not told which limit: one of them is about other banks
    assert Finding(Reason.BITS_SPENT) == public(decision.reasons)


def test_a_repeat_spends_no_bits() -> None:
    """With every limit reached, what was answered may be repeated."""
    full = Usage(0, 0, 24_000, 72_000, 12_000)
    assert reasons(replace(ASK, spends=0), usage=full) == []
    assert reasons(usage=full) == [Reason.BITS_SPENT]


def test_the_house_counts_nothing() -> None:
    """Without usage, uses, frequency and bits are silent."""
    strict = consenting(max_uses=1, frequency=Frequency(1, 1))
    tight = Limits(0, 0, DAY_MS)
    assert reasons(grant=strict, usage=None, limits=tight) == []


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (Stage.SUBMITTED, [Reason.CONTRACT_NOT_APPROVED]),
        (Stage.RETIRED, [Reason.CONTRACT_RETIRED]),
    ],
)
def test_a_contract_that_is_not_in_force(stage: Stage, expected: list[Reason]) -> None:
    """Submitted and retired contracts are refused by name."""
    assert expected == reasons(terms=replace(TERMS, stage=stage))


def test_a_contract_that_is_not_open_to_the_bank() -> None:
    """To the bank it is the same as one that does not exist."""
    assert reasons(terms=None) == [Reason.CONTRACT_UNKNOWN]
    assert reasons(terms=replace(TERMS, banks=("bank-b",))) == [Reason.CONTRACT_UNKNOWN]
    assert reasons(terms=replace(TERMS, banks=())) == [Reason.CONTRACT_UNKNOWN]


@pytest.mark.parametrize("consent_id", ["", "c-9"])
def test_no_consent(consent_id: str) -> None:
    """An empty and an unknown consent id are NO_CONSENT, apart in the journal."""
    decision = decide(replace(ASK, consent_id=consent_id), TERMS, None, None, START)
    assert decision.reasons[0].detail == (
        "consent `c-9` is not known here"
        if consent_id
        else "the request names no consent"
    )
    assert reasons(replace(ASK, consent_id=consent_id), grant=None) == [
        Reason.NO_CONSENT
    ]


def test_another_subject_is_no_consent() -> None:
    """The consent is about somebody else."""
    assert reasons(replace(ASK, subject=b"q" * 32)) == [Reason.NO_CONSENT]
    assert reasons(replace(ASK, subject=b"")) == [Reason.NO_CONSENT]


def test_all_reasons_are_told_in_order() -> None:
    """Everything wrong at once: every reason that can be, in the enum's order."""
    got = reasons(
        Ask("bank-b", "review", b"q" * 32, "c-1", 1, kind="dice"),
        replace(
            TERMS,
            banks=(),
            stage=Stage.RETIRED,
            datasets=(Data("I14", Tier.T3),),
            attribute="tax.turnover",
            bases=Bases(()),
        ),
        replace(
            consenting(granted_at_ms=END - 1, frequency=Frequency(1, 1)),
            status=Status.SUSPENDED,
            pending=True,
        ),
        Usage(9, 9, 99_000, 99_000, 99_000, 9),
        START - 1,
    )
    assert sorted(got, key=ORDER.__getitem__) == got
    assert set(Reason) - {
        Reason.EXPIRED,  # not at the same time as NOT_YET_VALID
        Reason.WITHDRAWN,  # not at the same time as SUSPENDED
        Reason.SUPERSEDED,
        Reason.CONTRACT_NOT_APPROVED,  # nor as CONTRACT_RETIRED
        Reason.JOINT_SPENT,  # not of a contract about one column
        Reason.SESSIONS_SPENT,  # of intersections
        Reason.TOO_MANY,
        Reason.AUDITED,  # of functional replays
        Reason.AUDITS_SPENT,
        Reason.REPLAY_MISMATCH,  # the others are the nodes' own checks
        Reason.CLOCK_SKEW,
        Reason.SIGNATURE_INVALID,
        Reason.EPSILON_SPENT,  # and those of statistics (contracts.odometer)
        Reason.GROUP_SIZE,
        Reason.OBJECTION,
        Reason.STALE_DATA,
        Reason.DATA_DAMAGED,
        Reason.OUTSIDE_FILTER,
        Reason.TICKET_INVALID,
        Reason.MESSAGE_INVALID,
        Reason.INTENT_UNPROVEN,
        Reason.INTERNAL,
    } == set(got)


def test_the_reasons_are_total() -> None:
    """Every reason has one public sentence of its own, and none is left over."""
    assert set(Reason) == set(SENTENCES)
    assert len(Reason) == len(set(SENTENCES.values()))
    for sentence in SENTENCES.values():
        assert sentence.isprintable()
        assert not sentence.endswith(".")
    assert all(reason.value == reason.name for reason in Reason)


def test_a_decision_without_reason_cannot_be_a_denial() -> None:
    """Empty means no: neither a bare denial nor an allowed reason can be made."""
    with pytest.raises(RuntimeError):
        denied(())
    with pytest.raises(RuntimeError):
        Decision(allow=True, reasons=(Finding(Reason.EXPIRED),))


def test_a_grant_of_another_consent_is_misuse() -> None:
    """A caller that fetched another consent has a bug, and gets no decision."""
    with pytest.raises(RuntimeError):
        decide(replace(ASK, consent_id="c-2"), TERMS, GRANT, UNUSED, START)


def literal(  # noqa: C901, PLR0912, PLR0915 -- one rule after the other
    ask: Ask,
    terms: Terms | None,
    grant: Grant | None,
    usage: Usage | None,
    now_ms: int,
    limits: Limits,
) -> set[Reason]:
    """State the rules again, each as its sentence, over sets and times."""
    out = set()
    if grant is None:
        out.add(Reason.NO_CONSENT)
    else:
        consent = grant.consent
        grantees = {*consent.grantees, *grant.members}
        if {ask.bank} - grantees or {ask.subject} - {grant.subject}:
            out.add(Reason.NO_CONSENT)
        if {ask.purpose} - set(consent.purposes):
            out.add(Reason.PURPOSE_MISMATCH)
        valid = range(consent.not_before_ms, consent.not_after_ms)
        if now_ms not in valid:
            before = now_ms < valid[0]
            out.add(Reason.NOT_YET_VALID if before else Reason.EXPIRED)
        if grant.status in {Status.WITHDRAWN, Status.INVALIDATED}:
            out.add(Reason.WITHDRAWN)
        if grant.status == Status.SUPERSEDED:
            out.add(Reason.SUPERSEDED)
        if grant.status == Status.SUSPENDED:
            out.add(Reason.SUSPENDED)
        if grant.pending:
            out.add(Reason.UNAPPROVED)
        if now_ms not in range(consent.granted_at_ms, 10**6):
            out.add(Reason.GRANTED_AFTER_CALL)
        if usage is not None:
            if consent.max_uses is not None and not usage.uses + 1 <= consent.max_uses:
                out.add(Reason.USED_UP)
            every = consent.frequency
            if every is not None and not usage.recent_uses + 1 <= every.times:
                out.add(Reason.FREQUENCY)
        if terms is not None:
            scope = set(consent.scope)
            named = f"contract:{terms.contract_id}" in scope
            needed = [
                {f"dataset:{data.dataset}", f"category:{data.category}"}
                for data in terms.datasets
            ]
            if not named and not all(names & scope for names in needed):
                out.add(Reason.SCOPE_TOO_SMALL)
            if Tier.T3 in {d.tier for d in terms.datasets} and not consent.separate:
                out.add(Reason.SEPARATE_CONSENT)
    if terms is None:
        out.add(Reason.CONTRACT_UNKNOWN)
        return out
    if {ask.bank} - set(terms.banks):
        out.add(Reason.CONTRACT_UNKNOWN)
    if ask.purpose != terms.purpose:
        out.add(Reason.PURPOSE_MISMATCH)
    if {ask.kind} - {terms.kind}:
        out.add(Reason.CONTRACT_KIND)
    if terms.stage == Stage.SUBMITTED:
        out.add(Reason.CONTRACT_NOT_APPROVED)
    if terms.stage == Stage.RETIRED:
        out.add(Reason.CONTRACT_RETIRED)
    if usage is not None and ask.spends > 0:
        if terms.kind == "joint" and not usage.answers + 1 <= limits.joint:
            out.add(Reason.JOINT_SPENT)
        if (
            terms.kind != "joint"
            and terms.attribute
            and not usage.answers + 1 <= limits.answers
        ):
            out.add(Reason.ANSWERS_SPENT)
    if usage is not None and (
        limits.bank_millibits - usage.bank_millibits < ask.spends
        or limits.subject_millibits - usage.subject_millibits < ask.spends
        or terms.limit_millibits - usage.contract_millibits < ask.spends
    ):
        out.add(Reason.BITS_SPENT)
    return out


@settings(max_examples=500)
@given(
    data=st.data(),
    terms=st.none() | strategies.terms,
    grant=st.none() | strategies.grants,
    usage=st.none() | strategies.usages,
    now_ms=strategies.times,
    limits=strategies.limits,
)
def test_decide_agrees_with_its_literal_restatement(
    data: st.DataObject,
    terms: Terms | None,
    grant: Grant | None,
    usage: Usage | None,
    now_ms: int,
    limits: Limits,
) -> None:
    """Same reasons, allowed exactly when there are none, in order, first is public."""
    ask = data.draw(
        strategies.asks("c-1" if grant is None else grant.consent.consent_id)
    )
    decision = decide(ask, terms, grant, usage, now_ms, limits)
    got = [finding.reason for finding in decision.reasons]
    assert literal(ask, terms, grant, usage, now_ms, limits) == set(got)
    assert decision.allow is not bool(got)
    assert sorted(got, key=ORDER.__getitem__) == got
    if got:
        first = list(Reason)[min(ORDER[reason] for reason in got)]
        told = Reason.BITS_SPENT if first is Reason.ANSWERS_SPENT else first
        assert public(decision.reasons).reason is told


@pytest.mark.parametrize(
    ("before", "version", "allowed"),
    [(0, "c/1", True), (1, "c/1", False), (1, "c/2", False)],
)
def test_joint_scores_are_counted_by_bank_and_contract(
    before: int, version: str, *, allowed: bool
) -> None:
    """One in 30 days, whatever the version; another bank has one of its own."""
    terms = replace(TERMS, kind=ContractKind.JOINT, contract=version.encode())
    usage = Usage(0, 0, 0, 0, 0, before)
    ask = replace(ASK, kind=ContractKind.JOINT, spends=1)
    decision = decide(ask, terms, consenting(), usage, START)
    assert decision.allow is allowed
    if not allowed:
        assert public(decision.reasons) == Finding(Reason.JOINT_SPENT)
    mine, other = (quota(terms, bank, LIMITS) for bank in ("bank-a", "bank-b"))
    assert mine == Quota("joint grade bank-a", 1, 30 * DAY_MS, Reason.JOINT_SPENT)
    assert other is not None
    assert other.name == "joint grade bank-b"


@pytest.mark.parametrize(
    ("answers", "spends", "attribute", "allowed"),
    [
        (2, 1, "tax.turnover", True),
        (3, 1, "tax.turnover", False),
        (3, 0, "tax.turnover", True),  # a repeat is no new answer
        (9, 1, "", True),  # a score is about no one column
    ],
)
def test_answers_about_a_column_are_counted(
    answers: int, spends: int, attribute: str, *, allowed: bool
) -> None:
    """Three a quarter; the fourth is denied, and told as bits that are spent."""
    ask, terms = replace(ASK, spends=spends), replace(TERMS, attribute=attribute)
    usage = Usage(0, 0, 0, 0, 0, answers)
    decision = decide(ask, terms, consenting(), usage, START)
    assert decision.allow is allowed
    if not allowed:
        (finding,) = decision.reasons
        assert str(finding) == "ANSWERS_SPENT: 3 of 3 about `tax.turnover`"
        assert public(decision.reasons) == Finding(Reason.BITS_SPENT)


@given(
    data=st.data(),
    terms=strategies.terms,
    grant=strategies.grants,
    now_ms=strategies.times,
)
def test_the_house_never_denies_what_the_authority_allows(
    data: st.DataObject, terms: Terms, grant: Grant, now_ms: int
) -> None:
    """Without usage there are fewer reasons, never others."""
    ask = data.draw(strategies.asks(grant.consent.consent_id))
    usage = data.draw(strategies.usages)
    house = decide(ask, terms, grant, None, now_ms)
    authority = decide(ask, terms, grant, usage, now_ms)
    assert set(house.reasons) <= set(authority.reasons)


@given(grant=strategies.grants, terms=strategies.terms, now_ms=strategies.times)
def test_a_stranger_learns_nothing_of_a_consent(
    grant: Grant, terms: Terms, now_ms: int
) -> None:
    """To a bank that is no grantee, every consent looks like none."""
    ask = Ask("bank-c", terms.purpose, grant.subject, grant.consent.consent_id, 1)
    with_consent = decide(ask, terms, grant, None, now_ms)
    without = decide(ask, terms, None, None, now_ms)
    assert Finding(Reason.NO_CONSENT) == public(with_consent.reasons)
    assert Finding(Reason.NO_CONSENT) == public(without.reasons)
