"""A bank's model: its points are exact, and nobody else learns which one it is."""

from fractions import Fraction

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from contracts.bank_model import BankModel, commitment
from contracts.compiled import Joint
from contracts.errors import (
    ContractError,
    DocumentInvalid,
    PointsBeyond,
    SourceError,
    ValueInvalid,
)
from protocols.canon import Tag
from protocols.sign import sign

TEXT = """
apiVersion: safehouse/v1
kind: BankModel
metadata: {name: behaviour, version: 3, title: 行内行为}
spec:
  contract: town-joint
  base: 0.125
  columns:
    - {name: late, from: 逾期, integer: {min: -2, max: 8}}
    - {name: bill, integer: {min: -50, max: 250, scale: 10}, missing: {default: "0"}}
    - {name: branch, category: [城区, 县域]}
    - {name: salary, flag: {}}
  points:
    - {column: late, standardised: {weight: 0.3, mean: 0.7, deviation: 1.7}}
    - {column: bill, per_unit: -0.0011}
    - {column: branch, points: {城区: 0.05, 县域: -0.2}}
    - {column: salary, points: -0.15}
"""
MODEL = BankModel.from_yaml(TEXT, "m.yaml")
JOINT = Joint("-1", "1")


def features(late: int, bill: str, branch: str, salary: int) -> dict[str, str | None]:
    """Write a row of the bank's own table."""
    return {"逾期": str(late), "bill": bill, "branch": branch, "salary": str(salary)}


@given(
    st.integers(-2, 8),
    st.integers(-500, 2500),
    st.sampled_from(("城区", "县域")),
    st.integers(0, 1),
)
def test_points_are_those_of_the_formula(
    late: int, tenths: int, branch: str, salary: int
) -> None:
    """Standardised numbers, numbers, classes and flags, in exact fractions."""
    bill = f"{tenths / 10:.1f}"
    expected = (
        Fraction("0.125")
        + Fraction("0.3") * (late - Fraction("0.7")) / Fraction("1.7")
        - Fraction("0.0011") * Fraction(tenths, 10)
        + (Fraction("0.05") if branch == "城区" else Fraction("-0.2"))
        - Fraction("0.15") * salary
    )
    row = features(late, bill, branch, salary)
    assert MODEL.points(row) == expected
    assert MODEL.reach[0] <= expected <= MODEL.reach[1]
    number = MODEL.number(Joint("-5", "5"), 10**8, row)
    assert abs(Fraction(number, 10**8) - 5 - expected) <= Fraction(1, 2 * 10**8)


def test_a_missing_value_is_what_the_model_says() -> None:
    """A default, or a refusal that names the column."""
    row = features(0, "0", "城区", 0)
    assert MODEL.points(row | {"bill": None}) == MODEL.points(row)
    with pytest.raises(ValueInvalid, match="column `late`"):
        MODEL.points(row | {"逾期": ""})
    with pytest.raises(DocumentInvalid, match="model `behaviour`: no feature `逾期`"):
        MODEL.points({"bill": "0", "branch": "城区", "salary": "0"})


def test_points_beyond_the_range_are_refused_or_capped() -> None:
    """Never silently sent: the range's lock would make noise of the answer."""
    row, joint = features(8, "-50", "城区", 0), Joint("-1", "0.25")
    with pytest.raises(PointsBeyond) as caught:
        MODEL.number(joint, 100, row)
    assert str(caught.value) == "model `behaviour`: expected points of -1 to 0.25"
    capped = BankModel.from_yaml(TEXT.replace("base: 0.125", "beyond: cap"), "m.yaml")
    assert capped.number(joint, 100, row) == 125
    assert capped.number(Joint("2", "3"), 100, row) == 0


def test_the_commitment_is_of_one_model_of_one_bank() -> None:
    """The same for every call; another weight, title aside, or bank is another."""
    key, other = (Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in (1, 2))

    def named(text: str, by: Ed25519PrivateKey) -> bytes:
        model = BankModel.from_yaml(text, "m.yaml")
        return commitment(sign(Tag.BANK_MODEL, model.to_bytes(), by))

    mine = named(TEXT, key)
    assert named(TEXT.replace("行内行为", "别的"), key) == mine
    others = [
        named(TEXT.replace("0.3,", "0.31,"), key),
        named(TEXT.replace("version: 3", "version: 4"), key),
        named(TEXT.replace("contract: town-joint", "contract: other"), key),
        named(TEXT, other),
    ]
    assert len({mine, *others}) == 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "column: salary, points: -0.15",
            "column: wages, points: 1",
            "unknown column `wages`",
        ),
        (
            "    - {column: salary, points: -0.15}\n",
            "",
            "column `salary` has no points",
        ),
        (
            "{column: salary, points",
            "{column: late, points",
            "`late` has points already",
        ),
        ("points: -0.15", "per_unit: 2", "`salary` is a flag"),
        ("name: salary", "name: late", "column `late` is there twice"),
        ("base: 0.125", "beyond: clip", "unknown word `clip`"),
        ("县域: -0.2", "乡: -0.2", "`branch` has no class `乡`"),
        ("deviation: 1.7", "deviation: 0", "expected a deviation above 0"),
        ("kind: BankModel", "kind: Dataset", "expected kind `BankModel`"),
    ],
)
def test_a_wrong_model_is_refused_where_it_is_wrong(
    old: str, new: str, message: str
) -> None:
    """By line, in the author's words."""
    assert old in TEXT
    with pytest.raises(SourceError) as caught:
        BankModel.from_yaml(TEXT.replace(old, new), "m.yaml")
    assert str(caught.value).startswith("m.yaml:")
    assert message in str(caught.value)
    assert issubclass(PointsBeyond, ContractError)
