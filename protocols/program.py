r"""Scorecards as exact integers, and as the fewest products of ciphertexts.

A contract compiles to one integer weight a column and to groups of flags
(PROTOCOL 2).  A slot of the result holds, from the lowest bit::

    | score, m + 1 bits | group 0 | group 1 | ... | insufficient_data |

    score     total = shift + sum of weight x value, 0 .. top in good order
    group     V = number of its flags that are set; a veto if not 0
    last      V = datasets - sum of their `_present` columns

Every field holds **twice** its value: a carry from the field below, when the
house adds its mask, makes 2v into 2v + 1 and no more.  That lowest bit of a
field is the guard bit.  A field has room for its largest value doubled, plus
the guard bit; else 32 flags would wrap round to "no veto".  A field that does not fit
into the 40 bits of a slot begins, with all that follow, the same slot of a second
ciphertext: a wide score needs one.  2^m >= 2 (top + 1):
the upper half of the score field is the guard zone, where no total belongs.

*One column, one exponent.*  In slots, "score plus 2^offset times V" is again a
weighted sum, so a contract is one product of powers,

    C = ( prod_j  c_j ^ e_j )^2         e_j = weight_j + sum of +-2^offset_g

computed for all subjects of a block at once.  Columns with e_j < 0 are
multiplied apart and inverted, all together or first, by exponent.  Constants are
not encrypted: they join the mask (`protocols.lookup`).  The exponents are known
when the contract is compiled, so the products are laid out once, by whichever
takes the fewest:

- plain: each power by squaring, left to right;
- Straus with sliding windows, one row of squarings shared by all columns
  (E. G. Straus, Amer. Math. Monthly 71, 1964);
- Bos and Coster: A^a B^b = A^(a - b) (A B)^b on the two largest exponents
  (J. Bos and M. Coster, CRYPTO 1989, section 4; de Rooij, EUROCRYPT 1994), and
  A^(b + c) B^b C^c = (A B)^b (A C)^c where the largest is a sum of two others.

36 weights of 16 bits take about 140 products instead of 800.  The result is a
list of pairs of register numbers that a loop interprets; nothing is executed
that came out of a document.

>>> groups = (Group("court", (1,), 1, 0), Group(INSUFFICIENT_DATA, (2,), -1, 1))
>>> card = Scorecard(
...     weights=(3, 0, 0), shift=0, top=30, m=6, steps=((0, 0), (15, 1)),
...     groups=groups, fields=Scorecard.layout(6, groups),
... )
>>> [(field.offset, field.bits) for field in card.fields], card.exponents
([(0, 7), (7, 6), (13, 6)], (3, 128, -8192))
>>> [card.code_of(column) for column in ([4, 0, 1], [5, 0, 1], [5, 1, 1], [5, 1, 0])]
[0, 1, -2, -3]
"""

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from protocols import native
from protocols.errors import CiphertextInvalid, FormatError
from protocols.paillier import Ciphertext, PublicKey, ciphertext_from_bytes
from protocols.slots import SLOT_BITS, Field

INSUFFICIENT_DATA: Final = "insufficient_data"
OUT_OF_RANGE: Final = -1  # codes: an outcome's index, -1, or -2 - g for group g
MAX_OUTCOMES = 64
MOST_PARTS = 2  # ciphertexts of one message
LEAST_GROUP_BITS = 6  # small groups all look alike, and take a few more flags


@dataclass(frozen=True, slots=True)
class Group:
    """Columns whose sum must be zero: flags of a veto, or missing datasets."""

    name: str  # reason code
    members: tuple[int, ...]  # column numbers
    sign: int  # +1: V = constant + sum;  -1: V = constant - sum
    constant: int

    @property
    def largest(self) -> int:
        """The largest V, with columns of 0 and 1."""
        return self.constant + (len(self.members) if self.sign > 0 else 0)

    @property
    def bits(self) -> int:
        """Bits of the field: V doubled, and the guard bit never overflows it."""
        return max(LEAST_GROUP_BITS, self.largest.bit_length() + 1)

    def check(self, columns: int) -> None:
        """Raise `FormatError` unless this is a group over some of `columns`."""
        members = self.members
        if not members or len(set(members)) != len(members):
            raise FormatError(f"group `{self.name}` is empty or repeats a column")
        if not all(0 <= column < columns for column in members):
            raise FormatError(f"group `{self.name}` names a column that is not there")
        if self.sign not in (1, -1):
            raise FormatError(f"group `{self.name}`: expected sign 1 or -1")
        # V = 0 must mean "nothing is set" or "all are present", and nothing else
        if self.constant != (0 if self.sign > 0 else len(members)):
            raise FormatError(f"group `{self.name}`: its constant does not cancel")


@dataclass(frozen=True, slots=True)
class Scorecard:
    """What a contract computes; raises `FormatError` for one that cannot be right.

    Limits of columns are not known here: the compiler answers for `shift` and
    `top` (contracts.compile).
    """

    weights: tuple[int, ...]  # one per column, 0 and negative ones included
    shift: int  # added to the score, so that no total is negative
    top: int  # totals run from 0 to top
    m: int  # 2^m >= 2 (top + 1)
    steps: tuple[tuple[int, int], ...]  # (first total, outcome index), ascending
    groups: tuple[Group, ...]  # contract order, insufficient_data last
    fields: tuple[Field, ...]  # as `layout` makes them
    added: int = 0  # the bank adds a number of 0 to this, which is in `top`

    @staticmethod
    def layout(m: int, groups: Sequence[Group]) -> tuple[Field, ...]:
        """Place the score field and the groups' fields in a slot."""
        fields = [Field(0, m + 1)]
        for group in groups:
            at = fields[-1].offset + fields[-1].bits
            if at % SLOT_BITS + group.bits > SLOT_BITS:
                at += -at % SLOT_BITS
            fields.append(Field(at, group.bits))
        return tuple(fields)

    def __post_init__(self) -> None:
        """Check.

        1 groups: shape, names of their own, insufficient_data last
        2 numbers: shift, top, m, and what the bank may add
        3 steps: from total 0, ascending, within the totals
        4 fields: laid out as `layout` says, within two ciphertexts
        """
        self._check_groups()  # 1
        if self.shift < 0 or self.top < 0:  # 2
            raise FormatError("`shift` and `top` are not negative")
        if 1 << self.m < 2 * (self.top + 1):
            raise FormatError(f"no guard zone: m = {self.m} for totals to {self.top}")
        if not 0 <= self.added <= self.top:
            raise FormatError("what a bank may add is more than the largest total")
        self._check_steps()  # 3
        if self.fields != self.layout(self.m, self.groups):  # 4
            raise FormatError("fields are not laid out as the groups ask")
        bits = self.fields[-1].offset + self.fields[-1].bits
        if self.m + 1 > SLOT_BITS or bits > MOST_PARTS * SLOT_BITS:
            raise FormatError(
                f"fields need {bits} bits, two slots have {MOST_PARTS * SLOT_BITS}",
                "fewer veto groups, or coarser points",
            )

    @property
    def parts(self) -> int:
        """How many ciphertexts the fields need: 1 or 2."""
        return self.fields[-1].part + 1

    @property
    def exponents(self) -> tuple[int, ...]:
        """e_j: the weight of column j in the slot as a whole."""
        return self.exponents_of(0)

    def exponents_of(self, part: int) -> tuple[int, ...]:
        """e_j in the slot of the first or of the second ciphertext."""
        whole = [0] * len(self.weights) if part else list(self.weights)
        for group, field in zip(self.groups, self.fields[1:], strict=True):
            for column in group.members if field.part == part else ():
                whole[column] += group.sign << field.lowest
        return tuple(whole)

    @property
    def constant(self) -> int:
        """What every slot gains besides the columns; joins the mask in plaintext."""
        return self.constant_of(0)

    def constant_of(self, part: int) -> int:
        """Do so in the slot of the first or of the second ciphertext."""
        fields = zip(self.groups, self.fields[1:], strict=True)
        return (0 if part else self.shift) + sum(
            g.constant << field.lowest for g, field in fields if field.part == part
        )

    @property
    def precedence(self) -> tuple[int, ...]:
        """Groups as they are reported: insufficient_data, then contract order."""
        return tuple(sorted(range(len(self.groups)), key=lambda g: self.groups[g].sign))

    def total_of(self, values: Sequence[int]) -> int:
        """Score one subject literally: the definition that all else must meet."""
        return self.shift + sum(
            weight * int(value)
            for weight, value in zip(self.weights, values, strict=True)
        )

    def code_of(self, values: Sequence[int], added: int = 0) -> int:
        """Decide one subject in plaintext, for golden examples and tests.

        `added` is the bank's number, within its range: beyond it nothing can be read.
        """
        for g in self.precedence:
            group = self.groups[g]
            flags = sum(int(values[column]) for column in group.members)
            if group.constant + group.sign * flags != 0:
                return -2 - g
        total = self.total_of(values) + added
        if not 0 <= total <= self.top:
            return OUT_OF_RANGE
        return [outcome for first, outcome in self.steps if first <= total][-1]

    def _check_groups(self) -> None:
        for group in self.groups:
            group.check(len(self.weights))
        names = [group.name for group in self.groups]
        if len(set(names)) != len(names):
            raise FormatError("two groups have one name")
        # without it, or with its sign inverted, an empty slot scores as a person
        inverted = [group.name for group in self.groups if group.sign < 0]
        if not names[-1:] == inverted == [INSUFFICIENT_DATA]:
            raise FormatError(
                f"expected `{INSUFFICIENT_DATA}`, the one group of sign -1, to be last"
            )

    def _check_steps(self) -> None:
        firsts = [first for first, _ in self.steps]
        if firsts[:1] != [0] or firsts != sorted(set(firsts)):
            raise FormatError("`steps` do not ascend from total 0")
        if firsts[-1] > self.top:
            raise FormatError("`steps` go beyond the largest total")
        if not all(0 <= outcome < MAX_OUTCOMES for _, outcome in self.steps):
            raise FormatError(f"expected outcomes of 0 to {MAX_OUTCOMES - 1}")


# -- products ------------------------------------------------------------------

Powers: TypeAlias = Mapping[int, int]  # register -> exponent, all positive
Products: TypeAlias = tuple[tuple[int, int], ...]

_INVERSE = native.INVERSE  # in place of a second register
_INVERSION_COST = 5  # products of the same length, measured


class _Writer:
    """Writes down products of registers; the inputs are registers 0, 1, ..."""

    def __init__(self, inputs: int) -> None:
        self.products: list[tuple[int, int]] = []
        self._next = inputs

    @property
    def cost(self) -> int:
        """What has been written so far, in products."""
        inversions = sum(b == _INVERSE for _, b in self.products)
        return len(self.products) + (_INVERSION_COST - 1) * inversions

    def multiply(self, a: int, b: int) -> int:
        """Write one product; return its register."""
        self.products.append((a, b))
        self._next += 1
        return self._next - 1

    def invert(self, register: int) -> int:
        """Write one inversion; return its register."""
        return self.multiply(register, _INVERSE)

    def power(self, register: int, exponent: int) -> int:
        """Raise by squaring, from the highest bit down (Knuth, TAOCP 2, 4.6.3)."""
        result = register
        for bit in f"{exponent:b}"[1:]:
            result = self.multiply(result, result)
            if bit == "1":
                result = self.multiply(result, register)
        return result

    def product(self, registers: Sequence[int]) -> int:
        """Multiply some registers together; at least one."""
        result = registers[0]
        for register in registers[1:]:
            result = self.multiply(result, register)
        return result


LayOut: TypeAlias = Callable[[Powers, _Writer], int]


def _plain(powers: Powers, writer: _Writer) -> int:
    return writer.product([writer.power(r, e) for r, e in powers.items()])


def _straus(window: int) -> LayOut:
    def lay_out(powers: Powers, writer: _Writer) -> int:
        digits: dict[int, list[int]] = {}  # bit position -> registers to multiply in
        for register, exponent in powers.items():
            places = _odd_digits(exponent, window)
            odd = _odd_powers(register, max(places.values()), writer)
            for position, digit in places.items():
                digits.setdefault(position, []).append(odd[digit])
        highest = max(digits)
        result = writer.product(digits[highest])
        for position in range(highest - 1, -1, -1):
            result = writer.multiply(result, result)
            result = writer.product([result, *digits.get(position, [])])
        return result

    return lay_out


def _odd_digits(exponent: int, window: int) -> dict[int, int]:
    """Cut an exponent into odd digits of at most `window` bits, by position."""
    digits, position = {}, 0
    while exponent >> position:
        if exponent >> position & 1:
            digits[position] = exponent >> position & (1 << window) - 1
            position += window
        else:
            position += 1
    return digits


def _odd_powers(register: int, most: int, writer: _Writer) -> dict[int, int]:
    """Write register^1, ^3, ^5, ... ^most."""
    powers = {1: register}
    if most > 1:
        square = writer.multiply(register, register)
        for odd in range(3, most + 1, 2):
            powers[odd] = writer.multiply(powers[odd - 2], square)
    return powers


def _bos_coster(powers: Powers, writer: _Writer) -> int:
    register_of: dict[int, int] = {}
    exponents: list[int] = []  # ascending

    def put(exponent: int, register: int) -> None:
        if exponent in register_of:  # A^e B^e = (A B)^e
            register_of[exponent] = writer.multiply(register_of[exponent], register)
        else:
            register_of[exponent] = register
            bisect.insort(exponents, exponent)

    for register, exponent in powers.items():
        put(exponent, register)
    while True:
        largest = exponents.pop()
        register = register_of.pop(largest)
        if not exponents:
            return writer.power(register, largest)
        second = exponents[-1]
        if largest >= 2 * second:  # far apart: halving is cheaper
            if largest & 1:
                put(1, register)
            put(largest >> 1, writer.multiply(register, register))
            continue
        part = next((e for e in exponents if largest - e in register_of), second)
        if largest == 2 * part:
            put(part, writer.multiply(register, register))
        else:
            put(part, register)
            put(largest - part, register)


_LAYOUTS = (_plain, *(_straus(window) for window in range(1, 6)), _bos_coster)


def _divide_last(exponents: Sequence[int], lay_out: LayOut, writer: _Writer) -> int:
    """Multiply the columns of negative exponent apart, and invert the product."""
    sides = []
    if gains := {j: e for j, e in enumerate(exponents) if e > 0}:
        sides.append(lay_out(gains, writer))
    if losses := {j: -e for j, e in enumerate(exponents) if e < 0}:
        sides.append(writer.invert(lay_out(losses, writer)))
    return writer.product(sides)


def _divide_first(exponents: Sequence[int], lay_out: LayOut, writer: _Writer) -> int:
    """Invert the columns of each negative exponent together, then share squarings.

    Presence columns all have one exponent, so this is the usual case.
    """
    powers = {j: e for j, e in enumerate(exponents) if e > 0}
    for exponent in sorted({e for e in exponents if e < 0}):
        columns = [j for j, e in enumerate(exponents) if e == exponent]
        powers[writer.invert(writer.product(columns))] = -exponent
    return lay_out(powers, writer)


def _compile(exponents: Sequence[int]) -> _Writer:
    """Lay out every way; return the cheapest, whose last product is the result."""
    writers = []
    for divide in (_divide_last, _divide_first):
        for lay_out in _LAYOUTS:
            writer = _Writer(len(exponents))
            result = divide(exponents, lay_out, writer)
            writer.multiply(result, result)  # doubled: one guard bit a field
            writers.append(writer)
    return min(writers, key=lambda writer: writer.cost)


class Program:
    """A scorecard laid out as products; compiled once, run for every block.

    `part` is which of its ciphertexts it computes.
    """

    __slots__ = ("_cores", "_products", "card")

    def __init__(self, card: Scorecard, part: int = 0) -> None:
        self.card = card
        self._products: Products = tuple(_compile(card.exponents_of(part)).products)
        self._cores: dict[str, native.ProgramCore] = {}  # by key id

    @property
    def products(self) -> int:
        """Products a block costs, an inversion counted as one."""
        return len(self._products)

    def run(self, public: PublicKey, ciphertexts: Sequence[Ciphertext]) -> Ciphertext:
        """Compute 2 (columns' part of every slot), without the constant.

        THE RESULT NEVER LEAVES THE HOUSE: it is neither masked nor
        re-randomised.  `protocols.lookup.house_message` is its only way out.

        `ciphertexts` has one for every column.  Raises `CiphertextInvalid` when
        one that is divided by is not a unit.
        """
        if len(ciphertexts) != len(self.card.weights):
            raise RuntimeError(
                f"expected {len(self.card.weights)} columns, got {len(ciphertexts)}"
            )
        core = self._core(public)
        if core is not None:
            with _units():
                return ciphertext_from_bytes(core.run(ciphertexts))
        n2, registers = public.n2, list(ciphertexts)
        for a, b in self._products:
            if b == _INVERSE:
                registers.append(_inverse(registers[a], n2))
            else:
                registers.append(registers[a] * registers[b] % n2)
        return registers[-1]

    def run_records(
        self, public: PublicKey, blocks: Sequence[bytes]
    ) -> list[Ciphertext]:
        """Run every block, given as its columns' records in one piece.

        THE RESULTS NEVER LEAVE THE HOUSE, as with `run`, which this agrees with and
        raises like.  The native core is sooner with eight blocks than with one.
        """
        core, size = self._core(public), public.ciphertext_bytes
        if any(len(block) != size * len(self.card.weights) for block in blocks):
            raise RuntimeError(f"expected {len(self.card.weights)} columns a block")
        if core is None:
            starts = range(0, size * len(self.card.weights), size)
            columns = (
                [ciphertext_from_bytes(block[i : i + size]) for i in starts]
                for block in blocks
            )
            return [self.run(public, each) for each in columns]
        with _units():
            return [ciphertext_from_bytes(record) for record in core.records(blocks)]

    def _core(self, public: PublicKey) -> native.ProgramCore | None:
        if not native.available(public.bits):
            return None
        core = self._cores.get(public.key_id)
        if core is None:
            columns = len(self.card.weights)
            core = native.ProgramCore(public.n, columns, self._products)
            self._cores[public.key_id] = core
        return core


@contextmanager
def _units() -> Iterator[None]:
    """Name what the native core cannot invert."""
    try:
        yield
    except ZeroDivisionError:
        raise CiphertextInvalid("a stored ciphertext is not a unit") from None


def _inverse(value: Ciphertext, n2: Ciphertext) -> Ciphertext:
    try:
        return pow(value, -1, n2)
    except (ZeroDivisionError, ValueError):
        raise CiphertextInvalid("a stored ciphertext is not a unit") from None
