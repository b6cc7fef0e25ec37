"""Which gate opens a contract's outcomes, and what computes a single call.

======  ===================  ======================================================
gate    score of             why
======  ===================  ======================================================
flat    at most 13 bits      one table, at most 16 kB: nothing is quicker
split   14 to 16 bits        two small tables instead of one of 2^(m + 1) bytes
thr     17 to 39 bits;       two keys of 1 kB instead of tables; 1 ms more, and half
        every query          a millisecond for each dozen thresholds
======  ===================  ======================================================

Every gate is exact to the integer.  A job has its own rule (`Compiled.batch`): split
tables up to 21 bits, which are made for a block at once.

A contract whose fields do not fit into one slot is computed by two programs, into two
ciphertexts; a query with a wide column needs that.
"""

from collections.abc import Sequence
from typing import Final

from contracts.compiled import Compiled
from contracts.contract import ContractKind
from protocols.lookup import NO_OUTCOME, FlatGate, Gate
from protocols.paillier import Ciphertext, PublicKey
from protocols.program import Program, Scorecard
from protocols.split import SplitGate
from protocols.thr import ThrGate

FLAT_BITS: Final = 13
SPLIT_BITS: Final = 16


def pick(kind: ContractKind, card: Scorecard) -> str:
    """Name the gate of a contract."""
    if not kind.scored:
        return ThrGate.name
    for gate, most in ((FlatGate, FLAT_BITS), (SplitGate, SPLIT_BITS)):
        if card.m <= most:
            return gate.name
    return ThrGate.name


def why(compiled: Compiled) -> str:
    """Say why a contract has the gate it has."""
    bits = compiled.card.m
    rows = f"2^{bits + 1} rows"
    if not compiled.kind.scored:
        return "a query compares with thresholds, whatever the column's width"
    return {
        FlatGate.name: f"one table of {rows} is the quickest",
        SplitGate.name: f"two-level tables are small where one has {rows}",
        ThrGate.name: f"two keys take the place of a table of {rows}",
    }[compiled.gate]


def gate_of(compiled: Compiled) -> Gate:
    """Make the gate of a single call; raises `FormatError` if its score is too wide."""
    if compiled.gate == ThrGate.name:
        return ThrGate(compiled.card, _outside(compiled))
    if compiled.gate == SplitGate.name:
        return SplitGate(compiled.card)
    return FlatGate(compiled.card)


def _outside(compiled: Compiled) -> int:
    """Return the byte of the guard zone.

    A claim that a bank made up may push a total there; what it is told must not
    depend on that, or it compares where it may only match.
    """
    return NO_OUTCOME if compiled.claim is None else compiled.card.steps[0][1]


class Machine:
    """The programs of a contract, one a ciphertext, and its gate; made once."""

    __slots__ = ("gate", "programs")

    def __init__(self, compiled: Compiled) -> None:
        self.gate = gate_of(compiled)
        parts = range(compiled.card.parts)
        self.programs = tuple(Program(compiled.card, part) for part in parts)

    def totals(
        self, public: PublicKey, columns: Sequence[Ciphertext]
    ) -> tuple[Ciphertext, ...]:
        """Run the programs over a block.

        What comes out never leaves the house but through `lookup.mask`.
        """
        return tuple(program.run(public, columns) for program in self.programs)
