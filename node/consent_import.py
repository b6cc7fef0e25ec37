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
from pathlib import Path

from contracts.consent import (
    Consent,
    ConsentEvent,
    Status,
    check_registrar,
    next_status,
    quoted,
)
from contracts.consent_csv import (
    CONSENT_COLUMNS,
    EVENT_COLUMNS,
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
from contracts.subject import SubjectRef, SubjectType, canonical_id, subject_ref
from contracts.supersede import superseded
from node.clock import REQUEST_SKEW_MS
from node.consent_store import ConsentStore, HeldConsent
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


@dataclass(slots=True)
class Prepared:
    """Signed documents, in the order of the tables; those marked new are not kept."""

    consents: list[HeldConsent] = field(default_factory=list)
    events: list[Signed] = field(default_factory=list)
    new_consents: list[HeldConsent] = field(default_factory=list)
    new_events: list[Signed] = field(default_factory=list)


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
        self._status: dict[str, Status] = {}  # of consents in these tables
        self._new: dict[str, HeldConsent] = {}

    def consent(self, row: ConsentRow, kind: SubjectType) -> HeldConsent:
        """Make the signed consent of a row, or find it; raises `CellRefused`."""
        with _cell(row.row, "subject_id"):
            canonical = canonical_id(kind, row.subject_id)
        ref = subject_ref(self._keys.pepper, kind, canonical)
        with _cell(row.row, "grantees"):
            check_registrar(self.registrar, row.grantees, self._organisations)
        with _cell(row.row, "granted_at"):
            self._refuse_future(row.granted_at_ms)
        with _cell(row.row, "consent_id"):
            kept = self._store.find(row.consent_id)
            salt = (
                secrets.token_bytes(SALT_BYTES) if kept is None else kept.opening.salt
            )
            opening = Opening(ref, salt)
            consent = row.consent(opening.commitment(), kind, self.registrar)
            payload = consent.to_bytes()
            if kept is not None and kept.signed.payload != payload:
                raise ConsentConflict(
                    f"{quoted(row.consent_id)} is in use for another consent",
                    "an id is used once; give the new consent a new one",
                )
        if kept is None:
            if consent.supersedes:
                with _cell(row.row, SUPERSEDES):
                    self._supersede(consent, ref)
            signed = sign(Tag.CONSENT, payload, self._keys.sign)
            kept = HeldConsent(signed, opening)
            self.prepared.new_consents.append(kept)
            self._new[row.consent_id] = kept
        self.prepared.consents.append(kept)
        self._status.setdefault(row.consent_id, self._store.status(row.consent_id))
        return kept

    def event(self, row: EventRow) -> Signed:
        """Make the signed event of a row, or find it; raises `CellRefused`."""
        with _cell(row.row, "at"):
            self._refuse_future(row.at_ms)
        event = row.consent_event(self.registrar)
        kept = self._store.event(event.to_bytes())
        if kept is None:
            self._advance(row, event)
            kept = sign(Tag.CONSENT_EVENT, event.to_bytes(), self._keys.sign)
            self.prepared.new_events.append(kept)
        self.prepared.events.append(kept)
        return kept

    def _supersede(self, consent: Consent, ref: SubjectRef) -> None:
        name = consent.supersedes
        held = self._new.get(name) or self._store.find(name)
        old = None
        if held is not None:
            status = self._status.get(name) or self._store.status(name)
            old = Grant(held.consent, status, held.opening.subject_ref)
        self._status[name] = superseded(consent, ref, old).status

    def _advance(self, row: EventRow, event: ConsentEvent) -> None:
        name = event.consent_id
        if name not in self._status:
            with _cell(row.row, "consent_id"):
                if self._store.find(name) is None:
                    raise ConsentConflict(
                        f"there is no consent {quoted(name)}",
                        "import the consents together with their events",
                    )
            self._status[name] = self._store.status(name)
        with _cell(row.row, "event"):
            self._status[name] = next_status(self._status[name], event.event)

    def _refuse_future(self, time_ms: int) -> None:
        if time_ms > self._latest_ms:
            raise DocumentInvalid("expected a time that has passed")


def read_consents(path: Path, scribe: Scribe, kind: SubjectType) -> list[Problem]:
    """Prepare the good rows of a table of consents; return what is wrong.

    Raises `TableInvalid` where it is no table of consents.
    """
    rows = _rows(path, CONSENT_COLUMNS, (SUPERSEDES,))
    report = consent_rows(rows, scribe.registrar)
    problems = list(report.problems)
    for row in report.rows:
        try:
            scribe.consent(row, kind)
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
                yield {name: cell for name, cell in row if cell is not None}


@contextmanager
def _cell(row: int, column: str) -> Iterator[None]:
    try:
        yield
    except (ContractError, ProtocolError) as error:
        message = str(error).removeprefix(f"`{column}`: ")
        raise CellRefused(Problem(row, column, message, error.hint)) from None
