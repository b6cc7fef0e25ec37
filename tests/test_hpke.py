"""HPKE: the RFC's vector, a literal definition, and boxes that must not open."""

import hmac
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from protocols import hpke
from protocols.errors import KeyInvalid, SealBroken

VECTORS = Path(__file__).parent / "vectors/hpke_rfc9180"
VECTOR = json.loads((VECTORS / "base_x25519_sha256_chacha20poly1305.json").read_text())
KEM_SUITE = b"KEM" + (0x20).to_bytes(2, "big")
SUITE = b"HPKE" + b"".join(i.to_bytes(2, "big") for i in (0x20, 1, 3))
KEY = X25519PrivateKey.from_private_bytes(b"\x11" * 32)


# RFC 9180 written down literally, section by section.


def _extract(salt: bytes, label: bytes, ikm: bytes, suite: bytes) -> bytes:
    """Section 4: LabeledExtract."""
    return hmac.digest(salt, b"HPKE-v1" + suite + label + ikm, "sha256")


def _expand(prk: bytes, label: bytes, info: bytes, suite: bytes, length: int) -> bytes:
    """Section 4: LabeledExpand, at most one block of output."""
    text = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, text + b"\x01", "sha256")[:length]


def _shared(dh: bytes, enc: bytes, receiver: bytes) -> bytes:
    """Section 4.1: ExtractAndExpand."""
    prk = _extract(b"", b"eae_prk", dh, KEM_SUITE)
    return _expand(prk, b"shared_secret", enc + receiver, KEM_SUITE, 32)


def _schedule(shared: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Section 5.1: KeySchedule in base mode, without psk; key and base nonce."""
    context = b"\x00" + b"".join(
        _extract(b"", label, value, SUITE)
        for label, value in ((b"psk_id_hash", b""), (b"info_hash", info))
    )
    secret = _extract(shared, b"secret", b"", SUITE)
    return (
        _expand(secret, b"key", context, SUITE, 32),
        _expand(secret, b"base_nonce", context, SUITE, 12),
    )


def _literal_seal(
    ephemeral: X25519PrivateKey, public: X25519PublicKey, info: bytes, plaintext: bytes
) -> bytes:
    """Section 6.1: SealBase with a given ephemeral key and empty AAD."""
    enc = ephemeral.public_key().public_bytes_raw()
    shared = _shared(ephemeral.exchange(public), enc, public.public_bytes_raw())
    key, nonce = _schedule(shared, info)
    return enc + ChaCha20Poly1305(key).encrypt(nonce, plaintext, None)


def _literal_open(private: X25519PrivateKey, info: bytes, box: bytes) -> bytes:
    """Section 6.1: OpenBase with empty AAD."""
    enc, ciphertext = box[:32], box[32:]
    dh = private.exchange(X25519PublicKey.from_public_bytes(enc))
    shared = _shared(dh, enc, private.public_key().public_bytes_raw())
    key, nonce = _schedule(shared, info)
    return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, None)


def test_literal_definition_is_the_rfc() -> None:
    """The definition above yields every intermediate value of the RFC's vector."""
    value = {k: bytes.fromhex(v) for k, v in VECTOR.items() if isinstance(v, str)}
    receiver = X25519PrivateKey.from_private_bytes(value["skRm"])
    dh = receiver.exchange(X25519PublicKey.from_public_bytes(value["enc"]))
    shared = _shared(dh, value["enc"], value["pkRm"])
    key, nonce = _schedule(shared, value["info"])
    assert (value["shared_secret"], value["key"], value["base_nonce"]) == (
        shared,
        key,
        nonce,
    )
    for number, row in enumerate(VECTOR["encryptions"]):
        used = (int.from_bytes(nonce, "big") ^ number).to_bytes(12, "big")
        sealed = ChaCha20Poly1305(key).encrypt(
            used, bytes.fromhex(row["pt"]), bytes.fromhex(row["aad"])
        )
        assert row["ct"] == sealed.hex()


@given(st.binary(max_size=200), st.binary(max_size=64))
def test_agrees_with_the_literal_definition(plaintext: bytes, info: bytes) -> None:
    """Either side opens what the other sealed."""
    ephemeral = X25519PrivateKey.from_private_bytes(b"\x22" * 32)
    box = _literal_seal(ephemeral, KEY.public_key(), info, plaintext)
    assert plaintext == hpke.unseal(KEY, info, box)
    assert plaintext == _literal_open(
        KEY, info, hpke.seal(KEY.public_key(), info, plaintext)
    )


def test_two_boxes_of_one_content_differ() -> None:
    """Every box has its own ephemeral key: equal outcomes do not show."""
    boxes = {hpke.seal(KEY.public_key(), b"", b"AAA") for _ in range(8)}
    assert len({box[:32] for box in boxes}) == 8


def test_every_flipped_bit_is_refused() -> None:
    """A box with any one bit changed does not open.

    Except the top bit of `enc`: X25519 ignores it (RFC 7748, 5), but HPKE
    hashes `enc` as it stands, so it is refused as well.
    """
    box = hpke.seal(KEY.public_key(), b"i", b"row")
    for bit in range(len(box) * 8):
        edited = bytearray(box)
        edited[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            hpke.unseal(KEY, b"i", bytes(edited))


@pytest.mark.parametrize(
    "box",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x09" * 31, id="shorter_than_enc"),
        pytest.param(b"\x09" * 32, id="no_ciphertext"),
        pytest.param(b"\x09" * 47, id="short_tag"),
        pytest.param(bytes(64), id="enc_of_low_order_0"),
        pytest.param(b"\x01" + bytes(63), id="enc_of_low_order_1"),
    ],
)
def test_malformed_boxes_are_refused(box: bytes) -> None:
    """What cannot be a box is refused like one that does not open."""
    with pytest.raises(SealBroken):
        hpke.unseal(KEY, b"", box)


def test_receiver_and_occasion_are_bound() -> None:
    """A box opens for its receiver and its info only."""
    box = hpke.seal(KEY.public_key(), b"ticket 1", b"row")
    with pytest.raises(SealBroken):
        hpke.unseal(KEY, b"ticket 2", box)
    with pytest.raises(SealBroken):
        hpke.unseal(X25519PrivateKey.generate(), b"ticket 1", box)


def test_low_order_receiver_is_refused() -> None:
    """A public key that makes every shared secret zero is refused."""
    with pytest.raises(KeyInvalid, match="low order"):
        hpke.seal(X25519PublicKey.from_public_bytes(bytes(32)), b"", b"row")
