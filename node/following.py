"""The house's journal as the authority follows it, evaluation by evaluation.

Every evaluation brings an entry of the house's journal, proven in a head that
extends every head seen before (PROTOCOL 5, check 6; `node.heads`).  The largest
one is kept in the authority's own store, in the transactions of what it led to,
so that a restart forgets none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from contracts.decide import Finding, Reason
from node import clock, log
from node.domain import Role, TrustDomain
from node.heads import Chain, Link, TreeHead
from node.ledger import Ledger, Transaction
from node.wire.v1 import common_pb2
from protocols.entry import Entry, Kind
from protocols.errors import ProofInvalid, ProtocolError
from protocols.note import LogProof
from protocols.sign import Signed

SCHEMA: Final = (
    # The largest head of the house's journal that was seen.
    """CREATE TABLE IF NOT EXISTS seen_head(
        one INTEGER PRIMARY KEY CHECK(one = 1), size INTEGER NOT NULL,
        root BLOB NOT NULL)""",
)


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry that stands in the house's journal, and the head that proves it."""

    entry: Entry
    head: TreeHead


def intent_findings(
    intent: Shown | None, kind: Kind, call: bytes, ticket: Signed
) -> list[Finding]:
    """Say what is against `intent` as the proof that the house journalled `ticket`."""
    if intent is None:
        return [Finding(Reason.INTENT_UNPROVEN, "no proof in an admitted head")]
    entry = intent.entry
    if entry.kind is not kind or entry.call != call.hex():
        return [Finding(Reason.INTENT_UNPROVEN, "an entry of something else")]
    if entry.body.get("ticket") != ticket.to_json():
        return [Finding(Reason.INTENT_UNPROVEN, "an intent with another ticket")]
    return []


class Following:
    """All heads of the house's journal that this authority has seen; thread-safe."""

    def __init__(self, domain: TrustDomain, ledger: Ledger) -> None:
        self._domain = domain
        with ledger.reader() as db:
            row = db.execute("SELECT size, root FROM seen_head").fetchone()
        self._chain = Chain(TreeHead(*row) if row else None)

    def admit(
        self, logged: common_pb2.Logged, links: Iterable[common_pb2.HeadLink]
    ) -> Shown | None:
        """Take an entry with its head; None for a proof that does not hold.

        Raises `HeadUnknown` for a head that is not linked to the newest one:
        then nothing was decided, and the house links it.
        """
        try:
            proof = LogProof.parse(logged.proof)
            keys = self._domain.live_verifiers(Role.HOUSE, clock.now_ms())
            checkpoint = proof.verify(proof.extra, keys)
            entry = Entry.parse(proof.extra)
            head = TreeHead(checkpoint.size, checkpoint.root)
            self._chain.admit(
                head,
                [
                    Link(TreeHead(link.size, link.root), tuple(link.consistency))
                    for link in links
                ],
            )
        except (ProtocolError, ProofInvalid) as error:
            log.get().error("head refused", error=type(error).__name__)
            return None
        return Shown(entry, head)

    @property
    def newest(self) -> TreeHead:
        """The largest head that was seen; size 0 before the first one."""
        return self._chain.newest

    def remember(self, transaction: Transaction) -> None:
        """Keep the largest head seen so far."""
        newest = self._chain.newest
        transaction.db.execute(
            "INSERT INTO seen_head(one, size, root) VALUES(1, ?, ?)"
            " ON CONFLICT(one) DO UPDATE SET size = excluded.size,"
            " root = excluded.root WHERE excluded.size > size",
            (newest.size, newest.root),
        )
