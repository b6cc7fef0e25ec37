"""The house, or a bank, consents for the subject."""

import secrets

import pytest

from contracts.consent import Consent, ConsentEvent, Event, Evidence
from contracts.errors import DocumentInvalid
from contracts.subject import SubjectType, commitment, pseudonym
from node import clock, consents
from node.client import BankClient
from node.consents import SignedGrant
from node.domain import Role
from node.errors import Denied, Refused
from node.remote import ask, channel
from node.status import to_wire
from node.wire.v1 import common_pb2, consent_pb2, consent_pb2_grpc
from protocols.canon import Tag
from protocols.sign import Signed, sign
from tests.german import German
from tests.hostile import EvilHouse, question, send


def consent(running: German, subject: str, registrar: str) -> tuple[Consent, bytes]:
    """Write a consent, and the salt of its subject."""
    salt, now_ms = secrets.token_bytes(32), clock.now_ms()
    made = Consent(
        consent_id=f"forged-{secrets.token_hex(4)}",
        subject=commitment(running.refs[subject], salt),
        subject_type=SubjectType.OPAQUE,
        grantees=("jnrcb",),
        purposes=("loan-precheck",),
        scope=("contract:german-card",),
        not_before_ms=now_ms - 1_000,
        not_after_ms=now_ms + clock.DAY_MS,
        max_uses=None,
        frequency=None,
        separate=False,
        evidence_kind=Evidence.ONLINE,
        evidence_digest=b"",
        granted_at_ms=now_ms - 1_000,
        registrar=registrar,
    )
    return made, salt


def put(
    running: German, party: str, node: Role, item: consent_pb2.ConsentItem
) -> consent_pb2.PutConsentsResponse:
    """Send an item as a party."""
    world = running.world
    tls = world.composed.keys[party].tls
    with channel(world._addresses[node], tls, world.domain, node) as link:
        stub = consent_pb2_grpc.ConsentServiceStub(link)
        message = consent_pb2.PutConsentsRequest(items=[item])
        response: consent_pb2.PutConsentsResponse = ask(stub.PutConsents, message, 5)
        return response


def item(
    running: German, subject: str, signed: Signed, salt: bytes
) -> consent_pb2.ConsentItem:
    """Wrap a signed consent."""
    opening = common_pb2.SubjectOpening(subject_ref=running.refs[subject], salt=salt)
    return consent_pb2.ConsentItem(
        grant=consent_pb2.Grant(consent=to_wire(signed), opening=opening)
    )


@pytest.mark.parametrize("node", [Role.HOUSE, Role.AUTHORITY])
@pytest.mark.parametrize("party", ["house", "jnrcb", "credit-bureau", "auditor-a"])
def test_who_is_no_registrar_registers_nothing(
    running: German, victim: str, party: str, node: Role
) -> None:
    """Each node takes consents over a registrar's channel only."""
    made, salt = consent(running, victim, "registrar")
    keys = running.world.composed.keys[party]
    key = getattr(keys, "sign", None) or keys.ticket
    signed = sign(Tag.CONSENT, made.to_bytes(), key)
    with pytest.raises(Refused) as caught:
        put(running, party, node, item(running, victim, signed, salt))
    assert caught.value.reason == "ROLE_REFUSED"


@pytest.mark.parametrize("signer", ["house", "jnrcb"])
def test_a_registrar_relays_nobody_elses_signature(
    running: German, victim: str, signer: str
) -> None:
    """A careless registrar that sends what a bank has signed is refused."""
    made, salt = consent(running, victim, "registrar")
    keys = running.world.composed.keys[signer]
    key = getattr(keys, "sign", None) or keys.ticket
    forged = sign(Tag.CONSENT, made.to_bytes(), key)
    real = running.sign("registrar", Tag.CONSENT, made.to_bytes())
    for signed in (
        forged,
        Signed(forged.payload, real.key_id, forged.signature),
        # Case 10: a byte flipped, a signature for another purpose
        Signed(real.payload, real.key_id, _flipped(real.signature)),
        Signed(real.payload.replace(b"jnrcb", b"ryrcb"), real.key_id, real.signature),
        running.sign("registrar", Tag.CONSENT_EVENT, made.to_bytes()),
    ):
        for node in (Role.HOUSE, Role.AUTHORITY):
            with pytest.raises(Refused) as caught:
                put(running, "registrar", node, item(running, victim, signed, salt))
            assert caught.value.reason == "SIGNATURE_INVALID"


def _flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def test_a_consent_about_somebody_else_is_refused(
    running: German, victim: str, another: str
) -> None:
    """The opening shown with it must be the one that was signed."""
    made, salt = consent(running, victim, "registrar")
    signed = running.sign("registrar", Tag.CONSENT, made.to_bytes())
    with pytest.raises(Refused, match="opening is not its subject's"):
        put(running, "registrar", Role.HOUSE, item(running, another, signed, salt))


def test_a_bank_with_a_registrars_desk_does_not_sign_for_itself(
    running: German, victim: str
) -> None:
    """A registrar of the bank's own organisation is refused when it is read."""
    with pytest.raises(DocumentInvalid, match="for its own organisation"):
        consent(running, victim, "registrar/jnrcb")
    made, _ = consent(running, victim, "registrar")
    honest, own = b'"registrar":"registrar"', b'"registrar":"x/jnrcb"'
    payload = made.to_bytes().replace(honest, own)
    with pytest.raises(DocumentInvalid, match="for its own organisation"):
        Consent.parse(payload)


def test_what_the_house_writes_into_its_own_register_counts_for_nothing(
    running: German, bank: BankClient, victim: str, evil: EvilHouse
) -> None:
    """The authority has a register of its own, and decides by that."""
    made, _ = consent(running, victim, "registrar")
    signed = sign(Tag.CONSENT, made.to_bytes(), evil.keys.ticket)
    name = pseudonym(evil.keys.pseudonym, running.refs[victim])
    forged = SignedGrant(signed, made, name)
    running.house.ledger.commit(lambda tx: consents.record(tx, [forged]))
    asked = question(running, victim, consent=made.consent_id)
    with pytest.raises(Denied) as caught:
        send(bank, asked)
    assert caught.value.reason == "NO_CONSENT"
    asked = question(running, victim, consent=made.consent_id)
    assert evil.refused(asked, evil.compute(asked)).reason == "NO_CONSENT"


def test_a_house_that_hides_a_withdrawal_gains_nothing(
    running: German, bank: BankClient, victim: str, evil: EvilHouse
) -> None:
    """Withdrawn at the authority, suppressed in the house: denied."""
    event = ConsentEvent(f"c-{victim}", Event.WITHDRAW, clock.now_ms(), "", "registrar")
    running.happen(event, "authority")
    with pytest.raises(Denied) as caught:
        send(bank, question(running, victim))
    assert caught.value.reason == "WITHDRAWN"
    asked = question(running, victim)
    assert evil.refused(asked, evil.compute(asked)).reason == "WITHDRAWN"


def test_anothers_consent_with_the_same_words(
    running: German, victim: str, another: str, evil: EvilHouse
) -> None:
    """The house shows the opening of one subject and the consent of another."""
    asked = question(running, victim, consent=f"c-{another}")
    assert evil.refused(asked, evil.compute(asked)).reason == "NO_CONSENT"
    asked = question(running, victim)
    made = evil.compute(asked)
    lied = type(asked)(asked.signed, question(running, another).opening)
    refusal = evil.refused(lied, made)
    assert refusal.reason == "NO_CONSENT"
