r"""The private keys of one party: one sealed file, and how it is opened.

`keys.sealed` is canonical JSON inside `protocols.seal`, mode 0600::

    {"v": "safehouse/keys/1", "domain", "role", "party", "keys": {name: value}}

    Ed25519, X25519   the 32 bytes, hexadecimal
    bytes             32 bytes, hexadecimal
    paillier          the key file of `protocols.paillier`, as text
    tls               {"key": PEM, "certificate": PEM}
    earlier keys      a list; left out where there are none

Who holds what (DESIGN 8) is the fields of the classes below.  The names of
domain, role and party are inside the seal and are compared, and the public
halves must be those of the signed domain file: a keystore copied from another
party, or kept over a rotation, does not start a node.

The passphrase comes from, in this order: `SAFEHOUSE_PASSPHRASE`; the file that
`SAFEHOUSE_PASSPHRASE_FILE` names; `passphrase_file` of the configuration; a
prompt, if there is a terminal.  Files that group or others can read are refused.

>>> keys = fresh(RegistrarKeys, tls=Tls(b"", b""), pepper=bytes(32))
>>> "object at" in repr(keys), publish(keys, "registrar", "登记机构").role.value
(True, 'registrar')
"""

import getpass
import os
import secrets
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from node import durable
from node.config import Config
from node.domain import Party, Role, TrustDomain
from node.errors import KeystoreInvalid, KeystoreLocked, NotFound, RoleRefused
from node.identity import Tls
from protocols import seal
from protocols.canon import Json, Reader, dumps, loads
from protocols.errors import FormatError, KeyInvalid, SealBroken
from protocols.paillier import PrivateKey

VERSION: Final = "safehouse/keys/1"
SECRET_BYTES: Final = 32
PASSPHRASE: Final = "SAFEHOUSE_PASSPHRASE"  # noqa: S105 -- the variable's name
PASSPHRASE_FILE: Final = "SAFEHOUSE_PASSPHRASE_FILE"  # noqa: S105
NEW_PASSPHRASE: Final = "SAFEHOUSE_NEW_PASSPHRASE"  # noqa: S105
NEW_PASSPHRASE_FILE: Final = "SAFEHOUSE_NEW_PASSPHRASE_FILE"  # noqa: S105
MAX_PASSPHRASE: Final = 1024  # bytes
OWNER_ONLY: Final = 0o600
EARLIER: Final = tuple[X25519PrivateKey, ...]


@dataclass(frozen=True, slots=True, repr=False)
class HouseKeys:
    """House: no key here opens a record, a score or an outcome."""

    role: ClassVar[Role] = Role.HOUSE
    tls: Tls
    ticket: Ed25519PrivateKey
    journal: Ed25519PrivateKey
    at_rest: bytes  # wraps call seeds until the outcome is durable
    pseudonym: bytes  # HMAC key over subject references


@dataclass(frozen=True, slots=True, repr=False)
class AuthorityKeys:
    """Authority: the only holder of the Paillier key."""

    role: ClassVar[Role] = Role.AUTHORITY
    tls: Tls
    paillier: PrivateKey
    receipt: Ed25519PrivateKey
    journal: Ed25519PrivateKey
    hpke: X25519PrivateKey  # opens what reaches it through the house
    pseudonym: bytes  # another one than the house's
    opening: bytes  # k_open: the salts of receipts derive from it
    hpke_before: tuple[X25519PrivateKey, ...] = ()  # open what was sealed to them


@dataclass(frozen=True, slots=True, repr=False)
class BankKeys:
    """Bank: asks and alone can open its answers."""

    role: ClassVar[Role] = Role.BANK
    tls: Tls
    sign: Ed25519PrivateKey
    hpke: X25519PrivateKey
    pepper: bytes
    hpke_before: tuple[X25519PrivateKey, ...] = ()  # newest first


@dataclass(frozen=True, slots=True, repr=False)
class CustodianKeys:
    """Custodian: signs pushes; all its encryption randomness hangs on `seed`."""

    role: ClassVar[Role] = Role.CUSTODIAN
    tls: Tls
    sign: Ed25519PrivateKey
    pepper: bytes
    seed: bytes


@dataclass(frozen=True, slots=True, repr=False)
class RegistrarKeys:
    """Registrar: signs consents."""

    role: ClassVar[Role] = Role.REGISTRAR
    tls: Tls
    sign: Ed25519PrivateKey
    pepper: bytes


@dataclass(frozen=True, slots=True, repr=False)
class AuditorKeys:
    """Auditor: opens its share of a call's seed."""

    role: ClassVar[Role] = Role.AUDITOR
    tls: Tls
    sign: Ed25519PrivateKey
    hpke: X25519PrivateKey
    hpke_before: tuple[X25519PrivateKey, ...] = ()  # shares of earlier quarters


@dataclass(frozen=True, slots=True, repr=False)
class WitnessKeys:
    """Witness: co-signs checkpoints."""

    role: ClassVar[Role] = Role.WITNESS
    tls: Tls
    sign: Ed25519PrivateKey


Keys: TypeAlias = (
    HouseKeys
    | AuthorityKeys
    | BankKeys
    | CustodianKeys
    | RegistrarKeys
    | AuditorKeys
    | WitnessKeys
)
Receiver: TypeAlias = AuthorityKeys | BankKeys | AuditorKeys
K = TypeVar("K", bound=Keys)
T = TypeVar("T")
OF_ROLE: Final[dict[Role, type[Keys]]] = {
    kind.role: kind
    for kind in (
        HouseKeys,
        AuthorityKeys,
        BankKeys,
        CustodianKeys,
        RegistrarKeys,
        AuditorKeys,
        WitnessKeys,
    )
}


def fresh_secret() -> bytes:
    """Draw a 32-byte secret."""
    return secrets.token_bytes(SECRET_BYTES)


def fresh(kind: type[K], **given: Tls | PrivateKey | bytes) -> K:
    """Make a party's keys: those `given`, and fresh ones for the other fields."""
    draw: dict[object, Callable[[], object]] = {
        Ed25519PrivateKey: Ed25519PrivateKey.generate,
        X25519PrivateKey: X25519PrivateKey.generate,
        bytes: fresh_secret,
        EARLIER: tuple,
    }
    values: dict[str, Any] = {
        field.name: given[field.name] if field.name in given else draw[field.type]()
        for field in fields(kind)
    }
    return kind(**values)


def signing(held: Keys) -> Ed25519PrivateKey:
    """Return the key with which a party signs what it says."""
    match held:
        case HouseKeys():
            return held.ticket
        case AuthorityKeys():
            return held.receipt
        case _:
            return held.sign


def receiving(held: Receiver) -> tuple[X25519PrivateKey, ...]:
    """List the keys that open what is sealed to a party, the current one first."""
    return (held.hpke, *held.hpke_before)


def unsealed(held: Receiver, open_: Callable[[X25519PrivateKey], T]) -> T:
    """Open a box under the key it was sealed to, the current one or an earlier one.

    A box names no key, so each is tried; raises what `open_` does with the last.
    """
    *keys, last = receiving(held)
    for key in keys:
        with suppress(SealBroken):
            return open_(key)
    return open_(last)


def publish(keys: Keys, party: str, title: str, organisation: str = "") -> Party:
    """Make the entry of the domain file that goes with `keys`."""
    hpke: tuple[X25519PublicKey, ...] = ()
    if isinstance(keys, AuthorityKeys | BankKeys | AuditorKeys):
        hpke = (keys.hpke.public_key(),)
    if isinstance(keys, HouseKeys | AuthorityKeys):
        sign = keys.ticket if isinstance(keys, HouseKeys) else keys.receipt
        journal = (keys.journal.public_key(),)
        key = (sign.public_key(),)
        return Party(party, keys.role, title, key, journal, hpke, organisation)
    key = (keys.sign.public_key(),)
    return Party(party, keys.role, title, key, (), hpke, organisation)


def to_sealed(
    keys: Keys, domain: str, party: str, passphrase: str, *, told: bool = False
) -> bytes:
    """Write the content of `keys.sealed`; `told` as in `seal.seal`."""
    content: dict[str, Json] = {
        field.name: _encode(value)
        for field in fields(keys)
        if (value := getattr(keys, field.name)) != ()
    }
    document = dumps(
        {
            "v": VERSION,
            "domain": domain,
            "role": keys.role.value,
            "party": party,
            "keys": content,
        }
    )
    return seal.seal(passphrase, document, told=told)


def from_sealed(
    kind: type[K], data: bytes, domain: str, party: str, passphrase: str
) -> K:
    """Read the content of `keys.sealed`.

    Raises `KeystoreLocked` for a passphrase that does not open it, and
    `KeystoreInvalid` for anything that is not the keystore of this party.
    """
    try:
        document = seal.unseal(passphrase, data)
        reader = Reader(loads(document, VERSION))
        for name, wanted in (
            ("domain", domain),
            ("role", kind.role.value),
            ("party", party),
        ):
            found = reader.text(name)
            if found != wanted:
                raise KeystoreInvalid(f"keys of {name} `{found}`, expected `{wanted}`")
        content = reader.reader("keys")
        reader.close()
        values = {
            field.name: _decode(field.type, content, field.name)
            for field in fields(kind)
        }
        content.close()
        return kind(**values)
    except SealBroken as error:
        raise KeystoreLocked(
            str(error), f"set `{PASSPHRASE}` to this party's passphrase"
        ) from None
    except (FormatError, KeyInvalid) as error:
        raise KeystoreInvalid(str(error), error.hint) from None


def resealed(data: bytes, phrase: str, following: str) -> bytes:
    """Seal what `phrase` opens under `following`; raises `KeystoreLocked`."""
    try:
        return seal.seal(following, seal.unseal(phrase, data))
    except SealBroken as error:
        raise KeystoreLocked(
            str(error), f"set `{PASSPHRASE}` to this party's passphrase"
        ) from None
    except FormatError as error:
        raise KeystoreInvalid(str(error), error.hint) from None


def load(kind: type[K], config: Config, domain: TrustDomain) -> K:
    """Open the keystore that `config` names and check it against `domain`.

    1. The configuration's party is in the domain, in the role of these keys.
    2. The file is private.
    3. The passphrase opens it, and it is this party's.
    4. Its public halves are the current ones of the domain file.
    """
    # 1.
    try:
        domain.party(config.id, kind.role)
    except (NotFound, RoleRefused) as error:
        raise KeystoreInvalid(str(error), "is this the right safehouse.toml?") from None
    # 2.
    data = read_private(config.keystore)
    # 3.
    phrase = passphrase(config)
    try:
        keys = from_sealed(kind, data, domain.name, config.id, phrase)
    except (KeystoreInvalid, KeystoreLocked) as error:
        raise type(error)(f"`{config.keystore}`: {error}", error.hint) from None
    # 4.
    _refuse_others(keys, domain, config)
    return keys


def passphrase(config: Config, environ: Mapping[str, str] | None = None) -> str:
    """Find the passphrase of `config`'s keystore; raises `KeystoreLocked`."""
    return passphrase_of(config.keystore, config.passphrase_file, environ)


def passphrase_of(
    keystore: Path,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Find the passphrase of a sealed file; raises `KeystoreLocked`."""
    variables = os.environ if environ is None else environ
    if given := variables.get(PASSPHRASE):
        return given
    if named := variables.get(PASSPHRASE_FILE):
        return _first_line(Path(named))
    if file is not None:
        return _first_line(file)
    prompt = f"passphrase of {keystore}: "
    if sys.stdin.isatty() and (typed := getpass.getpass(prompt)):
        return typed
    raise KeystoreLocked(
        f"no passphrase for `{keystore}`",
        f"set `{PASSPHRASE}`, or `{PASSPHRASE_FILE}` to a file of mode 0600",
    )


def new_passphrase(what: str, environ: Mapping[str, str] | None = None) -> str:
    """Find the passphrase that a file is to be sealed under; raises `KeystoreLocked`.

    It comes from `SAFEHOUSE_NEW_PASSPHRASE`, from the file that
    `SAFEHOUSE_NEW_PASSPHRASE_FILE` names, or is typed twice.
    """
    variables = os.environ if environ is None else environ
    if given := variables.get(NEW_PASSPHRASE):
        return given
    if named := variables.get(NEW_PASSPHRASE_FILE):
        return _first_line(Path(named))
    if not sys.stdin.isatty():
        raise KeystoreLocked(
            f"no new passphrase for `{what}`",
            f"set `{NEW_PASSPHRASE}`, or `{NEW_PASSPHRASE_FILE}` to a file of mode"
            " 0600",
        )
    typed = getpass.getpass(f"new passphrase of {what}: ")
    if not typed or typed != getpass.getpass("once more: "):
        raise KeystoreLocked("the two passphrases differ, or are empty")
    return typed


def read_private(path: Path) -> bytes:
    """Read a file that only its owner can read; raises `KeystoreInvalid`."""
    try:
        with path.open("rb") as file:
            # Of the open file: the one at this path may be exchanged meanwhile.
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeystoreInvalid(f"`{path}` is not a file")
            if status.st_mode & 0o077:
                raise KeystoreInvalid(
                    f"`{path}` is open to others (mode {status.st_mode & 0o777:04o})",
                    f"chmod 600 {path}, and consider what it holds as known",
                )
            return file.read()
    except OSError as error:
        raise KeystoreInvalid(f"cannot read `{path}`: {error.strerror}") from None


def write_private(path: Path, data: bytes) -> None:
    """Write a new file, mode 0600, durably; an existing one is an `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def replace_private(path: Path, data: bytes) -> None:
    """Write a file, mode 0600, that is the old one or the new one whatever happens."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        write_private(temporary, data)
        durable.settle(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _first_line(path: Path) -> str:
    data = read_private(path)
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        text = ""
    if not text or "\n" in text or len(data) > MAX_PASSPHRASE:
        raise KeystoreLocked(f"`{path}`: expected one line of UTF-8, the passphrase")
    return text


def differing(keys: Keys, domain: TrustDomain, party: str) -> str:
    """Name a purpose whose key is not the one that the domain names; "" for none."""
    pinned = domain.party(party)
    ours = publish(keys, pinned.id, pinned.title)
    same = {
        "sign": ours.sign == pinned.sign[:1],
        "journal": ours.journal == pinned.journal[:1],
        "hpke": ours.hpke == pinned.hpke[:1],
        "paillier": not isinstance(keys, AuthorityKeys)
        or keys.paillier.public == domain.paillier,
    }
    return next((purpose for purpose, is_same in same.items() if not is_same), "")


def with_tls(keys: K, tls: Tls) -> K:
    """Exchange what a party speaks with."""
    return replace(keys, tls=tls)


def _refuse_others(keys: Keys, domain: TrustDomain, config: Config) -> None:
    if purpose := differing(keys, domain, config.id):
        raise KeystoreInvalid(
            f"`{config.keystore}`: the `{purpose}` key is not the one of the "
            "trust domain",
            "was a key rotated without the new domain file, or the reverse?"
            " `safehouse domain adopt` takes both",
        )


def _encode(value: object) -> Json:
    match value:
        case Tls():
            return {
                "key": value.key_pem.decode(),
                "certificate": value.certificate_pem.decode(),
            }
        case PrivateKey():
            return value.to_bytes().decode()
        case Ed25519PrivateKey() | X25519PrivateKey():
            return value.private_bytes_raw().hex()
        case bytes():
            return value.hex()
        case tuple():
            return [_encode(each) for each in value]
        case _:
            raise AssertionError(f"no form for a {type(value).__name__}")


def _decode(kind: object, reader: Reader, name: str) -> Any:  # noqa: ANN401 -- by kind
    if kind is Tls:
        pair = reader.reader(name)
        tls = Tls(pair.text("key").encode(), pair.text("certificate").encode())
        pair.close()
        return tls
    if kind is PrivateKey:
        return PrivateKey.from_bytes(reader.text(name).encode())
    if kind == EARLIER:
        texts = reader.texts(name) if reader.has(name) else ()
        if reader.has(name) and not texts:
            raise FormatError(f"member `{name}`: left out where there is none")
        raw = (Reader({name: text}).hex(name, SECRET_BYTES) for text in texts)
        return tuple(map(X25519PrivateKey.from_private_bytes, raw))
    secret = reader.hex(name, SECRET_BYTES)
    if kind is Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(secret)
    if kind is X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(secret)
    return secret
