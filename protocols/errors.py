"""What can be wrong with bytes that another party sent.

::

    ProtocolError
    ├── FormatError         not in the stated format and version
    ├── SignatureInvalid    unknown key, or the signature does not verify
    ├── ProofInvalid        a Merkle proof or checkpoint does not verify
    ├── CiphertextInvalid   out of range, not a unit, or under another key
    ├── KeyInvalid          a key that must not be used
    ├── SealBroken          an encrypted file or box does not open
    └── PointInvalid        no element of the group, or its identity

Bad input is one of these.  A bug of our own is an `AssertionError` that names
the broken sum, and misuse by our own caller a `RuntimeError`.
"""


class ProtocolError(Exception):
    """Base of this floor: one line, and a hint that is printed apart."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class FormatError(ProtocolError):
    """Bytes that are not in the stated format and version."""


class SignatureInvalid(ProtocolError):
    """A signature by an unknown key, or one that does not verify."""


class ProofInvalid(ProtocolError):
    """A Merkle proof, signed note or checkpoint that does not verify."""


class CiphertextInvalid(ProtocolError):
    """A ciphertext out of range, not a unit, or under another key."""


class KeyInvalid(ProtocolError):
    """A key that must not be used: short, even, square, malformed."""


class SealBroken(ProtocolError):
    """An encrypted file or box that does not open: wrong key, or edited."""


class PointInvalid(ProtocolError):
    """Bytes that are no element of the group, or the one that must not pass."""
