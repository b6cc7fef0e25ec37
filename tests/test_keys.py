"""Keystores: the right file, the right passphrase, the right party, or none.

Cases 54 (wrapped keys) and 56.
"""

import io
import os
import pickle
from dataclasses import fields, replace
from pathlib import Path

import pytest

from node import keys as rooms
from node.config import Config, Limits
from node.domain import Role
from node.errors import KeystoreInvalid, KeystoreLocked
from node.identity import Tls
from node.initialise import Composed, Plan, compose
from node.keys import (
    AuditorKeys,
    AuthorityKeys,
    BankKeys,
    CustodianKeys,
    HouseKeys,
    Keys,
    RegistrarKeys,
    fresh,
    from_sealed,
    load,
    passphrase,
    publish,
    read_private,
    to_sealed,
    write_private,
)
from protocols import seal
from protocols.canon import dumps

NOW = 1_700_000_000_000
PHRASE = "一个 passphrase"
PARTIES = ("house", "authority", "jnrcb", "credit-bureau", "registrar", "auditor-a")


@pytest.fixture(autouse=True)
def cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write files whose passphrase costs a millisecond instead of 170."""
    monkeypatch.setattr(seal, "LOG_N", 10)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without a passphrase and without a terminal."""
    monkeypatch.delenv(rooms.PASSPHRASE, raising=False)
    monkeypatch.delenv(rooms.PASSPHRASE_FILE, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture(scope="module")
def composed() -> Composed:
    """One trust domain in memory."""
    return compose(Plan("rencheng", key_bits=2048), NOW)


def _config(composed: Composed, party: str, folder: Path) -> Config:
    return Config(
        role=composed.domain.party(party).role,
        id=party,
        domain=folder / "domain.json",
        root_key=composed.root.public_key(),
        keystore=folder / "keys.sealed",
        data=folder / "data",
        listen="",
        passphrase_file=None,
        house="",
        authority="",
        limits=Limits(),
    )


@pytest.fixture
def house(composed: Composed, tmp_path: Path) -> Config:
    """Write the keystore of the house and return its configuration."""
    sealed = to_sealed(composed.keys["house"], "rencheng", "house", PHRASE)
    write_private(tmp_path / "keys.sealed", sealed)
    return _config(composed, "house", tmp_path)


def _same(one: Keys, two: Keys) -> bool:
    return [rooms._encode(getattr(one, f.name)) for f in fields(one)] == [
        rooms._encode(getattr(two, f.name)) for f in fields(two)
    ]


@pytest.mark.parametrize("party", PARTIES)
def test_every_role_comes_back(
    party: str, composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sealed is loaded, key by key, in the class of its role."""
    keys = composed.keys[party]
    config = _config(composed, party, tmp_path)
    write_private(config.keystore, to_sealed(keys, "rencheng", party, PHRASE))
    monkeypatch.setenv(rooms.PASSPHRASE, PHRASE)
    found = load(type(keys), config, composed.domain)
    assert type(found) is type(keys)
    assert _same(keys, found)


def test_who_holds_what() -> None:
    """DESIGN 8, literally: a key that a party should not have has no field."""
    assert {
        kind.role: [field.name for field in fields(kind)]
        for kind in rooms.OF_ROLE.values()
    } == {
        Role.HOUSE: ["tls", "ticket", "journal", "at_rest", "pseudonym"],
        Role.AUTHORITY: [
            *("tls", "paillier", "receipt", "journal", "hpke", "pseudonym", "opening"),
            "hpke_before",
        ],
        Role.BANK: ["tls", "sign", "hpke", "pepper", "hpke_before"],
        Role.CUSTODIAN: ["tls", "sign", "pepper", "seed"],
        Role.REGISTRAR: ["tls", "sign", "pepper"],
        Role.AUDITOR: ["tls", "sign", "hpke", "hpke_before"],
        Role.WITNESS: ["tls", "sign"],
    }
    assert set(rooms.OF_ROLE) == set(Role)


def test_the_file_shows_nothing(house: Config, composed: Composed) -> None:
    """No key, name or role stands in the sealed file."""
    data = house.keystore.read_bytes()[seal.HEADER_BYTES :]
    keys = composed.keys["house"]
    assert isinstance(keys, HouseKeys)
    for shown in (b"house", b"BEGIN", keys.at_rest, keys.at_rest.hex().encode()):
        assert shown not in data


def test_secrets_have_no_repr(composed: Composed) -> None:
    """Neither `repr` nor a traceback's locals show a key; nor can it be pickled."""
    for keys in composed.keys.values():
        assert repr(keys).startswith(f"<node.keys.{type(keys).__name__} object at")
        assert "PRIVATE" not in f"{keys}"
        with pytest.raises(TypeError):
            pickle.dumps(keys)  # Ed25519 keys refuse


def test_wrong_passphrase(house: Config, composed: Composed) -> None:
    """Case 56: one line, a hint, an exit code of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(rooms.PASSPHRASE, "wrong")
        with pytest.raises(KeystoreLocked) as caught:
            load(HouseKeys, house, composed.domain)
    assert str(caught.value) == (
        f"`{house.keystore}`: the passphrase does not open this file, "
        "or the file was changed"
    )
    assert "SAFEHOUSE_PASSPHRASE" in caught.value.hint
    assert caught.value.exit_code == 12
    assert caught.value.__cause__ is None


def test_missing_passphrase(house: Config, composed: Composed) -> None:
    """Case 56: without a terminal nobody waits for a prompt."""
    with pytest.raises(KeystoreLocked, match="no passphrase for") as caught:
        load(HouseKeys, house, composed.domain)
    assert caught.value.exit_code == 12


def test_missing_keystore(house: Config, composed: Composed) -> None:
    """No file is another error than a locked one."""
    house.keystore.unlink()
    with pytest.raises(KeystoreInvalid, match=r"cannot read .*No such file"):
        load(HouseKeys, house, composed.domain)
    house.keystore.mkdir()
    with pytest.raises(KeystoreInvalid, match="cannot read"):
        load(HouseKeys, house, composed.domain)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o777])
def test_loose_permissions(mode: int, house: Config, composed: Composed) -> None:
    """A keystore that others can read, write or enter is refused unopened."""
    house.keystore.chmod(mode)
    with pytest.raises(KeystoreInvalid, match=f"mode 0{mode:o}") as caught:
        load(HouseKeys, house, composed.domain)
    assert "chmod 600" in caught.value.hint


def test_every_flipped_bit_is_refused(composed: Composed) -> None:
    """Case 54: in the header every bit, in the rest a bit of every third byte."""
    data = to_sealed(composed.keys["registrar"], "rencheng", "registrar", PHRASE)
    header = [(i, bit) for i in range(20) for bit in range(8)]
    rest = [(i, i % 8) for i in range(20, len(data), 3)]
    for position, bit in (*header, *rest):
        edited = bytearray(data)
        edited[position] ^= 1 << bit
        if position == 19 and edited[19] > 12:
            continue  # a work factor that opens nothing either, but slowly
        with pytest.raises((KeystoreInvalid, KeystoreLocked)):
            from_sealed(RegistrarKeys, bytes(edited), "rencheng", "registrar", PHRASE)


@pytest.mark.parametrize(
    ("kind", "domain", "party", "message"),
    [
        (BankKeys, "rencheng", "lsbank", "keys of party `jnrcb`, expected `lsbank`"),
        (BankKeys, "laicheng", "jnrcb", "domain `rencheng`, expected `laicheng`"),
        (RegistrarKeys, "rencheng", "jnrcb", "role `bank`, expected `registrar`"),
    ],
)
def test_the_keystore_of_another_is_refused(
    kind: type[Keys], domain: str, party: str, message: str, composed: Composed
) -> None:
    """Case 55 for keys: a file copied from elsewhere opens and is refused."""
    data = to_sealed(composed.keys["jnrcb"], "rencheng", "jnrcb", PHRASE)
    with pytest.raises(KeystoreInvalid, match=message):
        from_sealed(kind, data, domain, party, PHRASE)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="no_version"),
        pytest.param(dumps({"v": "safehouse/keys/2"}), id="other_version"),
        pytest.param(
            dumps(
                {
                    "v": "safehouse/keys/1",
                    "domain": "rencheng",
                    "role": "auditor",
                    "party": "auditor-a",
                    "keys": {"sign": "00" * 32},
                }
            ),
            id="missing_keys",
        ),
        pytest.param(
            dumps(
                {
                    "v": "safehouse/keys/1",
                    "domain": "rencheng",
                    "role": "auditor",
                    "party": "auditor-a",
                    "keys": {
                        "tls": {"key": "", "certificate": ""},
                        "sign": "00" * 31,
                        "hpke": "00" * 32,
                    },
                }
            ),
            id="short_key",
        ),
    ],
)
def test_malformed_content_is_refused(content: bytes) -> None:
    """Whoever has the passphrase can still not slip anything else in."""
    data = seal.seal(PHRASE, content)
    with pytest.raises(KeystoreInvalid):
        from_sealed(AuditorKeys, data, "rencheng", "auditor-a", PHRASE)


@pytest.mark.parametrize(
    ("party", "field"),
    [
        ("house", "ticket"),
        ("house", "journal"),
        ("jnrcb", "sign"),
        ("jnrcb", "hpke"),
        ("authority", "paillier"),
    ],
)
def test_keys_that_the_domain_does_not_pin_are_refused(
    party: str, field: str, composed: Composed, tmp_path: Path
) -> None:
    """A keystore kept over a rotation does not start a node."""
    other = compose(Plan("rencheng", key_bits=2048), NOW).keys[party]
    keys = replace(composed.keys[party], **{field: getattr(other, field)})
    config = replace(
        _config(composed, party, tmp_path), passphrase_file=tmp_path / "passphrase"
    )
    write_private(config.keystore, to_sealed(keys, "rencheng", party, PHRASE))
    write_private(tmp_path / "passphrase", PHRASE.encode())
    purpose = "sign" if field == "ticket" else field
    with pytest.raises(KeystoreInvalid, match=f"the `{purpose}` key is not the one"):
        load(type(keys), config, composed.domain)


def test_a_configuration_of_another_role_is_refused(
    house: Config, composed: Composed
) -> None:
    """Starting the authority with the house's configuration says so."""
    with pytest.raises(KeystoreInvalid, match="expected role `authority`, got `house`"):
        load(AuthorityKeys, house, composed.domain)
    with pytest.raises(KeystoreInvalid, match="no party `nobody`"):
        load(HouseKeys, replace(house, id="nobody"), composed.domain)


def test_where_a_passphrase_comes_from(house: Config, tmp_path: Path) -> None:
    """The environment, a named file, the configured file, in this order."""
    for name, text in (("a", "in a\n"), ("b", "in b\r\n")):
        write_private(tmp_path / name, text.encode())
    config = replace(house, passphrase_file=tmp_path / "b")
    in_file = {rooms.PASSPHRASE_FILE: str(tmp_path / "a")}
    assert passphrase(config, {rooms.PASSPHRASE: "in env", **in_file}) == "in env"
    assert passphrase(config, {rooms.PASSPHRASE: "", **in_file}) == "in a"
    assert passphrase(config, {}) == "in b"
    with pytest.raises(KeystoreLocked):
        passphrase(house, {})


def test_a_terminal_is_asked(house: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a terminal there is a prompt, and an empty answer is none."""

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    answers = ["", "typed"]
    monkeypatch.setattr("getpass.getpass", lambda _: answers.pop())
    assert passphrase(house, {}) == "typed"
    with pytest.raises(KeystoreLocked):
        passphrase(house, {})


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"\xff", b"x" * 1025])
def test_a_passphrase_file_is_one_line(
    content: bytes, house: Config, tmp_path: Path
) -> None:
    """Anything else is more likely a wrong file than a passphrase."""
    write_private(tmp_path / "p", content)
    with pytest.raises(KeystoreLocked, match="expected one line"):
        passphrase(replace(house, passphrase_file=tmp_path / "p"), {})


def test_a_loose_passphrase_file_is_refused(house: Config, tmp_path: Path) -> None:
    """The file that opens the keystore is as secret as the keystore."""
    write_private(tmp_path / "p", b"x")
    (tmp_path / "p").chmod(0o644)
    with pytest.raises(KeystoreInvalid, match="mode 0644"):
        passphrase(replace(house, passphrase_file=tmp_path / "p"), {})


def test_private_files(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, and never over an existing file."""
    before = os.umask(0)
    try:
        write_private(tmp_path / "k", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert read_private(tmp_path / "k") == b"1"
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "k", b"2")
    os.mkfifo(tmp_path / "pipe", 0o600)
    descriptor = os.open(tmp_path / "pipe", os.O_RDWR)
    with pytest.raises(KeystoreInvalid, match="is not a file"):
        read_private(tmp_path / "pipe")
    os.close(descriptor)


def test_fresh_keys_differ() -> None:
    """Every secret is drawn anew, but for those that are given."""
    pepper = bytes(32)
    one, two = (
        fresh(CustodianKeys, tls=Tls(b"", b""), pepper=pepper) for _ in range(2)
    )
    assert one.pepper == two.pepper == pepper
    assert one.seed != two.seed
    assert len(one.seed) == 32
    assert publish(one, "x", "x").sign != publish(two, "x", "x").sign
