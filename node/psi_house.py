"""The house's part of intersections, as numbered steps (`protocols.psi`).

A session

 1. is opened: the bank's signature holds, its jti names no other session, contract,
    list, cap and quota allow it (`contracts.sessions`); a bank has one session with a
    list whose points are still to come;
 2. takes the bank's points, piece by piece: canonical, ascending, none the identity;
    together they make the root that the bank signed;
 3. is decided once more in the transaction that journals `psi.intent`, with a fresh
    seed, of which two auditors each get a share;
 4. is permitted by the authority, which sees the signed root and no list;
 5. is multiplied: E_j by the authority, Z_j = t E_j and Y = sorted { t X_i } here;
 6. is held to the authority's receipt, journalled as `psi.outcome` with the roots of
    what comes of it, and only then handed out.

A count goes on: the bank gets Y only, sends it back blinded and sealed, and

 7. `psi.return` is journalled, the sealed set and U = sorted { t E_j } go to the
    authority, `psi.counted` is journalled, and the sealed number handed out.

Whatever is killed when, the bank asks again and the session goes on where it was,
under the same seed; a permit is never asked for twice.  Of the bank's customers and of
what is found the house learns nothing, so there is nothing to keep from its disk but
the seed, which lies sealed, and is erased when nothing is to be multiplied any more.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn, Protocol

import apsw

from contracts import psi_bodies, sessions
from contracts.contract import ContractKind
from contracts.decide import Finding, Reason, decide_job
from contracts.intersection import CompiledIntersection
from contracts.sessions import SessionTerms
from node import clock, denial, job_store, psi_lists, psi_store
from node.consultation import proven
from node.domain import Party, Role
from node.errors import (
    Denied,
    DocumentConflict,
    NodeError,
    NotFound,
    ReplyRefused,
    RoleRefused,
)
from node.house import Caller, House
from node.keys import HouseKeys
from node.ledger import Transaction
from node.psi_denial import Desk, session_hash
from node.psi_lists import ListFolder
from node.psi_points import Points, PointsFolder
from node.psi_store import Record
from node.sent import entry_of
from node.status import from_wire, to_wire
from node.wire.v1 import common_pb2, psi_evaluation_pb2, psi_pb2
from protocols import psi, ristretto
from protocols.call import Denial, seed_commitment
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import FormatError, ProtocolError
from protocols.note import LogProof
from protocols.psi import Mode
from protocols.psi_call import (
    ListManifest,
    PsiCount,
    PsiReceipt,
    PsiRequest,
    PsiResult,
    PsiReturn,
    PsiTicket,
)
from protocols.ristretto import POINT_BYTES, multiply_all
from protocols.seal import unwrap, wrap
from protocols.sign import Signed, sign, verify

FOR_AUDITORS: Final = ("e",)  # kept as long as the session is remembered
SCHEMA: Final = (*psi_lists.SCHEMA, *psi_store.SCHEMA)
WORKERS: Final = 3  # threads a session: one more than cores, as they wait for replies
LOCKS: Final = 64  # sessions that fall on one wait for each other
MOST_BOXES: Final = 1 << 26  # bytes that a bank returns sealed


class PsiPeer(Protocol):
    """The authority, near or far."""

    def permit_session(
        self, message: psi_evaluation_pb2.PermitSessionRequest
    ) -> psi_evaluation_pb2.PermitSessionResponse:
        """Decide a session; raises `Denied`, `HeadUnknown`, `Unreachable`."""

    def evaluate_points(
        self, message: psi_evaluation_pb2.EvaluatePointsRequest
    ) -> psi_evaluation_pb2.EvaluatePointsResponse:
        """Multiply one piece."""

    def finish_session(
        self, message: psi_evaluation_pb2.FinishSessionRequest
    ) -> psi_evaluation_pb2.FinishSessionResponse:
        """Hand out the receipt."""

    def count_session(
        self, pieces: Iterator[psi_evaluation_pb2.CountSessionRequest]
    ) -> psi_evaluation_pb2.CountSessionResponse:
        """Count what two sets have in common."""


class Sessions:
    """The sessions of one house; thread-safe."""

    def __init__(
        self, house: House, keys: HouseKeys, data: Path, authority: PsiPeer
    ) -> None:
        self._house = house
        self._keys = keys
        self._authority = authority
        self._desk = Desk(house.domain.house.id, keys.ticket, keys.pseudonym)
        self._files = PointsFolder(data)
        self.lists = ListFolder(data)
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    # -- 1 open

    def open(self, call: Caller, signed: Signed) -> int:
        """Take a session; return how many pieces of its points are here."""
        request, name = PsiRequest.parse(signed.payload), session_hash(signed.payload)
        if request.bank != call.caller.id:
            raise RoleRefused(f"a session of `{request.bank}`, not of the caller")
        try:
            verify(Tag.PSI_REQUEST, signed, call.caller.sign)
        except ProtocolError as error:
            self._refuse(signed, Finding(Reason.SIGNATURE_INVALID, str(error)))
        with self._house.ledger.reader() as db:
            known = psi_store.find(db, name)
        if known is None:
            self._sweep()
            self._take(name, signed)
            with self._house.ledger.reader() as db:
                known = psi_store.of_bank(db, name, request.bank)
        if known.denial is not None:
            raise denial.error(known.denial)
        return self._points(known, "q").pieces

    def _take(self, name: bytes, signed: Signed) -> None:
        request = PsiRequest.parse(signed.payload)

        def keep(transaction: Transaction) -> Signed | None:
            findings = self._findings(transaction, request)
            other = psi_store.by_jti(transaction.db, request.bank, request.jti)
            if other not in (None, name):
                findings.append(
                    Finding(Reason.REPLAY_MISMATCH, "the jti names another session")
                )
            if findings:
                return self._desk.deny(transaction, signed, findings)
            psi_store.forget(transaction)
            used = self._list(transaction.db, request)
            for waiting in psi_store.waiting(transaction.db, request.bank, used):
                psi_store.drop(transaction, waiting)
                self._files.erase(waiting)
            psi_store.add(transaction, name, signed, used)
            return None

        refusal = self._house.ledger.commit(keep).value
        if refusal is not None:
            raise denial.error(refusal)

    def _findings(self, transaction: Transaction, request: PsiRequest) -> list[Finding]:
        """Say what is against a session at this moment."""
        return denial.against(lambda: self._found(transaction, request))

    def _found(self, transaction: Transaction, request: PsiRequest) -> list[Finding]:
        db, now_ms = transaction.db, transaction.now_ms
        terms = self._house.registry.terms(db, request.contract)
        found = list(
            decide_job(request.bank, request.purpose, terms, ContractKind.PSI).reasons
        )
        if abs(now_ms - request.iat_ms) > clock.REQUEST_SKEW_MS:
            found.append(Finding(Reason.CLOCK_SKEW, "iat is too far from now"))
        if terms is None or terms.kind is not ContractKind.PSI:
            return found
        compiled = self._contract(db, request.contract)
        newest = psi_lists.newest(db, compiled.list.id)
        listed = psi_lists.find(db, request.list)
        if newest is None or listed is None:
            return [*found, Finding(Reason.STALE_DATA, "no such version of the list")]
        before = psi_store.count(db, request.bank, compiled.list.id, now_ms)
        return found + sessions.findings(
            SessionTerms.of(compiled, listed.manifest),
            request.points,
            before,
            newest=newest.manifest == listed.manifest,
        )

    def _contract(self, db: apsw.Connection, name: bytes) -> CompiledIntersection:
        found = self._house.registry.contract(db, name)
        if not isinstance(found, CompiledIntersection):
            raise AssertionError("a contract of another kind")  # noqa: TRY004
        return found

    def _list(self, db: apsw.Connection, request: PsiRequest) -> str:
        return self._contract(db, request.contract).list.id

    def _refuse(self, signed: Signed, finding: Finding) -> NoReturn:
        """Deny, and forget it: else a forger could use up a bank's jti."""
        committed = self._house.ledger.commit(
            lambda tx: self._desk.deny(tx, signed, [finding])
        )
        raise denial.error(committed.value)

    def _sweep(self) -> None:
        """Erase the files of sessions that nobody fetches any more."""
        now_ms = clock.now_ms()
        with self._house.ledger.reader() as db:
            names = psi_store.stale(db, now_ms)
            over = psi_store.over(db, now_ms)
        for name in names:
            self._files.erase(name, () if name in over else FOR_AUDITORS)

    def made_of(self, name: bytes, *, evaluated: bool) -> bytes:
        """Hand out, for auditors, the list of a session or the authority's points.

        A list is named by its manifest, or by a session over it: versions are kept for
        good, sessions for the 90 days of a quota.  Raises `NotFound` for what is not
        here, or whose points are gone.
        """
        with self._house.ledger.reader() as db:
            record = psi_store.find(db, name)
            listed = None if evaluated else psi_lists.find(db, name)
        if listed is not None:
            return b"".join(self.lists.read(listed.manifest))
        if record is None or record.outcome is None:
            raise NotFound("no such session, or nothing has come of it")
        if not evaluated:
            return b"".join(self.lists.read(self._manifest(record)))
        points = self._points(record, "e")
        if points.pieces < psi.piece_count(points.count):
            raise NotFound("the points of that session are not kept any more")
        return points.all()

    # -- 2 points

    def send(self, call: Caller, pieces: Iterator[psi_pb2.SendPointsRequest]) -> int:
        """Take points; return how many pieces are here."""
        first = next(iter(pieces), None)
        if first is None:
            raise FormatError("expected points")
        record = self._record(call.caller, first.session)
        with self._alone(record.name):
            points = self._points(record, "q")
            if record.ticket is None:
                self._append(points, first)
                for piece in pieces:
                    call.check_alive()
                    self._append(points, piece)
                self._check_root(record, points)
            return points.pieces

    def _append(self, points: Points, piece: psi_pb2.SendPointsRequest) -> None:
        number = points.pieces
        if piece.number != number:
            raise FormatError(f"expected piece {number}, got {piece.number}")
        data = psi.check_piece(points.count, number, piece.points)
        if number:
            before = points.piece(number - 1)[-POINT_BYTES:]
            ristretto.check_ascending(data[:POINT_BYTES], before)
        points.append(number, data)

    def _check_root(self, record: Record, points: Points) -> None:
        if points.pieces < psi.piece_count(points.count):
            return
        if psi.leaves_root(points.leaves()) != record.request.root:
            points.erase()
            raise FormatError("the points do not make the signed root")
        points.sync()

    # -- 3 to 6

    def run(self, call: Caller, name: bytes) -> Iterator[psi_pb2.RunSessionResponse]:
        """Run a session, and tell how far it is; at last, what was said of it."""
        self._record(call.caller, name)
        with self._alone(name):
            record = self._record(call.caller, name)
            if record.outcome is None:
                record = self._permit(self._depart(call, record))  # 3, 4
                yield from self._multiply(call, record)  # 5
                record = self._finish(record)  # 6
        yield psi_pb2.RunSessionResponse(answer=self._answer(record))

    def _depart(self, call: Caller, record: Record) -> Record:
        if record.ticket is not None:
            return record
        points, request = self._points(record, "q"), record.request
        if points.pieces < psi.piece_count(points.count):
            raise FormatError("the bank's points are not all here")
        call.check_alive()
        seed = self._house.seeds.take()
        secret = wrap(self._keys.at_rest, record.name, seed.seed)

        def journal(transaction: Transaction) -> Signed | None:
            findings = self._findings(transaction, request)
            if findings:
                refusal = self._desk.deny(transaction, record.signed, findings)
                psi_store.deny(transaction, record.name, refusal)
                return refusal
            ticket = PsiTicket(
                record.name,
                request.contract,
                request.list,
                seed_commitment(seed.seed),
                transaction.now_ms,
            )
            signed = sign(Tag.PSI_TICKET, ticket.to_bytes(), self._keys.ticket)
            body = psi_bodies.Intent(record.signed, signed).to_body()
            actor = self._house.domain.house.id
            index = transaction.append(Kind.PSI_INTENT, actor, record.name.hex(), body)
            psi_store.depart(transaction, record.name, signed, index, secret)
            job_store.share(transaction, record.name, seed.shares)
            return None

        refusal = self._house.ledger.commit(journal).value
        if refusal is not None:
            raise denial.error(refusal)
        return self._again(record)

    def _permit(self, record: Record) -> Record:
        if record.permit is not None:
            return record
        ticket, intent = _begun(record)
        leaves = b"".join(self._points(record, "q").leaves())

        def ask(
            logged: common_pb2.Logged, links: Sequence[common_pb2.HeadLink]
        ) -> psi_evaluation_pb2.PermitSessionResponse:
            return self._authority.permit_session(
                psi_evaluation_pb2.PermitSessionRequest(
                    request=to_wire(record.signed),
                    ticket=to_wire(ticket),
                    leaves=leaves,
                    intent=logged,
                    links=links,
                )
            )

        try:
            response = self._house.consultation.consult(intent, ask)
        except Denied as refusal:
            self._denied(record, ticket, refusal.denial)
            raise
        self._permitted(ticket, response.permit.proof)
        self._house.ledger.commit(
            lambda tx: psi_store.permitted(tx, record.name, response.permit.proof)
        )
        return self._again(record)

    def _denied(self, record: Record, ticket: Signed, refusal: Signed) -> None:
        """Journal the authority's refusal, if it is one."""
        try:
            verify(Tag.DENIAL, refusal, self._house.domain.authority.sign)
            named = Denial.parse(refusal.payload).request
        except ProtocolError as error:
            raise ReplyRefused(f"the authority's denial proves nothing: {error}") from (
                None
            )
        if named != record.name:
            raise ReplyRefused("the authority's denial is of another session")
        name = PsiTicket.parse(ticket.payload).hash
        body = psi_bodies.Denied(name, refusal).to_body()

        def journal(transaction: Transaction) -> None:
            actor, call = self._house.domain.house.id, record.name.hex()
            transaction.append(Kind.PSI_DENIED, actor, call, body)
            psi_store.deny(transaction, record.name, refusal)

        self._house.ledger.commit(journal)

    def _permitted(self, ticket: Signed, proof: str) -> psi_bodies.Permit:
        """Read a permit once it is proven to be this ticket's."""
        logged = common_pb2.Logged(proof=proof)
        keys = self._house.domain.verifiers(Role.AUTHORITY)
        _, entry = entry_of(logged, keys)
        if entry.kind is not Kind.PSI_PERMIT:
            raise ReplyRefused("the authority's permit is another entry")
        permit = psi_bodies.Permit.parse(entry.body)
        if permit.ticket != PsiTicket.parse(ticket.payload).hash:
            raise ReplyRefused("the authority's permit is of another session")
        return permit

    # 5

    def _multiply(
        self, call: Caller, record: Record
    ) -> Iterator[psi_pb2.RunSessionResponse]:
        ticket, _ = _begun(record)
        if record.permit is None or record.secret is None:
            raise AssertionError("a session without permit or seed")
        runs = self._permitted(ticket, record.permit).runs
        t = psi.house_scalar(unwrap(self._keys.at_rest, record.name, record.secret))
        asked, replies = self._points(record, "q"), self._points(record, "z")
        evaluated = self._points(record, "e")
        todo = range(
            min(replies.pieces, evaluated.pieces), psi.piece_count(asked.count)
        )
        served = list(psi.pieces(self._members(record, runs)))
        total = len(todo) + len(served)
        done = 0

        def both(number: int) -> tuple[bytes, bytes]:
            e = self._evaluated(record.name, number, asked.piece(number))
            return e, multiply_all(t, e)

        with _workers() as pool:
            pairs = [pool.submit(both, number) for number in todo]
            parts = [pool.submit(multiply_all, t, piece) for piece in served]
            for number, pair in zip(todo, pairs, strict=True):
                e, z = pair.result()
                evaluated.append(number, e)
                replies.append(number, z)
                done += 1
                call.check_alive()
                yield _progress(done, total)
            images = []
            for part in parts:
                images.append(part.result())
                done += 1
                call.check_alive()
                yield _progress(done, total)
        # The order of the images' own bytes is nobody's.
        data = ristretto.ascending(b"".join(images))
        self._files.points(record.name, "y", len(data) // POINT_BYTES).replace(data)
        if self._mode(record) is Mode.CARDINALITY:
            u = self._points(record, "u")
            u.replace(ristretto.ascending(replies.all()))
        evaluated.sync()
        replies.sync()

    def _members(self, record: Record, runs: psi.Runs) -> bytes:
        """Return the points that take part; in a count, the markers, too."""
        manifest = self._manifest(record)
        entries, markers = self.lists.read(manifest)
        psi.check_runs(runs, manifest.rows)
        kept = psi.without(entries, runs)
        return kept + markers if self._mode(record) is Mode.CARDINALITY else kept

    def _evaluated(self, name: bytes, number: int, points: bytes) -> bytes:
        message = psi_evaluation_pb2.EvaluatePointsRequest(
            session=name, number=number, points=points
        )
        found: bytes = self._authority.evaluate_points(message).points
        if len(found) != len(points):
            raise ReplyRefused("the authority multiplied another number of points")
        try:
            return ristretto.check_points(found)
        except ProtocolError as error:
            raise ReplyRefused(f"the authority's points: {error}") from None

    # 6

    def _finish(self, record: Record) -> Record:
        ticket, _ = _begun(record)
        name = PsiTicket.parse(ticket.payload).hash
        try:
            response = self._authority.finish_session(
                psi_evaluation_pb2.FinishSessionRequest(session=record.name)
            )
        except Denied as refusal:  # something has changed since the permit
            self._denied(record, ticket, refusal.denial)
            raise
        signed = from_wire(response.receipt)
        self._check_receipt(record, name, signed)
        in_count = self._mode(record) is Mode.CARDINALITY
        replies = self._points(record, "u" if in_count else "z").leaves()
        served = self._served(record).leaves()
        body = psi_bodies.Outcome(
            name,
            PsiReceipt.parse(signed.payload).hash,
            psi.leaves_root(replies),
            psi.leaves_root(served),
        ).to_body()

        def journal(transaction: Transaction) -> None:
            actor, call = self._house.domain.house.id, record.name.hex()
            index = transaction.append(Kind.PSI_OUTCOME, actor, call, body)
            psi_store.finish(transaction, record.name, signed, index)

        self._house.ledger.commit(journal)
        return self._again(record)

    def resume(self) -> int:
        """Finish sessions that were multiplied and not journalled; return how many.

        Their bank may never come back, and what the authority said of them must
        come into this journal all the same.
        """
        with self._house.ledger.reader() as db:
            left = psi_store.unfinished(db)
        finished = 0
        for name in left:
            with self._alone(name):
                record = self._found_again(name)
                ended = record.outcome is not None or record.denial is not None
                if not ended and self._is_multiplied(record):
                    with suppress(Denied):  # it is journalled
                        self._finish(record)
                        finished += 1
        return finished

    def _is_multiplied(self, record: Record) -> bool:
        sets = [self._points(record, "e"), self._points(record, "z")]
        if self._mode(record) is Mode.CARDINALITY:
            sets.append(self._points(record, "u"))
        sets.append(self._served(record))
        return all(part.pieces == psi.piece_count(part.count) for part in sets)

    def _check_receipt(self, record: Record, ticket: bytes, signed: Signed) -> None:
        if record.permit is None:
            raise AssertionError("a receipt without a permit")
        try:
            verify(Tag.PSI_RECEIPT, signed, self._house.domain.authority.sign)
            receipt = PsiReceipt.parse(signed.payload)
        except ProtocolError as error:
            raise ReplyRefused(
                f"the authority's receipt proves nothing: {error}"
            ) from (None)
        proof = LogProof.parse(record.permit)
        evaluated = psi.leaves_root(self._points(record, "e").leaves())
        permit = psi_bodies.Permit.parse(Entry.parse(proof.extra).body)
        if (receipt.ticket, receipt.evaluated, receipt.dropped) != (
            ticket,
            evaluated,
            permit.runs,
        ):
            raise ReplyRefused("the authority's receipt is of other points")

    def _answer(self, record: Record) -> psi_pb2.PsiAnswer:
        ticket, _ = _begun(record)
        if record.receipt is None or record.outcome is None or record.permit is None:
            raise AssertionError("an outcome without its documents")
        return psi_pb2.PsiAnswer(
            ticket=to_wire(ticket),
            receipt=to_wire(record.receipt),
            permit=common_pb2.Logged(proof=record.permit),
            outcome=proven(self._house.ledger, record.outcome),
        )

    def fetch(
        self, call: Caller, request: psi_pb2.FetchRepliesRequest
    ) -> Iterator[psi_pb2.FetchRepliesResponse]:
        """Hand out what came of a session, piece by piece; each can be had again."""
        record = self._record(call.caller, request.session)
        if record.outcome is None:
            raise NotFound("nothing has come of that session yet", "run it first")
        if not request.served and self._mode(record) is Mode.CARDINALITY:
            # With both sides a bank would find out whose, not only how many.
            raise RoleRefused("in a count a bank gets the list's side only")
        points = self._served(record) if request.served else self._points(record, "z")
        for number in range(request.start, psi.piece_count(points.count)):
            call.check_alive()
            yield psi_pb2.FetchRepliesResponse(
                number=number, points=points.piece(number)
            )

    # -- 7 a count

    def count(
        self, call: Caller, signed: Signed, boxes: Iterator[bytes]
    ) -> psi_pb2.ReturnPointsResponse:
        """Have a session counted; the same return again gets the same reply."""
        verify(Tag.PSI_RETURN, signed, call.caller.sign)
        returned = PsiReturn.parse(signed.payload)
        with self._house.ledger.reader() as db:
            record = psi_store.by_ticket(db, returned.ticket, call.caller.id)
        with self._alone(record.name):
            record = self._again(record)
            if record.denial is not None:
                raise denial.error(record.denial)
            if record.outcome is None or self._mode(record) is not Mode.CARDINALITY:
                raise NotFound("that session is no count, or has not been run")
            if record.counted is None:
                sealed = _sealed(returned, boxes)
                call.check_alive()
                record = self._count(record, signed, sealed)
        return self._counted(record, returned)

    def _count(self, record: Record, signed: Signed, boxes: list[bytes]) -> Record:
        returned, actor = PsiReturn.parse(signed.payload), self._house.domain.house.id
        body = psi_bodies.Return(returned.ticket, signed).to_body()
        name = record.name.hex()
        self._house.ledger.commit(
            lambda tx: tx.append(Kind.PSI_RETURN, actor, name, body)
        )
        u = self._points(record, "u")

        def pieces() -> Iterator[psi_evaluation_pb2.CountSessionRequest]:
            make = psi_evaluation_pb2.CountSessionRequest
            yield make(returned=to_wire(signed))
            for number in range(u.pieces):
                yield make(points=u.piece(number))
            for box in boxes:
                yield make(box=box)

        try:
            response = self._authority.count_session(pieces())
        except Denied as refusal:  # something has changed since the outcome
            self._denied(record, _begun(record)[0], refusal.denial)
            raise
        receipt = from_wire(response.receipt)
        try:
            verify(Tag.PSI_COUNT, receipt, self._house.domain.authority.sign)
            counted = PsiCount.parse(receipt.payload)
        except ProtocolError as error:
            raise ReplyRefused(f"the authority's count proves nothing: {error}") from (
                None
            )
        if (counted.ticket, counted.returned, counted.compared) != (
            returned.ticket,
            returned.hash,
            psi.leaves_root(u.leaves()),
        ):
            raise ReplyRefused("the authority's count is of another session")
        told = psi_bodies.Counted(returned.ticket, counted.hash).to_body()
        reply = response.SerializeToString(deterministic=True)

        def journal(transaction: Transaction) -> None:
            index = transaction.append(Kind.PSI_COUNTED, actor, name, told)
            psi_store.counted(transaction, record.name, reply, index)

        self._house.ledger.commit(journal)
        return self._again(record)

    def _counted(
        self, record: Record, returned: PsiReturn
    ) -> psi_pb2.ReturnPointsResponse:
        if record.counted is None or record.counted_entry is None:
            raise AssertionError("a count without its reply")
        kept = psi_evaluation_pb2.CountSessionResponse.FromString(record.counted)
        if PsiCount.parse(kept.receipt.payload).returned != returned.hash:
            raise DocumentConflict("that session was counted, with another return")
        return psi_pb2.ReturnPointsResponse(
            receipt=kept.receipt,
            box=kept.box,
            counted=proven(self._house.ledger, record.counted_entry),
        )

    def commit_result(self, bank: Party, signed: Signed) -> None:
        """Keep a bank's commitment to what it learned; the first one stands."""
        verify(Tag.PSI_RESULT, signed, bank.sign)
        result = PsiResult.parse(signed.payload)
        body = psi_bodies.Result(result.ticket, signed).to_body()

        def journal(transaction: Transaction) -> None:
            name = psi_store.commit(transaction, result.ticket, bank.id, signed.payload)
            if name is not None:
                transaction.append(Kind.PSI_RESULT, bank.id, name.hex(), body)

        self._house.ledger.commit(journal)

    # -- what the steps share

    @contextmanager
    def _alone(self, name: bytes) -> Iterator[None]:
        """Hold a session; whoever comes second waits."""
        with self._locks[name[0] % LOCKS]:
            yield

    def _record(self, bank: Party, name: bytes) -> Record:
        with self._house.ledger.reader() as db:
            record = psi_store.of_bank(db, name, bank.id)
        if record.denial is not None:
            raise denial.error(record.denial)
        return record

    def _again(self, record: Record) -> Record:
        return self._found_again(record.name)

    def _found_again(self, name: bytes) -> Record:
        with self._house.ledger.reader() as db:
            found = psi_store.find(db, name)
        if found is None:
            raise NodeError("a session was forgotten while it ran")
        return found

    def _points(self, record: Record, kind: str) -> Points:
        return self._files.points(record.name, kind, record.request.points)

    def _served(self, record: Record) -> Points:
        if record.permit is None:
            raise AssertionError("a list is served without a permit")
        ticket, _ = _begun(record)
        dropped = self._permitted(ticket, record.permit).runs
        rows = self._manifest(record).rows
        count = rows - psi.check_runs(dropped, rows)
        count += rows if self._mode(record) is Mode.CARDINALITY else 0
        return self._files.points(record.name, "y", count)

    def _manifest(self, record: Record) -> ListManifest:
        with self._house.ledger.reader() as db:
            listed = psi_lists.find(db, record.request.list)
        if listed is None:
            raise AssertionError("a session over a list that is not here")
        return listed.manifest

    def _mode(self, record: Record) -> Mode:
        with self._house.ledger.reader() as db:
            return self._contract(db, record.request.contract).mode


def _begun(record: Record) -> tuple[Signed, int]:
    if record.ticket is None or record.intent is None:
        raise AssertionError("a session without an intent")
    return record.ticket, record.intent


def _progress(done: int, total: int) -> psi_pb2.RunSessionResponse:
    return psi_pb2.RunSessionResponse(
        progress=psi_pb2.PsiProgress(done=done, total=total)
    )


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """Have threads, whose work is dropped when nobody waits for it any more."""
    pool = ThreadPoolExecutor(WORKERS, "psi")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _sealed(returned: PsiReturn, boxes: Iterator[bytes]) -> list[bytes]:
    """Read the sealed pieces that a bank signed; raises `FormatError`."""
    found: list[bytes] = []
    for box in boxes:
        found.append(box)
        if sum(map(len, found)) > MOST_BOXES:
            raise FormatError("more is sealed than a list has")
    if psi.root(found) != returned.root:
        raise FormatError("the sealed pieces do not make the signed root")
    return found
