"""From rows of a registrar's tables to signed consents and events.

`contracts.consent_csv` reads the rows.  What only the registrar's node knows is
checked here, cell by cell, before anything is sent:

* the subject's id is one of its type;
* nothing was granted, and nothing happened, later than now: whoever replays the
  journal would find a consent after its call (GRANTED_AFTER_CALL);
* an id in use is for the very same consent: then the signed document that is kept
  is taken again, salt and all, so that importing a table twice changes nothing;
* a consent that supersedes another does so to one of the same subject that is kept or
  stands above it, and has not ended (`contracts.supersede`);
* an event is of a consent that is kept or in the table, and is allowed by the
  status it then has.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from contracts.consent import (
    DIGEST_BYTES,
    Consent,
    ConsentEvent,
    Own,
    Status,
    check_alone,
    check_registrar,
    next_status,
    quoted,
)
from contracts.consent_batch import MAX_SHAPE, ConsentBatch, cut
from contracts.consent_csv import (
    CONSENT_COLUMNS,
    EVENT_COLUMNS,
    OPTIONAL_COLUMNS,
    SUPERSEDES,
    ConsentRow,
    EventRow,
    Problem,
    check_header,
    consent_rows,
    event_rows,
)
from contracts.decide import Grant
from contracts.errors import ConsentConflict, ContractError, DocumentInvalid
from contracts.subject import (
    SubjectRef,
    SubjectType,
    canonical_id,
    commitment,
    subject_ref,
)
from contracts.supersede import superseded
from node.clock import REQUEST_SKEW_MS
from node.consent_store import ConsentStore, HeldBatch, HeldConsent
from node.errors import TableInvalid
from node.keys import RegistrarKeys
from node.tables import Table
from protocols.call import SALT_BYTES, Opening
from protocols.canon import Tag
from protocols.errors import ProtocolError
from protocols.sign import Signed, sign


class CellRefused(Exception):
    """A cell that only the registrar's node can know to be wrong."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


Alike: TypeAlias = tuple[object, ...]  # what very many rows of a table share


@dataclass(slots=True)
class Group:
    """New consents of one shape, to be signed in batches."""

    shape: Consent
    document: str
    own: list[Own] = field(default_factory=list)
    openings: list[tuple[SubjectRef, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class Prepared:
    """Good rows of the tables, and the documents that they are."""

    kept: list[HeldConsent] = field(default_factory=list)
    alone: list[HeldConsent] = field(default_factory=list)  # new, signed one by one
    groups: dict[Alike, Group] = field(default_factory=dict)  # new, not signed yet
    events: int = 0
    new_events: list[Signed] = field(default_factory=list)
    named: list[str] = field(default_factory=list)  # consents that they are about

    @property
    def new_consents(self) -> int:
        """How many consents were not kept."""
        grouped = sum(len(group.own) for group in self.groups.values())
        return len(self.alone) + grouped

    @property
    def consents(self) -> int:
        """How many rows of consents are good."""
        return len(self.kept) + self.new_consents


class Scribe:
    """Turns rows into signed documents, for one registrar and one moment."""

    def __init__(
        self,
        registrar: str,
        organisations: Mapping[str, str],
        held: RegistrarKeys,
        store: ConsentStore,
        now_ms: int,
    ) -> None:
        self.prepared = Prepared()
        self.registrar = registrar
        self._organisations = organisations
        self._keys = held
        self._store = store
        self._latest_ms = now_ms + REQUEST_SKEW_MS
        self._known: set[str] | None = None  # ids in use, once a table is read
        self._status: dict[str, Status] = {}  # after what these tables say
        self._alone: dict[str, HeldConsent] = {}
        self._grouped: dict[str, tuple[Group, int]] = {}  # and the place in it

    def consent(self, row: ConsentRow, kind: SubjectType) -> None:
        """Make the signed consent of a row, or find it; raises `CellRefused`."""
        ref = self._subject(row, kind)
        if self._store.has(row.consent_id):
            self._kept(row, kind, ref)
            return
        self._check_grantees(row)
        with _cell(row.row, "consent_id"):
            opening = Opening(ref, secrets.token_bytes(SALT_BYTES))
            consent = row.consent(opening.commitment(), kind, self.registrar)
            payload = consent.to_bytes()
        with _cell(row.row, "evidence_kind"):
            check_alone(consent)
        if consent.supersedes:
            with _cell(row.row, SUPERSEDES):
                self._supersede(consent, ref)
        signed = sign(Tag.CONSENT, payload, self._keys.sign)
        held = HeldConsent(consent, signed, opening)
        self.prepared.alone.append(held)
        self.prepared.named.append(row.consent_id)
        self._alone[row.consent_id] = held

    def enter(self, row: ConsentRow, kind: SubjectType) -> None:
        """Put the consent of a row of a table to those that are signed together."""
        if self._known is None:
            self._known = self._store.ids()
        if row.supersedes or row.consent_id in self._known:
            self.consent(row, kind)
            return
        ref = self._subject(row, kind)
        alike = row.alike
        group = self.prepared.groups.get(alike)
        if group is None:
            self._check_grantees(row)
            with _cell(row.row, "consent_id"):
                shape = row.consent(bytes(DIGEST_BYTES), kind, self.registrar).shape
                size = len(shape.to_bytes())
            if size > MAX_SHAPE:
                self.consent(row, kind)
                return
            group = self.prepared.groups[alike] = Group(shape, row.document)
        salt = secrets.token_bytes(SALT_BYTES)
        self._grouped[row.consent_id] = group, len(group.own)
        group.own.append(row.own(commitment(ref, salt)))
        group.openings.append((ref, salt))
        self.prepared.named.append(row.consent_id)

    def sign_groups(self, approver: str) -> Iterator[HeldBatch]:
        """Sign what `enter` has put together, for an operator to approve if named."""
        for group in self.prepared.groups.values():
            openings = iter(group.openings)
            for own in cut(group.own):
                batch = ConsentBatch(group.shape, own, approver, group.document)
                signed = sign(Tag.CONSENT_BATCH, batch.to_bytes(), self._keys.sign)
                refs, salts = zip(*islice(openings, len(own)), strict=True)
                yield HeldBatch(batch, signed, b"".join(refs), b"".join(salts))

    def _check_grantees(self, row: ConsentRow) -> None:
        with _cell(row.row, "grantees"):
            check_registrar(self.registrar, row.grantees, self._organisations)

    def _subject(self, row: ConsentRow, kind: SubjectType) -> SubjectRef:
        column = "subject_id"
        try:
            canonical = canonical_id(kind, row.subject_id)
            ref = subject_ref(self._keys.pepper, kind, canonical)
            column = "granted_at"
            self._refuse_future(row.granted_at_ms)
        except (ContractError, ProtocolError) as error:
            raise _refused(row.row, column, error) from None
        return ref

    def _kept(self, row: ConsentRow, kind: SubjectType, ref: SubjectRef) -> None:
        held = self._store.need(row.consent_id)
        with _cell(row.row, "consent_id"):
            subject = commitment(ref, held.opening.salt)
            again = row.consent(subject, kind, self.registrar)
            if (again, row.document) != (held.consent, held.document):
                raise ConsentConflict(
                    f"{quoted(row.consent_id)} is in use for another consent",
                    "an id is used once; give the new consent a new one",
                )
        self.prepared.kept.append(held)
        self.prepared.named.append(row.consent_id)

    def event(self, row: EventRow) -> None:
        """Make the signed event of a row, or find it; raises `CellRefused`."""
        with _cell(row.row, "at"):
            self._refuse_future(row.at_ms)
        event = row.consent_event(self.registrar)
        if not self._store.has_event(event.to_bytes()):
            self._advance(row, event)
            signed = sign(Tag.CONSENT_EVENT, event.to_bytes(), self._keys.sign)
            self.prepared.new_events.append(signed)
        self.prepared.events += 1
        self.prepared.named.append(row.consent_id)

    def _supersede(self, consent: Consent, ref: SubjectRef) -> None:
        name = consent.supersedes
        old = None
        if name in self._grouped:
            group, place = self._grouped[name]
            consented = group.shape.of(group.own[place])
            old = Grant(consented, self._stands(name), group.openings[place][0])
        elif held := self._alone.get(name) or self._store.find(name):
            old = Grant(held.consent, self._stands(name), held.opening.subject_ref)
        self._status[name] = superseded(consent, ref, old).status

    def _advance(self, row: EventRow, event: ConsentEvent) -> None:
        name = event.consent_id
        with _cell(row.row, "consent_id"):
            new = name in self._grouped or name in self._alone
            if not new and not self._store.has(name):
                raise ConsentConflict(
                    f"there is no consent {quoted(name)}",
                    "import the consents together with their events",
                )
        with _cell(row.row, "event"):
            self._status[name] = next_status(self._stands(name), event.event)

    def _stands(self, name: str) -> Status:
        return self._status.get(name) or self._store.status(name)

    def _refuse_future(self, time_ms: int) -> None:
        if time_ms > self._latest_ms:
            raise DocumentInvalid("expected a time that has passed")


def read_consents(path: Path, scribe: Scribe, kind: SubjectType) -> list[Problem]:
    """Prepare the good rows of a table of consents; return what is wrong.

    Raises `TableInvalid` where it is no table of consents.
    """
    rows = _rows(path, CONSENT_COLUMNS, OPTIONAL_COLUMNS)
    report = consent_rows(rows, scribe.registrar)
    problems = list(report.problems)
    for row in report.rows:
        try:
            scribe.enter(row, kind)
        except CellRefused as refused:
            problems.append(refused.problem)
    return sorted(problems, key=lambda problem: problem.row)


def read_events(path: Path, scribe: Scribe) -> list[Problem]:
    """Prepare the good rows of a table of events; return what is wrong."""
    report = event_rows(_rows(path, EVENT_COLUMNS))
    problems = list(report.problems)
    for row in report.rows:
        try:
            scribe.event(row)
        except CellRefused as refused:
            problems.append(refused.problem)
    return sorted(problems, key=lambda problem: problem.row)


def _rows(
    path: Path, expected: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[dict[str, str]]:
    with Table.open(path) as table:
        try:
            check_header(table.columns, expected, optional)
        except DocumentInvalid as error:
            raise TableInvalid(f"`{path.name}`: {error}", error.hint) from None
        for batch in table.read(table.columns):
            for cells in zip(*batch.cells, strict=True):
                row = zip(table.columns, cells, strict=True)
                if None in cells:
                    yield {name: cell for name, cell in row if cell is not None}
                else:
                    yield dict(row)


@contextmanager
def _cell(row: int, column: str) -> Iterator[None]:
    try:
        yield
    except (ContractError, ProtocolError) as error:
        raise _refused(row, column, error) from None


def _refused(
    row: int, column: str, error: ContractError | ProtocolError
) -> CellRefused:
    message = str(error).removeprefix(f"`{column}`: ")
    return CellRefused(Problem(row, column, message, error.hint))
