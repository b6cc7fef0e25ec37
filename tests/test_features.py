"""A bank's features as a clerk hands them over: whatever is not one row is refused."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from contracts.bank_model import BankModel
from contracts.errors import ContractError, DocumentInvalid, SubjectInvalid
from contracts.subject import SubjectType
from node.errors import TableInvalid
from node.feature_files import read
from node.features import cells
from tests.joint_town import model_source

MODEL = BankModel.from_yaml(model_source(), "model.yaml")
# Two columns of the document are read from one of the bank's.
TWICE = BankModel.from_yaml(
    model_source()
    .replace("  points:", "    - {name: new, from: 开户年数, flag: {}}\n  points:")
    .replace("per_unit: 10}", "per_unit: 10}\n    - {column: new, points: 1}"),
    "model.yaml",
)
OPAQUE, USCC = SubjectType.OPAQUE, SubjectType.CN_USCC
TABLE = "subject_id,逾期,name,开户年数\na-1,0,甲,3\na-2,1,乙,8.25\na-3,,丙,\n"


def texts(
    given: str,
    model: BankModel = MODEL,
    subject: str = "a-2",
    kind: SubjectType = OPAQUE,
) -> Mapping[str, str | None]:
    """Read features, as the model will have them."""
    return cells(model, read(given, model, subject, kind))


def test_a_row_a_file_and_an_object_say_the_same(tmp_path: Path) -> None:
    """CSV, Parquet, JSON in a file and in the command line."""
    expected = {"开户年数": "8.25", "逾期": "1"}
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "one.json").write_text('{"逾期": true, "开户年数": 8.250}')
    pd.DataFrame(
        {"subject_id": ["a-1", "a-2"], "开户年数": [3.0, 8.25], "逾期": [0, 1]}
    ).to_parquet(tmp_path / "t.parquet")
    for given in ("t.csv", "t.parquet", "one.json"):
        assert texts(str(tmp_path / given)) == expected
    assert texts(' {"开户年数": "8.25", "逾期": 1}') == expected


def test_what_a_row_does_not_have_is_missing(tmp_path: Path) -> None:
    """The model says what that means: an empty cell, and null."""
    (tmp_path / "t.csv").write_text(TABLE)
    assert texts(str(tmp_path / "t.csv"), subject="a-3") == {"开户年数": "", "逾期": ""}
    assert texts('{"开户年数": null, "逾期": 1}')["开户年数"] is None


def test_a_feature_read_twice_is_read_once_from_the_table(tmp_path: Path) -> None:
    """Two columns of a model may encode one of the bank's."""
    (tmp_path / "t.csv").write_text(TABLE)
    expected = {"开户年数": "8.25", "逾期": "1"}
    assert texts(str(tmp_path / "t.csv"), TWICE) == expected


def test_a_row_is_found_under_every_spelling_of_its_subject(tmp_path: Path) -> None:
    """And rows whose identifiers are wrong are nobody's."""
    code = "91370811990000076E"
    path = tmp_path / "t.csv"
    path.write_text(f"subject_id,开户年数,逾期\nnobody,1,1\n{code.lower()},3,0\n")
    for subject in (code, "９１370811990000076e"):
        assert texts(str(path), subject=subject, kind=USCC)["开户年数"] == "3"
    with pytest.raises(SubjectInvalid):
        texts(str(path), subject="nobody", kind=USCC)


REFUSED = {
    "no row": ("subject_id,逾期,开户年数\na-1,0,3\n", "no row of subject `a-2`"),
    "two rows": (
        "subject_id,逾期,开户年数\na-2,0,3\na-2,0,3\n",
        "2 rows of subject `a-2`",
    ),
    "two spellings": (
        "subject_id,逾期,开户年数\na-2,0,3\n a-2 ,1,3\n",
        "2 rows of subject `a-2`",
    ),
    "unknown column": ("subject_id,逾期,开户年\na-2,0,3\n", "no column `开户年数`"),
    "no subjects": ("id,逾期,开户年数\na-2,0,3\n", "no column `subject_id`"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_without_the_one_row_is_refused(tmp_path: Path, name: str) -> None:
    """By what is wrong with it."""
    text, message = REFUSED[name]
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises((DocumentInvalid, TableInvalid), match=message):
        texts(str(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            '{"开户年": 3, "逾期": 0}',
            "has no feature `开户年`",
            "did you mean `开户年数`?",
        ),
        ('{"逾期": 0, "逾期": 1, "开户年数": 3}', "a feature is there twice", ""),
        ('{"逾期": [0], "开户年数": 3}', "`逾期` is no single value", ""),
        ('{"逾期": {"x": 0}, "开户年数": 3}', "`逾期` is no single value", ""),
        ('{"逾期": NaN, "开户年数": 3}', "not JSON", None),
        ('{"逾期": 0', "not JSON", None),
        ('{"x":' * 10_000, "not JSON", None),
    ],
)
def test_an_object_that_is_none_of_features_is_refused(
    text: str, message: str, hint: str | None
) -> None:
    """Unknown, doubled, nested, or no JSON."""
    with pytest.raises(DocumentInvalid, match=message) as caught:
        texts(text)
    assert hint is None or caught.value.hint == hint


@pytest.mark.parametrize("data", [b"[1, 2]", b"3", b"\xff\xfe\xff", b""])
def test_a_file_without_an_object_is_refused(tmp_path: Path, data: bytes) -> None:
    """A list has no names."""
    path = tmp_path / "one.json"
    path.write_bytes(data)
    with pytest.raises(DocumentInvalid, match=r"`one\.json`: (not JSON|expected an)"):
        texts(str(path))
    path.unlink()
    with pytest.raises(OSError, match="No such file"):
        texts(str(path))


def test_a_feature_that_is_missing_is_named_with_its_like() -> None:
    """Of what the bank gave, not of what the model has."""
    with pytest.raises(DocumentInvalid, match="no feature `开户年数`") as caught:
        MODEL.points(cells(MODEL, {"开户年": Decimal(3), "逾期": 0}))
    assert caught.value.hint == "did you mean `开户年`?"


def test_no_refusal_tells_a_value() -> None:
    """It may travel to people who must not see the record."""
    for text in ('{"开户年数": 7741, "逾期": 0}', '{"开户年数": [7741], "逾期": 0}'):
        with pytest.raises(ContractError) as caught:
            MODEL.points(texts(text) | {"逾期": "7741"})
        assert "7741" not in f"{caught.value} {caught.value.hint}"
