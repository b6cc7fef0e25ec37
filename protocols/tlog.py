r"""Merkle trees of a log: RFC 6962 section 2.1, RFC 9162 section 2.1.

    leaf = SHA-256(0x00 | entry)
    node = SHA-256(0x01 | left | right)          left: largest power of two < n leaves
    root of no leaves = SHA-256("")

`Tree` keeps every hash of a complete subtree in memory, 64 bytes an entry, and
proves; `Frontier` keeps only the right edge, log2(n) hashes, and is enough for
one who reads all entries once.  The two `verify_` functions need neither.

**A root does not bind its size.**  The same proof can verify for several sizes
under one root, so size and root are taken together from a checkpoint whose
signature is verified (`protocols.note`), never from the one who sent the proof.

>>> leaves = [leaf_hash(entry) for entry in (b"a", b"b", b"c")]
>>> tree = Tree(leaves)
>>> tree.root() == root_of(leaves) == node_hash(node_hash(*leaves[:2]), leaves[2])
True
>>> verify_inclusion(leaves[2], 2, 3, tree.inclusion(2, 3), tree.root())
>>> verify_consistency(2, 3, tree.consistency(2, 3), tree.root(2), tree.root())
>>> verify_inclusion(leaves[1], 2, 3, tree.inclusion(2, 3), tree.root())
Traceback (most recent call last):
    ...
protocols.errors.ProofInvalid: inclusion of entry 2 in 3: another root
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from protocols.errors import ProofInvalid

HASH_BYTES = 32
PAIR_BYTES = 2 * HASH_BYTES
EMPTY_ROOT = sha256(b"").digest()


# RFC 6962 section 2.1, hashes


def leaf_hash(entry: bytes) -> bytes:
    """Hash one entry, as its bytes are stored."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent."""
    return sha256(b"\1" + left + right).digest()


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root over `leaf_hashes`, in order."""
    level = list(leaf_hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        # A last node without a partner moves up as it is: its sibling is the
        # first complete subtree to its left, whatever the level.
        alone = level[len(level) & ~1 :]
        level = [
            node_hash(left, right)
            for left, right in zip(level[::2], level[1::2], strict=False)
        ] + alone
    return level[0]


class Frontier:
    """The right edge of a growing tree: roots of its complete subtrees."""

    __slots__ = ("_roots", "size")

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []  # one for each bit set in size, largest first

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        below = self.size
        while below & 1:
            leaf = sha256(b"\1" + self._roots.pop() + leaf).digest()
            below >>= 1
        self._roots.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root over everything appended so far."""
        if not self._roots:
            return EMPTY_ROOT
        *larger, root = self._roots
        for left in reversed(larger):
            root = node_hash(left, root)
        return root


class Tree:
    """All complete subtrees of a log; append-only, proves for any earlier size.

    One thread may append while others prove for sizes that existed before.
    """

    __slots__ = ("_levels",)

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        # Hash i of level k, at byte 32 i, covers leaves [i 2^k, (i+1) 2^k).
        self._levels = [bytearray().join(leaf_hashes)]
        if len(self._levels[0]) % HASH_BYTES:
            raise RuntimeError(f"leaf hashes are {HASH_BYTES} bytes each")
        while len(below := self._levels[-1]) >= PAIR_BYTES:
            pairs = range(0, len(below) - HASH_BYTES, PAIR_BYTES)
            self._levels.append(
                bytearray().join(
                    sha256(b"\1" + below[at : at + PAIR_BYTES]).digest() for at in pairs
                )
            )

    @property
    def size(self) -> int:
        """The number of leaves."""
        return len(self._levels[0]) // HASH_BYTES

    def append(self, leaf: bytes) -> int:
        """Add one leaf hash and return its index."""
        if len(leaf) != HASH_BYTES:
            raise RuntimeError(f"a leaf hash is {HASH_BYTES} bytes, not {len(leaf)}")
        index = self.size
        digest, level = leaf, 0
        # From the top down, so that a reader never meets a parent of missing leaves.
        pending = [digest]
        while index >> level & 1:
            digest = node_hash(self.subtree(level, (index >> level) - 1), digest)
            pending.append(digest)
            level += 1
        for above, value in reversed(list(enumerate(pending))):
            if above == len(self._levels):
                self._levels.append(bytearray())
            self._levels[above] += value
        return index

    def subtree(self, level: int, index: int) -> bytes:
        """Return the root over leaves [index 2^level, (index + 1) 2^level)."""
        if level < len(self._levels):
            start = index * HASH_BYTES
            digest = bytes(self._levels[level][start : start + HASH_BYTES])
            if len(digest) == HASH_BYTES:
                return digest
        raise RuntimeError(f"no complete subtree {index} at level {level}")

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves, by default over all."""
        size = self.size if size is None else size
        self._refuse_beyond(size)
        return self.between(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Prove leaf `index` in the first `size` leaves (RFC 9162, 2.1.3.1).

        The proof runs from the leaf's sibling up to the root's child.
        """
        self._refuse_beyond(size)
        if not 0 <= index < size:
            raise RuntimeError(f"expected an index below {size}, got {index}")
        low, high = 0, size
        path = []
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self.between(middle, high))
                high = middle
            else:
                path.append(self.between(low, middle))
                low = middle
        return path[::-1]

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Prove that `new` leaves begin with the first `old` (RFC 9162, 2.1.4.1).

        Requires 0 < old <= new <= size: everything begins with nothing.
        """
        self._refuse_beyond(new)
        if not 0 < old <= new:
            raise RuntimeError(f"expected sizes 0 < old <= new, got {old} and {new}")
        low, high = 0, new
        path = []
        while old != high:
            middle = low + _split(high - low)
            if old <= middle:
                path.append(self.between(middle, high))
                high = middle
            else:
                path.append(self.between(low, middle))
                low = middle
        if low:  # else the subtree is the old root, which the verifier has
            path.append(self.between(low, high))
        return path[::-1]

    def between(self, low: int, high: int) -> bytes:
        """Return the root over leaves [low, high), a subtree of some size's tree.

        `low` is a multiple of the smallest power of two >= `high` - `low`.
        """
        count = high - low
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self.subtree(level, low >> level)
        middle = low + _split(count)
        return node_hash(self.between(low, middle), self.between(middle, high))

    def _refuse_beyond(self, size: int) -> None:
        if not 0 <= size <= self.size:
            raise RuntimeError(f"expected a size up to {self.size}, got {size}")


def _split(count: int) -> int:
    """Return the largest power of two below `count` > 1."""
    return 1 << ((count - 1).bit_length() - 1)


# RFC 9162 section 2.1.3.2


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that `leaf` is number `index` of the `size` leaves under `root`.

    1. 0 <= index < size, and every hash has 32 bytes.
    2. The proof has as many hashes as the path has siblings.
    3. Hashing up the path gives `root`.

    `size` and `root` come from one verified checkpoint.  Raises `ProofInvalid`.
    """
    what = f"inclusion of entry {index} in {size}"
    # 1
    if not 0 <= index < size:
        raise ProofInvalid(f"{what}: expected an index below the size")
    _refuse_short(what, [leaf, root, *proof])
    # 2, 3
    node, last, digest = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofInvalid(f"{what}: more hashes than the path is long")
        if node & 1 or node == last:
            digest = node_hash(sibling, digest)
            while node and not node & 1:  # levels at which it has no sibling
                node, last = node >> 1, last >> 1
        else:
            digest = node_hash(digest, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofInvalid(f"{what}: fewer hashes than the path is long")
    if digest != root:
        raise ProofInvalid(f"{what}: another root")


# RFC 9162 section 2.1.4.2


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Check that the log of `new` leaves begins with the log of `old` leaves.

    1. 0 < old <= new, and every hash has 32 bytes: a log of size 0 says nothing
       about what follows, so a proof from it would only look like one.
    2. Equal sizes: no hashes, and the same root.
    3. Hashing up from the old tree's last complete subtree gives both roots.

    Sizes and roots come from verified checkpoints.  Raises `ProofInvalid`.
    """
    what = f"consistency of {old} with {new}"
    # 1
    if not 0 < old <= new:
        raise ProofInvalid(f"{what}: expected 0 < old size <= new size")
    _refuse_short(what, [old_root, new_root, *proof])
    # 2
    if old == new:
        if proof:
            raise ProofInvalid(f"{what}: more hashes than the path is long")
        if old_root != new_root:
            raise ProofInvalid(f"{what}: two roots for one size")
        return
    # 3
    path = list(proof)
    if old & (old - 1) == 0:  # the old tree is itself a complete subtree
        path.insert(0, old_root)
    if not path:
        raise ProofInvalid(f"{what}: fewer hashes than the path is long")
    old_digest, new_digest = _climb(what, old, new, path)
    if old_digest != old_root:
        raise ProofInvalid(f"{what}: another old root")
    if new_digest != new_root:
        raise ProofInvalid(f"{what}: another new root")


def _climb(what: str, old: int, new: int, path: list[bytes]) -> tuple[bytes, bytes]:
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_digest = new_digest = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofInvalid(f"{what}: more hashes than the path is long")
        if node & 1 or node == last:
            old_digest = node_hash(sibling, old_digest)
            new_digest = node_hash(sibling, new_digest)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new_digest = node_hash(new_digest, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofInvalid(f"{what}: fewer hashes than the path is long")
    return old_digest, new_digest


def _refuse_short(what: str, hashes: Iterable[bytes]) -> None:
    for digest in hashes:
        if len(digest) != HASH_BYTES:
            raise ProofInvalid(f"{what}: expected hashes of {HASH_BYTES} bytes")
