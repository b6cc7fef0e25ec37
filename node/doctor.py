"""What a party looks over before it complains: `safehouse doctor`.

Configuration, trust domain and keystore are read first, as every command reads them;
what is wrong there ends the command with its own error.  Then, one line each:

    keystore      the keys are those that the trust domain names (or we were not here)
    files         nobody else can read what lies beside the keystore
    certificate   how long it is still valid
    ca            how long that of the trust domain is
    keys          whether some are drawn that are not in force, or replaced ones sign
    disk          how much room the data folder has
    journal       of a node: whole, and not behind its checkpoint; or in use
    arithmetic    which backend computes with ciphertexts
    versions      of what this runs on
    clock         against the clock of each node that answers
    house, ...    whether whoever this party calls answers, and how soon

`warn` is to be seen to, `fail` stops something today.  Nothing is changed, but by
`accept_clock`: the word of whoever answers for a clock that went back.
"""

import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from typing import Final

from cryptography import x509

from node import clock
from node.config import Config
from node.domain import SERVERS, Role, TrustDomain
from node.errors import (
    ChecksFailed,
    ClockJumped,
    ConfigInvalid,
    LedgerLocked,
    NodeError,
    Unreachable,
)
from node.keys import AuthorityKeys, HouseKeys, Keys
from node.ledger import Ledger
from node.remote import ask, channel
from node.rotation import standing
from node.wire.v1 import journal_pb2, journal_pb2_grpc
from node.witnesses import fetch
from protocols import native

LEDGER: Final = "journal.db"
SOON_DAYS: Final = 30  # a certificate ends
FEW_BYTES: Final = 5 << 30
TOO_FEW_BYTES: Final = 100 << 20
SKEWED_MS: Final = 30 * clock.SECOND_MS
DEADLINE_S: Final = 5.0
OTHERS: Final = 0o077  # bits of a mode


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    told: str
    hint: str = ""


def examine(
    config: Config, trust: TrustDomain, held: Keys, now_ms: Callable[[], int]
) -> Iterator[Check]:
    """Look a party over, check by check."""
    yield Check(
        "keystore", State.OK, "opens, and holds the keys that the trust domain names"
    )
    yield from _files(config)
    mine = held.tls.certificate_pem
    yield _certificate("certificate", mine, now_ms(), "have a new one drawn and signed")
    yield _certificate("ca", trust.ca_pem, now_ms(), "see to another trust domain")
    yield _keys(config, trust, held, now_ms())
    yield _disk(config)
    if isinstance(held, HouseKeys | AuthorityKeys):
        yield _journal(config, trust, held)
    yield _arithmetic(trust)
    yield _versions()
    for role, address in (
        (Role.HOUSE, config.house),
        (Role.AUTHORITY, config.authority),
    ):
        if address:
            yield from _node(role, address, trust, held, now_ms)
    for party, address in config.witnesses:
        yield _witness(party, address, config.role)


def accept_clock(config: Config, trust: TrustDomain, held: Keys) -> Check:
    """Journal that this node's operator answers for the clock as it is now.

    Raises `ConfigInvalid` for a party without a journal, `LedgerLocked` while the node
    runs, and `ChecksFailed` where no clock is in question: it is an answer, no habit.
    """
    if not isinstance(held, HouseKeys | AuthorityKeys):
        raise ConfigInvalid(f"a {config.role} keeps no journal", "only a node has one")
    if not (config.data / LEDGER).exists():
        raise ChecksFailed("there is no journal yet", "start the node")
    with closing(_open(config, trust, held)) as ledger:
        jumped = ledger.stopped
        if not isinstance(jumped, ClockJumped):
            raise ChecksFailed("the clock is not in question", "start the node")
        (index,) = ledger.accept_clock(config.id).indices
    return Check("accepted", State.OK, f"{jumped}: entry {index:,} of the journal")


def _open(
    config: Config, trust: TrustDomain, held: HouseKeys | AuthorityKeys
) -> Ledger:
    return Ledger.open(
        config.data / LEDGER,
        signer=held.journal,
        origin=trust.origin(config.role),
        clock=clock.now_ms,
        earlier=trust.verifiers(config.role)[1:],
    )


def ended(until_ms: int) -> str:
    """Say until when a key that was replaced may sign."""
    until = datetime.fromtimestamp(until_ms / 1000, UTC)
    return f"may sign until {until:%Y-%m-%d %H:%M} UTC"


def _files(config: Config) -> Iterator[Check]:
    found = False
    paths = (config.keystore.parent, config.data, config.passphrase_file)
    for path in paths:
        if path is None or not path.exists():
            continue
        mode = path.stat().st_mode
        if mode & OTHERS:
            found = True
            want = "700" if path.is_dir() else "600"
            yield Check(
                "files",
                State.WARN,
                f"`{path}` is open to others (mode {mode & 0o777:04o})",
                f"chmod {want} {path}",
            )
    if not found:
        yield Check("files", State.OK, "closed to others")


def _certificate(name: str, pem: bytes, now_ms: int, hint: str) -> Check:
    certificates = x509.load_pem_x509_certificates(pem)
    ends = min(each.not_valid_after_utc for each in certificates)
    days = (int(ends.timestamp() * 1000) - now_ms) // clock.DAY_MS
    if days < 0:
        return Check(name, State.FAIL, f"ended on {ends:%Y-%m-%d}", hint)
    told = f"valid until {ends:%Y-%m-%d}, {days} more days"
    if days < SOON_DAYS:
        return Check(name, State.WARN, told, hint)
    return Check(name, State.OK, told)


def _keys(config: Config, trust: TrustDomain, held: Keys, now_ms: int) -> Check:
    found = standing(config, trust, held)
    if found.pending:
        return Check(
            "keys",
            State.WARN,
            "some are drawn that are not in force yet",
            "`safehouse domain adopt` takes the trust domain that names them",
        )
    until = [key.until_ms for key in found.keys if (key.until_ms or 0) > now_ms]
    if until:
        last = ended(max(filter(None, until)))
        return Check("keys", State.OK, f"{len(until)} that were replaced: {last}")
    return Check("keys", State.OK, "only those in force sign")


def _versions() -> Check:
    packages = ("data-safehouse", "cryptography", "grpcio", "apsw", "duckdb", "numpy")
    found = ", ".join(f"{name} {version(name)}" for name in packages)
    return Check("versions", State.OK, f"Python {platform.python_version()}, {found}")


def _disk(config: Config) -> Check:
    folder = config.data if config.data.exists() else config.keystore.parent
    free = shutil.disk_usage(folder).free
    told = f"{free / (1 << 30):,.1f} GB free below `{folder}`"
    if free < TOO_FEW_BYTES:
        return Check("disk", State.FAIL, told, "a node stops when its disk is full")
    return Check("disk", State.WARN if free < FEW_BYTES else State.OK, told)


def _journal(
    config: Config, trust: TrustDomain, held: HouseKeys | AuthorityKeys
) -> Check:
    if not (config.data / LEDGER).exists():
        return Check("journal", State.OK, "none yet")
    try:
        ledger = _open(config, trust, held)
    except LedgerLocked:
        return Check("journal", State.OK, "in use by a running node, which checked it")
    except NodeError as error:
        return Check("journal", State.FAIL, str(error), error.hint)
    with closing(ledger):
        stopped = ledger.stopped
        if stopped is not None:
            return Check("journal", State.FAIL, str(stopped), stopped.hint)
        size = ledger.head.size
        told = f"{size:,} entries, whole, not behind the checkpoint beside it"
        return Check("journal", State.OK, told)


def _arithmetic(trust: TrustDomain) -> Check:
    bits = trust.paillier.bits
    if native.available(bits):
        told = f"native core (AVX512-IFMA), {bits}-bit key"
    else:
        told = f"gmpy2, {bits}-bit key: {native.reason() or 'the key is too long'}"
    return Check("arithmetic", State.OK, told)


def _node(
    role: Role,
    address: str,
    trust: TrustDomain,
    held: Keys,
    now_ms: Callable[[], int],
) -> Iterator[Check]:
    with channel(address, held.tls, trust, role) as link:
        journal = journal_pb2_grpc.JournalServiceStub(link)
        request = journal_pb2.GetCheckpointRequest()
        try:
            ask(journal.GetCheckpoint, request, DEADLINE_S)  # opens the channel
            began_ms = now_ms()
            response = ask(journal.GetCheckpoint, request, DEADLINE_S)
        except NodeError as error:
            yield Check(
                role.value, State.FAIL, str(error), f"is it running at `{address}`?"
            )
            return
    ms = now_ms() - began_ms
    yield Check(role.value, State.OK, f"answers at `{address}` within {ms} ms")
    skew_ms = response.now_ms - (began_ms + ms // 2)
    if abs(skew_ms) > clock.REQUEST_SKEW_MS:
        state, hint = State.FAIL, "requests are refused as too old or too new"
    else:
        state, hint = State.WARN if abs(skew_ms) > SKEWED_MS else State.OK, ""
    told = f"{abs(skew_ms)} ms {'behind' if skew_ms > 0 else 'ahead of'} the {role}'s"
    yield Check("clock", state, told, hint)


def _witness(party: str, address: str, role: Role) -> Check:
    if role not in SERVERS:
        raise RuntimeError(f"a {role} has no witnesses")
    try:
        fetch(address, role)
    except Unreachable as error:
        return Check(
            party, State.WARN, str(error), "nothing new is co-signed meanwhile"
        )
    return Check(party, State.OK, f"answers at `{address}`")
