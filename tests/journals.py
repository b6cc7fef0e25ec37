"""A town with a house and an authority that only keep journals.

No ciphertext and no network: `Town` takes the steps of a call as PROTOCOL 3
has them, decides, and writes both journals.  Its books are plain lists that are
searched from the beginning, so that they share nothing with `contracts.rebuild`.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from contracts import bodies
from contracts.classes import Class, Owned
from contracts.compile import compile_contract
from contracts.consent import (
    Consent,
    ConsentEvent,
    Event,
    Evidence,
    Status,
    next_status,
)
from contracts.cross_check import Kept
from contracts.dataset import Dataset
from contracts.decide import (
    LIMITS,
    UNKNOWN_SUBJECT,
    Ask,
    Decision,
    Finding,
    Grant,
    Limits,
    Reason,
    Terms,
    Usage,
    decide,
    denied,
    public,
)
from contracts.lifecycle import Activation, Approval, Retirement, Stage, Submission
from contracts.rebuild import terms_of
from contracts.replay import Role
from contracts.scoring import ScoringContract
from contracts.subject import SubjectType
from protocols.blocks import Manifest
from protocols.call import (
    Denial,
    Input,
    Opening,
    Permit,
    Receipt,
    RepeatReceipt,
    Request,
    Result,
    Ticket,
    receipt_hash,
    request_hash,
    ticket_hash,
)
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.sign import Signed, sign

MORNING_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z

DATASET = """
apiVersion: safehouse/v1
kind: Dataset
metadata: {{name: {name}, version: 1}}
spec:
  custodian: {name}
  unit: 统计局
  category: 纳税
  cycle: monthly
  tier: {tier}
  subject: opaque
  columns:
    - {{name: good, flag: {{}}}}
    - {{name: late, flag: {{}}}}
"""

CONTRACT = """
apiVersion: safehouse/v1
kind: ScoringContract
metadata: {{name: {name}, version: 1}}
spec:
  purpose: loan-precheck
  subject: opaque
  author: bank-a
  banks: [bank-a, bank-b]
  base: 0
  groups:
    - name: all
      indicators:
{indicators}
  outcome:
    grade: {{bands: [{{value: B}}, {{from: 10, value: A}}]}}
  release: {{most_outcomes: 4, narrowest_band: 1, bits_per_90_days: 6}}
  examples:
    - {{given: {{}}, insufficient_data: true}}
"""

TIERS = {"tax": "T1", "court": "T2", "health": "T3"}
READS = {"grade": ("tax", "court"), "care": ("tax", "health")}
PARTIES = ("bank-a", "bank-b", "registry", "desk-2", "house", "authority", *TIERS)


@dataclass
class _Stated:
    """A consent as the town knows it."""

    consent: Consent
    subject_ref: bytes
    status: Status = Status.ACTIVE
    uses: list[int] = field(default_factory=list)  # times


@dataclass(frozen=True)
class _Spent:
    time_ms: int
    bank: str
    contract: bytes
    millibits: int
    ticket: bytes
    inputs: tuple[Input, ...]


class Town:
    """Writes both journals, call by call."""

    def __init__(self, *, signing: bool = True, limits: Limits = LIMITS) -> None:
        self.now_ms = MORNING_MS
        self.journals: dict[Role, list[Entry]] = {role: [] for role in Role}
        self.kept: list[Kept] = []
        self.openings: list[Opening] = []
        self.classes: dict[str, tuple[str, ...]] = {}
        self.waiting: set[str] = set()  # consents, for a second operator
        self._serial = 0
        self.owned: tuple[Owned, ...] = ()  # told with the classes
        self.contracts: dict[str, Terms] = {}  # as submitted
        self._signing = signing
        self.limits = limits
        self._numbers = iter(range(1 << 60))
        self._keys = {
            party: Ed25519PrivateKey.from_private_bytes(_bytes("key", party))
            for party in PARTIES
        }
        self._by_hash: dict[bytes, Terms] = {}
        self._stages: dict[bytes, Stage] = {}
        self._consents: dict[str, _Stated] = {}
        self._spent: dict[bytes, list[_Spent]] = defaultdict(list)
        self._manifests: dict[str, Manifest] = {}
        self._datasets = {
            name: Dataset.from_yaml(DATASET.format(name=name, tier=tier), name)
            for name, tier in TIERS.items()
        }
        self._open()

    @property
    def house(self) -> list[Entry]:
        """The house's journal."""
        return self.journals[Role.HOUSE]

    @property
    def authority(self) -> list[Entry]:
        """The authority's journal."""
        return self.journals[Role.AUTHORITY]

    @property
    def keys(self) -> dict[str, list[Ed25519PublicKey]]:
        """The pinned keys."""
        return {party: [key.public_key()] for party, key in self._keys.items()}

    def sign(self, tag: Tag, payload: bytes, party: str) -> Signed:
        """Sign, or write noughts where nobody verifies."""
        if not self._signing:
            return Signed(payload, "0" * 16, bytes(64))
        return sign(tag, payload, self._keys[party])

    def append(
        self, role: Role, kind: Kind, actor: str, body: bodies.Body, call: str = ""
    ) -> int:
        """Journal one entry; time goes on."""
        self.now_ms += 1
        entry = Entry(kind, self.now_ms, actor, call, body.to_body())
        self.journals[role].append(entry)
        return len(self.journals[role]) - 1

    # What comes before calls

    def _open(self) -> None:
        for name, dataset in self._datasets.items():
            signed = self.sign(Tag.DATASET_REGISTRATION, dataset.to_bytes(), name)
            body = bodies.Register(
                name, dataset.schema_hash, signed.payload.decode(), signed
            )
            self._both(Kind.DATA_REGISTER, name, body)
            self.push(name)
        for name, reads in READS.items():
            self._submit(name, reads)
            for custodian in reads:
                self.approve(name, custodian)
            self.activate(name)

    def _submit(self, name: str, reads: tuple[str, ...]) -> None:
        indicators = "\n".join(
            f"        - {{column: {dataset}.good, points: 10}}" for dataset in reads
        )
        source = CONTRACT.format(name=name, indicators=indicators)
        contract = ScoringContract.from_yaml(source, "contract.yaml")
        compiled = compile_contract(contract, self._datasets)
        submission = Submission("bank-a", compiled.hash, source)
        signed = self.sign(Tag.CONTRACT_SUBMISSION, submission.to_bytes(), "bank-a")
        body = bodies.Submit(compiled.to_bytes().decode(), compiled.hash, signed)
        self._both(Kind.CONTRACT_SUBMIT, "bank-a", body)
        categories = {name: d.category for name, d in self._datasets.items()}
        terms = terms_of(compiled, Stage.SUBMITTED, categories)
        self.contracts[name] = terms
        self._by_hash[terms.contract] = terms
        self._stages[terms.contract] = terms.stage

    def approve(self, name: str, custodian: str) -> None:
        """Let a custodian approve."""
        step = Approval(custodian, self.contracts[name].contract)
        signed = self.sign(Tag.APPROVAL, step.to_bytes(), custodian)
        body = bodies.Approve(step.contract, custodian, signed)
        self._both(Kind.CONTRACT_APPROVE, custodian, body)

    def activate(self, name: str) -> None:
        """Put a contract in force, whether or not it was approved."""
        step = Activation("bank-a", self.contracts[name].contract)
        signed = self.sign(Tag.ACTIVATION, step.to_bytes(), "bank-a")
        self._both(
            Kind.CONTRACT_ACTIVATE, "bank-a", bodies.Activate(step.contract, signed)
        )
        self._stages[step.contract] = Stage.ACTIVE

    def retire(self, name: str) -> None:
        """Take a contract out of force."""
        step = Retirement("bank-a", self.contracts[name].contract)
        signed = self.sign(Tag.RETIREMENT, step.to_bytes(), "bank-a")
        self._both(Kind.CONTRACT_RETIRE, "bank-a", bodies.Retire(step.contract, signed))
        self._stages[step.contract] = Stage.RETIRED

    def push(self, name: str) -> None:
        """Push the next version of a dataset."""
        before = self._manifests.get(name)
        dataset = self._datasets[name]
        manifest = Manifest(
            dataset=name,
            version=1 if before is None else before.version + 1,
            schema_hash=dataset.schema_hash,
            key_id="00" * 16,
            rows=1,
            blocks=1,
            columns=len(dataset.encrypted),
            ciphertext_root=self.fresh(),
            row_map_root=_bytes("map"),
            directory_version=1,
            vintage="2025",
            custodian=name,
            created_ms=self.now_ms,
        )
        signed = self.sign(Tag.MANIFEST, manifest.to_bytes(), name)
        body = bodies.Push(name, manifest.version, signed, manifest.ciphertext_root)
        self.append(Role.HOUSE, Kind.DATA_PUSH, name, body)
        self._manifests[name] = manifest

    def grant(self, consent_id: str, subject: str, **changes: object) -> Consent:
        """Grant everything for a year, but for `changes`; both nodes hear of it."""
        opening = self._opening(subject)
        consent = replace(
            Consent(
                consent_id=consent_id,
                subject=opening.commitment(),
                subject_type=SubjectType.OPAQUE,
                grantees=("bank-a", "bank-b"),
                purposes=("loan-precheck",),
                scope=("contract:grade",),
                not_before_ms=MORNING_MS,
                not_after_ms=MORNING_MS + 365 * 86_400_000,
                max_uses=None,
                frequency=None,
                separate=False,
                evidence_kind=Evidence.ONLINE,
                evidence_digest=b"",
                granted_at_ms=MORNING_MS,
                registrar="registry",
            ),
            **changes,  # type: ignore[arg-type]
        )
        signed = self.sign(Tag.CONSENT, consent.to_bytes(), "registry")
        for role in Role:
            body = bodies.Grant(signed, self.pseudonym(role, subject))
            self.append(role, Kind.CONSENT_GRANT, "registry", body)
        if consent.supersedes in self._consents:
            self._consents[consent.supersedes].status = Status.SUPERSEDED
        self._consents[consent_id] = _Stated(consent, _ref(subject))
        return consent

    def event(self, consent_id: str, event: Event) -> None:
        """Report an event of a consent to both nodes."""
        stated = self._consents[consent_id]
        stated.status = next_status(stated.status, event)
        document = ConsentEvent(consent_id, event, self.now_ms, "", "registry")
        signed = self.sign(Tag.CONSENT_EVENT, document.to_bytes(), "registry")
        self._both(Kind.CONSENT_EVENT, "registry", bodies.Event(signed))

    def group(self, **classes: tuple[str, ...]) -> None:
        """Journal which banks are in which class, from now on."""
        self.classes, self._serial = classes, self._serial + 1
        told = tuple(Class(name, banks) for name, banks in sorted(classes.items()))
        for role in Role:
            body = bodies.Classes(self._serial, told, self.owned)
            self.append(role, Kind.ADMIN_CLASSES, role.value, body)

    def status(self, consent_id: str) -> Status | None:
        """Tell how a consent stands; None before it is granted."""
        stated = self._consents.get(consent_id)
        return None if stated is None else stated.status

    # A call

    def call(
        self,
        bank: str,
        subject: str,
        consent_id: str,
        contract: str = "grade",
        purpose: str = "loan-precheck",
        *,
        listed: bool = True,
    ) -> Decision:
        """Make one call; `listed` says whether the subject is in the directory."""
        opening = self._opening(subject)
        request = Request(
            self.contracts[contract].contract,
            opening.commitment(),
            purpose,
            consent_id,
            self.fresh()[:16],
            self.now_ms,
            bank,
        )
        signed = self.sign(Tag.REQUEST, request.to_bytes(), bank)
        decision = self.decide(Role.HOUSE, request, subject, spends=0)
        if decision.allow and not listed:
            decision = denied([Finding(Reason.NO_CONSENT, UNKNOWN_SUBJECT)])
        if not decision.allow:
            self.deny(Role.HOUSE, signed, subject, decision)
            return decision

        earlier = self._answer(bank, subject, request.contract)
        ticket = self._ticket(request, signed, earlier)
        call = request_hash(signed.payload).hex()
        name = ticket_hash(ticket.payload)
        intent = bodies.Intent(signed, ticket, self.pseudonym(Role.HOUSE, subject))
        self.append(Role.HOUSE, Kind.CALL_INTENT, "house", intent, call)

        spends = 0 if earlier else self.contracts[contract].millibits
        decision = self.decide(Role.AUTHORITY, request, subject, spends)
        if not decision.allow:
            denial = self.deny(Role.AUTHORITY, signed, subject, decision)
            body = bodies.Denied(name, denial)
            self.append(Role.HOUSE, Kind.CALL_DENIED, "house", body, call)
            return decision

        index = self.permit(signed, subject, name, spends, earlier)
        receipt = self._receipt(signed, name, earlier, index)
        done = bodies.Done(name, receipt)
        self.append(Role.AUTHORITY, Kind.CALL_DONE, "authority", done, call)
        outcome = bodies.Outcome(name, receipt_hash(receipt.payload))
        self.append(Role.HOUSE, Kind.CALL_OUTCOME, "house", outcome, call)
        result = Result(name, self.fresh())
        signed_result = self.sign(Tag.COMMIT_RESULT, result.to_bytes(), bank)
        self.append(
            Role.HOUSE, Kind.CALL_RESULT, bank, bodies.Result(name, signed_result), call
        )
        self.kept.append(Kept(name, outcome.receipt))
        return decision

    def decide(
        self, role: Role, request: Request, subject: str, spends: int
    ) -> Decision:
        """Decide as the node will journal it, one millisecond from now."""
        now_ms = self.now_ms + 1
        stated = self._consents.get(request.consent)
        grant = None
        if stated is not None:
            whom = self.pseudonym(role, _name(stated.subject_ref))
            members = frozenset(
                bank
                for name, banks in self.classes.items()
                if f"class:{name}" in stated.consent.grantees
                for bank in banks
            )
            waits = request.consent in self.waiting
            grant = Grant(stated.consent, stated.status, whom, members, waits)
        known = self._by_hash.get(request.contract)
        terms = known and replace(known, stage=self._stages[known.contract])
        usage = None
        if role is Role.AUTHORITY:
            usage = self._usage(request, subject, stated, now_ms)
        ask = Ask(
            request.bank,
            request.purpose,
            self.pseudonym(role, subject),
            request.consent,
            spends,
        )
        return decide(ask, terms, grant, usage, now_ms, self.limits)

    def _usage(
        self, request: Request, subject: str, stated: _Stated | None, now_ms: int
    ) -> Usage:
        uses = stated.uses if stated else []
        frequency = stated.consent.frequency if stated else None
        recent = [
            used
            for used in uses
            if frequency is not None and used > now_ms - frequency.window_ms
        ]
        spent = [
            item
            for item in self._spent[_ref(subject)]
            if item.time_ms > now_ms - self.limits.window_ms
        ]
        by_bank = [item for item in spent if item.bank == request.bank]
        return Usage(
            uses=len(uses),
            recent_uses=len(recent),
            bank_millibits=sum(item.millibits for item in by_bank),
            subject_millibits=sum(item.millibits for item in spent),
            contract_millibits=sum(
                item.millibits for item in by_bank if item.contract == request.contract
            ),
        )

    def permit(
        self, signed: Signed, subject: str, ticket: bytes, spends: int, earlier: bytes
    ) -> int:
        """Journal a permit and count it, whatever was decided."""
        request = Request.parse(signed.payload)
        stated = self._consents.get(request.consent)
        if stated is not None:
            stated.uses.append(self.now_ms + 1)
        body = bodies.Permit(
            request=signed,
            ticket=ticket,
            subject=self.pseudonym(Role.AUTHORITY, subject),
            consent=request.consent,
            contract=request.contract,
            millibits=spends,
            repeat_of=earlier,
        )
        index = self.append(
            Role.AUTHORITY,
            Kind.CALL_PERMIT,
            "authority",
            body,
            request_hash(signed.payload).hex(),
        )
        if not earlier:
            self._spent[_ref(subject)].append(
                _Spent(
                    self.now_ms,
                    request.bank,
                    request.contract,
                    spends,
                    ticket,
                    self._inputs(request.contract),
                )
            )
        return index

    def deny(
        self, role: Role, signed: Signed, subject: str, decision: Decision
    ) -> Signed:
        """Journal a denial and return what the bank gets."""
        call = request_hash(signed.payload)
        told = public(decision.reasons)
        salt = self.fresh()
        denial = Denial(
            call,
            role.value,
            told.reason.value,
            told.detail,
            bodies.reasons_digest(salt, decision.reasons),
            self.now_ms,
        )
        answer = self.sign(Tag.DENIAL, denial.to_bytes(), role.value)
        body = bodies.Deny(
            request=signed,
            reasons=decision.reasons,
            public=told.reason,
            salt=salt,
            denial=answer,
            subject=self.pseudonym(role, subject),
        )
        self.append(role, Kind.CALL_DENY, role.value, body, call.hex())
        return answer

    def _answer(self, bank: str, subject: str, contract: bytes) -> bytes:
        """Find the ticket of an answer that may be released again."""
        for item in self._spent[_ref(subject)]:
            if (
                (item.bank, item.contract) == (bank, contract)
                and item.inputs == self._inputs(contract)
                # The house stops repeating before the authority does.
                and item.time_ms > self.now_ms + 1_000 - self.limits.window_ms
            ):
                return item.ticket
        return b""

    def _inputs(self, contract: bytes) -> tuple[Input, ...]:
        """Return the newest version of every dataset of a contract."""
        return tuple(
            Input(
                data.dataset,
                self._manifests[data.dataset].version,
                _bytes("leaf", data.dataset),
                self._manifests[data.dataset].row_map_root,
            )
            for data in self._by_hash[contract].datasets
        )

    def _ticket(self, request: Request, signed: Signed, earlier: bytes) -> Signed:
        ticket = Ticket(
            request=request_hash(signed.payload),
            contract=request.contract,
            block=0,
            slot=0,
            inputs=self._inputs(request.contract),
            issued_ms=self.now_ms,
            seed=b"" if earlier else self.fresh(),
            message=b"" if earlier else self.fresh(),
            pads=b"" if earlier else self.fresh(),
            repeat_of=earlier,
        )
        return self.sign(Tag.TICKET, ticket.to_bytes(), "house")

    def _receipt(
        self, signed: Signed, ticket: bytes, earlier: bytes, index: int
    ) -> Signed:
        where = Permit(index, index + 1, _bytes("root"))
        if earlier:
            again = RepeatReceipt(request_hash(signed.payload), ticket, earlier, where)
            return self.sign(Tag.REPEAT_RECEIPT, again.to_bytes(), "authority")
        receipt = Receipt(ticket, self.fresh(), self.fresh(), where)
        return self.sign(Tag.RECEIPT, receipt.to_bytes(), "authority")

    def _both(self, kind: Kind, actor: str, body: bodies.Body) -> None:
        for role in Role:
            self.append(role, kind, actor, body)

    def _opening(self, subject: str) -> Opening:
        opening = Opening(_ref(subject), self.fresh())
        self.openings.append(opening)
        return opening

    @staticmethod
    def pseudonym(role: Role, subject: str) -> bytes:
        """Name a subject inside one node."""
        return _bytes("pseudonym", role, subject)

    def fresh(self) -> bytes:
        """Return 32 bytes that were never there."""
        return _bytes("fresh", str(next(self._numbers)))


def _ref(subject: str) -> bytes:
    return subject.encode().ljust(32, b"\x00")


def _name(subject_ref: bytes) -> str:
    return subject_ref.rstrip(b"\x00").decode()


def _bytes(*words: str) -> bytes:
    return hashlib.sha256(" ".join(words).encode()).digest()
