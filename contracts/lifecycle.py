"""The signed steps in a contract's life: submit, approve, activate, retire.

    submitted ──every custodian approves──▶ ──author activates──▶ active ──▶ retired

=============  ===========================  =================================
step           signed by                    names
=============  ===========================  =================================
`Submission`   the author                   source text and compiled hash
`Approval`     each custodian whose data    compiled hash
               the contract reads
`Activation`   the author                   compiled hash
`Retirement`   the author or one of the     compiled hash
               custodians, at any time
=============  ===========================  =================================

Everybody compiles the source text anew and signs, or checks, the hash of the
exact integers that come out; nobody signs YAML.  A contract never changes: a
change is a new version, and what is retired stays so.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from protocols.canon import Reader, Tag, dumps, loads

HASH_BYTES = 32


class Stage(StrEnum):
    """Where a contract is in its life."""

    SUBMITTED = "submitted"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Submission:
    """An author's contract, as text and as the hash of what it compiles to."""

    author: str
    contract: bytes  # hash of the compiled contract
    source: str

    VERSION = "safehouse/contract-submission/1"
    TAG = Tag.CONTRACT_SUBMISSION

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": self.VERSION,
                "author": self.author,
                "contract": self.contract.hex(),
                "source": self.source,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Submission":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, cls.VERSION))
        submission = cls(
            reader.text("author"),
            reader.hex("contract", HASH_BYTES),
            reader.text("source"),
        )
        reader.close()
        return submission


@dataclass(frozen=True, slots=True)
class _Step:
    """A party says one thing about one contract."""

    party: str
    contract: bytes

    VERSION = ""

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {"v": self.VERSION, "party": self.party, "contract": self.contract.hex()}
        )

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, cls.VERSION))
        step = cls(reader.text("party"), reader.hex("contract", HASH_BYTES))
        reader.close()
        return step


@dataclass(frozen=True, slots=True)
class Approval(_Step):
    """A custodian lets a contract read its data."""

    VERSION = "safehouse/approval/1"
    TAG = Tag.APPROVAL


@dataclass(frozen=True, slots=True)
class Activation(_Step):
    """The author puts a contract in force."""

    VERSION = "safehouse/activation/1"
    TAG = Tag.ACTIVATION


@dataclass(frozen=True, slots=True)
class Retirement(_Step):
    """The author or a custodian takes a contract out of force, for ever."""

    VERSION = "safehouse/retirement/1"
    TAG = Tag.RETIREMENT
