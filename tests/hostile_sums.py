"""Who lies about statistics: a house that lists others, and what it says it made.

Everything is real but the lie: the journal, the keys, the authority.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from contracts import aggregate_bodies, bodies
from contracts.decide import Reason
from contracts.quarter import quarter_of
from node import clock
from node.aggregate_consultation import Question
from node.aggregate_house import Found, drbg_of
from node.aggregate_store import Asked
from node.errors import Denied
from node.keys import BankKeys, HouseKeys
from node.objections import Placement
from node.wire.v1 import aggregate_pb2
from protocols.aggregate import HouseSide, bind, masks_bytes, message_digest
from protocols.aggregate_call import (
    AggregateRequest,
    AggregateTicket,
    Snapshot,
    aggregate_root,
    masks_digest,
)
from protocols.call import request_hash, seed_commitment
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.sign import sign
from protocols.slots import Ints
from protocols.where import canonical
from tests.statistics_town import Town


@dataclass(frozen=True)
class Lie:
    """A question as a house shows it to the authority."""

    ticket: AggregateTicket
    ciphertexts: tuple[int, ...] | None
    placements: tuple[Placement, ...]


class EvilHouse:
    """A house that does what it likes, with its own real keys and journal."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.desk = town.house
        self.core = self.desk._house
        self.keys = town.world.keys("house", HouseKeys)

    def asked(
        self, contract: bytes, bank: str = "jnrcb", signer: str = "", **where: list[str]
    ) -> Asked:
        """Ask as a bank does."""
        request = AggregateRequest(
            contract,
            canonical(where),
            "statistics",
            secrets.token_bytes(16),
            clock.now_ms(),
            bank,
        )
        return self.signed(request, signer or bank)

    def signed(self, request: AggregateRequest, signer: str) -> Asked:
        """Sign a request."""
        key = self.town.world.keys(signer, BankKeys).sign
        signed = sign(Tag.AGGREGATE_REQUEST, request.to_bytes(), key)
        call = request_hash(signed.payload)
        return Asked(signed, request, call, quarter_of(request.iat_ms))

    def found(self, asked: Asked) -> Found:
        """Find what an honest house would."""
        with self.core.ledger.reader() as db:
            return self.desk._found(db, asked)

    def make(
        self,
        asked: Asked,
        *,
        rows: Callable[[Ints], None] = lambda _: None,
        snapshot: Callable[[Snapshot], Snapshot] = lambda s: s,
        placements: tuple[Placement, ...] | None = None,
    ) -> Lie:
        """Compute as an honest house does, over rows that were changed."""
        found, seed = self.found(asked), secrets.token_bytes(32)
        of_rows = found.selection.of_rows.copy()
        rows(of_rows)
        selection = replace(found.selection, of_rows=of_rows)
        shown = snapshot(found.snapshot)
        blocks = self.core.vault.open(found.snapshot.ciphertext_root)
        reads = found.aggregate.reads
        side = HouseSide(
            self.core.engine.obfuscators,
            bind(of_rows, self.desk._slots),
            len(selection.groups),
            found.aggregate.scales,
        )
        root = aggregate_root(found.aggregate.hash, shown, selection.digest)
        made = side.message(
            lambda read, block: blocks.ciphertexts(block, (reads[read].index,))[0],
            drbg_of(seed, root),
        )
        ticket = AggregateTicket(
            asked.call,
            asked.request.contract,
            shown,
            selection.digest,
            selection.groups,
            selection.suppressed,
            found.left_out,
            clock.now_ms(),
            seed_commitment(seed),
            message_digest(self.desk._public, made.ciphertexts),
            masks_digest(masks_bytes(made.masks)),
        )
        shown_to = found.placements if placements is None else placements
        return Lie(ticket, made.ciphertexts, shown_to)

    def evaluate(
        self, asked: Asked, lie: Lie, intent: int | None = None
    ) -> aggregate_pb2.EvaluateAggregateResponse:
        """Ask the authority, past every check of an honest house."""
        ticket = sign(Tag.AGGREGATE_TICKET, lie.ticket.to_bytes(), self.keys.ticket)
        if intent is None:
            body = aggregate_bodies.Intent(asked.signed, ticket).to_body()
            kind, call = Kind.AGGREGATE_INTENT, asked.call.hex()
            intent = self.core.ledger.commit(
                lambda tx: tx.append(kind, "house", call, body)
            ).value
        return self.desk._consulting.evaluate(
            Question(asked.signed, ticket, intent, lie.placements, lie.ciphertexts)
        )

    def refused(
        self, asked: Asked, lie: Lie, intent: int | None = None
    ) -> list[Reason]:
        """Ask the authority, which refuses; return every reason it journalled."""
        spent, done = self.counted()
        with pytest.raises(Denied) as caught:
            self.evaluate(asked, lie, intent)
        assert self.counted() == (spent, done)
        ledger = self.town.world.authority.ledger
        for data in reversed(list(ledger.entries(0, ledger.head.size))):
            entry = Entry.parse(data)
            if entry.kind is Kind.AGGREGATE_DENY:
                body = bodies.Deny.parse(entry.body)
                if body.denial == caught.value.denial:
                    return [finding.reason for finding in body.reasons]
        raise AssertionError("no such denial in the journal")

    def counted(self) -> tuple[int, int]:
        """Count what is spent, and what was decrypted."""
        ledger = self.town.world.authority.ledger
        with ledger.reader() as db:
            ((spent,),) = db.execute("SELECT coalesce(sum(spent), 0) FROM epsilon")
        kinds = [Entry.parse(data).kind for data in ledger.entries(0, ledger.head.size)]
        return int(spent), kinds.count(Kind.AGGREGATE_DONE)


def out(*rows: int) -> Callable[[Ints], None]:
    """Leave these rows out."""

    def change(of_rows: Ints) -> None:
        of_rows[list(rows)] = -1

    return change


def only(*rows: int) -> Callable[[Ints], None]:
    """Add up these rows and nobody else."""

    def change(of_rows: Ints) -> None:
        kept = of_rows[list(rows)].copy()
        of_rows[:] = -1
        of_rows[list(rows)] = kept

    return change


def first_of(of_rows: Ints, group: int = 0) -> int:
    """Find the first row of a group."""
    return int(np.flatnonzero(of_rows == group)[0])
