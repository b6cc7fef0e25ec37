r"""Private set intersection (隐私求交): which of a bank's customers are on a list.

[S] Diffie-Hellman PSI: Meadows 1986; Huberman, Franklin, Hogg 1999; in the blinded
form of RFC 9497 (OPRF, 3.3.1), over ristretto255.  The second scalar and who holds
which are [C]omposed here.  Attacked in tests/attacks, not yet reviewed by others.

With P(x) = the subject x hashed to the group, under the list's name and version::

    custodian  s random, for this version only;  X = sorted { s P(x) : x on the list }
               X -> house;   s -> authority, sealed; S = s G is in the signed manifest
    bank       b random, for this session only;  Q = sorted { b P(y) : y a customer }
    house      decides, journals;  t = from the session's seed
    authority  decides, counts the session, journals;  E_j = s Q_j        same order
    house      Z_j = t E_j   same order;   Y = sorted { t X_i }           no order kept
    bank       y_j is on the list  <=>  (1 / b) Z_j = t s P(y_j)  is one of Y

*What each holds, and why none alone can try the 30 million identifiers of a county.*
All of them may have the pepper, so that P of any identifier can be computed.

==========  ====================  ==================================================
party       sees                  to test a guess x it lacks
==========  ====================  ==================================================
house       X, Q, E, t            s: that s P(x) is in X is DDH; b: so is Q_j = b P(x)
authority   s, Q                  X, and every multiple of it; and b
bank        b, Y, Z               t s P(x) for an x that it did not send: one session
                                  tests as many as it sent, at most the contract's cap,
                                  and both nodes count sessions
custodian   its list, s           b.  Of the bank's customers it sees nothing at all
==========  ====================  ==================================================

*Together*: house + authority have X and s.  With anybody who holds the pepper (every
bank, custodian and registrar does) they try a county in half an hour and read the
list; without, they recognise subjects whose references passed through them in calls.
House + bank see X under no t, and so which entries stayed between two sessions, but
test no more than was permitted: s is the authority's.  Authority + bank test no more
than the house answers, which counts sessions, too.  The bank's customers are hidden
from all others together, by b alone, and from a later reader of everybody's disks: b
is nowhere kept.

*A new t a session*, and Y in the order of its own bytes: a bank cannot tell which of
the entries it did not match it has seen before.  *A new b a session*: the house cannot
tell which customers stayed.  *A new s a version*, and the version in P: nor can a house
tell which entries did.  Everybody's points ascend, so an order that would carry
something (a register's, a customer number's) is seen, and refused.

*Cheating.*  The authority multiplies only points under a root that the bank signed: a
house that asks for others is refused, so s is no oracle of its own.  (A bank's points
need not be hashes; what it gets of them is t s R, under a t of this session only.)  An
active node can lose matches; the house can invent some, at random.  Y and Z follow from
the seed, of which two auditors hold shares: who opens it computes them again from the
list and E, byte for byte (`contracts.psi_transcript`).  The bank may send identifiers
of people who are no customers, up to the cap: that is what cap, quota and the
contract's approval are for.

*Cardinality*: the bank is to learn a number, not whose.  Shuffling Z for it, as is
often done, hides nothing from a bank that deviates: with another scalar b_j for each
customer it tries 1 / b_j on every Z until one is in Y, and has the order again.  So it
never holds both sides: it gets Y only, and the authority compares::

    bank       Q also has d markers, d uniform in 0..m, and m - d random points
    house      Y also has the list's m markers, which the custodian's X ends with;
               U = sorted { t E_j } -> authority
    bank       V = { b Y_i }  sealed to the authority, in any order
    authority  |U and V| = matches + d  -> sealed to the bank, which knows d

A marker is a point that everybody can compute and nobody is; m is the number of entries
of the list.  The authority sees two sets of blinded points and one number: blurred by
d, it tells at most one bit of the true one (the capacity of a channel that adds uniform
noise as wide as its input).  The house sees no V, the bank no U.  Whatever the bank
sends, one session tells it one number.  (A number tells a member if all but one of the
customers are made up: the cap on sessions holds for this mode, too.)

Formats.  Points travel in pieces of PIECE points; what is signed is the RFC 6962 root
over the pieces.  The documents of a session are in `protocols.psi_call`.

>>> alice, bob = (bytes([n]) * 32 for n in (1, 2))
>>> source = Source("subsidy", 1)
>>> s, b, t = (ristretto.scalar(bytes([n]) * 64) for n in (3, 4, 5))
>>> registered = ristretto.ascending(multiply_all(s, source.points([alice])))
>>> asked = blind(source.points([alice, bob]), b)
>>> replies = multiply_all(t, multiply_all(s, asked.points))
>>> served = ristretto.ascending(multiply_all(t, registered))
>>> intersect(asked, replies, served)                      # alice, and not bob
[0]
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from protocols import ristretto
from protocols.canon import Tag, framed
from protocols.drbg import Drbg
from protocols.errors import FormatError
from protocols.ristretto import POINT_BYTES, WIDE_BYTES, multiply_all
from protocols.tlog import leaf_hash, root_of

PIECE: Final = 4096  # points of all pieces but the last
PIECE_BYTES: Final = PIECE * POINT_BYTES
MOST_POINTS: Final = 1 << 20  # of one set
_NUMBER: Final = 8

Runs: TypeAlias = tuple[tuple[int, int], ...]  # (first, count), ascending, apart


class Mode(StrEnum):
    """What the bank learns."""

    INTERSECTION = "intersection"  # which of its customers are on the list
    CARDINALITY = "cardinality"  # how many


# -- points --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """A version of a list; its subjects and markers as elements of the group."""

    list: str
    version: int

    def points(self, subject_refs: Iterable[bytes]) -> bytes:
        """Hash subjects to the group, in their order."""
        dst = Tag.PSI_MEMBER.value.encode()
        return b"".join(
            ristretto.hash_to_point(self._framed(Tag.PSI_MEMBER, ref), dst)
            for ref in subject_refs
        )

    def markers(self, first: int, end: int) -> bytes:
        """Return markers `first` to `end`, exclusive: points that are nobody."""
        dst = Tag.PSI_MARKER.value.encode()
        return b"".join(
            ristretto.hash_to_point(
                self._framed(Tag.PSI_MARKER, number.to_bytes(_NUMBER, "big")), dst
            )
            for number in range(first, end)
        )

    def _framed(self, tag: Tag, item: bytes) -> bytes:
        version = self.version.to_bytes(_NUMBER, "big")
        return framed(tag, self.list.encode(), version, item)


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """A bank's points, and what it needs to read the replies; never stored."""

    points: bytes  # ascending
    scalar: bytes
    order: tuple[int, ...]  # order[j]: which of the bank's points the j-th was


def blind(points: bytes, scalar: bytes) -> Asked:
    """Blind points and put them in ascending order; raises `PointInvalid`."""
    return arrange(multiply_all(scalar, points), scalar)


def arrange(points: bytes, scalar: bytes) -> Asked:
    """Put points that were multiplied by `scalar` in ascending order.

    Raises `PointInvalid` when one is there twice.
    """
    blinded = list(ristretto.each(points))
    order = tuple(sorted(range(len(blinded)), key=blinded.__getitem__))
    data = b"".join(blinded[number] for number in order)
    ristretto.check_ascending(data)
    return Asked(data, scalar, order)


def house_scalar(seed: bytes) -> bytes:
    """Draw a session's t from its seed."""
    return ristretto.scalar(Drbg(seed).bytes("psi", WIDE_BYTES))


def intersect(asked: Asked, replies: bytes, served: bytes) -> list[int]:
    """Return which of the bank's points are on the list, ascending."""
    opened = multiply_all(ristretto.invert(asked.scalar), replies)
    return matched(asked.order, opened, frozenset(ristretto.each(served)))


def matched(order: Iterable[int], opened: bytes, served: frozenset[bytes]) -> list[int]:
    """Return the bank's numbers of replies, unblinded, that are served."""
    pairs = zip(order, ristretto.each(opened), strict=True)
    return sorted(number for number, point in pairs if point in served)


def pieces(points: bytes) -> Iterator[bytes]:
    """Cut points into pieces."""
    for at in range(0, len(points), PIECE_BYTES):
        yield points[at : at + PIECE_BYTES]


def piece_count(points: int) -> int:
    """Count the pieces of so many points."""
    return -(-points // PIECE)


def piece_points(points: int, number: int) -> int:
    """Count the points of one piece of a set of `points`; raises `FormatError`."""
    if not 0 <= number < piece_count(points):
        raise FormatError(f"expected pieces 0 to {piece_count(points) - 1}")
    return min(PIECE, points - number * PIECE)


def check_piece(points: int, number: int, data: bytes) -> bytes:
    """Return a piece of a set of `points` once it is known to be one.

    Raises `FormatError` for its size, `PointInvalid` for what is in it.  Whether
    pieces ascend from one to the next is for who has both to see.
    """
    expected = piece_points(points, number)
    if len(data) != expected * POINT_BYTES:
        raise FormatError(f"expected piece {number} to have {expected} points")
    ristretto.check_points(data, number * PIECE)
    ristretto.check_ascending(data)
    return data


def leaf(part: bytes) -> bytes:
    """Hash one piece."""
    return leaf_hash(part)


def root(parts: Iterable[bytes]) -> bytes:
    """Return the root over pieces, or over sealed pieces."""
    return root_of(map(leaf, parts))


def leaves_root(leaves: Iterable[bytes]) -> bytes:
    """Return the root over the leaf hashes of pieces."""
    return root_of(leaves)


def without(points: bytes, dropped: Runs) -> bytes:
    """Leave points out by their numbers."""
    kept, at = [], 0
    for first, count in dropped:
        kept.append(points[at * POINT_BYTES : first * POINT_BYTES])
        at = first + count
    return b"".join((*kept, points[at * POINT_BYTES :]))


def check_runs(dropped: Runs, rows: int) -> int:
    """Return how many numbers below `rows` are in runs; raises `FormatError`."""
    end = -1
    for first, count in dropped:
        if count < 1 or first <= end or first + count > rows:
            raise FormatError(f"`{[first, count]}` is no run of numbers below {rows}")
        end = first + count
    return sum(count for _, count in dropped)


def runs_of(numbers: Iterable[int]) -> Runs:
    """Write ascending numbers as runs."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and sum(runs[-1]) == number:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return tuple(runs)
