"""Consents and events from the rows of a CSV file, as registrars keep them.

A registrar that gathers authorisations on paper keeps a table.  Its columns::

    consent_id, subject_id, grantees(;), purposes(;), scope(;), not_before,
    not_after, max_uses (a number or `unlimited`), frequency (`10/30d` or
    nothing), separate (true, false), evidence_kind, evidence_digest, granted_at

with or without a column ``supersedes`` (the id of the consent that a row replaces,
which stands above it or was registered before, or nothing) and a column ``document``
(the number of the order, where `evidence_kind` is `statutory`), and for what happened
afterwards ``consent_id, event, at, reason``.  Times are ISO 8601 in the profile of
RFC 3339, at most milliseconds, **with a zone**: an hour that depends on who reads it
is no evidence.

Nothing is dropped silently.  `Report` holds the good rows and a `Problem` for
every bad cell, with its row as a spreadsheet numbers it (the header is row 1)
and its column; whether the good rows go in without the bad ones is the
caller's choice.  A `subject_id` is still plain here: it is never shown in a
problem, and the registrar's node turns it into a commitment.

>>> row = dict.fromkeys(EVENT_COLUMNS, "") | {"consent_id": "c-1", "at": "2026-01-01"}
>>> for problem in event_rows([row]).problems:
...     print(problem)
row 2, column `event`: expected one of `suspend`, `resume`, `withdraw`, \
`invalidate`, got ``
row 2, column `at`: expected a time with a zone, got `2026-01-01`
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Generic, TypeVar

from contracts.consent import (
    Consent,
    ConsentEvent,
    Event,
    Evidence,
    Frequency,
    Own,
    check_document,
    check_evidence,
    check_granted,
    check_grantees,
    check_period,
    check_reason,
    check_registrar,
    check_scope,
    check_supersedes,
    check_word,
    check_words,
    quoted,
    read_event,
    read_evidence,
    read_frequency,
    read_uses,
)
from contracts.errors import DocumentInvalid
from contracts.subject import SubjectType

CONSENT_COLUMNS: Final = (
    "consent_id",
    "subject_id",
    "grantees",
    "purposes",
    "scope",
    "not_before",
    "not_after",
    "max_uses",
    "frequency",
    "separate",
    "evidence_kind",
    "evidence_digest",
    "granted_at",
)
SUPERSEDES: Final = "supersedes"
DOCUMENT: Final = "document"
OPTIONAL_COLUMNS: Final = (SUPERSEDES, DOCUMENT)  # may be left out
EVENT_COLUMNS: Final = ("consent_id", "event", "at", "reason")

FIRST_ROW = 2  # the header is row 1

_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})",
    re.ASCII,
)
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_ALIKE = (
    "grantees",
    "purposes",
    "scope",
    "max_uses",
    "frequency",
    "separate",
    "evidence_kind",
    DOCUMENT,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one cell."""

    row: int
    column: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"row {self.row}, column `{self.column}`: {self.message}"


@dataclass(frozen=True, slots=True)
class Report(Generic[_T]):
    """What a file held: the good rows, and every problem of the bad ones."""

    rows: tuple[_T, ...]
    problems: tuple[Problem, ...]

    @property
    def bad_rows(self) -> tuple[int, ...]:
        """The numbers of the rows that have a problem, each once."""
        return tuple(dict.fromkeys(problem.row for problem in self.problems))


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """A consent whose subject is still named by its plain id."""

    row: int
    consent_id: str
    subject_id: str = field(repr=False)
    grantees: tuple[str, ...]
    purposes: tuple[str, ...]
    scope: tuple[str, ...]
    not_before_ms: int
    not_after_ms: int
    max_uses: int | None
    frequency: Frequency | None
    separate: bool
    evidence_kind: Evidence
    evidence_digest: bytes
    granted_at_ms: int
    supersedes: str = ""
    document: str = ""

    @property
    def alike(self) -> tuple[object, ...]:
        """What very many rows have in common: what the shape of the consent is of."""
        return (
            self.grantees,
            self.purposes,
            self.scope,
            self.max_uses,
            self.frequency,
            self.separate,
            self.evidence_kind,
            len(self.evidence_digest),
            self.document,
        )

    def own(self, subject: bytes) -> Own:
        """Return what the consent has of its own (`Consent.own`)."""
        return (
            self.consent_id,
            subject,
            self.evidence_digest,
            self.not_before_ms,
            self.not_after_ms,
            self.granted_at_ms,
        )

    def consent(
        self, subject: bytes, subject_type: SubjectType, registrar: str
    ) -> Consent:
        """Make the document, with the commitment to the subject in its place."""
        return Consent(
            consent_id=self.consent_id,
            subject=subject,
            subject_type=subject_type,
            grantees=self.grantees,
            purposes=self.purposes,
            scope=self.scope,
            not_before_ms=self.not_before_ms,
            not_after_ms=self.not_after_ms,
            max_uses=self.max_uses,
            frequency=self.frequency,
            separate=self.separate,
            evidence_kind=self.evidence_kind,
            evidence_digest=self.evidence_digest,
            granted_at_ms=self.granted_at_ms,
            registrar=registrar,
            supersedes=self.supersedes,
        )


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event, before the registrar's name is put to it."""

    row: int
    consent_id: str
    event: Event
    at_ms: int
    reason: str

    def consent_event(self, registrar: str) -> ConsentEvent:
        """Make the document."""
        return ConsentEvent(
            self.consent_id, self.event, self.at_ms, self.reason, registrar
        )


def check_header(
    columns: Iterable[str], expected: tuple[str, ...], optional: tuple[str, ...] = ()
) -> None:
    """Refuse a header with a missing, unknown or repeated column.

    The order is free; those that are `optional` may be missing.  Raises
    `DocumentInvalid`.
    """
    got = list(columns)
    for column in expected:
        if column not in got:
            raise DocumentInvalid(
                f"missing column `{column}`", "expected " + ",".join(expected)
            )
    for number, column in enumerate(got):
        if column not in (*expected, *optional):
            raise DocumentInvalid(
                f"unknown column {quoted(column)}", "expected " + ",".join(expected)
            )
        if column in got[:number]:
            raise DocumentInvalid(f"column `{column}` is there twice")


def consent_rows(
    rows: Iterable[Mapping[str, str]], registrar: str
) -> Report[ConsentRow]:
    """Read the rows below a header; `registrar` is who will sign them."""
    good: list[ConsentRow] = []
    problems: list[Problem] = []
    first: dict[str, int] = {}
    alike: dict[tuple[str | None, ...], ConsentRow] = {}  # by the cells they share
    for number, row in enumerate(rows, FIRST_ROW):
        shared = tuple(map(row.get, _ALIKE))
        model = alike.get(shared)
        like = None if model is None else _like(model, number, row)
        if like is not None and first.setdefault(like.consent_id, number) == number:
            good.append(like)
            continue
        cells = _Cells(number, row, (*CONSENT_COLUMNS, *OPTIONAL_COLUMNS))
        consent = _consent(cells, registrar, row)
        if not cells.problems:
            alike.setdefault(shared, consent)
        seen = first.setdefault(consent.consent_id, number)
        if consent.consent_id and seen != number:
            cells.refuse(
                "consent_id", f"{quoted(consent.consent_id)} is already in row {seen}"
            )
        problems += cells.problems
        if not cells.problems:
            good.append(consent)
    return Report(tuple(good), tuple(problems))


def event_rows(rows: Iterable[Mapping[str, str]]) -> Report[EventRow]:
    """Read the rows of events below a header, in the order of the file."""
    good: list[EventRow] = []
    problems: list[Problem] = []
    first: dict[tuple[str, Event, int], int] = {}
    for number, row in enumerate(rows, FIRST_ROW):
        cells = _Cells(number, row, EVENT_COLUMNS)
        event = EventRow(
            row=number,
            consent_id=cells.read("consent_id", _consent_id, ""),
            event=cells.read("event", read_event, Event.SUSPEND),
            at_ms=cells.read("at", read_time, 0),
            reason=cells.read("reason", _reason, ""),
        )
        if not cells.problems:
            key = (event.consent_id, event.event, event.at_ms)
            seen = first.setdefault(key, number)
            if seen != number:
                cells.refuse("consent_id", f"the same event is already in row {seen}")
        problems += cells.problems
        if not cells.problems:
            good.append(event)
    return Report(tuple(good), tuple(problems))


@lru_cache(maxsize=4096)  # forms are signed on the same days
def read_time(text: str) -> int:
    """Read ISO 8601 with a zone as milliseconds since 1970; at most 3 decimals.

    >>> read_time("2026-01-01T08:00:00+08:00") == read_time("2026-01-01 00:00Z")
    True
    """
    if not _TIME.fullmatch(text):
        raise DocumentInvalid(
            f"expected a time with a zone, got {quoted(text)}",
            "write `2026-01-31T00:00:00+08:00`, or `Z` for UTC",
        )
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except (ValueError, OverflowError):
        raise DocumentInvalid(f"there is no such time as {quoted(text)}") from None
    if since < timedelta(0):
        raise DocumentInvalid(f"expected a time after 1970, got {quoted(text)}")
    return since // timedelta(milliseconds=1)


class _Cells:
    """Reads the cells of one row and gathers what is wrong with them."""

    def __init__(
        self, number: int, row: Mapping[str, str], columns: tuple[str, ...]
    ) -> None:
        self.number = number
        self.problems: list[Problem] = []
        self._row = row
        for column in row:
            if column not in columns:
                # csv.DictReader files cells beyond the header under None
                self.refuse(str(column), "unknown column, or more cells than columns")

    def read(self, column: str, read: Callable[[str], _T], instead: _T) -> _T:
        """Read a cell; `instead` only fills the place of a bad one."""
        text: object = self._row.get(column)
        if not isinstance(text, str):
            self.refuse(column, "missing cell")
            return instead
        try:
            return read(text.strip())
        except DocumentInvalid as error:
            self.refuse(column, str(error), error.hint)
            return instead

    def check(self, column: str, check: Callable[[], None]) -> None:
        """Check a cell against others, once they are all readable."""
        if not self.problems:
            try:
                check()
            except DocumentInvalid as error:
                self.refuse(column, str(error), error.hint)

    def refuse(self, column: str, message: str, hint: str = "") -> None:
        """Note a problem."""
        # The checks name the member, the problem already names the column.
        message = message.removeprefix(column.replace("_", " ") + ": ")
        self.problems.append(Problem(self.number, column, message, hint))


def _consent(cells: _Cells, registrar: str, given: Mapping[str, str]) -> ConsentRow:
    row = ConsentRow(
        row=cells.number,
        consent_id=cells.read("consent_id", _consent_id, ""),
        subject_id=cells.read("subject_id", _subject_id, ""),
        grantees=cells.read("grantees", _grantees, ()),
        purposes=cells.read("purposes", _purposes, ()),
        scope=cells.read("scope", _scope, ()),
        not_before_ms=cells.read("not_before", read_time, 0),
        not_after_ms=cells.read("not_after", read_time, 0),
        max_uses=cells.read("max_uses", read_uses, None),
        frequency=cells.read("frequency", read_frequency, None),
        separate=cells.read("separate", _separate, instead=False),
        evidence_kind=cells.read("evidence_kind", read_evidence, Evidence.PAPER),
        evidence_digest=cells.read("evidence_digest", _digest, b""),
        granted_at_ms=cells.read("granted_at", read_time, 0),
        supersedes=(
            cells.read(SUPERSEDES, _supersedes, "") if SUPERSEDES in given else ""
        ),
        document=cells.read(DOCUMENT, str, "") if DOCUMENT in given else "",
    )
    cells.check("not_after", lambda: check_period(row.not_before_ms, row.not_after_ms))
    cells.check(
        "granted_at", lambda: check_granted(row.granted_at_ms, row.not_after_ms)
    )
    cells.check(
        "evidence_digest",
        lambda: check_evidence(row.evidence_kind, row.evidence_digest),
    )
    cells.check(DOCUMENT, lambda: check_document(row.evidence_kind, row.document))
    cells.check(SUPERSEDES, lambda: check_supersedes(row.supersedes, row.consent_id))
    cells.check("grantees", lambda: check_registrar(registrar, row.grantees, {}))
    return row


def _like(model: ConsentRow, number: int, row: Mapping[str, str]) -> ConsentRow | None:
    """Read a row whose shared cells are those of a good one, or None where it is bad.

    Very many rows of a table differ in what is a consent's own and in nothing else;
    what is wrong with a bad row is for `_consent` to say.
    """
    try:
        like = ConsentRow(
            row=number,
            consent_id=_consent_id(row["consent_id"].strip()),
            subject_id=_subject_id(row["subject_id"].strip()),
            grantees=model.grantees,
            purposes=model.purposes,
            scope=model.scope,
            not_before_ms=read_time(row["not_before"].strip()),
            not_after_ms=read_time(row["not_after"].strip()),
            max_uses=model.max_uses,
            frequency=model.frequency,
            separate=model.separate,
            evidence_kind=model.evidence_kind,
            evidence_digest=_digest(row["evidence_digest"].strip()),
            granted_at_ms=read_time(row["granted_at"].strip()),
            supersedes=_supersedes(row.get(SUPERSEDES, "").strip()),
            document=model.document,
        )
        check_period(like.not_before_ms, like.not_after_ms)
        check_granted(like.granted_at_ms, like.not_after_ms)
        check_evidence(like.evidence_kind, like.evidence_digest)
        check_supersedes(like.supersedes, like.consent_id)
    except (DocumentInvalid, KeyError):
        return None
    known = len(CONSENT_COLUMNS) + (SUPERSEDES in row) + (DOCUMENT in row)
    return like if len(row) == known else None


def _consent_id(text: str) -> str:
    check_word("consent id", text)
    return text


def _supersedes(text: str) -> str:
    if text:
        check_word(SUPERSEDES, text)
    return text


def _subject_id(text: str) -> str:
    # Which ids are right depends on the type of subject, which the registrar's
    # node knows.  The text stays out of the message: it is a person.
    if not text:
        raise DocumentInvalid("expected an id, got an empty cell")
    return text


def _list(name: str, text: str) -> tuple[str, ...]:
    items = tuple(item.strip() for item in text.split(";")) if text else ()
    check_words(name, items)
    return items


def _grantees(text: str) -> tuple[str, ...]:
    items = _list("grantees", text)
    check_grantees(items)
    return items


def _purposes(text: str) -> tuple[str, ...]:
    return _list("purposes", text)


def _scope(text: str) -> tuple[str, ...]:
    items = _list("scope", text)
    check_scope(items)
    return items


def _separate(text: str) -> bool:
    # Spreadsheets write TRUE and FALSE.
    match text.lower():
        case "true":
            return True
        case "false":
            return False
    raise DocumentInvalid(f"expected `true` or `false`, got {quoted(text)}")


def _digest(text: str) -> bytes:
    if not text:
        return b""
    if not _DIGEST.fullmatch(text):
        raise DocumentInvalid(f"expected 64 hexadecimal digits, got {quoted(text)}")
    return bytes.fromhex(text)


def _reason(text: str) -> str:
    check_reason(text)
    return text
