"""Ed25519: RFC 8032's own vectors, another implementation, and its known tricks."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocols import ed25519
from protocols.errors import SignatureInvalid

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
ORDER = (1 << 252) + 27742317777372353535851937790883648493

# RFC 8032, section 7.1: secret key, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]

# Points of order 1, 2, 4 and 8, canonical and not (RFC 7748's curve, Edwards form).
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]


@pytest.mark.parametrize(("secret", "public", "text", "signature"), VECTORS)
def test_rfc_8032(secret: str, public: str, text: str, signature: str) -> None:
    """The vectors of RFC 8032 come out, and are valid."""
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    made = ed25519.sign(key, bytes.fromhex(text))
    assert signature == made.hex()
    ed25519.verify(made, bytes.fromhex(text), bytes.fromhex(public))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_the_same_bytes_as_openssl(secret: bytes, text: bytes) -> None:
    """OpenSSL makes the same signature."""
    key = Ed25519PrivateKey.from_private_bytes(secret)
    assert key.sign(text) == ed25519.sign(key, text)


@given(st.integers(0, 511), st.binary(max_size=40))
def test_a_flipped_bit(bit: int, text: bytes) -> None:
    """No bit of a signature can be changed, as OpenSSL says too."""
    edited = bytearray(ed25519.sign(KEY, text))
    edited[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(bytes(edited), text)
    with pytest.raises(SignatureInvalid):
        ed25519.verify(bytes(edited), text, PUBLIC)


def test_a_second_signature_made_from_one() -> None:
    """S + L is refused: nobody makes another valid signature out of one."""
    signature = ed25519.sign(KEY, b"text")
    s = int.from_bytes(signature[32:], "little") + ORDER
    with pytest.raises(SignatureInvalid):
        ed25519.verify(signature[:32] + s.to_bytes(32, "little"), b"text", PUBLIC)


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_a_key_that_signs_everything(public: str) -> None:
    """Under a key of small order S = 0 would be valid for every eighth text."""
    key = bytes.fromhex(public)
    for number in range(64):
        for point in (key, bytes.fromhex(SMALL_ORDER[0])):
            with pytest.raises(SignatureInvalid):
                ed25519.verify(point + bytes(32), b"%d" % number, key)


@pytest.mark.parametrize(("cut", "more"), [(63, b""), (64, b"\0"), (0, b"")])
def test_another_length(cut: int, more: bytes) -> None:
    """A signature of another length is not valid, nor under a key of another one."""
    signature = ed25519.sign(KEY, b"text")
    with pytest.raises(SignatureInvalid):
        ed25519.verify(signature[:cut] + more, b"text", PUBLIC)
    with pytest.raises(SignatureInvalid):
        ed25519.verify(signature, b"text", PUBLIC[:31])
