"""Portable ratings: an outcome that another bank computes again, and when it ends."""

import json
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from typer.testing import CliRunner

from contracts import rating_bodies, recognition
from contracts.consent import ConsentEvent, Event, Frequency
from contracts.decide import Decision, Reason
from contracts.discrepancy import Discrepancy, Mark
from contracts.errors import KindRefused, RatingRefused
from contracts.lifecycle import Retirement
from contracts.rating import TYPE, VERSION, bind, peek
from contracts.recognition import stands
from contracts.replay import Replay
from contracts.subject import SubjectType
from node import clock, consents, rating_client
from node.cli import rating as cli
from node.cli.app import _told
from node.cli.rating import _private, _public
from node.domain import Role
from node.errors import ConfigInvalid, NotFound, Refused, Unreachable
from node.historian import Historian
from node.keys import BankKeys, RegistrarKeys
from node.rating_client import RatingClient
from node.ratings import BEAT_MS, MOST_STANDING
from node.remote import ask
from node.verify import pins, verify
from protocols import jws
from protocols.call import Request, Shared, Ticket, request_hash
from protocols.canon import Tag, dumps
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from protocols.note import LogProof
from protocols.rating import RatingRequest
from protocols.sign import sign
from protocols.status_list import MOST_BYTES, StatusList, pack
from tests.german import expected
from tests.hostile import Wall
from tests.rated import CARD, Rated, claims_of
from tests.simulator import World

DAY_S = 86_400


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rated]:
    """Run a town."""
    with World(tmp_path_factory.mktemp("rated")) as world:
        made = Rated.of(world)
        yield made
        made.close()


@pytest.fixture(scope="module")
def subjects(scene: Rated) -> Iterator[str]:
    """Name subjects whose answer is a grade, each once."""
    outcomes = expected()
    return (name for name in scene.town.ids if outcomes[name]["answer"] == "scored")


@pytest.fixture
def wall(scene: Rated, monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Set everybody's clock; the house's last list is of two beats ago."""
    made = Wall()
    monkeypatch.setattr(clock, "now_ms", made)
    made.offset_ms = -2 * BEAT_MS
    scene.other.status()
    made.offset_ms = 0
    return made


@pytest.mark.parametrize(
    ("contract", "gate"),
    [
        (CARD, "flat"),
        ("middling", "split"),
        ("wide", "thr"),
    ],
)
def test_another_bank_computes_it_again(
    scene: Rated, subjects: Iterator[str], contract: str, gate: str
) -> None:
    """At each gate of a score, off-line, and with the outcome that its bank read."""
    subject = next(subjects)
    outcome = scene.ask(subject, contract)
    text = scene.bank.issue(outcome.request, "lsbank")
    found = scene.other.read(text, subject, status=scene.other.status())
    assert found.contract.gate == gate
    assert found.outcome == dict(outcome.fields)
    assert (found.issuer, found.audience, found.call) == (
        "jnrcb",
        "lsbank",
        outcome.request,
    )
    if contract == CARD:
        assert found.outcome["grade"] == expected()[subject]["grade"]


def test_of_a_repeat_the_first_answer_is_rated(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """The earlier call, with its own time: a repeat makes no answer younger."""
    subject = next(subjects)
    first, again = scene.ask(subject), scene.ask(subject)
    assert again.repeated
    found = scene.read(scene.bank.issue(again.request, "lsbank"), subject)
    assert found.call == first.request
    with pytest.raises(NotFound, match="no such answer is kept here"):
        scene.other.issue(first.request, "jnrcb")


def test_only_grades_travel(scene: Rated) -> None:
    """No veto, no missing data, no query; the house is not asked, so learns nothing."""
    before = scene.journalled
    outcomes = expected()
    vetoed = next(n for n in scene.town.ids if outcomes[n]["answer"] == "vetoed")
    call = scene.ask(vetoed).request
    query = scene.bank.range("turnover-floor", vetoed, consent=f"c-{vetoed}").request
    with pytest.raises(RatingRefused, match="only a grade travels"):
        scene.bank.issue(call, "lsbank")
    with pytest.raises(KindRefused):
        scene.bank.issue(query, "lsbank")
    assert scene.journalled == before


def test_it_ends_with_what_its_reader_could_ask(
    scene: Rated, subjects: Iterator[str], wall: Wall
) -> None:
    """Suspended, it sleeps; resumed, it stands again; withdrawn, it is over."""
    subject = next(subjects)
    text = scene.rate(subject)
    other = scene.rate(next(subjects))
    for number, (event, awake) in enumerate(
        [(Event.SUSPEND, False), (Event.RESUME, True), (Event.WITHDRAW, False)]
    ):
        wall.offset_ms = 0
        scene.town.happen(ConsentEvent(f"c-{subject}", event, number, "", "registrar"))
        wall.offset_ms = (number + 1) * BEAT_MS
        if awake:
            assert scene.read(text, subject).audience == "lsbank"
        else:
            with pytest.raises(RatingRefused, match="no longer stands"):
                scene.read(text, subject)
    assert peek(other)["status"] != peek(text)["status"]


def test_a_list_tells_nobody_when_a_subject_did_what(
    scene: Rated, subjects: Iterator[str], wall: Wall
) -> None:
    """Ten minutes the same list, but for what banks make and revoke."""
    subject = next(subjects)
    wall.frozen_ms = clock.now_ms()
    text = scene.rate(subject)
    before = scene.other.status()
    scene.town.happen(ConsentEvent(f"c-{subject}", Event.SUSPEND, 0, "", "registrar"))
    assert scene.other.status() == before
    wall.frozen_ms += BEAT_MS - 1
    other = next(subjects)
    made = scene.rate(other)
    assert scene.other.status() != before
    assert scene.read(text, subject).audience == "lsbank"
    assert scene.read(made, other).audience == "lsbank"
    scene.bank.revoke(made)
    with pytest.raises(RatingRefused, match="no longer stands"):
        scene.read(made, other)
    assert scene.read(text, subject).audience == "lsbank"
    wall.frozen_ms += 1
    with pytest.raises(RatingRefused, match="no longer stands"):
        scene.read(text, subject)


def test_a_list_costs_a_decision_for_what_is_not_over(
    scene: Rated, subjects: Iterator[str], wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is revoked, or has ended, is not decided again; and once a beat."""
    subject = next(subjects)
    scene.bank.revoke(scene.rate(subject))
    scene.rate(subject, days=1)
    decided: list[bytes] = []

    def counted(audience: str, request: Request, *rest: Any) -> Decision:  # noqa: ANN401
        decided.append(request.subject)
        return stands(audience, request, *rest)

    monkeypatch.setattr(recognition, "stands", counted)
    text = scene.rate(subject, days=3)
    own = scene.read(text, subject).call
    (kept,) = (
        k for k in scene.bank.receipts() if request_hash(k.request.payload) == own
    )
    about = Request.parse(kept.request.payload).subject
    for offset_ms, times in ((BEAT_MS, 2), (BEAT_MS + 1, 0), (2 * clock.DAY_MS, 1)):
        wall.offset_ms = offset_ms
        decided.clear()
        scene.other.status()
        assert decided.count(about) == times


def test_few_ratings_of_one_answer_stand_for_one_bank(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """One more is refused until one of them ends."""
    subject = next(subjects)
    texts = [scene.rate(subject, days=n + 1) for n in range(MOST_STANDING)]
    with pytest.raises(Refused, match="8 ratings of this answer stand for `lsbank`"):
        scene.rate(subject, days=30)
    scene.bank.revoke(texts[3])
    assert scene.rate(subject, days=30)


def test_who_left_the_directory_is_read_no_more(
    scene: Rated, subjects: Iterator[str], wall: Wall
) -> None:
    """As no bank could ask about it; nor is another rating made."""
    subject = next(subjects)
    call = scene.ask(subject).request
    text = scene.bank.issue(call, "lsbank")
    place = peek(text)["status"]["status_list"]["idx"]
    scene.town.house.ledger.commit(
        lambda tx: tx.db.execute(
            "DELETE FROM slot WHERE subject = "
            "(SELECT subject FROM rating WHERE place = ?)",
            (place,),
        )
    )
    with pytest.raises(Refused, match="no consent of this subject"):
        scene.bank.issue(call, "lsbank", days=2)
    wall.offset_ms = BEAT_MS
    with pytest.raises(RatingRefused, match="no longer stands"):
        scene.read(text, subject)


def test_a_crash_leaves_no_rating_that_nobody_can_end(
    scene: Rated, subjects: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journalled, and the reply is lost: the same wish again has the same leave."""
    call = scene.ask(next(subjects)).request
    before = scene.journalled

    def lost(*sent: Any) -> None:  # noqa: ANN401
        ask(*sent)
        raise Unreachable("the reply is lost")

    with monkeypatch.context() as patch:
        patch.setattr(rating_client, "ask", lost)
        with pytest.raises(Unreachable):
            scene.bank.issue(call, "lsbank")
    text = scene.bank.issue(call, "lsbank")
    assert peek(scene.bank.issue(call, "lsbank")) == peek(text)
    assert scene.journalled == before + 1
    scene.bank.revoke(text)
    again = scene.bank.issue(call, "lsbank")
    assert peek(again)["status"] != peek(text)["status"]


def test_an_answer_from_before_the_banks_box_key_was_replaced(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """Earlier keys open earlier boxes."""
    subject = next(subjects)
    call = scene.ask(subject).request
    world = scene.town.world
    held = world.keys("jnrcb", BankKeys)
    rotated = replace(held, hpke=X25519PrivateKey.generate(), hpke_before=(held.hpke,))
    with RatingClient(world.config("jnrcb"), rotated, world.domain) as bank:
        text = bank.issue(call, "lsbank")
    assert scene.read(text, subject).call == call


def test_a_wish_that_nobody_could_be_granted_tells_of_no_grantee(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """Over already: EXPIRED, whether the other bank is a grantee or not."""
    reasons = set()
    for grantees in (("jnrcb",), ("jnrcb", "lsbank")):
        subject, end_ms = next(subjects), clock.now_ms() + 10**9
        consent = f"over-{len(grantees)}"
        scene.town.grant(subject, consent, grantees=grantees, not_after_ms=end_ms)
        call = scene.ask(subject, CARD, consent).request
        with pytest.raises(Refused) as caught:
            scene.bank.issue(call, "lsbank", days=-1)
        reasons.add(caught.value.reason)
    assert reasons == {Reason.EXPIRED}


def test_who_could_not_ask_itself_asks_for_nobody(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """A bank that left the class, whatever the other is; nor about old data."""
    call = scene.ask(next(subjects)).request
    (kept,) = (
        k for k in scene.bank.receipts() if request_hash(k.request.payload) == call
    )
    request, now_ms = Request.parse(kept.request.payload), clock.now_ms()
    house = scene.town.house
    with house.ledger.reader() as db:
        grant = consents.find(db, request.consent)
        terms = house.registry.terms(db, request.contract)
    assert grant is not None
    wish = RatingRequest(call, call, "jnrcb", "lsbank", b"", now_ms // 1000 + 60, 0)
    for members, newest, reasons in (
        ({"jnrcb", "lsbank"}, True, []),
        ({"jnrcb"}, True, [Reason.NO_CONSENT]),
        ({"lsbank"}, True, [Reason.NO_CONSENT]),
        ({"jnrcb"}, False, [Reason.STALE_DATA]),
    ):
        held = replace(
            grant,
            consent=replace(grant.consent, grantees=("class:rural",)),
            members=frozenset(members),
        )
        decision = recognition.may(
            wish, request, grant.subject, terms, held, now_ms, newest=newest
        )
        assert [finding.reason for finding in decision.reasons] == reasons


def test_what_is_no_fresh_answer_to_a_score_is_not_rated(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """A repeat, another kind, a number of the bank's own."""
    call = scene.ask(next(subjects)).request
    kept = scene.bank._fresh(call)
    assert kept.reply is not None
    request = Request.parse(kept.request.payload)
    ticket = Ticket.parse(kept.reply.answer.ticket.payload)
    recognition.check_kind(request, ticket)
    again = replace(ticket, seed=b"", message=b"", pads=b"", repeat_of=bytes(32))
    with pytest.raises(FormatError, match="a repeat is not rated"):
        recognition.check_kind(request, again)
    joint = Shared(b"s" * 32, b"b" * 32)
    for other in (replace(request, kind="range"), replace(request, shared=joint)):
        with pytest.raises(FormatError, match="expected a score"):
            recognition.check_kind(other, ticket)


def test_a_bank_ends_its_own(scene: Rated, subjects: Iterator[str]) -> None:
    """For good, once, and no other bank's; an older list still says that it stood."""
    subject = next(subjects)
    text, before = scene.rate(subject), scene.other.status()
    with pytest.raises(NotFound, match="no such rating of this bank"):
        scene.other.revoke(text)
    scene.bank.revoke(text)
    before_again = scene.journalled
    scene.bank.revoke(text)
    assert scene.journalled == before_again
    with pytest.raises(RatingRefused, match="no longer stands"):
        scene.read(text, subject)
    assert scene.read(text, subject, status=before).status_s > 0


def test_the_age_of_a_list_is_seen_and_bounded(
    scene: Rated, subjects: Iterator[str], wall: Wall
) -> None:
    """A day by default; whoever asks for more says so."""
    subject = next(subjects)
    text, listed = scene.rate(subject, days=3), scene.other.status()
    wall.offset_ms = clock.DAY_MS + 2_000
    with pytest.raises(RatingRefused, match="s old, expected at most 86400"):
        scene.read(text, subject, status=listed)
    found = scene.read(text, subject, status=listed, most_age_s=2 * DAY_S)
    assert found.status_s < clock.now_ms() // 1000 - DAY_S
    wall.offset_ms = 3 * clock.DAY_MS + 2_000
    with pytest.raises(RatingRefused, match="is over"):
        scene.read(text, subject, status=listed, most_age_s=9 * DAY_S)


def test_a_list_from_before_the_rating_says_nothing(
    scene: Rated, subjects: Iterator[str], wall: Wall
) -> None:
    """Nor does one of the same byte of bits."""
    wall.offset_ms = -5_000
    before = scene.other.status()
    wall.offset_ms = 0
    subject = next(subjects)
    text = scene.rate(subject)
    with pytest.raises(RatingRefused, match="older than the rating"):
        scene.read(text, subject, status=before)


def test_the_house_lets_nobody_read_who_could_not_ask(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """Another grantee's consent, an end after the consent's, one after 90 days."""
    subject, now_ms = next(subjects), clock.now_ms()
    scene.town.grant(subject, "mine", grantees=("jnrcb",), not_after_ms=now_ms + 10**10)
    scene.town.grant(subject, "short", not_after_ms=now_ms + clock.DAY_MS)
    with pytest.raises(Refused, match="no consent of this subject") as caught:
        scene.bank.issue(scene.ask(subject, CARD, "mine").request, "lsbank")
    assert caught.value.reason == Reason.NO_CONSENT
    other = next(subjects)
    scene.town.grant(other, "brief", not_after_ms=now_ms + clock.DAY_MS)
    call = scene.ask(other, CARD, "brief").request
    with pytest.raises(Refused, match="has expired") as caught:
        scene.bank.issue(call, "lsbank", days=2)
    assert "fewer days" in caught.value.hint
    with pytest.raises(Refused, match="within 90 days"):
        scene.bank.issue(call, "lsbank", days=91)
    with pytest.raises(NotFound, match="no party `nobody`"):
        scene.bank.issue(call, "nobody")
    with pytest.raises(FormatError, match="another bank than its own"):
        scene.bank.issue(call, "jnrcb")


def test_who_leaves_a_class_reads_no_more(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """A consent to a class is one to its members of now."""
    house, subject = scene.town.house, next(subjects)
    call = scene.ask(subject).request
    (kept,) = (
        k for k in scene.bank.receipts() if request_hash(k.request.payload) == call
    )
    request = Request.parse(kept.request.payload)
    with house.ledger.reader() as db:
        grant = consents.find(db, request.consent)
        terms = house.registry.terms(db, request.contract)
    assert grant is not None
    consent = replace(grant.consent, grantees=("jnrcb", "class:rural"))
    now_ms = clock.now_ms()
    for members, allowed in ((frozenset({"lsbank"}), True), (frozenset[str](), False)):
        held = replace(grant, consent=consent, members=members)
        decision = stands("lsbank", request, grant.subject, terms, held, now_ms)
        assert decision.allow is allowed


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_uses": 9}, Reason.USED_UP),
        ({"frequency": Frequency(9, 30)}, Reason.FREQUENCY),
    ],
    ids=["uses", "frequency"],
)
def test_limited_uses_are_not_multiplied(
    scene: Rated, subjects: Iterator[str], limits: dict[str, object], reason: Reason
) -> None:
    """Who consented to a number of uses did not mean one for each reader."""
    subject = next(subjects)
    end_ms = clock.now_ms() + 60 * clock.DAY_MS
    scene.town.grant(subject, f"few-{reason}", not_after_ms=end_ms, **limits)
    call = scene.ask(subject, CARD, f"few-{reason}").request
    with pytest.raises(Refused) as caught:
        scene.bank.issue(call, "lsbank")
    assert caught.value.reason == reason
    assert "allows no ratings" in caught.value.hint


def test_an_answer_on_old_data_is_not_rated(
    tmp_path_factory: pytest.TempPathFactory, wall: Wall
) -> None:
    """A bank cannot pick the best of several; what it made before stands."""
    with World(tmp_path_factory.mktemp("stale")) as world:
        scene = Rated.of(world)
        subject = scene.town.ids[0]
        call = scene.ask(subject, "middling").request
        before = scene.bank.issue(call, "lsbank", days=1)
        scene.town.push_again()
        with pytest.raises(Refused, match="older than the contract allows") as caught:
            scene.bank.issue(call, "lsbank", days=2)
        assert caught.value.reason == Reason.STALE_DATA
        assert scene.read(before, subject).call == call
        assert _replayed(scene, _journal(scene)) == []
        late = _journal(scene)
        (issue,) = (e for e in late if e.kind is Kind.RATING_ISSUE)
        late.remove(issue)
        late.append(replace(issue, time_ms=late[-1].time_ms))
        (found,) = _replayed(scene, late)
        assert (found.mark, found.reasons) == (
            Mark.DECISION_DIFFERS,
            (Reason.STALE_DATA,),
        )
        compiled = scene.read(before, subject).contract
        signed = scene.town.sign(
            "jnrcb", Tag.RETIREMENT, Retirement("jnrcb", compiled.hash).to_bytes()
        )
        house = scene.town.house
        house.ledger.commit(lambda tx: house.registry.retire(tx, signed))
        wall.offset_ms = BEAT_MS
        with pytest.raises(RatingRefused, match="no longer stands"):
            scene.read(before, subject)
        scene.close()


def test_a_subject_with_a_key_holds_its_rating(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """Read only with the key's word for this reader and nonce."""
    subject = next(subjects)
    public = scene.holder.public_key().public_bytes_raw()
    text = scene.rate(subject, holder=public)
    now_s = clock.now_ms() // 1000
    shown = bind(text, "lsbank", "n-1", now_s, scene.holder)
    found = scene.other.read(shown, subject, nonce="n-1")
    assert found.holder == public
    with pytest.raises(RatingRefused, match="it signed nothing"):
        scene.other.read(text, subject, nonce="n-1")
    with pytest.raises(FormatError, match="has a proof of a key already"):
        bind(shown, "lsbank", "n-2", now_s, scene.holder)


def test_both_journals_replay_and_the_subject_sees_it(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """The audit finds nothing; the history names who may read whose answer."""
    subject = next(subjects)
    scene.bank.revoke(scene.rate(subject))
    for one in (scene.bank, scene.other):
        assert one.flush() == 0
    world = scene.town.world
    with world.auditor() as auditor:
        folder = world.folder / "export"
        auditor.export(folder)
    report = verify(folder, world.domain, openings=scene.town.openings)
    assert report.findings == ()
    settings = world.config("registrar")
    keys = world.keys("registrar", RegistrarKeys)
    with Historian(settings, keys, world.domain) as historian:
        lines = historian.read(SubjectType.OPAQUE, subject)
    told = [
        (x.node, x.party, x.decision, x.reason) for x in lines if x.kind == "rating"
    ]
    assert told == [
        ("house", "lsbank", "permitted", "by jnrcb"),
        ("house", "", "revoked", ""),
    ]


def _journal(scene: Rated) -> list[Entry]:
    ledger = scene.town.house.ledger
    return [Entry.parse(data) for data in ledger.entries(0, ledger.head.size)]


def _replayed(scene: Rated, entries: list[Entry]) -> list[Discrepancy]:
    domain = scene.town.world.domain
    keys = {party.id: party.sign for party in domain.parties}
    replay = Replay(Role.HOUSE, keys=keys, standing=pins(domain).standing)
    return [d for i, e in enumerate(entries) for d in replay.feed(i, e)]


LIES = {
    "a place twice": lambda body, _: replace(body, place=body.place + 1),
    "another bank may read it": lambda body, sign_: replace(
        body,
        rating=sign_(replace(RatingRequest.parse(body.rating.payload), audience="no")),
    ),
    "it outlasts the consent": lambda body, sign_: replace(
        body,
        rating=sign_(
            replace(
                RatingRequest.parse(body.rating.payload),
                not_after_s=RatingRequest.parse(body.rating.payload).not_after_s
                + 80 * DAY_S,
            )
        ),
    ),
    "signed by nobody": lambda body, _: replace(
        body, rating=replace(body.rating, signature=bytes(64))
    ),
}
MARKS = [
    Mark.MALFORMED,
    Mark.DECISION_DIFFERS,
    Mark.MALFORMED,
    Mark.SIGNATURE_INVALID,
]


@pytest.mark.parametrize(
    ("lie", "mark"), list(zip(LIES, MARKS, strict=True)), ids=list(LIES)
)
def test_replay_finds_what_the_house_lied_about(
    scene: Rated, subjects: Iterator[str], lie: str, mark: Mark
) -> None:
    """What another bank may read follows from the journal, or is told."""
    scene.rate(next(subjects), days=30)
    entries = _journal(scene)
    index = max(i for i, e in enumerate(entries) if e.kind is Kind.RATING_ISSUE)

    def signed(rating: RatingRequest) -> object:
        return sign(Tag.RATING_REQUEST, rating.to_bytes(), scene.key)

    body = LIES[lie](rating_bodies.Issue.parse(entries[index].body), signed)
    entries[index] = replace(entries[index], body=body.to_body())
    found = _replayed(scene, entries)
    assert [(d.index, d.mark) for d in found][:1] == [(index, mark)]


def test_replay_finds_a_rating_of_no_call_and_an_end_of_none(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """A leave without an intent, one on a ticket of nobody's, an end twice."""
    scene.bank.revoke(scene.rate(next(subjects)))
    entries = _journal(scene)
    (issue, end) = (
        max(i for i, e in enumerate(entries) if e.kind is kind)
        for kind in (Kind.RATING_ISSUE, Kind.RATING_REVOKE)
    )

    def marks(changed: list[Entry]) -> list[Mark]:
        return [found.mark for found in _replayed(scene, changed)]

    call = entries[issue].call
    assert marks(entries) == []
    without = [e for e in entries if e.call != call or e.kind.startswith("rating.")]
    assert Mark.NO_INTENT in marks(without)
    assert marks([*entries, entries[end]]) == [Mark.MALFORMED]
    elsewhere = [e for n, e in enumerate(entries) if n != end]
    elsewhere[issue] = replace(entries[issue], call="00" * 32)
    assert marks(elsewhere) == [Mark.MALFORMED]
    body = rating_bodies.Issue.parse(entries[issue].body)
    unsigned = replace(body, ticket=replace(body.ticket, signature=bytes(64)))
    entries[issue] = replace(entries[issue], body=unsigned.to_body())
    assert Mark.SIGNATURE_INVALID in marks(entries)


def test_a_rating_holds_no_more_than_it_must(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """No sealed box, no reference of the subject, and not the house's name of it."""
    subject = next(subjects)
    call = scene.ask(subject).request
    evidence = claims_of(scene.bank.issue(call, "lsbank"))["evidence"]
    answered = evidence["answered"]
    proofs = [answered["permit"], answered["outcome"], evidence["leave"]]
    entries = [LogProof.parse(proof).extra.decode() for proof in proofs]
    whole = "".join([json.dumps(evidence), *entries])
    (intent,) = (
        entry
        for entry in _journal(scene)
        if (entry.kind, entry.call) == (Kind.CALL_INTENT, call.hex())
    )
    (kept,) = (
        k for k in scene.bank.receipts() if request_hash(k.request.payload) == call
    )
    assert kept.reply is not None
    box = kept.reply.answer.box
    for secret in (scene.town.refs[subject].hex(), str(intent.body["subject"])):
        assert secret not in whole
    assert box.hex() not in whole
    assert b64encode(box).decode() not in whole
    assert sorted(evidence) == [
        "answered",
        "contract",
        "leave",
        "opened",
        "pads",
        "salt",
    ]


def test_every_rating_has_a_name_of_its_own(
    scene: Rated, subjects: Iterator[str]
) -> None:
    """Two of one answer for one reader are two, and each ends by itself."""
    subject = next(subjects)
    call = scene.ask(subject).request
    one, two = (scene.bank.issue(call, "lsbank", days=n) for n in (9, 10))
    assert scene.read(one, subject).rating != scene.read(two, subject).rating
    scene.bank.revoke(one)
    assert scene.read(two, subject).call == call


# -- formats


def test_bits_are_those_of_the_standard() -> None:
    """The example of draft-ietf-oauth-status-list, section 4.1: 0xb9, 0xa3."""
    bits = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
    assert pack([not bit for bit in bits]).hex() == "b9a3"
    listed = StatusList("a:list", 5, bytes.fromhex("b9a3"))
    assert [listed.stands(place) for place in range(16)] == [not bit for bit in bits]


def test_signatures_are_those_of_rfc_8037() -> None:
    """Appendix A.4: the key, and a token that other libraries made."""
    key = Ed25519PrivateKey.from_private_bytes(
        jws.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
    )
    token = (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvp"
        "Ar_MuM0KAg"
    )
    jws._check(token, jws._split(token)[2], key.public_key())
    assert jws.unverified(token) == b"Example of Ed25519 signing"


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_a_list_comes_back(scene: Rated, count: int) -> None:
    """Every place, and none beyond."""
    standing = tuple(n % 3 != 0 for n in range(count))
    text = StatusList("a:list", 5, pack(standing)).sign(scene.key)
    found = StatusList.verify(text, "a:list", [scene.key.public_key()])
    assert [found.stands(n) for n in range(count + 9)] == [*standing, *[False] * 9]
    with pytest.raises(FormatError, match="expected `b:list`"):
        StatusList.verify(text, "b:list", [scene.key.public_key()])


def test_a_short_text_is_no_large_list(scene: Rated) -> None:
    """33 million places of one file of 6 kB stay 4 MB."""
    text = StatusList("a:list", 5, bytes(MOST_BYTES)).sign(scene.key)
    assert len(text) < 10_000
    tracemalloc.start()
    try:
        found = StatusList.verify(text, "a:list", [scene.key.public_key()])
        assert tracemalloc.get_traced_memory()[1] < 4 * MOST_BYTES
    finally:
        tracemalloc.stop()
    assert found.stands(8 * MOST_BYTES - 1)
    assert not found.stands(8 * MOST_BYTES)


def test_a_strangers_file_does_not_steer_the_terminal(
    scene: Rated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither where claims are shown, nor in what is said of them."""
    steered = "spiffe://x/bank/a\x1b[2K\x1b[1A"
    claims = dumps({"v": VERSION, "iss": steered, "aud": steered, "exp": 1})
    file = tmp_path / "forged.rating"
    file.write_text(jws.sign(TYPE, claims, scene.key) + "~")
    shown = CliRunner().invoke(cli.app, ["show", str(file)])
    assert shown.exit_code == 0
    assert "\\x1b[2K" in shown.output
    assert "\x1b" not in shown.output
    assert _told(f"no bank `{steered}`", steered, 3) == 3
    said = capsys.readouterr().err
    assert said.count("\\x1b[2K") == 2
    assert "\x1b" not in said


def test_a_rating_is_its_owners_to_read(
    scene: Rated,
    subjects: Iterator[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mode 0600: outcome, and what tells whom it is about to who has the pepper."""
    world, call = scene.town.world, scene.ask(next(subjects)).request
    party = world.config("jnrcb"), world.keys("jnrcb", BankKeys), world.domain
    monkeypatch.setattr(cli, "load", lambda *_: party)
    private, public = _pems(scene, tmp_path)
    made, shown = tmp_path / "a.rating", tmp_path / "a.shown"
    for command in (
        ["issue", call.hex(), "--for", "lsbank", "--holder", public, "--out", made],
        [
            "present",
            made,
            "--key",
            private,
            "--for=lsbank",
            "--nonce=n",
            "--out",
            shown,
        ],
    ):
        result = CliRunner().invoke(cli.app, [str(word) for word in command])
        assert result.exit_code == 0, result.output
    assert [path.stat().st_mode & 0o777 for path in (made, shown)] == [0o600] * 2


def _pems(scene: Rated, folder: Path) -> tuple[Path, Path]:
    private, public = folder / "key.pem", folder / "public.pem"
    private.write_bytes(
        scene.holder.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    public.write_bytes(
        scene.holder.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


def test_keys_of_subjects_are_pem(scene: Rated, tmp_path: Path) -> None:
    """Ed25519 only, without a passphrase."""
    private, public = _pems(scene, tmp_path)
    assert _public(public) == _private(private).public_key().public_bytes_raw()
    for read in (_public, _private):
        with pytest.raises(ConfigInvalid, match="no Ed25519"):
            read(private if read is _public else public)
