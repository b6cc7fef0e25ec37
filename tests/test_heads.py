"""The authority sees one growing journal (PROTOCOL 5, check 6)."""

import hashlib
import random

import pytest

from node.heads import Chain, HeadUnknown, Link, Trail, TreeHead
from protocols.errors import ProofInvalid
from protocols.tlog import Tree


def grow(tree: Tree, entries: int, name: str = "") -> TreeHead:
    """Append entries and return the head."""
    for i in range(entries):
        tree.append(hashlib.sha256(f"{name}{tree.size}{i}".encode()).digest())
    return TreeHead(tree.size, tree.root())


def test_heads_that_overtake_each_other_are_all_admitted() -> None:
    """Whatever the order of arrival, an honest house is never refused."""
    dice = random.Random(1)
    for _ in range(50):
        tree, chain = Tree(), Chain()
        trail = Trail(tree.consistency)
        under_way: list[tuple[TreeHead, list[Link]]] = []
        for _ in range(30):
            head = grow(tree, dice.randint(1, 4))
            under_way.append((head, trail.links(head)))
            while len(under_way) > dice.randint(0, 5):
                arrived, links = under_way.pop(dice.randrange(len(under_way)))
                chain.admit(arrived, links)
                trail.answered(arrived)
        assert chain.newest.size <= tree.size


def test_a_fork_is_refused() -> None:
    """A head that does not extend the one before proves nothing."""
    tree, fork = Tree(), Tree()
    first = grow(tree, 4)
    grow(fork, 4, "other")
    chain = Chain()
    chain.admit(first, [])
    forged = grow(fork, 2)
    link = Link(TreeHead(4, fork.root(4)), tuple(fork.consistency(4, 6)))

    with pytest.raises(ProofInvalid):
        chain.admit(forged, [link])
    with pytest.raises(ProofInvalid):
        chain.admit(TreeHead(4, fork.root(4)), [])
    with pytest.raises(ProofInvalid):
        chain.admit(forged, [Link(first, link.consistency)])


def test_an_unlinked_head_is_answered_with_the_size_to_link_to() -> None:
    """House and authority find each other again after a restart."""
    tree = Tree()
    chain = Chain(grow(tree, 5))
    head = grow(tree, 3)

    with pytest.raises(HeadUnknown) as unknown:
        chain.admit(head, [])
    earlier = TreeHead(unknown.value.size, tree.root(unknown.value.size))
    chain.admit(head, [Trail(tree.consistency).link(earlier, head)])
    assert chain.newest == head


def test_a_rewound_journal_is_noticed() -> None:
    """A house that lost entries cannot go on as if nothing had happened."""
    tree, rewound = Tree(), Tree()
    chain = Chain(grow(tree, 9))
    head = grow(rewound, 5, "rewound")

    with pytest.raises(HeadUnknown):
        chain.admit(head, Trail(rewound.consistency).links(head))
