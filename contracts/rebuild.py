"""The state of a node, rebuilt from its journal for a replay.

`Consents`, `Contracts` and `Spending` hold what house and authority hold in
their stores, in memory, fed only by journal entries in order.  A step that the
state does not allow raises a `ContractError` and changes nothing; a document
that is not in its format raises `FormatError`.

`Pins` verifies signatures, where an auditor has the trust domain at hand, and
that who signed may sign such a document: a bank that signs the consents to its
own calls is a party of the trust domain, too.  Only then are the documents of
calls and consents, of which there are many, held to their canonical bytes: that
costs more than the whole replay, and who edits a document whose signature nobody
verifies can as well write it canonically.
"""

import json
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from contracts import bodies, kinds
from contracts.attributes import AttributeTable
from contracts.basis import STRICT, Bases
from contracts.compiled import Compiled
from contracts.consent import (
    Consent,
    ConsentEvent,
    Status,
    check_alone,
    check_registrar,
    ended,
    next_status,
    version_of,
)
from contracts.consent_batch import BatchApproval, ConsentBatch
from contracts.contract import Contract, custodians
from contracts.dataset import Dataset
from contracts.decide import Data, Grant, Limits, Quota, Terms, Usage
from contracts.errors import ConsentConflict, DocumentInvalid
from contracts.lifecycle import (
    Activation,
    Approval,
    Retirement,
    Stage,
    Submission,
)
from contracts.supersede import superseded
from protocols.blocks import Manifest
from protocols.canon import Json, Reader, Tag, loads
from protocols.errors import FormatError, SignatureInvalid
from protocols.rowmap import RowMap
from protocols.sign import Signed, key_id, verify

# What was signed in time is journalled at once, or when the other node is back.
LATE_MS: Final = 600_000

_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Standing:
    """What the trust domain says of parties besides their keys."""

    registers: Mapping[str, str] = field(default_factory=dict)  # custodians by type
    classes: bodies.Classes | None = None  # who is in which now
    since_ms: int = 0  # when the trust domain was made
    serials: tuple[bytes, ...] = ()  # hashes of all of them, this one last
    # Of keys that were replaced, by id: callers sign nothing with them after this.
    ended: Mapping[str, int] = field(default_factory=dict)
    bases: bodies.BasisRule | None = None  # which legal bases are accepted now


class Pins:
    """Verifies against the pinned keys of the parties, or, without, nothing."""

    def __init__(
        self,
        keys: Mapping[str, Sequence[Ed25519PublicKey]] | None = None,
        signers: Mapping[Tag, Collection[str]] | None = None,
        standing: Standing | None = None,
    ) -> None:
        """Take public keys by party id; an empty mapping trusts nobody.

        `signers` says who may sign what; without it, whoever is named.
        Without `standing`, whoever puts the first map of a type is in charge of it.
        """
        self.standing = standing
        self.at_ms = 0  # when what is verified was journalled
        self.given = keys is not None
        self._signers = signers
        self._keys = {
            key_id(key): (party, key)
            for party, known in (keys or {}).items()
            for key in known
        }

    def verify(self, tag: Tag, signed: Signed, party: str = "") -> None:
        """Verify a document of `party`, or of any; raises `SignatureInvalid`."""
        if not self.given:
            return
        signer, key = self._keys.get(signed.key_id, ("", None))
        if key is None:
            raise SignatureInvalid(f"signed by unknown key `{signed.key_id}`")
        if party and signer != party:
            raise SignatureInvalid(f"signed by `{signer}`, not by `{party}`")
        ended = self.standing.ended if self.standing else {}
        if self.at_ms > ended.get(signed.key_id, self.at_ms) + LATE_MS:
            raise SignatureInvalid(f"signed by key `{signed.key_id}`, which has ended")
        if self._signers is not None and signer not in self._signers.get(tag, ()):
            raise SignatureInvalid(f"`{signer}` signs no `{tag.value}`")
        verify(tag, signed, [key])

    def read(self, payload: bytes, version: str) -> dict[str, Json]:
        """Return the members of a document, without `v`; raises `FormatError`."""
        document: object
        if self.given:
            document = loads(payload, version)
        else:
            try:
                document = _DECODER.decode(payload.decode())
            except (ValueError, RecursionError):
                raise FormatError("not JSON") from None
        if not isinstance(document, dict) or document.pop("v", None) != version:
            raise FormatError(f"expected a document of version `{version}`")
        return document


@dataclass(slots=True)
class ConsentState:
    """A consent and what was done under it."""

    grant: Grant
    uses: int = 0
    recent: deque[int] = field(default_factory=deque)  # times, if they are limited


class Consents:
    """The register of consents."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        self._states: dict[str, ConsentState] = {}
        self._classes = bodies.NO_CLASSES
        self._erased: set[bytes] = set()  # names of subjects
        self._pending: dict[bytes, tuple[str, tuple[str, ...]]] = {}  # batches

    def find(self, consent_id: str) -> ConsentState | None:
        """Find a consent as it stands."""
        state = self._states.get(consent_id)
        if state is not None and state.grant.subject in self._erased:
            status = ended(state.grant.status)
            state.grant = replace(state.grant, status=status)
        known = self._classes.serial > 0  # else no class has a member
        if known and state is not None and state.grant.consent.classes:
            members = self._classes.members(state.grant.consent)
            state.grant = replace(state.grant, members=members)
        return state

    def classes(self, body: bodies.Classes) -> None:
        """Enter who is in which class, and whose the parties are, from now on.

        Of the serial at hand they are the trust domain's; of an earlier one they are
        believed, and the other node's journal has to say the same (`cross_check`).
        """
        pinned = (self._pins.standing or Standing()).classes
        if pinned is not None and body.serial > pinned.serial:
            raise DocumentInvalid(
                f"classes of serial {body.serial}, the trust domain at hand is of"
                f" serial {pinned.serial}"
            )
        if pinned is not None and body.serial == pinned.serial and body != pinned:
            raise DocumentInvalid("the classes are not those of the trust domain")
        if body.serial <= self._classes.serial:
            raise DocumentInvalid("the serial of the classes does not rise")
        self._classes = body

    def erase(self, subject: bytes) -> None:
        """End all consents of a subject, which is erased."""
        if subject in self._erased:
            raise ConsentConflict("its subject was erased before")
        self._erased.add(subject)

    def _check_living(self, subjects: Iterable[bytes]) -> None:
        if not self._erased.isdisjoint(subjects):
            raise ConsentConflict("its subject was erased before it")

    def grant(self, body: bodies.Grant) -> Consent:
        """Enter a consent."""
        self._check_living([body.subject])
        payload = body.signed.payload
        version = version_of(payload)
        consent = Consent.read(Reader(self._pins.read(payload, version)), version)
        self._pins.verify(Tag.CONSENT, body.signed, consent.registrar)
        check_alone(consent)
        whose = self._classes.organisations
        check_registrar(consent.registrar, consent.grantees, whose)
        if consent.consent_id in self._states:
            raise ConsentConflict(f"consent `{consent.consent_id}` is there already")
        if consent.supersedes:
            old = self.find(consent.supersedes)
            grant = superseded(consent, body.subject, old.grant if old else None)
            self._states[consent.supersedes].grant = grant
        self._states[consent.consent_id] = ConsentState(
            Grant(consent, Status.ACTIVE, body.subject)
        )
        return consent

    def batch(self, body: bodies.Batch) -> ConsentBatch:
        """Enter many consents, all or none."""
        self._check_living(body.subjects)
        batch = ConsentBatch.parse(body.signed.payload)
        shape, whose = batch.shape, self._classes.organisations
        self._pins.verify(Tag.CONSENT_BATCH, body.signed, shape.registrar)
        check_registrar(shape.registrar, shape.grantees, whose)
        own = whose.get(shape.registrar, shape.registrar)
        if batch.approver and whose.get(batch.approver, batch.approver) != own:
            raise DocumentInvalid(
                f"`{batch.approver}` is not of the organisation of `{shape.registrar}`"
            )
        if len(body.subjects) != len(batch.own):
            raise DocumentInvalid("as many subjects as consents are named")
        for name, *_ in batch.own:
            if name in self._states:
                raise ConsentConflict(f"consent `{name}` is there already")
        for consent, subject in zip(batch.consents(), body.subjects, strict=True):
            self._states[consent.consent_id] = ConsentState(
                Grant(consent, Status.ACTIVE, subject, pending=bool(batch.approver))
            )
        if batch.approver:
            names = tuple(name for name, *_ in batch.own)
            self._pending[batch.name] = batch.approver, names
        return batch

    def approve(self, body: bodies.BatchApproval) -> None:
        """Enter a second operator's word for a batch."""
        approval = BatchApproval.parse(body.signed.payload)
        self._pins.verify(Tag.CONSENT_APPROVAL, body.signed, approval.approver)
        approver, names = self._pending.get(approval.batch, ("", ()))
        if approver != approval.approver:
            raise ConsentConflict(
                f"no import waits for the approval of `{approval.approver}`"
            )
        del self._pending[approval.batch]
        for name in names:
            state = self._states[name]
            state.grant = replace(state.grant, pending=False)

    def event(self, body: bodies.Event) -> None:
        """Enter what happened to a consent."""
        event = ConsentEvent.parse(body.signed.payload)
        self._pins.verify(Tag.CONSENT_EVENT, body.signed, event.registrar)
        state = self.find(event.consent_id)
        if state is None:
            raise ConsentConflict(f"no consent `{event.consent_id}` before it")
        if state.grant.consent.registrar != event.registrar:
            raise ConsentConflict(
                f"`{event.registrar}` is not the registrar of `{event.consent_id}`"
            )
        status = next_status(state.grant.status, event.event)
        state.grant = replace(state.grant, status=status)


@dataclass(slots=True)
class ContractState:
    """A contract and who has spoken for it."""

    terms: Terms
    contract: Contract
    author: str
    custodians: frozenset[str]
    approved: set[str] = field(default_factory=set)


class Contracts:
    """The register of datasets, their versions, and contracts."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        self._states: dict[bytes, ContractState] = {}
        self._datasets: dict[str, Dataset] = {}
        self._manifests: dict[str, Manifest] = {}
        self._attributes: dict[str, AttributeTable] = {}  # newest, by subject type
        self._maps: dict[str, dict[int, RowMap]] = {}  # by subject type and version
        self._bases = bodies.STRICT_RULE

    def bases(self, body: bodies.BasisRule) -> None:
        """Enter which legal bases are accepted from now on, as `Consents.classes`."""
        pinned = (self._pins.standing or Standing()).bases
        if pinned is not None and body.serial > pinned.serial:
            raise DocumentInvalid(
                f"bases of serial {body.serial}, the trust domain at hand is of serial"
                f" {pinned.serial}"
            )
        if pinned is not None and body.serial == pinned.serial and body != pinned:
            raise DocumentInvalid("the bases are not those of the trust domain")
        if body.serial <= self._bases.serial:
            raise DocumentInvalid("the serial of the bases does not rise")
        rule = body.rule
        self._bases = body
        for state in self._states.values():
            state.terms = replace(state.terms, bases=rule)

    def terms(self, contract: bytes) -> Terms | None:
        """Find the terms of a contract, with its stage and the bases as they stand."""
        state = self._states.get(contract)
        return None if state is None else state.terms

    def compiled(self, contract: bytes) -> Compiled | None:
        """Find the integers of a contract that runs over a block of slots."""
        state = self._states.get(contract)
        found = None if state is None else state.contract
        return found if isinstance(found, Compiled) else None

    def contract(self, contract: bytes) -> Contract | None:
        """Find a contract of any kind, as its text compiles."""
        state = self._states.get(contract)
        return None if state is None else state.contract

    def dataset(self, name: str) -> Dataset | None:
        """Find a registered dataset."""
        return self._datasets.get(name)

    def newest(self, dataset: str) -> Manifest | None:
        """Return the newest version that was pushed."""
        return self._manifests.get(dataset)

    def row_map(self, subject_type: str, version: int) -> RowMap | None:
        """Find a version of the map from subjects to slots."""
        return self._maps.get(subject_type, {}).get(version)

    def register(self, body: bodies.Register) -> None:
        """Enter a dataset's schema."""
        dataset = Dataset.from_bytes(body.signed.payload)
        self._pins.verify(Tag.DATASET_REGISTRATION, body.signed, dataset.custodian)
        if (
            body.schema.encode() != body.signed.payload
            or body.dataset != dataset.name
            or body.schema_hash != dataset.schema_hash
        ):
            raise DocumentInvalid("the custodian signed another schema")
        if self._datasets.setdefault(dataset.name, dataset) != dataset:
            raise DocumentInvalid(f"dataset `{dataset.name}` has another schema")

    def directory(self, body: bodies.Directory) -> None:
        """Enter a version of the directory."""
        row_map = RowMap.parse(body.signed.payload)
        self._pins.verify(Tag.MAP, body.signed, row_map.custodian)
        if (
            body.subject_type != row_map.subject_type
            or body.version != row_map.version
            or body.rows != row_map.rows
            or body.blocks != row_map.blocks
            or body.row_map_root != row_map.root
        ):
            raise DocumentInvalid("the custodian signed another map")
        versions = self._maps.setdefault(row_map.subject_type, {})
        expected = len(versions) + 1
        if row_map.version != expected:
            raise DocumentInvalid(
                f"expected version {expected} of the map of"
                f" `{row_map.subject_type}`, got {row_map.version}"
            )
        self._check_charge(row_map.subject_type, row_map.custodian)
        first = versions.get(1, row_map)
        if (row_map.custodian, row_map.slots) != (first.custodian, first.slots):
            raise DocumentInvalid(
                f"the map of `{row_map.subject_type}` is in the charge of"
                f" `{first.custodian}`, with {first.slots} slots a block"
            )
        if row_map.rows < versions.get(expected - 1, row_map).rows:
            raise DocumentInvalid("the map takes slots away")
        versions[row_map.version] = row_map

    def _check_charge(self, kind: str, custodian: str) -> None:
        """Refuse a map, or what is numbered by it, of another than who keeps it."""
        if self._pins.standing is not None:
            named = self._pins.standing.registers.get(kind, "")
            if custodian != named:
                raise DocumentInvalid(
                    f"the map of `{kind}` is in the charge of `{named}`, not of"
                    f" `{custodian}`"
                )

    def attributes(self, body: bodies.Attributes) -> None:
        """Enter a version of the public attributes of a subject type."""
        table = AttributeTable.parse(body.signed.payload)
        self._pins.verify(Tag.ATTRIBUTES, body.signed, table.custodian)
        if (body.subject_type, body.version) != (table.subject_type, table.version):
            raise DocumentInvalid("the custodian signed other attributes")
        self._check_charge(table.subject_type, table.custodian)
        newest = self._attributes.get(table.subject_type)
        expected = 1 if newest is None else newest.version + 1
        if table.version != expected:
            raise DocumentInvalid(
                f"expected version {expected} of the attributes of"
                f" `{table.subject_type}`, got {table.version}"
            )
        if newest is not None and newest.custodian != table.custodian:
            raise DocumentInvalid(
                f"the attributes of `{table.subject_type}` are in the charge of"
                f" `{newest.custodian}`"
            )
        self._attributes[table.subject_type] = table

    def push(self, body: bodies.Push) -> None:
        """Enter a version of a dataset."""
        manifest = Manifest.parse(body.manifest.payload)
        self._pins.verify(Tag.MANIFEST, body.manifest, manifest.custodian)
        if (
            body.dataset != manifest.dataset
            or body.version != manifest.version
            or body.ciphertext_root != manifest.ciphertext_root
        ):
            raise DocumentInvalid("the custodian signed another push")
        dataset = self._datasets.get(manifest.dataset)
        if (
            dataset is None
            or manifest.custodian != dataset.custodian
            or manifest.schema_hash != dataset.schema_hash
        ):
            raise DocumentInvalid(
                f"no dataset `{manifest.dataset}` of `{manifest.custodian}`"
                " with this schema"
            )
        newest = self._manifests.get(manifest.dataset)
        expected = 1 if newest is None else newest.version + 1
        if manifest.version != expected:
            raise DocumentInvalid(
                f"expected version {expected} of `{manifest.dataset}`,"
                f" got {manifest.version}"
            )
        self._manifests[manifest.dataset] = manifest

    def submit(self, body: bodies.Submit) -> None:
        """Enter a contract, compiled anew from its author's text."""
        submission = Submission.parse(body.signed.payload)
        self._pins.verify(Tag.CONTRACT_SUBMISSION, body.signed, submission.author)
        compiled = kinds.parse(body.compiled.encode())
        if not compiled.hash == submission.contract == body.hash:
            raise DocumentInvalid("the author signed another contract")
        if compiled.author != submission.author:
            raise DocumentInvalid(f"`{submission.author}` is not the contract's author")
        written = kinds.read(submission.source, "contract.yaml")
        if written.compile(self._datasets) != compiled:
            raise DocumentInvalid("the contract is not what its text compiles to")
        if body.hash in self._states:
            raise DocumentInvalid(f"contract {body.hash.hex()} is there already")
        self._states[body.hash] = ContractState(
            terms_of(
                compiled,
                Stage.SUBMITTED,
                {name: dataset.category for name, dataset in self._datasets.items()},
                self._bases.rule,
            ),
            compiled,
            compiled.author,
            frozenset(custodians(compiled.datasets)),
        )

    def approve(self, body: bodies.Approve) -> None:
        """Enter a custodian's approval."""
        approval = Approval.parse(body.signed.payload)
        state = self._stated(body.hash, approval.contract)
        self._pins.verify(Tag.APPROVAL, body.signed, body.custodian)
        if approval.party != body.custodian or approval.party not in state.custodians:
            raise DocumentInvalid(
                f"`{approval.party}` is not a custodian of contract {body.hash.hex()}"
            )
        state.approved.add(approval.party)

    def activate(self, body: bodies.Activate) -> None:
        """Put a contract in force, if every custodian has approved it."""
        activation = Activation.parse(body.signed.payload)
        state = self._stated(body.hash, activation.contract)
        self._pins.verify(Tag.ACTIVATION, body.signed, activation.party)
        if activation.party != state.author:
            raise DocumentInvalid(f"`{activation.party}` is not the author")
        if state.terms.stage is Stage.RETIRED:
            raise DocumentInvalid("a retired contract stays retired")
        missing = sorted(state.custodians - state.approved)
        if missing or not state.custodians:
            raise DocumentInvalid("not approved by " + ", ".join(missing))
        state.terms = replace(state.terms, stage=Stage.ACTIVE)

    def retire(self, body: bodies.Retire) -> None:
        """Take a contract out of force."""
        retirement = Retirement.parse(body.signed.payload)
        state = self._stated(body.hash, retirement.contract)
        self._pins.verify(Tag.RETIREMENT, body.signed, retirement.party)
        if retirement.party not in {state.author, *state.custodians}:
            raise DocumentInvalid(f"`{retirement.party}` may not retire it")
        state.terms = replace(state.terms, stage=Stage.RETIRED)

    def _stated(self, named: bytes, signed: bytes) -> ContractState:
        if named != signed:
            raise DocumentInvalid("the signed step is about another contract")
        state = self._states.get(named)
        if state is None:
            raise DocumentInvalid(f"no contract {named.hex()} before it")
        return state


class Asker(NamedTuple):
    """Whom an answer went to, and about what."""

    bank: str
    subject: bytes  # the node's pseudonym
    contract: bytes


class Spending:
    """What permits have used and revealed; they count as released."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._spent: dict[bytes, deque[tuple[int, int, Asker]]] = {}
        self._answers: dict[tuple[bytes, str], deque[int]] = {}

    def usage(
        self,
        asker: Asker,
        state: ConsentState | None,
        now_ms: int,
        counted: Quota | None = None,
    ) -> Usage:
        """Count what was used and revealed before now."""
        answers = self._counted(asker, counted, now_ms)
        by_bank = by_all = by_contract = 0
        spent = self._spent.get(asker.subject)
        if spent is not None:
            while spent and now_ms - spent[0][0] >= self._limits.window_ms:
                spent.popleft()
            for _, millibits, earlier in spent:
                by_all += millibits
                if earlier.bank == asker.bank:
                    by_bank += millibits
                    if earlier.contract == asker.contract:
                        by_contract += millibits
        if state is None:
            return Usage(0, 0, by_bank, by_all, by_contract, answers)
        frequency = state.grant.consent.frequency
        if frequency is not None:
            while state.recent and now_ms - state.recent[0] >= frequency.window_ms:
                state.recent.popleft()
        recent = len(state.recent)
        return Usage(state.uses, recent, by_bank, by_all, by_contract, answers)

    def _counted(self, asker: Asker, counted: Quota | None, now_ms: int) -> int:
        if counted is None:
            return 0
        answers = self._answers.get((asker.subject, counted.name), deque())
        while answers and now_ms - answers[0] >= counted.window_ms:
            answers.popleft()
        return len(answers)

    def permit(
        self,
        asker: Asker,
        state: ConsentState | None,
        millibits: int,
        now_ms: int,
        counted: Quota | None = None,
    ) -> None:
        """Count a permit, and an answer of a quota unless it is a repeat."""
        if millibits and counted is not None:
            key = asker.subject, counted.name
            self._answers.setdefault(key, deque()).append(now_ms)
        if millibits:
            spent = self._spent.setdefault(asker.subject, deque())
            spent.append((now_ms, millibits, asker))
        if state is not None:
            state.uses += 1
            if state.grant.consent.frequency is not None:
                state.recent.append(now_ms)


def terms_of(
    compiled: Contract,
    stage: Stage,
    categories: Mapping[str, str],
    bases: Bases = STRICT,
) -> Terms:
    """Return what `decide` has to know of a contract.

    `categories` are by dataset, `bases` those that the trust domain accepts.
    """
    return Terms(
        contract=compiled.hash,
        contract_id=compiled.id,
        purpose=compiled.purpose,
        banks=compiled.banks,
        datasets=tuple(
            Data(used.id, used.tier, categories.get(used.id, ""))
            for used in compiled.datasets
        ),
        millibits=compiled.millibits,
        limit_millibits=compiled.limit_millibits,
        stage=stage,
        kind=compiled.kind,
        batch=isinstance(compiled, Compiled) and compiled.batch,
        attribute=compiled.attribute if isinstance(compiled, Compiled) else "",
        bases=bases,
    )
