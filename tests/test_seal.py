"""Secrets at rest: vectors, every flipped bit, and headers that ask too much.

Cases 54 (wrapped keys), 56 and 60 (AES-GCM).
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from protocols import seal
from protocols.errors import FormatError, SealBroken

WYCHEPROOF = json.loads(
    (Path(__file__).parent / "vectors/wycheproof/aes_gcm_test.json").read_text()
)
CASES = [case for group in WYCHEPROOF["testGroups"] for case in group["tests"]]
SALT, NONCE = bytes(range(16)), bytes(range(12))
KEY = b"\x07" * 32


def _flips(data: bytes) -> list[bytes]:
    edited = []
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        edited.append(bytes(changed))
    return edited


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"tc{case['tcId']}")
def test_wycheproof(case: dict[str, Any]) -> None:
    """Valid cases seal and open byte for byte; the others do not open."""
    key, nonce, aad, message, ciphertext, tag = (
        bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")
    )
    if case["result"] == "valid":
        assert ciphertext + tag == seal._close(key, nonce, aad, message)
        assert message == seal._open(key, nonce, aad, ciphertext + tag)
    else:
        with pytest.raises(SealBroken):
            seal._open(key, nonce, aad, ciphertext + tag)


@pytest.mark.parametrize(
    ("key", "aad", "sealed"),
    [  # C2SP XAES-256-GCM, "Test Vectors": the carry out of L is 0, and 1
        (b"\x01", b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (
            b"\x03",
            b"c2sp.org/XAES-256-GCM",
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
        ),
    ],
)
def test_xaes_vectors(key: bytes, aad: bytes, sealed: str) -> None:
    """The derived key is the one of the specification."""
    nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX"
    derived = seal._xaes_key(key * 32, nonce)
    assert sealed == seal._close(derived, nonce[12:], aad, b"XAES-256-GCM").hex()


def test_a_file_is_what_the_docstring_says() -> None:
    """Header, scrypt and AES-GCM, redone with other libraries."""
    data = seal._seal_with("密码 pass", b"secret", SALT, NONCE, 10)
    header = b"safehouse/sealed/1\n" + bytes([10]) + SALT + NONCE
    key = hashlib.scrypt("密码 pass".encode(), salt=SALT, n=1 << 10, r=8, p=1, dklen=32)
    assert data == header + AESGCM(key).encrypt(NONCE, b"secret", header)
    assert seal.unseal("密码 pass", data) == b"secret"


def test_a_record_is_what_the_docstring_says() -> None:
    """Version, 24 bytes of nonce, ciphertext, tag; the version is in the AAD."""
    record = seal.wrap(KEY, b"aad", b"secret")
    key = seal._xaes_key(KEY, record[1:25])
    assert AESGCM(key).decrypt(record[13:25], record[25:], b"\x01aad") == b"secret"


def test_what_we_write_costs_what_we_say() -> None:
    """`seal` writes 2^16, with a salt and nonce of its own each time."""
    one, two = seal.seal("p", b"secret"), seal.seal("p", b"secret")
    assert one[19] == 16
    assert one[20:] != two[20:]
    assert len({one[20:36], two[20:36]}) == len({one[36:48], two[36:48]}) == 2
    assert seal.unseal("p", one) == b"secret"


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_records_come_back(plaintext: bytes, aad: bytes) -> None:
    """Whatever is wrapped is unwrapped, and the length is predictable."""
    record = seal.wrap(KEY, aad, plaintext)
    assert plaintext == seal.unwrap(KEY, aad, record)
    assert len(plaintext) + seal.OVERHEAD == len(record)


def test_every_flipped_bit_of_a_file_is_refused() -> None:
    """Magic and work factor are format errors, all else does not open."""
    data = seal._seal_with("p", b"k", SALT, NONCE, 10)
    for number, edited in enumerate(_flips(data)):
        with pytest.raises(
            FormatError if number < 19 * 8 else (FormatError, SealBroken)
        ):
            seal.unseal("p", edited)


def test_every_flipped_bit_of_a_record_is_refused() -> None:
    """A wrapped key with any one bit changed does not open."""
    for edited in _flips(seal.wrap(KEY, b"aad", b"key")):
        with pytest.raises(SealBroken):
            seal.unwrap(KEY, b"aad", edited)


def test_another_passphrase_key_or_aad_is_refused() -> None:
    """A file opens under its passphrase, a record under its key for its place."""
    data = seal._seal_with("right", b"k", SALT, NONCE, 10)
    for wrong in ("wrong", "right ", "Right"):
        with pytest.raises(SealBroken, match="passphrase does not open"):
            seal.unseal(wrong, data)
    record = seal.wrap(KEY, b"a", b"k")
    with pytest.raises(SealBroken):
        seal.unwrap(bytes(32), b"a", record)
    with pytest.raises(SealBroken):
        seal.unwrap(KEY, b"b", record)


def test_composed_and_decomposed_passphrases_are_one() -> None:
    """`é` typed as one character or as two opens the same file."""
    data = seal._seal_with("caf\u00e9", b"k", SALT, NONCE, 10)
    assert seal.unseal("cafe\u0301", data) == b"k"


@pytest.mark.parametrize("log_n", [0, 1, 9, 19, 30, 63, 255])
def test_work_factor_is_bounded_before_it_is_paid(
    log_n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted header costs no memory and no time."""
    data = bytearray(seal._seal_with("p", b"k", SALT, NONCE, 10))
    data[19] = log_n
    monkeypatch.setattr(seal, "_key", lambda *_: pytest.fail("scrypt was run"))
    with pytest.raises(FormatError, match=f"got 2\\^{log_n}"):
        seal.unseal("p", bytes(data))


@pytest.mark.parametrize("length", [0, 5, 19, 20, 47, 63])
def test_cut_files_are_refused(length: int) -> None:
    """A file cut anywhere before its tag is a format error."""
    data = seal._seal_with("p", b"", SALT, NONCE, 10)
    with pytest.raises(FormatError):
        seal.unseal("p", data[:length])


@pytest.mark.parametrize("record", [b"", b"\x01", b"\x01" * 40, b"\x02" + bytes(60)])
def test_malformed_records_are_refused(record: bytes) -> None:
    """Too short, or of a version that is not ours."""
    with pytest.raises(SealBroken):
        seal.unwrap(KEY, b"", record)


def test_misuse_is_ours() -> None:
    """An empty passphrase or a short key is a bug of the caller."""
    with pytest.raises(RuntimeError, match="empty passphrase"):
        seal.seal("", b"k")
    with pytest.raises(RuntimeError, match="32 bytes, not 16"):
        seal.wrap(bytes(16), b"", b"k")
