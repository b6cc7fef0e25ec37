"""The authority's part of intersections, as numbered steps (`protocols.psi`).

It holds the scalars of lists, sealed as their custodians sent them, and no point of any
list.  `permit` decides a session in one transaction:

 1. the bank signed the request, the house the ticket, for this request, contract and
    list; the jti names no other session, the request is fresh;
 2. the leaf hashes make the root over the bank's points;
 3. the house's intent is in its signed head, which extends every head seen;
 4. contract, list, cap and quota (`contracts.sessions`); of a list that is not public,
    which entries have a consent in force, by its consents' ids.

What is permitted is counted and journalled as `psi.permit`.  Then

 5. `evaluate` multiplies pieces of the points that the bank signed, and no others;
    each as often as it is asked for: they are the same points;
 6. `finish` signs a receipt over all that was multiplied, once all of it was;
 7. `count` compares the house's set with the bank's, which is sealed, and seals the
    number to the bank: once a session, whatever is asked again.  Two numbers of one
    session would be two questions.

Before 6 and 7 are journalled contract and consents are looked at again: a bank may come
back weeks after the step before.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import apsw

from contracts import psi_bodies, sessions
from contracts.contract import ContractKind
from contracts.decide import Finding, Reason, decide_job
from contracts.intersection import CompiledIntersection
from contracts.psi_bodies import Run
from contracts.sessions import SessionTerms, Whose
from node import clock, consents, denial, psi_lists
from node.clock import BITS_WINDOW_MS, REQUEST_SKEW_MS
from node.consultation import proven
from node.denial import from_store, to_store
from node.domain import Party, Role, TrustDomain
from node.errors import DocumentConflict, NotFound, RoleRefused
from node.following import Following, intent_findings
from node.keys import AuthorityKeys, unsealed
from node.ledger import Ledger, Transaction
from node.psi_denial import Desk, session_hash
from node.psi_lists import Listed
from node.registry import Registry
from node.status import from_wire, to_wire
from node.wire.v1 import psi_evaluation_pb2
from protocols import hpke, psi, ristretto
from protocols.call import HASH_BYTES, Permit
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import FormatError, ProtocolError
from protocols.psi import Mode, Runs
from protocols.psi_call import (
    ListSecret,
    PsiCount,
    PsiReceipt,
    PsiRequest,
    PsiReturn,
    PsiTicket,
    counted_digest,
    return_info,
    unseal_list,
)
from protocols.ristretto import POINT_BYTES, multiply_all
from protocols.sign import Signed, sign, verify

SCHEMA: Final = (
    *psi_lists.SCHEMA,
    # A row a session; the permitted ones are kept for the quota's window.
    """CREATE TABLE IF NOT EXISTS psi_session(
        request BLOB PRIMARY KEY, bank TEXT NOT NULL, jti BLOB NOT NULL,
        ticket BLOB NOT NULL, list TEXT NOT NULL, time_ms INTEGER NOT NULL,
        signed BLOB NOT NULL, leaves BLOB, permit INTEGER, dropped BLOB,
        denial BLOB, receipt BLOB, returned BLOB, counted BLOB,
        UNIQUE(bank, jti)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS psi_session_list ON psi_session(list, bank, time_ms)",
    # A row a piece that was multiplied: its leaf hash.
    """CREATE TABLE IF NOT EXISTS psi_piece(
        request BLOB, number INTEGER, leaf BLOB NOT NULL,
        PRIMARY KEY(request, number)) WITHOUT ROWID""",
)

SECRETS_KEPT: Final = 4  # of lists, in memory
_NUMBER: Final = 8


@dataclass(frozen=True, slots=True)
class Case:
    """A session to be decided, parsed; what is wrong with it is in `findings`."""

    name: bytes  # hash of the request
    signed: Signed
    request: PsiRequest
    ticket: PsiTicket
    leaves: bytes
    findings: list[Finding] = field(default_factory=list)

    def wrong(self, reason: Reason, detail: str) -> None:
        """Note a reason to deny."""
        self.findings.append(Finding(reason, detail))


@dataclass(frozen=True, slots=True)
class Permitted:
    """A session that may run."""

    signed: Signed
    request: PsiRequest
    ticket: bytes  # hash
    leaves: bytes
    permit: int  # journal entry
    dropped: Runs
    receipt: Signed | None


class PsiAuthority:
    """The authority's desk for intersections; thread-safe."""

    def __init__(
        self,
        domain: TrustDomain,
        keys: AuthorityKeys,
        ledger: Ledger,
        registry: Registry,
        following: Following,
    ) -> None:
        self._domain = domain
        self._keys = keys
        self._ledger = ledger
        self._registry = registry
        self._following = following
        self._desk = Desk(domain.authority.id, keys.receipt, keys.opening)
        self._secrets: OrderedDict[bytes, ListSecret] = OrderedDict()
        self._lock = threading.Lock()

    def admit_list(self, signed: Signed, box: bytes) -> None:
        """Keep a version of a list; raises `NodeError`, `ProtocolError`."""
        with self._ledger.reader() as db:
            manifest = psi_lists.check(db, self._registry, self._domain, signed)
            kept = psi_lists.find(db, manifest.hash)
        if kept is not None:
            return
        secret = unsealed(self._keys, lambda key: unseal_list(key, manifest, box))
        with self._ledger.reader() as db:
            public = self._is_public(db, manifest.list)
        if public is bool(secret.consents):
            raise FormatError(
                "expected a consent for each entry, unless the list is public"
            )
        self._ledger.commit(lambda tx: psi_lists.keep(tx, signed, box, secret.consents))

    def _is_public(self, db: apsw.Connection, name: str) -> bool:
        found = self._registry.dataset(db, name)
        if found is None:
            raise AssertionError("a list that was checked is not registered")
        return psi_lists.is_public(found[1])

    # -- 1 to 4

    def permit(
        self, message: psi_evaluation_pb2.PermitSessionRequest
    ) -> psi_evaluation_pb2.PermitSessionResponse:
        """Decide a session; raises `Denied` or `HeadUnknown`."""
        case = self._examine(message)
        committed = self._ledger.commit(lambda tx: self._decide(tx, case))
        if isinstance(committed.value, Signed):
            raise denial.error(committed.value)
        return psi_evaluation_pb2.PermitSessionResponse(
            permit=proven(self._ledger, committed.value)
        )

    def _examine(self, message: psi_evaluation_pb2.PermitSessionRequest) -> Case:
        signed, signed_ticket = from_wire(message.request), from_wire(message.ticket)
        request = PsiRequest.parse(signed.payload)
        ticket = PsiTicket.parse(signed_ticket.payload)
        # Before anything is decided: it raises `HeadUnknown`.
        intent = self._following.admit(message.intent, message.links)
        case = Case(
            session_hash(signed.payload), signed, request, ticket, message.leaves
        )
        bank = self._bank(request.bank)
        now_ms = clock.now_ms()
        house = self._domain.house.signing(now_ms)
        try:  # 1
            verify(Tag.PSI_REQUEST, signed, bank.signing(now_ms) if bank else ())
            verify(Tag.PSI_TICKET, signed_ticket, house)
        except ProtocolError as error:
            case.wrong(Reason.SIGNATURE_INVALID, str(error))
        if (ticket.request, ticket.contract, ticket.list) != (
            case.name,
            request.contract,
            request.list,
        ):
            case.wrong(Reason.TICKET_INVALID, "a ticket for another session")
        leaves = _leaves(message.leaves)  # 2
        if (
            len(leaves) != psi.piece_count(request.points)
            or psi.leaves_root(leaves) != request.root
        ):
            case.wrong(Reason.MESSAGE_INVALID, "not the points that the bank signed")
        case.findings.extend(  # 3
            intent_findings(intent, Kind.PSI_INTENT, case.name, signed_ticket)
        )
        return case

    def _bank(self, name: str) -> Party | None:
        try:
            return self._domain.party(name, Role.BANK)
        except (NotFound, RoleRefused):
            return None

    def _decide(self, transaction: Transaction, case: Case) -> int | Signed:
        genuine = not any(f.reason is Reason.SIGNATURE_INVALID for f in case.findings)
        if genuine:
            before = _before(transaction.db, case)
            if before is not None:
                return before
        dropped: Runs = ()

        def find() -> list[Finding]:
            nonlocal dropped
            findings, dropped = self._findings(transaction, case)
            return findings

        findings = denial.against(find)
        if findings:
            signed = self._desk.deny(transaction, case.signed, findings)
            mismatch = any(f.reason is Reason.REPLAY_MISMATCH for f in findings)
            if genuine and not mismatch:  # else a forger could use up a bank's jti
                self._remember(transaction, case, refusal=signed)
            return signed
        body = psi_bodies.Permit(
            case.signed,
            case.ticket.hash,
            case.request.list,
            tuple(Run(*run) for run in dropped),
        )
        actor = self._domain.authority.id
        index = transaction.append(
            Kind.PSI_PERMIT, actor, case.name.hex(), body.to_body()
        )
        self._remember(transaction, case, permit=(index, dropped))
        return index

    def _findings(
        self, transaction: Transaction, case: Case
    ) -> tuple[list[Finding], Runs]:
        db, now_ms, request = transaction.db, transaction.now_ms, case.request
        terms = self._registry.terms(db, request.contract)
        found = [
            *decide_job(request.bank, request.purpose, terms, ContractKind.PSI).reasons,
            *case.findings,
        ]
        if abs(now_ms - request.iat_ms) > REQUEST_SKEW_MS:
            found.append(Finding(Reason.CLOCK_SKEW, "iat is too far from now"))
        if terms is None or terms.kind is not ContractKind.PSI:
            return found, ()
        compiled = self._contract(db, request.contract)
        newest = psi_lists.newest(db, compiled.list.id)
        listed = psi_lists.find(db, request.list)
        if newest is None or listed is None:
            return [*found, Finding(Reason.STALE_DATA, "no such version")], ()
        session = SessionTerms.of(compiled, listed.manifest)
        found += sessions.findings(
            session,
            request.points,
            _count(db, request.bank, compiled.list.id, now_ms),
            newest=newest.manifest == listed.manifest,
        )
        dropped: Runs = ()
        if not session.public:
            (data,) = terms.datasets
            whose = Whose(
                request.bank, request.purpose, terms.contract_id, data, terms.bases
            )
            dropped = self._dropped(db, listed, whose, now_ms)
            found += sessions.check_dropped(session, dropped, listed.manifest.rows)
        return found, dropped

    def _contract(self, db: apsw.Connection, name: bytes) -> CompiledIntersection:
        found = self._registry.contract(db, name)
        if not isinstance(found, CompiledIntersection):
            raise AssertionError("a contract of another kind")  # noqa: TRY004
        return found

    def _dropped(
        self, db: apsw.Connection, listed: Listed, whose: Whose, now_ms: int
    ) -> Runs:
        """Return the entries of a list that have no consent in force."""
        names = self._secret(listed).consents
        held = consents.find_all(db, names)
        grants = (held[name].grant if name in held else None for name in names)
        return sessions.dropped(grants, whose, now_ms)

    def _remember(
        self,
        transaction: Transaction,
        case: Case,
        *,
        permit: tuple[int, Runs] | None = None,
        refusal: Signed | None = None,
    ) -> None:
        db, now_ms, request = transaction.db, transaction.now_ms, case.request
        old = now_ms - BITS_WINDOW_MS
        for query in (
            (
                "DELETE FROM psi_piece WHERE request IN"
                " (SELECT request FROM psi_session WHERE time_ms < ?)"
            ),
            "DELETE FROM psi_session WHERE time_ms < ?",
        ):
            db.execute(query, (old,))
        listed = psi_lists.find(db, request.list)
        db.execute(
            "INSERT OR IGNORE INTO psi_session(request, bank, jti, ticket, list,"
            " time_ms, signed, leaves, permit, dropped, denial)"
            " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                case.name,
                request.bank,
                request.jti,
                case.ticket.hash,
                "" if listed is None else listed.manifest.list,
                now_ms,
                to_store(case.signed),
                case.leaves,
                None if permit is None else permit[0],
                None if permit is None else _write_runs(permit[1]),
                None if refusal is None else to_store(refusal),
            ),
        )
        self._following.remember(transaction)

    # -- 5

    def evaluate(
        self, message: psi_evaluation_pb2.EvaluatePointsRequest
    ) -> psi_evaluation_pb2.EvaluatePointsResponse:
        """Multiply one piece of a permitted session's points."""
        with self._ledger.reader() as db:
            permitted = _permitted(db, message.session)
            listed = psi_lists.find(db, permitted.request.list)
        if listed is None:
            raise AssertionError("a permit over a list that is not here")
        request, number = permitted.request, message.number
        points = psi.check_piece(request.points, number, message.points)
        leaf = permitted.leaves[number * HASH_BYTES : (number + 1) * HASH_BYTES]
        if psi.leaf(points) != leaf:
            raise FormatError(f"piece {number} is not the one that the bank signed")
        found = multiply_all(self._secret(listed).scalar, points)
        row = (message.session, number, psi.leaf(found))
        self._ledger.commit(
            lambda tx: tx.db.execute(
                "INSERT OR IGNORE INTO psi_piece(request, number, leaf)"
                " VALUES(?, ?, ?)",
                row,
            )
        )
        return psi_evaluation_pb2.EvaluatePointsResponse(points=found)

    def _unseal(self, info: bytes, box: bytes) -> bytes:
        return unsealed(self._keys, lambda key: hpke.unseal(key, info, box))

    def _secret(self, listed: Listed) -> ListSecret:
        name = listed.manifest.hash
        with self._lock:
            known = self._secrets.get(name)
        if known is not None:
            return known
        secret = unsealed(
            self._keys, lambda key: unseal_list(key, listed.manifest, listed.box)
        )
        with self._lock:
            self._secrets[name] = secret
            while len(self._secrets) > SECRETS_KEPT:
                self._secrets.popitem(last=False)
        return secret

    # -- 6

    def finish(self, session: bytes) -> psi_evaluation_pb2.FinishSessionResponse:
        """Sign a receipt over all that was multiplied; the same one, if again."""
        with self._ledger.reader() as db:
            permitted = _permitted(db, session)
            leaves = _pieces(db, session)
        receipt = permitted.receipt
        if receipt is None:
            if len(leaves) != psi.piece_count(permitted.request.points):
                raise DocumentConflict("not all points of that session are multiplied")
            receipt = self._done(session, permitted, leaves)
        return psi_evaluation_pb2.FinishSessionResponse(receipt=to_wire(receipt))

    def _done(
        self, session: bytes, permitted: Permitted, leaves: list[bytes]
    ) -> Signed:
        head = self._ledger.head
        receipt = PsiReceipt(
            permitted.ticket,
            psi.leaves_root(leaves),
            permitted.dropped,
            Permit(permitted.permit, head.size, head.root),
        )
        signed = sign(Tag.PSI_RECEIPT, receipt.to_bytes(), self._keys.receipt)
        body = psi_bodies.Done(permitted.ticket, signed).to_body()

        def keep(transaction: Transaction) -> tuple[Signed, Signed | None]:
            known = _permitted(transaction.db, session).receipt
            if known is not None:  # two asked at once
                return known, None
            refusal = self._refuse_since(transaction, session, permitted)
            if refusal is not None:
                return signed, refusal
            actor = self._domain.authority.id
            transaction.append(Kind.PSI_DONE, actor, session.hex(), body)
            _keep(transaction, session, "receipt", signed)
            return signed, None

        kept, refusal = self._ledger.commit(keep).value
        if refusal is not None:
            raise denial.error(refusal)
        return kept

    def _refuse_since(
        self, transaction: Transaction, session: bytes, permitted: Permitted
    ) -> Signed | None:
        """Deny a session that may not go on; hours may lie since its permit."""
        against = denial.against(lambda: self._since(transaction, permitted))
        if not against:
            return None
        refusal = self._desk.deny(transaction, permitted.signed, against)
        _keep(transaction, session, "denial", refusal)
        return refusal

    def _since(self, transaction: Transaction, permitted: Permitted) -> list[Finding]:
        """Say what has come against a session since its permit (rule 5)."""
        db, request = transaction.db, permitted.request
        terms = self._registry.terms(db, request.contract)
        found = list(
            decide_job(request.bank, request.purpose, terms, ContractKind.PSI).reasons
        )
        listed = psi_lists.find(db, request.list)
        if terms is None or listed is None:
            return [*found, Finding(Reason.STALE_DATA, "no such version")]
        compiled = self._contract(db, request.contract)
        session = SessionTerms.of(compiled, listed.manifest)
        if not session.public:
            (data,) = terms.datasets
            whose = Whose(
                request.bank, request.purpose, terms.contract_id, data, terms.bases
            )
            now = self._dropped(db, listed, whose, transaction.now_ms)
            found += sessions.check_since(session, permitted.dropped, now)
        return found

    # -- 7

    def count(
        self, pieces: Iterator[psi_evaluation_pb2.CountSessionRequest]
    ) -> psi_evaluation_pb2.CountSessionResponse:
        """Count what two sets have in common, once a session."""
        first = next(iter(pieces), None)
        if first is None or first.WhichOneof("piece") != "returned":
            raise FormatError("expected the bank's word first")
        signed = from_wire(first.returned)
        returned = PsiReturn.parse(signed.payload)
        with self._ledger.reader() as db:
            session = _by_ticket(db, returned.ticket)
            permitted = _permitted(db, session)
            counted = _counted(db, session, returned.hash)
            compiled = self._contract(db, permitted.request.contract)
            listed = psi_lists.find(db, permitted.request.list)
        if counted is not None:
            return counted
        bank = self._domain.party(permitted.request.bank, Role.BANK)
        verify(Tag.PSI_RETURN, signed, bank.signing(clock.now_ms()))
        if compiled.mode is not Mode.CARDINALITY or permitted.receipt is None:
            raise DocumentConflict("that session is no count, or is not finished")
        if listed is None:
            raise AssertionError("a permit over a list that is not here")
        house, theirs, compared = self._sets(pieces, returned)
        rows = listed.manifest.rows
        expected = 2 * rows - psi.check_runs(permitted.dropped, rows)
        if len(theirs) != expected or returned.points != expected:
            raise FormatError(f"expected {expected} points to be returned")
        asked = permitted.request.points
        if len(house) != asked:
            raise FormatError(f"expected {asked} points of the house")
        return self._tell(session, permitted, returned, len(house & theirs), compared)

    def _sets(
        self,
        pieces: Iterator[psi_evaluation_pb2.CountSessionRequest],
        returned: PsiReturn,
    ) -> tuple[frozenset[bytes], frozenset[bytes], bytes]:
        """Read the house's set, the bank's, and the root of the house's."""
        house, boxes = bytearray(), list[bytes]()
        for piece in pieces:
            match piece.WhichOneof("piece"):
                case "points" if not boxes:
                    house += piece.points
                case "box":
                    boxes.append(piece.box)
                case _:
                    raise FormatError("expected points, then sealed points")
            if max(len(house), len(boxes) * psi.PIECE_BYTES) > _MOST_BYTES:
                raise FormatError("more points than a session has")
        if psi.root(boxes) != returned.root:
            raise FormatError("the sealed pieces do not make the signed root")
        theirs = b"".join(
            self._unseal(return_info(returned.ticket, number), box)
            for number, box in enumerate(boxes)
        )
        for points in (bytes(house), theirs):
            # Ascending, so none is there twice, to be counted twice.
            ristretto.check_ascending(ristretto.check_points(points))
        return (
            frozenset(ristretto.each(bytes(house))),
            frozenset(ristretto.each(theirs)),
            psi.root(psi.pieces(bytes(house))),
        )

    def _tell(
        self,
        session: bytes,
        permitted: Permitted,
        returned: PsiReturn,
        count: int,
        compared: bytes,
    ) -> psi_evaluation_pb2.CountSessionResponse:
        bank = self._domain.party(permitted.request.bank, Role.BANK)
        salt = secrets.token_bytes(HASH_BYTES)
        receipt = PsiCount(
            returned.ticket, returned.hash, compared, counted_digest(salt, count)
        )
        signed = sign(Tag.PSI_COUNT, receipt.to_bytes(), self._keys.receipt)
        box = hpke.seal(
            bank.hpke[0], receipt.hash, salt + count.to_bytes(_NUMBER, "big")
        )
        reply = psi_evaluation_pb2.CountSessionResponse(
            receipt=to_wire(signed), box=box
        )
        body = psi_bodies.Count(returned.ticket, signed).to_body()

        def keep(
            transaction: Transaction,
        ) -> psi_evaluation_pb2.CountSessionResponse | Signed:
            known = _counted(transaction.db, session, returned.hash)
            if known is not None:  # two asked at once
                return known
            _permitted(transaction.db, session)  # and one of them was denied
            refusal = self._refuse_since(transaction, session, permitted)
            if refusal is not None:
                return refusal
            actor = self._domain.authority.id
            transaction.append(Kind.PSI_COUNT, actor, session.hex(), body)
            transaction.db.execute(
                "UPDATE psi_session SET returned = ?, counted = ? WHERE request = ?",
                (
                    returned.hash,
                    reply.SerializeToString(deterministic=True),
                    session,
                ),
            )
            return reply

        told = self._ledger.commit(keep).value
        if isinstance(told, Signed):
            raise denial.error(told)
        return told


_MOST_BYTES: Final = 2 * psi.MOST_POINTS * POINT_BYTES


def _leaves(data: bytes) -> list[bytes]:
    if len(data) % HASH_BYTES:
        raise FormatError(f"expected leaf hashes of {HASH_BYTES} bytes")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def _before(db: apsw.Connection, case: Case) -> int | Signed | None:
    """Find what this session came to the first time."""
    row: Any = db.execute(
        "SELECT request, ticket, permit, denial FROM psi_session"
        " WHERE bank = ? AND jti = ?",
        (case.request.bank, case.request.jti),
    ).fetchone()
    if row is None:
        return None
    request, ticket, permit, refusal = row
    if request != case.name or ticket != case.ticket.hash:
        case.wrong(Reason.REPLAY_MISMATCH, "the jti names another session")
        return None
    if refusal is not None:
        return from_store(refusal)
    return None if case.findings else int(permit)


def _count(db: apsw.Connection, bank: str, name: str, now_ms: int) -> int:
    row: Any = db.execute(
        "SELECT count(*) FROM psi_session WHERE list = ? AND bank = ? AND time_ms > ?"
        " AND permit IS NOT NULL",
        (name, bank, now_ms - BITS_WINDOW_MS),
    ).fetchone()
    return int(row[0])


def _permitted(db: apsw.Connection, session: bytes) -> Permitted:
    """Find a session; raises `NotFound`, and `Denied` for one denied since."""
    row: Any = db.execute(
        "SELECT signed, ticket, leaves, permit, dropped, receipt, denial"
        " FROM psi_session WHERE request = ? AND permit IS NOT NULL",
        (session,),
    ).fetchone()
    if row is None:
        raise NotFound("no such session was permitted")
    stored, ticket, leaves, permit, dropped, receipt, refusal = row
    if refusal is not None:
        raise denial.error(from_store(refusal))
    signed = from_store(stored)
    return Permitted(
        signed,
        PsiRequest.parse(signed.payload),
        ticket,
        leaves,
        permit,
        _read_runs(dropped),
        None if receipt is None else from_store(receipt),
    )


def _keep(
    transaction: Transaction, session: bytes, column: str, signed: Signed
) -> None:
    transaction.db.execute(
        f"UPDATE psi_session SET {column} = ? WHERE request = ?",  # noqa: S608
        (to_store(signed), session),
    )


def _by_ticket(db: apsw.Connection, ticket: bytes) -> bytes:
    row: Any = db.execute(
        "SELECT request FROM psi_session WHERE ticket = ?", (ticket,)
    ).fetchone()
    if row is None:
        raise NotFound("no such session was permitted")
    return bytes(row[0])


def _pieces(db: apsw.Connection, session: bytes) -> list[bytes]:
    rows: Any = db.execute(
        "SELECT leaf FROM psi_piece WHERE request = ? ORDER BY number", (session,)
    )
    return [bytes(leaf) for (leaf,) in rows]


def _counted(
    db: apsw.Connection, session: bytes, returned: bytes
) -> psi_evaluation_pb2.CountSessionResponse | None:
    """Find a session's count; raises `DocumentConflict` for another return's."""
    row: Any = db.execute(
        "SELECT returned, counted FROM psi_session WHERE request = ?", (session,)
    ).fetchone()
    if row is None or row[1] is None:
        return None
    if row[0] != returned:
        raise DocumentConflict("that session was counted, with another return")
    return psi_evaluation_pb2.CountSessionResponse.FromString(row[1])


def _write_runs(runs: Runs) -> bytes:
    return b"".join(n.to_bytes(_NUMBER, "big") for run in runs for n in run)


def _read_runs(data: bytes) -> Runs:
    numbers = [
        int.from_bytes(data[at : at + _NUMBER], "big")
        for at in range(0, len(data), _NUMBER)
    ]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))
