"""That the house's journal only grows, checked by the authority call by call.

The authority decrypts only what stands in a head that the house has signed and
that extends every head it has seen (PROTOCOL 5, check 6).  Calls run at the
same time, so heads may overtake each other on the way; therefore every message
links its head to all the heads that may have come before it:

* the house's `Trail` remembers the heads it has sent and not yet heard back
  about, and the last one the authority is known to have seen, and proves each
  of them a prefix of the head it sends now;
* the authority's `Chain` keeps the largest head it has seen.  A larger head
  must be linked to that one; a smaller or equal one must be on the chain, where
  the links of its successors have put it.

If the two have lost each other (one of them restarted), the authority names the
size it knows, `HeadUnknown`, and the house links to that.  A house that cannot
has rewritten its journal.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from protocols.errors import ProofInvalid
from protocols.tlog import verify_consistency

CHAIN_KEPT = 4096  # heads; more calls than that are never under way at once
# Heads a message is linked to.  While the authority is away every call adds one,
# and a message of thousands would be refused for its size, for ever.
SENT_KEPT = 64


@dataclass(frozen=True, slots=True)
class TreeHead:
    """Size and root of a journal; taken together, from a verified checkpoint."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """An earlier head and the proof that it is a prefix of a newer one."""

    head: TreeHead
    consistency: tuple[bytes, ...]


class HeadUnknown(Exception):
    """The head is not linked to the largest one seen, of `size` entries."""

    def __init__(self, size: int) -> None:
        super().__init__(f"expected a head linked to the one of {size} entries")
        self.size = size


class Chain:
    """Heads of one journal, every one a prefix of the next (authority)."""

    def __init__(self, newest: TreeHead | None = None) -> None:
        self._heads: OrderedDict[int, bytes] = OrderedDict()
        self._newest = newest or TreeHead(0, b"")
        if newest is not None:
            self._heads[newest.size] = newest.root
        self._lock = threading.Lock()

    @property
    def newest(self) -> TreeHead:
        """The largest head seen; size 0 before the first one."""
        return self._newest

    def admit(self, head: TreeHead, links: Sequence[Link]) -> None:
        """Take `head`, proven to agree with all heads before.

        1. Every link's proof holds.
        2. A head that is on the chain already has the same root.
        3. A larger head is linked to the largest one seen.

        Raises `ProofInvalid` for a head that contradicts another one, and
        `HeadUnknown` for one that is not linked.
        """
        for link in links:  # 1
            verify_consistency(
                link.head.size,
                head.size,
                link.consistency,
                link.head.root,
                head.root,
            )
        with self._lock:
            known = self._heads.get(head.size)
            if known is not None:  # 2
                if known != head.root:
                    raise ProofInvalid(
                        f"two heads of {head.size} entries with different roots"
                    )
                return
            newest = self._newest
            if head.size < newest.size:
                raise HeadUnknown(newest.size)
            if newest.size and newest not in [link.head for link in links]:  # 3
                self._contradiction(links)
                raise HeadUnknown(newest.size)
            for link in sorted(links, key=lambda link: link.head.size):
                self._keep(link.head)
            self._keep(head)
            self._newest = head

    def _contradiction(self, links: Sequence[Link]) -> None:
        for link in links:
            known = self._heads.get(link.head.size)
            if known is not None and known != link.head.root:
                raise ProofInvalid(
                    f"two heads of {link.head.size} entries with different roots"
                )

    def _keep(self, head: TreeHead) -> None:
        self._heads.setdefault(head.size, head.root)
        while len(self._heads) > CHAIN_KEPT:
            self._heads.popitem(last=False)


class Trail:
    """Heads that one peer was sent (house)."""

    def __init__(self, consistency: Callable[[int, int], Sequence[bytes]]) -> None:
        self._consistency = consistency
        self._seen: TreeHead | None = None
        self._sent: OrderedDict[int, TreeHead] = OrderedDict()
        self._lock = threading.Lock()

    def links(self, head: TreeHead) -> list[Link]:
        """Link `head` to every head the peer may have seen last; note it as sent."""
        with self._lock:
            earlier = [sent for sent in self._sent.values() if sent.size < head.size]
            if self._seen is not None and self._seen.size < head.size:
                earlier.append(self._seen)
            if self._seen is None or self._seen.size < head.size:
                self._sent[head.size] = head
                while len(self._sent) > SENT_KEPT:
                    self._sent.popitem(last=False)  # if it was the one: `HeadUnknown`
        return [self.link(sent, head) for sent in earlier]

    def link(self, earlier: TreeHead, head: TreeHead) -> Link:
        """Prove that `earlier` is a prefix of `head`."""
        return Link(earlier, tuple(self._consistency(earlier.size, head.size)))

    def answered(self, head: TreeHead) -> None:
        """Note that the peer has admitted `head`."""
        with self._lock:
            if self._seen is None or self._seen.size < head.size:
                self._seen = head
            for size in [size for size in self._sent if size <= self._seen.size]:
                del self._sent[size]  # the peer is past them
