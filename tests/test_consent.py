"""Consents: what may be written, what may happen to them, and tables of them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from contracts.consent import (
    MAX_CONSENT,
    Consent,
    ConsentEvent,
    Event,
    Evidence,
    Frequency,
    Status,
    check_word,
    next_status,
)
from contracts.consent_csv import (
    CONSENT_COLUMNS,
    EVENT_COLUMNS,
    check_header,
    consent_rows,
    event_rows,
    read_time,
)
from contracts.errors import ConsentConflict, DocumentInvalid
from contracts.subject import SubjectType
from protocols.canon import Json, Tag, dumps, loads
from protocols.errors import FormatError, SignatureInvalid
from protocols.sign import Signed, sign, verify
from tests import strategies

CONSENT = Consent(
    consent_id="c-1",
    subject=bytes(range(32)),
    subject_type=SubjectType.CN_USCC,
    grantees=("jnrcb", "lnsb"),
    purposes=("loan",),
    scope=("contract:grade", "dataset:tax"),
    not_before_ms=1_000,
    not_after_ms=2_000,
    max_uses=3,
    frequency=Frequency(10, 30),
    separate=True,
    evidence_kind=Evidence.PAPER,
    evidence_digest=b"d" * 32,
    granted_at_ms=900,
    registrar="registry",
)

# The bytes are a promise: what was signed must stay readable.
CONSENT_BYTES = (
    b'{"consent_id":"c-1",'
    b'"evidence_digest":"' + b"64" * 32 + b'",'
    b'"evidence_kind":"paper",'
    b'"frequency":"10/30d",'
    b'"granted_at_ms":900,'
    b'"grantees":["jnrcb","lnsb"],'
    b'"max_uses":"3",'
    b'"not_after_ms":2000,'
    b'"not_before_ms":1000,'
    b'"purposes":["loan"],'
    b'"registrar":"registry",'
    b'"scope":["contract:grade","dataset:tax"],'
    b'"separate":true,'
    b'"subject":"000102030405060708090a0b0c0d0e0f'
    b'101112131415161718191a1b1c1d1e1f",'
    b'"subject_type":"cn-uscc",'
    b'"v":"safehouse/consent/1"}'
)


def test_the_bytes_of_a_consent() -> None:
    """One consent has one encoding, and it is this one."""
    assert CONSENT.to_bytes() == CONSENT_BYTES
    assert Consent.parse(CONSENT_BYTES) == CONSENT


def test_the_bytes_of_a_consent_that_replaces_another() -> None:
    """One member more, under a version of its own; without one it is not that."""
    newer = CONSENT_BYTES.replace(
        b'"v":"safehouse/consent/1"',
        b'"supersedes":"c-0","v":"safehouse/consent/2"',
    )
    assert replace(CONSENT, supersedes="c-0").to_bytes() == newer
    assert Consent.parse(newer) == replace(CONSENT, supersedes="c-0")
    with pytest.raises(FormatError, match="is `safehouse/consent/1`, not `safeho"):
        Consent.parse(newer.replace(b'"c-0"', b'""'))
    with pytest.raises(DocumentInvalid, match="got its own id"):
        Consent.parse(newer.replace(b'"c-0"', b'"c-1"'))
    with pytest.raises(DocumentInvalid, match="supersedes: expected 1 to 128"):
        Consent.parse(newer.replace(b'"c-0"', b'"c 0"'))


def test_the_bytes_of_a_consent_to_a_category() -> None:
    """Readers of version 1 know no categories, so it is of version 2."""
    newer = CONSENT_BYTES.replace(b'"dataset:tax"', '"category:纳税"'.encode())
    with pytest.raises(FormatError, match="is `safehouse/consent/2`, not `safeho"):
        Consent.parse(newer)
    newer = newer.replace(
        b'"v":"safehouse/consent/1"', b'"supersedes":"","v":"safehouse/consent/2"'
    )
    consent = replace(CONSENT, scope=("contract:grade", "category:纳税"))
    assert consent.to_bytes() == newer
    assert Consent.parse(newer) == consent
    with pytest.raises(DocumentInvalid, match="scope: expected `contract:<id>`"):
        Consent.parse(newer.replace("category:纳税".encode(), b"category:"))


@given(strategies.consents())
def test_a_consent_survives_its_bytes(consent: Consent) -> None:
    """Every consent reads back as itself."""
    assert Consent.parse(consent.to_bytes()) == consent
    assert consent.shape.of(consent.own) == replace(consent, supersedes="")


@given(strategies.events)
def test_an_event_survives_its_bytes(event: ConsentEvent) -> None:
    """Every event reads back as itself."""
    assert ConsentEvent.parse(event.to_bytes()) == event


@pytest.mark.parametrize(
    ("member", "value", "named"),
    [
        ("consent_id", "", "consent id"),
        ("consent_id", "c 1", "consent id"),
        ("consent_id", "c" * 129, "consent id"),
        ("consent_id", "c\u202e1", "consent id"),  # turns the direction of writing
        ("subject_type", "passport", "subject type"),
        ("grantees", [], "grantees"),
        ("grantees", ["jnrcb", "jnrcb"], "grantees"),
        ("grantees", ["registry"], "same organisation"),
        ("purposes", [], "purposes"),
        ("purposes", ["loan;review"], "purposes"),
        ("scope", [], "scope"),
        ("scope", ["tax"], "scope"),
        ("scope", ["dataset:"], "scope"),
        ("scope", ["table:tax"], "scope"),
        ("not_after_ms", 1_000, "not after"),
        ("granted_at_ms", 2_000, "granted at"),
        ("max_uses", "0", "max uses"),
        ("max_uses", "03", "max uses"),
        ("max_uses", "", "max uses"),
        ("max_uses", "9007199254740992", "max uses"),
        ("frequency", "10", "frequency"),
        ("frequency", "0/30d", "frequency"),
        ("frequency", "10/0d", "frequency"),
        ("frequency", "10/30D", "frequency"),
        ("frequency", "１０/30d", "frequency"),
        ("evidence_kind", "oral", "evidence kind"),
        ("evidence_digest", "", "evidence digest"),
        ("evidence_digest", "64", "evidence digest"),
    ],
)
def test_a_consent_that_must_not_be(member: str, value: Json, named: str) -> None:
    """What would deny everything, or mean two things, is refused by its name."""
    document = loads(CONSENT_BYTES, "safehouse/consent/1") | {member: value}
    with pytest.raises(DocumentInvalid, match=named) as caught:
        Consent.parse(dumps(document))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("v", "safehouse/consent/2"),  # without a `supersedes`
        ("v", "safehouse/consent/3"),
        ("supersedes", "c-0"),  # which is of version 2
        ("subject", "00"),
        ("subject", ("AB" * 32)),
        ("separate", "true"),
        ("max_uses", 3),
        ("not_before_ms", -1),
        ("not_after_ms", 253_402_300_800_000),
        ("alg", "none"),
    ],
)
def test_case_10_members_of_another_form(member: str, value: Json) -> None:
    """Unknown members, versions and types are refused; so is a field `alg`."""
    document = loads(CONSENT_BYTES, "safehouse/consent/1") | {member: value}
    with pytest.raises(FormatError):
        Consent.parse(dumps(document))


def test_case_10_a_signed_consent_cannot_be_edited() -> None:
    """A flipped byte, another key or another kind of document: SIGNATURE_INVALID."""
    registrar = Ed25519PrivateKey.from_private_bytes(bytes(32))
    stranger = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
    keys = [registrar.public_key()]
    signed = sign(Tag.CONSENT, CONSENT_BYTES, registrar)
    assert verify(Tag.CONSENT, signed, keys) == CONSENT_BYTES

    flipped = CONSENT_BYTES.replace(b'"max_uses":"3"', b'"max_uses":"9"')
    for tag, forged in (
        (Tag.CONSENT, Signed(flipped, signed.key_id, signed.signature)),
        (Tag.CONSENT, sign(Tag.CONSENT, CONSENT_BYTES, stranger)),
        (Tag.CONSENT_EVENT, signed),
    ):
        with pytest.raises(SignatureInvalid):
            verify(tag, forged, keys)


def test_a_consent_is_small_enough_for_a_journal_entry() -> None:
    """Beyond the limit it is refused before anybody signs or parses it."""
    many = tuple(f"bank-{n}-" + "x" * 110 for n in range(200))
    with pytest.raises(DocumentInvalid, match="at most 16384 bytes"):
        replace(CONSENT, grantees=many).to_bytes()
    with pytest.raises(DocumentInvalid, match="at most 16384 bytes"):
        Consent.parse(b" " * (MAX_CONSENT + 1))


def test_unlimited_has_to_be_written_out() -> None:
    """No limit on uses is the word `unlimited`, and no frequency is empty."""
    free = replace(CONSENT, max_uses=None, frequency=None)
    document = loads(free.to_bytes(), "safehouse/consent/1")
    assert (document["max_uses"], document["frequency"]) == ("unlimited", "")
    assert Consent.parse(free.to_bytes()) == free


def test_what_is_as_large_as_it_may_be() -> None:
    """Limits are the largest that is allowed, not the smallest that is not."""
    most = (1 << 53) - 1
    assert Consent.parse(replace(CONSENT, max_uses=most).to_bytes()).max_uses == most
    ConsentEvent("c-1", Event.WITHDRAW, 0, "r" * 200, "registry")
    with pytest.raises(DocumentInvalid, match="reason"):
        ConsentEvent("c-1", Event.WITHDRAW, 0, "two\nlines", "registry")
    assert read_time("1970-01-01T00:00Z") == 0
    size = len(CONSENT.to_bytes()) - len('"jnrcb","lnsb"')
    room = MAX_CONSENT - size
    banks = [f"{n:0>127}" for n in range(room // 130)]
    banks.append("b" * (room - 130 * len(banks) - 2))
    full = replace(CONSENT, grantees=tuple(banks))
    assert len(full.to_bytes()) == MAX_CONSENT
    assert Consent.parse(full.to_bytes()) == full


@pytest.mark.parametrize(("length", "cut"), [(60, False), (61, True)])
def test_a_strangers_text_is_cut_short(length: int, cut: bool) -> None:  # noqa: FBT001
    """A message stays a line that one can read."""
    with pytest.raises(DocumentInvalid) as caught:
        read_time("x" * length)
    assert str(caught.value).endswith("..." if cut else "`")


@pytest.mark.parametrize("max_uses", [0, -1])
def test_no_uses_is_no_consent(max_uses: int) -> None:
    """A consent that nobody may use would deny everything."""
    with pytest.raises(DocumentInvalid, match="max uses"):
        replace(CONSENT, max_uses=max_uses)


@given(st.text(max_size=130))
def test_words_are_one_line_without_separators(text: str) -> None:
    """Whatever is taken for a word is printable and survives a CSV list."""
    try:
        check_word("word", text)
    except DocumentInvalid as error:
        assert str(error).isprintable()  # noqa: PT017 -- both ways are right
    else:
        assert text.isprintable()
        assert [text] == text.split()
        assert not set(text) & set("\"'\\`,;")


@given(strategies.words)
def test_chinese_and_other_words_are_words(text: str) -> None:
    """The alphabet is open: every printable letter is allowed."""
    if text.isprintable():
        check_word("word", text)


@pytest.mark.parametrize(
    ("status", "event", "after"),
    [
        (Status.ACTIVE, Event.SUSPEND, Status.SUSPENDED),
        (Status.ACTIVE, Event.RESUME, None),
        (Status.ACTIVE, Event.WITHDRAW, Status.WITHDRAWN),
        (Status.ACTIVE, Event.INVALIDATE, Status.INVALIDATED),
        (Status.SUSPENDED, Event.SUSPEND, None),
        (Status.SUSPENDED, Event.RESUME, Status.ACTIVE),
        (Status.SUSPENDED, Event.WITHDRAW, Status.WITHDRAWN),
        (Status.SUSPENDED, Event.INVALIDATE, Status.INVALIDATED),
        *(
            (status, event, None)
            for status in (Status.WITHDRAWN, Status.INVALIDATED)
            for event in Event
        ),
    ],
)
def test_every_status_and_event(
    status: Status, event: Event, after: Status | None
) -> None:
    """The whole table: what is withdrawn or invalidated stays so."""
    if after is None:
        with pytest.raises(ConsentConflict) as caught:
            next_status(status, event)
        final = status in {Status.WITHDRAWN, Status.INVALIDATED}
        assert bool(caught.value.hint) is final
    else:
        assert next_status(status, event) is after


# Tables

ROW = {
    "consent_id": "c-1",
    "subject_id": "91370811MA3C00000X",
    "grantees": "jnrcb; lnsb",
    "purposes": "loan",
    "scope": "contract:grade;dataset:tax",
    "not_before": "2026-01-01T00:00:00+08:00",
    "not_after": "2027-01-01T00:00:00+08:00",
    "max_uses": "3",
    "frequency": "10/30d",
    "separate": "TRUE",
    "evidence_kind": "paper",
    "evidence_digest": "64" * 32,
    "granted_at": "2025-12-31T15:04:05.678Z",
}
SECRET = ROW["subject_id"]


def test_a_row_becomes_a_consent() -> None:
    """Every column arrives where it belongs."""
    report = consent_rows([ROW], "registry")
    assert report.problems == ()
    (row,) = report.rows
    assert (row.row, row.subject_id) == (2, SECRET)
    consent = row.consent(CONSENT.subject, SubjectType.CN_USCC, "registry")
    assert consent == replace(
        CONSENT,
        not_before_ms=1_767_196_800_000,
        not_after_ms=1_798_732_800_000,
        granted_at_ms=1_767_193_445_678,
    )
    assert SECRET not in repr(row)


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("consent_id", "", "expected 1 to 128 characters without spaces, got ``"),
        ("subject_id", " ", "expected an id, got an empty cell"),
        ("grantees", "", "expected at least one, got none"),
        ("grantees", "jnrcb;", "expected 1 to 128 characters without spaces, got ``"),
        (
            "grantees",
            "registry",
            (
                "registrar `registry` is of the same organisation, `registry`,"
                " as grantee `registry`"
            ),
        ),
        ("purposes", "loan;loan", "`loan` is there twice"),
        (
            "scope",
            "tax",
            "expected `contract:<id>`, `dataset:<id>` or `category:<name>`, got `tax`",
        ),
        ("not_before", "2026-01-01", "expected a time with a zone, got `2026-01-01`"),
        (
            "not_before",
            "2026-01-01T00:00:00",
            "expected a time with a zone, got `2026-01-01T00:00:00`",
        ),
        (
            "not_after",
            "2026-02-30T00:00:00Z",
            "there is no such time as `2026-02-30T00:00:00Z`",
        ),
        (
            "not_after",
            "2026-01-01T00:00+08:00",
            "expected a time after 1767196800000, got 1767196800000",
        ),
        ("max_uses", "many", "expected a number from 1 or `unlimited`, got `many`"),
        ("frequency", "daily", "expected `<times>/<days>d`, got `daily`"),
        ("separate", "yes", "expected `true` or `false`, got `yes`"),
        (
            "evidence_kind",
            "fax",
            "expected `online`, `paper` or `statutory`, got `fax`",
        ),
        ("evidence_digest", "64", "expected 64 hexadecimal digits, got `64`"),
        (
            "evidence_digest",
            "",
            "expected the SHA-256 of the signed form, got nothing",
        ),
        (
            "granted_at",
            "2027-01-01T00:00:00+08:00",
            "expected a time before 1798732800000, got 1798732800000",
        ),
        ("max_uses", "3\n4", r"expected a number from 1 or `unlimited`, got `3\n4`"),
    ],
)
def test_a_bad_cell_is_named(column: str, cell: str, message: str) -> None:
    """The problem has the row, the column and what was expected."""
    report = consent_rows([ROW, ROW | {"consent_id": "c-2", column: cell}], "registry")
    assert len(report.rows) == 1
    (problem,) = report.problems
    assert str(problem) == f"row 3, column `{column}`: {message}"


def test_every_bad_cell_of_a_row_is_told() -> None:
    """One round of corrections is enough."""
    report = consent_rows(
        [ROW | {"max_uses": "", "separate": "", "scope": ""}], "registry"
    )
    assert [problem.column for problem in report.problems] == [
        "scope",
        "max_uses",
        "separate",
    ]
    assert report.bad_rows == (2,)


def test_case_16_duplicates_and_bad_rows_in_a_large_table() -> None:
    """1,200 rows of which 37 are bad: 1,163 good ones, each problem with its place."""
    rows = [ROW | {"consent_id": f"c-{n}"} for n in range(1_200)]
    bad = range(0, 37 * 30, 30)
    for number in bad:
        rows[number]["max_uses"] = "-1"
    report = consent_rows(rows, "registry")
    assert len(report.rows) == 1_163
    assert report.bad_rows == tuple(number + 2 for number in bad)
    twice = consent_rows([*rows, rows[1]], "registry")
    assert str(twice.problems[-1]) == (
        "row 1202, column `consent_id`: `c-1` is already in row 3"
    )
    assert len(twice.rows) == 1_163


def test_a_problem_never_shows_the_subject() -> None:
    """An id that is in nobody's way stays out of the report."""
    report = consent_rows([ROW | {"max_uses": "x"}, ROW], "registry")
    assert SECRET not in "".join(map(str, report.problems))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda row: row.pop("separate"), "row 2, column `separate`: missing cell"),
        (
            lambda row: row.update(note="x"),
            "row 2, column `note`: unknown column, or more cells than columns",
        ),
    ],
)
def test_a_row_of_another_shape(
    change: Callable[[dict[str, str]], object], expected: str
) -> None:
    """Cells that are missing or too many are problems, not guesses."""
    row = dict(ROW)
    change(row)
    (problem,) = consent_rows([row], "registry").problems
    assert str(problem) == expected


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (CONSENT_COLUMNS[1:], "missing column `consent_id`"),
        ((*CONSENT_COLUMNS, "note"), "unknown column `note`"),
        ((*CONSENT_COLUMNS, "scope"), "column `scope` is there twice"),
    ],
)
def test_a_header_of_another_shape(columns: tuple[str, ...], message: str) -> None:
    """The columns are these, in any order."""
    with pytest.raises(DocumentInvalid, match=message):
        check_header(columns, CONSENT_COLUMNS)


def test_a_header_in_any_order() -> None:
    """Spreadsheets are rearranged."""
    check_header(CONSENT_COLUMNS[::-1], CONSENT_COLUMNS)
    check_header(EVENT_COLUMNS, EVENT_COLUMNS)


EVENT_ROW = {
    "consent_id": "c-1",
    "event": "withdraw",
    "at": "2026-03-01T12:00:00Z",
    "reason": "by letter",
}


def test_rows_of_events() -> None:
    """Events keep their order and carry the registrar's name."""
    report = event_rows(
        [EVENT_ROW | {"event": "suspend", "at": "2026-02-01T00:00Z"}, EVENT_ROW]
    )
    assert report.problems == ()
    assert [row.event for row in report.rows] == [Event.SUSPEND, Event.WITHDRAW]
    assert report.rows[1].consent_event("registry") == ConsentEvent(
        "c-1", Event.WITHDRAW, 1_772_366_400_000, "by letter", "registry"
    )


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        (
            "event",
            "grant",
            (
                "expected one of `suspend`, `resume`, `withdraw`, `invalidate`,"
                " got `grant`"
            ),
        ),
        ("at", "yesterday", "expected a time with a zone, got `yesterday`"),
        ("reason", "r" * 201, "expected at most 200 printable characters"),
    ],
)
def test_a_bad_cell_of_an_event(column: str, cell: str, message: str) -> None:
    """The same report as for consents."""
    (problem,) = event_rows([EVENT_ROW | {column: cell}]).problems
    assert str(problem) == f"row 2, column `{column}`: {message}"


def test_the_same_event_twice() -> None:
    """A repeated line is refused; suspending again at another time is not."""
    report = event_rows([EVENT_ROW, EVENT_ROW])
    assert str(report.problems[0]) == (
        "row 3, column `consent_id`: the same event is already in row 2"
    )
    again = EVENT_ROW | {"at": "2026-03-01T12:00:01Z"}
    assert event_rows([EVENT_ROW, again]).problems == ()


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)),  # noqa: DTZ001
    st.integers(-14 * 60, 14 * 60),
)
def test_times_are_exact(moment: datetime, offset: int) -> None:
    """Whole milliseconds since 1970 in any zone, by integers only."""
    zone = timezone(timedelta(minutes=offset))
    local = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=zone)
    expected = (local - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)
    assert read_time(local.isoformat(timespec="milliseconds")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-W01-1T00:00Z",
        "20260101T000000Z",
        "2026-01-01T00:00:00.1234Z",
        "2026-01-01T00:00:00 +08:00",
        "２026-01-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:00+24:00",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+08:00",
    ],
)
def test_times_that_are_refused(text: str) -> None:
    """One profile, no guesses."""
    with pytest.raises(DocumentInvalid):
        read_time(text)
