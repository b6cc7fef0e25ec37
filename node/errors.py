"""What can go wrong around a node, and how a command says so when it ends.

::

    NodeError
    ├── ConfigInvalid      safehouse.toml is not what it must be
    ├── KeystoreInvalid    keys.sealed is missing, loose, malformed, another's
    ├── KeystoreLocked     no passphrase, or one that does not open it
    ├── DomainInvalid      the trust-domain file is edited, foreign, malformed
    ├── PeerRefused        a caller's certificate does not name a party
    └── InitRefused        a trust domain cannot be made here

Every error carries one line, a hint that is printed apart, and the exit code of
the command it ends.  Scripts rely on these numbers, so they never change:

====  =====================================================================
code  the command
====  =====================================================================
0     did what was asked
1     met a bug of ours: a traceback follows, please report it
2     was called wrongly (also what the shell's own conventions use)
10    `ConfigInvalid`
11    `KeystoreInvalid`
12    `KeystoreLocked`
13    `DomainInvalid`
14    `PeerRefused`
15    `InitRefused`
20    and up: the journal and the store
30    and up: calls that another party refused
40    and up: what an auditor found
====  =====================================================================

>>> error = KeystoreLocked("no passphrase", "set `SAFEHOUSE_PASSPHRASE`")
>>> print(error, error.hint, error.exit_code, sep="; ")
no passphrase; set `SAFEHOUSE_PASSPHRASE`; 12
"""

from typing import ClassVar


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
