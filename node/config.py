r"""What a party's `safehouse.toml` says: one file, strict.

::

    role = "house"
    id = "house"
    domain = "domain.json"          # the signed trust-domain file
    root_key = "3b6a27bc..."        # the root key that must have signed it
    keystore = "keys.sealed"
    data = "data"                   # everything that is not a key
    listen = "127.0.0.1:7443"       # house, authority and witnesses only
    passphrase_file = "passphrase"  # optional, mode 0600

    metrics = "127.0.0.1:9464"      # optional, for Prometheus; house and authority
    reflection = false              # optional, whether gRPC describes its services

    [peers]                         # whom it calls
    house = "127.0.0.1:7443"        # all but the nodes
    authority = "127.0.0.1:7444"    # the house, registrars, auditors

    [witnesses]                     # optional, who co-signs a node's checkpoints
    regulator = "127.0.0.1:7445"

    [jobs]                          # optional: where the house computes jobs
    executor = "dask"               # `processes` of this machine by default
    scheduler = "tls://10.0.0.5:8786"

    [limits]                        # optional, these are the defaults
    message_bytes = 4194304
    concurrency = 32                # calls at the same time
    deadline_ms = 30000             # of a call that it makes
    calls_per_second = 500          # of one bank
    workers = 0                     # processes that compute jobs; 0: one a core
    journal_cache_mb = 200          # of the journal's pages that a node keeps in memory

Paths are relative to the file.  An unknown key is refused with its line: a
misspelt limit that silently means "no limit" is how systems are opened.

>>> root = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
>>> parse(f'role = "auditor"\nid = "a"\nroot_kee = "{root}"', Path("x/safehouse.toml"))
Traceback (most recent call last):
    ...
node.errors.ConfigInvalid: x/safehouse.toml:3: unknown key `root_kee`
"""

import difflib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.domain import KEY_BYTES, PARTY_ID, SERVERS, Role
from node.errors import ConfigInvalid

FILE_NAME: Final = "safehouse.toml"
MESSAGE_BYTES: Final = 4 << 20
CONCURRENCY: Final = 32
PROCESSES: Final = "processes"
DASK: Final = "dask"
DEADLINE_MS: Final = 30_000
CALLS_PER_SECOND: Final = 500
JOURNAL_CACHE_MB: Final = 200  # a district's register of consents fits

ADDRESS: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]+\]):(\d{1,5})")
KEYS: Final = {
    "": (
        *("role", "id", "domain", "root_key", "keystore", "data", "listen"),
        *("passphrase_file", "metrics", "reflection", "peers", "limits", "witnesses"),
        "jobs",
    ),
    "peers": ("house", "authority"),
    "jobs": ("executor", "scheduler"),
    "limits": (
        *("message_bytes", "concurrency", "deadline_ms", "workers"),
        *("calls_per_second", "journal_cache_mb"),
    ),
}
PEERS: Final[dict[Role, tuple[Role, ...]]] = {
    Role.HOUSE: (Role.AUTHORITY,),
    Role.AUTHORITY: (),
    Role.BANK: (Role.HOUSE,),
    Role.CUSTODIAN: (Role.HOUSE,),
    Role.REGISTRAR: (Role.HOUSE, Role.AUTHORITY),
    Role.AUDITOR: (Role.HOUSE, Role.AUTHORITY),
    Role.WITNESS: (),
}
LISTENERS: Final = SERVERS | {Role.WITNESS}

_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Limits:
    """What one party takes from another."""

    message_bytes: int = MESSAGE_BYTES
    concurrency: int = CONCURRENCY
    deadline_ms: int = DEADLINE_MS
    workers: int = 0  # processes that compute jobs; 0: one a core
    calls_per_second: int = CALLS_PER_SECOND  # of one bank
    journal_cache_mb: int = JOURNAL_CACHE_MB


@dataclass(frozen=True, slots=True)
class Config:
    """A party's configuration; all paths absolute or relative to the process."""

    role: Role
    id: str
    domain: Path
    root_key: Ed25519PublicKey
    keystore: Path
    data: Path
    listen: str  # "" for all but house and authority
    passphrase_file: Path | None
    house: str  # "" for those who do not call it
    authority: str
    limits: Limits
    witnesses: tuple[tuple[str, str], ...] = ()  # party, host:port
    metrics: str = ""  # host:port
    scheduler: str = ""  # of a Dask cluster that computes jobs; else processes here
    reflection: bool = False


def load(path: Path) -> Config:
    """Read the file at `path`, or `safehouse.toml` in the folder `path`.

    Raises `ConfigInvalid`.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        return parse(file.read_text("utf-8"), file)
    except OSError as error:
        raise ConfigInvalid(
            f"cannot read `{file}`: {error.strerror}", "`safehouse init` makes one"
        ) from None
    except UnicodeDecodeError:
        raise ConfigInvalid(f"`{file}` is not UTF-8") from None


def parse(text: str, path: Path) -> Config:
    """Read `text` as the content of `path`; raises `ConfigInvalid`."""
    try:
        table = _Table(tomllib.loads(text), text, path)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(path, str(error)) from None
    role = _role(table)
    limits, peers = table.table("limits"), table.table("peers")
    here = path.parent
    passphrase_file = table.text("passphrase_file")
    config = Config(
        role=role,
        id=_matching(table, "id", PARTY_ID, "the id of a party"),
        domain=here / table.required("domain"),
        root_key=_public_key(table, "root_key"),
        keystore=here / table.required("keystore"),
        data=here / table.required("data"),
        listen=_address(table, "listen", needed=role in LISTENERS),
        passphrase_file=here / passphrase_file if passphrase_file else None,
        house=_address(peers, "house", needed=Role.HOUSE in PEERS[role]),
        authority=_address(peers, "authority", needed=Role.AUTHORITY in PEERS[role]),
        limits=Limits(
            limits.number("message_bytes", MESSAGE_BYTES, range(1 << 10, 1 << 30)),
            limits.number("concurrency", CONCURRENCY, range(1, 4097)),
            limits.number("deadline_ms", DEADLINE_MS, range(1, 86_400_001)),
            limits.number("workers", 0, range(257)),
            limits.number("calls_per_second", CALLS_PER_SECOND, range(1, 1_000_001)),
            limits.number("journal_cache_mb", JOURNAL_CACHE_MB, range(1, 65_537)),
        ),
        witnesses=_witnesses(table.table("witnesses", PARTY_ID)),
        metrics=_address(table, "metrics", needed=False),
        reflection=table.flag("reflection"),
        scheduler=_scheduler(table.table("jobs")),
    )
    if config.listen and role not in LISTENERS:
        table.refuse("listen", f"a {role} does not listen")
    if config.scheduler and role is not Role.HOUSE:
        table.refuse("jobs", f"a {role} computes no jobs")
    if config.metrics and role not in SERVERS:
        table.refuse("metrics", f"a {role} serves no metrics")
    if config.witnesses and role not in SERVERS:
        table.refuse("witnesses", f"a {role} keeps no journal to be witnessed")
    return config


class _Table:
    """One table of the file: knows its keys, and names lines in errors."""

    def __init__(
        self,
        content: dict[str, object],
        text: str,
        path: Path,
        name: str = "",
        names: re.Pattern[str] | None = None,
    ) -> None:
        self._content, self._text, self._path, self._name = content, text, path, name
        for key in content:
            if names is not None:
                if not names.fullmatch(key):
                    self.refuse(key, f"`{self._full(key)}`: expected the id of a party")
            elif key not in KEYS[name]:
                near = difflib.get_close_matches(key, KEYS[name], 1)
                hint = f"did you mean `{near[0]}`?" if near else ""
                self.refuse(key, f"unknown key `{self._full(key)}`", hint)

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def table(self, key: str, names: re.Pattern[str] | None = None) -> "_Table":
        value = self._content.get(key, {})
        if not isinstance(value, dict):
            self.refuse(key, f"`{key}`: expected a table")
        return _Table(value, self._text, self._path, key, names)

    def text(self, key: str) -> str | None:
        value = self._content.get(key)
        if value is not None and not isinstance(value, str):
            self.refuse(key, f"`{self._full(key)}`: expected a string")
        return value or None

    def required(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise ConfigInvalid(f"{self._path}: missing key `{self._full(key)}`")
        return value

    def number(self, key: str, default: int, span: range) -> int:
        value = self._content.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value not in span:
            message = f"expected {span[0]} to {span[-1]}, got `{value}`"
            self.refuse(key, f"`{self._full(key)}`: {message}")
        return value

    def flag(self, key: str) -> bool:
        value = self._content.get(key, False)
        if not isinstance(value, bool):
            self.refuse(key, f"`{self._full(key)}`: expected true or false")
        return value

    def refuse(self, key: str, message: str, hint: str = "") -> NoReturn:
        line = self._line(key)
        where = f"{self._path}:{line}" if line else str(self._path)
        raise ConfigInvalid(f"{where}: {message}", hint)

    def _full(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def _line(self, key: str) -> int:
        """Find the line of `key`; 0 if it is written in a way we do not look for."""
        table = ""
        for number, line in enumerate(self._text.splitlines(), 1):
            if header := re.match(r"\s*\[+\s*\"?([^\"\]]*?)\"?\s*\]+", line):
                table = header[1]
                if not self._name and table == key:
                    return number
            elif table == self._name and re.match(
                rf"\s*\"?{re.escape(key)}\"?\s*=", line
            ):
                return number
        return 0


def _syntax(path: Path, message: str) -> ConfigInvalid:
    position = _POSITION.search(message)
    text = _POSITION.sub("", message)
    text = text[:1].lower() + text[1:]
    if position is None or position[1] is None:
        return ConfigInvalid(f"{path}: {text}")
    return ConfigInvalid(f"{path}:{position[1]}:{position[2]}: {text}")


def _role(table: _Table) -> Role:
    name = table.required("role")
    if name not in set(Role):
        near = difflib.get_close_matches(name, list(Role), 1)
        hint = f"did you mean `{near[0]}`?" if near else f"one of {', '.join(Role)}"
        table.refuse("role", f"unknown role `{name}`", hint)
    return Role(name)


def _matching(table: _Table, key: str, pattern: re.Pattern[str], what: str) -> str:
    value = table.required(key)
    if not pattern.fullmatch(value):
        table.refuse(key, f"`{key}`: expected {what}, got `{value}`")
    return value


def _public_key(table: _Table, key: str) -> Ed25519PublicKey:
    what = f"{2 * KEY_BYTES} hexadecimal digits"
    pattern = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}")
    value = _matching(table, key, pattern, what)
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(value))


def _scheduler(table: _Table) -> str:
    executor = table.text("executor") or PROCESSES
    if executor not in (PROCESSES, DASK):
        table.refuse("executor", f"`jobs.executor`: expected `{PROCESSES}` or `{DASK}`")
    scheduler = table.text("scheduler") or ""
    if (executor == DASK) != bool(scheduler):
        table.refuse(
            "scheduler" if scheduler else "executor",
            '`jobs.scheduler`: expected with `executor = "dask"`, and only then',
        )
    return scheduler


def _witnesses(table: _Table) -> tuple[tuple[str, str], ...]:
    return tuple((key, _address(table, key, needed=True)) for key in table)


def _address(table: _Table, key: str, *, needed: bool) -> str:
    value = table.required(key) if needed else table.text(key)
    if value is None:
        return ""
    match = ADDRESS.fullmatch(value)
    if match is None or int(match[1]) > _MAX_PORT:
        table.refuse(key, f"`{key}`: expected `host:port`, got `{value}`")
    return value
