"""A bank makes a rating better than it is, another's, for others, or for longer.

The bank holds its own keys and every file it was ever sent; it signs whatever it likes.
Each crime is committed upon a rating that reads well, and signed again by the bank.
"""

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts import rating_bodies
from contracts.answered import Pinned
from contracts.compiled import Compiled
from contracts.errors import ContractError, RatingRefused
from contracts.rating import BINDING, TYPE, bank_uri, bind, list_uri, name_of
from contracts.rating import verify as read_rating
from node import clock, rating_client
from node.errors import NodeError, ReplyRefused
from node.evidence import answered, pinned
from node.keys import BankKeys
from node.remote import ask
from node.status import to_wire
from node.wire.v1 import rating_pb2
from protocols import jws
from protocols.call import Receipt, Ticket, request_hash, ticket_hash
from protocols.canon import Tag, dumps
from protocols.entry import Entry
from protocols.errors import ProtocolError
from protocols.note import Checkpoint, LogProof
from protocols.rating import RatingRequest
from protocols.sign import Signed, sign
from protocols.status_list import StatusList, pack
from protocols.tlog import Tree, leaf_hash
from tests.german import expected
from tests.rated import Claims, Rated, claims_of
from tests.simulator import World


@dataclass
class Files:
    """Ratings that read well: of one subject, and what the bank has beside it."""

    scene: Rated
    subject: str
    text: str  # of the subject
    other_subject: str
    other: str  # of another subject, with another grade
    second: str  # of the same answer, for another end
    wide: str  # of the same subject, by another contract
    held: str  # of a subject with a key
    status: str

    def refused(self, text: str, match: str, **how: Any) -> None:  # noqa: ANN401
        """Expect that the other bank refuses a rating of the subject."""
        with pytest.raises((ProtocolError, ContractError), match=match):
            self.scene.read(text, self.subject, **{"status": self.status, **how})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    """Run a town, and collect the bank's files."""
    with World(tmp_path_factory.mktemp("forged")) as world:
        scene = Rated.of(world)
        outcomes = expected()
        scored = [n for n in scene.town.ids if outcomes[n]["answer"] == "scored"]
        subject = scored[0]
        grade = outcomes[subject]["grade"]
        better = next(n for n in scored[1:] if outcomes[n]["grade"] != grade)
        public = scene.holder.public_key().public_bytes_raw()
        made = Files(
            scene,
            subject,
            scene.rate(subject),
            better,
            scene.rate(better),
            scene.rate(subject, days=60),
            scene.rate(subject, "wide"),
            scene.rate(subject, holder=public),
            scene.other.status(),
        )
        assert scene.read(made.text, subject).outcome["grade"] == grade
        yield made
        scene.close()


def evidence(text: str) -> Claims:
    """Take a rating's evidence."""
    found: Claims = claims_of(text)["evidence"]
    return found


def flipped(at: int) -> Callable[[str], str]:
    """Flip a bit of one byte of base64; negative counts from the end."""

    def flip(text: str) -> str:
        data = bytearray(b64decode(text))
        data[at] ^= 1
        return b64encode(data).decode()

    return flip


# -- a better outcome

CLAIMS: dict[str, Callable[[Claims], object]] = {
    "grade": lambda c: c["outcome"].update(grade="AAA"),
    "limit": lambda c: c["outcome"].update(limit=c["outcome"]["limit"] + 1),
    "field added": lambda c: c["outcome"].update(rate="3.1"),
    "field left out": lambda c: c["outcome"].pop("limit"),
    "contract id": lambda c: c["contract"].update(id="golden-card"),
    "contract version": lambda c: c["contract"].update(version=2),
    "contract hash": lambda c: c["contract"].update(hash="00" * 32),
    "longer": lambda c: c.update(exp=c["exp"] + 86_400),
    "younger": lambda c: c.update(iat=c["iat"] + 86_400),
    "audience": lambda c: c.update(aud=c["iss"]),
    "place in the list": lambda c: c["status"]["status_list"].update(idx=999),
    "another list": lambda c: c["status"]["status_list"].update(
        uri="https://b.example"
    ),
    "a key": lambda c: c.update(cnf={"jwk": {"kty": "OKP"}}),
    "an unknown claim": lambda c: c.update(better="yes"),
    "true for one": lambda c: c["contract"].update(version=True),
    "another type": lambda c: c.update(vct="urn:safehouse:rating:2"),
}


@pytest.mark.parametrize("crime", CLAIMS)
def test_a_claim_that_does_not_follow(files: Files, crime: str) -> None:
    """What people read is what was computed, to the letter."""
    files.refused(files.scene.edited(files.text, CLAIMS[crime]), "what follows from")


EVIDENCE: dict[str, tuple[Callable[[Claims], object], str]] = {
    "a row": (lambda e: _put(e, "opened", flipped(-1)), "not what the authority sent"),
    "a row number": (
        lambda e: _put(e, "opened", flipped(32)),
        "not what the authority sent",
    ),
    "the authority's salt": (
        lambda e: _put(e, "opened", flipped(0)),
        "not what the authority sent",
    ),
    "opened cut short": (
        lambda e: _put(e, "opened", lambda t: b64encode(b64decode(t)[:-1]).decode()),
        "expected a box of",
    ),
    "the pads": (lambda e: _put(e, "pads", flipped(0)), "pads of another ticket"),
    "pads and more": (
        lambda e: _put(e, "pads", lambda t: b64encode(b64decode(t) + b"x").decode()),
        "pads of another ticket",
    ),
    "no opening": (lambda e: e.pop("opened"), "missing member `opened`"),
    "one part more": (lambda e: e.update(score="720"), "unknown member `score`"),
}


def _put(parts: Claims, name: str, change: Callable[[str], str]) -> None:
    parts[name] = change(parts[name])


@pytest.mark.parametrize("crime", EVIDENCE)
def test_evidence_that_was_edited(files: Files, crime: str) -> None:
    """Row, row number, salt and pads are bound by receipt and ticket."""
    change, told = EVIDENCE[crime]
    files.refused(files.scene.edited(files.text, lambda c: change(c["evidence"])), told)


SWAPS = {
    "opened": (("opened",), "not what the authority sent"),
    "pads": (("pads",), "pads of another ticket"),
    "opened and pads": (("opened", "pads"), "not what the authority sent"),
    "salt": (("salt",), "another subject"),
    "leave": (("leave",), "another entry than the leave"),
    "answer": (("answered",), "not what the authority sent"),
    "answer, opened and pads": (
        ("answered", "opened", "pads"),
        "another entry than the leave",
    ),
}


@pytest.mark.parametrize("crime", SWAPS)
def test_the_better_answer_of_another_subject(files: Files, crime: str) -> None:
    """Any part of another subject's rating in this one's place; or all of it."""
    parts, told = SWAPS[crime]
    theirs = evidence(files.other)
    forged = files.scene.edited(
        files.text, lambda c: c["evidence"].update({p: theirs[p] for p in parts})
    )
    files.refused(forged, told)
    files.refused(files.other, "another subject")


ANSWERED = {
    "request": "a ticket for another request",
    "ticket": "a ticket for another request",
    "receipt": "a receipt for another ticket",
    "permit": "another entry than the permit",
    "outcome": "another entry than the outcome",
}


@pytest.mark.parametrize("part", ANSWERED)
def test_a_document_of_another_call(files: Files, part: str) -> None:
    """Request, ticket, receipt and both proofs are of one call."""
    theirs = evidence(files.other)["answered"]
    forged = files.scene.edited(
        files.text, lambda c: c["evidence"]["answered"].update({part: theirs[part]})
    )
    files.refused(forged, ANSWERED[part])


def test_documents_that_the_bank_signs_itself(files: Files) -> None:
    """Its own ticket, its own receipt, over whatever it likes: not the pinned keys."""
    scene = files.scene
    parts = evidence(files.text)["answered"]
    ticket = replace(Ticket.parse(parts["ticket"]["payload"].encode()), slot=1)
    receipt = replace(
        Receipt.parse(parts["receipt"]["payload"].encode()), opened=bytes(32)
    )
    for part, tag, payload in (
        ("ticket", Tag.TICKET, ticket.to_bytes()),
        ("receipt", Tag.RECEIPT, receipt.to_bytes()),
    ):
        signed = sign(tag, payload, scene.key).to_json()
        forged = scene.edited(
            files.text,
            lambda c, p=part, s=signed: c["evidence"]["answered"].update({p: s}),
        )
        files.refused(forged, "unknown key")


def test_another_contract(files: Files) -> None:
    """Kinder grades over the same row: the ticket names what was computed."""
    text = evidence(files.text)["contract"]
    compiled = Compiled.parse(text.encode())
    kinder = replace(
        compiled,
        outcomes=tuple(
            tuple((n, "AAA" if n == "grade" else v) for n, v in row)
            for row in compiled.outcomes[:1]
        )
        + compiled.outcomes[1:],
    )
    for other in (kinder.to_bytes().decode(), evidence(files.wide)["contract"]):
        forged = files.scene.edited(
            files.text, lambda c, o=other: c["evidence"].update(contract=o)
        )
        files.refused(forged, "not the one that was asked")
    with pytest.raises(RatingRefused):  # nor is a rating by another contract hidden
        files.scene.read(files.wide, files.other_subject, status=files.status)
    assert files.scene.read(files.wide, files.subject).contract.id == "wide"


# -- for longer, for others


def _log(entry: Entry, key: Ed25519PrivateKey, origin: str) -> str:
    """Prove an entry in a journal of the bank's own."""
    data = entry.to_bytes()
    note = Checkpoint(origin, 1, Tree([leaf_hash(data)]).root()).sign(key)
    return LogProof(0, (), note, data).to_text()


LEAVES: dict[str, Callable[[RatingRequest], RatingRequest]] = {
    "longer": lambda r: replace(r, not_after_s=r.not_after_s + 20 * 86_400),
    "for another bank": lambda r: replace(r, audience="third-bank"),
    "without the subject's key": lambda r: replace(r, holder=b""),
}


@pytest.mark.parametrize("crime", LEAVES)
def test_a_leave_that_the_house_did_not_give(files: Files, crime: str) -> None:
    """The bank signs other terms, under the house's proof or one of its own."""
    scene = files.scene
    proof = LogProof.parse(evidence(files.held)["leave"])
    entry = Entry.parse(proof.extra)
    body = rating_bodies.Issue.parse(entry.body)
    terms = LEAVES[crime](RatingRequest.parse(body.rating.payload))
    signed = sign(Tag.RATING_REQUEST, terms.to_bytes(), scene.key)
    lie = replace(entry, body=replace(body, rating=signed).to_body())
    origin = scene.town.world.domain.origin("house")
    for leave, told in (
        (replace(proof, extra=lie.to_bytes()).to_text(), "another root"),
        (_log(lie, scene.key, origin), "no known key"),
    ):
        forged = scene.edited(
            files.held, lambda c, x=leave: c["evidence"].update(leave=x)
        )
        files.refused(forged, told)


def test_the_leave_of_another_rating(files: Files) -> None:
    """Of the same answer, with a later end: then it is that rating, place and all."""
    leave = evidence(files.second)["leave"]
    forged = files.scene.edited(files.text, lambda c: c["evidence"].update(leave=leave))
    files.refused(forged, "what follows from")


def test_shown_to_whom_it_is_not_for(files: Files) -> None:
    """The reader is named in the house's journal; its own bank is not one either."""
    files.refused(files.text, "for `lsbank`, not for `jnrcb`", audience="jnrcb")
    files.refused(files.text, "not for `third-bank`", audience="third-bank")


def test_passed_on_as_another_banks_own(files: Files) -> None:
    """The reader signs what it read as its own: the call is not its call."""
    key = files.scene.town.world.keys("lsbank", BankKeys).sign
    claims = claims_of(files.text)
    for issuer in ("lsbank", "jnrcb"):
        claims["iss"] = bank_uri(files.scene.pinned.domain, issuer)
        forged = jws.sign(TYPE, dumps(claims), key) + "~"
        files.refused(forged, "what follows from|no known key")


def test_after_its_end(files: Files) -> None:
    """To the second, whatever the list says."""
    end = claims_of(files.text)["exp"]
    old = StatusList(
        list_uri(files.scene.pinned.domain, "house"), end - 5, pack((True,) * 9)
    ).sign(files.scene.town.world.composed.keys["house"].ticket)
    assert files.scene.read(files.text, files.subject, status=old, now_s=end - 1)
    files.refused(files.text, "is over", status=old, now_s=end)


def _rotated(files: Files) -> Pinned:
    """Replace the house's keys for tickets and checkpoints, and end the old at once."""
    domain = files.scene.town.world.domain
    house = domain.house
    sign_, journal = (Ed25519PrivateKey.generate().public_key() for _ in range(2))
    old = (key.public_bytes_raw().hex() for key in (house.sign[0], house.journal[0]))
    new = replace(
        house,
        sign=(sign_, *house.sign),
        journal=(journal, *house.journal),
        ended=tuple(sorted((key, 1) for key in old)),
    )
    parties = tuple(new if p.id == house.id else p for p in domain.parties)
    return pinned(replace(domain, parties=parties), clock.now_ms())


def test_under_keys_that_have_ended(files: Files) -> None:
    """A thief's list, and a leave in a journal of his own; the call's proofs stand."""
    scene = files.scene
    now, house = _rotated(files), scene.town.world.composed.keys["house"]
    uri, now_s = list_uri(now.domain, "house"), clock.now_ms() // 1000
    text = StatusList(uri, now_s, pack((True,) * 50)).sign(house.ticket)
    reading = scene.reading(files.subject, status=text)
    assert read_rating(files.text, scene.pinned, reading)
    for trusted in (
        replace(now, live_house_journal=now.house_journal),  # the list alone
        replace(now, live_house=now.house),  # the leave alone
    ):
        with pytest.raises(ProtocolError, match="no known key"):
            read_rating(files.text, trusted, reading)
    known = replace(now, live_house=now.house, live_house_journal=now.house_journal)
    assert read_rating(files.text, known, reading)
    assert name_of(files.text, now) == name_of(files.text, scene.pinned)


def test_a_leave_that_was_not_asked_for(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The house answers with an earlier leave: for longer, without the key."""
    scene = files.scene
    call = bytes.fromhex(_call_of(files.text))
    public = scene.holder.public_key().public_bytes_raw()
    for proof, told in (
        (evidence(files.second)["leave"], "the leave for another rating"),
        (evidence(files.text)["answered"]["outcome"], "another entry than the leave"),
    ):
        reply = rating_pb2.IssueRatingResponse(logged={"proof": proof})
        monkeypatch.setattr(rating_client, "ask", lambda *_, r=reply: r)
        with pytest.raises(ReplyRefused, match=told):
            scene.bank.issue(call, "cczbank", days=3, holder=public)


def test_before_it_was_made(files: Files) -> None:
    """A reader's clock that is behind, or a leave of the future."""
    made = claims_of(files.text)["iat"]
    files.refused(files.text, "of the future", now_s=made - 301)


def test_after_it_was_revoked(files: Files) -> None:
    """With lists of the bank's own making, old ones, and others' places."""
    scene, domain = files.scene, files.scene.pinned.domain
    uri = list_uri(domain, "house")
    house = scene.town.world.composed.keys["house"].ticket
    gone = scene.rate(files.subject, days=20)
    now_s = claims_of(gone)["iat"]
    scene.bank.revoke(gone)
    place = claims_of(gone)["status"]["status_list"]["idx"]
    whole = (True,) * (place + 1)
    files.refused(gone, "no longer stands", status=scene.other.status())
    for status, told in (
        (StatusList(uri, now_s, pack(whole)).sign(scene.key), "no known key"),
        (StatusList(uri + "2", now_s, pack(whole)).sign(house), "expected `spiffe:"),
        (StatusList(uri, now_s, pack(whole[:-1])).sign(house), "no longer stands"),
        (
            StatusList(uri, now_s - 90_000, pack(whole)).sign(house),
            "older than the rating",
        ),
        (StatusList(uri, now_s + 900, pack(whole)).sign(house), "s old, expected"),
        (files.text.partition("~")[0], "no known key"),
        ("", "three parts"),
    ):
        files.refused(gone, told, status=status)


# -- the subject's key


def test_another_key_in_the_place_of_the_subjects(files: Files) -> None:
    """The key stands in the leave; one that signs for another file, reader, nonce."""
    scene, now_s = files.scene, clock.now_ms() // 1000
    thief = Ed25519PrivateKey.generate()
    good = bind(files.held, "lsbank", "n-1", now_s, scene.holder)
    assert scene.read(good, files.subject, nonce="n-1").holder
    proof = jws.read(jws.unverified(good.rpartition("~")[2]))

    def shown(key: Ed25519PrivateKey = scene.holder, **changes: object) -> str:
        return files.held + jws.sign(BINDING, dumps({**proof, **changes}), key)

    for text, told in (
        (files.held, "signed nothing for this reader"),
        (shown(thief), "signature is not valid"),
        (shown(nonce="n-2"), "another nonce"),
        (shown(nonce=""), "another nonce"),
        (shown(aud=bank_uri(scene.pinned.domain, "jnrcb")), "another reader"),
        (shown(sd_hash="A" * 43), "another file"),
        (shown(iat=now_s - 400), "within 300 s"),
        (shown(iat=now_s + 400), "within 300 s"),
        (shown(extra=1), "unknown member"),
        (files.text + good.rpartition("~")[2], "does not name"),
    ):
        files.refused(text, told, nonce="n-1")
    files.refused(shown(nonce=""), "another nonce", nonce="")
    with pytest.raises(RatingRefused, match="not of this key"):
        bind(files.held, "lsbank", "n-1", now_s, thief)


# -- the envelope

ENVELOPES: dict[str, tuple[Callable[[str], str], str]] = {
    "no signature": (lambda t: t.rpartition(".")[0] + ".~", "not base64url"),
    "a disclosure": (lambda t: t + "WyJhIiwgImIiLCAiYyJd~", "without disclosures"),
    "no tilde": (lambda t: t.rstrip("~"), "without disclosures"),
    "spaces": (lambda t: " " + t, "not base64url"),
    "padding": (lambda t: t.replace(".", "=.", 1), "not base64url"),
    "too long": (lambda t: t + "A" * (1 << 20), "at most"),
    "nothing": (lambda _: "~", "three parts"),
}


@pytest.mark.parametrize("crime", ENVELOPES)
def test_an_envelope_of_another_form(files: Files, crime: str) -> None:
    """One spelling, no disclosures."""
    change, told = ENVELOPES[crime]
    files.refused(change(files.text), told)


HEADERS: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "alg none": lambda h: {**h, "alg": "none"},
    "alg of a shared secret": lambda h: {**h, "alg": "HS256"},
    "another type": lambda h: {**h, "typ": "statuslist+jwt"},
    "a key of its own": lambda h: {**h, "jwk": "x"},
    "no key named": lambda h: {k: v for k, v in h.items() if k != "kid"},
}


@pytest.mark.parametrize("crime", HEADERS)
def test_a_header_that_negotiates(files: Files, crime: str) -> None:
    """There is one header, and nothing in it is read."""
    head, payload, _ = files.text.rstrip("~").split(".")
    header = HEADERS[crime](json.loads(jws.decode(head)))
    text = f"{jws.encode(dumps(header))}.{payload}"
    signature = files.scene.key.sign(text.encode())
    files.refused(f"{text}.{jws.encode(signature)}~", "no known key")


def test_claims_that_read_two_ways(files: Files) -> None:
    """A member twice, spaces, another order: the canonical bytes or none."""
    payload = jws.unverified(files.text.partition("~")[0])
    for data in (
        payload.replace(b'{"aud"', b'{"aud":"x","aud"', 1),
        payload.replace(b'"aud":', b'"aud": ', 1),
        json.dumps(dict(reversed(json.loads(payload).items()))).encode(),
    ):
        assert data != payload
        forged = jws.sign(TYPE, data, files.scene.key) + "~"
        files.refused(forged, "not canonical")


def test_a_signature_made_for_something_else(files: Files) -> None:
    """What a bank signs as a request verifies as no JWS, and the other way round."""
    scene, text = files.scene, files.text.rstrip("~")
    signing, _, signature = text.rpartition(".")
    as_request = Signed(
        signing.encode(),
        sign(Tag.REQUEST, b"", scene.key).key_id,
        jws.decode(signature),
    )
    forged = scene.edited(
        files.text,
        lambda c: c["evidence"]["answered"].update(request=as_request.to_json()),
    )
    files.refused(forged, "JSON")


def test_in_another_trust_domain(files: Files) -> None:
    """Keys and names are the reader's own; a domain of the same name is another."""
    with pytest.raises(ProtocolError, match="issued by no bank"):
        read_rating(
            files.text,
            replace(files.scene.pinned, domain="elsewhere"),
            files.scene.reading(files.subject, status=files.status),
        )
    with pytest.raises(ProtocolError, match="issued by no bank"):
        read_rating(
            files.text,
            replace(files.scene.pinned, banks={}),
            files.scene.reading(files.subject, status=files.status),
        )


# -- with a careless or bribed house

FOOLISH: dict[str, tuple[Callable[[Files, RatingRequest], Signed], str]] = {
    "nobody signed it": (
        lambda f, r: replace(_by(f, r), signature=bytes(64)),
        "signature",
    ),
    "another bank signed it": (
        lambda f, r: sign(
            Tag.RATING_REQUEST,
            r.to_bytes(),
            f.scene.town.world.keys("lsbank", BankKeys).sign,
        ),
        "unknown key",
    ),
    "of another ticket": (
        lambda f, r: _by(f, replace(r, ticket=bytes(32))),
        "a rating of another call",
    ),
    "of another call": (
        lambda f, r: _by(f, replace(r, call=bytes(32))),
        "a rating of another call",
    ),
    "of another bank": (
        lambda f, r: _by(f, replace(r, bank="third-bank")),
        "an answer of `jnrcb`",
    ),
    "for a year": (
        lambda f, r: _by(f, replace(r, not_after_s=r.not_after_s + 365 * 86_400)),
        "within 90 days",
    ),
}


def _by(files: Files, rating: RatingRequest) -> Signed:
    return sign(Tag.RATING_REQUEST, rating.to_bytes(), files.scene.key)


def _leave(files: Files, change: Callable[[rating_bodies.Issue], object]) -> str:
    """Have the house journal another leave, and show it in the rating."""
    world = files.scene.town.world
    entry = Entry.parse(LogProof.parse(evidence(files.text)["leave"]).extra)
    body: Any = change(rating_bodies.Issue.parse(entry.body))
    lie = replace(entry, body=body.to_body())
    key = world.composed.keys["house"].journal
    proof = _log(lie, key, world.domain.origin("house"))
    return files.scene.edited(files.text, lambda c: c["evidence"].update(leave=proof))


@pytest.mark.parametrize("crime", FOOLISH)
def test_a_leave_that_even_the_house_cannot_give(files: Files, crime: str) -> None:
    """What it journals is the bank's signed wish for this answer, or nothing."""
    make, told = FOOLISH[crime]

    def change(body: rating_bodies.Issue) -> rating_bodies.Issue:
        rating = RatingRequest.parse(body.rating.payload)
        return replace(body, rating=make(files, rating))

    files.refused(_leave(files, change), told)


def test_a_leave_with_the_documents_of_another_call(files: Files) -> None:
    """All of it fits, and belongs to the other subject's answer."""
    proof = LogProof.parse(evidence(files.other)["leave"])
    theirs = rating_bodies.Issue.parse(Entry.parse(proof.extra).body)
    files.refused(_leave(files, lambda _: theirs), "a leave for another answer")


def test_a_request_that_the_bank_disowns(files: Files) -> None:
    """The hash names its words; the signature is looked at all the same."""
    forged = files.scene.edited(
        files.text,
        lambda c: c["evidence"]["answered"]["request"].update(signature="00" * 64),
    )
    files.refused(forged, "is not valid")


def test_a_repeat_in_the_place_of_its_answer(files: Files) -> None:
    """The younger receipt with the older row would make an answer younger."""
    scene = files.scene
    again = scene.ask(files.subject)
    assert again.repeated
    (kept,) = (
        k
        for k in scene.bank.receipts()
        if request_hash(k.request.payload) == again.request
    )
    shown = answered(kept)
    assert shown is not None
    forged = scene.edited(
        files.text, lambda c: c["evidence"].update(answered=shown.to_json())
    )
    files.refused(forged, "a repeat is not rated")


@pytest.mark.parametrize("end", [b"", b"more"], ids=["cut short", "longer"])
def test_a_list_whose_packing_lies(files: Files, end: bytes) -> None:
    """Whole, and nothing behind it."""
    uri = list_uri(files.scene.pinned.domain, "house")
    packed = zlib.compress(pack([True] * 4000))
    data = packed + end if end else packed[:-4]
    payload = {
        "v": "safehouse/status-list/1",
        "sub": uri,
        "iat": clock.now_ms() // 1000,
        "status_list": {"bits": 1, "lst": jws.encode(data)},
    }
    house = files.scene.town.world.composed.keys["house"].ticket
    text = jws.sign("statuslist+jwt", dumps(payload), house)
    files.refused(files.text, "cut short, or too long", status=text)


# -- at the house

Wishes = Callable[[Files, rating_pb2.IssueRatingRequest, RatingRequest], None]


def _resigned(message: rating_pb2.IssueRatingRequest, signed: Signed) -> None:
    message.rating.CopyFrom(to_wire(signed))


def _own_ticket(
    files: Files, message: rating_pb2.IssueRatingRequest, rating: RatingRequest
) -> None:
    """Make a ticket of one's own, and a rating that names it."""
    old = Ticket.parse(message.ticket.payload)
    signed = sign(
        Tag.TICKET, replace(old, slot=old.slot + 1).to_bytes(), files.scene.key
    )
    message.ticket.CopyFrom(to_wire(signed))
    name = ticket_hash(signed.payload)
    _resigned(message, _by(files, replace(rating, ticket=name)))


def _unreleased(
    files: Files, message: rating_pb2.IssueRatingRequest, rating: RatingRequest
) -> None:
    """Name a ticket that the house signed, and that was never answered."""
    old = Ticket.parse(message.ticket.payload)
    house = files.scene.town.world.composed.keys["house"].ticket
    signed = sign(Tag.TICKET, replace(old, slot=old.slot + 1).to_bytes(), house)
    message.ticket.CopyFrom(to_wire(signed))
    name = ticket_hash(signed.payload)
    _resigned(message, _by(files, replace(rating, ticket=name)))


def _repeat(
    files: Files, message: rating_pb2.IssueRatingRequest, rating: RatingRequest
) -> None:
    """Name a ticket that only repeats."""
    old = Ticket.parse(message.ticket.payload)
    again = replace(old, seed=b"", message=b"", pads=b"", repeat_of=bytes(32))
    house = files.scene.town.world.composed.keys["house"].ticket
    signed = sign(Tag.TICKET, again.to_bytes(), house)
    message.ticket.CopyFrom(to_wire(signed))
    name = ticket_hash(signed.payload)
    _resigned(message, _by(files, replace(rating, ticket=name)))


WISHES: dict[str, tuple[Wishes, str]] = {
    "unsigned": (
        lambda f, m, r: _resigned(m, replace(_by(f, r), signature=bytes(64))),
        "is not valid",
    ),
    "another bank's": (
        lambda f, m, r: _resigned(m, _by(f, replace(r, bank="third-bank"))),
        "not of the caller",
    ),
    "of nobody": (
        lambda _f, m, _r: setattr(m.opening, "salt", bytes(32)),
        "the opening is not",
    ),
    "with its own ticket": (_own_ticket, "unknown key"),
    "never answered": (_unreleased, "no such answer was released"),
    "of a repeat": (_repeat, "a repeat is not rated"),
}


@pytest.mark.parametrize("crime", WISHES)
def test_what_the_house_does_not_let_be_made(files: Files, crime: str) -> None:
    """Signed by its caller, answered, fresh, and of whom it says it is."""
    scene = files.scene
    change, told = WISHES[crime]
    kept = scene.bank._fresh(bytes.fromhex(_call_of(files.text)))
    assert kept.reply is not None
    now_ms = clock.now_ms()
    rating = RatingRequest(
        request_hash(kept.request.payload),
        ticket_hash(kept.reply.answer.ticket.payload),
        "jnrcb",
        "lsbank",
        b"",
        now_ms // 1000 + 9 * 86_400,
        now_ms,
    )
    message = rating_pb2.IssueRatingRequest(
        rating=to_wire(_by(files, rating)),
        request=to_wire(kept.request),
        ticket=kept.reply.answer.ticket,
        opening={"subject_ref": kept.subject_ref, "salt": kept.salt},
    )
    change(files, message, rating)
    before = scene.journalled
    with pytest.raises(NodeError, match=told):
        ask(scene.bank._ratings.IssueRating, message, 10.0)
    assert scene.journalled == before


def _call_of(text: str) -> str:
    entry = Entry.parse(LogProof.parse(evidence(text)["leave"]).extra)
    return entry.call
