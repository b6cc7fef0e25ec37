"""A dataset document means one thing, in YAML and in canonical bytes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.dataset import MAX_ENCRYPTED, PRESENT, Cycle, Dataset, Tier
from contracts.encoding import Kind
from contracts.errors import DocumentInvalid, SourceError, ValueInvalid
from contracts.subject import SubjectType
from protocols.canon import Tag, digest, dumps
from protocols.errors import FormatError

DOCUMENT = """\
apiVersion: safehouse/v1
kind: Dataset
metadata: {name: housing-loans, title: 住房贷款}
spec:
  custodian: housing-loans
  unit: 区住房保障中心
  category: 住房公积金
  cycle: monthly
  tier: T1
  subject: opaque
  columns:
    - {name: housing, title: 住房, category: [rent, own, for free]}
    - name: duration
      from: duration_in_month
      bins: [8, 16.50]
      missing: {class: unknown, texts: ["", NA]}
    - {name: long, from: duration_in_month, flag: {at_least: 44}, missing: {default: 0}}
    - {name: amount, integer: {min: 0, max: 20000}, missing: {default: 0}}
"""
ROW = {"housing": "own", "duration_in_month": "48", "amount": "700", "name": "x"}


def changed(old: str, new: str) -> str:
    """Return the document with one thing different."""
    assert DOCUMENT.count(old) == 1
    return DOCUMENT.replace(old, new)


def refusal(text: str) -> SourceError:
    """Return the error that a document ends in."""
    with pytest.raises(SourceError) as caught:
        Dataset.from_yaml(text, "d.yaml")
    return caught.value


def test_a_document_is_read_whole() -> None:
    """Everything that YAML says is in the dataset."""
    dataset = Dataset.from_yaml(DOCUMENT, "d.yaml")
    assert (dataset.name, dataset.version, dataset.title) == (
        "housing-loans",
        1,
        "住房贷款",
    )
    assert (dataset.cycle, dataset.tier) == (Cycle.MONTHLY, Tier.T1)
    assert dataset.subject_type is SubjectType.OPAQUE
    assert [column.name for column in dataset.encrypted] == [
        "housing=rent",
        "housing=own",
        "housing=for free",
        "duration=[-inf,8)",
        "duration=[8,16.5)",
        "duration=[16.5,inf)",
        "duration=unknown",
        "long",
        "amount",
        PRESENT,
    ]
    assert dataset.encrypted[-1].kind is Kind.PRESENT


def test_a_row_is_encoded_in_the_order_of_the_encrypted_columns() -> None:
    """Two columns may come from one source column; `_present` is 1 at the end."""
    dataset = Dataset.from_yaml(DOCUMENT, "d.yaml")
    assert dataset.encode(ROW) == (0, 1, 0, 0, 0, 1, 0, 1, 700, 1)
    empty = dict(ROW, duration_in_month="", amount=None)
    assert dataset.encode(empty) == (0, 1, 0, 0, 0, 0, 1, 0, 0, 1)
    assert dataset.absent() == (0,) * 10
    with pytest.raises(ValueInvalid, match="column `housing`: expected one of the 3"):
        dataset.encode(dict(ROW, housing=""))


def test_a_table_without_a_source_column_is_refused_by_name() -> None:
    """A renamed column must not become a missing value."""
    dataset = Dataset.from_yaml(DOCUMENT, "d.yaml")
    with pytest.raises(DocumentInvalid) as caught:
        dataset.encode({"housing": "own", "duration_in_months": "48", "amount": ""})
    assert str(caught.value) == (
        "dataset `housing-loans`: no source column `duration_in_month`"
    )
    assert caught.value.hint == "did you mean `duration_in_months`?"


def test_the_canonical_schema_reads_back() -> None:
    """A house and an auditor get the same dataset from bytes; titles are not in it."""
    dataset = Dataset.from_yaml(DOCUMENT, "d.yaml")
    data = dataset.to_bytes()
    assert Dataset.from_bytes(data) == dataset
    assert Dataset.from_bytes(data).to_bytes() == data
    assert dataset.schema_hash == digest(Tag.DATASET, data)
    assert "住房贷款".encode() not in data


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title: 住房贷款", "title: other"),
        ("title: 住房,", "title: other,"),
        ("16.50", '"16.5"'),
        ("monthly", "monthly # now and then"),
        ("from: duration_in_month\n", "from: 'duration_in_month'\n"),
    ],
)
def test_wording_does_not_change_the_hash(old: str, new: str) -> None:
    """Titles, comments and quotes are not the meaning."""
    before = Dataset.from_yaml(DOCUMENT, "d.yaml")
    assert (
        Dataset.from_yaml(changed(old, new), "d.yaml").schema_hash == before.schema_hash
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: housing-loans,", "name: housing-loan,"),
        ("name: housing-loans,", "name: housing-loans, version: 2,"),
        ("custodian: housing-loans", "custodian: court"),
        ("区住房保障中心", "区法院"),
        ("住房公积金", "司法"),
        ("monthly", "daily"),
        ("T1", "T2"),
        ("opaque", "cn-uscc"),
        ("[rent, own, for free]", "[own, rent, for free]"),
        ("16.50", "16.51"),
        ("from: duration_in_month\n", "from: duration\n"),
        ("at_least: 44", "at_least: 45"),
        ('texts: ["", NA]', 'texts: [""]'),
        ("class: unknown", "class: none"),
        ("max: 20000", "max: 20001"),
        ("max: 20000", "max: 20000, cap: true"),
        ("max: 20000", "max: 20000, scale: 2"),
    ],
)
def test_every_change_of_meaning_changes_the_hash(old: str, new: str) -> None:
    """What custodians sign covers all of it."""
    before = Dataset.from_yaml(DOCUMENT, "d.yaml")
    after = Dataset.from_yaml(changed(old, new), "d.yaml")
    assert after.schema_hash != before.schema_hash
    assert Dataset.from_bytes(after.to_bytes()) == after


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("kind: Dataset", "kind: Consent", "2:7", "expected kind `Dataset`"),
        ("tier: T1", "tier: T4", "9:9", "unknown word `T4`"),
        ("tier: T1", "teir: T1", "9:3", "unknown key `teir`"),
        ("  tier: T1\n", "", "5:3", "missing key `tier`"),
        ("cycle: monthly", "cycle: hourly", "8:10", "unknown word `hourly`"),
        ("subject: opaque", "subject: cn-usc", "10:12", "unknown word `cn-usc`"),
        ("name: long", "name: housing", "17:7", "column `housing` is there twice"),
        ("name: housing-loans,", "name: Housing,", "3:18", "expected a name"),
        ("custodian: housing-loans", "custodian: a/b/c", "5:14", "expected a party id"),
        ("name: housing-loans,", "name: h, version: 0,", "3:30", "expected 1 to"),
    ],
)
def test_a_wrong_document_is_refused_where_it_is_wrong(
    old: str, new: str, place: str, message: str
) -> None:
    """With line and column."""
    assert str(refusal(changed(old, new))).startswith(f"d.yaml:{place}: {message}")


def test_a_dataset_too_wide_for_a_block_file_is_refused() -> None:
    """`protocols.blocks` holds 4,096 columns."""
    classes = ", ".join(f"c{i}" for i in range(200))
    columns = "".join(
        f"    - {{name: x{i}, category: [{classes}]}}\n" for i in range(21)
    )
    head = DOCUMENT[: DOCUMENT.index("    - {name: housing")]
    error = refusal(head + columns)
    assert f"expected at most {MAX_ENCRYPTED} encrypted columns, got 4201" in str(error)


def test_bytes_that_yaml_could_not_have_said_are_refused() -> None:
    """There is one reader and one canonical form."""
    data = Dataset.from_yaml(DOCUMENT, "d.yaml").to_bytes()
    with pytest.raises(FormatError, match="not canonical"):
        Dataset.from_bytes(data + b"\n")
    with pytest.raises(FormatError, match="expected version"):
        Dataset.from_bytes(data.replace(b"dataset/1", b"dataset/2"))
    document = json.loads(data)
    crimes = {
        "unknown word `T9`": {"tier": "T9"},
        "unknown key `extra`": {"extra": 1},
        "expected a value, got null": {"tier": None},
        "expected 1 to 500 items, got 0": {"columns": []},
        "forbidden character": {"unit": "a\x00"},
    }
    for message, change in crimes.items():
        bad = dumps({**document, "spec": document["spec"] | change})
        with pytest.raises(DocumentInvalid, match=f"^schema: {message}"):
            Dataset.from_bytes(bad)
    del document["spec"]["columns"][0]["missing"]
    with pytest.raises(DocumentInvalid, match="not written in its canonical form"):
        Dataset.from_bytes(dumps(document))
    document["spec"]["columns"][0]["missing"] = {"texts": [""], "default": "own"}
    document["spec"]["columns"][1]["bins"] = ["8.0", "16.5"]
    with pytest.raises(DocumentInvalid, match="not written in its canonical form"):
        Dataset.from_bytes(dumps(document))


@settings(max_examples=60)
@given(st.data())
def test_any_edited_schema_is_refused_or_means_something_else(
    data: st.DataObject,
) -> None:
    """No byte of a schema can change without changing the dataset."""
    before = Dataset.from_yaml(DOCUMENT, "d.yaml")
    raw = bytearray(before.to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        after = Dataset.from_bytes(bytes(raw))
    except (FormatError, DocumentInvalid):
        return
    assert (after == before) == (bytes(raw) == before.to_bytes())
