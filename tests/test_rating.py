"""Portable ratings: an outcome that another bank computes again, and when it ends."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from contracts import rating_bodies
from contracts.consent import ConsentEvent, Event, Frequency
from contracts.decide import Reason
from contracts.discrepancy import Mark
from contracts.errors import KindRefused, RatingRefused
from contracts.lifecycle import Retirement
from contracts.rating import bind, peek
from contracts.recognition import stands
from contracts.replay import Replay
from contracts.subject import SubjectType
from node import clock, consents
from node.cli.rating import _private, _public
from node.domain import Role
from node.errors import ConfigInvalid, NotFound, Refused
from node.historian import Historian
from node.keys import RegistrarKeys
from node.verify import pins, verify
from protocols import jws
from protocols.call import Request, request_hash
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from protocols.note import LogProof
from protocols.rating import RatingRequest
from protocols.sign import sign
from protocols.status_list import StatusList, pack, unpack
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
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Set everybody's clock."""
    made = Wall()
    monkeypatch.setattr(clock, "now_ms", made)
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
    scene: Rated, subjects: Iterator[str]
) -> None:
    """Suspended, it sleeps; resumed, it stands again; withdrawn, it is over."""
    subject = next(subjects)
    text = scene.rate(subject)
    other = scene.rate(next(subjects))
    for number, (event, awake) in enumerate(
        [(Event.SUSPEND, False), (Event.RESUME, True), (Event.WITHDRAW, False)]
    ):
        scene.town.happen(ConsentEvent(f"c-{subject}", event, number, "", "registrar"))
        if awake:
            assert scene.read(text, subject).audience == "lsbank"
        else:
            with pytest.raises(RatingRefused, match="no longer stands"):
                scene.read(text, subject)
    assert peek(other)["status"] != peek(text)["status"]


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
    tmp_path_factory: pytest.TempPathFactory,
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
        compiled = scene.read(before, subject).contract
        signed = scene.town.sign(
            "jnrcb", Tag.RETIREMENT, Retirement("jnrcb", compiled.hash).to_bytes()
        )
        house = scene.town.house
        house.ledger.commit(lambda tx: house.registry.retire(tx, signed))
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
    trust = pins(scene.town.world.domain)
    replay = Replay(
        Role.HOUSE,
        keys={party.id: party.sign for party in scene.town.world.domain.parties},
        standing=trust.standing,
    )
    found = [d for i, e in enumerate(entries) for d in replay.feed(i, e)]
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
    domain = scene.town.world.domain
    keys = {party.id: party.sign for party in domain.parties}

    def marks(changed: list[Entry]) -> list[Mark]:
        replay = Replay(Role.HOUSE, keys=keys, standing=domain.standing)
        return [d.mark for i, e in enumerate(changed) for d in replay.feed(i, e)]

    call = entries[issue].call
    assert marks(entries) == []
    without = [e for e in entries if e.call != call or e.kind.startswith("rating.")]
    assert Mark.NO_INTENT in marks(without)
    assert marks([*entries, entries[end]]) == [Mark.MALFORMED]
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
    one, two = (scene.bank.issue(call, "lsbank") for _ in range(2))
    assert scene.read(one, subject).rating != scene.read(two, subject).rating
    scene.bank.revoke(one)
    assert scene.read(two, subject).call == call


# -- formats


def test_bits_are_those_of_the_standard() -> None:
    """The example of draft-ietf-oauth-status-list, section 4.1: 0xb9, 0xa3."""
    bits = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
    assert pack([not bit for bit in bits]).hex() == "b9a3"
    assert unpack(bytes.fromhex("b9a3")) == [not bit for bit in bits]


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
    text = StatusList("a:list", 5, standing).sign(scene.key)
    found = StatusList.verify(text, "a:list", [scene.key.public_key()])
    assert [found.stands(n) for n in range(count + 9)] == [*standing, *[False] * 9]
    with pytest.raises(FormatError, match="expected `b:list`"):
        StatusList.verify(text, "b:list", [scene.key.public_key()])


def test_keys_of_subjects_are_pem(scene: Rated, tmp_path: Path) -> None:
    """Ed25519 only, without a passphrase."""
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    private.write_bytes(
        scene.holder.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    public.write_bytes(
        scene.holder.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
    )
    assert _public(public) == _private(private).public_key().public_bytes_raw()
    for read in (_public, _private):
        with pytest.raises(ConfigInvalid, match="no Ed25519"):
            read(private if read is _public else public)
