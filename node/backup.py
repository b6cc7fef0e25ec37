r"""A copy of a party that can be put back, and what keeps an old one from going on.

`backup` makes a folder of a party that may be running::

    <folder>/
      manifest.json     what is here, signed by the party's own key
      safehouse.toml, domain.json, keys.sealed; keys.sealed.next if keys are drawn
      data/...          the journal as of one moment, and everything it names

    {"v": "safehouse/backup-file/1", "manifest": signed}
    payload = {"v": "safehouse/backup/1", "domain", "role", "party", "time_ms",
               "size", "files": {path: SHA-256}}

The journal is copied through SQLite's backup interface, all of it in one read: whole,
and of one moment, whoever writes meanwhile.  A file that it names lies in its place
before it is named, so files are copied before it and, what is new since, after it.
The passphrase is not in it, nor is its file: whoever finds a backup has sealed keys.

`restore` believes nothing in it but what the passphrase opens:

 1. the keystore opens; its signing key signed the manifest; every file is as it says.
 2. The journal is whole, and ends where its own newest checkpoint does.
 3. No checkpoint that anybody else holds is of a larger journal, or of another one:
    the witnesses', for the house the largest that the authority was shown, and those
    that the operator collected from banks and auditors.  An authority whose journal
    nobody knows is restored only unwitnessed.  A copy that went on from
    before would sign a second history, and every receipt since would prove it.

What was journalled after the newest backup is gone with the disk; then 3 refuses, and
rightly.  Back up after the node has stopped, or to where its last entry is too.

All of it is made in a hidden folder beside, and renamed: killed at any moment, there is
a whole backup, or a whole restored party, or none.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import apsw

from node import config as configuration
from node import domain as domain_file
from node import durable, keys
from node.config import FILE_NAME, Config
from node.domain import Role, TrustDomain
from node.errors import (
    BackupInvalid,
    ConfigInvalid,
    InitRefused,
    KeystoreInvalid,
    LedgerDamaged,
    Unreachable,
)
from node.keys import OF_ROLE, AuthorityKeys, HouseKeys, Keys
from node.logfile import LogFile
from node.remote import ask, channel
from node.succession import NEXT
from node.wire.v1 import journal_pb2, journal_pb2_grpc
from node.witnesses import fetch
from protocols.canon import Json, Reader, Tag, dumps, loads
from protocols.errors import FormatError, ProtocolError, SignatureInvalid
from protocols.note import Checkpoint
from protocols.sign import Signed, sign, verify

FILE_VERSION: Final = "safehouse/backup-file/1"
VERSION: Final = "safehouse/backup/1"
MANIFEST: Final = "manifest.json"
DATA: Final = "data"
DOMAIN: Final = "domain.json"
KEYSTORE: Final = "keys.sealed"
LEDGER: Final = "journal.db"
ANCHOR: Final = ".checkpoint"
SQLITE: Final = b"SQLite format 3\0"
# Of a database that is open, or of a file that is being written.
PASSING: Final = ("-wal", "-shm", "-journal", ".lock", ".part", durable.TEMPORARY)
DEADLINE_S: Final = 5.0
MOST_MANIFEST: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds."""

    domain: str
    role: str
    party: str
    time_ms: int
    size: int  # entries of the journal; 0 without one
    files: Mapping[str, bytes]  # SHA-256 by path

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        files: dict[str, Json] = {
            name: digest.hex() for name, digest in self.files.items()
        }
        return dumps(
            {
                "v": VERSION,
                "domain": self.domain,
                "role": self.role,
                "party": self.party,
                "time_ms": self.time_ms,
                "size": self.size,
                "files": files,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, VERSION))
        names = ("domain", "role", "party")
        domain, role, party = (reader.text(name) for name in names)
        time_ms, size = reader.integer("time_ms"), reader.integer("size")
        files = reader.object("files")
        reader.close()
        digests = Reader(files)
        found = {_inside(name): digests.hex(name, 32) for name in files}
        return cls(domain, role, party, time_ms, size, found)


def backup(
    config: Config, trust: TrustDomain, held: Keys, folder: Path, now_ms: int
) -> Manifest:
    """Copy a party into `folder`, which is new; the party may be running.

    1. Files of its data, as far as they are there.
    2. The journal, as of one moment.
    3. Files that came meanwhile: what the journal names is among them.
    4. Configuration, trust domain, sealed keys.
    5. The manifest, signed; all of it to the disk, and into its place.

    Raises `InitRefused` for a place that is taken, and `OSError`.
    """
    home = _home(config)
    if folder.exists():
        raise InitRefused(f"`{folder}` is there already", "name a new folder")
    with _hidden(folder) as made:
        (made / DATA).mkdir(mode=0o700)
        _copy_data(config.data, made / DATA)  # 1
        if (config.data / LEDGER).exists():
            _copy_database(config.data / LEDGER, made / DATA / LEDGER)  # 2
        _copy_data(config.data, made / DATA)  # 3
        keys.write_private(made / KEYSTORE, keys.read_private(config.keystore))  # 4
        pending = config.keystore.with_name(KEYSTORE + NEXT)
        if pending.exists():
            keys.write_private(made / pending.name, keys.read_private(pending))
        keys.write_private(made / DOMAIN, domain_file.read_file(config.domain))
        keys.write_private(made / FILE_NAME, (home / FILE_NAME).read_bytes())
        files = dict(_hashes(made))
        manifest = Manifest(
            trust.name, config.role.value, config.id, now_ms, _size(made), files
        )
        signed = sign(Tag.BACKUP, manifest.to_bytes(), keys.signing(held))  # 5
        document: dict[str, Json] = {"v": FILE_VERSION, "manifest": signed.to_json()}
        keys.write_private(made / MANIFEST, dumps(document))
        _settle(made, folder)
    return manifest


def restore(
    source: Path,
    folder: Path,
    phrase: str,
    checkpoints: Iterable[str] = (),
    *,
    unwitnessed: bool = False,
) -> Manifest:
    """Put a backup back into `folder`, which is new; raises `NodeError`.

    `checkpoints` are notes of this journal that others hold.  A witness that does not
    answer refuses the restoration, unless it is `unwitnessed`.
    """
    if folder.exists():
        raise InitRefused(
            f"`{folder}` is there already",
            "name a new folder; what lies in this one may be newer than the backup",
        )
    manifest = opened(source, phrase)  # 1
    with _hidden(folder) as made:
        for name in manifest.files:
            target = made / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _copy(source / name, target)
        if dict(_hashes(made)) != dict(manifest.files):
            raise BackupInvalid("the backup changed while it was read")
        config = configuration.load(made)
        trust = domain_file.load(config.domain, config.root_key)
        if manifest.size:
            held = _held(config, trust, phrase)
            log = _check_whole(config, trust, held)  # 2
            _refuse_behind(  # 3
                config, trust, held, log, checkpoints, unwitnessed=unwitnessed
            )
        _settle(made, folder)
    return manifest


def opened(source: Path, phrase: str) -> Manifest:
    """Verify a backup from its passphrase alone; raises `BackupInvalid`."""
    try:
        manifest = _verified(source, phrase)
    except (FormatError, SignatureInvalid) as error:
        raise BackupInvalid(f"`{source}`: {error}") from None
    except OSError as error:
        name = Path(error.filename or source).name
        raise BackupInvalid(f"`{source}`: no `{name}`: {error.strerror}") from None
    there = dict(_hashes(source, besides=MANIFEST))
    for name in sorted(there.keys() | manifest.files.keys()):
        if there.get(name) != manifest.files.get(name):
            raise BackupInvalid(
                f"`{source / name}` is not as it was when the backup was made",
                "take an earlier backup; this one was changed, or its medium fails",
            )
    return manifest


def _verified(source: Path, phrase: str) -> Manifest:
    with (source / MANIFEST).open("rb") as file:
        reader = Reader(loads(file.read(MOST_MANIFEST), FILE_VERSION))
    signed = Signed.from_json(reader.reader("manifest"))
    reader.close()
    manifest = Manifest.parse(signed.payload)  # not believed yet, but for names
    kinds = {role.value: kind for role, kind in OF_ROLE.items()}
    if manifest.role not in kinds:
        raise FormatError(f"unknown role `{manifest.role}`")
    held: Keys = keys.from_sealed(
        kinds[manifest.role],
        (source / KEYSTORE).read_bytes(),
        manifest.domain,
        manifest.party,
        phrase,
    )
    verify(Tag.BACKUP, signed, [keys.signing(held).public_key()])
    return manifest


def _held(config: Config, trust: TrustDomain, phrase: str) -> Keys:
    data = keys.read_private(config.keystore)
    return keys.from_sealed(OF_ROLE[config.role], data, trust.name, config.id, phrase)


def _check_whole(config: Config, trust: TrustDomain, held: Keys) -> LogFile:
    """Open the journal once, under the checkpoint that it ends with."""
    if not isinstance(held, HouseKeys | AuthorityKeys):
        raise KeystoreInvalid(f"a {config.role} keeps no journal")
    path = config.data / LEDGER
    keys.write_private(path.with_name(path.name + ANCHOR), _newest(path).encode())
    earlier = trust.verifiers(config.role)
    log = LogFile.open(path, held.journal, trust.origin(config.role), earlier)
    log.close()
    return log


def _refuse_behind(
    config: Config,
    trust: TrustDomain,
    held: Keys,
    log: LogFile,
    checkpoints: Iterable[str],
    *,
    unwitnessed: bool,
) -> None:
    found = list(checkpoints)
    for party, address in config.witnesses:
        try:
            found.append(fetch(address, config.role))
        except Unreachable as error:
            if not unwitnessed:
                raise Unreachable(
                    f"witness `{party}` does not say what it has seen: {error}",
                    "start it first, or restore `--unwitnessed` and answer for it",
                ) from None
    if config.role is Role.AUTHORITY and not found and not unwitnessed:
        raise BackupInvalid(
            "nobody says how far this journal had come when the backup was made",
            "give a checkpoint that somebody holds, or restore `--unwitnessed` and"
            " answer for it",
        )
    if config.role is Role.HOUSE:
        _ask_authority(config, trust, held, log, unwitnessed=unwitnessed)
    for note in found:
        try:
            seen = Checkpoint.open(note, trust.verifiers(config.role))
        except ProtocolError as error:
            raise BackupInvalid(
                f"a checkpoint that this {config.role} did not sign: {error}"
            ) from None
        _compare(log, seen.size, seen.root, "somebody holds")


def _ask_authority(
    config: Config, trust: TrustDomain, held: Keys, log: LogFile, *, unwitnessed: bool
) -> None:
    with channel(config.authority, held.tls, trust, Role.AUTHORITY) as link:
        journal = journal_pb2_grpc.JournalServiceStub(link)
        request = journal_pb2.GetCheckpointRequest()
        try:
            known = ask(journal.GetCheckpoint, request, DEADLINE_S)
        except Unreachable as error:
            if unwitnessed:
                return
            raise Unreachable(
                f"the authority does not say what it was shown: {error}",
                "start it first, or restore `--unwitnessed` and answer for it",
            ) from None
    if known.seen_size:
        _compare(log, known.seen_size, known.seen_root, "the authority was shown")


def _compare(log: LogFile, size: int, root: bytes, who: str) -> None:
    if size > log.tree.size:
        raise LedgerDamaged(
            f"the backup ends at entry {log.tree.size}, {who} a checkpoint of"
            f" {size} entries",
            "an older copy must not go on: find a newer backup",
        )
    if log.tree.root(size) != root:
        raise LedgerDamaged(
            f"the backup is of another history than checkpoint {size}",
            "stop, and compare with the last export",
        )


# Files


def _home(config: Config) -> Path:
    """Return the folder of a party whose files lie where `init` puts them."""
    home = config.keystore.parent
    placed = config.keystore, config.domain, config.data
    if placed != (home / KEYSTORE, home / DOMAIN, home / DATA):
        raise ConfigInvalid(
            f"expected `{KEYSTORE}`, `{DOMAIN}` and `{DATA}` beside `{FILE_NAME}`",
            "as `safehouse init` lays them out; else a copy could not be started",
        )
    return home


def _copy_data(source: Path, target: Path) -> None:
    """Copy files that are not there yet; one that vanishes was not needed."""
    if not source.exists():
        return
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if not path.is_file() or path.is_symlink() or (target / name).exists():
            continue
        if _passes(name):
            continue
        (target / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with path.open("rb") as file:
                database = file.read(len(SQLITE)) == SQLITE
            (_copy_database if database else _copy)(path, target / name)
        except FileNotFoundError:
            (target / name).unlink(missing_ok=True)


def _passes(name: Path) -> bool:
    text = name.as_posix()
    return (
        text in (LEDGER, LEDGER + ANCHOR)
        or name.name.startswith(".")
        or text.endswith(PASSING)
    )


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as old:
        keys.write_private(target, b"")
        with target.open("wb") as new:
            shutil.copyfileobj(old, new, 1 << 20)


def _copy_database(source: Path, target: Path) -> None:
    """Copy a database as of one moment, whoever has it open."""
    keys.write_private(target, b"")
    old = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
    new = apsw.Connection(str(target))
    try:
        with new.backup("main", old, "main") as copying:
            copying.step(-1)
    finally:
        new.close()
        old.close()


def _newest(path: Path) -> str:
    # Immutable, so that reading leaves nothing beside it.
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    db = apsw.Connection(f"{path.absolute().as_uri()}?immutable=1", flags=flags)
    try:
        ((note,),) = db.execute("SELECT note FROM head ORDER BY size DESC LIMIT 1")
    finally:
        db.close()
    return str(note)


def _size(made: Path) -> int:
    path = made / DATA / LEDGER
    return int(_newest(path).split("\n", 2)[1]) if path.exists() else 0


def _hashes(folder: Path, besides: str = "") -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name != besides and path.is_file():
            with path.open("rb") as file:
                yield name, hashlib.file_digest(file, "sha256").digest()


def _inside(name: str) -> str:
    """Return a path that stays below its folder; raises `FormatError`."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or "\0" in name:
        raise FormatError(f"`{name}` leads out of the backup")
    return name


def _settle(made: Path, folder: Path) -> None:
    for path in sorted(made.rglob("*"), reverse=True):
        if path.is_dir():
            durable.sync_directory(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    durable.sync_directory(made)
    made.rename(folder)
    durable.sync_directory(folder.absolute().parent)


@contextmanager
def _hidden(folder: Path) -> Iterator[Path]:
    """Make a hidden folder beside `folder`; it goes, unless it was renamed."""
    parent = folder.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{folder.absolute().name}."
    made = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))  # 0700
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
