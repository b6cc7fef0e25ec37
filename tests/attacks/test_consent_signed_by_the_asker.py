"""The house, or a bank, consents for the subject."""

import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from contracts import bodies
from contracts.consent import Consent, Evidence
from contracts.errors import DocumentInvalid
from contracts.rebuild import Consents, Pins
from contracts.subject import SubjectType, commitment
from node import clock
from node.domain import Role
from node.errors import Refused
from node.initialise import DEFAULT_MEMBERS, Member
from node.remote import ask, channel
from node.status import to_wire
from node.verify import pinned, signers
from node.wire.v1 import common_pb2, consent_pb2, consent_pb2_grpc
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.sign import Signed, sign
from tests.german import German
from tests.hostile import journal
from tests.simulator import World


def consent(
    running: German, subject: str, registrar: str, supersedes: str = ""
) -> tuple[Consent, bytes]:
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
        supersedes=supersedes,
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


COUNTER = Member("counter", Role.REGISTRAR, "济宁农商银行柜台", "jnrcb")


def test_a_bank_with_a_registrars_desk_does_not_sign_for_itself(tmp_path: Path) -> None:
    """A registrar of the bank's own organisation: refused when signed, sent, replayed.

    Under the name of a party of its own; the trust-domain file says whose it is.
    """
    with World(tmp_path, (*DEFAULT_MEMBERS, COUNTER)) as world:
        running = German(world, 3)
        victim = running.ids[0]
        made, salt = consent(running, victim, "counter")
        signed = running.sign("counter", Tag.CONSENT, made.to_bytes())
        for node in (Role.HOUSE, Role.AUTHORITY):
            with pytest.raises(Refused, match="of the same organisation, `jnrcb`"):
                put(running, "counter", node, item(running, victim, signed, salt))
        other = replace(made, grantees=("lsbank",))
        signed = running.sign("counter", Tag.CONSENT, other.to_bytes())
        put(running, "counter", Role.HOUSE, item(running, victim, signed, salt))
        # What a node that does not check would have written.
        pins = Pins(pinned(world.domain), signers(world.domain))
        own = running.sign("counter", Tag.CONSENT, made.to_bytes())
        assert made == Consents(pins).grant(bodies.Grant(own, bytes(32)))
        consents = Consents(pins)
        (told,) = (
            bodies.Classes.parse(entry.body)
            for entry in journal(running.house)
            if entry.kind is Kind.ADMIN_CLASSES
        )
        consents.classes(told)
        with pytest.raises(DocumentInvalid, match="of the same organisation"):
            consents.grant(bodies.Grant(own, bytes(32)))


def test_a_bank_that_registers_consents_itself(running: German, victim: str) -> None:
    """One id as registrar and grantee is refused when it is read."""
    made, _ = consent(running, victim, "registrar")
    payload = made.to_bytes().replace(
        b'"registrar":"registrar"', b'"registrar":"jnrcb"'
    )
    with pytest.raises(DocumentInvalid, match="of the same organisation"):
        Consent.parse(payload)
