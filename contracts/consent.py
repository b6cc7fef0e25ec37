r"""Consents 授权: who may ask what about a subject, for which purpose, how often.

A registrar saw the subject's authorisation, online or on paper, and signs it
(`Tag.CONSENT`).  Canonical JSON; names follow, where they fit, the consent
artefact of India's account aggregators and ISO/IEC TS 27560:

================  =============================  ===============================
member            account aggregator; TS 27560   here
================  =============================  ===============================
`v`               ver; schema_version            `safehouse/consent/1`
`consent_id`      consentId; record_id           a word; never used again
`subject`         Customer; pii_principal_id     hex, digest(SUBJECT, ref, salt)
`subject_type`    Customer type                  see `contracts.subject`
`grantees`        DataConsumer; recipient        party ids of banks, and
                                                 `class:<id>` (`contracts.classes`)
`purposes`        Purpose; purpose               words of the contracts' purposes
`scope`           consentTypes; pii_type         `contract:<id>`, `dataset:<id>` or
                                                 `category:<信息类别>`
`not_before_ms`   consentStart                   inclusive
`not_after_ms`    consentExpiry                  **exclusive**
`max_uses`        fetchType ONETIME is `1`       `3`, or `unlimited`
`frequency`       Frequency                      `10/30d`, or empty for none
`separate`        -                              单独同意, needed for tier T3
`evidence_kind`   consentMode; collection_method `online`, `paper`; `statutory` only in
                                                 a batch (`contracts.consent_batch`)
`evidence_digest` -                              hex SHA-256 of the signed form
`granted_at_ms`   createTimestamp; event_time    when the subject said yes
`registrar`       AA; entity_id                  party id of the signer
`supersedes`      -                              id of the consent it replaces
================  =============================  ===============================

A consent that replaces another (`contracts.supersede`) or names a category or a class
is `safehouse/consent/2`; one that does neither is written as `/1`, without the last
member, so that every consent has one encoding.

A category is what a dataset's custodian declares in its schema.  Who consents to it
consents to every dataset of that category, those that are registered later too.

Nothing is implied: a consent without a grantee, a purpose or a scope would
deny everything, so it is refused when it is read, and no limit on uses has to
be written out.  A word is 1 to 128 printable characters without a space, a
quotation mark, a backslash, a back-tick, `,` or `;`.

What happens to a consent afterwards is an event, signed with
`Tag.CONSENT_EVENT`; `withdrawn`, `invalidated` and `superseded` are the end::

    active ──suspend──▶ suspended ──resume──▶ active
    active, suspended ──withdraw──▶ withdrawn
    active, suspended ──invalidate──▶ invalidated
    active, suspended ──another consent──▶ superseded

>>> next_status(Status.ACTIVE, Event.SUSPEND)
<Status.SUSPENDED: 'suspended'>
>>> next_status(Status.WITHDRAWN, Event.RESUME)
Traceback (most recent call last):
    ...
contracts.errors.ConsentConflict: cannot resume a consent that is withdrawn
>>> str(Frequency.parse("10/30d")), Frequency.parse("10/30d").window_ms
('10/30d', 2592000000)
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Final, TypeAlias

from contracts.errors import ConsentConflict, DocumentInvalid
from contracts.subject import SubjectType
from protocols.canon import MAX_INTEGER, Reader, dumps, loads
from protocols.errors import FormatError

CONSENT: Final = "safehouse/consent/1"
CONSENT_2: Final = "safehouse/consent/2"  # with `supersedes`, categories, classes
CONSENT_EVENT: Final = "safehouse/consent-event/1"

UNLIMITED: Final = "unlimited"
DIGEST_BYTES = 32
MAX_CONSENT = 16_384  # bytes of payload; it must fit into a journal entry, escaped
MAX_WORD = 128  # characters
MAX_REASON = 200  # characters
MAX_QUOTED = 60  # characters of a stranger's text in a message
MAX_TIME_MS = 253_402_300_799_999  # the last millisecond of the year 9999
DAY_MS = 86_400_000
CLASS: Final = "class:"  # before the id of a class of banks
NOBODY: Final = "-"  # id of a shape

Own: TypeAlias = tuple[str, bytes, bytes, int, int, int]  # see `Consent.own`

_FREQUENCY = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,3})d")
_COUNT = re.compile(r"[1-9][0-9]{0,15}")
_TAIL_2 = b'"v":"safehouse/consent/2"}'
_NOT_IN_WORDS = frozenset(" \"'\\`,;")


class Evidence(StrEnum):
    """How the registrar saw the authorisation."""

    ONLINE = "online"
    PAPER = "paper"
    STATUTORY = "statutory"  # 法定: an order in the place of the subject's word


class Status(StrEnum):
    """Whether a consent stands."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    WITHDRAWN = "withdrawn"
    INVALIDATED = "invalidated"
    SUPERSEDED = "superseded"


class Event(StrEnum):
    """What may happen to a consent after it was granted."""

    SUSPEND = "suspend"
    RESUME = "resume"
    WITHDRAW = "withdraw"
    INVALIDATE = "invalidate"


_TRANSITIONS: Final = {
    (Status.ACTIVE, Event.SUSPEND): Status.SUSPENDED,
    (Status.ACTIVE, Event.WITHDRAW): Status.WITHDRAWN,
    (Status.ACTIVE, Event.INVALIDATE): Status.INVALIDATED,
    (Status.SUSPENDED, Event.RESUME): Status.ACTIVE,
    (Status.SUSPENDED, Event.WITHDRAW): Status.WITHDRAWN,
    (Status.SUSPENDED, Event.INVALIDATE): Status.INVALIDATED,
}


_HINTS: Final = {
    Status.WITHDRAWN: "what is withdrawn stays so: a new consent has a new id",
    Status.INVALIDATED: "what is invalidated stays so: a new consent has a new id",
    Status.SUPERSEDED: "the consent that took its place is the one that counts",
}


def next_status(status: Status, event: Event) -> Status:
    """Return the status after `event`; raises `ConsentConflict`.

    An event that was already recorded is not an event: whoever keeps the
    register answers the same signed bytes from its store.
    """
    after = _TRANSITIONS.get((status, event))
    if after is None:
        raise ConsentConflict(
            f"cannot {event} a consent that is {status}", _HINTS.get(status, "")
        )
    return after


def ended(status: Status) -> Status:
    """Return the status after the subject was erased: as if it had withdrawn."""
    stands = status in (Status.ACTIVE, Status.SUSPENDED)
    return Status.WITHDRAWN if stands else status


@dataclass(frozen=True, slots=True)
class Frequency:
    """At most `times` uses within any `days` days, sliding."""

    times: int  # 1 to 999,999
    days: int  # 1 to 9,999

    @classmethod
    def parse(cls, text: str) -> "Frequency":
        """Read `10/30d`; raises `DocumentInvalid`."""
        match = _FREQUENCY.fullmatch(text)
        if match is None:
            raise DocumentInvalid(
                f"frequency: expected `<times>/<days>d`, got {quoted(text)}",
                "`10/30d` is ten uses within any thirty days",
            )
        return cls(int(match[1]), int(match[2]))

    @property
    def window_ms(self) -> int:
        """The window: a use counts while it is younger than this."""
        return self.days * DAY_MS

    def __str__(self) -> str:
        return f"{self.times}/{self.days}d"


@dataclass(frozen=True, slots=True)
class Consent:
    """One authorisation, as the registrar signs it; the module has the members."""

    consent_id: str
    subject: bytes  # 32-byte commitment
    subject_type: SubjectType
    grantees: tuple[str, ...]
    purposes: tuple[str, ...]
    scope: tuple[str, ...]
    not_before_ms: int  # inclusive
    not_after_ms: int  # exclusive
    max_uses: int | None  # None: unlimited
    frequency: Frequency | None
    separate: bool
    evidence_kind: Evidence
    evidence_digest: bytes  # 32 bytes; empty only for `online`
    granted_at_ms: int
    registrar: str
    supersedes: str = ""  # id of the consent that it replaces

    def __post_init__(self) -> None:
        check_word("consent id", self.consent_id)
        check_word("registrar", self.registrar)
        check_supersedes(self.supersedes, self.consent_id)
        check_grantees(self.grantees)
        check_words("purposes", self.purposes)
        check_scope(self.scope)
        check_period(self.not_before_ms, self.not_after_ms)
        check_granted(self.granted_at_ms, self.not_after_ms)
        check_evidence(self.evidence_kind, self.evidence_digest)
        check_registrar(self.registrar, self.grantees, {})
        if len(self.subject) != DIGEST_BYTES:
            raise DocumentInvalid(f"subject: expected {DIGEST_BYTES} bytes")
        if self.max_uses is not None and not 1 <= self.max_uses <= MAX_INTEGER:
            raise DocumentInvalid(
                f"max uses: expected at least 1, got {self.max_uses}",
                "a consent that nobody may use would deny everything",
            )

    def to_bytes(self) -> bytes:
        """Write canonical JSON; raises `DocumentInvalid` beyond `MAX_CONSENT`."""
        version = self.version
        replaces = {} if version == CONSENT else {"supersedes": self.supersedes}
        data = dumps(
            {
                **replaces,
                "v": version,
                "consent_id": self.consent_id,
                "subject": self.subject.hex(),
                "subject_type": self.subject_type.value,
                "grantees": self.grantees,
                "purposes": self.purposes,
                "scope": self.scope,
                "not_before_ms": self.not_before_ms,
                "not_after_ms": self.not_after_ms,
                "max_uses": write_uses(self.max_uses),
                "frequency": "" if self.frequency is None else str(self.frequency),
                "separate": self.separate,
                "evidence_kind": self.evidence_kind.value,
                "evidence_digest": self.evidence_digest.hex(),
                "granted_at_ms": self.granted_at_ms,
                "registrar": self.registrar,
            }
        )
        _check_size(data)
        return data

    @classmethod
    def parse(cls, data: bytes) -> "Consent":
        """Read strictly.

        Raises `FormatError` for bytes that are not canonical or not of this
        version, `DocumentInvalid` for a consent that must not be.
        """
        _check_size(data)
        version = version_of(data)
        return cls.read(Reader(loads(data, version)), version)

    @property
    def version(self) -> str:
        """The oldest version that can say it."""
        newer = self.supersedes or self.classes or any(map(_is_category, self.scope))
        return CONSENT_2 if newer else CONSENT

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of banks among the grantees."""
        return tuple(
            name.removeprefix(CLASS) for name in self.grantees if name.startswith(CLASS)
        )

    @property
    def shape(self) -> "Consent":
        """What very many consents have in common: all but what `own` returns.

        What one supersedes is said once, when it enters a register, and left out.
        """
        return replace(
            self,
            supersedes="",
            consent_id=NOBODY,
            subject=bytes(DIGEST_BYTES),
            evidence_digest=bytes(len(self.evidence_digest)),
            not_before_ms=0,
            not_after_ms=MAX_TIME_MS,
            granted_at_ms=0,
        )

    @property
    def own(self) -> Own:
        """What a consent has of its own."""
        return (
            self.consent_id,
            self.subject,
            self.evidence_digest,
            self.not_before_ms,
            self.not_after_ms,
            self.granted_at_ms,
        )

    def of(self, own: Own) -> "Consent":
        """Put a shape and what is a consent's own together again.

        A register keeps them apart, so that a stretch of a job reads little; both
        were checked as one before, so nothing is checked here.
        """
        consent = object.__new__(Consent)
        for name in _SHARED:
            object.__setattr__(consent, name, getattr(self, name))
        for name, value in zip(OWN, own, strict=True):
            object.__setattr__(consent, name, value)
        return consent

    @classmethod
    def read(cls, reader: Reader, version: str = "") -> "Consent":
        """Read the members of a document whose bytes were checked.

        Without `version` it is of no version, and all members are there.
        """
        if version not in ("", CONSENT, CONSENT_2):
            raise FormatError(f"`{version}` is no version of a consent")
        consent = cls(
            consent_id=reader.text("consent_id"),
            subject=reader.hex("subject", DIGEST_BYTES),
            subject_type=read_subject_type(reader.text("subject_type")),
            grantees=reader.texts("grantees"),
            purposes=reader.texts("purposes"),
            scope=reader.texts("scope"),
            not_before_ms=reader.integer("not_before_ms", most=MAX_TIME_MS),
            not_after_ms=reader.integer("not_after_ms", most=MAX_TIME_MS),
            max_uses=read_uses(reader.text("max_uses")),
            frequency=read_frequency(reader.text("frequency")),
            separate=reader.flag("separate"),
            evidence_kind=read_evidence(reader.text("evidence_kind")),
            evidence_digest=reader.hex("evidence_digest"),
            granted_at_ms=reader.integer("granted_at_ms", most=MAX_TIME_MS),
            registrar=reader.text("registrar"),
            supersedes="" if version == CONSENT else reader.text("supersedes"),
        )
        reader.close()
        if version and consent.version != version:
            raise FormatError(
                f"a consent like this is `{consent.version}`, not `{version}`"
            )
        return consent


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """What a registrar reports about a consent; `at_ms` is its own clock.

    The order of the journal decides what came first, not `at_ms`.
    """

    consent_id: str
    event: Event
    at_ms: int
    reason: str  # for people, may be empty; no personal data: it is journalled
    registrar: str

    def __post_init__(self) -> None:
        check_word("consent id", self.consent_id)
        check_word("registrar", self.registrar)
        check_reason(self.reason)

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": CONSENT_EVENT,
                "consent_id": self.consent_id,
                "event": self.event.value,
                "at_ms": self.at_ms,
                "reason": self.reason,
                "registrar": self.registrar,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "ConsentEvent":
        """Read strictly; raises `FormatError` or `DocumentInvalid`."""
        _check_size(data)
        reader = Reader(loads(data, CONSENT_EVENT))
        event = cls(
            reader.text("consent_id"),
            read_event(reader.text("event")),
            reader.integer("at_ms", most=MAX_TIME_MS),
            reader.text("reason"),
            reader.text("registrar"),
        )
        reader.close()
        return event


def check_registrar(
    registrar: str, grantees: Iterable[str], organisations: Mapping[str, str]
) -> None:
    """Refuse a registrar that signs for its own organisation.

    `organisations` names each party's (`node.domain`); a party that is not in it is
    an organisation of its own.  Else a bank with a counter for authorisations would
    grant itself whatever it likes, or resume what its customer suspended.

    >>> check_registrar("counter", ["jnrcb"], {"counter": "jnrcb", "jnrcb": "jnrcb"})
    Traceback (most recent call last):
        ...
    contracts.errors.DocumentInvalid: registrar `counter` is of the same organisation, `jnrcb`, as grantee `jnrcb`
    """  # noqa: E501
    own = organisations.get(registrar, registrar)
    for grantee in grantees:
        if organisations.get(grantee, grantee) == own:
            raise DocumentInvalid(
                f"registrar `{registrar}` is of the same organisation, `{own}`,"
                f" as grantee `{grantee}`",
                "let another registrar see the authorisation and sign it",
            )


def check_word(name: str, text: str) -> None:
    """Refuse text that is not a word (module docstring)."""
    # Printable leaves out controls, lone surrogates and the marks that turn the
    # direction of writing: an id must read in a journal as what it is.
    if (
        not 1 <= len(text) <= MAX_WORD
        or not text.isprintable()
        or not _NOT_IN_WORDS.isdisjoint(text)
        or " " in text
    ):
        raise DocumentInvalid(
            f"{name}: expected 1 to {MAX_WORD} characters without spaces,"
            f" got {quoted(text)}",
            "quotation marks, `\\`, `,` and `;` do not fit either",
        )


def check_words(name: str, items: tuple[str, ...]) -> None:
    """Refuse an empty list, a repeated item and an item that is not a word."""
    if not items:
        raise DocumentInvalid(
            f"{name}: expected at least one, got none",
            "an empty list would deny everything",
        )
    for item in items:
        check_word(name, item)
    if len(set(items)) != len(items):
        twice = next(item for item in items if items.count(item) > 1)
        raise DocumentInvalid(f"{name}: {quoted(twice)} is there twice")


def check_grantees(grantees: tuple[str, ...]) -> None:
    """Refuse no grantees, one twice, and a class without a name."""
    check_words("grantees", grantees)
    if CLASS in grantees:
        raise DocumentInvalid("grantees: expected `class:<id>`, got `class:`")


def check_scope(scope: tuple[str, ...]) -> None:
    """Refuse a scope that names anything but contracts, datasets and categories."""
    check_words("scope", scope)
    for item in scope:
        kind, _, name = item.partition(":")
        if kind not in ("contract", "dataset", "category") or not name:
            raise DocumentInvalid(
                "scope: expected `contract:<id>`, `dataset:<id>` or"
                f" `category:<name>`, got {quoted(item)}"
            )


def check_period(not_before_ms: int, not_after_ms: int) -> None:
    """Refuse a period that is empty; its end is exclusive."""
    if not_before_ms >= not_after_ms:
        raise DocumentInvalid(
            f"not after: expected a time after {not_before_ms}, got {not_after_ms}",
            "`not_after` is the first moment at which the consent no longer holds",
        )


def check_granted(granted_at_ms: int, not_after_ms: int) -> None:
    """Refuse a consent that was over when it was given."""
    if granted_at_ms >= not_after_ms:
        raise DocumentInvalid(
            f"granted at: expected a time before {not_after_ms}, got {granted_at_ms}"
        )


def check_evidence(kind: Evidence, digest: bytes) -> None:
    """Refuse a paper form without its digest: empty means no."""
    if len(digest) not in (0, DIGEST_BYTES):
        raise DocumentInvalid(
            f"evidence digest: expected {DIGEST_BYTES} bytes, got {len(digest)}"
        )
    if kind is not Evidence.ONLINE and not digest:
        raise DocumentInvalid(
            "evidence digest: expected the SHA-256 of the signed form, got nothing",
            "only `online` evidence may leave it empty",
        )


def check_supersedes(superseded: str, consent_id: str) -> None:
    """Refuse a consent that replaces itself; nothing is right."""
    if superseded:
        check_word("supersedes", superseded)
    if superseded == consent_id:
        raise DocumentInvalid(
            "supersedes: expected another consent, got its own id",
            "a consent that replaces one has an id of its own",
        )


def check_alone(consent: Consent) -> None:
    """Refuse a statutory basis outside a batch, which two operators answer for."""
    if consent.evidence_kind is Evidence.STATUTORY:
        raise DocumentInvalid(
            "evidence kind: a statutory basis is not granted by one operator alone",
            "import it with the number of its document, for another to approve",
        )


def check_document(kind: Evidence, document: str) -> None:
    """Refuse a statutory basis without its order's number 文号, or one without need."""
    if (kind is Evidence.STATUTORY) is not bool(document):
        raise DocumentInvalid(
            "document: expected the number of an order, got nothing"
            if kind is Evidence.STATUTORY
            else f"document: only a `statutory` basis has one, got {quoted(document)}",
            "a statutory basis is imported in a table with a column `document`",
        )
    if len(document) > MAX_WORD or not document.isprintable():
        raise DocumentInvalid(
            f"document: expected at most {MAX_WORD} printable characters"
        )


def check_reason(text: str) -> None:
    """Refuse a reason that is long or not printable."""
    if len(text) > MAX_REASON or not text.isprintable():
        raise DocumentInvalid(
            f"reason: expected at most {MAX_REASON} printable characters"
        )


def read_uses(text: str) -> int | None:
    """Read `3` or `unlimited` (None)."""
    if text == UNLIMITED:
        return None
    if not _COUNT.fullmatch(text) or int(text) > MAX_INTEGER:
        raise DocumentInvalid(
            f"max uses: expected a number from 1 or `{UNLIMITED}`, got {quoted(text)}"
        )
    return int(text)


def write_uses(max_uses: int | None) -> str:
    """Write what `read_uses` reads."""
    return UNLIMITED if max_uses is None else str(max_uses)


def read_frequency(text: str) -> Frequency | None:
    """Read `10/30d`, or nothing for no limit beside `max_uses`."""
    return Frequency.parse(text) if text else None


def read_evidence(text: str) -> Evidence:
    """Read `online`, `paper` or `statutory`."""
    try:
        return Evidence(text)
    except ValueError:
        raise DocumentInvalid(
            "evidence kind: expected `online`, `paper` or `statutory`, got"
            f" {quoted(text)}"
        ) from None


def read_subject_type(text: str) -> SubjectType:
    """Read the name of a type of subject."""
    try:
        return SubjectType(text)
    except ValueError:
        expected = ", ".join(f"`{known}`" for known in SubjectType)
        raise DocumentInvalid(
            f"subject type: expected one of {expected}, got {quoted(text)}"
        ) from None


def read_event(text: str) -> Event:
    """Read the name of an event."""
    try:
        return Event(text)
    except ValueError:
        expected = ", ".join(f"`{event}`" for event in Event)
        raise DocumentInvalid(
            f"event: expected one of {expected}, got {quoted(text)}"
        ) from None


def _is_category(item: str) -> bool:
    return item.startswith("category:")


def version_of(data: bytes) -> str:
    """Tell which version of a consent to read, from its last member (RFC 8785)."""
    return CONSENT_2 if data.endswith(_TAIL_2) else CONSENT


def quoted(text: str) -> str:
    """Quote a stranger's text so that a message stays one short line."""
    line = text if text.isprintable() else ascii(text)[1:-1]
    return f"`{line}`" if len(line) <= MAX_QUOTED else f"`{line[:MAX_QUOTED]}`..."


def _check_size(data: bytes) -> None:
    if len(data) > MAX_CONSENT:
        raise DocumentInvalid(
            f"expected a document of at most {MAX_CONSENT} bytes, got {len(data)}"
        )


# The members of `Consent.own`, in their order.
OWN: Final = (
    "consent_id",
    "subject",
    "evidence_digest",
    "not_before_ms",
    "not_after_ms",
    "granted_at_ms",
)
_SHARED: Final = tuple(f.name for f in fields(Consent) if f.name not in OWN)
