"""`safehouse init`: a whole trust domain or none, and every key in one place."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.subject import SubjectType
from node import config as configuration
from node import domain as domain_file
from node import keys as keystore
from node.domain import Role
from node.errors import InitRefused, KeystoreInvalid, KeystoreLocked, TableInvalid
from node.initialise import (
    DEFAULT_MEMBERS,
    Member,
    Plan,
    compose,
    initialise,
    open_ca,
    read_members,
)
from node.keys import (
    AuthorityKeys,
    BankKeys,
    CustodianKeys,
    HouseKeys,
    Keys,
    RegistrarKeys,
)
from protocols import seal
from protocols.sign import key_id

NOW = 1_700_000_000_000
PLAN = Plan("rencheng", key_bits=2048)
PHRASE = "throw-away"


@pytest.fixture(autouse=True)
def cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write files whose passphrase costs a millisecond instead of 170."""
    monkeypatch.setattr(seal, "LOG_N", 10)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make one trust domain on disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal, "LOG_N", 10)
        patch.setenv(keystore.PASSPHRASE, PHRASE)
        directory = tmp_path_factory.mktemp("init") / "trust"
        initialise(directory, PLAN, PHRASE, NOW)
        yield directory


def _open(made: Path, party: str) -> Keys:
    config = configuration.load(made / party)
    domain = domain_file.load(config.domain, config.root_key)
    return keystore.load(keystore.OF_ROLE[config.role], config, domain)


def test_every_party_can_start_from_its_folder(made: Path) -> None:
    """Configuration, domain file and keystore of each folder fit together."""
    domains = set()
    for member in DEFAULT_MEMBERS:
        config = configuration.load(made / member.id)
        domain = domain_file.load(config.domain, config.root_key)
        assert (config.id, config.role) == (member.id, member.role)
        assert domain.party(member.id).title == member.title
        assert isinstance(_open(made, member.id), keystore.OF_ROLE[member.role])
        domains.add(domain.to_bytes())
    assert len(domains) == 1


def test_a_folder_can_be_carried_away(made: Path, tmp_path: Path) -> None:
    """A party's folder needs nothing from beside it."""
    for file in (made / "jnrcb").iterdir():
        keystore.write_private(tmp_path / file.name, file.read_bytes())
    assert isinstance(_open(tmp_path.parent, tmp_path.name), BankKeys)


def test_modes_and_names(made: Path) -> None:
    """Folders 0700, files 0600, nothing else lying about."""
    found = {}
    for path in [made, *made.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
        found[str(path.relative_to(made))] = mode
    expected = {".", "domain.json", "ca", "ca/keys.sealed"}
    for member in DEFAULT_MEMBERS:
        files = ("keys.sealed", "domain.json", "safehouse.toml")
        expected |= {member.id, *(f"{member.id}/{name}" for name in files)}
    assert set(found) == expected
    assert [path.name for path in made.parent.iterdir()] == ["trust"]


def test_servers_listen_and_callers_find_them(made: Path) -> None:
    """Addresses of the plan stand in the configurations that need them."""
    addresses = {
        member.id: (config.listen, config.house, config.authority)
        for member in DEFAULT_MEMBERS
        for config in [configuration.load(made / member.id)]
    }
    house, authority = PLAN.house, PLAN.authority
    assert addresses["house"] == (house, "", authority)
    assert addresses["authority"] == (authority, "", "")
    assert addresses["jnrcb"] == ("", house, "")
    assert addresses["registrar"] == ("", house, authority)
    assert addresses["auditor-a"] == ("", house, authority)


def test_secrets_are_shared_as_designed(made: Path) -> None:
    """One pepper for banks, custodians and registrar; nothing else twice."""
    keys = {member.id: _open(made, member.id) for member in DEFAULT_MEMBERS}
    peppers = {
        value.pepper
        for value in keys.values()
        if isinstance(value, BankKeys | CustodianKeys | RegistrarKeys)
    }
    assert len(peppers) == 1
    house, authority = keys["house"], keys["authority"]
    assert isinstance(house, HouseKeys)
    assert isinstance(authority, AuthorityKeys)
    seeds = [value.seed for value in keys.values() if isinstance(value, CustodianKeys)]
    secrets = [
        *peppers,
        *seeds,
        house.at_rest,
        house.pseudonym,
        authority.pseudonym,
        authority.opening,
    ]
    assert len(set(secrets)) == len(secrets) == 8
    tls = {value.tls.key_pem for value in keys.values()}
    assert len(tls) == len(keys)


def test_no_private_key_lies_in_clear(made: Path) -> None:
    """Reading every file finds no key, not even in part."""
    blob = b"".join(path.read_bytes() for path in made.rglob("*") if path.is_file())
    assert b"PRIVATE" not in blob
    house, authority = _open(made, "house"), _open(made, "authority")
    assert isinstance(house, HouseKeys)
    assert isinstance(authority, AuthorityKeys)
    prime = int(authority.paillier.p).to_bytes(128)
    for secret in (house.at_rest, house.ticket.private_bytes_raw(), prime):
        assert secret not in blob
        assert secret.hex().encode() not in blob


def test_a_guess_is_dear_unless_nothing_is_to_guess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The full cost for a keystore; the least where the passphrase lies beside it."""
    monkeypatch.setattr(seal, "LOG_N", 11)
    for leave, log_n in ((False, 11), (True, seal.LOG_N_TOLD)):
        folder = tmp_path / str(leave)
        initialise(folder, replace(PLAN, leave_passphrases=leave), PHRASE, NOW)
        sealed = sorted(folder.glob("*/keys.sealed"))
        assert len(sealed) == 1 + len(PLAN.all_members)
        assert {path.read_bytes()[len(seal.MAGIC)] for path in sealed} == {log_n}


def test_each_party_can_have_its_own_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passphrase opens its own party's keystore and no other."""
    owners = ["ca", *(member.id for member in DEFAULT_MEMBERS)]
    phrases = {owner: f"of {owner}" for owner in owners}
    initialise(tmp_path / "t", PLAN, phrases, NOW)
    monkeypatch.setenv(keystore.PASSPHRASE, "of house")
    assert _open(tmp_path / "t", "house")
    with pytest.raises(KeystoreLocked):
        _open(tmp_path / "t", "authority")
    assert open_ca(tmp_path / "t", "rencheng", "of ca")
    with pytest.raises(KeystoreLocked):
        open_ca(tmp_path / "t", "rencheng", "of house")
    with pytest.raises(KeystoreInvalid, match="another trust domain"):
        open_ca(tmp_path / "t", "laicheng", "of ca")


def test_the_root_key_can_change_the_domain(made: Path) -> None:
    """What the CA folder holds signs the next version, and parties accept it."""
    root, ca = open_ca(made, "rencheng", PHRASE)
    config = configuration.load(made / "house")
    assert key_id(root.public_key()) == key_id(config.root_key)
    domain = domain_file.load(config.domain, config.root_key)
    assert ca.tls.certificate_pem == domain.ca_pem
    changed = replace(domain, serial=2)
    assert (
        domain_file.read(domain_file.write(changed, root), config.root_key) == changed
    )


def test_a_full_folder_is_refused(tmp_path: Path) -> None:
    """Nothing is ever written over; an empty folder is as good as none."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    (tmp_path / "file").touch()
    for name in ("full", "file"):
        with pytest.raises(InitRefused, match="is not an empty folder"):
            initialise(tmp_path / name, PLAN, PHRASE, NOW)
    (tmp_path / "empty").mkdir()
    assert initialise(tmp_path / "empty", PLAN, PHRASE, NOW).name == "rencheng"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]


def test_the_current_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename cannot replace the folder that the shell stands in."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InitRefused, match="current folder"):
        initialise(Path(), PLAN, PHRASE, NOW)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "no space left")])
@pytest.mark.parametrize("step", [0, 1, 2, 17, 33, 34])  # of 35 files
def test_an_interruption_leaves_nothing(
    step: int,
    error: type[BaseException] | BaseException,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C or a full disk at any file leaves no folder, whole or half."""
    write, left = keystore.write_private, [step]

    def fails(path: Path, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise error
        write(path, data)

    monkeypatch.setattr(keystore, "write_private", fails)
    with pytest.raises((InitRefused, KeyboardInterrupt)):
        initialise(tmp_path / "t", PLAN, PHRASE, NOW)
    assert list(tmp_path.iterdir()) == []


def test_somebody_was_faster(tmp_path: Path) -> None:
    """A folder that fills up while keys are drawn is not replaced."""

    def progress(step: str) -> None:
        if step == "ca":
            (tmp_path / "t").mkdir()
            (tmp_path / "t/x").touch()

    with pytest.raises(InitRefused, match="cannot make"):
        initialise(tmp_path / "t", PLAN, PHRASE, NOW, progress)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["x"]


def _without(role: Role) -> tuple[Member, ...]:
    return tuple(member for member in DEFAULT_MEMBERS if member.role is not role)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: replace(PLAN, name="Ren Cheng"), "is not a name"),
        (lambda: replace(PLAN, key_bits=1024), "expected n of 2048 bits"),
        (lambda: replace(PLAN, members=_without(Role.HOUSE)), "expected one house"),
        (lambda: replace(PLAN, members=DEFAULT_MEMBERS * 2), "not in order, each once"),
        (
            lambda: replace(
                PLAN, members=(*DEFAULT_MEMBERS, Member("ca", Role.BANK, "银行"))
            ),
            "no party may be called `ca`",
        ),
        (
            lambda: replace(
                PLAN, members=(*DEFAULT_MEMBERS, Member("../x", Role.BANK, "银行"))
            ),
            "is not a name",
        ),
        (lambda: replace(PLAN, house='127.0.0.1:7443"\nx = "'), "expected an address"),
        (lambda: replace(PLAN, authority="localhost"), "expected an address"),
        (
            lambda: replace(PLAN, registers=((SubjectType.OPAQUE, "jnrcb"),)),
            "register of `opaque`: expected a custodian, got `jnrcb`",
        ),
        (
            lambda: replace(
                PLAN,
                registers=(
                    (SubjectType.OPAQUE, "credit-bureau"),
                    (SubjectType.OPAQUE, "housing-loans"),
                ),
            ),
            "two custodians in charge of one subject type",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    change: Callable[[], Plan], message: str, tmp_path: Path
) -> None:
    """With one line, and nothing on disk."""
    with pytest.raises(InitRefused, match=message):
        initialise(tmp_path / "t", change(), PHRASE, NOW)
    assert list(tmp_path.iterdir()) == []


def test_who_puts_the_base_registers() -> None:
    """The first custodian, but for the subject types that a plan names."""
    named = ((SubjectType.CN_RESIDENT_ID, "social-insurance"),)
    assert replace(PLAN, registers=named).all_registers == (
        (SubjectType.CN_RESIDENT_ID, "social-insurance"),
        (SubjectType.CN_USCC, "credit-bureau"),
        (SubjectType.OPAQUE, "credit-bureau"),
    )
    assert replace(PLAN, members=_without(Role.CUSTODIAN)).all_registers == ()


def test_a_missing_passphrase_is_refused(tmp_path: Path) -> None:
    """An empty passphrase is none, and none is never defaulted."""
    with pytest.raises(InitRefused, match="no passphrase for `ca`"):
        initialise(tmp_path / "t", PLAN, "", NOW)
    with pytest.raises(InitRefused, match="no passphrase for `house`"):
        initialise(tmp_path / "t", PLAN, {"ca": "x"}, NOW)


def test_progress_names_each_step(tmp_path: Path) -> None:
    """One line before each piece of work, none of them secret."""
    steps: list[str] = []
    initialise(tmp_path / "t", PLAN, PHRASE, NOW, steps.append)
    assert steps[0] == "Paillier key of 2048 bits"
    assert len(steps) == 2 + 2 * len(DEFAULT_MEMBERS)


def test_the_default_key_is_3072_bits() -> None:
    """128-bit security unless somebody asks for less."""
    assert Plan("rencheng").key_bits == 3072


def test_secrets_have_no_repr() -> None:
    """A composed domain does not show itself in a traceback."""
    composed = compose(PLAN, NOW)
    assert repr(composed).startswith("<node.initialise.Composed object at")


def test_parties_are_read_from_a_table(tmp_path: Path) -> None:
    """With the byte order mark that spreadsheets write; a gap is no organisation."""
    path = tmp_path / "parties.csv"
    path.write_bytes(
        "\ufeffid,role,title,organisation\r\nhouse,house,数据安全屋,district\r\n"
        "tax,custodian,税务局,\r\n".encode()
    )
    assert read_members(path) == (
        Member("house", Role.HOUSE, "数据安全屋", "district"),
        Member("tax", Role.CUSTODIAN, "税务局"),
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("id,role,title\nhouse,house,屋\n", "expected the columns id, role"),
        ("id,role,title,organisation\ntax,bureau,x,\n", "line 2: expected a role"),
        ("id,role,title,organisation\nw,witness,x,\n", "line 2: expected a role"),
        ("id,role,title,organisation\ntax,bank,x\n", "line 2: expected 4 cells"),
        ("id,role,title,organisation\ntax,bank,x,,\n", "line 2: expected 4 cells"),
        ("", "expected the columns"),
    ],
)
def test_a_table_that_names_no_parties_is_refused(
    tmp_path: Path, table: str, said: str
) -> None:
    """By file and line."""
    path = tmp_path / "parties.csv"
    path.write_text(table, "utf-8")
    with pytest.raises(TableInvalid, match=said):
        read_members(path)


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """And one that is no text."""
    with pytest.raises(TableInvalid, match="cannot read"):
        read_members(tmp_path / "parties.csv")
    (tmp_path / "parties.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(TableInvalid, match="not CSV in UTF-8"):
        read_members(tmp_path / "parties.csv")
