"""What can go wrong around a node, and how a command says so when it ends.

::

    NodeError
    ├── ConfigInvalid      safehouse.toml is not what it must be
    ├── KeystoreInvalid    keys.sealed is missing, loose, malformed, another's
    ├── KeystoreLocked     no passphrase, or one that does not open it
    ├── DomainInvalid      the trust-domain file is edited, foreign, malformed
    ├── PeerRefused        a caller's certificate does not name a party
    ├── InitRefused        a trust domain cannot be made here
    ├── TableInvalid       a CSV or Parquet file cannot be read as a table
    ├── RowsRefused        a table has rows that cannot be taken
    ├── ChecksFailed       something that a party needs is not as it must be
    ├── LedgerLocked       another process has this journal open
    ├── LedgerDamaged      the journal is shorter or other than it was
    ├── LedgerStopped      the journal takes nothing more; the node must stop
    │   └── ClockJumped    until an operator accepts the clock
    ├── LedgerBusy         too many operations are waiting
    ├── RateLimited        one caller calls too often; nothing was decided
    ├── LedgerTimeout      an operation took too long; it may have happened
    ├── BackupInvalid      a backup was changed, or is not this party's
    ├── VaultDamaged       ciphertexts on the disk are not what was pushed
    ├── DiskFull           a disk has too little room; nothing was written
    ├── DocumentConflict   a document contradicts one that is kept already
    ├── NotFound           no such document
    ├── RoleRefused        not this party's business
    ├── Unreachable        another party does not answer; nothing was released
    ├── Refused            another party says what is wrong with a request
    ├── Denied             a call that house or authority refused, signed
    ├── ReplyRefused       a reply that does not prove what it should
    ├── JobUnfinished      a job ended before its last subject
    ├── ExportInvalid      an exported journal does not verify
    │   └── ForkFound      two signed checkpoints contradict each other
    ├── FindingsFound      an audit found something
    └── QueryRefused       a query over exported journals cannot be answered

Every error carries one line, a hint that is printed apart, and the exit code of
the command it ends.  Scripts rely on these numbers, so they never change:

====  =====================================================================
code  the command
====  =====================================================================
0     did what was asked
1     met a bug of ours: a traceback follows, please report it
2     was called wrongly (also what the shell's own conventions use)
3     refused a document: `contracts.errors.ContractError`
4     refused bytes of another party: `protocols.errors.ProtocolError`
10    `ConfigInvalid`
11    `KeystoreInvalid`
12    `KeystoreLocked`
13    `DomainInvalid`
14    `PeerRefused`
15    `InitRefused`
16    `TableInvalid`
17    `RowsRefused`
18    `ChecksFailed`
20    `LedgerLocked`
21    `LedgerDamaged`
22    `LedgerStopped`
23    `ClockJumped`
24    `LedgerBusy`
25    `LedgerTimeout`
26    `VaultDamaged`
27    `RateLimited`
28    `DiskFull`
29    `BackupInvalid`
30    `DocumentConflict`
31    `NotFound`
32    `RoleRefused`
33    `Unreachable`
34    `Refused`
35    `Denied`
36    `ReplyRefused`
37    `JobUnfinished`
40    `ExportInvalid`
41    `ForkFound`
42    `FindingsFound`
43    `QueryRefused`
====  =====================================================================

>>> error = KeystoreLocked("no passphrase", "set `SAFEHOUSE_PASSPHRASE`")
>>> print(error, error.hint, error.exit_code, sep="; ")
no passphrase; set `SAFEHOUSE_PASSPHRASE`; 12
"""

from typing import ClassVar

from protocols.sign import Signed


class NodeError(Exception):
    """Base of this floor: one line, a hint apart, and an exit code."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigInvalid(NodeError):
    """A configuration that is missing, malformed or contradicts itself."""

    exit_code = 10


class KeystoreInvalid(NodeError):
    """A keystore or passphrase file that must not be used as it lies there."""

    exit_code = 11


class KeystoreLocked(NodeError):
    """A keystore for which there is no passphrase, or a wrong one."""

    exit_code = 12


class DomainInvalid(NodeError):
    """A trust-domain file that the pinned root did not sign, or not well-formed."""

    exit_code = 13


class PeerRefused(NodeError):
    """A caller whose certificate does not name exactly one party of the domain."""

    exit_code = 14


class InitRefused(NodeError):
    """A trust domain that cannot be made in this place or of these parties."""

    exit_code = 15


class TableInvalid(NodeError):
    """A file that is not a table, or not one with the columns it must have."""

    exit_code = 16


class RowsRefused(NodeError):
    """A table with bad rows: nothing of it was sent.

    `problems` has a line for each, which may quote the table: for the screen of
    whoever holds it, and for nobody else.
    """

    exit_code = 17

    def __init__(
        self, message: str, hint: str = "", problems: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, hint)
        self.problems = problems


class ChecksFailed(NodeError):
    """Something that a party needs is not as it must be."""

    exit_code = 18


class LedgerLocked(NodeError):
    """A journal that another process has open."""

    exit_code = 20


class LedgerDamaged(NodeError):
    """A journal that is shorter than, or differs from, what it was."""

    exit_code = 21


class LedgerStopped(NodeError):
    """A journal that takes nothing more; what was under way may yet be done."""

    exit_code = 22


class ClockJumped(LedgerStopped):
    """A clock that jumped; the journal waits for an operator to accept it."""

    exit_code = 23


class LedgerBusy(NodeError):
    """A journal with too many operations waiting; nothing was done."""

    exit_code = 24


class RateLimited(NodeError):
    """A caller calls more often than it may; nothing was decided."""

    exit_code = 27


class LedgerTimeout(NodeError):
    """An operation that took too long: it may yet be done, so ask again."""

    exit_code = 25


class VaultDamaged(NodeError):
    """Ciphertexts on the disk that are not what their custodian pushed."""

    exit_code = 26


class DiskFull(NodeError):
    """A disk that has too little room for what was to be written."""

    exit_code = 28


class DocumentConflict(NodeError):
    """A document that contradicts one that is kept already, or its stage."""

    exit_code = 30


class NotFound(NodeError):
    """A document, dataset, block or call that this node does not have."""

    exit_code = 31


class BackupInvalid(NodeError):
    """A backup that is not as its party made it."""

    exit_code = 29


class RoleRefused(NodeError):
    """A party asked for what is not its business."""

    exit_code = 32


class Unreachable(NodeError):
    """Another party does not answer; nothing was released, so trying is safe."""

    exit_code = 33


class Refused(NodeError):
    """Another party says what is wrong with a request; `reason` is its word."""

    exit_code = 34

    def __init__(self, message: str, hint: str = "", reason: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason


# Words of a `Refused` that say no more than: not now.
BUSY = frozenset({"LEDGER_BUSY", "RATE_LIMITED", "RESOURCE_EXHAUSTED", "DISK_FULL"})


class Denied(NodeError):
    """A call that house or authority refused; `denial` is what it signed."""

    exit_code = 35

    def __init__(self, message: str, denial: Signed, reason: str) -> None:
        super().__init__(message)
        self.denial = denial
        self.reason = reason


class ReplyRefused(NodeError):
    """A reply whose signatures, hashes or proofs do not fit the request."""

    exit_code = 36


class JobUnfinished(NodeError):
    """A job failed, was refused or was cancelled."""

    exit_code = 37


class ExportInvalid(NodeError):
    """An exported journal that does not verify; `index` is the first wrong entry."""

    exit_code = 40

    def __init__(self, message: str, hint: str = "", index: int | None = None) -> None:
        super().__init__(message, hint)
        self.index = index


class ForkFound(ExportInvalid):
    """A journal that signed two histories; `notes` are the evidence."""

    exit_code = 41

    def __init__(self, message: str, notes: tuple[str, ...]) -> None:
        super().__init__(message, "keep these checkpoints: their signatures are proof")
        self.notes = notes


class QueryRefused(NodeError):
    """A query over exported journals that cannot be answered."""

    exit_code = 43


class FindingsFound(NodeError):
    """Journals that are whole, and say what must not be."""

    exit_code = 42
