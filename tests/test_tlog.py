"""Merkle trees: reference vectors, a literal slow definition, and forgeries.

Cases 29 and 30.
"""

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ProofInvalid
from protocols.tlog import (
    EMPTY_ROOT,
    Frontier,
    Tree,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

VECTORS = Path(__file__).parent / "vectors/rfc6962_merkle"
REFERENCE = json.loads((VECTORS / "reference_roots.json").read_text())
PROOFS = json.loads((VECTORS / "proofs_valid.json").read_text())
ENTRIES = [bytes.fromhex(text) for text in REFERENCE["leaf_inputs_hex"]]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


# RFC 6962 section 2.1, word for word


def slow_root(leaves: list[bytes]) -> bytes:
    """MTH(D[n])."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return node_hash(slow_root(leaves[:k]), slow_root(leaves[k:]))


def slow_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH(m, D[n])."""
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*slow_path(m, leaves[:k]), slow_root(leaves[k:])]
    return [*slow_path(m - k, leaves[k:]), slow_root(leaves[:k])]


def slow_proof(m: int, leaves: list[bytes]) -> list[bytes]:
    """PROOF(m, D[n])."""
    return slow_subproof(m, leaves, whole=True)


def slow_subproof(m: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b)."""
    if m == len(leaves):
        return [] if whole else [slow_root(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*slow_subproof(m, leaves[:k], whole=whole), slow_root(leaves[k:])]
    return [*slow_subproof(m - k, leaves[k:], whole=False), slow_root(leaves[:k])]


def largest_power_below(n: int) -> int:
    """Return the largest power of two smaller than `n`."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


# Vectors


@pytest.mark.parametrize("size", range(9))
def test_reference_roots(size: int) -> None:
    """The roots of the RFC 6962 reference tree, by every way to reach them."""
    expected = REFERENCE["root_hashes_hex_by_size"][size]
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    assert Tree(LEAVES).root(size).hex() == expected
    assert root_of(LEAVES[:size]).hex() == expected
    assert frontier.root().hex() == expected


def test_reference_hashes() -> None:
    """Leaves and nodes are hashed in domains of their own."""
    expected = REFERENCE["hasher"]
    assert EMPTY_ROOT.hex() == expected["empty_root"]
    assert leaf_hash(b"").hex() == expected["empty_leaf"]
    assert leaf_hash(b"L123456").hex() == expected["leaf(L123456)"]
    assert node_hash(b"N123", b"N456").hex() == expected["node(N123,N456)"]


@dataclass(frozen=True)
class Inclusion:
    """Arguments of `verify_inclusion`."""

    leaf: bytes
    index: int
    size: int
    proof: list[bytes]
    root: bytes

    def verify(self) -> None:
        """Raise unless the proof holds."""
        verify_inclusion(self.leaf, self.index, self.size, self.proof, self.root)


@dataclass(frozen=True)
class Consistency:
    """Arguments of `verify_consistency`."""

    old: int
    new: int
    proof: list[bytes]
    old_root: bytes
    new_root: bytes

    def verify(self) -> None:
        """Raise unless the proof holds."""
        verify_consistency(self.old, self.new, self.proof, self.old_root, self.new_root)


GOOD_INCLUSION = [
    Inclusion(
        b64decode(case["leafHash"]),
        case["leafIdx"],
        case["treeSize"],
        [b64decode(text) for text in case["proof"] or []],
        b64decode(case["root"]),
    )
    for case in PROOFS["inclusion"]
]
GOOD_CONSISTENCY = [
    Consistency(
        case["size1"],
        case["size2"],
        [b64decode(text) for text in case["proof"] or []],
        b64decode(case["root1"]),
        b64decode(case["root2"]),
    )
    for case in PROOFS["consistency"]
    if case["size1"] != case["size2"] or len(b64decode(case["root1"])) == 32
]


@pytest.mark.parametrize("good", [*GOOD_INCLUSION, *GOOD_CONSISTENCY])
def test_good_vectors(good: Inclusion | Consistency) -> None:
    """Every good proof of transparency-dev verifies."""
    good.verify()


def test_documented_exception() -> None:
    """One good vector has 12-byte roots; a root of another length is refused."""
    (case,) = (
        case for case in PROOFS["consistency"] if len(b64decode(case["root1"])) != 32
    )
    root = b64decode(case["root1"])
    with pytest.raises(ProofInvalid, match="hashes of 32 bytes"):
        verify_consistency(case["size1"], case["size2"], [], root, root)


def flip(data: bytes) -> bytes:
    """Change bit 4 of the first byte."""
    return bytes([data[0] ^ 16]) + data[1:]


BAD_INCLUSION: dict[str, Callable[[Inclusion], Inclusion]] = {
    "wrong-leaf": lambda p: replace(p, leaf=bytes(32)),
    "wrong-root": lambda p: replace(p, root=bytes(32)),
    "short-root": lambda p: replace(p, root=p.root[:-1]),
    "leaf-of-31-bytes": lambda p: replace(p, leaf=p.leaf[:-1]),
    "index-minus-1": lambda p: replace(p, index=p.index - 1),
    "index-plus-1": lambda p: replace(p, index=p.index + 1),
    "index-is-size": lambda p: replace(p, index=p.size),
    "size-0": lambda p: replace(p, size=0),
    "size-twice": lambda p: replace(p, size=2 * p.size),
    "trailing-garbage": lambda p: replace(p, proof=[*p.proof, b"garbage"]),
    "trailing-root": lambda p: replace(p, proof=[*p.proof, p.root]),
    "preceding-garbage": lambda p: replace(p, proof=[b"garbage", *p.proof]),
    "preceding-root": lambda p: replace(p, proof=[p.root, *p.proof]),
    "preceding-leaf": lambda p: replace(p, proof=[p.leaf, *p.proof]),
}
BAD_INCLUSION_WITH_PROOF: dict[str, Callable[[Inclusion], Inclusion]] = {
    "empty-proof": lambda p: replace(p, proof=[]),
    "truncated-proof": lambda p: replace(p, proof=p.proof[:-1]),
    "headless-proof": lambda p: replace(p, proof=p.proof[1:]),
    "modified-proof": lambda p: replace(p, proof=[flip(p.proof[0]), *p.proof[1:]]),
    "short-hash": lambda p: replace(p, proof=[p.proof[0][:-1], *p.proof[1:]]),
    "long-hash": lambda p: replace(p, proof=[p.proof[0] + b"\0", *p.proof[1:]]),
}
BAD_CONSISTENCY: dict[str, Callable[[Consistency], Consistency]] = {
    "size1-minus-1": lambda p: replace(p, old=p.old - 1),
    "size1-0": lambda p: replace(p, old=0),
    "size1-negative": lambda p: replace(p, old=-1),
    "size1-beyond-size2": lambda p: replace(p, old=p.new + 1),
    "size2-twice": lambda p: replace(p, new=2 * p.new),
    "wrong-root1": lambda p: replace(p, old_root=bytes(32)),
    "wrong-root2": lambda p: replace(p, new_root=bytes(32)),
    "short-root1": lambda p: replace(p, old_root=p.old_root[:-1]),
    "trailing-garbage": lambda p: replace(p, proof=[*p.proof, b"garbage"]),
    "trailing-root1": lambda p: replace(p, proof=[*p.proof, p.old_root]),
    "trailing-root2": lambda p: replace(p, proof=[*p.proof, p.new_root]),
    "preceding-garbage": lambda p: replace(p, proof=[b"garbage", *p.proof]),
    "preceding-root1": lambda p: replace(p, proof=[p.old_root, *p.proof]),
    "preceding-root2": lambda p: replace(p, proof=[p.new_root, *p.proof]),
}
BAD_CONSISTENCY_WITH_PROOF: dict[str, Callable[[Consistency], Consistency]] = {
    "swapped-roots": lambda p: replace(p, old_root=p.new_root, new_root=p.old_root),
    "empty-proof": lambda p: replace(p, proof=[]),
    "truncated-proof": lambda p: replace(p, proof=p.proof[:-1]),
    "modified-proof": lambda p: replace(p, proof=[flip(p.proof[0]), *p.proof[1:]]),
    "modified-end": lambda p: replace(p, proof=[*p.proof[:-1], flip(p.proof[-1])]),
}


@pytest.mark.parametrize("crime", BAD_INCLUSION | BAD_INCLUSION_WITH_PROOF)
def test_bad_inclusion(crime: str) -> None:
    """Case 29: every crime is refused, whichever good proof it starts from."""
    for good in GOOD_INCLUSION:
        if good.proof or crime in BAD_INCLUSION:
            bad = (BAD_INCLUSION | BAD_INCLUSION_WITH_PROOF)[crime](good)
            with pytest.raises(ProofInvalid, match="inclusion of entry"):
                bad.verify()


@pytest.mark.parametrize("crime", BAD_CONSISTENCY | BAD_CONSISTENCY_WITH_PROOF)
def test_bad_consistency(crime: str) -> None:
    """Case 29, for consistency."""
    for good in GOOD_CONSISTENCY:
        if good.proof or crime in BAD_CONSISTENCY:
            bad = (BAD_CONSISTENCY | BAD_CONSISTENCY_WITH_PROOF)[crime](good)
            with pytest.raises(ProofInvalid, match="consistency of"):
                bad.verify()


def test_root_does_not_bind_size() -> None:
    """Why sizes come from a signed checkpoint: one proof, one root, two sizes."""
    tree = Tree(LEAVES[:7])
    proof, root = tree.inclusion(0, 7), tree.root()
    verify_inclusion(LEAVES[0], 0, 7, proof, root)
    verify_inclusion(LEAVES[0], 0, 8, proof, root)


# Against the literal definition


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=40), st.data())
def test_roots_and_proofs_are_the_definition(
    leaves: list[bytes], data: st.DataObject
) -> None:
    """Tree, frontier and proofs equal the RFC's recursion at every size."""
    loaded = data.draw(st.integers(0, len(leaves)))
    tree, frontier = Tree(leaves[:loaded]), Frontier()
    for leaf in leaves[loaded:]:
        tree.append(leaf)
    for leaf in leaves:
        frontier.append(leaf)
    assert slow_root(leaves) == tree.root() == frontier.root() == root_of(leaves)
    if not leaves:
        return
    size = data.draw(st.integers(1, len(leaves)))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    root = slow_root(leaves[:size])
    assert tree.root(size) == root
    assert tree.inclusion(index, size) == slow_path(index, leaves[:size])
    assert tree.consistency(old, size) == slow_proof(old, leaves[:size])
    verify_inclusion(leaves[index], index, size, slow_path(index, leaves[:size]), root)
    verify_consistency(
        old, size, slow_proof(old, leaves[:size]), slow_root(leaves[:old]), root
    )


@given(st.integers(1, 70), st.data())
def test_a_proof_proves_one_leaf_only(size: int, data: st.DataObject) -> None:
    """No proof of one index serves another leaf, and no flipped bit passes."""
    leaves = [leaf_hash(number.to_bytes(2, "big")) for number in range(size)]
    tree = Tree(leaves)
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(
        st.integers(0, size - 1).filter(lambda i: i != index or size == 1)
    )
    proof = tree.inclusion(index, size)
    for at in range(len(proof)):
        forged = [*proof[:at], flip(proof[at]), *proof[at + 1 :]]
        with pytest.raises(ProofInvalid, match="another root"):
            verify_inclusion(leaves[index], index, size, forged, tree.root())
    if other != index:
        with pytest.raises(ProofInvalid):
            verify_inclusion(leaves[other], index, size, proof, tree.root())
        with pytest.raises(ProofInvalid):
            verify_inclusion(leaves[index], other, size, proof, tree.root())


def test_rewritten_log_has_no_consistency_proof() -> None:
    """A log that changed an old entry cannot be proved from the old root."""
    honest = Tree(leaf_hash(b"%d" % number) for number in range(20))
    forked = Tree(leaf_hash(b"%d" % (number % 12)) for number in range(30))
    for new in range(20, 31):
        with pytest.raises(ProofInvalid):
            verify_consistency(
                20, new, forked.consistency(20, new), honest.root(), forked.root(new)
            )


def test_misuse_by_the_caller() -> None:
    """Asking our own tree for what it does not hold is a bug, not bad input."""
    tree = Tree(LEAVES)
    for misuse in (
        lambda: tree.root(9),
        lambda: tree.inclusion(8, 8),
        lambda: tree.inclusion(0, 9),
        lambda: tree.consistency(0, 8),
        lambda: tree.consistency(5, 4),
        lambda: tree.append(b"short"),
        lambda: Tree([b"short"]),
        lambda: tree.subtree(4, 0),
    ):
        with pytest.raises(RuntimeError):
            misuse()
