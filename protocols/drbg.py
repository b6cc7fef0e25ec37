"""All randomness of one call, from one 32-byte seed and a label.

    output = SHAKE-256(framed(Tag.DRBG, seed, label))          FIPS 202

A longer output starts like a shorter one, so what is drawn for slot t depends
on the seed and t only: a single call and a batch agree byte for byte, and an
auditor who holds the seed redraws everything (PROTOCOL 4, 12).

The seed of a block also hangs on the block's number and on the root of its
inputs: the same mask never covers changed ciphertexts.  (With one mask over two
versions of a block the authority subtracts them and reads who changed and by
how much.)

>>> seed = bytes(32)
>>> Drbg(seed).bytes("mask", 4).hex() == Drbg(seed).bytes("mask", 8).hex()[:8]
True
>>> block_seed(seed, 1, bytes(32)) == block_seed(seed, 2, bytes(32))
False
"""

import hashlib
from dataclasses import dataclass

from protocols.canon import Tag, framed

SEED_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class Drbg:
    """Draws labelled bytes from `seed`; a label is used for one thing only."""

    seed: bytes

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise RuntimeError(f"a seed is {SEED_BYTES} bytes, not {len(self.seed)}")

    def bytes(self, label: str, length: int) -> bytes:
        """Draw `length` bytes for `label`."""
        return hashlib.shake_256(framed(Tag.DRBG, self.seed, label.encode())).digest(
            length
        )

    def child(self, label: str) -> "Drbg":
        """Derive an independent generator for `label`."""
        return Drbg(self.bytes(label, SEED_BYTES))


def block_seed(seed: bytes, block: int, inputs_root: bytes) -> bytes:
    """Derive the seed of one block of a call or job over exactly these inputs."""
    if len(inputs_root) != SEED_BYTES:
        raise RuntimeError("an inputs root is 32 bytes")
    return Drbg(seed).bytes(f"block {block} {inputs_root.hex()}", SEED_BYTES)
