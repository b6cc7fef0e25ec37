"""Somebody brings his own key along: for the bank, the house, or the ciphertexts."""

import secrets
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from node import run
from node.client import BankClient
from node.errors import Denied, NotFound
from node.keys import AuthorityKeys, BankKeys
from node.wire.v1 import evaluation_pb2, scoring_pb2
from protocols import hpke, paillier
from protocols.call import ticket_hash
from protocols.canon import Tag
from protocols.errors import SealBroken
from protocols.sign import Signed, sign
from tests.german import German
from tests.hostile import EvilHouse, Question, question, send, tampered, uses

SUSPECT = ("key", "public", "certificate", "modulus", "n")
HARMLESS = {"key_id"}  # names a key that is pinned; never one that is brought


def fields(message: Descriptor, seen: set[str]) -> list[FieldDescriptor]:
    """List the fields of a message and of what it holds."""
    if message.full_name in seen:
        return []
    seen.add(message.full_name)
    found = list(message.fields)
    for field in message.fields:
        if field.message_type is not None:
            found += fields(field.message_type, seen)
    return found


def test_no_message_of_a_call_has_room_for_a_key() -> None:
    """Requests, tickets, receipts: keys are named by id and pinned in a file."""
    seen: set[str] = set()
    named = {
        field.name
        for message in (
            evaluation_pb2.EvaluateRequest,
            evaluation_pb2.EvaluateResponse,
            scoring_pb2.ScoreRequest,
            scoring_pb2.ScoreResponse,
        )
        for field in fields(message.DESCRIPTOR, seen)
    }
    words = {name: name.split("_") for name in named - HARMLESS}
    assert not [name for name in words if set(words[name]) & set(SUSPECT)]


def test_a_strange_key_under_a_known_id_is_refused(
    running: German, bank: BankClient, victim: str, evil: EvilHouse
) -> None:
    """Mallory signs as the bank, names the bank's key, and is not the bank."""
    asked = question(running, victim)
    mallory = Ed25519PrivateKey.generate()
    forged = sign(Tag.REQUEST, asked.signed.payload, mallory)
    for signed in (
        forged,
        Signed(forged.payload, asked.signed.key_id, forged.signature),
    ):
        lied = Question(signed, asked.opening)
        with pytest.raises(Denied) as caught:
            send(bank, lied)
        assert caught.value.reason == "SIGNATURE_INVALID"
        refusal = evil.refused(lied, evil.compute(lied))
        assert refusal.reason == "SIGNATURE_INVALID"
    assert uses(running, f"c-{victim}") == 0


def test_a_strange_house_is_refused(
    running: German, victim: str, evil: EvilHouse
) -> None:
    """A ticket by another key, under the house's key id."""
    asked = question(running, victim)
    made = evil.compute(asked)
    evil.keys = replace(evil.keys, ticket=Ed25519PrivateKey.generate())
    assert evil.refused(asked, made).reason == "SIGNATURE_INVALID"
    assert uses(running, f"c-{victim}") == 0


def test_the_box_opens_with_the_pinned_key_only(
    running: German, bank: BankClient, victim: str
) -> None:
    """Sealed to the bank that signed, and to this ticket."""
    kept: list[scoring_pb2.ScoreResponse] = []
    with tampered(bank, kept.append):
        bank.score("german-card", victim, consent=f"c-{victim}")
    box, name = kept[0].answer.box, ticket_hash(kept[0].answer.ticket.payload)
    mine = running.world.keys("jnrcb", BankKeys).hpke
    other = running.world.keys("lsbank", BankKeys).hpke
    assert hpke.unseal(mine, name, box)
    with pytest.raises(SealBroken):
        hpke.unseal(other, name, box)
    with pytest.raises(SealBroken):
        hpke.unseal(mine, secrets.token_bytes(32), box)


def test_an_authority_with_another_paillier_key_does_not_start(
    running: German, tmp_path: Path
) -> None:
    """The n of the trust-domain file is the only one."""
    world = running.world
    held = replace(
        world.keys("authority", AuthorityKeys),
        paillier=paillier._small_key(512, secrets.token_bytes),
    )
    config = replace(world.config("authority"), data=tmp_path, listen="127.0.0.1:0")
    with pytest.raises(NotFound, match="Paillier key"):
        run.open_authority(config, world.domain, held)
