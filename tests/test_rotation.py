"""Replacing keys: drawn by their party, signed by the root, adopted by everybody."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node import clock, config, domain, keys, rotation, succession
from node.config import Config
from node.domain import TrustDomain
from node.errors import (
    DocumentConflict,
    DomainInvalid,
    KeystoreInvalid,
    KeystoreLocked,
    NodeError,
    NotFound,
    PeerRefused,
)
from node.identity import PEM_KEY, SPIFFE_KEY, certified_key, peer_from
from node.initialise import Plan, initialise, open_ca
from node.keys import AuditorKeys, BankKeys, Keys, unsealed
from node.rotation import HOUR_MS, OVERLAP_HOURS, Purpose, Rotation, purposes
from node.succession import NEXT, SEEN
from protocols import hpke, seal
from protocols.canon import Tag, dumps, loads
from protocols.sign import sign

NOW = clock.now_ms()
PHRASE = "throw-away"
LATER = NOW + (OVERLAP_HOURS + 1) * HOUR_MS


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write files whose passphrase costs a millisecond instead of 170."""
    monkeypatch.setattr(seal, "LOG_N", 10)
    monkeypatch.setenv(keys.PASSPHRASE, PHRASE)


@pytest.fixture(scope="module")
def drawn_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one trust domain on disk, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal, "LOG_N", 10)
        folder = tmp_path_factory.mktemp("rotation") / "trust"
        initialise(folder, Plan("rencheng", key_bits=2048), PHRASE, NOW)
    return folder


@pytest.fixture
def made(drawn_once: Path, tmp_path: Path) -> Path:
    """Copy the trust domain, which every party has seen."""
    shutil.copytree(drawn_once, tmp_path / "trust")
    for party in ("house", "jnrcb", "auditor-a", "authority", "registrar"):
        succession.trusted(settings(tmp_path / "trust", party))
    return tmp_path / "trust"


def settings(made: Path, party: str) -> Config:
    """Read a party's configuration."""
    return config.load(made / party)


def opened(made: Path, party: str) -> tuple[Config, TrustDomain, Keys]:
    """Open a party as its commands do."""
    own = settings(made, party)
    trust = succession.trusted(own)
    return own, trust, keys.load(keys.OF_ROLE[own.role], own, trust)


def request(made: Path, party: str, *wanted: Purpose) -> bytes:
    """Draw keys for a party; all of them unless named."""
    own, trust, held = opened(made, party)
    chosen = wanted or purposes(trust.party(party))
    return rotation.draw(own, trust, held, chosen, PHRASE)


def amend(made: Path, *requests: bytes, **options: object) -> Path:
    """Sign the next serial."""
    done = rotation.amend(made, PHRASE, NOW, requests=requests, **options)  # type: ignore[arg-type]
    return done.handout


def adopt(made: Path, handout: Path, party: str) -> TrustDomain:
    """Take what was handed out to a party."""
    return succession.adopt(settings(made, party), handout / party, PHRASE)


@pytest.mark.parametrize("party", ["house", "authority", "jnrcb", "auditor-a"])
def test_all_keys_of_a_party(made: Path, party: str) -> None:
    """New ones first, old ones with their end; the party starts with the new ones."""
    _, before, old = opened(made, party)
    handout = amend(made, request(made, party))
    assert opened(made, party)[2].tls == old.tls  # nothing changed for it so far
    after = adopt(made, handout, party)
    _, trust, held = opened(made, party)
    assert trust == after
    assert (trust.serial, trust.history) == (2, (before.hash,))
    mine, was = trust.party(party), before.party(party)
    for now, then in ((mine.sign, was.sign), (mine.journal, was.journal)):
        assert now[1:] == then
        assert now[:1] != then[:1] or not then
    assert mine.hpke[1:] == was.hpke
    assert len(mine.ended) == len(purposes(mine)) - 1
    assert {until for _, until in mine.ended} == {NOW + OVERLAP_HOURS * HOUR_MS}
    assert mine.signing(NOW) == mine.sign
    assert mine.signing(LATER) == mine.sign[:1]
    assert certified_key(held.tls.certificate_pem) == held.tls.public
    assert held.tls.public != old.tls.public
    others = [p for p in trust.parties if p.id != party]
    assert others == [p for p in before.parties if p.id != party]


def test_one_key_alone(made: Path) -> None:
    """The others stay, and so does the certificate."""
    _, before, old = opened(made, "jnrcb")
    handout = amend(made, request(made, "jnrcb", Purpose.SIGN))
    adopt(made, handout, "jnrcb")
    _, trust, held = opened(made, "jnrcb")
    assert held.tls == old.tls
    assert trust.party("jnrcb").hpke == before.party("jnrcb").hpke
    assert not trust.party("jnrcb").certificates


def test_what_was_sealed_before_opens(made: Path) -> None:
    """Case of auditors' quarterly keys: an old share opens, a new one too."""
    box = _box(made, b"earlier")
    adopt(made, amend(made, request(made, "auditor-a", Purpose.HPKE)), "auditor-a")
    later = _box(made, b"later")
    _, _, held = opened(made, "auditor-a")
    assert isinstance(held, AuditorKeys)
    assert len(held.hpke_before) == 1
    for text, sealed in ((b"earlier", box), (b"later", later)):
        assert text == unsealed(
            held, lambda key, box=sealed: hpke.unseal(key, b"i", box)
        )  # type: ignore[misc]


def _box(made: Path, text: bytes) -> bytes:
    trust = succession.trusted(settings(made, "auditor-a"))
    return hpke.seal(trust.party("auditor-a").hpke[0], b"i", text)


def test_a_certificate_ends(made: Path) -> None:
    """A stolen TLS key speaks for its party as long as the overlap, and no more."""
    _, _, old = opened(made, "jnrcb")
    trust = adopt(made, amend(made, request(made, "jnrcb")), "jnrcb")
    context = {
        SPIFFE_KEY: [b"spiffe://rencheng/bank/jnrcb"],
        PEM_KEY: [old.tls.certificate_pem],
    }
    assert peer_from(context, trust, NOW).sign == trust.party("jnrcb").sign
    with pytest.raises(PeerRefused, match="has ended"):
        peer_from(context, trust, LATER)
    context[PEM_KEY] = [opened(made, "jnrcb")[2].tls.certificate_pem]
    assert peer_from(context, trust, LATER).sign == trust.party("jnrcb").sign[:1]
    with pytest.raises(PeerRefused, match="cannot be read"):
        peer_from({**context, PEM_KEY: []}, trust, LATER)


def test_an_overlap_is_cut_short(made: Path) -> None:
    """`--end` is for keys that were stolen: they sign nothing from now on."""
    first = amend(made, request(made, "jnrcb"))
    second = amend(made, end=["jnrcb"])
    with pytest.raises(KeystoreInvalid, match=r"no `certificate\.pem`"):
        adopt(made, second, "jnrcb")  # it lies in the first one
    adopt(made, first, "jnrcb")
    adopt(made, second, "jnrcb")
    trust = opened(made, "jnrcb")[1]
    assert trust.serial == 3
    assert trust.party("jnrcb").signing(NOW) == trust.party("jnrcb").sign[:1]
    with pytest.raises(NotFound):
        amend(made, end=["nobody"])


# -- rollback


def test_an_older_domain_is_refused_at_start(made: Path) -> None:
    """An old copy would revive keys that were replaced."""
    own = settings(made, "registrar")
    older = own.domain.read_bytes()
    adopt(made, amend(made, request(made, "jnrcb")), "registrar")
    own.domain.write_bytes(older)
    with pytest.raises(DomainInvalid, match="has seen serial 2"):
        succession.trusted(own)
    (made / "old.json").write_bytes(older)
    with pytest.raises(DomainInvalid, match="has seen serial 2"):
        succession.adopt(own, made / "old.json", PHRASE)


def test_two_domains_of_one_serial(made: Path, drawn_once: Path) -> None:
    """Whoever believed the one does not believe the other, nor what follows it."""
    adopt(made, amend(made, request(made, "jnrcb")), "registrar")
    other = made.parent / "other"
    shutil.copytree(drawn_once, other)
    for message in ("serial 2 does not follow", "serial 3 does not follow"):
        handout = amend(other)
        with pytest.raises(DomainInvalid, match=message):
            adopt(made, handout, "registrar")


def test_serials_may_be_left_out(made: Path) -> None:
    """Who was away for two changes takes the last one."""
    amend(made, request(made, "jnrcb"))
    assert adopt(made, amend(made), "registrar").serial == 3


def test_what_was_seen_is_not_guessed(made: Path) -> None:
    """An edited memory is no memory of nothing."""
    own = settings(made, "registrar")
    path = own.data / SEEN
    path.write_bytes(path.read_bytes().replace(b'"serial":1', b'"serial":0'))
    with pytest.raises(DomainInvalid, match=r"domain\.seen"):
        succession.trusted(own)


# -- requests


def _edit(data: bytes, change: Callable[[dict[str, object]], object]) -> bytes:
    document = json.loads(data)
    payload = json.loads(document["rotation"]["payload"])
    change(payload)
    document["rotation"]["payload"] = dumps(payload).decode()
    return dumps(document)


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: _edit(d, lambda p: p.update(party="lsbank")),
        lambda d: _edit(d, lambda p: p.update(sign="00" * 32)),
        lambda d: dumps({**json.loads(d), "proofs": []}),
        lambda d: dumps({**json.loads(d), "proofs": [json.loads(d)["rotation"]]}),
        lambda d: d[:-1],
    ],
    ids=["party", "key", "no-proof", "proof-by-the-old-key", "cut"],
)
def test_an_edited_request(made: Path, edit: Callable[[bytes], bytes]) -> None:
    """What its party did not sign, with keys that it does not hold, is refused."""
    made_by_bank = request(made, "jnrcb", Purpose.SIGN)
    with pytest.raises(DomainInvalid):
        amend(made, edit(made_by_bank))
    assert succession.trusted(settings(made, "jnrcb")).serial == 1


def test_a_request_of_another_party(made: Path) -> None:
    """The house cannot have its own key entered as a bank's."""
    _, _, house = opened(made, "house")
    key = Ed25519PrivateKey.generate()
    wanted = Rotation("rencheng", 1, "jnrcb", key.public_key().public_bytes_raw())
    payload = wanted.to_bytes()
    signed = [sign(Tag.ROTATION, payload, each) for each in (house.ticket, key)]  # type: ignore[union-attr]
    forged = {
        "v": rotation.FILE_VERSION,
        "rotation": signed[0].to_json(),
        "proofs": [signed[1].to_json()],
    }
    with pytest.raises(DomainInvalid, match="unknown key"):
        amend(made, dumps(forged))


def test_a_request_is_carried_out_once(made: Path) -> None:
    """An old request would put a key first again that was replaced since."""
    asked = request(made, "jnrcb")
    amend(made, asked)
    with pytest.raises(DomainInvalid, match="for serial 1"):
        amend(made, asked)


def test_drawn_keys_are_not_thrown_away(made: Path) -> None:
    """A second draw is refused while the first one's signature is on its way."""
    request(made, "jnrcb")
    with pytest.raises(DocumentConflict):
        request(made, "jnrcb")
    with pytest.raises(NotFound, match="has no `journal` key"):
        request(made, "registrar", Purpose.JOURNAL)


# -- crashes


@pytest.mark.parametrize("step", range(4))
def test_adopting_is_done_again_after_a_crash(
    made: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file was the last one written, the second time all of it is there."""
    handout = amend(made, request(made, "jnrcb"))
    real, done = succession.durable.settle, [0]

    def settle(written: Path, path: Path) -> None:
        if done[0] == step:
            raise KeyboardInterrupt
        done[0] += 1
        real(written, path)

    with monkeypatch.context() as patch:
        patch.setattr("node.durable.settle", settle)
        with pytest.raises(KeyboardInterrupt):
            adopt(made, handout, "jnrcb")
    assert adopt(made, handout, "jnrcb").serial == 2
    own, _, held = opened(made, "jnrcb")
    assert isinstance(held, BankKeys)
    assert not own.keystore.with_name(own.keystore.name + NEXT).exists()


def test_the_wrong_handout(made: Path) -> None:
    """A folder without the certificate, or with another's, is refused before all."""
    other = request(made, "auditor-a")
    handout = amend(made, request(made, "jnrcb"), other)
    for source in (handout / "registrar", handout / "auditor-a"):
        with pytest.raises(KeystoreInvalid):
            succession.adopt(settings(made, "jnrcb"), source, PHRASE)
    assert opened(made, "jnrcb")[1].serial == 1


# -- the root key


def test_a_new_root_key(made: Path) -> None:
    """Parties that pin the first one follow; what the first one signs is over."""
    own = settings(made, "registrar")
    old_root, _ = open_ca(made, "rencheng", PHRASE)
    trust = adopt(made, amend(made, new_root=True), "registrar")
    assert succession.trusted(own) == trust
    new_root, _ = open_ca(made, "rencheng", PHRASE)
    assert new_root.public_key() != old_root.public_key()
    assert adopt(made, amend(made, new_root=True), "registrar").serial == 3
    stolen = made / "stolen.json"
    stolen.write_bytes(domain.write(trust, old_root))
    with pytest.raises(DomainInvalid, match="root key that was replaced"):
        succession.adopt(own, stolen, PHRASE)


def test_a_root_key_that_does_not_follow(made: Path) -> None:
    """A chain by somebody else, or for another domain, leads nowhere."""
    own = settings(made, "registrar")
    root, _ = open_ca(made, "rencheng", PHRASE)
    stranger = Ed25519PrivateKey.generate()
    trust = domain.load(own.domain, own.root_key)
    for signer, name in ((stranger, "rencheng"), (root, "laicheng")):
        link = domain.succeed(name, signer, stranger.public_key())
        data = domain.write(trust, stranger, [link])
        with pytest.raises(DomainInvalid):
            domain.read(data, own.root_key)


@pytest.mark.parametrize(("last", "serial"), [("domain.json", 2), ("keys.sealed", 3)])
def test_a_root_key_is_settled_after_a_crash(
    made: Path, last: str, serial: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the domain was written the old root goes on, after it the new one."""
    real = rotation.durable.settle

    def settle(written: Path, path: Path) -> None:
        if path.name == last:
            raise KeyboardInterrupt
        real(written, path)

    with monkeypatch.context() as patch:
        patch.setattr("node.durable.settle", settle)
        with pytest.raises(KeyboardInterrupt):
            amend(made, new_root=True)
    assert adopt(made, amend(made), "registrar").serial == serial


# -- passphrases


def test_another_passphrase(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one opens nothing any more; a wrong one changes nothing."""
    own = settings(made, "jnrcb")
    before = own.keystore.read_bytes()
    with pytest.raises(KeystoreLocked):
        rotation.change_passphrase(own.keystore, "wrong", "better")
    assert own.keystore.read_bytes() == before
    rotation.change_passphrase(own.keystore, PHRASE, "better")
    with pytest.raises(KeystoreLocked):
        opened(made, "jnrcb")
    monkeypatch.setenv(keys.PASSPHRASE, "better")
    assert opened(made, "jnrcb")
    assert own.keystore.stat().st_mode & 0o777 == 0o600


def test_another_passphrase_between_drawing_and_adopting(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys that are drawn are sealed too, once, and adopted under the new one."""
    own, handout = settings(made, "jnrcb"), amend(made, request(made, "jnrcb"))
    pending = own.keystore.with_name(own.keystore.name + NEXT)
    kept = own.keystore.read_bytes()
    rotation.change_passphrase(own.keystore, PHRASE, "better")
    own.keystore.write_bytes(kept)  # it was interrupted here
    sealed = pending.read_bytes()
    rotation.change_passphrase(own.keystore, PHRASE, "better")
    assert pending.read_bytes() == sealed
    monkeypatch.setenv(keys.PASSPHRASE, "better")
    assert succession.adopt(own, handout / "jnrcb", "better").serial == 2


def test_the_new_passphrase_comes_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the environment, or a private file; never an empty one."""
    file = tmp_path / "new"
    keys.write_private(file, b"from a file\n")
    assert keys.new_passphrase("x", {keys.NEW_PASSPHRASE: "given"}) == "given"
    found = keys.new_passphrase("x", {keys.NEW_PASSPHRASE_FILE: str(file)})
    assert found == "from a file"
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(NodeError, match="no new passphrase"):
        keys.new_passphrase("x", {})


def test_the_request_shows_no_secret(made: Path) -> None:
    """What is carried to the root key has public halves only."""
    asked = request(made, "jnrcb")
    own = settings(made, "jnrcb")
    pending = own.keystore.with_name(own.keystore.name + NEXT)
    document = loads(seal.unseal(PHRASE, pending.read_bytes()), keys.VERSION)
    secrets = document["keys"]
    assert isinstance(secrets, dict)
    for name in ("sign", "hpke", "pepper"):
        assert str(secrets[name]).encode() not in asked
    assert b"PRIVATE" not in asked
