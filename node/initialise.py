r"""Make a trust domain: every key, the signed domain file, a folder a party.

::

    DIR/                 0700 for folders, 0600 for files
      domain.json        who takes part; signed by the root key
      ca/keys.sealed     root key and CA key: off-line, for changes only
      <party>/           self-contained, to be carried to that party
        safehouse.toml   pins the root key
        domain.json      the same file
        keys.sealed      that party's private keys and nobody else's

All of it is made in a hidden folder beside DIR, brought to the disk and renamed:
whatever interrupts it, there is a whole DIR or none.

On one machine this is a throw-away domain, for a demonstration.  Where house and
authority are two organisations, each draws its own keys and sends the public
halves to whoever holds the root key; nobody then ever sees both.

>>> plan = Plan("rencheng", key_bits=2048)
>>> made = compose(plan, now_ms=1_700_000_000_000)
>>> made.domain.spiffe_id(made.domain.party("jnrcb"))
'spiffe://rencheng/bank/jnrcb'
"""

import csv
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from contracts.basis import STRICT, Bases
from contracts.classes import Class
from contracts.subject import SubjectType
from node import domain as domain_file
from node import keys as keystore
from node.config import ADDRESS, FILE_NAME, LISTENERS, PEERS
from node.domain import SERVERS, Role, TrustDomain
from node.durable import sync_directory
from node.errors import (
    DomainInvalid,
    InitRefused,
    KeystoreInvalid,
    KeystoreLocked,
    TableInvalid,
)
from node.identity import CertificateAuthority, Tls
from node.keys import Keys
from protocols import paillier, seal
from protocols.canon import Reader, dumps, loads
from protocols.errors import FormatError, KeyInvalid, SealBroken

PASSPHRASE: Final = "passphrase"  # noqa: S105  the name of a file
CA: Final = "ca"  # a folder, so no party may be called that
CA_VERSION: Final = "safehouse/ca-keys/1"
DOMAIN_FILE: Final = "domain.json"
KEYSTORE: Final = "keys.sealed"
DATA: Final = "data"


@dataclass(frozen=True, slots=True)
class Member:
    """A party to be."""

    id: str
    role: Role
    title: str
    organisation: str = ""  # whose it is; its own unless given


DEFAULT_MEMBERS: Final = (
    Member("house", Role.HOUSE, "数据安全屋"),
    Member("authority", Role.AUTHORITY, "授权方"),
    Member("jnrcb", Role.BANK, "济宁农商银行"),
    Member("lsbank", Role.BANK, "莱商银行"),
    Member("ryrcb", Role.BANK, "示例农商银行"),
    Member("credit-bureau", Role.CUSTODIAN, "征信机构"),
    Member("social-insurance", Role.CUSTODIAN, "社会保险经办机构"),
    Member("housing-loans", Role.CUSTODIAN, "住房公积金管理中心"),
    Member("registrar", Role.REGISTRAR, "授权登记机构"),
    Member("auditor-a", Role.AUDITOR, "审计甲"),
    Member("auditor-b", Role.AUDITOR, "审计乙"),
)


# A witness has an address, so `Plan.witness` adds it.
MEMBER_ROLES: Final = tuple(r.value for r in Role if r is not Role.WITNESS)
MEMBER_COLUMNS: Final = ("id", "role", "title", "organisation")
WITNESS: Final = Member("witness", Role.WITNESS, "见证方")


@dataclass(frozen=True, slots=True)
class Plan:
    """The trust domain to be."""

    name: str
    members: tuple[Member, ...] = DEFAULT_MEMBERS
    key_bits: int = paillier.LEAST_BITS
    house: str = "127.0.0.1:7443"  # where it listens and is found
    authority: str = "127.0.0.1:7444"
    witness: str = ""  # where a witness listens, if there is to be one
    classes: tuple[Class, ...] = ()  # of banks
    bases: Bases = STRICT  # legal ones that are accepted
    # Beside each keystore, in clear: for a domain that is thrown away.
    leave_passphrases: bool = False
    # Who is in charge of the map of a subject type; others' is the first custodian.
    registers: tuple[tuple[SubjectType, str], ...] = ()

    @property
    def all_members(self) -> tuple[Member, ...]:
        """The members, with the witness if there is one."""
        return (*self.members, WITNESS) if self.witness else self.members

    @property
    def all_registers(self) -> tuple[tuple[SubjectType, str], ...]:
        """The custodian in charge of every subject type."""
        custodians = [m.id for m in self.members if m.role is Role.CUSTODIAN]
        others = dict.fromkeys(SubjectType, custodians[0]) if custodians else {}
        return tuple(sorted((others | dict(self.registers)).items()))


@dataclass(frozen=True, slots=True, repr=False)
class Composed:
    """A trust domain in memory: every secret of every party."""

    domain: TrustDomain
    root: Ed25519PrivateKey
    ca: CertificateAuthority
    keys: Mapping[str, Keys]  # by party id


def ignore(_: str) -> None:
    """Report no progress."""


def read_members(path: Path) -> tuple[Member, ...]:
    """Read who takes part from a CSV table of `MEMBER_COLUMNS`.

    A party without an organisation is its own.  Raises `TableInvalid`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True)
            if tuple(table.fieldnames or ()) != MEMBER_COLUMNS:
                raise TableInvalid(
                    f"`{path.name}`: expected the columns {', '.join(MEMBER_COLUMNS)}"
                )
            return tuple(_member(row, path.name, table.line_num) for row in table)
    except OSError as error:
        raise TableInvalid(f"cannot read `{path}`: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise TableInvalid(f"`{path.name}` is not CSV in UTF-8") from None


def _member(row: Mapping[str | None, str | None], name: str, line: int) -> Member:
    party, role, title, organisation = (row[column] for column in MEMBER_COLUMNS)
    if None in row or organisation is None:
        raise TableInvalid(
            f"`{name}`, line {line}: expected {len(MEMBER_COLUMNS)} cells"
        )
    if role not in MEMBER_ROLES:
        raise TableInvalid(
            f"`{name}`, line {line}: expected a role, got `{role}`",
            f"roles are {', '.join(MEMBER_ROLES)}",
        )
    return Member(party or "", Role(role), title or "", organisation)


def compose(
    plan: Plan, now_ms: int, progress: Callable[[str], None] = ignore
) -> Composed:
    """Draw all keys; raises `InitRefused` for a plan that cannot be."""
    try:
        progress(f"Paillier key of {plan.key_bits} bits")
        return _compose_with(plan, now_ms, paillier.generate(plan.key_bits), progress)
    except (DomainInvalid, KeyInvalid) as error:
        raise InitRefused(str(error), error.hint) from None


def initialise(
    directory: Path,
    plan: Plan,
    passphrases: str | Mapping[str, str],
    now_ms: int,
    progress: Callable[[str], None] = ignore,
) -> TrustDomain:
    """Make a trust domain, as `make` does; return what everybody may know of it."""
    return make(directory, plan, passphrases, now_ms, progress).domain


def make(
    directory: Path,
    plan: Plan,
    passphrases: str | Mapping[str, str],
    now_ms: int,
    progress: Callable[[str], None] = ignore,
) -> Composed:
    """Make the trust domain of `plan` in `directory`, which is new or empty.

    `passphrases` is one for all, for a throw-away domain, or one for each party
    id and for `ca`.  `progress` is called with a line before each step.

    1. Refuse a folder with anything in it, addresses that are none, base registers
       of nobody, and passphrases that are missing.
    2. Draw everything in memory.
    3. Write it to a hidden folder beside `directory`, and to the disk.
    4. Rename.

    Raises `InitRefused`.
    """
    # 1.
    _refuse_place(directory)
    _refuse_addresses(plan)
    _refuse_registers(plan)
    owners = [CA, *(member.id for member in plan.all_members)]
    secrets = _one_each(passphrases, owners)
    # 2.
    composed = compose(plan, now_ms, progress)
    temporary = None
    try:
        # 3.
        parent = directory.absolute().parent
        parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{directory.absolute().name}."
        temporary = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))  # 0700
        _write(temporary, plan, composed, secrets, progress)
        # 4.
        temporary.rename(directory)  # an empty folder is replaced, a full one not
        sync_directory(parent)
    except OSError as error:
        raise InitRefused(f"cannot make `{directory}`: {error.strerror}") from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return composed


def open_ca(
    directory: Path, name: str, passphrase: str
) -> tuple[Ed25519PrivateKey, CertificateAuthority]:
    """Open root key and CA of the domain `name`, to change or extend it.

    Raises `KeystoreInvalid` or `KeystoreLocked`.
    """
    return read_ca(directory / CA / KEYSTORE, name, passphrase)


def read_ca(
    path: Path, name: str, passphrase: str
) -> tuple[Ed25519PrivateKey, CertificateAuthority]:
    """Open the file of root key and CA; raises as `open_ca` does."""
    data = keystore.read_private(path)
    try:
        reader = Reader(loads(seal.unseal(passphrase, data), CA_VERSION))
        if reader.text("domain") != name:
            raise KeystoreInvalid(f"`{path}` is of another trust domain")
        root = Ed25519PrivateKey.from_private_bytes(reader.hex("root", 32))
        tls = Tls(reader.text("key").encode(), reader.text("certificate").encode())
        reader.close()
        return root, CertificateAuthority.of(tls)
    except SealBroken as error:
        raise KeystoreLocked(f"`{path}`: {error}") from None
    except FormatError as error:
        raise KeystoreInvalid(f"`{path}`: {error}") from None


def _compose_with(
    plan: Plan,
    now_ms: int,
    key: paillier.PrivateKey,
    progress: Callable[[str], None] = ignore,
) -> Composed:
    ca = CertificateAuthority.create(plan.name, now_ms)
    pepper = keystore.fresh_secret()  # shared by all who name subjects
    keys: dict[str, Keys] = {}
    for member in plan.all_members:
        progress(f"keys of {member.id}")
        address = plan.house if member.role is Role.HOUSE else plan.authority
        host = address.rpartition(":")[0].strip("[]")
        tls = ca.issue(plan.name, member.role, member.id, [host], now_ms)
        kind = keystore.OF_ROLE[member.role]
        keys[member.id] = keystore.fresh(kind, tls=tls, pepper=pepper, paillier=key)
    domain = TrustDomain(
        name=plan.name,
        serial=1,
        created_ms=now_ms,
        ca_pem=ca.tls.certificate_pem,
        paillier=key.public,
        parties=tuple(
            keystore.publish(
                keys[member.id], member.id, member.title, member.organisation
            )
            for member in sorted(plan.all_members, key=lambda member: member.id)
        ),
        registers=plan.all_registers,
        classes=plan.classes,
        bases=plan.bases,
    )
    return Composed(domain, Ed25519PrivateKey.generate(), ca, keys)


def _write(
    folder: Path,
    plan: Plan,
    composed: Composed,
    passphrases: Mapping[str, str],
    progress: Callable[[str], None],
) -> None:
    signed = domain_file.write(composed.domain, composed.root)
    root = composed.root.public_key()
    progress("ca")
    (folder / CA).mkdir(mode=0o700)
    told = plan.leave_passphrases
    sealed = seal_ca(plan.name, composed.root, composed.ca, passphrases[CA], told=told)
    keystore.write_private(folder / CA / KEYSTORE, sealed)
    sync_directory(folder / CA)
    for member in plan.all_members:
        progress(f"folder of {member.id}")
        own = folder / member.id
        own.mkdir(mode=0o700)
        sealed = keystore.to_sealed(
            composed.keys[member.id],
            plan.name,
            member.id,
            passphrases[member.id],
            told=told,
        )
        keystore.write_private(own / KEYSTORE, sealed)
        keystore.write_private(own / DOMAIN_FILE, signed)
        keystore.write_private(own / FILE_NAME, _toml(plan, member, root).encode())
        if plan.leave_passphrases:
            phrase = passphrases[member.id] + "\n"
            keystore.write_private(own / PASSPHRASE, phrase.encode())
        sync_directory(own)
    keystore.write_private(folder / DOMAIN_FILE, signed)
    sync_directory(folder)


def _toml(plan: Plan, member: Member, root: Ed25519PublicKey) -> str:
    addresses = {
        Role.HOUSE: plan.house,
        Role.AUTHORITY: plan.authority,
        Role.WITNESS: plan.witness,
    }
    lines = [
        f"# {member.title}",
        f'role = "{member.role}"',
        f'id = "{member.id}"',
        f'domain = "{DOMAIN_FILE}"',
        f'root_key = "{root.public_bytes_raw().hex()}"',
        f'keystore = "{KEYSTORE}"',
        f'data = "{DATA}"',
    ]
    if plan.leave_passphrases:
        lines.append(f'passphrase_file = "{PASSPHRASE}"')
    if member.role in LISTENERS:
        lines.append(f'listen = "{addresses[member.role]}"')
    if peers := PEERS[member.role]:
        lines += ["", "[peers]"]
        lines += [f'{peer} = "{addresses[peer]}"' for peer in peers]
    if plan.witness and member.role in SERVERS:
        lines += ["", "[witnesses]", f'{WITNESS.id} = "{plan.witness}"']
    return "\n".join(lines) + "\n"


def seal_ca(
    name: str,
    root: Ed25519PrivateKey,
    ca: CertificateAuthority,
    passphrase: str,
    *,
    told: bool = False,
) -> bytes:
    """Write the file of root key and CA; `told` as in `seal.seal`."""
    document = dumps(
        {
            "v": CA_VERSION,
            "domain": name,
            "root": root.private_bytes_raw().hex(),
            "key": ca.tls.key_pem.decode(),
            "certificate": ca.tls.certificate_pem.decode(),
        }
    )
    return seal.seal(passphrase, document, told=told)


def _one_each(
    passphrases: str | Mapping[str, str], owners: list[str]
) -> Mapping[str, str]:
    if owners.count(CA) > 1:
        raise InitRefused(f"no party may be called `{CA}`")
    if isinstance(passphrases, str):
        passphrases = dict.fromkeys(owners, passphrases)
    for owner in owners:
        if not passphrases.get(owner):
            raise InitRefused(f"no passphrase for `{owner}`", "an empty one is none")
    return passphrases


def _refuse_place(directory: Path) -> None:
    if directory.exists() and (
        not directory.is_dir() or next(directory.iterdir(), None) is not None
    ):
        raise InitRefused(f"`{directory}` is not an empty folder", "name a new one")
    if directory.absolute() == Path.cwd():  # the rename would take it from under us
        raise InitRefused("cannot replace the current folder", "name a new one")


def _refuse_addresses(plan: Plan) -> None:
    for address in filter(None, (plan.house, plan.authority, plan.witness)):
        if not ADDRESS.fullmatch(address):
            raise InitRefused(f"expected an address `host:port`, got `{address}`")


def _refuse_registers(plan: Plan) -> None:
    """Refuse before a key is drawn what the domain would refuse after it."""
    custodians = {m.id for m in plan.members if m.role is Role.CUSTODIAN}
    if len(dict(plan.registers)) != len(plan.registers):
        raise InitRefused("two custodians in charge of one subject type")
    for kind, name in plan.registers:
        if name not in custodians:
            raise InitRefused(
                f"register of `{kind}`: expected a custodian, got `{name}`"
            )
