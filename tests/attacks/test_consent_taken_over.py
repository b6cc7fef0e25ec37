"""A consent is ended by granting another in its place, by who has no say in it."""

from pathlib import Path

import pytest

from node.domain import Role
from node.errors import Refused
from node.initialise import DEFAULT_MEMBERS, Member
from protocols.canon import Tag
from tests.attacks.test_consent_signed_by_the_asker import consent, item, put
from tests.german import German
from tests.simulator import World

SECOND = Member("registrar-b", Role.REGISTRAR, "第二登记机构")


def test_a_consent_is_replaced_by_its_registrar_for_its_subject(tmp_path: Path) -> None:
    """Another registrar, and another subject's new consent: both nodes refuse.

    The consent stands as before, and its own registrar may replace it.
    """
    with World(tmp_path, (*DEFAULT_MEMBERS, SECOND)) as world:
        running = German(world, 3)
        victim, another = running.ids[:2]
        old = running.grant(victim).consent_id
        for registrar, subject, message in (
            ("registrar-b", victim, "was signed by another registrar"),
            ("registrar", another, "is about another subject"),
            ("registrar", victim, ""),
        ):
            made, salt = consent(running, subject, registrar, supersedes=old)
            signed = running.sign(registrar, Tag.CONSENT, made.to_bytes())
            new = item(running, subject, signed, salt)
            for node in (Role.HOUSE, Role.AUTHORITY):
                if message:
                    with pytest.raises(Refused, match=message):
                        put(running, registrar, node, new)
                else:
                    assert put(running, registrar, node, new).recorded == 1
