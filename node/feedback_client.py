r"""Feedback at its two ends: a bank that reports, a custodian that reads and checks.

*The bank* keeps each parcel before it is sent (`node.sent`), the sealed box beside it,
and sends one that was not answered again as it is, before any other: what the house
takes twice it keeps once.  It is done when the house has *proven* that the parcel
stands in its journal.  Reports of one command that was killed half-way may come twice,
in two parcels: the custodian counts an answer's ending once.

*The custodian* fetches all parcels and believes nothing of them:

 1. the bank signed the parcel for this custodian, and the house proves its entry;
 2. the box is the one named, and opens;
 3. a bank's numbers are 1, 2, ... and reach as far as was seen here before;
 4. of each report: the bank itself was permitted the call, by the proofs of both
    journals, and the call was about this subject;
 5. its date is not before the call, nor in the future; and it is told once an answer,
    of which a repeat is none.

What fails 4 or 5 is named and left out.  A house that drops or exchanges a parcel fails
1 to 3: `ReplyRefused`.  The newest parcel of a bank can be kept back until its next;
the bank has the receipt that shows it.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from contracts import bodies, feedback
from contracts.answered import Answered
from contracts.errors import ContractError, SubjectInvalid
from contracts.feedback import Desk, Ending, Parcel, Report
from contracts.rebuild import LATE_MS
from contracts.subject import SubjectType, canonical_id, subject_ref
from node import clock, evidence
from node.connected import Connected
from node.domain import Role
from node.errors import NodeError, ReplyRefused, RowsRefused
from node.keys import BankKeys, CustodianKeys
from node.receipts import Kept
from node.remote import ask
from node.sent import Sent, SentFolder, entry_of
from node.status import from_wire, to_wire
from node.succession import alone
from node.wire.v1 import common_pb2, feedback_pb2, feedback_pb2_grpc
from protocols import hpke
from protocols.call import JTI_BYTES, Opening, Request, Ticket, ticket_hash
from protocols.canon import Tag
from protocols.drbg import Drbg
from protocols.entry import Kind
from protocols.errors import ProofInvalid, ProtocolError, SealBroken, SignatureInvalid
from protocols.note import LogProof, VerifierKey
from protocols.sign import Signed, sign, verify

KIND: Final = "feedback"  # of receipts


@dataclass(frozen=True, slots=True, repr=False)
class Told:
    """What a bank says became of a loan."""

    subject_id: str
    ending: Ending
    on: str  # ISO date


@dataclass(frozen=True, slots=True, repr=False)
class Accepted:
    """A report that the custodian takes."""

    bank: str
    subject_id: str
    ending: Ending
    on: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A report, or a whole parcel, that it does not."""

    bank: str
    number: int  # of the parcel
    report: int  # in it, from 1; 0: all of it
    reason: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """All that reached a custodian."""

    parcels: int
    accepted: tuple[Accepted, ...]
    refused: tuple[Refused, ...]

    def rows(self) -> Iterator[tuple[str, int, int, str]]:
        """Give each subject a row: (id, defaults, repaid, date of the last)."""
        found: dict[str, list[Accepted]] = {}
        for each in self.accepted:
            found.setdefault(each.subject_id, []).append(each)
        for subject, told in sorted(found.items()):
            defaults = sum(each.ending is Ending.DEFAULT for each in told)
            last = max(each.on for each in told)
            yield subject, defaults, len(told) - defaults, last


class FeedbackSender(Connected[BankKeys]):
    """A bank's side; context-managed."""

    KEYS = BankKeys

    def send(
        self,
        custodian: str,
        kind: SubjectType,
        told: Sequence[Told],
        kept: Iterable[Kept],
        now_ms: int,
    ) -> list[LogProof]:
        """Report on subjects that this bank asked about; `kept` are its receipts.

        Raises `RowsRefused` for a subject that it has no answered call about; then
        nothing was sent.
        """
        reports = self._reports(kind, told, kept)
        folder = SentFolder(self._settings.data, KIND)
        with alone(self._settings.data):
            return self._send_all(folder, custodian, reports, now_ms)

    def _send_all(
        self,
        folder: SentFolder,
        custodian: str,
        reports: Sequence[Report],
        now_ms: int,
    ) -> list[LogProof]:
        stub = feedback_pb2_grpc.FeedbackServiceStub(self._link)
        for number in range(1, folder.newest(custodian) + 1):
            sent = folder.find(custodian, number)
            if sent is not None and not sent.proof:
                self._send(stub, folder, self._current(folder, sent))
        key = self._desk(stub, custodian)
        return [
            self._send(stub, folder, self._seal(folder, custodian, key, part, now_ms))
            for at in range(0, len(reports), feedback.MOST_REPORTS)
            if (part := reports[at : at + feedback.MOST_REPORTS])
        ]

    def _reports(
        self, kind: SubjectType, told: Sequence[Told], kept: Iterable[Kept]
    ) -> list[Report]:
        calls: dict[bytes, list[Kept]] = {}
        for call in kept:
            if call.reply is not None:
                calls.setdefault(call.subject_ref, []).append(call)
        reports, problems = [], []
        for row, each in enumerate(told, 2):
            try:
                name = canonical_id(kind, each.subject_id)
            except SubjectInvalid as error:
                problems.append(f"row {row}: {error}")
                continue
            about = calls.get(subject_ref(self._keys.pepper, kind, name), [])
            found = _before(about, each.on)
            answered = None if found is None else evidence.answered(found)
            if found is None or answered is None:
                problems.append(f"row {row}: no permitted call about the subject")
                continue
            feedback.check_date(each.on)
            reports.append(
                Report(
                    kind, name, found.salt, each.ending, each.on, answered.to_bytes()
                )
            )
        if problems:
            raise RowsRefused(
                f"{len(problems)} of {len(told)} rows cannot be reported:"
                f" {problems[0]}",
                "a bank reports on subjects that it was permitted to ask about",
                tuple(problems),
            )
        return reports

    def _desk(
        self, stub: feedback_pb2_grpc.FeedbackServiceStub, custodian: str
    ) -> X25519PublicKey:
        request = feedback_pb2.GetFeedbackDeskRequest(custodian=custodian)
        signed = from_wire(ask(stub.GetFeedbackDesk, request, self._deadline_s).desk)
        party = self._domain.party(custodian, Role.CUSTODIAN)
        keys = party.signing(clock.now_ms())
        try:
            desk = Desk.parse(verify(Tag.FEEDBACK_DESK, signed, keys))
        except SignatureInvalid as error:
            raise ReplyRefused(
                f"the desk of `{custodian}` proves nothing: {error}",
                "after a change of its keys it opens the desk again: `feedback open`",
            ) from None
        if desk.custodian != custodian:
            raise ReplyRefused(f"the house shows the desk of `{desk.custodian}`")
        return X25519PublicKey.from_public_bytes(desk.key)

    def _current(self, folder: SentFolder, sent: Sent) -> Sent:
        """Sign what was not answered anew, where its key is another one by now."""
        signed = sign(Tag.FEEDBACK, sent.signed.payload, self._keys.sign)
        if signed.key_id == sent.signed.key_id:
            return sent
        parcel, again = Parcel.parse(signed.payload), replace(sent, signed=signed)
        folder.keep(parcel.custodian, parcel.number, again)
        return again

    def _seal(
        self,
        folder: SentFolder,
        custodian: str,
        key: X25519PublicKey,
        reports: Sequence[Report],
        now_ms: int,
    ) -> Sent:
        number = folder.newest(custodian) + 1
        jti = secrets.token_bytes(JTI_BYTES)
        bank, count = self._settings.id, len(reports)
        parcel = Parcel(bank, custodian, number, jti, count, bytes(32), now_ms)
        box = hpke.seal(key, parcel.info, feedback.write_reports(reports))
        digest = hashlib.sha256(box).digest()
        parcel = Parcel(bank, custodian, number, jti, count, digest, now_ms)
        signed = sign(Tag.FEEDBACK, parcel.to_bytes(), self._keys.sign)
        sent = Sent(signed, box)
        folder.keep(custodian, number, sent)
        return sent

    def _send(
        self,
        stub: feedback_pb2_grpc.FeedbackServiceStub,
        folder: SentFolder,
        sent: Sent,
    ) -> LogProof:
        request = feedback_pb2.SendFeedbackRequest(
            parcel=to_wire(sent.signed), box=sent.values
        )
        response = ask(stub.SendFeedback, request, self._deadline_s)
        keys = self._domain.live_verifiers(Role.HOUSE, clock.now_ms())
        proof, _ = proven(response.logged, keys, sent.signed)
        parcel = Parcel.parse(sent.signed.payload)
        done = Sent(sent.signed, sent.values, proof=proof.to_text())
        folder.keep(parcel.custodian, parcel.number, done)
        return proof


class FeedbackDesk(Connected[CustodianKeys]):
    """A custodian's side; context-managed."""

    KEYS = CustodianKeys

    def open_desk(self) -> Desk:
        """Publish the key that banks seal to; the same again changes nothing."""
        desk = Desk(self._settings.id, self._key().public_key().public_bytes_raw())
        signed = sign(Tag.FEEDBACK_DESK, desk.to_bytes(), self._keys.sign)
        stub = feedback_pb2_grpc.FeedbackServiceStub(self._link)
        request = feedback_pb2.PutFeedbackDeskRequest(desk=to_wire(signed))
        response = ask(stub.PutFeedbackDesk, request, self._deadline_s)
        live = self._domain.live_verifiers(Role.HOUSE, clock.now_ms())
        _, entry = entry_of(response.logged, live)
        if (
            entry.kind is not Kind.FEEDBACK_DESK
            or bodies.FeedbackDesk.parse(entry.body).signed.payload != signed.payload
        ):
            raise ReplyRefused("the house proves another entry than the desk")
        return desk

    def fetch(self, now_ms: int) -> Feedback:
        """Fetch and check all parcels; raises `ReplyRefused` for a house that lies."""
        folder = SentFolder(self._settings.data, KIND)
        newest: dict[str, int] = {}
        accepted: list[Accepted] = []
        refused: list[Refused] = []
        seen: set[tuple[bytes, Ending]] = set()
        for signed, parcel, box in self._parcels():
            if parcel.number != newest.get(parcel.bank, 0) + 1:  # 3
                raise ReplyRefused(
                    f"a parcel of `{parcel.bank}` is missing before number"
                    f" {parcel.number}",
                    "the house kept it back: tell the auditors",
                )
            newest[parcel.bank] = parcel.number
            earlier = folder.find(parcel.bank, parcel.number)
            if earlier is not None and earlier.signed.payload != signed.payload:
                raise ReplyRefused(f"parcel {parcel.number} was another one before")
            folder.keep(parcel.bank, parcel.number, Sent(signed))
            self._open(parcel, box, (accepted, refused), seen, now_ms)
        for party in self._domain.of_role(Role.BANK):
            if folder.newest(party.id) > newest.get(party.id, 0):
                raise ReplyRefused(
                    f"the house has shown more parcels of `{party.id}`",
                    "it was rewound: tell the auditors",
                )
        return Feedback(sum(newest.values()), tuple(accepted), tuple(refused))

    def _key(self) -> X25519PrivateKey:
        drawn = Drbg(self._keys.seed).bytes("feedback desk", feedback.KEY_BYTES)
        return X25519PrivateKey.from_private_bytes(drawn)

    def _parcels(self) -> Iterator[tuple[Signed, Parcel, bytes]]:
        stub = feedback_pb2_grpc.FeedbackServiceStub(self._link)
        keys = self._domain.live_verifiers(Role.HOUSE, clock.now_ms())
        after = -1
        while True:
            request = feedback_pb2.FetchFeedbackRequest(after=after)
            response = ask(stub.FetchFeedback, request, self._deadline_s)
            if not response.HasField("parcel"):
                return
            signed = from_wire(response.parcel)
            parcel = Parcel.parse(signed.payload)
            bank = self._domain.party(parcel.bank, Role.BANK)
            proof, taken_ms = proven(response.logged, keys, signed)  # 1
            verify(Tag.FEEDBACK, signed, bank.signing(taken_ms - LATE_MS))
            if parcel.custodian != self._settings.id or proof.index <= after:
                raise ReplyRefused("the house shows a parcel that is not ours or twice")
            if hashlib.sha256(response.box).digest() != parcel.box:  # 2
                raise ReplyRefused(
                    f"the box of parcel {parcel.number} of `{parcel.bank}` was"
                    " exchanged"
                )
            after = proof.index
            yield signed, parcel, response.box

    def _open(
        self,
        parcel: Parcel,
        box: bytes,
        into: tuple[list[Accepted], list[Refused]],
        seen: set[tuple[bytes, Ending]],
        now_ms: int,
    ) -> None:
        accepted, refused = into
        try:
            reports = feedback.read_reports(hpke.unseal(self._key(), parcel.info, box))
        except (ProtocolError, ContractError) as error:  # the bank's own doing
            what = "does not open" if isinstance(error, SealBroken) else str(error)
            refused.append(Refused(parcel.bank, parcel.number, 0, what))
            return
        if len(reports) != parcel.count:
            what = f"holds {len(reports)} reports, not {parcel.count}"
            refused.append(Refused(parcel.bank, parcel.number, 0, what))
            return
        for place, report in enumerate(reports, 1):
            try:
                call = self._check(parcel, report, now_ms)
            except (ProtocolError, ContractError, NodeError) as error:
                told = str(error)
                refused.append(Refused(parcel.bank, parcel.number, place, told))
                continue
            if (call, report.ending) not in seen:
                seen.add((call, report.ending))
                accepted.append(
                    Accepted(parcel.bank, report.subject_id, report.ending, report.on)
                )

    def _check(self, parcel: Parcel, report: Report, now_ms: int) -> bytes:
        """Return the answer that a report is about; raises for one that has none.

        A repeat, which costs nothing, is the answer that it repeats.
        """
        answered = Answered.parse(report.answered)
        request = Request.parse(answered.request.payload)
        if request.bank != parcel.bank:  # 4
            raise ProofInvalid("the call is another bank's")
        evidence.prove(answered, self._domain)
        name = canonical_id(report.subject_type, report.subject_id)
        ref = subject_ref(self._keys.pepper, report.subject_type, name)
        if Opening(ref, report.salt).commitment() != request.subject:
            raise ProofInvalid("the call was about another subject")
        if not _day(request.iat_ms) <= report.on <= _day(now_ms + clock.DAY_MS):  # 5
            raise ProofInvalid("the date is before the call, or in the future")
        ticket = answered.ticket.payload
        return Ticket.parse(ticket).repeat_of or ticket_hash(ticket)


def proven(
    logged: common_pb2.Logged, keys: Iterable[VerifierKey], signed: Signed
) -> tuple[LogProof, int]:
    """Check that the house's journal names this very parcel, and tell since when."""
    proof, entry = entry_of(logged, keys)
    if (
        entry.kind is not Kind.FEEDBACK_PARCEL
        or bodies.FeedbackParcel.parse(entry.body).signed.payload != signed.payload
    ):
        raise ReplyRefused("the house proves another entry than the parcel")
    return proof, entry.time_ms


def _before(calls: Sequence[Kept], on: str) -> Kept | None:
    """Choose the first call of the last day with one that is not after `on`."""
    dated = [(Request.parse(call.request.payload).iat_ms, call) for call in calls]
    fitting = [day for iat_ms, _ in dated if (day := _day(iat_ms)) <= on]
    last = max(fitting, default="")
    chosen = [each for each in dated if _day(each[0]) == last] or dated
    return min(chosen, key=lambda each: each[0])[1] if chosen else None


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).date().isoformat()


def counts(found: Feedback) -> Mapping[str, int]:
    """Count accepted reports by bank."""
    banks = [each.bank for each in found.accepted]
    return {bank: banks.count(bank) for bank in sorted(set(banks))}
