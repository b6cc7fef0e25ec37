r"""The SDK of a bank for intersections.

>>> from node.psi_client import PsiClient                           # doctest: +SKIP
>>> with PsiClient.open("jnrcb/safehouse.toml") as bank:            # doctest: +SKIP
...     found = bank.intersect("subsidy-customers", customers)
...     print(found.count, found.subjects[:2])
24331 ('370811...', '370812...')

The bank believes nobody.  Before it reads what came of a session it refuses

 1. a list that its custodian did not sign, or is not the contract's;
 2. a ticket that is not the house's, or is not of its own session;
 3. a receipt that is not the authority's, or a permit or an outcome that is not shown
    to be in the journals;
 4. points other than the outcome's roots say; a list that is not in the order of its
    own bytes, for another order would tell, session after session, who stayed; a point
    that is the identity, or no canonical encoding.

*Going on after a break.*  The scalar and the signed request lie sealed under the bank's
own key, `psi/<session>.state`, from before the first byte is sent until the result is
committed; then they are erased.  The same question about the same customers goes on
where it was, and spends one session.
"""

import hmac
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from contracts import kinds, psi_bodies
from contracts.contract import ContractKind
from contracts.decide import Reason
from contracts.errors import KindRefused, SubjectInvalid
from contracts.intersection import CompiledIntersection
from contracts.subject import SubjectType, canonical_id, subject_ref
from node import clock, psi_work
from node.config import Config
from node.connected import BOTH, Connected
from node.domain import SERVERS, Role, TrustDomain
from node.errors import (
    Denied,
    NotFound,
    ReplyRefused,
    RoleRefused,
    RowsRefused,
    Unreachable,
)
from node.filling import SUBJECT_COLUMN, Problem, refuse_rows
from node.keys import BankKeys, receiving, unsealed
from node.progress import Progress, silent
from node.psi_state import State, StateFolder
from node.remote import ask, listen
from node.sent import entry_of
from node.status import from_wire, to_wire
from node.tables import Table
from node.wire.v1 import contract_pb2, contract_pb2_grpc, psi_pb2, psi_pb2_grpc
from protocols import hpke, psi, ristretto
from protocols.call import JTI_BYTES, SALT_BYTES, Denial
from protocols.canon import Tag, digest, framed
from protocols.drbg import SEED_BYTES, Drbg
from protocols.entry import Kind
from protocols.errors import ProtocolError
from protocols.psi import Asked, Mode
from protocols.psi_call import (
    HASH_BYTES,
    ListManifest,
    PsiCount,
    PsiReceipt,
    PsiRequest,
    PsiResult,
    PsiReturn,
    PsiTicket,
    counted_digest,
    result_digest,
    return_info,
)
from protocols.ristretto import WIDE_BYTES
from protocols.sign import sign, verify

STREAM_S: Final = 3600.0
PATIENCE_S: Final = 60.0  # for a house that is away
PAUSE_S: Final = 1.0

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Found:
    """What a bank learns of a session, and nothing more."""

    mode: Mode
    count: int  # of its customers that are on the list
    subjects: tuple[str, ...]  # in an intersection: who, as the bank named them
    customers: int  # that it asked about
    entries: int  # of the list that took part
    list: str
    version: int
    session: bytes  # hash of the request: its name in every journal


@dataclass(frozen=True, slots=True)
class Customers:
    """Whom a bank asks about: references, and the names it gave them."""

    refs: Sequence[bytes]
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Session:
    """What is asked, about whom."""

    compiled: CompiledIntersection
    manifest: ListManifest
    customers: Customers
    progress: Progress


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A session whose documents hold, with the roots of its points."""

    name: bytes
    ticket: bytes
    receipt: PsiReceipt
    replies: bytes
    served: bytes


class PsiClient(Connected[BankKeys]):
    """A bank's connection to one house, for intersections; for one thread at a time."""

    KEYS = BankKeys

    def __init__(
        self,
        settings: Config,
        held: BankKeys,
        trust: TrustDomain,
        patience_s: float = PATIENCE_S,
    ) -> None:
        super().__init__(settings, held, trust)
        self._patience_s = patience_s
        self._stub = psi_pb2_grpc.PsiServiceStub(self._link)
        self._contracts = contract_pb2_grpc.ContractServiceStub(self._link)
        keys = (key.private_bytes_raw() for key in receiving(held))
        info = framed(Tag.PSI_STATE)
        wraps = [hmac.digest(key, info, "sha256") for key in keys]
        self._states = StateFolder(settings.data, wraps)
        self._gone = threading.Event()

    def close(self) -> None:
        """Close the channel."""
        self._gone.set()
        super().close()

    # -- what is asked

    def contract(self, which: str | bytes) -> CompiledIntersection:
        """Fetch a contract by id or hash; raises `KindRefused` for another kind."""
        request = (
            contract_pb2.GetContractRequest(contract=which)
            if isinstance(which, bytes)
            else contract_pb2.GetContractRequest(id=which)
        )
        response = ask(self._contracts.GetContract, request, self._deadline_s)
        found = kinds.parse(response.compiled)
        if which not in (found.hash, found.id):
            raise ReplyRefused("the house sent another contract than was asked for")
        if not isinstance(found, CompiledIntersection):
            raise KindRefused(
                f"contract `{found.id}` answers `{found.kind}`,"
                f" not `{ContractKind.PSI}`"
            )
        return found

    def newest(self, name: str) -> ListManifest:
        """Fetch the newest version of a list, as its custodian signed it."""
        request = psi_pb2.GetListRequest(list=name)
        signed = from_wire(ask(self._stub.GetList, request, self._deadline_s).manifest)
        try:
            manifest = ListManifest.parse(signed.payload)
            custodian = self._domain.party(manifest.custodian, Role.CUSTODIAN)
            verify(Tag.PSI_LIST, signed, custodian.sign)
        except (ProtocolError, NotFound, RoleRefused) as error:
            raise ReplyRefused(f"the list proves nothing: {error}") from None
        if manifest.list != name:
            raise ReplyRefused("the house shows another list than was asked for")
        return manifest

    def read(
        self, contract: CompiledIntersection, path: Path, column: str = SUBJECT_COLUMN
    ) -> Customers:
        """Read customers from a column of a table; raises `RowsRefused`."""
        rows: list[tuple[int, str]] = []
        with Table.open(path) as table:
            for batch in table.read([column]):
                rows += enumerate((text or "" for text in batch.cells[0]), batch.first)
        return self._customers(contract, rows, column)

    def _customers(
        self,
        contract: CompiledIntersection,
        rows: Sequence[tuple[int, str]],
        column: str,
    ) -> Customers:
        kind = SubjectType(contract.subject_type)
        found: dict[bytes, tuple[int, str]] = {}
        problems: list[Problem] = []
        for row, text in rows:
            try:
                canonical = canonical_id(kind, text)
            except SubjectInvalid as error:
                message = str(error).removeprefix(f"`{error.field}`: ")
                problems.append(Problem(row, column, message, error.hint, text))
                continue
            ref = subject_ref(self._keys.pepper, kind, canonical)
            earlier, _ = found.setdefault(ref, (row, text))
            if earlier != row:
                message = f"the subject is already in row {earlier}"
                problems.append(Problem(row, column, message, value=text))
        refuse_rows(problems, len(problems), len(rows))
        if not found:
            raise RowsRefused("a session about nobody", "its table has no rows")
        return Customers(list(found), [name for _, name in found.values()])

    # -- asking

    def intersect(
        self,
        contract: str | bytes | CompiledIntersection,
        customers: Sequence[str] | Customers,
        *,
        purpose: str = "",
        progress: Progress = silent,
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> Found:
        """Ask which, or in a count how many, customers are on the contract's list.

        Goes on with a session about the same customers that was broken off, and
        waits for a house that is away.  Raises `Denied`, `Unreachable` (the same
        call goes on), `RowsRefused`, and `ReplyRefused` for what proves nothing.
        `progress` counts the pieces that house and authority multiply.
        """
        compiled = (
            contract
            if isinstance(contract, CompiledIntersection)
            else self.contract(contract)
        )
        if not isinstance(customers, Customers):
            rows = list(enumerate(customers, 1))
            customers = self._customers(compiled, rows, "customer")
        manifest = self._checked(compiled, self.newest(compiled.list.id))
        session = _Session(compiled, manifest, customers, progress)
        state, goes_on = self._begin(session, purpose)
        try:
            return self._go(session, state, now_ms())
        except Denied as refusal:
            # One that was broken off before it was permitted has grown too old.
            if not (goes_on and refusal.reason == Reason.CLOCK_SKEW):
                raise
        state, _ = self._begin(session, purpose)
        return self._go(session, state, now_ms())

    def _go(self, session: _Session, state: State, now_ms: int) -> Found:
        asked = self._asked(session, state)
        if not state.request:
            state = self._signed(session, asked, state, now_ms)
        try:
            found = self._ask(session, state, asked)
        except Denied:
            self._states.erase(state)  # nothing more comes of it
            raise
        self._states.erase(state)
        return found

    def _checked(
        self, compiled: CompiledIntersection, manifest: ListManifest
    ) -> ListManifest:
        if (manifest.schema, manifest.custodian) != (
            compiled.list.schema_hash,
            compiled.list.custodian,
        ):
            raise ReplyRefused("the list is not the one of the contract")
        return manifest

    def _begin(self, session: _Session, purpose: str) -> tuple[State, bool]:
        """Find the session about this that was broken off, or draw a fresh one."""
        compiled, manifest = session.compiled, session.manifest
        about = digest(
            Tag.PSI_STATE,
            compiled.hash,
            manifest.hash,
            (purpose or compiled.purpose).encode(),
            *sorted(session.customers.refs),
        )
        known = self._states.find(about)
        if known is not None:
            return known, True
        counts = compiled.mode is Mode.CARDINALITY
        fresh = State(
            about=about,
            scalar=ristretto.scalar(secrets.token_bytes(WIDE_BYTES)),
            markers=secrets.randbelow(manifest.rows + 1) if counts else 0,
            padding=secrets.token_bytes(SEED_BYTES),
            purpose=purpose or compiled.purpose,
        )
        return fresh, False

    def _asked(self, session: _Session, state: State) -> Asked:
        """Blind the customers; in a count, with markers and random points beside."""
        manifest, scalar = session.manifest, state.scalar
        source = manifest.source
        points = psi_work.subjects(source, session.customers.refs, scalar)
        if session.compiled.mode is Mode.CARDINALITY:
            rest = manifest.rows - state.markers
            drawn = Drbg(state.padding).bytes("padding", rest * SEED_BYTES)
            padding = [
                drawn[at : at + SEED_BYTES] for at in range(0, len(drawn), SEED_BYTES)
            ]
            points += psi_work.markers(source, state.markers, scalar)
            points += psi_work.subjects(source, padding, scalar)
        return psi.arrange(points, scalar)

    def _signed(
        self, session: _Session, asked: Asked, state: State, now_ms: int
    ) -> State:
        request = PsiRequest(
            contract=session.compiled.hash,
            list=session.manifest.hash,
            purpose=state.purpose,
            jti=secrets.token_bytes(JTI_BYTES),
            iat_ms=now_ms,
            bank=self._settings.id,
            points=len(asked.order),
            root=psi.root(psi.pieces(asked.points)),
        )
        state = replace(state, request=request.to_bytes())
        self._states.keep(state)
        return state

    def _ask(self, session: _Session, state: State, asked: Asked) -> Found:
        name = digest(Tag.PSI_REQUEST, state.request)
        self._patiently(lambda: self._send(name, state, asked))
        answer = self._patiently(lambda: self._run(name, session.progress))
        outcome = self._check(name, state, answer)
        manifest, customers = session.manifest, session.customers
        rows, refs = manifest.rows, list[bytes]()
        entries = rows - psi.check_runs(outcome.receipt.dropped, rows)
        subjects: tuple[str, ...] = ()
        if session.compiled.mode is Mode.INTERSECTION:
            numbers = self._intersect(outcome, asked, entries)
            subjects = tuple(customers.names[number] for number in numbers)
            refs = [customers.refs[number] for number in numbers]
            count = len(numbers)
        else:
            count = self._count(outcome, state, entries + rows)
        self._commit(outcome, state, count, refs)
        return Found(
            session.compiled.mode,
            count,
            subjects,
            len(customers.refs),
            entries,
            manifest.list,
            manifest.version,
            name,
        )

    def _send(self, name: bytes, state: State, asked: Asked) -> None:
        signed = sign(Tag.PSI_REQUEST, state.request, self._keys.sign)
        request = psi_pb2.OpenSessionRequest(request=to_wire(signed))
        here = self._denials(
            name, lambda: ask(self._stub.OpenSession, request, self._deadline_s)
        ).pieces
        cut = list(psi.pieces(asked.points))

        def missing() -> Iterator[psi_pb2.SendPointsRequest]:
            for number in range(here, len(cut)):
                yield psi_pb2.SendPointsRequest(
                    session=name, number=number, points=cut[number]
                )

        if here < len(cut):
            self._denials(name, lambda: ask(self._stub.SendPoints, missing(), STREAM_S))

    def _run(self, name: bytes, progress: Progress) -> psi_pb2.PsiAnswer:
        request = psi_pb2.RunSessionRequest(session=name)

        def run() -> psi_pb2.PsiAnswer | None:
            for response in listen(self._stub.RunSession, request, STREAM_S):
                if response.WhichOneof("told") == "answer":
                    answer: psi_pb2.PsiAnswer = response.answer
                    return answer
                progress(response.progress.done, response.progress.total)
            return None

        found = self._denials(name, run)
        if found is None:
            raise ReplyRefused("the house ended a session without an answer")
        return found

    def _denials(self, name: bytes, step: Callable[[], R]) -> R:
        """Do a step; a denial is believed only if its party signed it."""
        try:
            return step()
        except Denied as error:
            try:
                denial = Denial.parse(error.denial.payload)
                party = self._domain.party(denial.by, *SERVERS)
                verify(Tag.DENIAL, error.denial, self._signers(party.role))
            except (ProtocolError, NotFound, RoleRefused) as wrong:
                raise ReplyRefused(f"the denial proves nothing: {wrong}") from None
            if denial.request != name or denial.reason != error.reason:
                raise ReplyRefused(
                    "a denial of another session, or for another reason"
                ) from None
            raise

    def _patiently(self, step: Callable[[], R]) -> R:
        """Do a step again while the house is away, up to a point."""
        waited_s = 0.0
        while True:
            try:
                return step()
            except Unreachable:
                if waited_s >= self._patience_s:
                    raise
            self._gone.wait(PAUSE_S)
            waited_s += PAUSE_S

    # -- reading

    def _check(self, name: bytes, state: State, answer: psi_pb2.PsiAnswer) -> _Outcome:
        try:
            return self._checked_answer(name, state, answer)
        except ProtocolError as error:
            raise ReplyRefused(f"the answer proves nothing: {error}") from None

    def _checked_answer(
        self, name: bytes, state: State, answer: psi_pb2.PsiAnswer
    ) -> _Outcome:
        request = PsiRequest.parse(state.request)
        signed_ticket, signed = from_wire(answer.ticket), from_wire(answer.receipt)
        house, authority = (self._signers(role, request.iat_ms) for role in BOTH)
        verify(Tag.PSI_TICKET, signed_ticket, house)  # 2
        ticket = PsiTicket.parse(signed_ticket.payload)
        if (ticket.request, ticket.contract, ticket.list) != (
            name,
            request.contract,
            request.list,
        ):
            raise ReplyRefused("a ticket of another session")
        verify(Tag.PSI_RECEIPT, signed, authority)  # 3
        receipt = PsiReceipt.parse(signed.payload)
        proof, entry = entry_of(answer.permit, self._domain.verifiers(Role.AUTHORITY))
        if entry.kind is not Kind.PSI_PERMIT or proof.index != receipt.permit.index:
            raise ReplyRefused("the proof is of another entry than the permit")
        permit = psi_bodies.Permit.parse(entry.body)
        if (permit.ticket, permit.runs, receipt.ticket) != (
            ticket.hash,
            receipt.dropped,
            ticket.hash,
        ):
            raise ReplyRefused("a permit or receipt of another session")
        _, entry = entry_of(answer.outcome, self._verifiers(Role.HOUSE, request.iat_ms))
        if entry.kind is not Kind.PSI_OUTCOME or entry.call != name.hex():
            raise ReplyRefused("the proof is of another entry than the outcome")
        outcome = psi_bodies.Outcome.parse(entry.body)
        if (outcome.ticket, outcome.receipt) != (ticket.hash, receipt.hash):
            raise ReplyRefused("an outcome with another ticket or receipt")
        return _Outcome(name, ticket.hash, receipt, outcome.replies, outcome.served)

    def _fetch(self, outcome: _Outcome, count: int, *, served: bool) -> bytes:
        """Fetch points and hold them to their root."""
        found: list[bytes] = []

        def rest() -> None:
            request = psi_pb2.FetchRepliesRequest(
                session=outcome.name, served=served, start=len(found)
            )
            for response in listen(self._stub.FetchReplies, request, STREAM_S):
                if response.number != len(found):
                    raise ReplyRefused("a piece of points out of its order")
                found.append(response.points)

        self._patiently(rest)
        points = b"".join(found)
        root = outcome.served if served else outcome.replies  # 4
        if len(points) != count * ristretto.POINT_BYTES or psi.root(found) != root:
            raise ReplyRefused("the points are not those of the outcome")
        try:
            ristretto.check_points(points)
            if served:
                ristretto.check_ascending(points)
        except ProtocolError as error:
            raise ReplyRefused(f"the house's points: {error}") from None
        return points

    def _intersect(self, outcome: _Outcome, asked: Asked, entries: int) -> list[int]:
        replies = self._fetch(outcome, len(asked.order), served=False)
        served = self._fetch(outcome, entries, served=True)
        opened = psi_work.multiples(ristretto.invert(asked.scalar), replies)
        return psi.matched(asked.order, opened, frozenset(ristretto.each(served)))

    def _count(self, outcome: _Outcome, state: State, points: int) -> int:
        """Send the list back, blinded and sealed; read the authority's number."""
        if not state.boxes:
            served = self._fetch(outcome, points, served=True)
            v = ristretto.ascending(psi_work.multiples(state.scalar, served))
            boxes = tuple(
                hpke.seal(
                    self._domain.authority.hpke[0],
                    return_info(outcome.ticket, number),
                    piece,
                )
                for number, piece in enumerate(psi.pieces(v))
            )
            # Kept before they are sent: the authority counts one return only.
            state = replace(state, boxes=boxes)
            self._states.keep(state)
        returned = PsiReturn(outcome.ticket, points, psi.root(state.boxes))
        response = self._patiently(lambda: self._return(returned, state))
        asked_ms = PsiRequest.parse(state.request).iat_ms
        count = self._counted(outcome, returned, response, asked_ms) - state.markers
        if count < 0:
            raise ReplyRefused("the authority counted fewer than our own markers")
        return count

    def _return(
        self, returned: PsiReturn, state: State
    ) -> psi_pb2.ReturnPointsResponse:
        signed = sign(Tag.PSI_RETURN, returned.to_bytes(), self._keys.sign)

        def pieces() -> Iterator[psi_pb2.ReturnPointsRequest]:
            yield psi_pb2.ReturnPointsRequest(returned=to_wire(signed))
            for box in state.boxes:
                yield psi_pb2.ReturnPointsRequest(box=box)

        response: psi_pb2.ReturnPointsResponse = ask(
            self._stub.ReturnPoints, pieces(), STREAM_S
        )
        return response

    def _counted(
        self,
        outcome: _Outcome,
        returned: PsiReturn,
        response: psi_pb2.ReturnPointsResponse,
        asked_ms: int,
    ) -> int:
        signed = from_wire(response.receipt)
        try:
            verify(Tag.PSI_COUNT, signed, self._signers(Role.AUTHORITY, asked_ms))
            receipt = PsiCount.parse(signed.payload)
            data = unsealed(
                self._keys,
                lambda key: hpke.unseal(key, receipt.hash, response.box),
            )
        except ProtocolError as error:
            raise ReplyRefused(f"the count proves nothing: {error}") from None
        salt, count = data[:HASH_BYTES], int.from_bytes(data[HASH_BYTES:], "big")
        if (receipt.ticket, receipt.returned, receipt.compared, receipt.counted) != (
            outcome.ticket,
            returned.hash,
            outcome.replies,
            counted_digest(salt, count),
        ):
            raise ReplyRefused("a count of another session")
        _, entry = entry_of(response.counted, self._verifiers(Role.HOUSE, asked_ms))
        if entry.kind is not Kind.PSI_COUNTED:
            raise ReplyRefused("the proof is of another entry than the count")
        body = psi_bodies.Counted.parse(entry.body)
        if (body.ticket, body.receipt) != (outcome.ticket, receipt.hash):
            raise ReplyRefused("a journalled count of another session")
        return count

    def _commit(
        self, outcome: _Outcome, state: State, count: int, refs: Sequence[bytes]
    ) -> None:
        """Commit to what was learned: the same size whatever that is."""
        # From the session's own seed: whoever goes on commits to the same.
        salt = Drbg(state.padding).bytes("result salt", SALT_BYTES)
        result = PsiResult(outcome.ticket, result_digest(salt, count, refs))
        signed = sign(Tag.PSI_RESULT, result.to_bytes(), self._keys.sign)
        request = psi_pb2.CommitPsiResultRequest(result=to_wire(signed))
        self._patiently(
            lambda: ask(self._stub.CommitPsiResult, request, self._deadline_s)
        )
