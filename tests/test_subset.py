"""Many leaves of one tree, proven together, against single proofs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ProofInvalid
from protocols.subset import prove, root
from protocols.tlog import Tree, leaf_hash

LEAVES = [leaf_hash(bytes([i])) for i in range(100)]


@st.composite
def subsets(draw: st.DrawFn) -> tuple[int, list[int]]:
    """Draw a tree's size and some of its leaves."""
    size = draw(st.integers(1, 100))
    some = draw(st.sets(st.integers(0, size - 1), min_size=1))
    return size, sorted(some)


@given(subsets())
def test_a_proof_leads_to_the_root(drawn: tuple[int, list[int]]) -> None:
    """Any leaves of any tree; the proof is what single proofs have in common."""
    size, indices = drawn
    tree = Tree(LEAVES[:size])
    proof = prove(tree, indices)
    leaves = [LEAVES[i] for i in indices]
    assert root(size, indices, leaves, proof) == tree.root()
    single = {digest for i in indices for digest in tree.inclusion(i, size)}
    assert set(proof) <= single


@given(subsets(), st.data())
def test_nothing_else_leads_there(
    drawn: tuple[int, list[int]], data: st.DataObject
) -> None:
    """Another leaf, hash, place or length: another root, or no proof at all."""
    size, indices = drawn
    tree = Tree(LEAVES[:size])
    proof, leaves = prove(tree, indices), [LEAVES[i] for i in indices]
    at = data.draw(st.integers(0, len(leaves) - 1))
    forged = [*leaves[:at], leaf_hash(b"another"), *leaves[at + 1 :]]
    assert root(size, indices, forged, proof) != tree.root()
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bent = [*proof[:at], bytes(32), *proof[at + 1 :]]
        assert root(size, indices, leaves, bent) != tree.root()
        with pytest.raises(ProofInvalid, match="fewer"):
            root(size, indices, leaves, proof[:-1])
    with pytest.raises(ProofInvalid, match="more"):
        root(size, indices, leaves, [*proof, bytes(32)])
    moved = sorted(set(range(size)) - set(indices))[: len(indices)]
    if len(moved) == len(indices):
        try:
            assert root(size, moved, leaves, proof) != tree.root()
        except ProofInvalid as error:
            assert "hashes" in str(error)  # noqa: PT017  either will do


@pytest.mark.parametrize(
    ("indices", "leaves", "crime"),
    [
        ([], [], "at least one"),
        ([1, 1], LEAVES[:2], "ascending"),
        ([2, 1], LEAVES[:2], "ascending"),
        ([-1], LEAVES[:1], "indices of 0 to 9"),
        ([10], LEAVES[:1], "indices of 0 to 9"),
        ([1, 2], LEAVES[:1], "leaf for each"),
        ([1], [b"short"], "32 bytes"),
    ],
)
def test_what_is_no_subset_is_refused(
    indices: list[int], leaves: list[bytes], crime: str
) -> None:
    """By name, and before anything is hashed."""
    with pytest.raises(ProofInvalid, match=crime):
        root(10, indices, leaves, [])


def test_a_stretch_costs_two_hashes_a_level() -> None:
    """A run of a long list is proven by its two ends."""
    tree = Tree(leaf_hash(i.to_bytes(4)) for i in range(5_000))
    assert len(prove(tree, range(1_001, 3_003))) <= 2 * 13
