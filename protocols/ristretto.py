r"""The group ristretto255 (RFC 9496): prime order, one encoding of each element.

Written additively.  A point is 32 bytes, a scalar 32 bytes, little endian, from 1 to
ORDER - 1; many points are simply one behind the other.

*Why not X25519.*  Curve25519 has a cofactor of 8, X25519 clamps its scalars and takes
any 32 bytes: a hash used as a point may lie on the twist or carry a component of order
8, so that products no longer commute and three bits of a secret leak.  Here every
encoding that decodes is an element of the prime-order group, and is the only encoding
of it; the one element that must not pass, the identity, is refused by `check_points`.

*Hashing to the group* is RFC 9380, appendix B: `expand_message_xmd` with SHA-512
gives 64 bytes, which RFC 9496, 4.3.4 maps to an element whose logarithm nobody knows.

The arithmetic is libsodium's, constant in time, through `rbcl`.  Its wheels carry the
library inside a module that writes it to the temporary folder to load it, and leaves
it there; so it is loaded when it is first needed, and the file removed.  What it gives
for a scalar above ORDER, for an encoding that is not canonical and for the identity is
not left to it: all of that is looked at before.

>>> point = hash_to_point(b"subject", b"example")
>>> one, two = scalar(b"1" * 64), scalar(b"2" * 64)
>>> multiply(one, multiply(two, point)) == multiply(two, multiply(one, point))
True
>>> multiply(invert(one), multiply(one, point)) == point
True
>>> check_points(bytes(32))
Traceback (most recent call last):
    ...
protocols.errors.PointInvalid: point 0 is the identity
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from hashlib import sha512
from importlib import import_module
from typing import Any, Final

from protocols.errors import KeyInvalid, PointInvalid

POINT_BYTES: Final = 32
SCALAR_BYTES: Final = 32
WIDE_BYTES: Final = 64  # from which a scalar or a point is drawn without bias
# RFC 9496, 4: the prime order of the group
ORDER: Final = (1 << 252) + 27742317777372353535851937790883648493
IDENTITY: Final = bytes(POINT_BYTES)

_TOP_BIT = 0x80  # of the last byte: never set below 2^255
_BLOCK_BYTES = 128  # of SHA-512
_MAX_DST = 255


def scalar(wide: bytes) -> bytes:
    """Reduce 64 uniform bytes to a scalar; raises `KeyInvalid` for 0."""
    if len(wide) != WIDE_BYTES:
        raise RuntimeError(f"a scalar is drawn from {WIDE_BYTES} bytes")
    number = int.from_bytes(wide, "little") % ORDER
    return check_scalar(number.to_bytes(SCALAR_BYTES, "little"))


def check_scalar(data: bytes) -> bytes:
    """Return a scalar of 1 to ORDER - 1; raises `KeyInvalid` for anything else."""
    if len(data) != SCALAR_BYTES or not 0 < int.from_bytes(data, "little") < ORDER:
        raise KeyInvalid("expected a scalar of 1 to the order of ristretto255, less 1")
    return data


def invert(data: bytes) -> bytes:
    """Return 1 / scalar."""
    number = int.from_bytes(check_scalar(data), "little")
    return pow(number, -1, ORDER).to_bytes(SCALAR_BYTES, "little")


def hash_to_point(message: bytes, dst: bytes) -> bytes:
    """Hash to an element, under a domain separation tag: RFC 9380, appendix B."""
    found: bytes = _library().crypto_core_ristretto255_from_hash(
        _expand_message_xmd(message, dst)
    )
    return found


def base(factor: bytes) -> bytes:
    """Return factor times the generator: commits to a scalar that is not guessable."""
    found: bytes = _library().crypto_scalarmult_ristretto255_base(check_scalar(factor))
    return found


def multiply(factor: bytes, point: bytes) -> bytes:
    """Return factor times one point; raises `PointInvalid`."""
    return multiply_all(factor, check_points(point))


def multiply_all(factor: bytes, points: bytes) -> bytes:
    """Return factor times every one of `points`, in order.

    `points` were looked at by `check_points`; raises `PointInvalid` for one that is
    no element.  The interpreter is free meanwhile: threads work side by side.
    """
    check_scalar(factor)
    multiplied = _library().crypto_scalarmult_ristretto255
    try:
        # libsodium refuses what does not decode, and a product that is the identity
        return b"".join(multiplied(factor, point) for point in each(points))
    except RuntimeError:
        raise PointInvalid("one of the points is no element of ristretto255") from None


def check_points(points: bytes, first: int = 0) -> bytes:
    """Return points that are canonical encodings and not the identity.

    Raises `PointInvalid`, which counts them from `first`.
    """
    is_valid = _library().crypto_core_ristretto255_is_valid_point
    for number, point in enumerate(each(points), first):
        # The identity times any scalar is the identity: whoever sends it reads from
        # a reply that nothing was multiplied, and all such points match each other.
        if point == IDENTITY:
            raise PointInvalid(f"point {number} is the identity")
        # Some releases of libsodium ignore the top bit of what they decode: a second
        # name of the same element, which would pass for another one.
        if point[-1] & _TOP_BIT or not is_valid(point):
            raise PointInvalid(f"point {number} is no canonical encoding")
    return points


def check_ascending(points: bytes, before: bytes = b"") -> bytes:
    """Return the last of points that ascend, none twice, and are above `before`.

    Points are compared as bytes.  Raises `PointInvalid`.
    """
    last = before
    for point in each(points):
        if point <= last:
            raise PointInvalid("expected points in ascending order, none twice")
        last = point
    return last


def each(points: bytes) -> Iterator[bytes]:
    """Yield one point after the other; raises `PointInvalid` for half a point."""
    if len(points) % POINT_BYTES:
        raise PointInvalid(f"expected points of {POINT_BYTES} bytes each")
    for at in range(0, len(points), POINT_BYTES):
        yield points[at : at + POINT_BYTES]


def ascending(points: bytes | Iterable[bytes]) -> bytes:
    """Put points in ascending order of their bytes."""
    return b"".join(sorted(each(points) if isinstance(points, bytes) else points))


def _expand_message_xmd(message: bytes, dst: bytes) -> bytes:
    """Expand to 64 bytes with SHA-512: RFC 9380, 5.3.1; one block is enough."""
    if not 0 < len(dst) <= _MAX_DST:
        raise RuntimeError(f"a domain separation tag has 1 to {_MAX_DST} bytes")
    dst_prime = dst + bytes([len(dst)])
    length = WIDE_BYTES.to_bytes(2, "big")
    b_0 = sha512(bytes(_BLOCK_BYTES) + message + length + b"\0" + dst_prime).digest()
    return sha512(b_0 + b"\1" + dst_prime).digest()


@cache
def _library() -> Any:  # noqa: ANN401  rbcl has no types
    import rbcl  # noqa: PLC0415  60 ms and a file, for those who intersect

    # Once it is loaded nobody needs its name, and every process leaves 3 MB else.
    written = import_module("rbcl._sodium").lib_path
    if os.name == "posix":
        with suppress(FileNotFoundError):  # another thread came first
            os.unlink(written)  # noqa: PTH108  the door may not know paths
    return rbcl
