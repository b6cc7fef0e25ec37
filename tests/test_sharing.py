"""A bank's number in two shares: what they add up to, and what each one shows."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocols import sharing
from protocols.call import KIND_REQUEST, Request, Shared
from protocols.canon import dumps
from protocols.drbg import Drbg
from protocols.errors import FormatError, SealBroken
from protocols.sharing import BOX_BYTES, HouseShare, box_digest, split
from tests.test_lookup import chi_square

KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
SALT = bytes(32)
REQUEST = Request(
    bytes(32), bytes(32), "loan-precheck", "c-1", bytes(16), 1_000, "jnrcb"
)


@given(
    st.integers(0, (1 << 40) - 1),
    st.integers(1, 40),
    st.binary(min_size=16, max_size=16),
)
def test_shares_add_up(value: int, bits: int, drawn: bytes) -> None:
    """Modulo 2^m, whatever is drawn."""
    mine, theirs = split(value % (1 << bits), bits, SALT, drawn)
    assert (mine.value + theirs) % (1 << bits) == value % (1 << bits)
    assert HouseShare.parse(mine.to_bytes()) == mine


@pytest.mark.parametrize("value", [0, 1, 77, 255])
def test_each_share_alone_is_uniform(value: int) -> None:
    """Chi-square over what house and authority hold, for some numbers."""
    drbg = Drbg(bytes(32))
    pairs = [split(value, 8, SALT, drbg.bytes(f"{n}", 16)) for n in range(20_000)]
    assert chi_square(np.array([mine.value for mine, _ in pairs]), 256) < 5
    assert chi_square(np.array([theirs for _, theirs in pairs]), 256) < 5


def test_a_box_is_of_one_request_and_contract() -> None:
    """Moved to another occasion, or edited, it does not open."""
    box = sharing.seal(KEY.public_key(), 5, b"j" * 16, b"c" * 32)
    assert len(box) == BOX_BYTES
    assert sharing.unseal(KEY, box, b"j" * 16, b"c" * 32) == 5
    for jti, contract in ((b"k" * 16, b"c" * 32), (b"j" * 16, b"d" * 32)):
        with pytest.raises(SealBroken):
            sharing.unseal(KEY, box, jti, contract)
    again = sharing.seal(KEY.public_key(), 5, b"j" * 16, b"c" * 32)
    assert box_digest(again) != box_digest(box)  # the same number, and nobody sees it


def test_what_is_no_share_is_refused() -> None:
    """Numbers that no slot can hold, other lengths; messages do not repeat them."""
    box = sharing.seal(KEY.public_key(), 1 << 62, b"j" * 16, b"c" * 32)
    with pytest.raises(FormatError, match=r"expected a share of 0 to 2\^62 - 1"):
        sharing.unseal(KEY, box, b"j" * 16, b"c" * 32)
    with pytest.raises(FormatError, match="expected a share of 0"):
        HouseShare.parse(SALT + b"\xff" * 8)
    with pytest.raises(FormatError, match="expected a share of 40 bytes"):
        HouseShare.parse(SALT)
    with pytest.raises(RuntimeError):
        split(5, 63, SALT, bytes(16))
    assert "77" not in repr(HouseShare(SALT, 77)).partition(" object at")[0]


def test_a_commitment_hides_under_its_salt() -> None:
    """Another salt, another commitment to the same number."""
    assert HouseShare(SALT, 7).commitment() != HouseShare(b"s" * 32, 7).commitment()
    assert HouseShare(SALT, 7).commitment() != HouseShare(SALT, 8).commitment()


def test_a_request_names_its_kind_and_shares() -> None:
    """Version 2 for what is no score; one request has one encoding."""
    shared = Shared(b"h" * 32, b"a" * 32)
    verify = Request(
        **{f: getattr(REQUEST, f) for f in REQUEST.__slots__[:7]},
        kind="verify",
        shared=shared,
    )
    ranged = Request(
        **{f: getattr(REQUEST, f) for f in REQUEST.__slots__[:7]}, kind="range"
    )
    for request in (REQUEST, verify, ranged):
        assert Request.parse(request.to_bytes()) == request
    assert b'"v":"safehouse/request/1"' in REQUEST.to_bytes()
    assert b'"v":"safehouse/request/2"' in verify.to_bytes()
    plain = {
        "v": KIND_REQUEST,
        "contract": "00" * 32,
        "subject": "00" * 32,
        "purpose": "loan-precheck",
        "consent": "c-1",
        "jti": "00" * 16,
        "iat_ms": 1_000,
        "bank": "jnrcb",
        "kind": "score",
        "shared": None,
    }
    with pytest.raises(FormatError, match="a request for a score is of version 1"):
        Request.parse(dumps(plain))
    with pytest.raises(FormatError, match="expected an object or null"):
        Request.parse(dumps(plain | {"kind": "verify", "shared": "none"}))
    with pytest.raises(FormatError, match="missing member"):
        Request.parse(dumps(plain | {"kind": "verify", "shared": {"house": "00" * 32}}))
