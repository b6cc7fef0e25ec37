"""Decision replay: a true journal replays without a word, an altered one is named."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import bodies
from contracts.consent import Event, Frequency, Status
from contracts.cross_check import Kept, Unfinished, cross_check
from contracts.decide import Decision, Finding, Limits, Reason, denied, public
from contracts.errors import ConsentConflict
from contracts.replay import (
    BEYOND_REPLAY,
    JTI_KEPT_MS,
    SKEW_MS,
    Discrepancy,
    Mark,
    Replay,
    Role,
)
from node import clock
from protocols.call import Denial, Request, Ticket, request_hash, ticket_hash
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from protocols.sign import Signed
from tests.journals import Town

HOUSE, AUTHORITY = Role.HOUSE, Role.AUTHORITY


def replayed(town: Town, role: Role, **options: object) -> list[Discrepancy]:
    """Replay a town's journal."""
    limits = town.limits
    replay = Replay(role, limits, **options)  # type: ignore[arg-type]
    return fed(replay, town.journals[role])


def fed(replay: Replay, entries: Iterable[Entry]) -> list[Discrepancy]:
    """Feed entries; every one is written and read again on the way."""
    found: list[Discrepancy] = []
    for index, entry in enumerate(entries):
        found += replay.feed(index, Entry.parse(entry.to_bytes()))
    return found


def marks(found: Iterable[Discrepancy]) -> list[tuple[int, Mark]]:
    """Where and what."""
    return [(discrepancy.index, discrepancy.mark) for discrepancy in found]


def last(town: Town, role: Role, kind: Kind) -> int:
    """Find the newest entry of a kind."""
    entries = town.journals[role]
    return max(i for i, entry in enumerate(entries) if entry.kind is kind)


@pytest.fixture
def town() -> Town:
    """Build a town with a consent of Zhang and one of Wang."""
    town = Town()
    town.grant("c-1", "zhang", max_uses=4, frequency=Frequency(3, 1))
    town.grant("c-2", "wang", scope=("dataset:tax",))
    return town


def busy(town: Town) -> None:
    """Make calls of every kind that the nodes decide."""
    for _ in range(2):
        town.call("bank-a", "zhang", "c-1")  # the second is a repeat
    town.push("tax")
    town.call("bank-b", "zhang", "c-1")
    town.call("bank-a", "zhang", "c-1")  # FREQUENCY
    town.call("bank-a", "wang", "c-2")  # SCOPE_TOO_SMALL
    town.call("bank-a", "wang", "c-1")  # NO_CONSENT: another subject
    town.call("bank-a", "wang", "c-9")  # NO_CONSENT: unknown
    town.call("bank-a", "zhang", "c-1", listed=False)  # NO_CONSENT: not listed
    town.call("bank-a", "zhang", "c-1", purpose="post-loan")
    town.event("c-1", Event.SUSPEND)
    town.call("bank-a", "zhang", "c-1")
    town.event("c-1", Event.RESUME)
    town.now_ms += 86_400_000
    town.call("bank-a", "zhang", "c-1")
    town.call("bank-a", "zhang", "c-1")  # USED_UP
    town.retire("grade")
    town.call("bank-a", "zhang", "c-1")


def test_a_true_journal_replays_without_a_word(town: Town) -> None:
    """Both journals, with signatures and openings, and the cross-check."""
    busy(town)
    for role in Role:
        for keys in (None, town.keys):
            assert replayed(town, role, keys=keys, openings=town.openings) == []
    assert cross_check(town.house, town.authority, town.kept) == ((), Unfinished())


def test_a_consent_to_categories_replays(town: Town) -> None:
    """Categories come from the schemas in the journal, not from whoever asks."""
    town.grant("c-5", "li", scope=("category:纳税",))
    town.grant("c-6", "li", scope=("category:司法",))
    assert town.call("bank-a", "li", "c-5").allow
    denied = town.call("bank-a", "li", "c-6")
    assert [found.reason for found in denied.reasons] == [Reason.SCOPE_TOO_SMALL]
    for role in Role:
        for keys in (None, town.keys):
            assert replayed(town, role, keys=keys, openings=town.openings) == []
    for role in Role:
        town.journals[role] = [
            replace(
                entry,
                body={
                    **entry.body,
                    "schema": str(entry.body["schema"]).replace("纳税", "司法"),
                },
            )
            if entry.kind is Kind.DATA_REGISTER
            else entry
            for entry in town.journals[role]
        ]
        found = replayed(town, role)
        assert found[0].mark is Mark.STEP_REFUSED
        assert "signed another schema" in found[0].message


def test_what_was_replayed_is_counted(town: Town) -> None:
    """Permits, denials, and apart from them what replay cannot take again."""
    busy(town)
    replay = Replay(AUTHORITY)
    fed(replay, town.authority)
    assert (replay.counts.permits, replay.counts.denials) == (4, 2)
    assert not replay.counts.beyond
    replay = Replay(HOUSE)
    fed(replay, town.house)
    assert replay.counts.entries == len(town.house)
    assert (replay.counts.permits, replay.counts.denials) == (6, 7)
    assert dict(replay.counts.beyond) == {Reason.NO_CONSENT: 1}


# Case 36: one decision altered


def permitted(entry: Entry) -> bodies.Permit:
    """Read a permit."""
    return bodies.Permit.parse(entry.body)


def as_denial(entry: Entry, *reasons: Reason) -> Entry:
    """Write a permit as if it had been a denial."""
    body = permitted(entry)
    findings = tuple(Finding(reason) for reason in reasons)
    denial = bodies.Deny(
        request=body.request,
        reasons=findings,
        public=public(findings).reason,
        salt=bytes(32),
        denial=Signed(b"", "0" * 16, b""),
        subject=body.subject,
    )
    return replace(entry, kind=Kind.CALL_DENY, body=denial.to_body())


def test_case_36_a_permit_turned_into_a_denial_is_named(town: Town) -> None:
    """The entry, the call and the reason that does not hold."""
    town.call("bank-a", "zhang", "c-1")
    index = last(town, AUTHORITY, Kind.CALL_PERMIT)
    entry = town.authority[index]
    town.authority[index] = as_denial(entry, Reason.EXPIRED)
    (found,) = replayed(town, AUTHORITY)[:1]
    assert found == Discrepancy(
        AUTHORITY,
        index,
        entry.call,
        Mark.DECISION_DIFFERS,
        "denied for EXPIRED, but replay allows",
        (Reason.EXPIRED,),
    )
    assert str(found) == (
        f"authority entry {index}, call {entry.call}: denied for EXPIRED,"
        " but replay allows"
    )


def test_case_36_a_denial_turned_into_a_permit_is_named(town: Town) -> None:
    """The entry, the call and the reason to deny."""
    town.event("c-1", Event.SUSPEND)
    town.call("bank-a", "zhang", "c-1")
    index = last(town, HOUSE, Kind.CALL_DENY)
    entry = town.house[index]
    body = bodies.Deny.parse(entry.body)
    permit = bodies.Permit(
        request=body.request,
        ticket=bytes(32),
        subject=town.pseudonym(AUTHORITY, "zhang"),
        consent="c-1",
        contract=Request.parse(body.request.payload).contract,
        millibits=town.contracts["grade"].millibits,
    )
    forged = replace(entry, kind=Kind.CALL_PERMIT, body=permit.to_body())
    town.authority.append(forged)
    (found,) = replayed(town, AUTHORITY)
    assert found.index == len(town.authority) - 1
    assert found.call == entry.call
    assert found.mark is Mark.DECISION_DIFFERS
    assert found.reasons == (Reason.SUSPENDED,)
    assert found.message == "permitted, but replay denies: SUSPENDED"


def test_case_36_another_reason_is_named(town: Town) -> None:
    """A denial for a reason that is not the one."""
    town.call("bank-a", "wang", "c-2")
    index = last(town, HOUSE, Kind.CALL_DENY)
    body = bodies.Deny.parse(town.house[index].body)
    other = replace(body, reasons=(Finding(Reason.EXPIRED),), public=Reason.EXPIRED)
    town.house[index] = replace(town.house[index], body=other.to_body())
    (found,) = replayed(town, HOUSE)
    assert marks([found]) == [(index, Mark.DECISION_DIFFERS)]
    assert found.reasons == (Reason.SCOPE_TOO_SMALL,)
    assert found.message == (
        "denied for EXPIRED, but replay denies: SCOPE_TOO_SMALL: missing court"
    )


@pytest.mark.parametrize("kept", [0, 1])
def test_a_reason_left_out_is_named(town: Town, kept: int) -> None:
    """A denial that holds back one of two reasons."""
    town.call("bank-a", "wang", "c-2", "care")
    index = last(town, HOUSE, Kind.CALL_DENY)
    body = bodies.Deny.parse(town.house[index].body)
    assert {finding.reason for finding in body.reasons} == {
        Reason.SCOPE_TOO_SMALL,
        Reason.SEPARATE_CONSENT,
    }
    less = replace(
        body, reasons=(body.reasons[kept],), public=body.reasons[kept].reason
    )
    town.house[index] = replace(town.house[index], body=less.to_body())
    assert marks(replayed(town, HOUSE)) == [(index, Mark.DECISION_DIFFERS)]


def test_case_7_a_permit_after_the_withdrawal(town: Town) -> None:
    """No permit may stand after the withdrawal, whatever its decision was."""
    town.call("bank-a", "zhang", "c-1")
    permit = last(town, AUTHORITY, Kind.CALL_PERMIT)
    town.event("c-1", Event.WITHDRAW)
    # the withdrawal, moved before the permit
    withdrawal = replace(town.authority.pop(), time_ms=town.authority[permit].time_ms)
    town.authority.insert(permit, withdrawal)
    found = replayed(town, AUTHORITY)
    assert marks(found) == [(permit + 1, Mark.DECISION_DIFFERS)]
    assert found[0].reasons == (Reason.WITHDRAWN,)


def test_case_8_a_withdrawal_after_the_permit(town: Town) -> None:
    """What was permitted before stays right; what is asked after is denied."""
    assert town.call("bank-a", "zhang", "c-1").allow
    town.event("c-1", Event.WITHDRAW)
    assert not town.call("bank-a", "zhang", "c-1").allow
    assert [replayed(town, role) for role in Role] == [[], []]


@pytest.mark.parametrize("role", Role)
def test_case_12_a_consent_imported_after_the_call(town: Town, role: Role) -> None:
    """The call is told twice: without consent, and under one that came later."""
    town.call("bank-a", "zhang", "c-1")
    entries = town.journals[role]
    kind = Kind.CALL_PERMIT if role is AUTHORITY else Kind.CALL_INTENT
    grant = next(i for i, e in enumerate(entries) if e.kind is Kind.CONSENT_GRANT)
    entries.append(replace(entries.pop(grant), time_ms=entries[-1].time_ms))
    call = last(town, role, kind)
    found = replayed(town, role)
    assert marks(found) == [
        (call, Mark.DECISION_DIFFERS),
        (call, Mark.GRANTED_AFTER_CALL),
    ]
    assert found[0].reasons == (Reason.NO_CONSENT,)
    assert found[1].reasons == (Reason.GRANTED_AFTER_CALL,)
    assert {discrepancy.call for discrepancy in found} == {entries[call].call}


def test_case_12_a_consent_granted_after_the_call(town: Town) -> None:
    """granted_at behind the call is GRANTED_AFTER_CALL, when calling and replaying."""
    later = town.now_ms + 10_000
    town.grant("c-3", "zhang", granted_at_ms=later)
    decision = town.call("bank-a", "zhang", "c-3")
    assert [f.reason for f in decision.reasons] == [Reason.GRANTED_AFTER_CALL]
    assert replayed(town, HOUSE) == []
    town.call("bank-a", "zhang", "c-1")
    # a permit under c-1, whose consent is exchanged for one that was given later
    grant = next(
        i for i, e in enumerate(town.authority) if e.kind is Kind.CONSENT_GRANT
    )
    late = Town()
    late.grant("c-1", "zhang", granted_at_ms=later)
    town.authority[grant] = replace(town.authority[grant], body=late.authority[-1].body)
    found = replayed(town, AUTHORITY)
    assert [discrepancy.reasons for discrepancy in found] == [
        (Reason.GRANTED_AFTER_CALL,)
    ]


# Counting


def test_a_permit_beyond_max_uses(town: Town) -> None:
    """Counted right and permitted wrong: USED_UP."""
    town.grant("c-3", "zhang", max_uses=1)
    town.call("bank-a", "zhang", "c-3")
    forge_permit(town, "zhang", "c-3")
    (found,) = replayed(town, AUTHORITY)
    assert found.reasons == (Reason.USED_UP,)


def forge_permit(
    town: Town, subject: str, consent_id: str, **changes: object
) -> bodies.Permit:
    """Let the authority permit without deciding."""
    entry = town.authority[last(town, AUTHORITY, Kind.CALL_PERMIT)]
    earlier = permitted(entry)
    request = replace(
        Request.parse(earlier.request.payload),
        consent=consent_id,
        jti=town.fresh()[:16],
        iat_ms=town.now_ms,
    )
    signed = town.sign(Tag.REQUEST, request.to_bytes(), request.bank)
    millibits = town.contracts["grade"].millibits
    index = town.permit(signed, subject, town.fresh(), millibits, b"")
    body = replace(
        permitted(town.authority[index]),
        **changes,  # type: ignore[arg-type]
    )
    town.authority[index] = replace(town.authority[index], body=body.to_body())
    return body


def test_bits_spent_in_the_window() -> None:
    """The budget of bank, subject and contract ends, and the window sets it free."""
    town = Town()
    town.grant("c-1", "zhang")
    millibits = town.contracts["grade"].millibits
    calls = town.contracts["grade"].limit_millibits // millibits
    for _ in range(calls):
        assert town.call("bank-a", "zhang", "c-1").allow
        town.push("tax")  # else the next one would be a repeat
    decision = town.call("bank-a", "zhang", "c-1")
    assert [finding.reason for finding in decision.reasons] == [Reason.BITS_SPENT]
    assert town.call("bank-b", "zhang", "c-1").allow
    town.now_ms += 90 * 86_400_000
    assert town.call("bank-a", "zhang", "c-1").allow
    assert replayed(town, AUTHORITY) == []
    forge_permit(town, "zhang", "c-1")
    forge_permit(town, "zhang", "c-1", millibits=0)
    for _ in range(calls - 2):
        forge_permit(town, "zhang", "c-1")
    found = replayed(town, AUTHORITY)
    assert [discrepancy.mark for discrepancy in found] == [Mark.BITS_DIFFER]


def test_a_repeat_of_nothing(town: Town) -> None:
    """A permit that spends nothing because of an answer that never was."""
    town.call("bank-a", "zhang", "c-1")
    forge_permit(town, "zhang", "c-1", millibits=0, repeat_of=b"x" * 32)
    found = replayed(town, AUTHORITY)
    assert [discrepancy.mark for discrepancy in found] == [
        Mark.REPEAT_UNFOUNDED,
        Mark.BITS_DIFFER,
    ]


@pytest.mark.parametrize("other", ["bank", "subject"])
def test_a_repeat_of_somebody_elses_answer(town: Town, other: str) -> None:
    """An answer to another bank, or about another subject, is no answer."""
    town.grant("c-3", "li")
    town.call("bank-b" if other == "bank" else "bank-a", "li", "c-3")
    earlier = permitted(town.authority[last(town, AUTHORITY, Kind.CALL_PERMIT)])
    town.call("bank-a", "zhang" if other == "subject" else "li", "c-1")
    town.push("tax")
    subject, consent = ("zhang", "c-1") if other == "subject" else ("li", "c-3")
    if other == "bank":
        assert town.call("bank-a", "li", "c-3").allow
    forge_permit(town, subject, consent, millibits=0, repeat_of=earlier.ticket)
    found = replayed(town, AUTHORITY)
    assert Mark.REPEAT_UNFOUNDED in {discrepancy.mark for discrepancy in found}


@pytest.mark.parametrize(("age", "right"), [(999, True), (1_000, False)])
def test_a_repeat_lasts_as_long_as_its_bits(age: int, right: bool) -> None:  # noqa: FBT001
    """What no longer counts in the window has to be paid for again."""
    town = Town(limits=Limits(window_ms=1_000))
    town.grant("c-1", "zhang")
    town.call("bank-a", "zhang", "c-1")
    entry = town.authority[last(town, AUTHORITY, Kind.CALL_PERMIT)]
    town.now_ms = entry.time_ms + age - 1
    forge_permit(town, "zhang", "c-1", millibits=0, repeat_of=permitted(entry).ticket)
    assert town.authority[-1].time_ms == entry.time_ms + age
    found = replayed(town, AUTHORITY)
    assert bool(found) is not right


def test_a_repeat_of_a_repeat(town: Town) -> None:
    """A chain of repeats would outlive the window; each names the paid answer."""
    town.call("bank-a", "zhang", "c-1")
    town.call("bank-a", "zhang", "c-1")
    repeat = permitted(town.authority[last(town, AUTHORITY, Kind.CALL_PERMIT)])
    assert repeat.repeat_of
    forge_permit(town, "zhang", "c-1", millibits=0, repeat_of=repeat.ticket)
    assert [item.mark for item in replayed(town, AUTHORITY)] == [
        Mark.REPEAT_UNFOUNDED,
        Mark.BITS_DIFFER,
    ]


def test_a_repeat_that_was_denied_for_something_else() -> None:
    """Its bits were no reason, though a fresh call could not have paid for them."""
    millibits = 1_585
    town = Town(limits=Limits(bank_millibits=millibits))
    town.grant("c-1", "zhang", max_uses=1)
    town.call("bank-a", "zhang", "c-1")
    decision = town.call("bank-a", "zhang", "c-1")
    assert [finding.reason for finding in decision.reasons] == [Reason.USED_UP]
    town.push("tax")
    decision = town.call("bank-a", "zhang", "c-1")
    assert [finding.reason for finding in decision.reasons] == [
        Reason.USED_UP,
        Reason.BITS_SPENT,
    ]
    assert replayed(town, AUTHORITY) == []
    # a bank that has no answer yet cannot have asked for a repeat
    town.call("bank-b", "zhang", "c-1")
    index = last(town, AUTHORITY, Kind.CALL_DENY)
    town.grant("c-2", "zhang")
    assert replayed(town, AUTHORITY) == []
    body = bodies.Deny.parse(town.authority[index].body)
    more = (*body.reasons, Finding(Reason.BITS_SPENT))
    body = replace(body, reasons=more)
    town.authority[index] = replace(town.authority[index], body=body.to_body())
    assert marks(replayed(town, AUTHORITY)) == [(index, Mark.DECISION_DIFFERS)]


def test_bits_are_a_reason_where_nothing_was_answered() -> None:
    """A denial that leaves BITS_SPENT out, of a call that was no repeat."""
    town = Town(limits=Limits(subject_millibits=1_585))
    town.grant("c-1", "zhang", max_uses=1)
    town.call("bank-a", "zhang", "c-1")
    town.call("bank-b", "zhang", "c-1")
    index = last(town, AUTHORITY, Kind.CALL_DENY)
    body = bodies.Deny.parse(town.authority[index].body)
    assert [f.reason for f in body.reasons] == [Reason.USED_UP, Reason.BITS_SPENT]
    body = replace(body, reasons=body.reasons[:1])
    town.authority[index] = replace(town.authority[index], body=body.to_body())
    assert marks(replayed(town, AUTHORITY)) == [(index, Mark.DECISION_DIFFERS)]


# Time, jti and shape


def test_time_goes_back(town: Town) -> None:
    """An entry that is older than the one before it."""
    town.authority[-1] = replace(town.authority[-1], time_ms=0)
    assert marks(replayed(town, AUTHORITY)) == [
        (len(town.authority) - 1, Mark.TIME_WENT_BACK)
    ]


def test_a_jti_used_twice(town: Town) -> None:
    """Two permits of one request, and of two requests under one jti."""
    town.call("bank-a", "zhang", "c-1")
    town.call("bank-a", "zhang", "c-1")
    first, second = (
        index
        for index, entry in enumerate(town.authority)
        if entry.kind is Kind.CALL_PERMIT
    )
    body = permitted(town.authority[second])
    request = replace(
        Request.parse(body.request.payload),
        jti=Request.parse(permitted(town.authority[first]).request.payload).jti,
    )
    signed = town.sign(Tag.REQUEST, request.to_bytes(), "bank-a")
    town.authority[second] = replace(
        town.authority[second],
        call=request_hash(signed.payload).hex(),
        body=replace(body, request=signed).to_body(),
    )
    found = replayed(town, AUTHORITY)
    assert marks(found) == [(second, Mark.JTI_REUSED)]
    assert f"call {town.authority[first].call}" in found[0].message

    town.authority[second] = replace(
        town.authority[first], time_ms=town.authority[second].time_ms
    )
    found = replayed(town, AUTHORITY)
    assert [discrepancy.mark for discrepancy in found][:2] == [
        Mark.JTI_REUSED,
        Mark.TICKET_REUSED,
    ]


def test_a_jti_is_free_once_it_may_be_forgotten(town: Town) -> None:
    """After the node has to remember it no longer, another request may have it."""
    town.grant("c-3", "zhang")
    town.call("bank-a", "zhang", "c-3")
    first = permitted(town.authority[last(town, AUTHORITY, Kind.CALL_PERMIT)])
    jti = Request.parse(first.request.payload).jti
    begun_ms = town.authority[last(town, AUTHORITY, Kind.CALL_PERMIT)].time_ms
    for age, reused in (
        (JTI_KEPT_MS, True),
        (JTI_KEPT_MS + 1, False),
        (2 * JTI_KEPT_MS + 1, True),
        (3 * JTI_KEPT_MS, False),
    ):
        town.now_ms = begun_ms + age - 1
        request = replace(
            Request.parse(first.request.payload), jti=jti, iat_ms=town.now_ms
        )
        signed = town.sign(Tag.REQUEST, request.to_bytes(), "bank-a")
        town.permit(signed, "zhang", town.fresh(), first.millibits, b"")
        found = replayed(town, AUTHORITY)
        newest = len(town.authority) - 1
        assert ((newest, Mark.JTI_REUSED) in marks(found)) is reused


def test_case_11_a_request_far_from_the_clock(town: Town) -> None:
    """A permit 300 s from iat is right, 301 s is CLOCK_SKEW; denials alike."""
    town.call("bank-a", "zhang", "c-1")
    index = last(town, AUTHORITY, Kind.CALL_PERMIT)
    iat_ms = Request.parse(permitted(town.authority[index]).request.payload).iat_ms
    tail = town.authority[index]
    for skew, expected in ((SKEW_MS, []), (SKEW_MS + 1, [Mark.CLOCK_SKEW])):
        town.authority[index:] = [replace(tail, time_ms=iat_ms + skew)]
        found = replayed(town, AUTHORITY)
        assert [discrepancy.mark for discrepancy in found] == expected
    for skew, expected in ((SKEW_MS, [Mark.DECISION_DIFFERS]), (SKEW_MS + 1, [])):
        entry = as_denial(tail, Reason.CLOCK_SKEW)
        town.authority[index:] = [replace(entry, time_ms=iat_ms + skew)]
        found = replayed(town, AUTHORITY)
        assert [discrepancy.mark for discrepancy in found] == expected


def test_one_table_of_times() -> None:
    """Nodes and auditors take the same times for granted."""
    assert SKEW_MS == clock.REQUEST_SKEW_MS
    assert JTI_KEPT_MS == clock.JTI_KEPT_MS
    assert Limits().window_ms == clock.BITS_WINDOW_MS


@pytest.mark.parametrize(
    ("role", "kind"),
    [(HOUSE, Kind.CALL_PERMIT), (HOUSE, Kind.CALL_DONE), (AUTHORITY, Kind.CALL_INTENT)],
)
def test_a_kind_of_the_other_journal(role: Role, kind: Kind) -> None:
    """A house that permits, an authority that intends."""
    assert marks(fed(Replay(role), [Entry(kind, 1, "x", "", {})])) == [
        (0, Mark.FOREIGN_KIND)
    ]


@pytest.mark.parametrize("kind", [kind for kind in Kind if "." in kind])
@pytest.mark.parametrize("role", Role)
def test_no_body_makes_replay_stumble(role: Role, kind: Kind) -> None:
    """Bodies of another shape are told, never raised."""
    for body in ({}, {"signed": 1}, {"ticket": "", "receipt": "", "denial": ""}):
        found = fed(Replay(role), [Entry(kind, 1, "x", "", dict(body))])
        free = kind.startswith("node.")
        assert bool(found) is not free


BODY_LIES: list[tuple[str, Callable[[bodies.Permit], bodies.Permit]]] = [
    ("consent", lambda body: replace(body, consent="c-2")),
    ("contract", lambda body: replace(body, contract=bytes(32))),
    ("request", lambda body: replace(body, request=Signed(b"{}", "", b""))),
]


@pytest.mark.parametrize(
    "lie", [lie for _, lie in BODY_LIES], ids=[name for name, _ in BODY_LIES]
)
def test_a_permit_that_contradicts_its_request(
    town: Town, lie: Callable[[bodies.Permit], bodies.Permit]
) -> None:
    """What the body repeats of the request is the request's."""
    town.call("bank-a", "zhang", "c-1")
    index = last(town, AUTHORITY, Kind.CALL_PERMIT)
    body = lie(permitted(town.authority[index])).to_body()
    town.authority[index] = replace(town.authority[index], body=body)
    assert marks(replayed(town, AUTHORITY))[0] == (index, Mark.MALFORMED)


def test_a_denial_without_reason(town: Town) -> None:
    """Empty means no, but a denial has to say why; and the first reason is told."""
    town.call("bank-a", "wang", "c-2", "care")
    index = last(town, HOUSE, Kind.CALL_DENY)
    body = bodies.Deny.parse(town.house[index].body)
    for change in (
        replace(body, reasons=()),
        replace(body, public=Reason.SEPARATE_CONSENT),
    ):
        town.house[index] = replace(town.house[index], body=change.to_body())
        assert marks(replayed(town, HOUSE)) == [(index, Mark.MALFORMED)]


@pytest.mark.parametrize("reason", sorted(BEYOND_REPLAY - {Reason.CLOCK_SKEW}))
def test_what_replay_cannot_take_again_is_counted(town: Town, reason: Reason) -> None:
    """Such a denial stands; a wrong reason beside it does not."""
    town.call("bank-a", "zhang", "c-1")
    index = last(town, AUTHORITY, Kind.CALL_PERMIT)
    entry = town.authority[index]
    town.authority[index:] = [as_denial(entry, reason)]
    replay = Replay(AUTHORITY)
    assert fed(replay, town.authority) == []
    assert dict(replay.counts.beyond) == {reason: 1}
    town.authority[index:] = [as_denial(entry, Reason.EXPIRED, reason)]
    assert marks(replayed(town, AUTHORITY)) == [(index, Mark.DECISION_DIFFERS)]


def test_a_denial_that_replay_takes_again_in_part(town: Town) -> None:
    """Beside what it cannot take again stand all, some or none of the others."""
    town.event("c-1", Event.SUSPEND)
    town.call("bank-b", "zhang", "c-1", purpose="post-loan")
    index = last(town, HOUSE, Kind.CALL_DENY)
    body = bodies.Deny.parse(town.house[index].body)
    assert len(body.reasons) == 3  # the purpose is neither contract's nor consent's
    for count in range(4):
        reasons = (*body.reasons[:count], Finding(Reason.TICKET_INVALID))
        part = replace(body, reasons=reasons, public=reasons[0].reason)
        town.house[index] = replace(town.house[index], body=part.to_body())
        assert replayed(town, HOUSE) == []


def test_a_request_that_is_none_may_be_denied_as_such() -> None:
    """Its bytes are hashed into `call`; nothing else is asked of them."""
    signed = Signed(b"not a request", "0" * 16, b"")
    findings = (Finding(Reason.MESSAGE_INVALID),)
    body = bodies.Deny(signed, findings, findings[0].reason, bytes(32), signed)
    call = request_hash(signed.payload).hex()
    entry = Entry(Kind.CALL_DENY, 1, "house", call, body.to_body())
    assert fed(Replay(HOUSE), [entry]) == []
    assert marks(fed(Replay(HOUSE), [replace(entry, call="")])) == [(0, Mark.MALFORMED)]
    body = replace(body, reasons=(Finding(Reason.EXPIRED),), public=Reason.EXPIRED)
    entry = replace(entry, body=body.to_body())
    assert marks(fed(Replay(HOUSE), [entry])) == [(0, Mark.MALFORMED)]


# Consents and contracts


def test_steps_that_the_state_does_not_allow(town: Town) -> None:
    """A grant twice, an event of nothing, a resumption of what was withdrawn."""
    town.event("c-1", Event.WITHDRAW)
    with pytest.raises(ConsentConflict):
        town.event("c-1", Event.RESUME)
    other = Town()
    other.grant("c-1", "zhang")
    other.grant("c-7", "zhang")
    other.event("c-7", Event.SUSPEND)
    other.event("c-7", Event.RESUME)
    other.event("c-1", Event.SUSPEND)
    other.event("c-1", Event.RESUME)
    begin = len(town.house)
    events = [e for e in other.house if e.kind is Kind.CONSENT_EVENT]
    grants = [e for e in other.house if e.kind is Kind.CONSENT_GRANT]
    for entry in (grants[0], events[0], events[3]):
        town.now_ms += 1
        town.house.append(replace(entry, time_ms=town.now_ms))
    found = replayed(town, HOUSE)
    assert marks(found) == [(begin + i, Mark.STEP_REFUSED) for i in range(3)]
    assert [discrepancy.message.partition(": ")[2] for discrepancy in found] == [
        "consent `c-1` is there already",
        "no consent `c-7` before it",
        "cannot resume a consent that is withdrawn",
    ]


def test_a_contract_without_every_approval(town: Town) -> None:
    """It is not in force, and every permit under it is told."""
    town.call("bank-a", "zhang", "c-1")
    drop = next(
        i
        for i, e in enumerate(town.authority)
        if e.kind is Kind.CONTRACT_APPROVE and e.actor == "court"
    )
    del town.authority[drop]
    found = replayed(town, AUTHORITY)
    assert [discrepancy.mark for discrepancy in found] == [
        Mark.STEP_REFUSED,
        Mark.DECISION_DIFFERS,
    ]
    assert "not approved by court" in found[0].message
    assert found[1].reasons == (Reason.CONTRACT_NOT_APPROVED,)


def test_a_contract_that_is_not_its_text(town: Town) -> None:
    """Replay compiles the author's text anew."""
    index = next(i for i, e in enumerate(town.house) if e.kind is Kind.CONTRACT_SUBMIT)
    body = bodies.Submit.parse(town.house[index].body)
    text = body.signed.payload.decode().replace("points: 10", "points: 20", 1)
    forged = replace(body, signed=replace(body.signed, payload=text.encode()))
    town.house[index] = replace(town.house[index], body=forged.to_body())
    found = replayed(town, HOUSE)
    assert marks(found)[0] == (index, Mark.STEP_REFUSED)
    assert "not what its text compiles to" in found[0].message


def test_a_push_out_of_order(town: Town) -> None:
    """Versions follow one another."""
    town.push("tax")
    index = last(town, HOUSE, Kind.DATA_PUSH)
    town.house.append(town.house[index])
    assert marks(replayed(town, HOUSE)) == [(len(town.house) - 1, Mark.STEP_REFUSED)]


# With the trust domain at hand


@pytest.mark.parametrize(
    ("role", "kind", "member"),
    [
        (HOUSE, Kind.CONSENT_GRANT, "signed"),
        (HOUSE, Kind.CONSENT_EVENT, "signed"),
        (HOUSE, Kind.CONTRACT_SUBMIT, "signed"),
        (HOUSE, Kind.CONTRACT_APPROVE, "signed"),
        (HOUSE, Kind.CONTRACT_ACTIVATE, "signed"),
        (HOUSE, Kind.CONTRACT_RETIRE, "signed"),
        (HOUSE, Kind.DATA_REGISTER, "signed"),
        (HOUSE, Kind.DATA_PUSH, "manifest"),
        (HOUSE, Kind.CALL_INTENT, "request"),
        (HOUSE, Kind.CALL_INTENT, "ticket"),
        (HOUSE, Kind.CALL_DENY, "request"),
        (HOUSE, Kind.CALL_DENY, "denial"),
        (HOUSE, Kind.CALL_DENIED, "denial"),
        (HOUSE, Kind.CALL_RESULT, "result"),
        (AUTHORITY, Kind.CALL_PERMIT, "request"),
        (AUTHORITY, Kind.CALL_DONE, "receipt"),
        (AUTHORITY, Kind.CALL_DENY, "denial"),
    ],
)
def test_case_10_every_signature_is_verified(
    town: Town, role: Role, kind: Kind, member: str
) -> None:
    """One edited signature of any document is named; without keys it is believed."""
    busy(town)
    index = last(town, role, kind)
    entry = town.journals[role][index]
    document = entry.body[member]
    assert isinstance(document, dict)
    body = {**entry.body, member: {**document, "signature": "00" * 64}}
    town.journals[role][index] = replace(entry, body=body)
    assert (index, Mark.SIGNATURE_INVALID) in marks(
        replayed(town, role, keys=town.keys)
    )
    assert replayed(town, role) == []


def test_a_document_signed_by_somebody_else(town: Town) -> None:
    """A key of the trust domain is not enough: it has to be the party's own."""
    keys = town.keys
    keys["registry"], keys["bank-b"] = keys["bank-b"], keys["registry"]
    found = replayed(town, HOUSE, keys=keys)
    assert "signed by `bank-b`, not by `registry`" in found[0].message
    assert replayed(town, HOUSE, keys={})[0].mark is Mark.SIGNATURE_INVALID


def test_a_ticket_on_stale_data(town: Town) -> None:
    """The newest push before the intent counts, not the one the ticket names."""
    town.call("bank-a", "zhang", "c-1")
    intent = last(town, HOUSE, Kind.CALL_INTENT)
    town.push("tax")
    push = replace(town.house.pop(), time_ms=town.house[intent].time_ms)
    town.house.insert(intent, push)
    found = replayed(town, HOUSE, keys=town.keys)
    assert marks(found) == [(intent + 1, Mark.STALE_INPUT)]
    assert found[0].reasons == (Reason.STALE_DATA,)


def resign_ticket(town: Town, index: int, **changes: object) -> None:
    """Let the house sign another ticket in an intent."""
    entry = town.house[index]
    body = bodies.Intent.parse(entry.body)
    ticket = replace(
        Ticket.parse(body.ticket.payload),
        **changes,  # type: ignore[arg-type]
    )
    signed = town.sign(Tag.TICKET, ticket.to_bytes(), "house")
    body = replace(body, ticket=signed)
    town.house[index] = replace(entry, body=body.to_body())


@pytest.mark.parametrize("member", ["request", "contract"])
def test_a_ticket_for_another_call(town: Town, member: str) -> None:
    """The ticket of an intent is for its request and its contract."""
    town.call("bank-a", "zhang", "c-1")
    index = last(town, HOUSE, Kind.CALL_INTENT)
    resign_ticket(town, index, **{member: bytes(32)})
    found = replayed(town, HOUSE, keys=town.keys)
    assert marks(found)[0] == (index, Mark.MALFORMED)
    assert "the ticket is for another" in found[0].message


def test_a_repeat_on_other_data(town: Town) -> None:
    """An answer may be released again only while the same versions are newest."""
    town.call("bank-a", "zhang", "c-1")
    first = last(town, HOUSE, Kind.CALL_INTENT)
    name = ticket_hash(bodies.Intent.parse(town.house[first].body).ticket.payload)
    town.push("tax")
    town.call("bank-a", "zhang", "c-1")
    again = last(town, HOUSE, Kind.CALL_INTENT)
    bound = {"seed": b"", "message": b"", "pads": b""}
    for earlier in (name, b"x" * 32):
        resign_ticket(town, again, **bound, repeat_of=earlier)
        del town.house[again + 1 :]
        found = replayed(town, HOUSE, keys=town.keys)
        assert marks(found) == [(again, Mark.REPEAT_UNFOUNDED)]


def test_a_denial_that_tells_another_reason(town: Town) -> None:
    """What the bank was told is what the journal calls public."""
    town.call("bank-a", "wang", "c-2")
    index = last(town, HOUSE, Kind.CALL_DENY)
    body = bodies.Deny.parse(town.house[index].body)
    told = replace(Denial.parse(body.denial.payload), reason="EXPIRED")
    signed = town.sign(Tag.DENIAL, told.to_bytes(), "house")
    body = replace(body, denial=signed)
    town.house[index] = replace(town.house[index], body=body.to_body())
    assert marks(replayed(town, HOUSE, keys=town.keys)) == [(index, Mark.MALFORMED)]


def test_a_denial_of_another_call(town: Town) -> None:
    """The house cannot put the authority's denial of one call to another."""
    town.grant("c-3", "zhang", max_uses=1)
    for _ in range(3):
        town.call("bank-a", "zhang", "c-3")
    first, second = (
        i for i, entry in enumerate(town.house) if entry.kind is Kind.CALL_DENIED
    )
    body = bodies.Denied.parse(town.house[second].body)
    other = bodies.Denied.parse(town.house[first].body).denial
    town.house[second] = replace(
        town.house[second], body=replace(body, denial=other).to_body()
    )
    assert marks(replayed(town, HOUSE, keys=town.keys)) == [(second, Mark.MALFORMED)]
    found, _ = cross_check(town.house, town.authority)
    assert marks(found) == [(second, Mark.NO_DENIAL)]


def test_a_seed_serves_one_call(town: Town) -> None:
    """One mask over two totals would show the authority their difference."""
    town.call("bank-a", "zhang", "c-1")
    town.call("bank-b", "zhang", "c-1")
    first, second = (
        Ticket.parse(bodies.Intent.parse(entry.body).ticket.payload)
        for entry in town.house
        if entry.kind is Kind.CALL_INTENT
    )
    index = last(town, HOUSE, Kind.CALL_INTENT)
    ticket = replace(second, seed=first.seed).to_bytes()
    body = bodies.Intent.parse(town.house[index].body)
    body = replace(body, ticket=town.sign(Tag.TICKET, ticket, "house"))
    town.house[index] = replace(town.house[index], body=body.to_body())
    found = replayed(town, HOUSE, keys=town.keys)
    assert marks(found)[0] == (index, Mark.SEED_REUSED)


def test_the_reasons_are_those_that_were_signed(town: Town) -> None:
    """The salted digest in the denial binds every reason and detail."""
    town.call("bank-a", "wang", "c-2")
    index = last(town, HOUSE, Kind.CALL_DENY)
    body = bodies.Deny.parse(town.house[index].body)
    edited = replace(body, reasons=(replace(body.reasons[0], detail="missing tax"),))
    town.house[index] = replace(town.house[index], body=edited.to_body())
    assert replayed(town, HOUSE) == []
    assert marks(replayed(town, HOUSE, keys=town.keys)) == [(index, Mark.MALFORMED)]


def test_openings_join_request_and_consent(town: Town) -> None:
    """A house whose pseudonyms lie is found by the registrar's openings."""
    town.call("bank-a", "zhang", "c-1")
    index = last(town, HOUSE, Kind.CALL_INTENT)
    grant = next(i for i, e in enumerate(town.house) if e.kind is Kind.CONSENT_GRANT)
    liar = Town()
    liar.grant("c-1", "wang", max_uses=4, frequency=Frequency(3, 1))
    lie = bodies.Grant.parse(liar.house[-1].body)
    lie = replace(lie, subject=town.pseudonym(HOUSE, "zhang"))
    town.house[grant] = replace(town.house[grant], body=lie.to_body())
    assert replayed(town, HOUSE) == []
    openings = [*town.openings[2:], *liar.openings]
    found = replayed(town, HOUSE, openings=openings)
    assert marks(found) == [(index, Mark.SUBJECTS_DIFFER)]
    for one_side in ((), town.openings[:2], town.openings[2:]):
        replay = Replay(HOUSE, openings=one_side)
        assert fed(replay, town.house) == []
        assert replay.counts.unopened == 1


# House against authority


def without(entries: Sequence[Entry], index: int) -> list[Entry]:
    """Leave one entry out."""
    return [*entries[:index], *entries[index + 1 :]]


@pytest.mark.parametrize(
    ("role", "kind", "mark"),
    [
        (HOUSE, Kind.CALL_INTENT, Mark.NO_INTENT),
        (AUTHORITY, Kind.CALL_PERMIT, Mark.NO_PERMIT),
        (AUTHORITY, Kind.CALL_DONE, Mark.NO_DONE),
        (HOUSE, Kind.CALL_OUTCOME, Mark.NO_OUTCOME),
        (AUTHORITY, Kind.CALL_DENY, Mark.NO_DENIAL),
    ],
)
def test_an_entry_that_one_of_them_left_out(
    town: Town, role: Role, kind: Kind, mark: Mark
) -> None:
    """The other one tells, and names the call."""
    busy(town)
    permits = [e for e in town.authority if e.kind is Kind.CALL_PERMIT]
    # The house has ten minutes to journal an outcome, by what it journalled since.
    call = permits[-2 if kind is Kind.CALL_OUTCOME else -1].call
    if kind is Kind.CALL_DENY:
        call = town.authority[last(town, AUTHORITY, kind)].call
    index = [(e.kind, e.call) for e in town.journals[role]].index((kind, call))
    town.journals[role][:] = without(town.journals[role], index)
    found, _ = cross_check(town.house, town.authority)
    assert (mark, call) in {(item.mark, item.call) for item in found}


def test_a_call_that_both_left_out_and_the_bank_kept(town: Town) -> None:
    """Two journals without a word of it, and a receipt."""
    town.call("bank-a", "zhang", "c-1")
    call = town.house[-1].call
    for role in Role:
        entries = town.journals[role]
        entries[:] = [entry for entry in entries if entry.call != call]
    assert cross_check(town.house, town.authority) == ((), Unfinished())
    found, _ = cross_check(town.house, town.authority, town.kept)
    assert [(item.role, item.mark) for item in found] == [
        (HOUSE, Mark.UNLOGGED_RECEIPT),
        (AUTHORITY, Mark.UNLOGGED_RECEIPT),
    ]


def test_receipts_that_differ(town: Town) -> None:
    """House and authority each have a receipt of the ticket, and not the same."""
    town.call("bank-a", "zhang", "c-1")
    index = last(town, HOUSE, Kind.CALL_OUTCOME)
    body = bodies.Outcome.parse(town.house[index].body)
    other = replace(body, receipt=bytes(32))
    town.house[index] = replace(town.house[index], body=other.to_body())
    found, _ = cross_check(town.house, town.authority)
    assert [(item.role, item.mark) for item in found] == [
        (HOUSE, Mark.RECEIPTS_DIFFER),
        (AUTHORITY, Mark.RECEIPTS_DIFFER),
    ]
    found, _ = cross_check(town.house, town.authority, [Kept(body.ticket, bytes(32))])
    assert (AUTHORITY, Mark.UNLOGGED_RECEIPT) in {(i.role, i.mark) for i in found}


def test_calls_under_way_are_no_discrepancy(town: Town) -> None:
    """Exports of different moments: an intent, and a permit, without an end."""
    town.call("bank-a", "zhang", "c-1")
    permit = last(town, AUTHORITY, Kind.CALL_PERMIT)
    intent = last(town, HOUSE, Kind.CALL_INTENT)
    house = town.house[: intent + 1]
    assert cross_check(house, town.authority[: permit + 1]) == (
        (),
        Unfinished(intents=1, permits=1),
    )
    assert cross_check(house, town.authority[:permit]) == ((), Unfinished(intents=1))


def test_cross_check_tells_of_bodies_it_cannot_read() -> None:
    """No entry is passed over in silence."""
    broken = [
        Entry(Kind.CALL_INTENT, 1, "x", "", {}),
        Entry(Kind.CALL_DONE, 1, "", "", {}),
    ]
    found, _ = cross_check(broken, broken)
    assert marks(found) == [(0, Mark.MALFORMED), (1, Mark.MALFORMED)]


# Whatever happens in a town

ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("call"),
            st.sampled_from(["bank-a", "bank-b", "bank-c"]),
            st.sampled_from(["zhang", "wang"]),
            st.sampled_from(["c-1", "c-2", "c-3", ""]),
            st.sampled_from(["grade", "care"]),
            st.sampled_from(["loan-precheck", "post-loan"]),
            st.booleans(),
        ),
        st.tuples(
            st.just("event"), st.sampled_from(["c-1", "c-2"]), st.sampled_from(Event)
        ),
        st.tuples(st.just("push"), st.sampled_from(["tax", "court"])),
        st.tuples(st.just("wait"), st.sampled_from([1, 86_400_000, 40 * 86_400_000])),
        st.tuples(st.just("retire"), st.just("care")),
    ),
    max_size=25,
)


def lived(actions: list[tuple], **limits: int) -> Town:  # type: ignore[type-arg]
    """Let a town live through the actions."""
    town = Town(signing=False, limits=Limits(**limits))
    town.grant("c-1", "zhang", max_uses=5, frequency=Frequency(2, 30))
    town.grant("c-2", "wang", scope=("dataset:tax", "dataset:health"), separate=True)
    for action, *values in actions:
        if action == "call":
            bank, subject, consent, contract, purpose, listed = values
            if bank == "bank-c":  # is no bank of the contract
                town.call(bank, subject, consent, contract, purpose)
            else:
                town.call(bank, subject, consent, contract, purpose, listed=listed)
        elif action == "event":
            try:
                town.event(*values)
            except ConsentConflict:
                assert town.status(values[0]) is not Status.ACTIVE or (
                    values[1] is Event.RESUME
                )
        elif action == "wait":
            town.now_ms += values[0]
        else:
            getattr(town, action)(*values)
    return town


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS)
def test_every_journal_of_a_town_replays(actions: list[tuple]) -> None:  # type: ignore[type-arg]
    """Whatever was asked and decided: nothing to tell, in both and between them."""
    town = lived(actions, bank_millibits=5_000, subject_millibits=8_000)
    for role in Role:
        assert replayed(town, role, openings=town.openings) == []
    assert cross_check(town.house, town.authority, town.kept) == ((), Unfinished())


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS, st.data())
def test_case_36_any_decision_altered_is_named(
    actions: list[tuple],  # type: ignore[type-arg]
    data: st.DataObject,
) -> None:
    """Any permit denied, and any denial given other reasons: index, call, reason."""
    town = lived(
        [*actions, ("call", "bank-a", "zhang", "c-1", "grade", "loan-precheck", True)],
        bank_millibits=5_000,
        subject_millibits=8_000,
    )
    role = data.draw(st.sampled_from(Role))
    entries = town.journals[role]
    kinds = (
        {Kind.CALL_PERMIT, Kind.CALL_DENY} if role is AUTHORITY else {Kind.CALL_DENY}
    )
    decided = [i for i, entry in enumerate(entries) if entry.kind in kinds]
    if not decided:
        return
    index = data.draw(st.sampled_from(decided))
    entry = entries[index]
    reasons = data.draw(
        st.lists(
            st.sampled_from(sorted(set(Reason) - BEYOND_REPLAY)),
            min_size=1,
            unique=True,
        )
    )
    if entry.kind is Kind.CALL_PERMIT:
        entries[index] = as_denial(entry, *denial_of(reasons))
    else:
        body = bodies.Deny.parse(entry.body)
        if {finding.reason for finding in body.reasons} == set(reasons):
            return
        findings = denied(Finding(reason) for reason in reasons).reasons
        body = replace(body, reasons=findings, public=public(findings).reason)
        entries[index] = replace(entry, body=body.to_body())
    found = replayed(town, role)
    assert (index, entry.call, Mark.DECISION_DIFFERS) in {
        (item.index, item.call, item.mark) for item in found
    }


def denial_of(reasons: list[Reason]) -> list[Reason]:
    """Put reasons in order."""
    return [f.reason for f in denied(Finding(reason) for reason in reasons).reasons]


@given(st.binary(max_size=300))
def test_the_quick_reader_of_requests_is_as_strict(payload: bytes) -> None:
    """No bytes are a request to one reader and not to the other."""
    for candidate in (payload, REQUEST, REQUEST + payload[:1], payload[:1] + REQUEST):
        try:
            expected = Request.parse(candidate)
        except FormatError:
            with pytest.raises(FormatError):
                bodies.read_request(candidate)
        else:
            assert bodies.read_request(candidate) == expected


REQUEST = Request(bytes(32), bytes(32), "p", "c", bytes(16), 7, "b").to_bytes()


@given(st.integers(0, len(REQUEST) - 1), st.integers(0, 255))
def test_one_byte_of_a_request(place: int, byte: int) -> None:
    """One other byte anywhere: both readers still say the same."""
    candidate = REQUEST[:place] + bytes([byte]) + REQUEST[place + 1 :]
    try:
        expected = Request.parse(candidate)
    except FormatError:
        with pytest.raises(FormatError):
            bodies.read_request(candidate)
    else:
        assert bodies.read_request(candidate) == expected


@given(st.text(max_size=5), st.text(max_size=5), st.integers(0, (1 << 53) - 1))
def test_every_request_reads_back(purpose: str, consent: str, iat_ms: int) -> None:
    """Escapes, Chinese and long numbers take the long way and arrive."""
    request = Request(bytes(32), b"s" * 32, purpose, consent, bytes(16), iat_ms, "b")
    assert bodies.read_request(request.to_bytes()) == request


def test_a_decision_is_not_stored_as_a_verdict() -> None:
    """Replay takes nothing for granted that a permit says about itself."""
    members = set(bodies.Permit.__dataclass_fields__)
    assert not members & {"allow", "decision", "status", "basis"}
    assert Decision(allow=True).reasons == ()
