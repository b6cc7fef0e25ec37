"""Hypothesis strategies for consents, contracts and calls.

The worlds are tiny on purpose: two banks, two purposes, three datasets, a few
milliseconds of time.  So what is drawn meets and misses about as often.
"""

from hypothesis import strategies as st

from contracts.consent import Consent, ConsentEvent, Event, Evidence, Frequency, Status
from contracts.contract import ContractKind
from contracts.dataset import Tier
from contracts.decide import Ask, Data, Grant, Limits, Terms, Usage
from contracts.lifecycle import Stage
from contracts.subject import SubjectType

BANKS = ("bank-a", "bank-b")
PURPOSES = ("loan", "review")
DATASETS = ("I12", "I13", "I14")
CONTRACT_IDS = ("grade", "limit")
CONSENT_IDS = ("c-1", "c-2")
SUBJECTS = (b"p" * 32, b"q" * 32)
CATEGORIES = ("tax", "court")
SCOPES = tuple(f"contract:{name}" for name in CONTRACT_IDS) + tuple(
    f"dataset:{name}" for name in DATASETS
)
SCOPES += tuple(f"category:{name}" for name in CATEGORIES)

LAST_MS = 20


def some(items: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """At least one of `items`, in any order, each once."""
    return st.lists(st.sampled_from(items), min_size=1, unique=True).map(tuple)


times = st.integers(0, LAST_MS)
frequencies = st.none() | st.builds(Frequency, st.integers(1, 3), st.integers(1, 3))
digests = st.binary(min_size=32, max_size=32)

WORD_LETTERS = st.characters(
    exclude_categories=("C", "Z"), exclude_characters="\"'\\`,;", codec="utf-8"
)
words = st.text(WORD_LETTERS, min_size=1, max_size=128)


@st.composite
def consents(draw: st.DrawFn) -> Consent:
    """Draw a consent that is one."""
    not_before, not_after = sorted(
        draw(st.lists(times, min_size=2, max_size=2, unique=True))
    )
    evidence_kind = draw(st.sampled_from((Evidence.ONLINE, Evidence.PAPER)))
    evidence = digests if evidence_kind is Evidence.PAPER else digests | st.just(b"")
    consent_id = draw(st.sampled_from(CONSENT_IDS))
    earlier = [name for name in CONSENT_IDS if name != consent_id]
    return Consent(
        consent_id=consent_id,
        subject=draw(digests),
        subject_type=draw(st.sampled_from(SubjectType)),
        grantees=draw(some(BANKS)),
        purposes=draw(some(PURPOSES)),
        scope=draw(some(SCOPES)),
        not_before_ms=not_before,
        not_after_ms=not_after,
        max_uses=draw(st.none() | st.integers(1, 3)),
        frequency=draw(frequencies),
        separate=draw(st.booleans()),
        evidence_kind=evidence_kind,
        evidence_digest=draw(evidence),
        granted_at_ms=draw(st.integers(0, not_after - 1)),
        registrar="registry",
        supersedes=draw(st.sampled_from(["", *earlier])),
    )


events = st.builds(
    ConsentEvent,
    st.sampled_from(CONSENT_IDS),
    st.sampled_from(Event),
    times,
    st.text(st.characters(exclude_categories=("C", "Z"), codec="utf-8"), max_size=20),
    st.just("registry"),
)

terms = st.builds(
    Terms,
    contract=digests,
    contract_id=st.sampled_from(CONTRACT_IDS),
    purpose=st.sampled_from(PURPOSES),
    banks=some(BANKS),
    datasets=some(DATASETS).flatmap(
        lambda names: st.tuples(
            *(
                st.builds(
                    Data,
                    st.just(name),
                    st.sampled_from(Tier),
                    st.sampled_from(("", *CATEGORIES)),
                )
                for name in names
            )
        )
    ),
    millibits=st.integers(0, 5),
    limit_millibits=st.integers(0, 10),
    stage=st.sampled_from(Stage),
    kind=st.sampled_from((ContractKind.SCORE, ContractKind.RANGE, ContractKind.JOINT)),
    attribute=st.sampled_from(("", "tax.turnover")),
)

grants = st.builds(
    Grant,
    consents(),
    st.sampled_from(Status),
    st.sampled_from(SUBJECTS),
    st.frozensets(st.sampled_from(BANKS)),
    st.booleans(),
)

usages = st.builds(Usage, *(st.integers(0, 4) for _ in range(6)))

limits = st.builds(
    Limits,
    bank_millibits=st.integers(0, 10),
    subject_millibits=st.integers(0, 10),
    window_ms=st.integers(1, 10),
    answers=st.integers(1, 4),
    joint=st.integers(1, 3),
)


def asks(consent_id: str) -> st.SearchStrategy[Ask]:
    """Draw a request under this consent."""
    return st.builds(
        Ask,
        bank=st.sampled_from(BANKS),
        purpose=st.sampled_from(PURPOSES),
        subject=st.sampled_from(SUBJECTS),
        consent_id=st.just(consent_id),
        spends=st.integers(0, 5),
        kind=st.sampled_from(
            (ContractKind.SCORE, ContractKind.RANGE, ContractKind.JOINT)
        ),
    )
