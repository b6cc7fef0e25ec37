r"""The trust domain: who takes part, in which role, with which public keys.

One file, signed off-line by the domain's root key.  Every party pins that root
key in its own configuration and takes everything else from here; **no key is
ever taken from the wire**.

`domain.json` is JSON indented for people, so that a rotation shows as a small
diff, and is accepted in exactly the form in which it is written::

    {"v": "safehouse/domain-file/1",
     "domain": {"v": "safehouse/domain/2", "name", "serial", "created_ms",
                "ca": PEM, "paillier": {"key", "n"},
                "registers": {subject type: custodian},
                "parties": [{"id", "role", "title", "organisation",
                             "sign", "journal", "hpke",
                             "ended": {key: until_ms},
                             "certificates": {SHA-256: until_ms}}],
                "classes": [{"id", "members"}],
                "bases": [{"basis", "tiers", "categories"}],
                "history": [hash]},
     "roots": [{"payload", "key", "signature"}],
     "signature": {"key", "value"}}

    value = Ed25519(root, framed(Tag.DOMAIN, RFC 8785 form of "domain"))
    hash  = digest(Tag.DOMAIN, RFC 8785 form of "domain")

`ended`, `certificates`, `classes`, `history`, `roots` are left out where empty, `bases`
where they are the strict ones (`contracts.basis`).

One file and not two, so that a rotation replaces both in one rename.  A member
written twice is refused with the rest: a person would read the first one and
the machine the second.

=========  ==================  =============  =============
role       sign (Ed25519)      journal        hpke (X25519)
=========  ==================  =============  =============
house      tickets             checkpoints
authority  receipts            checkpoints    sealed from banks
bank       requests, results                  sealed boxes
custodian  datasets, pushes
registrar  consents
auditor    reports                            seed shares
=========  ==================  =============  =============

What a bank or a custodian seals to the authority travels through the house, which
must not read it: a slot, a share of a number, the scalar of a list.

`registers` says which custodian's base register gives subjects of a type their slots:
whoever could put the first map would decide who exists.  A type that is not named has
no map.  A file of version 1 names nobody for any and is refused: read as it was meant,
whoever comes first, it would keep the hole open; read as nobody, it would call every
map of its journals a forgery.

Each purpose holds a list, the current key first; older ones still verify what
they signed, and sign nothing new once `ended` says so (or if it says nothing).
`certificates` ends those of a key that was replaced before they expire themselves.
No key serves twice: a bank whose key also signs consents would consent for its
customers.

*Succession*: `history` names every serial before this one, oldest first, so that who
pinned any of them sees whether this is a successor of it (`node.succession`).  A root
key is replaced by its own signature over the next one, `roots`, oldest first::

    payload = {"v": "safehouse/root/1", "domain": name, "root": public key}
    signature under Tag.ROOT by the root before

>>> SPIFFE.fullmatch("spiffe://rencheng/bank/jnrcb").groups()
('rencheng', 'bank', 'jnrcb')
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from contracts import bodies
from contracts.basis import STRICT, Accepted, Bases
from contracts.classes import Class, Owned
from contracts.rebuild import Standing
from contracts.subject import SubjectType
from node.errors import DomainInvalid, NotFound, RoleRefused
from protocols.canon import Json, Reader, Tag, digest, dumps, loads, version_of
from protocols.cosign import Cosigner
from protocols.errors import FormatError, KeyInvalid, SignatureInvalid
from protocols.note import VerifierKey
from protocols.paillier import PublicKey
from protocols.sign import Signed, key_id, sign, verify

FILE_NAME: Final = "domain.json"
FILE_VERSION: Final = "safehouse/domain-file/1"
ROOT_VERSION: Final = "safehouse/root/1"
VERSION: Final = "safehouse/domain/2"
BEFORE: Final = "safehouse/domain/1"  # nobody's base registers
KEY_BYTES: Final = 32
MAX_FILE: Final = 4 << 20
MAX_TITLE: Final = 64  # characters

# Names begin with a letter, so that none of them looks like an identifier of a
# person or an enterprise; they stand in certificates, logs and file names.
NAME: Final = re.compile(r"[a-z](?:[.-]?[a-z0-9]){0,31}")
PARTY_ID: Final = re.compile(r"[a-z](?:-?[a-z0-9]){0,31}")
SPIFFE: Final = re.compile(rf"spiffe://({NAME.pattern})/([a-z]+)/({PARTY_ID.pattern})")


class Role(StrEnum):
    """What a party is for; one role each."""

    HOUSE = "house"
    AUTHORITY = "authority"
    BANK = "bank"
    CUSTODIAN = "custodian"
    REGISTRAR = "registrar"
    AUDITOR = "auditor"
    WITNESS = "witness"


SERVERS: Final = frozenset({Role.HOUSE, Role.AUTHORITY})  # one of each
JOURNALS: Final = SERVERS
RECEIVERS: Final = frozenset({Role.AUTHORITY, Role.BANK, Role.AUDITOR})


@dataclass(frozen=True, slots=True)
class Party:
    """One party and its public keys, the current one first."""

    id: str
    role: Role
    title: str  # as people know it
    sign: tuple[Ed25519PublicKey, ...]
    journal: tuple[Ed25519PublicKey, ...] = ()
    hpke: tuple[X25519PublicKey, ...] = ()
    organisation: str = ""  # whose it is; its own unless given
    ended: tuple[tuple[str, int], ...] = ()  # key, hexadecimal: signs until, ms
    certificates: tuple[tuple[str, int], ...] = ()  # SHA-256: speaks until, ms

    def __post_init__(self) -> None:
        if not PARTY_ID.fullmatch(self.id):
            raise DomainInvalid(
                f"party `{self.id}` is not a name",
                "a letter first, then up to 31 of a-z, 0-9, single - between",
            )
        if not self.organisation:
            object.__setattr__(self, "organisation", self.id)
        if not PARTY_ID.fullmatch(self.organisation):
            raise DomainInvalid(
                f"party `{self.id}`: organisation `{self.organisation}` is not a name"
            )
        if not 0 < len(self.title) <= MAX_TITLE or not self.title.isprintable():
            raise DomainInvalid(f"party `{self.id}`: expected a title of one line")
        for purpose, keys, wanted in (
            ("sign", self.sign, True),
            ("journal", self.journal, self.role in JOURNALS),
            ("hpke", self.hpke, self.role in RECEIVERS),
        ):
            if bool(keys) != wanted:
                raise DomainInvalid(
                    f"party `{self.id}`: a {self.role} has "
                    f"{'a' if wanted else 'no'} `{purpose}` key"
                )
        earlier = {
            key.hex()
            for keys in (self.sign, self.journal, self.hpke)
            for key in raw(keys[1:])
        }
        for key, _ in self.ended:
            if key not in earlier:
                raise DomainInvalid(
                    f"party `{self.id}`: `{key}` ended, and is no earlier key"
                )

    def signing(self, now_ms: int) -> tuple[Ed25519PublicKey, ...]:
        """List the keys that may sign now: the current one, and those not yet ended."""
        return self._still(self.sign, now_ms)

    def journalling(self, now_ms: int) -> tuple[Ed25519PublicKey, ...]:
        """List the keys that may sign checkpoints now."""
        return self._still(self.journal, now_ms)

    def speaking(self, now_ms: int) -> "Party":
        """Leave out the signing keys that may sign nothing any more."""
        live = self.signing(now_ms)
        if live == self.sign:
            return self
        return replace(self, sign=live, ended=())

    def _still(
        self, keys: tuple[Ed25519PublicKey, ...], now_ms: int
    ) -> tuple[Ed25519PublicKey, ...]:
        if len(keys) == 1:
            return keys
        until = dict(self.ended)
        ending = ((key, key.public_bytes_raw().hex()) for key in keys[1:])
        return (
            keys[0],
            *(key for key, name in ending if until.get(name, 0) > now_ms),
        )

    def to_json(self) -> dict[str, Json]:
        """Write for the domain document."""
        return {
            "id": self.id,
            "role": self.role.value,
            "title": self.title,
            "organisation": self.organisation,
            "sign": _hex(self.sign),
            "journal": _hex(self.journal),
            "hpke": _hex(self.hpke),
            **({"ended": dict(self.ended)} if self.ended else {}),
            **({"certificates": dict(self.certificates)} if self.certificates else {}),
        }

    @classmethod
    def from_json(cls, reader: Reader) -> "Party":
        """Read strictly; raises `FormatError` or `DomainInvalid`."""
        name, role = reader.text("id"), reader.text("role")
        if role not in set(Role):
            raise FormatError(f"party `{name}`: unknown role `{role}`")
        party = cls(
            name,
            Role(role),
            reader.text("title"),
            tuple(map(Ed25519PublicKey.from_public_bytes, _keys(reader, "sign"))),
            tuple(map(Ed25519PublicKey.from_public_bytes, _keys(reader, "journal"))),
            tuple(map(X25519PublicKey.from_public_bytes, _keys(reader, "hpke"))),
            reader.text("organisation"),
            _ends(reader, "ended"),
            _ends(reader, "certificates"),
        )
        reader.close()
        return party


@dataclass(frozen=True, slots=True)
class TrustDomain:
    """Everything that the root key vouches for."""

    name: str
    serial: int  # 1, then one more with every change
    created_ms: int  # when this serial was made
    ca_pem: bytes  # one certificate or more: who may speak at all
    paillier: PublicKey
    parties: tuple[Party, ...]  # by id
    registers: tuple[tuple[SubjectType, str], ...] = ()  # custodians, by type
    classes: tuple[Class, ...] = ()  # of banks, by id (`contracts.classes`)
    history: tuple[bytes, ...] = ()  # hashes of the serials before, oldest first
    bases: Bases = STRICT  # legal ones that are accepted (`contracts.basis`)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise DomainInvalid(
                f"trust domain `{self.name}` is not a name",
                "a letter first, then up to 31 of a-z, 0-9, single - or . between",
            )
        ids = [party.id for party in self.parties]
        if ids != sorted(set(ids)):
            raise DomainInvalid("parties are not in order, each once")
        self._check_classes()
        for role in SERVERS:
            found = sum(party.role is role for party in self.parties)
            if found != 1:
                raise DomainInvalid(f"expected one {role}, got {found}")
        self._check_registers()
        if self.history and len(self.history) != self.serial - 1:
            raise DomainInvalid(
                f"serial {self.serial} names {len(self.history)} serials before it"
            )
        keys = [k for party in self.parties for k in (*party.sign, *party.journal)]
        _refuse_twice(key.public_bytes_raw() for key in keys)
        _refuse_twice(
            k.public_bytes_raw() for party in self.parties for k in party.hpke
        )
        try:
            x509.load_pem_x509_certificates(self.ca_pem)
        except ValueError:
            raise DomainInvalid("the CA certificate is not PEM") from None

    def _check_registers(self) -> None:
        kinds = [kind for kind, _ in self.registers]
        if kinds != sorted(set(kinds)):
            raise DomainInvalid("registers are not in order, each once")
        custodians = {party.id for party in self.of_role(Role.CUSTODIAN)}
        for kind, custodian in self.registers:
            if custodian not in custodians:
                raise DomainInvalid(
                    f"register of `{kind}`: expected a custodian, got `{custodian}`"
                )

    def _check_classes(self) -> None:
        names = [each.id for each in self.classes]
        if names != sorted(set(names)) or not all(map(PARTY_ID.fullmatch, names)):
            raise DomainInvalid("classes are not in order, each once, under a name")
        banks = {party.id for party in self.parties if party.role is Role.BANK}
        for each in self.classes:
            for member in each.members:
                if member not in banks:
                    raise DomainInvalid(f"class `{each.id}`: `{member}` is no bank")

    @property
    def membership(self) -> bodies.Classes:
        """Who is in which class, as a node journals it."""
        owned = (
            Owned(party.id, party.organisation)
            for party in self.parties
            if party.organisation != party.id
        )
        return bodies.Classes(self.serial, self.classes, tuple(owned))

    @property
    def basis_rule(self) -> bodies.BasisRule:
        """Which legal bases are accepted, as a node journals it."""
        return bodies.BasisRule(self.serial, self.bases.rows)

    @property
    def house(self) -> Party:
        """The one house."""
        return self._only(Role.HOUSE)

    @property
    def authority(self) -> Party:
        """The one authority."""
        return self._only(Role.AUTHORITY)

    def party(self, name: str, *roles: Role) -> Party:
        """Find a party by id, in one of `roles` if any are given.

        Raises `NotFound` for an unknown id, `RoleRefused` for another role.
        """
        for party in self.parties:
            if party.id == name:
                if roles and party.role not in roles:
                    wanted = " or ".join(f"`{role}`" for role in roles)
                    raise RoleRefused(
                        f"party `{name}`: expected role {wanted}, got `{party.role}`"
                    )
                return party
        raise NotFound(f"no party `{name}` in trust domain `{self.name}`")

    @property
    def organisations(self) -> dict[str, str]:
        """Whose each party is."""
        return {party.id: party.organisation for party in self.parties}

    @property
    def standing(self) -> Standing:
        """What a replay must know of the parties besides their keys."""
        registers = {kind.value: custodian for kind, custodian in self.registers}
        known = len(self.history) == self.serial - 1
        return Standing(
            registers,
            self.membership,
            self.created_ms,
            (*self.history, self.hash) if known else (),
            {
                key_id(key): until
                for party in self.parties
                if party.role not in SERVERS
                for key in party.sign
                for until in (dict(party.ended).get(key.public_bytes_raw().hex()),)
                if until is not None
            },
            self.basis_rule,
        )

    def in_charge(self, kind: str) -> str:
        """Return the custodian who puts the map of a subject type.

        Raises `NotFound` where the domain names none.
        """
        for named, custodian in self.registers:
            if named == kind:
                return custodian
        raise NotFound(
            f"no custodian is in charge of the map of `{kind}`",
            "the trust domain's `registers` names one for each subject type",
        )

    @property
    def operators(self) -> dict[str, str]:
        """Whose each registrar is: those of one organisation are its operators."""
        return {party.id: party.organisation for party in self.of_role(Role.REGISTRAR)}

    def of_role(self, role: Role) -> tuple[Party, ...]:
        """List the parties of one role, by id."""
        return tuple(party for party in self.parties if party.role is role)

    def origin(self, role: Role) -> str:
        """Name the journal of the house or the authority (C2SP tlog-checkpoint)."""
        if role not in JOURNALS:
            raise RuntimeError(f"a {role} keeps no journal")
        return f"{self.name}/{role}"

    def verifiers(self, role: Role) -> tuple[VerifierKey, ...]:
        """List the keys that signed checkpoints of that journal, the current one first.

        Whoever is shown a checkpoint as new asks `live_verifiers`.
        """
        origin = self.origin(role)
        return tuple(VerifierKey.of(origin, key) for key in self._only(role).journal)

    def live_verifiers(self, role: Role, now_ms: int) -> tuple[VerifierKey, ...]:
        """List the keys that may sign checkpoints of that journal now."""
        origin, live = self.origin(role), self._only(role).journalling(now_ms)
        return tuple(VerifierKey.of(origin, key) for key in live)

    @property
    def hash(self) -> bytes:
        """Name this serial, as its successors' `history` does."""
        return digest(Tag.DOMAIN, self.to_bytes())

    def witness_name(self, party: str) -> str:
        """Name a witness below the checkpoints that it co-signs."""
        return f"{self.name}/{self.party(party, Role.WITNESS).id}"

    def cosigner(self, party: str) -> Cosigner:
        """Return the key by which a witness co-signs."""
        (key, *_) = self.party(party, Role.WITNESS).sign
        return Cosigner(self.witness_name(party), key.public_bytes_raw())

    def cosigners(self) -> tuple[Cosigner, ...]:
        """List the keys of all witnesses, earlier ones too."""
        return tuple(
            Cosigner(self.witness_name(party.id), key.public_bytes_raw())
            for party in self.of_role(Role.WITNESS)
            for key in party.sign
        )

    def spiffe_id(self, party: Party) -> str:
        """Name `party` as its certificate does (SPIFFE-ID, section 2)."""
        return f"spiffe://{self.name}/{party.role}/{party.id}"

    def to_bytes(self) -> bytes:
        """Write canonical JSON: what the root key signs."""
        classes = [each.to_json() for each in self.classes]
        history: list[Json] = [each.hex() for each in self.history]
        bases = [each.to_json() for each in self.bases.rows]
        return dumps(
            {
                **({"classes": classes} if classes else {}),
                **({"history": history} if history else {}),
                **({} if self.bases == STRICT else {"bases": bases}),
                "v": VERSION,
                "name": self.name,
                "serial": self.serial,
                "created_ms": self.created_ms,
                "ca": self.ca_pem.decode(),
                "paillier": {
                    "key": self.paillier.key_id,
                    "n": int(self.paillier.n).to_bytes(self.paillier.bits // 8).hex(),
                },
                "registers": {kind.value: name for kind, name in self.registers},
                "parties": [party.to_json() for party in self.parties],
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "TrustDomain":
        """Read strictly; raises `DomainInvalid`."""
        try:
            _refuse_before(data)
            return cls._parse(Reader(loads(data, VERSION)))
        except (FormatError, KeyInvalid) as error:
            raise DomainInvalid(f"trust domain: {error}", error.hint) from None

    @classmethod
    def _parse(cls, reader: Reader) -> "TrustDomain":
        key = reader.reader("paillier")
        paillier = PublicKey(int.from_bytes(key.hex("n")))
        if key.text("key") != paillier.key_id:
            raise FormatError("member `paillier`: `key` is not the id of `n`")
        key.close()
        domain = cls(
            reader.text("name"),
            reader.integer("serial", least=1),
            reader.integer("created_ms"),
            reader.text("ca").encode(),
            paillier,
            tuple(Party.from_json(party) for party in reader.readers("parties")),
            _registers(reader.reader("registers")),
            _classes(reader),
            _history(reader),
            _bases(reader),
        )
        reader.close()
        return domain

    def _only(self, role: Role) -> Party:
        (party,) = self.of_role(role)
        return party


def _refuse_before(data: bytes) -> None:
    if version_of(data) == BEFORE:
        raise FormatError(
            f"`{BEFORE}` does not say who is in charge of base registers",
            "its root key signs a new one with `registers`, or `safehouse init` makes"
            " another domain",
        )


def _registers(reader: Reader) -> tuple[tuple[SubjectType, str], ...]:
    """Read the custodians in charge; `close` refuses an unknown type by name."""
    kinds = sorted(kind for kind in SubjectType if reader.has(kind.value))
    found = tuple((kind, reader.text(kind.value)) for kind in kinds)
    reader.close()
    return found


def write(
    domain: TrustDomain, root: Ed25519PrivateKey, roots: Iterable[Signed] = ()
) -> bytes:
    """Sign `domain` and return the content of its file.

    `roots` is how `root` follows from the first one, if it is not that.
    """
    signed = sign(Tag.DOMAIN, domain.to_bytes(), root)
    followed: list[Json] = [each.to_json() for each in roots]
    return _indented(
        {
            "v": FILE_VERSION,
            "domain": json.loads(signed.payload),
            "signature": {"key": signed.key_id, "value": signed.signature.hex()},
            **({"roots": followed} if followed else {}),
        }
    )


def succeed(name: str, root: Ed25519PrivateKey, following: Ed25519PublicKey) -> Signed:
    """Sign that `following` is the root key of the domain `name` after `root`."""
    document = {
        "v": ROOT_VERSION,
        "domain": name,
        "root": following.public_bytes_raw().hex(),
    }
    return sign(Tag.ROOT, dumps(document), root)


@dataclass(frozen=True, slots=True)
class Vouched:
    """A domain, and the root keys by which it was believed, from the pinned one on."""

    domain: TrustDomain
    trail: tuple[bytes, ...]  # public keys; the last one signed the file
    roots: tuple[Signed, ...]  # all of the file


def read(data: bytes, root: Ed25519PublicKey) -> TrustDomain:
    """Verify the content of a domain file, then read it.

    Raises `DomainInvalid` unless `root`, or a root key that follows from it, signed
    exactly this.
    """
    return vouched(data, root).domain


def vouched(data: bytes, root: Ed25519PublicKey) -> Vouched:
    """Verify and read the content of a domain file, and say by which root keys.

    1. The file is in the one form in which it is written.
    2. Root keys that follow from the pinned one, each signed by the one before.
    3. The last of them signed the document.
    4. What follows was signed for this domain and no other.

    Raises `DomainInvalid`.
    """
    payload, trail, names, roots = _verified(data, root)  # 1, 2, 3
    domain = TrustDomain.parse(payload)
    if any(name != domain.name for name in names):  # 4
        raise DomainInvalid("trust domain: its root key is another domain's")
    return Vouched(domain, trail, roots)


def signed_by(data: bytes, root: Ed25519PublicKey) -> bytes:
    """Return what was signed in the content of a domain file.

    Raises `DomainInvalid` unless `root`, or one that follows from it, signed it.
    """
    return _verified(data, root)[0]


def _verified(
    data: bytes, root: Ed25519PublicKey
) -> tuple[bytes, tuple[bytes, ...], list[str], tuple[Signed, ...]]:
    try:
        signed, roots = _signed(data)
        trail, names = _trail(roots, root)
        last = Ed25519PublicKey.from_public_bytes(trail[-1])
        return verify(Tag.DOMAIN, signed, [last]), trail, names, roots
    except FormatError as error:
        raise DomainInvalid(f"trust domain: {error}") from None
    except SignatureInvalid as error:
        raise DomainInvalid(
            f"trust domain: {error}, expected the pinned root key `{key_id(root)}`",
            "the file was changed, or is another domain's; ask its operator",
        ) from None


def _trail(
    roots: tuple[Signed, ...], root: Ed25519PublicKey
) -> tuple[tuple[bytes, ...], list[str]]:
    """Follow root keys from the pinned one: the keys, and the domains they name."""
    trail, names = [root], list[str]()
    first = next((at for at, r in enumerate(roots) if r.key_id == key_id(root)), None)
    for signed in () if first is None else roots[first:]:
        reader = Reader(loads(verify(Tag.ROOT, signed, [trail[-1]]), ROOT_VERSION))
        names.append(reader.text("domain"))
        following = reader.hex("root", KEY_BYTES)
        reader.close()
        trail.append(Ed25519PublicKey.from_public_bytes(following))
    return tuple(raw(trail)), names


def load(path: Path, root: Ed25519PublicKey) -> TrustDomain:
    """Read and verify the domain file at `path`; raises `DomainInvalid`."""
    return load_vouched(path, root).domain


def load_vouched(path: Path, root: Ed25519PublicKey) -> Vouched:
    """Read and verify the domain file at `path`; raises `DomainInvalid`."""
    data = read_file(path)
    try:
        return vouched(data, root)
    except DomainInvalid as error:
        raise DomainInvalid(f"`{path}`: {error}", error.hint) from None


def unverified_name(data: bytes) -> str:
    """Return whose domain a file says it is, **without** verifying it."""
    try:
        signed, _ = _signed(data)
        return TrustDomain.parse(signed.payload).name
    except FormatError as error:
        raise DomainInvalid(f"trust domain: {error}") from None


def read_file(path: Path) -> bytes:
    """Read the content of a domain file, unverified; raises `DomainInvalid`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise DomainInvalid(f"cannot read `{path}`: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise DomainInvalid(f"`{path}`: expected at most {MAX_FILE} bytes")
    return data


def _signed(data: bytes) -> tuple[Signed, tuple[Signed, ...]]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise FormatError("not JSON") from None
    if not isinstance(content, dict) or _indented(content) != data:
        raise FormatError("not in the form in which it is written")
    reader = Reader(loads(dumps(content), FILE_VERSION))
    payload = dumps(reader.object("domain"))
    signature = reader.reader("signature")
    roots: tuple[Signed, ...] = ()
    if reader.has("roots"):
        roots = tuple(map(Signed.from_json, reader.readers("roots")))
        if not roots:
            raise FormatError("member `roots`: left out where there are none")
    reader.close()
    signed = Signed(payload, signature.text("key"), signature.hex("value"))
    signature.close()
    return signed, roots


def _indented(content: dict[str, Json]) -> bytes:
    text = json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True)
    return (text + "\n").encode(errors="surrogatepass")


def _classes(reader: Reader) -> tuple[Class, ...]:
    if not reader.has("classes"):
        return ()
    found = tuple(map(Class.from_json, reader.items("classes")))
    if not found:
        raise FormatError("member `classes`: left out where there are none")
    return found


def _ends(reader: Reader, name: str) -> tuple[tuple[str, int], ...]:
    if not reader.has(name):
        return ()
    content = reader.object(name)
    if not content:
        raise FormatError(f"member `{name}`: left out where there is nothing")
    inner = Reader(content)
    for key in content:
        Reader({"key": key}).hex("key", KEY_BYTES)
    return tuple(sorted((key, inner.integer(key)) for key in content))


def _history(reader: Reader) -> tuple[bytes, ...]:
    if not reader.has("history"):
        return ()
    found = tuple(_keys(reader, "history"))
    if not found:
        raise FormatError("member `history`: left out where there is none")
    return found


def raw(keys: Iterable[Ed25519PublicKey | X25519PublicKey]) -> list[bytes]:
    """Return the 32 bytes of each public key."""
    return [key.public_bytes_raw() for key in keys]


def _bases(reader: Reader) -> Bases:
    if not reader.has("bases"):
        return STRICT
    found = Bases(tuple(map(Accepted.from_json, reader.items("bases"))))
    if found == STRICT:
        raise FormatError("member `bases`: left out where they are the strict ones")
    return found


def _hex(keys: Iterable[Ed25519PublicKey | X25519PublicKey]) -> list[Json]:
    return [key.hex() for key in raw(keys)]


def _keys(reader: Reader, name: str) -> list[bytes]:
    return [Reader({name: text}).hex(name, KEY_BYTES) for text in reader.texts(name)]


def _refuse_twice(keys: Iterable[bytes]) -> None:
    seen: set[bytes] = set()
    for key in keys:
        if key in seen:
            raise DomainInvalid(f"key `{key.hex()}` serves twice")
        seen.add(key)
