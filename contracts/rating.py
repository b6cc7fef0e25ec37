r"""A portable rating 评价结果互认: an outcome that another bank computes again.

Neither house nor authority knows an outcome, so neither can sign one, and a bank's own
word is worth what the bank is.  So a rating carries what the bank was sent: the reader
removes the pads itself, under the keys that it pins, and need not believe the issuer
alone.

*What it does not show.*  A bank and the authority together, or a bank and the house,
can make any outcome in that bank's ratings.  Rows are padded by xor and carry no tag:
an authority that knows from the bank what the row says can flip it into another before
it signs the receipt, and a house can compute from tables of one outcome.  The house is
found by auditors who have that call computed again; of the authority no audit looks at
the row, which no journal has.  Who reads a rating relies on its bank, or on both nodes.

*What travels*, and what binds it:

===========  ==============================================  =========================
part         is                                              bound by
===========  ==============================================  =========================
`answered`   request, ticket, receipt, both journals' proofs  bank, house, authority
`contract`   the compiled contract, with its grades           hash in the ticket
`opened`     salt, masked row numbers, still padded rows      digest in the receipt
`pads`       what removes the pads of this call               digest in the ticket
`salt`       opens the request's commitment to a subject      commitment in the request
`leave`      the house's journal entry `rating.issue`         house's checkpoint
===========  ==============================================  =========================

No key of the sealed box travels: the receipt binds its content.  A single call has
pads of its own, so they open this slot of this call and no other; a job's pads are a
whole block's, so outcomes of jobs do not travel.

*What it shows beyond the outcome.*  A reader sees what the bank saw.  Of a score that
is a grade every veto table says 0 and every lock was drawn for this call, so there is
nothing finer in the rows; u is uniform.  Of a veto the rows would name *every* group
that fired, where the outcome names the first: vetoes do not travel.  Block and slot are
in the ticket: the subject's rank among all references, the same in every call.  The
entries name the authority's pseudonym of the subject, and the consent.  And as with the
bank itself, a reader who joins with the house or the authority learns the exact score.
Whoever has the evidence can show it on, and a bank to somebody who asks for no leave:
what was proven stays so.  The salt opens the commitment to a subject, so whoever has
file and pepper, as every bank does, finds whom it is about by trying identifiers.

*The envelope* is an SD-JWT VC: a JWS (`protocols.jws`) of type `dc+sd-jwt`, `~`, and
canonical claims; nothing is selectively disclosed, because the evidence opens the
outcome, so there is nothing that could be held back.  Then, where the subject has a key
(`cnf`), its proof, a `kb+jwt`, for this reader, nonce and file (RFC 9901, 4.3).  Whose
key that is, is the bank's word::

    iss, aud   spiffe://<domain>/bank/<id>           v     safehouse/rating/1
    iat, exp   seconds; exp is the leave's           vct   urn:safehouse:rating:1
    status     {status_list: {idx, uri}}             cnf   {jwk}, or left out
    contract, outcome                                for people; computed again
    evidence   the parts above

>>> list_uri("rencheng", "house")
'spiffe://rencheng/house/house/ratings'
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from contracts import kinds, rating_bodies, recognition
from contracts.answered import Answered, Pinned, Proven, logged, prove
from contracts.compiled import Answer, Compiled
from contracts.contract import ContractKind
from contracts.errors import OutOfRange, RatingRefused
from contracts.gates import gate_of
from contracts.recognition import SECOND_MS
from contracts.subject import commitment
from protocols import jws
from protocols.call import SALT_BYTES, Opened, Receipt, pads_digest
from protocols.canon import Json, Reader, Tag, dumps, loads
from protocols.entry import Kind
from protocols.errors import FormatError, ProofInvalid
from protocols.lookup import bank_open
from protocols.note import VerifierKey
from protocols.rating import RatingRequest, rating_hash
from protocols.sign import verify as verify_signed
from protocols.status_list import StatusList

VERSION: Final = "safehouse/rating/1"
VCT: Final = "urn:safehouse:rating:1"
TYPE: Final = "dc+sd-jwt"
BINDING: Final = "kb+jwt"
MOST_TEXT: Final = 1 << 20  # letters
SKEW_S: Final = 300
STATUS_AGE_S: Final = 86_400  # how old a status list is believed


def bank_uri(domain: str, bank: str) -> str:
    """Name a bank, as its certificate does."""
    return f"spiffe://{domain}/bank/{bank}"


def list_uri(domain: str, house: str) -> str:
    """Name the house's status list of ratings."""
    return f"spiffe://{domain}/house/{house}/ratings"


@dataclass(frozen=True, slots=True, repr=False)
class Evidence:
    """What an outcome is computed again from."""

    answered: Answered
    contract: bytes  # canonical
    opened: bytes
    pads: bytes
    salt: bytes
    leave: str = ""  # the proof of `rating.issue`

    def to_json(self) -> dict[str, Json]:
        """Write for the claims."""
        return {
            "answered": self.answered.to_json(),
            "contract": self.contract.decode(),
            "opened": b64encode(self.opened).decode(),
            "pads": b64encode(self.pads).decode(),
            "salt": self.salt.hex(),
            "leave": self.leave,
        }

    @classmethod
    def from_json(cls, reader: Reader) -> "Evidence":
        """Read what `to_json` wrote; nothing is verified here."""
        evidence = cls(
            Answered.from_json(reader.reader("answered")),
            reader.text("contract").encode(),
            _bytes(reader, "opened"),
            _bytes(reader, "pads"),
            reader.hex("salt", SALT_BYTES),
            reader.text("leave"),
        )
        reader.close()
        return evidence


@dataclass(frozen=True, slots=True)
class Computed:
    """An outcome, computed from evidence."""

    proven: Proven
    contract: Compiled
    outcome: Mapping[str, str | int]


@dataclass(frozen=True, slots=True, repr=False)
class Reading:
    """Who reads a rating, of whom, and what it holds beside the file."""

    audience: str  # party id
    subject_ref: Callable[[str], bytes]  # of whom, under a type of subject
    status: str  # the house's signed list
    now_s: int
    nonce: str = ""  # that it gave to the subject, where the subject has a key
    most_age_s: int = STATUS_AGE_S  # of the list


@dataclass(frozen=True, slots=True)
class Rating:
    """A rating that was computed again, and stands."""

    issuer: str
    audience: str
    contract: Compiled
    outcome: Mapping[str, str | int]
    call: bytes  # request hash
    rating: bytes  # `rating_hash` of its request
    permitted_ms: int  # when the authority permitted the call: the data are of then
    not_after_s: int
    status_s: int  # when the house said that it stands, as of its last beat
    holder: bytes  # key of the subject, proven; or nothing


def compute(evidence: Evidence, pinned: Pinned) -> Computed:
    """Compute an outcome again; `leave` and the subject are looked at elsewhere.

    1. Request, ticket, receipt and both proofs fit, and the ticket is a fresh one, for
       a score.
    2. The contract is the ticket's, and a score.
    3. What was opened is the receipt's, the pads are the ticket's.
    4. The code is an outcome: no veto, no missing data.

    Raises `ProtocolError`; `RatingRefused` for what does not travel.
    """
    proven = prove(evidence.answered, pinned)  # 1
    recognition.check_kind(proven.request, proven.ticket)
    compiled = kinds.require(kinds.parse(evidence.contract), ContractKind.SCORE)  # 2
    if compiled.hash != proven.ticket.contract:
        raise ProofInvalid("the contract is not the one that was asked")
    gate = gate_of(compiled)  # 3
    opened = Opened.parse(evidence.opened, len(compiled.card.fields), gate.row_bytes)
    receipt = Receipt.parse(evidence.answered.receipt.payload)
    if opened.digest() != receipt.opened:
        raise ProofInvalid("what was opened is not what the authority sent")
    if pads_digest(evidence.pads) != proven.ticket.pads:
        raise ProofInvalid("pads of another ticket")
    u = np.array([opened.u], np.int64)
    rows = np.frombuffer(opened.rows, np.uint8).reshape(1, -1)
    code = int(bank_open(gate, u, rows, evidence.pads, (proven.ticket.slot,))[0])
    try:
        told = compiled.explain(code)  # 4
    except OutOfRange as error:
        raise RatingRefused(str(error), error.hint) from None
    if told.answer is not Answer.SCORED:
        raise RatingRefused(
            "only a grade travels: this answer is none",
            "a veto would show every reason that fired, not the first",
        )
    return Computed(proven, compiled, dict(told.outcome))


def write(evidence: Evidence, pinned: Pinned, key: Ed25519PrivateKey) -> str:
    """Wrap evidence with its leave, as the bank's own key signs it.

    Raises what `verify` would, but for reader and time.
    """
    computed = compute(evidence, pinned)
    leave = _leave(evidence, computed.proven, pinned, pinned.live_house_journal)
    claims = _claims(evidence, computed, leave, pinned)
    return jws.sign(TYPE, dumps(claims), key) + "~"


def verify(text: str, pinned: Pinned, reader: Reading) -> Rating:
    """Compute a rating again and see that it stands, for this reader and subject.

     1. One JWS of the bank that it names, and no disclosures.
     2. `compute`: the outcome follows from what house and authority signed.
     3. The leave stands in the house's journal, as a key that has not ended signed it:
        the bank asked for it for this very call, reader, key and end.
     4. Every claim is what follows from 2 and 3.
     5. The request is about this subject.
     6. It is for this reader.
     7. Where the subject has a key, the key signed this file for this reader and nonce,
        now; where it has none, nobody's did.
     8. It is not over.
     9. The house's list, under a key that has not ended, is of after the leave and
        young enough, and says it stands.

    Raises `ProtocolError` for what proves nothing, `RatingRefused` for what is proven
    and is not for this reader, subject or time.
    """
    token, binding = _parts(text)
    payload = jws.unverified(token)
    claims = loads(payload, VERSION)
    issuer = _issuer(claims, pinned)
    jws.verify(TYPE, token, pinned.bank(issuer))  # 1
    evidence = Evidence.from_json(Reader(_object(claims, "evidence")))
    computed = compute(evidence, pinned)  # 2
    proven = computed.proven
    leave = _leave(evidence, proven, pinned, pinned.live_house_journal)  # 3
    if payload != dumps(_claims(evidence, computed, leave, pinned)):  # 4
        raise ProofInvalid("a claim is not what follows from the evidence")
    ref = reader.subject_ref(computed.contract.subject_type)
    if commitment(ref, evidence.salt) != proven.request.subject:  # 5
        raise RatingRefused("a rating of another subject")
    rating = leave.rating
    if rating.audience != reader.audience:  # 6
        raise RatingRefused(
            f"a rating for `{rating.audience}`, not for `{reader.audience}`"
        )
    _check_holder(text, binding, rating.holder, pinned.domain, reader)  # 7
    if not leave.issued_s - SKEW_S <= reader.now_s < rating.not_after_s:  # 8
        raise RatingRefused("the rating is over, or of the future")
    status_s = _check_status(leave, pinned, reader)  # 9
    return Rating(
        issuer,
        rating.audience,
        computed.contract,
        computed.outcome,
        rating.call,
        leave.name,
        proven.permitted_ms,
        rating.not_after_s,
        status_s,
        rating.holder,
    )


def bind(
    text: str, audience: str, nonce: str, now_s: int, key: Ed25519PrivateKey
) -> str:
    """Add the subject's proof of its key for one reader and nonce; `text` has none.

    `audience` is the reader's party id; its URI is in the rating.
    """
    token, binding = _parts(text)
    claims = loads(jws.unverified(token), VERSION)
    if binding:
        raise FormatError("the rating has a proof of a key already")
    if _confirmed(key.public_key().public_bytes_raw()) != {"cnf": claims.get("cnf")}:
        raise RatingRefused("the rating is not of this key")
    uri = str(claims.get("aud"))
    if not uri.endswith(f"/bank/{audience}"):
        raise RatingRefused(f"the rating is for `{uri}`, not for `{audience}`")
    proof: dict[str, Json] = {
        "aud": uri,
        "iat": now_s,
        "nonce": nonce,
        "sd_hash": _sd_hash(text),
    }
    return text + jws.sign(BINDING, dumps(proof), key)


def name_of(text: str, pinned: Pinned) -> bytes:
    """Return the `rating_hash` of a rating whose leave is, or was, proven."""
    claims = loads(jws.unverified(_parts(text)[0]), VERSION)
    evidence = Evidence.from_json(Reader(_object(claims, "evidence")))
    proven = prove(evidence.answered, pinned)
    return _leave(evidence, proven, pinned, pinned.house_journal).name


def peek(text: str) -> dict[str, Json]:
    """Return the claims of a rating without its evidence, **unverified**."""
    claims = loads(jws.unverified(_parts(text)[0]), VERSION)
    return {name: claims[name] for name in claims if name != "evidence"}


@dataclass(frozen=True, slots=True)
class _Leave:
    """What the house let the bank do, as it stands in its journal."""

    rating: RatingRequest
    name: bytes
    place: int
    issued_s: int


def _leave(
    evidence: Evidence, proven: Proven, pinned: Pinned, keys: Sequence[VerifierKey]
) -> _Leave:
    entry, _ = logged(evidence.leave, keys)
    if entry.kind is not Kind.RATING_ISSUE or entry.call != evidence.answered.call:
        raise ProofInvalid("the proof is of another entry than the leave")
    body = rating_bodies.Issue.parse(entry.body)
    rating = RatingRequest.parse(body.rating.payload)
    recognition.check(rating, body.request, body.ticket)
    if rating.ticket != proven.name or rating.bank != proven.request.bank:
        raise ProofInvalid("a leave for another answer")
    verify_signed(Tag.RATING_REQUEST, body.rating, pinned.bank(rating.bank))
    name = rating_hash(body.rating.payload)
    return _Leave(rating, name, body.place, entry.time_ms // SECOND_MS)


def _claims(
    evidence: Evidence, computed: Computed, leave: _Leave, pinned: Pinned
) -> dict[str, Json]:
    rating, contract, domain = leave.rating, computed.contract, pinned.domain
    listed: dict[str, Json] = {
        "idx": leave.place,
        "uri": list_uri(domain, pinned.house_id),
    }
    return {
        "v": VERSION,
        "vct": VCT,
        "iss": bank_uri(domain, rating.bank),
        "aud": bank_uri(domain, rating.audience),
        "iat": leave.issued_s,
        "exp": rating.not_after_s,
        **(_confirmed(rating.holder) if rating.holder else {}),
        "status": {"status_list": listed},
        "contract": {
            "id": contract.id,
            "version": contract.version,
            "hash": contract.hash.hex(),
        },
        "outcome": computed.outcome,
        "evidence": evidence.to_json(),
    }


def _confirmed(key: bytes) -> dict[str, Json]:
    jwk: dict[str, Json] = {"kty": "OKP", "crv": "Ed25519", "x": jws.encode(key)}
    return {"cnf": {"jwk": jwk}}


def _parts(text: str) -> tuple[str, str]:
    """Split a file into its JWS and the proof of a key, or nothing."""
    if len(text) > MOST_TEXT:
        raise FormatError(f"expected a rating of at most {MOST_TEXT} letters")
    token, tilde, binding = text.partition("~")
    if not tilde or "~" in binding:
        raise FormatError("expected an SD-JWT without disclosures")
    return token, binding


def _issuer(claims: Mapping[str, Json], pinned: Pinned) -> str:
    said = claims.get("iss")
    for bank in pinned.banks:
        if said == bank_uri(pinned.domain, bank):
            return bank
    raise FormatError(f"issued by no bank of trust domain `{pinned.domain}`")


def _check_holder(
    text: str, binding: str, holder: bytes, domain: str, reader: Reading
) -> None:
    if bool(binding) is not bool(holder):
        raise RatingRefused(
            "the subject has a key, and it signed nothing for this reader"
            if holder
            else "signed by a key that the rating does not name",
            "the subject signs it with `safehouse rating present`" if holder else "",
        )
    if not holder:
        return
    key = Ed25519PublicKey.from_public_bytes(holder)
    proof = Reader(jws.read(jws.verify_any(BINDING, binding, key)))
    audience, nonce = proof.text("aud"), proof.text("nonce")
    issued_s, hashed = proof.integer("iat"), proof.text("sd_hash")
    proof.close()
    if audience != bank_uri(domain, reader.audience):
        raise RatingRefused("the subject's key signed for another reader")
    if not reader.nonce or nonce != reader.nonce:
        raise RatingRefused("the subject's key signed another nonce")
    if hashed != _sd_hash(text.rpartition("~")[0] + "~"):
        raise ProofInvalid("the subject's key signed another file")
    if abs(reader.now_s - issued_s) > SKEW_S:
        raise RatingRefused(f"the subject's key did not sign within {SKEW_S} s")


def _check_status(leave: _Leave, pinned: Pinned, reader: Reading) -> int:
    uri = list_uri(pinned.domain, pinned.house_id)
    known = StatusList.verify(reader.status, uri, pinned.live_house)
    if known.issued_s < leave.issued_s:
        raise RatingRefused(
            "the status list is older than the rating", "fetch a newer one"
        )
    age_s = reader.now_s - known.issued_s
    if not -SKEW_S <= age_s <= reader.most_age_s:
        raise RatingRefused(
            f"the status list is {age_s} s old, expected at most {reader.most_age_s}",
            "fetch a newer one: `safehouse rating status`",
        )
    if not known.stands(leave.place):
        raise RatingRefused(
            "the rating no longer stands",
            "its bank revoked it, or this bank could not ask for it any more",
        )
    return known.issued_s


def _sd_hash(text: str) -> str:
    return jws.encode(sha256(text.encode()).digest())


def _object(claims: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = claims.get(name)
    if not isinstance(found, Mapping):
        raise FormatError(f"member `{name}`: expected an object")
    return found


def _bytes(reader: Reader, name: str) -> bytes:
    text = reader.text(name)
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        raise FormatError(f"member `{name}`: expected base64") from None
    if b64encode(data).decode() != text:
        raise FormatError(f"member `{name}`: expected base64")
    return data
