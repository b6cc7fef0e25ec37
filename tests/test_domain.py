"""The trust-domain file: who signed it, what it may say, every edit refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from contracts.classes import Class
from contracts.subject import SubjectType
from node import domain as rooms
from node.domain import Party, Role, TrustDomain, load, read, write
from node.errors import DomainInvalid, NotFound, RoleRefused
from node.identity import CertificateAuthority
from protocols import paillier
from protocols.canon import Tag, dumps
from protocols.errors import ProofInvalid
from protocols.note import Checkpoint
from protocols.sign import sign

NOW = 1_700_000_000_000
ROOT = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
PEM = CertificateAuthority.create("rencheng", NOW).tls.certificate_pem
PAILLIER = paillier.generate(2048).public


def _key(seed: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


def _sign(seed: int) -> tuple[Any, ...]:
    return (_key(seed).public_key(),)


def _hpke(seed: int) -> tuple[Any, ...]:
    return (X25519PrivateKey.from_private_bytes(bytes([seed]) * 32).public_key(),)


AUDITOR = Party("auditor-a", Role.AUDITOR, "审计甲", _sign(9), (), _hpke(9))
AUTHORITY = Party("authority", Role.AUTHORITY, "授权方", _sign(2), _sign(3), _hpke(3))
CUSTODIAN = Party("credit-bureau", Role.CUSTODIAN, "征信机构", _sign(4))
HOUSE = Party("house", Role.HOUSE, "数据安全屋", _sign(5), _sign(6))
BANK = Party("jnrcb", Role.BANK, "济宁农商银行", _sign(7), (), _hpke(7))
REGISTRAR = Party("registrar", Role.REGISTRAR, "登记机构", _sign(8))
PARTIES = (AUDITOR, AUTHORITY, CUSTODIAN, HOUSE, BANK, REGISTRAR)
REGISTERS = ((SubjectType.CN_USCC, "credit-bureau"),)
DOMAIN = TrustDomain("rencheng", 1, NOW, PEM, PAILLIER, PARTIES, REGISTERS)
FILE = write(DOMAIN, ROOT)


def test_what_is_written_is_read() -> None:
    """Every member comes back, and a person can read the file."""
    assert read(FILE, ROOT.public_key()) == DOMAIN
    assert '\n        "title": "济宁农商银行"\n' in FILE.decode()


def test_classes_of_banks() -> None:
    """They come back; and nothing is written where there are none."""
    classes = (Class("rural", ("jnrcb",)), Class("urban", ()))
    domain = replace(DOMAIN, classes=classes)
    assert read(write(domain, ROOT), ROOT.public_key()) == domain
    assert b'"classes"' not in FILE
    assert TrustDomain.parse(domain.to_bytes()).membership.classes == classes


@pytest.mark.parametrize(
    "classes",
    [
        b"[]",
        b'[{"id":"rural","members":["registrar"]}]',
        b'[{"id":"rural","members":["nobody"]}]',
        b'[{"id":"rural","members":["jnrcb","jnrcb"]}]',
        b'[{"id":"Rural","members":[]}]',
        b'[{"id":"rural","members":[]},{"id":"rural","members":[]}]',
        b'[{"id":"urban","members":[]},{"id":"rural","members":[]}]',
        b'[{"id":"rural","members":[7]}]',
        b'[{"id":"rural","members":[],"more":1}]',
    ],
)
def test_classes_that_are_none(classes: bytes) -> None:
    """No class, no bank, twice, out of order, something more: refused."""
    good = replace(DOMAIN, classes=(Class("rural", ()),)).to_bytes()
    kept = b'[{"id":"rural","members":[]}]'
    assert good.count(kept) == 1
    with pytest.raises(DomainInvalid):
        TrustDomain.parse(good.replace(kept, classes))


def test_look_ups() -> None:
    """Parties by id and role, journals by origin, certificates by SPIFFE id."""
    assert (DOMAIN.house, DOMAIN.authority) == (HOUSE, AUTHORITY)
    assert DOMAIN.party("jnrcb", Role.BANK, Role.AUDITOR) is BANK
    assert DOMAIN.of_role(Role.BANK) == (BANK,)
    assert DOMAIN.spiffe_id(BANK) == "spiffe://rencheng/bank/jnrcb"
    assert DOMAIN.in_charge(SubjectType.CN_USCC) == "credit-bureau"
    with pytest.raises(NotFound, match="no custodian is in charge of the map of `opaq"):
        DOMAIN.in_charge(SubjectType.OPAQUE)
    with pytest.raises(NotFound, match="no party `nobody` in trust domain `rencheng`"):
        DOMAIN.party("nobody")
    with pytest.raises(RoleRefused, match="expected role `registrar`, got `bank`"):
        DOMAIN.party("jnrcb", Role.REGISTRAR)


def test_journals_verify_by_role() -> None:
    """The house's checkpoints verify by the house's keys only."""
    note = Checkpoint(DOMAIN.origin(Role.HOUSE), 1, bytes(32)).sign(_key(6))
    assert Checkpoint.open(note, DOMAIN.verifiers(Role.HOUSE)).size == 1
    with pytest.raises(ProofInvalid):
        Checkpoint.open(note, DOMAIN.verifiers(Role.AUTHORITY))
    with pytest.raises(RuntimeError, match="a bank keeps no journal"):
        DOMAIN.origin(Role.BANK)


def test_a_rotated_key_stands_beside_the_old_one() -> None:
    """Two keys of one purpose are both pinned, the current one first (case 37)."""
    bank = replace(BANK, sign=_sign(20) + BANK.sign, hpke=_hpke(20) + BANK.hpke)
    rotated = replace(DOMAIN, serial=2, parties=(*PARTIES[:4], bank, REGISTRAR))
    found = read(write(rotated, ROOT), ROOT.public_key()).party("jnrcb")
    assert (found.sign, found.hpke) == (bank.sign, bank.hpke)


def test_a_foreign_root_is_refused() -> None:
    """A file that another root signed is another domain's, whatever it says."""
    with pytest.raises(DomainInvalid, match="expected the pinned root key") as caught:
        read(write(DOMAIN, _key(99)), ROOT.public_key())
    assert "another domain's" in caught.value.hint


def test_a_signature_for_another_purpose_is_refused() -> None:
    """The root's signature over the same bytes under another tag is none."""
    content = json.loads(FILE)
    signed = sign(Tag.CONTRACT, DOMAIN.to_bytes(), ROOT)
    content["signature"]["value"] = signed.signature.hex()
    with pytest.raises(DomainInvalid, match="is not valid"):
        read(rooms._indented(content), ROOT.public_key())


def test_every_changed_byte_is_refused() -> None:
    """No byte of the file can differ from what was signed."""
    for position in range(0, len(FILE), 7):
        edited = bytearray(FILE)
        edited[position] ^= 1
        with pytest.raises(DomainInvalid):
            read(bytes(edited), ROOT.public_key())


def _member(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def edit(content: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        here: Any = content
        for name in parents:
            here = here[int(name) if name.isdigit() else name]
        here[last] = value

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(_member("domain.parties.4.title", "莱商银行"), id="renamed_bank"),
        pytest.param(
            _member("domain.parties.4.hpke", [_hpke(99)[0].public_bytes_raw().hex()]),
            id="exchanged_box_key",
        ),
        pytest.param(_member("domain.parties.4.role", "registrar"), id="new_role"),
        pytest.param(_member("domain.paillier.n", "ff" * 256), id="exchanged_n"),
        pytest.param(_member("domain.serial", 2), id="other_serial"),
        pytest.param(_member("domain.registers.opaque", "jnrcb"), id="new_register"),
        pytest.param(_member("domain.extra", 1), id="extra_member_inside"),
        pytest.param(_member("extra", 1), id="extra_member_outside"),
        pytest.param(_member("signature.alg", "none"), id="algorithm_named"),
        pytest.param(_member("v", "safehouse/domain-file/2"), id="other_version"),
        pytest.param(_member("domain.serial", 1.5), id="a_float"),
    ],
)
def test_an_edited_file_is_refused(edit: Callable[[dict[str, Any]], None]) -> None:
    """A well-formed edit does not carry the root's signature."""
    content = json.loads(FILE)
    edit(content)
    with pytest.raises(DomainInvalid):
        read(rooms._indented(content), ROOT.public_key())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="a_list"),
        pytest.param(b"{}\n", id="nothing"),
        pytest.param(b"\xff\xfe", id="not_text"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{\n  "v": "\\ud800"\n}\n', id="lone_surrogate"),
        pytest.param(b'{\n  "v": NaN\n}\n', id="nan"),
        pytest.param(FILE.replace(b"\n", b"\r\n"), id="line_ends"),
        pytest.param(FILE + b"\n", id="trailing_line"),
        pytest.param(b"\xef\xbb\xbf" + FILE, id="byte_order_mark"),
        pytest.param(
            FILE.replace(b'"serial": 1,', b'"serial": 2,\n    "serial": 1,'),
            id="member_twice",
        ),
        pytest.param(json.dumps(json.loads(FILE)).encode(), id="not_indented"),
    ],
)
def test_other_forms_are_refused(data: bytes) -> None:
    """Only the form that `write` writes is read: nobody can hide a second reading."""
    with pytest.raises(DomainInvalid, match=r"^trust domain: "):
        read(data, ROOT.public_key())


def test_a_file_of_the_version_before_is_refused_by_name() -> None:
    """It names nobody in charge of base registers, which is not "whoever"."""
    document = json.loads(DOMAIN.to_bytes())
    del document["registers"]
    before = dumps(document | {"v": rooms.BEFORE})
    with pytest.raises(DomainInvalid, match="does not say who is in charge") as caught:
        TrustDomain.parse(before)
    assert "registers" in caught.value.hint


def test_load_names_the_file(tmp_path: Path) -> None:
    """Missing, oversized and edited files are one line with their path."""
    path = tmp_path / "domain.json"
    with pytest.raises(DomainInvalid, match=r"cannot read `.*domain.json`: No such"):
        load(path, ROOT.public_key())
    path.write_bytes(FILE)
    assert load(path, ROOT.public_key()) == DOMAIN
    path.write_bytes(b" " * ((4 << 20) + 1))
    with pytest.raises(DomainInvalid, match="expected at most 4194304 bytes"):
        load(path, ROOT.public_key())
    path.write_bytes(FILE[:-1])
    with pytest.raises(DomainInvalid, match=r"`.*domain.json`: trust domain: "):
        load(path, ROOT.public_key())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "Rencheng"}, "trust domain `Rencheng` is not a name"),
        ({"name": "a..b"}, "is not a name"),
        ({"registers": REGISTERS * 2}, "registers are not in order, each once"),
        (
            {"registers": ((SubjectType.CN_USCC, "jnrcb"),)},
            "register of `cn-uscc`: expected a custodian, got `jnrcb`",
        ),
        ({"parties": PARTIES[::-1]}, "not in order, each once"),
        ({"parties": (*PARTIES, REGISTRAR)}, "not in order, each once"),
        ({"parties": PARTIES[:3] + PARTIES[4:]}, "expected one house, got 0"),
        (
            {"parties": (*PARTIES, replace(HOUSE, id="z", sign=_sign(30)))},
            "expected one house, got 2",
        ),
        (
            {"parties": (*PARTIES[:5], replace(REGISTRAR, sign=BANK.sign))},
            "serves twice",
        ),
        (
            {"parties": (replace(AUDITOR, hpke=BANK.hpke), *PARTIES[1:])},
            "serves twice",
        ),
        (
            {"parties": (*PARTIES[:3], replace(HOUSE, journal=HOUSE.sign), BANK)},
            "serves twice",
        ),
        ({"ca_pem": b"none"}, "the CA certificate is not PEM"),
    ],
)
def test_a_domain_that_contradicts_itself_is_refused(
    changed: dict[str, Any], message: str
) -> None:
    """One house, one authority, each id and each key once: signed or not."""
    with pytest.raises(DomainInvalid, match=message):
        replace(DOMAIN, **changed)


@pytest.mark.parametrize(
    ("party", "changed", "message"),
    [
        (BANK, {"id": "91370800MA3C0001X5"}, "is not a name"),
        (BANK, {"id": "../house"}, "is not a name"),
        (BANK, {"id": "-bank"}, "is not a name"),
        (BANK, {"title": ""}, "expected a title"),
        (BANK, {"title": "a\nb"}, "expected a title"),
        (BANK, {"title": "银" * 65}, "expected a title"),
        (BANK, {"sign": ()}, "a bank has a `sign` key"),
        (BANK, {"hpke": ()}, "a bank has a `hpke` key"),
        (BANK, {"journal": _sign(31)}, "a bank has no `journal` key"),
        (HOUSE, {"journal": ()}, "a house has a `journal` key"),
        (HOUSE, {"hpke": _hpke(31)}, "a house has no `hpke` key"),
    ],
)
def test_a_party_has_the_keys_of_its_role(
    party: Party, changed: dict[str, Any], message: str
) -> None:
    """No more and no fewer."""
    with pytest.raises(DomainInvalid, match=message):
        replace(party, **changed)


def test_a_short_n_is_refused() -> None:
    """A domain that the root signed, but with a key nobody may use."""
    content = json.loads(DOMAIN.to_bytes())
    content["paillier"]["n"] = "ff" * 128
    with pytest.raises(DomainInvalid, match="expected n of 2048 bits"):
        TrustDomain.parse(rooms.dumps(content))
    content = json.loads(DOMAIN.to_bytes())
    content["paillier"]["key"] = "00" * 16
    with pytest.raises(DomainInvalid, match="`key` is not the id of `n`"):
        TrustDomain.parse(rooms.dumps(content))
