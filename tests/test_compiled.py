"""The canonical integers of a contract: one encoding, one hash, checked on the way in.

Case 52: what is edited after approval has another hash, or is no contract.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.compile import Compiled, compile_contract
from contracts.compiled import Answer, millibits
from contracts.dataset import Dataset
from contracts.errors import DocumentInvalid, OutOfRange
from contracts.scoring import ScoringContract
from protocols.canon import Tag, digest, dumps
from protocols.errors import FormatError
from protocols.program import OUT_OF_RANGE

GERMAN = Path(__file__).parent.parent / "examples/german-credit"
DATASETS = {
    path.stem: Dataset.from_yaml(path.read_bytes(), path.name)
    for path in sorted((GERMAN / "datasets").glob("*.yaml"))
}
TEXT = (GERMAN / "contract.yaml").read_text()


def compiled_of(text: str = TEXT) -> Compiled:
    """Compile the German card, or something like it."""
    contract = ScoringContract.from_yaml(text, "contract.yaml")
    return compile_contract(contract, DATASETS)


def test_bytes_read_back_and_have_one_hash() -> None:
    """The auditor's contract is the author's."""
    compiled = compiled_of()
    data = compiled.to_bytes()
    assert Compiled.parse(data) == compiled
    assert Compiled.parse(data).to_bytes() == data
    assert compiled.hash == digest(Tag.CONTRACT, data)


def test_the_hash_of_the_example_is_known() -> None:
    """A change of the format or of the compiler must not go unnoticed."""
    assert compiled_of().hash.hex() == (
        "cf271a3b133bbb3c2f4fe37a2fa994757623b4517441db2292ca96d83132945c"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title: 贷款预审评分（德国信贷示例）", "title: 另一个"),
        ("title: 无业", "title: 没有工作"),
        ("- name: credit-record", "- name: credit-records"),
        ("expect: {grade: D, limit: 0}", "expect: {grade: C, limit: 0}"),
        ("# Fen", "# Cents"),
        ('"... < 0 DM": -34', '"... < 0 DM": -34.0'),
    ],
)
def test_words_are_not_in_the_hash(old: str, new: str) -> None:
    """Titles, groupings, examples, comments and spelling of numbers."""
    assert TEXT.count(old) == 1
    assert compiled_of(TEXT.replace(old, new)).hash == compiled_of().hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: german-card", "name: german-cards"),
        ("version: 1\n", "version: 2\n"),
        ("purpose: loan-precheck", "purpose: loan-approval"),
        ("author: jnrcb", "author: lsbank"),
        ("banks: [jnrcb, lsbank]", "banks: [jnrcb]"),
        ("base: 447", "base: 448"),
        ('"... < 0 DM": -34', '"... < 0 DM": -33'),
        ("reason: no-employment\n", "reason: without-work\n"),
        ("{from: 650, value: AAA}", "{from: 650, value: S}"),
        ("cap: 30000000", "cap: 29000000"),
        ("most_outcomes: 33", "most_outcomes: 34"),
        ("narrowest_band: 10", "narrowest_band: 9"),
        ("bits_per_90_days: 6", "bits_per_90_days: 7"),
    ],
)
def test_every_meaning_is_in_the_hash(old: str, new: str) -> None:
    """What custodians sign covers all of it."""
    text = TEXT.replace(old, new)
    if "reason" in old:  # its waiver and its example name it too
        text = text.replace("no-employment\n", "without-work\n")
    assert compiled_of(text).hash != compiled_of().hash


def test_a_dataset_s_schema_and_tier_are_in_the_hash() -> None:
    """A custodian that changes what a column means changes the contract."""
    contract = ScoringContract.from_yaml(TEXT, "contract.yaml")
    text = (GERMAN / "datasets/housing-loans.yaml").read_text()
    for old, new in (("tier: T1", "tier: T2"), ("cycle: monthly", "cycle: daily")):
        other = Dataset.from_yaml(text.replace(old, new), "d.yaml")
        compiled = compile_contract(contract, DATASETS | {"housing-loans": other})
        assert compiled.hash != compiled_of().hash


def test_every_code_is_explained() -> None:
    """And none other: a code from nowhere is our own mistake."""
    compiled = compiled_of()
    assert str(compiled.explain(0)) == "grade `D`, limit `0`"
    assert str(compiled.explain(-2)) == "vetoed `many-credits`"
    assert str(compiled.explain(-3)) == "vetoed `no-employment`"
    assert compiled.explain(-4).answer is Answer.INSUFFICIENT_DATA
    with pytest.raises(OutOfRange, match="the total is outside 0 to 701"):
        compiled.explain(OUT_OF_RANGE)
    for code in (33, -5):
        with pytest.raises(RuntimeError):
            compiled.explain(code)


@pytest.mark.parametrize("outcomes", range(1, 65))
@pytest.mark.parametrize("groups", [1, 3, 5])
def test_millibits_are_the_least_integer_above(outcomes: int, groups: int) -> None:
    """2^k >= answers^1000 > 2^(k - 1), without a float."""
    k, answers = millibits(outcomes, groups), outcomes + 2**groups - 1
    assert 2**k >= answers**1000 > 2 ** (k - 1)


def _group(document: dict[str, Any], **change: object) -> None:
    document["groups"][-1].update(change)


CRIMES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "presence sign inverted": (lambda d: _group(d, sign=1), "does not cancel"),
    "presence sign inverted, constant too": (
        lambda d: _group(d, sign=1, constant=0),
        "to be last",
    ),
    "insufficient_data gone": (lambda d: d["groups"].pop(), "to be last"),
    "a dataset's presence not asked": (
        lambda d: _group(d, members=[18, 32], constant=2),
        "insufficient_data is not over the `_present` columns",
    ),
    "another column for presence": (
        lambda d: _group(d, members=[17, 32, 60]),
        "insufficient_data is not over the `_present` columns",
    ),
    "presence as a veto": (
        lambda d: d["groups"][0].update(members=[18]),
        "a `_present` column is a veto",
    ),
    "presence has points": (
        lambda d: d["datasets"][0]["columns"][-1].__setitem__(2, 5),
        "a `_present` column has a weight",
    ),
    "no guard zone": (lambda d: d.update(m=10), "no guard zone"),
    "m too large": (
        lambda d: d.update(m=12, fields=[[0, 13], [13, 6], [19, 6], [25, 6]]),
        "m is not the smallest that fits",
    ),
    "fields moved": (lambda d: d["fields"][1].__setitem__(0, 13), "not laid out"),
    "step repeated": (lambda d: d["steps"].insert(1, [0, 1]), "do not ascend"),
    "step that changes nothing": (
        lambda d: d["steps"].insert(1, [5, 0]),
        "a step changes nothing",
    ),
    "outcome unused": (
        lambda d: d["outcomes"].append(["E", 0]) or d.update(millibits=5358),
        "steps and outcomes do not fit",
    ),
    "outcome twice": (
        lambda d: d["outcomes"].__setitem__(1, d["outcomes"][0]),
        "two outcomes are one",
    ),
    "outcome without a field": (lambda d: d["outcomes"][3].pop(), "one value for eac"),
    "outcome of a float's kind": (
        lambda d: d["outcomes"].__setitem__(3, ["B", True]),
        "expected texts and integers",
    ),
    "millibits told too low": (lambda d: d.update(millibits=1), "millibits are not"),
    "limit below a call": (
        lambda d: d.update(limit_millibits=5000),
        "a call reveals more than the limit",
    ),
    "more outcomes than promised": (
        lambda d: d["release"].update(most_outcomes=32),
        "more outcomes than released",
    ),
    "waived by a stranger": (
        lambda d: d["waivers"][0].update(signed_by="jnrcb"),
        "a waiver is not a custodian's",
    ),
    "no bank": (lambda d: d.update(banks=[]), "no bank may call"),
    "columns swapped": (
        lambda d: d["datasets"][0]["columns"].reverse(),
        "columns of `credit-bureau` are not in order",
    ),
    "column index repeated": (
        lambda d: d["datasets"][0]["columns"][1].__setitem__(1, 0),
        "columns of `credit-bureau` are not in order",
    ),
    "dataset twice": (
        lambda d: d["datasets"][1].update(id="credit-bureau"),
        "a dataset is there twice",
    ),
    "unknown tier": (lambda d: d["datasets"][0].update(tier="T9"), "unknown tier"),
    "short schema hash": (lambda d: d["datasets"][0].update(schema="00"), "32 bytes"),
    "weight of another kind": (
        lambda d: d["datasets"][0]["columns"][0].__setitem__(2, "5"),
        "expected integers",
    ),
    "truth value as a weight": (
        lambda d: d["datasets"][0]["columns"].__setitem__(0, ["x", 0, True]),
        "expected integers",
    ),
    "column without a weight": (
        lambda d: d["datasets"][0]["columns"][0].pop(),
        "expected name, index, weight",
    ),
    "unknown member": (lambda d: d.update(extra=1), "unknown member `extra`"),
    "missing member": (lambda d: d.pop("scale"), "missing member `scale`"),
    "scale 0": (lambda d: d.update(scale=0), "expected 1 to"),
}


@pytest.mark.parametrize("crime", CRIMES)
def test_integers_that_do_not_fit_each_other_are_refused(crime: str) -> None:
    """Each by the sum it breaks."""
    commit, message = CRIMES[crime]
    document = json.loads(compiled_of().to_bytes())
    commit(document)
    with pytest.raises((FormatError, DocumentInvalid)) as caught:
        Compiled.parse(dumps(document))
    assert message in str(caught.value)


@settings(max_examples=150)
@given(st.data())
def test_no_byte_can_change_and_keep_the_hash(data: st.DataObject) -> None:
    """An edit is refused, or it is another contract with another hash."""
    compiled = compiled_of()
    raw = bytearray(compiled.to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        other = Compiled.parse(bytes(raw))
    except (FormatError, DocumentInvalid):
        return
    assert (other.hash == compiled.hash) == (other == compiled)
