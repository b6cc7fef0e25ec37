r"""That many leaves stand in one Merkle tree, proven together.

A job's list is signed by its Merkle root (`protocols.job`); the house shows the
authority some 20,000 entries of it at a time.  Twenty hashes for each would be
more than the entries themselves, so one proof serves all: the roots of those
subtrees in which no shown leaf lies, from left to right.  For a run of leaves
these are two hashes a level; a gap inside costs about as much again.

The tree is RFC 9162's (`protocols.tlog`): left subtrees are complete.  As there, a
root binds no size: root and size come from one signed document.

>>> from protocols.tlog import leaf_hash
>>> leaves = [leaf_hash(bytes([i])) for i in range(6)]
>>> proof = prove(Tree(leaves), [1, 2])
>>> len(proof)                                            # 0, 3 and the pair 4, 5
3
>>> root(6, [1, 2], leaves[1:3], proof) == Tree(leaves).root()
True
>>> root(6, [1, 2], leaves[1:3], proof[:2])
Traceback (most recent call last):
    ...
protocols.errors.ProofInvalid: subset of 6 leaves: fewer hashes than it takes
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

from protocols.errors import ProofInvalid
from protocols.tlog import HASH_BYTES, Tree, node_hash, root_of


def prove(tree: Tree, indices: Sequence[int]) -> list[bytes]:
    """Prove the leaves at `indices`, ascending and each once, at least one."""
    _refuse_indices(tree.size, indices)
    proof: list[bytes] = []

    def walk(low: int, high: int, first: int, end: int) -> None:
        if first == end:
            proof.append(tree.between(low, high))
        elif end - first < high - low:  # else all of it is shown
            middle = low + split(high - low)
            cut = bisect_left(indices, middle, first, end)
            walk(low, middle, first, cut)
            walk(middle, high, cut, end)

    walk(0, tree.size, 0, len(indices))
    return proof


def root(
    size: int, indices: Sequence[int], leaves: Sequence[bytes], proof: Sequence[bytes]
) -> bytes:
    """Compute the root of `size` leaves from those at `indices`, ascending.

    Raises `ProofInvalid` for a proof of another length, and for indices that are
    no places in the tree, or not ascending.
    """
    what = f"subset of {size} leaves"
    try:
        _refuse_indices(size, indices)
    except RuntimeError as error:
        raise ProofInvalid(f"{what}: {error}") from None
    if len(leaves) != len(indices):
        raise ProofInvalid(f"{what}: expected a leaf for each index")
    if any(len(digest) != HASH_BYTES for digest in (*leaves, *proof)):
        raise ProofInvalid(f"{what}: expected hashes of {HASH_BYTES} bytes")
    given: Iterator[bytes] = iter(proof)

    def walk(low: int, high: int, first: int, end: int) -> bytes:
        if first == end:
            digest = next(given, b"")
            if not digest:
                raise ProofInvalid(f"{what}: fewer hashes than it takes")
            return digest
        if end - first == high - low:
            return root_of(leaves[first:end])
        middle = low + split(high - low)
        cut = bisect_left(indices, middle, first, end)
        return node_hash(walk(low, middle, first, cut), walk(middle, high, cut, end))

    found = walk(0, size, 0, len(indices))
    if next(given, b""):
        raise ProofInvalid(f"{what}: more hashes than it takes")
    return found


def split(count: int) -> int:
    """Return the largest power of two below `count` > 1 (RFC 9162, 2.1.1)."""
    return 1 << ((count - 1).bit_length() - 1)


def _refuse_indices(size: int, indices: Sequence[int]) -> None:
    if not indices or indices[0] < 0 or indices[-1] >= size:
        raise RuntimeError(f"expected indices of 0 to {size - 1}, at least one")
    if any(a >= b for a, b in pairwise(indices)):
        raise RuntimeError("expected indices in ascending order")
