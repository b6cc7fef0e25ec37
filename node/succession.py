r"""Which trust domain a party believes today, and the only way to another one.

A trust domain changes by serials: parties come and go, keys are replaced.  Whoever
starts finds `domain.json`, and beside its data the last one that it believed::

    data/domain.seen    {"v": "safehouse/domain-seen/1", "serial", "hash", "root"}

The file that lies there is believed if (`trusted`)

 1. the pinned root key signed it, or one that follows from it by signatures of the
    roots before (`node.domain`);
 2. among those is the last root that was seen: one that was replaced signs nothing;
 3. its serial is not lower than the last one seen, and its history names that one.

An old copy that somebody puts back would else revive keys that were stolen and
replaced, and parties that were removed.  A node journals the serials besides
(`key.domain`), so that it cannot be made to forget by removing the file.

`adopt` takes a new file from wherever it came, by the same three rules, and with it the
keys that this party drew for it (`node.rotation`).
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node import domain as domain_file
from node import durable, keys
from node.config import Config
from node.domain import TrustDomain, Vouched, vouched
from node.errors import DomainInvalid, KeystoreInvalid
from node.identity import Tls, certified_key
from node.keys import OF_ROLE, Keys
from protocols.canon import Reader, dumps, loads
from protocols.errors import FormatError

VERSION: Final = "safehouse/domain-seen/1"
SEEN: Final = "domain.seen"
NEXT: Final = ".next"  # what the keystore's name ends in, of keys not yet in force
CERTIFICATE: Final = "certificate.pem"
HASH_BYTES: Final = 32
MOST_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Seen:
    """The last trust domain that a party believed."""

    serial: int
    hash: bytes
    root: bytes  # the key that signed it

    @classmethod
    def of(cls, found: Vouched) -> "Seen":
        """Remember a domain."""
        return cls(found.domain.serial, found.domain.hash, found.trail[-1])

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": VERSION,
                "serial": self.serial,
                "hash": self.hash.hex(),
                "root": self.root.hex(),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Seen":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, VERSION))
        seen = cls(
            reader.integer("serial", least=1),
            reader.hex("hash", HASH_BYTES),
            reader.hex("root", HASH_BYTES),
        )
        reader.close()
        return seen

    def check(self, found: Vouched) -> None:
        """Raise `DomainInvalid` unless `found` is this one or follows from it."""
        trust = found.domain
        if self.root not in found.trail:  # 2
            raise DomainInvalid(
                "the trust domain is signed by a root key that was replaced",
                "take the newest file; whoever signed this one holds an old root key",
            )
        if trust.serial < self.serial:  # 3
            raise DomainInvalid(
                f"the trust domain is of serial {trust.serial}, this party has seen"
                f" serial {self.serial}",
                "put the newest file back: keys that were replaced must stay so",
            )
        named = (*trust.history, trust.hash)[-1 - (trust.serial - self.serial) :][:1]
        if named != (self.hash,):
            raise DomainInvalid(
                f"the trust domain of serial {trust.serial} does not follow from the"
                f" serial {self.serial} that this party has seen",
                "stop, and ask its operator which one is right",
            )


def trusted(config: Config) -> TrustDomain:
    """Read the trust domain of a party, and remember it; raises `DomainInvalid`."""
    found = domain_file.load_vouched(config.domain, config.root_key)
    with alone(config.data):
        seen = last_seen(config)
        if seen is not None:
            seen.check(found)
        _remember(config, found, seen)
    return found.domain


def last_seen(config: Config) -> Seen | None:
    """Return the last trust domain that a party believed; raises `DomainInvalid`."""
    path = config.data / SEEN
    try:
        with path.open("rb") as file:
            return Seen.parse(file.read(MOST_BYTES))
    except FileNotFoundError:
        return None
    except FormatError as error:
        raise DomainInvalid(
            f"`{path}`: {error}",
            "put it back, or ask for the newest file",
        ) from None


def check_file(config: Config, data: bytes) -> Vouched:
    """Judge a file that may be the next trust domain; raises `DomainInvalid`."""
    found = vouched(data, config.root_key)
    seen = last_seen(config)
    if seen is not None:
        seen.check(found)
    return found


def adopt(config: Config, source: Path, passphrase: str) -> TrustDomain:
    """Take the next trust domain from `source`, and the keys that go with it.

    `source` is a file, or a folder with `domain.json` and the certificate of a TLS key
    that this party drew.  Done again after a crash, it goes on where it was.

    1. The file follows from what this party believes.
    2. The keys that it names for this party are those in force, or those drawn.
    3. Keys that were drawn get their certificate, beside the keystore.
    4. The domain file takes its place; from here on the old keys are refused here.
    5. The drawn keys become the keystore.

    Raises `DomainInvalid`, `KeystoreInvalid`, `KeystoreLocked`.
    """
    file = source / domain_file.FILE_NAME if source.is_dir() else source
    data = domain_file.read_file(file)
    found = check_file(config, data)  # 1
    party = found.domain.party(config.id, config.role)
    pending = config.keystore.with_name(config.keystore.name + NEXT)
    drawn = None
    if pending.exists():
        drawn = _open(config, pending, found.domain, passphrase)
        if keys.differing(drawn, found.domain, config.id):
            drawn = None  # of another rotation, which has yet to be signed
    if drawn is None:  # 2
        held = _open(config, config.keystore, found.domain, passphrase)
        if wrong := keys.differing(held, found.domain, config.id):
            raise KeystoreInvalid(
                f"the `{wrong}` key of `{party.id}` in this trust domain is none that"
                " this party has",
                "was it drawn in another folder, or is the file another party's?",
            )
    elif not drawn.tls.certificate_pem:  # 3
        drawn = _certified(drawn, source)
        sealed = keys.to_sealed(drawn, found.domain.name, config.id, passphrase)
        keys.replace_private(pending, sealed)
    keys.replace_private(config.domain, data)  # 4
    with alone(config.data):
        _remember(config, found, last_seen(config))
    if drawn is not None:  # 5
        durable.settle(pending, config.keystore)
    return found.domain


def _open(config: Config, path: Path, trust: TrustDomain, passphrase: str) -> Keys:
    kind = OF_ROLE[config.role]
    data = keys.read_private(path)
    return keys.from_sealed(kind, data, trust.name, config.id, passphrase)


def _certified(drawn: Keys, source: Path) -> Keys:
    path = source / CERTIFICATE
    if not path.is_file():
        raise KeystoreInvalid(
            f"no `{CERTIFICATE}` in `{source}` for the TLS key that was drawn",
            "adopt the folder that the operator of the trust domain made for you",
        )
    certificate = path.read_bytes()
    if certified_key(certificate) != drawn.tls.public:
        raise KeystoreInvalid(f"`{path}` is for another TLS key than the one drawn")
    return keys.with_tls(drawn, Tls(drawn.tls.key_pem, certificate))


def _remember(config: Config, found: Vouched, seen: Seen | None) -> None:
    now = Seen.of(found)
    if now == seen:
        return
    keys.replace_private(config.data / SEEN, now.to_bytes())


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from doing meanwhile what one at a time may do."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
