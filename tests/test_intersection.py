"""Contracts for intersection: read, compiled, held to rules; whether sessions run."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import intersection, kinds, sessions
from contracts.basis import STRICT, Accepted, Basis
from contracts.consent import Consent, Evidence, Frequency, Status
from contracts.contract import ContractKind
from contracts.dataset import Dataset, Tier
from contracts.decide import Data, Grant, Reason
from contracts.errors import (
    ContractError,
    DocumentInvalid,
    RuleBroken,
    SourceError,
)
from contracts.intersection import CompiledIntersection
from contracts.sessions import SessionTerms, Whose
from contracts.subject import SubjectType
from protocols.canon import Json, dumps, loads
from protocols.errors import FormatError
from protocols.psi import Mode
from protocols.psi_call import ListManifest

LIST = """\
apiVersion: safehouse/v1
kind: Dataset
metadata: {name: subsidy, title: 惠农补贴名单}
spec:
  custodian: agriculture
  unit: 区农业农村局
  category: 惠农补贴
  cycle: monthly
  tier: T0
  subject: opaque
  list: true
"""
CONTRACT = """\
apiVersion: safehouse/v1
kind: QueryContract
metadata: {name: customers, version: 1, title: 客户比对}
spec:
  purpose: pre-approval
  subject: opaque
  author: jnrcb
  banks: [jnrcb, lsbank]
  psi: {list: subsidy, mode: intersection, most_ids: 50000, sessions_per_quarter: 4}
"""
SUBSIDY = Dataset.from_yaml(LIST, "list.yaml")
DATASETS = {"subsidy": SUBSIDY}
END = 10**15


def compiled(text: str = CONTRACT) -> CompiledIntersection:
    """Compile a contract as everybody does who meets it."""
    found = kinds.read(text, "contract.yaml").admit(DATASETS)
    assert isinstance(found, CompiledIntersection)
    return found


# -- lists


def test_a_list_is_a_dataset_without_columns() -> None:
    """Its canonical schema says so, and is read back."""
    assert SUBSIDY.is_list
    assert Dataset.from_bytes(SUBSIDY.to_bytes()) == SUBSIDY
    assert b'"list":true' in SUBSIDY.to_bytes()
    assert b"columns" not in SUBSIDY.to_bytes()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  list: true\n", "", "expected `columns`, or `list: true`"),
        ("list: true", "list: false", "expected true"),
        ("list: true", "list: yes", "expected true or false, got `yes`"),
        (
            "list: true",
            "list: true\n  columns: [{name: a, flag: {}}]",
            "expected `columns`, or `list: true`",
        ),
    ],
)
def test_lists_that_are_none(old: str, new: str, told: str) -> None:
    """Neither both, nor neither, nor a list that is not one."""
    with pytest.raises(SourceError) as caught:
        Dataset.from_yaml(LIST.replace(old, new), "list.yaml")
    assert told in str(caught.value)


# -- contracts


def test_what_a_contract_says() -> None:
    """Text to integers, to canonical bytes, and back."""
    found = compiled()
    assert found.kind is ContractKind.PSI
    assert found.mode is Mode.INTERSECTION
    assert (found.most_ids, found.sessions) == (50_000, 4)
    assert (found.millibits, found.limit_millibits) == (1_000, 4_000)
    assert [used.id for used in found.datasets] == ["subsidy"]
    assert kinds.parse(found.to_bytes()) == found
    assert kinds.parse(found.to_bytes()).hash == found.hash


def test_the_mode_is_intersection_unless_said() -> None:
    """Who says nothing asks who; the hash tells the two apart."""
    counted = compiled(CONTRACT.replace("mode: intersection", "mode: cardinality"))
    assert counted.mode is Mode.CARDINALITY
    silent = compiled(CONTRACT.replace(" mode: intersection,", ""))
    assert silent.hash == compiled().hash != counted.hash


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("list: subsidy", "list: subsidies", "unknown list `subsidies`"),
        ("subject: opaque", "subject: cn-uscc", "is about `opaque`"),
        ("most_ids: 50000", "most_ids: 0", "expected 1 to 1048576"),
        ("mode: intersection", "mode: union", "unknown word `union`"),
        ("[jnrcb, lsbank]", "[jnrcb, jnrcb]", "`jnrcb` is there twice"),
        ("sessions_per_quarter: 4", "sessions: 4", "unknown key `sessions`"),
    ],
)
def test_contracts_that_are_refused(old: str, new: str, told: str) -> None:
    """By line, with the words of who wrote it."""
    with pytest.raises(ContractError) as caught:
        compiled(CONTRACT.replace(old, new))
    assert told in str(caught.value)


def test_a_dataset_with_columns_is_no_list() -> None:
    """Nor is a list anything that a score could read."""
    flags = LIST.replace("list: true", "columns: [{name: a, flag: {}}]")
    datasets = {"subsidy": Dataset.from_yaml(flags, "flags.yaml")}
    with pytest.raises(SourceError, match="dataset `subsidy` is no list"):
        kinds.read(CONTRACT, "contract.yaml").compile(datasets)


def test_a_sensitive_list_is_refused() -> None:
    """T3: whether somebody is on it is what separate consent protects."""
    datasets = {"subsidy": replace(SUBSIDY, tier=Tier.T3)}
    with pytest.raises(SourceError, match="tier T3"):
        kinds.read(CONTRACT, "contract.yaml").compile(datasets)


RULES = {
    "most-ids": ("most_ids: 50000", "most_ids: 100001", "100001"),
    "sessions": ("sessions_per_quarter: 4", "sessions_per_quarter: 5", "5 a quarter"),
}


@pytest.mark.parametrize("rule", RULES)
def test_rules(rule: str) -> None:
    """Broken rules are refused unless the list's custodian answers for them."""
    old, new, figure = RULES[rule]
    text = CONTRACT.replace(old, new)
    with pytest.raises(RuleBroken, match=f"rule `{rule}`.*got {figure}"):
        compiled(text)
    waived = (
        text + f"  waivers: [{{rule: {rule}, reason: a, signed_by: agriculture}}]\n"
    )
    assert compiled(waived).waivers[0].rule == rule
    other = waived.replace("signed_by: agriculture", "signed_by: jnrcb")
    with pytest.raises(SourceError, match="`jnrcb` signs no approval"):
        compiled(other)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mode": "union"}, "unknown mode `union`"),
        ({"sessions": 0}, "expected 1 to 1000"),
        ({"banks": []}, "no bank may call"),
        ({"score": 1}, "unknown member `score`"),
        (
            {"list": {"id": "a", "schema": "0" * 64, "tier": "T3", "custodian": "b"}},
            "the list is sensitive",
        ),
        (
            {"waivers": [{"rule": "sessions", "reason": "r", "signed_by": "jnrcb"}]},
            "a waiver is not the custodian's",
        ),
    ],
)
def test_canonical_bytes_that_are_refused(change: dict[str, Json], told: str) -> None:
    """Whoever sends them."""
    members = loads(compiled().to_bytes(), intersection.VERSION)
    with pytest.raises((FormatError, DocumentInvalid), match=told):
        kinds.parse(dumps({**members, **change}))


def test_a_plan_says_who_learns_what() -> None:
    """Before anybody signs."""
    planned = kinds.plan(compiled(), DATASETS)
    text = "\n".join(f"{line.word:8} {line.text}" for line in planned.lines)
    assert "which of its customers are on the list" in text
    assert "at most 50000 customers, 4 sessions" in text
    assert planned.missing_approvals == ("agriculture",)
    assert planned.calls_per_90_days == 4


# -- sessions


MANIFEST = ListManifest(
    list="subsidy",
    version=1,
    schema=SUBSIDY.schema_hash,
    custodian="agriculture",
    vintage="2026-01",
    rows=7,
    entries=bytes(32),
    markers=bytes(32),
    key=bytes(32),
    box=bytes(32),
    consents=b"",
    created_ms=1,
)


@pytest.mark.parametrize(
    ("points", "before", "version", "expected"),
    [
        (1, 0, "newest", []),
        (50_000, 3, "newest", []),
        (50_001, 0, "newest", [Reason.TOO_MANY]),
        (1, 4, "newest", [Reason.SESSIONS_SPENT]),
        (1, 0, "older", [Reason.STALE_DATA]),
        (
            50_001,
            9,
            "older",
            [Reason.SESSIONS_SPENT, Reason.TOO_MANY, Reason.STALE_DATA],
        ),
    ],
)
def test_sessions(
    points: int, before: int, version: str, expected: list[Reason]
) -> None:
    """Cap and quota, exact to one; every reason, in order."""
    terms = SessionTerms.of(compiled(), MANIFEST)
    newest = version == "newest"
    found = sessions.findings(terms, points, before, newest=newest)
    assert expected == [finding.reason for finding in found]


def test_a_count_has_as_many_points_beside_as_the_list_has_entries() -> None:
    """Else the number of points would tell how many of them are markers."""
    text = CONTRACT.replace("mode: intersection", "mode: cardinality")
    terms = SessionTerms.of(compiled(text), MANIFEST)
    for points, expected in ((7, 1), (8, 0), (50_007, 0), (50_008, 1)):
        found = sessions.findings(terms, points, 0, newest=True)
        assert expected == len(found)


CONSENT = Consent(
    consent_id="c-1",
    subject=bytes(32),
    subject_type=SubjectType.OPAQUE,
    grantees=("jnrcb",),
    purposes=("pre-approval",),
    scope=("dataset:subsidy",),
    not_before_ms=100,
    not_after_ms=END,
    max_uses=None,
    frequency=None,
    separate=False,
    evidence_kind=Evidence.ONLINE,
    evidence_digest=b"",
    granted_at_ms=100,
    registrar="registrar",
)
WHOSE = Whose(
    "jnrcb", "pre-approval", "customers", Data("subsidy", Tier.T1, "惠农补贴")
)


def test_a_consent_covers_an_entry() -> None:
    """By the list's name, or by the contract's."""
    assert sessions.covers(Grant(CONSENT, Status.ACTIVE, b""), WHOSE, 100)
    named = replace(CONSENT, scope=("contract:customers",))
    assert sessions.covers(Grant(named, Status.ACTIVE, b""), WHOSE, 100)
    named = replace(CONSENT, scope=("category:惠农补贴",))
    assert sessions.covers(Grant(named, Status.ACTIVE, b""), WHOSE, 100)


def test_an_order_covers_an_entry_where_the_domain_accepts_it() -> None:
    """By the tier and category of the list."""
    order = replace(
        CONSENT, evidence_kind=Evidence.STATUTORY, evidence_digest=b"d" * 32
    )
    grant = Grant(order, Status.ACTIVE, b"")
    assert not sessions.covers(grant, WHOSE, 100)
    for tier, word, covered in ((Tier.T1, "惠农补贴", True), (Tier.T1, "纳税", False)):
        rule = STRICT.with_rows([Accepted(Basis.STATUTORY, (tier,), (word,))])
        assert sessions.covers(grant, replace(WHOSE, bases=rule), 100) is covered


@pytest.mark.parametrize(
    "change",
    [
        {"grantees": ("lsbank",)},
        {"purposes": ("loan-approval",)},
        {"scope": ("dataset:tax",)},
        {"scope": ("category:纳税",)},
        {"not_before_ms": 101},
        {"not_after_ms": 100, "not_before_ms": 99},
        {"granted_at_ms": 101, "not_before_ms": 100},
        {"max_uses": 5},
        {"frequency": Frequency(1, 1)},
    ],
)
def test_a_consent_that_does_not(change: dict[str, object]) -> None:
    """Another bank, purpose, scope or time; or uses that nobody could count."""
    consent = object.__new__(Consent)
    for name in Consent.__dataclass_fields__:
        object.__setattr__(consent, name, change.get(name, getattr(CONSENT, name)))
    assert not sessions.covers(Grant(consent, Status.ACTIVE, b""), WHOSE, 100)


def test_a_consent_that_is_no_more() -> None:
    """Withdrawn, invalidated, suspended, not approved, or never there."""
    waiting = Grant(CONSENT, Status.ACTIVE, b"", pending=True)
    assert not sessions.covers(waiting, WHOSE, 100)
    for status in set(Status) - {Status.ACTIVE}:
        assert not sessions.covers(Grant(CONSENT, status, b""), WHOSE, 100)
    assert not sessions.covers(None, WHOSE, 100)


@given(active=st.lists(st.booleans(), max_size=20))
def test_who_takes_part(active: list[bool]) -> None:
    """Exactly the entries with a consent in force."""
    grants = [
        Grant(CONSENT, Status.ACTIVE if on else Status.WITHDRAWN, b"") for on in active
    ]
    runs = sessions.dropped(grants, WHOSE, 100)
    out = {first + i for first, count in runs for i in range(count)}
    assert out == {i for i, on in enumerate(active) if not on}
