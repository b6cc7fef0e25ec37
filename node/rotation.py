r"""Replace a party's keys: it draws, the root key signs, everybody adopts.

 1. `draw`, at the party: new keys go beside the keystore, sealed under the same
    passphrase (`keys.sealed.next`), and a request is made to be carried to whoever
    holds the root key::

        {"v": "safehouse/rotation-file/1", "rotation": signed, "proofs": [signed]}

        payload = {"v": "safehouse/rotation/1", "domain", "serial", "party",
                   "sign", "journal", "hpke", "tls", "certificate"}

    Of the keys it has those that were drawn: public, hexadecimal, TLS as DER with the
    certificate that it follows.  `rotation` is signed by the party's current key,
    `proofs` is the same payload under each new Ed25519 key: nobody can have another's
    key entered as his own.
 2. `amend`, where the root key is: the next serial of the trust domain, with the new
    keys first and, for the old ones, until when they may still sign; and a folder for
    each party to adopt (`node.succession`).
 3. Everybody adopts, whoever drew the keys last: until then it signs with the old
    ones, which all others believe as long as the overlap lasts.

Not replaced so are the pepper, a node's keys over pseudonyms and records at rest, and
a custodian's seed: what was made under them would have to be made again.
"""

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from node import domain as domain_file
from node import durable, initialise, keys
from node.config import Config
from node.domain import JOURNALS, RECEIVERS, Party, TrustDomain, Vouched
from node.errors import (
    DocumentConflict,
    DomainInvalid,
    KeystoreInvalid,
    KeystoreLocked,
    NotFound,
)
from node.identity import CertificateAuthority, Tls, fingerprint, spiffe_of
from node.keys import AuthorityKeys, HouseKeys, Keys
from node.succession import CERTIFICATE, NEXT
from protocols.canon import Json, Reader, Tag, dumps, loads
from protocols.errors import FormatError, SignatureInvalid
from protocols.sign import Signed, sign, verify

FILE_VERSION: Final = "safehouse/rotation-file/1"
VERSION: Final = "safehouse/rotation/1"
HANDOUT: Final = "handout"  # a folder a serial, of a folder a party
KEY_BYTES: Final = 32
HOUR_MS: Final = 3_600_000
OVERLAP_HOURS: Final = 7 * 24
K = TypeVar("K", bound=Keys)


class Purpose(StrEnum):
    """What a key that can be replaced is for."""

    SIGN = "sign"
    JOURNAL = "journal"
    HPKE = "hpke"
    TLS = "tls"


def purposes(party: Party) -> tuple[Purpose, ...]:
    """List the keys of a party that can be replaced."""
    return (
        Purpose.SIGN,
        *((Purpose.JOURNAL,) if party.role in JOURNALS else ()),
        *((Purpose.HPKE,) if party.role in RECEIVERS else ()),
        Purpose.TLS,
    )


@dataclass(frozen=True, slots=True)
class Rotation:
    """The public halves of keys that a party has drawn."""

    domain: str
    serial: int  # of the trust domain that they are to follow
    party: str
    sign: bytes = b""
    journal: bytes = b""
    hpke: bytes = b""
    tls: bytes = b""  # DER
    certificate: bytes = b""  # PEM, the one before

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        drawn: dict[str, Json] = {
            name: value.hex()
            for name in ("sign", "journal", "hpke", "tls")
            if (value := getattr(self, name))
        }
        if self.tls:
            drawn["certificate"] = self.certificate.decode()
        return dumps(
            {
                "v": VERSION,
                "domain": self.domain,
                "serial": self.serial,
                "party": self.party,
                **drawn,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Rotation":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, VERSION))

        def key(name: str, length: int | None = KEY_BYTES) -> bytes:
            return reader.hex(name, length) if reader.has(name) else b""

        found = cls(
            reader.text("domain"),
            reader.integer("serial", least=1),
            reader.text("party"),
            key("sign"),
            key("journal"),
            key("hpke"),
            key("tls", None),
            reader.text("certificate").encode() if reader.has("certificate") else b"",
        )
        reader.close()
        if bool(found.tls) != bool(found.certificate):
            raise FormatError("a TLS key comes with the certificate before it")
        return found


def draw(
    config: Config,
    trust: TrustDomain,
    held: Keys,
    wanted: Collection[Purpose],
    phrase: str,
) -> bytes:
    """Draw new keys for a party, and make the request; raises `DocumentConflict`.

    Keys that were drawn before and are not in force yet are not thrown away: their
    certificate may be on its way.
    """
    party = trust.party(config.id)
    possible = purposes(party)
    for purpose in wanted:
        if purpose not in possible:
            raise NotFound(
                f"a {party.role} has no `{purpose}` key",
                f"it has {', '.join(possible)}",
            )
    pending = config.keystore.with_name(config.keystore.name + NEXT)
    if pending.exists():
        raise DocumentConflict(
            f"`{pending}` holds keys that are not in force yet",
            "adopt the trust domain that names them, or remove the file",
        )
    drawn = _drawn(held, wanted)
    ours = keys.publish(drawn, party.id, party.title)
    rotation = Rotation(
        trust.name,
        trust.serial,
        party.id,
        ours.sign[0].public_bytes_raw() if Purpose.SIGN in wanted else b"",
        ours.journal[0].public_bytes_raw() if Purpose.JOURNAL in wanted else b"",
        ours.hpke[0].public_bytes_raw() if Purpose.HPKE in wanted else b"",
        drawn.tls.public if Purpose.TLS in wanted else b"",
        held.tls.certificate_pem if Purpose.TLS in wanted else b"",
    )
    keys.replace_private(pending, keys.to_sealed(drawn, trust.name, config.id, phrase))
    return _signed(rotation, held, drawn, wanted)


def _drawn(held: K, wanted: Collection[Purpose]) -> K:
    new: dict[str, Any] = {}
    if Purpose.SIGN in wanted:
        new[_signing(held)] = Ed25519PrivateKey.generate()
    if Purpose.JOURNAL in wanted:
        new["journal"] = Ed25519PrivateKey.generate()
    if Purpose.HPKE in wanted:
        new["hpke"] = X25519PrivateKey.generate()
        new["hpke_before"] = keys.receiving(held)  # type: ignore[arg-type]
    if Purpose.TLS in wanted:
        new["tls"] = Tls.draw()
    known = {field.name for field in fields(held)}
    if not new.keys() <= known:
        raise RuntimeError(f"no keys of a {held.role}: {new.keys() - known}")
    return replace(held, **new)


def _signing(held: Keys) -> str:
    if isinstance(held, HouseKeys):
        return "ticket"
    return "receipt" if isinstance(held, AuthorityKeys) else "sign"


def _signed(
    rotation: Rotation, held: Keys, drawn: Keys, wanted: Collection[Purpose]
) -> bytes:
    payload, name = rotation.to_bytes(), _signing(held)
    provers = [
        getattr(drawn, field)
        for purpose, field in ((Purpose.SIGN, name), (Purpose.JOURNAL, "journal"))
        if purpose in wanted
    ]
    proofs: list[Json] = [
        sign(Tag.ROTATION, payload, prover).to_json() for prover in provers
    ]
    by_party = sign(Tag.ROTATION, payload, getattr(held, name))
    return dumps({"v": FILE_VERSION, "rotation": by_party.to_json(), "proofs": proofs})


def verified(data: bytes, trust: TrustDomain, now_ms: int) -> Rotation:
    """Read a party's request; raises `DomainInvalid` unless all of it holds.

    1. It is of this trust domain as it is now: one that was carried out, or is from
       before somebody else's change, is no request any more.
    2. A key with which the party may sign signed it.
    3. Each new Ed25519 key signed it, and nothing else did.
    4. The certificate names the party.
    """
    try:
        reader = Reader(loads(data, FILE_VERSION))
        signed = Signed.from_json(reader.reader("rotation"))
        proofs = [Signed.from_json(each) for each in reader.readers("proofs")]
        reader.close()
        rotation = Rotation.parse(signed.payload)
        if (rotation.domain, rotation.serial) != (trust.name, trust.serial):  # 1
            raise DomainInvalid(
                f"a rotation for serial {rotation.serial} of `{rotation.domain}`,"
                f" here is serial {trust.serial} of `{trust.name}`",
                "have it drawn again under the newest trust domain",
            )
        party = trust.party(rotation.party)
        verify(Tag.ROTATION, signed, party.signing(now_ms))  # 2
        _verify_proofs(rotation, signed.payload, proofs)  # 3
    except (FormatError, SignatureInvalid, NotFound) as error:
        raise DomainInvalid(f"rotation: {error}") from None
    if rotation.tls and spiffe_of(rotation.certificate) != trust.spiffe_id(party):  # 4
        raise DomainInvalid(f"rotation: not a certificate of `{party.id}`")
    return rotation


def _verify_proofs(
    rotation: Rotation, payload: bytes, proofs: Sequence[Signed]
) -> None:
    drawn = [key for key in (rotation.sign, rotation.journal) if key]
    if [proof.payload for proof in proofs] != [payload] * len(drawn):
        raise FormatError("expected a proof of it by each new signing key")
    for key, proof in zip(drawn, proofs, strict=True):
        verify(Tag.ROTATION, proof, [Ed25519PublicKey.from_public_bytes(key)])


@dataclass(frozen=True, slots=True)
class Amended:
    """The next serial of a trust domain, and where what is handed out lies."""

    domain: TrustDomain
    handout: Path


def amend(  # noqa: PLR0913  what may change, each by itself
    directory: Path,
    phrase: str,
    now_ms: int,
    *,
    requests: Sequence[bytes] = (),
    end: Collection[str] = (),
    overlap_hours: int = OVERLAP_HOURS,
    new_root: bool = False,
) -> Amended:
    """Sign the next serial of the trust domain that was made in `directory`.

    `requests` are parties' new keys; of the parties `end`, all earlier keys and
    certificates end now; `new_root` replaces the root key, which signs its successor.

    1. The root key is the one that signed the domain at hand.
    2. Every request holds.
    3. The next serial, its history, its keys; a domain that could not be is refused.
    4. A folder for each party; a new root key beside the old one.
    5. The domain file is replaced, the old one kept by its serial; then the root key.

    Whatever interrupts it, doing it again does all of it.  Raises `DomainInvalid`,
    `KeystoreInvalid`, `KeystoreLocked`, `NotFound`.
    """
    found, root, ca = _open(directory, phrase)  # 1
    trust = found.domain
    rotations = [verified(each, trust, now_ms) for each in requests]  # 2
    until_ms = now_ms + overlap_hours * HOUR_MS
    parties = {party.id: party for party in trust.parties}
    certificates: dict[str, bytes] = {}
    for rotation in rotations:  # 3
        if rotation.tls:
            pem = rotation.certificate
            certificates[rotation.party] = ca.renew(pem, rotation.tls, now_ms)
        parties[rotation.party] = _replaced(parties[rotation.party], rotation, until_ms)
    for name in end:
        trust.party(name)
        parties[name] = _ended(parties[name], now_ms)
    following = replace(
        trust,
        serial=trust.serial + 1,
        created_ms=now_ms,
        parties=tuple(parties[name] for name in sorted(parties)),
        history=(*_history(trust), trust.hash),
    )
    roots = found.roots
    if new_root:
        successor = Ed25519PrivateKey.generate()
        roots = (*roots, domain_file.succeed(trust.name, root, successor.public_key()))
        sealed = initialise.seal_ca(trust.name, successor, ca, phrase)
        keys.replace_private(_next_root(directory), sealed)  # 4
        root = successor
    data = domain_file.write(following, root, roots)
    handout = _hand_out(directory, following, data, certificates)
    kept = directory / f"domain.{trust.serial}.json"
    current = directory / domain_file.FILE_NAME
    keys.replace_private(kept, domain_file.read_file(current))  # 5
    keys.replace_private(current, data)
    if new_root:
        durable.settle(_next_root(directory), _ca(directory))
    return Amended(following, handout)


def _open(
    directory: Path, phrase: str
) -> tuple[Vouched, Ed25519PrivateKey, CertificateAuthority]:
    """Open domain, root key and CA; a root key that was being replaced is settled."""
    data = domain_file.read_file(directory / domain_file.FILE_NAME)
    name = domain_file.unverified_name(data)
    pending = _next_root(directory)
    if pending.exists():
        root, _ = initialise.read_ca(pending, name, phrase)
        try:
            domain_file.read(data, root.public_key())
        except DomainInvalid:
            pending.unlink()  # nothing was signed with it
        else:
            durable.settle(pending, _ca(directory))
    root, ca = initialise.open_ca(directory, name, phrase)
    return domain_file.vouched(data, root.public_key()), root, ca


def _history(trust: TrustDomain) -> tuple[bytes, ...]:
    if len(trust.history) != trust.serial - 1:
        raise DomainInvalid(
            f"serial {trust.serial} of `{trust.name}` does not name those before it",
            "nobody could see that the next one follows from what he has seen",
        )
    return trust.history


def _replaced(party: Party, rotation: Rotation, until_ms: int) -> Party:
    """Put new keys first; those that were first end, and earlier ones as they did."""
    ended, gone = dict(party.ended), dict(party.certificates)
    sign_keys, journal, hpke = party.sign, party.journal, party.hpke
    if rotation.sign:
        ended[sign_keys[0].public_bytes_raw().hex()] = until_ms
        sign_keys = (Ed25519PublicKey.from_public_bytes(rotation.sign), *sign_keys)
    if rotation.journal:
        ended[journal[0].public_bytes_raw().hex()] = until_ms
        journal = (Ed25519PublicKey.from_public_bytes(rotation.journal), *journal)
    if rotation.hpke:
        ended[hpke[0].public_bytes_raw().hex()] = until_ms
        hpke = (X25519PublicKey.from_public_bytes(rotation.hpke), *hpke)
    if rotation.tls:
        gone[fingerprint(rotation.certificate).hex()] = until_ms
    return replace(
        party,
        sign=sign_keys,
        journal=journal,
        hpke=hpke,
        ended=tuple(sorted(ended.items())),
        certificates=tuple(sorted(gone.items())),
    )


def _ended(party: Party, now_ms: int) -> Party:
    def cut(ends: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
        return tuple((key, min(until, now_ms)) for key, until in ends)

    return replace(party, ended=cut(party.ended), certificates=cut(party.certificates))


def _hand_out(
    directory: Path,
    trust: TrustDomain,
    data: bytes,
    certificates: Mapping[str, bytes],
) -> Path:
    folder = directory / f"{HANDOUT}-{trust.serial}"
    if folder.exists():  # of a try that was interrupted: its serial is nobody's
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    for party in trust.parties:
        own = folder / party.id
        own.mkdir(mode=0o700)
        keys.write_private(own / domain_file.FILE_NAME, data)
        if party.id in certificates:
            keys.write_private(own / CERTIFICATE, certificates[party.id])
        durable.sync_directory(own)
    durable.sync_directory(folder)
    durable.sync_directory(directory)
    return folder


def _ca(directory: Path) -> Path:
    return directory / initialise.CA / initialise.KEYSTORE


def _next_root(directory: Path) -> Path:
    path = _ca(directory)
    return path.with_name(path.name + NEXT)


def change_passphrase(path: Path, phrase: str, following: str) -> None:
    """Seal a file under another passphrase, and before it what is to replace it.

    Done again after an interruption, it passes over what is sealed already.  Raises
    `KeystoreInvalid`, `KeystoreLocked`.
    """
    if not following:
        raise KeystoreInvalid("an empty passphrase seals nothing")
    pending = path.with_name(path.name + NEXT)
    if pending.exists():
        data = keys.read_private(pending)
        try:
            keys.replace_private(pending, keys.resealed(data, phrase, following))
        except KeystoreLocked:
            keys.resealed(data, following, following)
    keys.replace_private(
        path, keys.resealed(keys.read_private(path), phrase, following)
    )


@dataclass(frozen=True, slots=True)
class Known:
    """A public key of a party."""

    purpose: Purpose
    id: str
    until_ms: int | None  # None: in force


@dataclass(frozen=True, slots=True)
class Standing:
    """A party's keys, and whether some are drawn that are not in force yet."""

    keys: tuple[Known, ...]
    pending: bool


def standing(config: Config, trust: TrustDomain, held: Keys) -> Standing:
    """List a party's keys, the current one of each purpose first."""
    party = trust.party(config.id)
    until = dict(party.ended)
    found = []
    for purpose, public in (
        (Purpose.SIGN, domain_file.raw(party.sign)),
        (Purpose.JOURNAL, domain_file.raw(party.journal)),
        (Purpose.HPKE, domain_file.raw(party.hpke)),
    ):
        for at, key in enumerate(public):
            ends = until.get(key.hex(), 0) if at else None
            found.append(Known(purpose, key.hex()[:16], ends))
    current = fingerprint(held.tls.certificate_pem).hex()
    found.append(Known(Purpose.TLS, current[:16], None))
    for certificate, ends in party.certificates:
        if certificate != current:
            found.append(Known(Purpose.TLS, certificate[:16], ends))
    pending = config.keystore.with_name(config.keystore.name + NEXT)
    return Standing(tuple(found), pending.exists())
