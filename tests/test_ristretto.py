"""ristretto255: RFC 9496 written down literally, RFC 9497's vectors, bad encodings."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from protocols import ristretto
from protocols.errors import KeyInvalid, PointInvalid
from protocols.ristretto import IDENTITY, ORDER

VECTORS = Path(__file__).parent / "vectors/voprf_rfc9497"
(SUITE,) = json.loads((VECTORS / "oprf_ristretto255_sha512.json").read_text())

# RFC 9496, section 4, literally: a point is (x, y, z, t) on the twisted Edwards curve.

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
ONE_MINUS_D_SQ = (1 - D * D) % P
D_MINUS_ONE_SQ = (D - 1) ** 2 % P
Edwards: TypeAlias = tuple[int, int, int, int]


def _negative(number: int) -> bool:
    return bool(number % P & 1)


def _abs(number: int) -> int:
    return -number % P if _negative(number) else number % P


def _sqrt_ratio(u: int, v: int) -> tuple[bool, int]:
    """Section 4.2."""
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    flipped, flipped_i = check == -u % P, check == -u * SQRT_M1 % P
    if flipped or flipped_i:
        r = r * SQRT_M1 % P
    return check == u % P or flipped, _abs(r)


INVSQRT_A_MINUS_D = _sqrt_ratio(1, (-1 - D) % P)[1]
SQRT_AD_MINUS_ONE = -_sqrt_ratio(-D - 1, 1)[1] % P  # the negative one


def _decode(data: bytes) -> Edwards | None:
    """Section 4.3.1."""
    s = int.from_bytes(data, "little")
    if s >= P or _negative(s):
        return None
    ss = s * s % P
    u1, u2 = (1 - ss) % P, (1 + ss) % P
    v = (-D * u1 * u1 - u2 * u2) % P
    was_square, invsqrt = _sqrt_ratio(1, v * u2 * u2 % P)
    den_x = invsqrt * u2 % P
    den_y = invsqrt * den_x * v % P
    x, y = _abs(2 * s * den_x), u1 * den_y % P
    t = x * y % P
    if not was_square or _negative(t) or y == 0:
        return None
    return x, y, 1, t


def _encode(point: Edwards) -> bytes:
    """Section 4.3.2."""
    x0, y0, z0, t0 = point
    u1, u2 = (z0 + y0) * (z0 - y0) % P, x0 * y0 % P
    _, invsqrt = _sqrt_ratio(1, u1 * u2 * u2 % P)
    den1, den2 = invsqrt * u1 % P, invsqrt * u2 % P
    z_inv = den1 * den2 * t0 % P
    rotate = _negative(t0 * z_inv)
    x = y0 * SQRT_M1 % P if rotate else x0
    y = x0 * SQRT_M1 % P if rotate else y0
    den_inv = den1 * INVSQRT_A_MINUS_D % P if rotate else den2
    if _negative(x * z_inv):
        y = -y % P
    return _abs(den_inv * (z0 - y)).to_bytes(32, "little")


def _map(data: bytes) -> Edwards:
    """Section 4.3.4, MAP."""
    r0 = int.from_bytes(data, "little") % 2**255 % P
    r = SQRT_M1 * r0 * r0 % P
    u = (r + 1) * ONE_MINUS_D_SQ % P
    v = (-1 - r * D) * (r + D) % P
    was_square, s = _sqrt_ratio(u, v)
    if not was_square:
        s = -_abs(s * r0) % P
    c = -1 % P if was_square else r
    n = (c * (r - 1) * D_MINUS_ONE_SQ - v) % P
    w0, w1 = 2 * s * v % P, n * SQRT_AD_MINUS_ONE % P
    w2, w3 = (1 - s * s) % P, (1 + s * s) % P
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def _add(left: Edwards, right: Edwards) -> Edwards:
    """RFC 8032, section 5.1.4."""
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(factor: int, point: Edwards) -> Edwards:
    found = (0, 1, 1, 0)
    for bit in f"{factor:b}":
        found = _add(found, found)
        if bit == "1":
            found = _add(found, point)
    return found


def _scalar(number: int) -> bytes:
    return number.to_bytes(32, "little")


def _point(seed: bytes) -> bytes:
    return ristretto.hash_to_point(seed, b"a tag for these tests")


def test_the_literal_definition_is_the_rfcs() -> None:
    """The constants of RFC 9496, 4.1, and the generator of appendix A.1."""
    assert (
        D
        == 37095705934669439343138083508754565189542113879843219016388785533085940283555
    )
    assert (
        int(
            "25063068953384623474111414158702152701244531502492656460079210482610430750235"
        )
        == SQRT_AD_MINUS_ONE
    )
    generator = bytes.fromhex(
        "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"
    )
    assert ristretto.base(_scalar(1)) == generator
    decoded = _decode(generator)
    assert decoded is not None
    assert _encode(decoded) == generator
    assert _encode(_times(ORDER, decoded)) == IDENTITY


@settings(max_examples=50)
@given(data=st.binary(min_size=32, max_size=32), number=st.integers(0, P))
def test_what_decodes(data: bytes, number: int) -> None:
    """Arbitrary bytes, and arbitrary field elements, half of whose decode or do not."""
    for candidate in (data, (number & ~1).to_bytes(32, "little")):
        expected = candidate != IDENTITY and _decode(candidate) is not None
        try:
            ristretto.check_points(candidate)
            got = True
        except PointInvalid:
            got = False
        assert expected == got


@settings(max_examples=20)
@given(wide=st.binary(min_size=64, max_size=64), factor=st.integers(1, ORDER - 1))
def test_products(wide: bytes, factor: int) -> None:
    """Products of hashed points are the literal definition's."""
    first, second = _map(wide[:32]), _map(wide[32:])
    point = _encode(_add(first, second))
    assert ristretto._library().crypto_core_ristretto255_from_hash(wide) == point
    decoded = _decode(point)
    assume(point != IDENTITY)
    assert decoded is not None
    assert ristretto.multiply(_scalar(factor), point) == _encode(
        _times(factor, decoded)
    )


@pytest.mark.parametrize("vector", SUITE["vectors"][:2])
def test_rfc_9497(vector: dict[str, str]) -> None:
    """The RFC's inputs hash, blind and evaluate to the RFC's elements."""
    dst = bytes.fromhex(SUITE["groupDST"])
    hashed = ristretto.hash_to_point(bytes.fromhex(vector["Input"]), dst)
    blinded = ristretto.multiply(bytes.fromhex(vector["Blind"]), hashed)
    assert vector["BlindedElement"] == blinded.hex()
    evaluated = ristretto.multiply(bytes.fromhex(SUITE["skSm"]), blinded)
    assert vector["EvaluationElement"] == evaluated.hex()


# RFC 9496, appendix A.3: encodings that must be refused.
BAD = {
    "not canonical": [
        "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ],
    "negative": [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
        "c940e5a4404157cfb1628b108db051a8d439e1a421394ec4ebccb9ec92a8ac78",
    ],
    "no square": [
        "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
        "de6a7b00deadc788eb6b6c8d20c0ae96c2f2019078fa604fee5b87d6e989ad7b",
        "bcab477be20861e01e4a0e295284146a510150d9817763caf1a6f4b422d67042",
        "2a292df7e32cababbd9de088d1d1abec9fc0440f637ed2fba145094dc14bea08",
    ],
    "negative product": [
        "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
        "a45fdc55c76448c049a1ab33f17023edfb2be3581e9c7aade8a6125215e04220",
        "d483fe813c6ba647ebbfd3ec41adca1c6130c2beeee9d9bf065c8d151c5f396e",
        "445425117cb8c90edcbc7c1cc0e74f747f2c1efa5630a967c64f287792a48a4b",
    ],
    "y is 0": ["ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"],
}


@pytest.mark.parametrize("crime", BAD)
def test_bad_encodings(crime: str) -> None:
    """Refused before they are multiplied, and by the multiplication, too."""
    for text in BAD[crime]:
        data = bytes.fromhex(text)
        assert _decode(data) is None
        with pytest.raises(PointInvalid, match="no canonical encoding"):
            ristretto.check_points(data)
        with pytest.raises(PointInvalid, match="no element"):
            ristretto.multiply_all(_scalar(2), data)


def test_a_set_top_bit() -> None:
    """Some releases of libsodium take the top bit for nothing: two names of a point."""
    for number in range(20):
        data = bytearray(_point(bytes([number])))
        data[31] |= 0x80
        with pytest.raises(PointInvalid, match="no canonical encoding"):
            ristretto.check_points(bytes(data))


def test_lengths() -> None:
    """Half a point is refused by us: the library would read on behind it."""
    with pytest.raises(PointInvalid, match="32 bytes"):
        ristretto.check_points(_point(b"1")[:-1])
    with pytest.raises(PointInvalid, match="32 bytes"):
        ristretto.multiply_all(_scalar(1), _point(b"1") + b"\1")


@pytest.mark.parametrize("number", [0, ORDER, ORDER + 1, 2**256 - 1])
def test_scalars_out_of_range(number: int) -> None:
    """0 makes everything the identity; ORDER + 1 is a second name of 1."""
    for use in (ristretto.invert, ristretto.base, ristretto.check_scalar):
        with pytest.raises(KeyInvalid):
            use(_scalar(number))
    with pytest.raises(KeyInvalid):
        ristretto.multiply_all(_scalar(number), _point(b"1"))
    with pytest.raises(KeyInvalid):
        ristretto.check_scalar(_scalar(5)[:-1])


def test_nothing_is_left_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What rbcl writes libsodium to, to load it, we remove."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = (
        "from protocols import ristretto; print(ristretto.base(b'\\1' * 31 + b'\\0'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert list(tmp_path.iterdir()) == []


def test_order_of_points() -> None:
    """Ascending, none twice; and after the last one of the piece before."""
    points = ristretto.ascending([_point(b"1"), _point(b"2"), _point(b"3")])
    last = points[-32:]
    assert ristretto.check_ascending(points) == last
    for wrong in (points[32:] + points[:32], points + last):
        with pytest.raises(PointInvalid, match="ascending"):
            ristretto.check_ascending(wrong)
    with pytest.raises(PointInvalid, match="ascending"):
        ristretto.check_ascending(points[:32], before=last)
