"""What must be true of a programme that has a handbook of indicators.

Documents, handbook and plain Python (`examples.handbook`) say the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from contracts.compile import check_examples, compile_contract, evaluate
from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.encoding import Bins, Category
from contracts.rules import require
from contracts.scoring import ScoringContract
from examples import handbook
from examples.handbook import UNKNOWN, Judge
from examples.plain import Row, Tables

Datasets: TypeAlias = Mapping[str, Dataset]


def documents(folder: Path) -> dict[str, Dataset]:
    """Read every dataset's document."""
    paths = sorted((folder / "datasets").glob("*.yaml"))
    return {
        path.stem: Dataset.from_yaml(path.read_bytes(), path.name) for path in paths
    }


def document(folder: Path, name: str) -> ScoringContract:
    """Read a contract."""
    path = folder / f"contracts/{name}.yaml"
    return ScoringContract.from_yaml(path.read_bytes(), path.name)


def compile_all(
    folder: Path, names: Iterable[str], datasets: Datasets
) -> dict[str, Compiled]:
    """Compile contracts, golden examples and rules included."""
    found = {}
    for name in names:
        contract = document(folder, name)
        found[name] = compile_contract(contract, datasets)
        check_examples(found[name], contract, datasets)
        require(found[name], datasets)
    return found


def told(
    compiled: Compiled, datasets: Datasets, tables: Tables, subject: str
) -> tuple[str, str, dict[str, Any], int]:
    """Say what the compiled contract says of a subject's rows."""
    cells = {
        use.id: datasets[use.id].texts(tables[use.id][subject])
        for use in compiled.datasets
        if subject in tables[use.id]
    }
    got = evaluate(compiled, datasets, cells)
    explained = compiled.explain(got.code)
    scored = explained.answer.value == "scored"
    score = int(got.score) if scored else 0
    return explained.answer.value, explained.reason, dict(explained.outcome), score


def check_names(
    contract: ScoringContract, its: Sequence[Row], datasets: Datasets
) -> None:
    """See the same columns in the same order, of the same titles and tables."""
    ours = [
        (group.title, str(indicator.column))
        for group in contract.groups
        for indicator in group.indicators
    ]
    ours += [(veto.title, str(flag)) for veto in contract.vetoes for flag in veto.flags]
    said = [(r["first_level"], f"{r['dataset']}.{r['column']}") for r in its]
    assert ours == said
    for row in its:
        column = datasets[row["dataset"]].column(row["column"])
        assert column is not None
        assert (column.source, column.title or column.source) == (
            row["source"],
            row["second_level"],
        )


def check_classes(
    contract: ScoringContract, its: Sequence[Row], datasets: Datasets
) -> None:
    """See what both ends of an interval, each text, the empty cell are worth."""
    its = [row for row in its if row["kind"] == "indicator"]
    for indicator, row in zip(contract.indicators, its, strict=True):
        column = datasets[row["dataset"]].column(row["column"])
        assert column is not None
        for label, _ in handbook.classes(row["points"]):
            cells = label.split("~") if "~" in label else [label]
            for cell in ["" if c == UNKNOWN else c for c in cells]:
                values = column.encode(cell)
                points: Any = indicator.points
                if isinstance(column.encoding, Bins | Category):
                    worth = {item.label: item.points for item in points.classes}
                    got = worth[column.labels[values.index(1)]]
                else:
                    least = getattr(column.encoding, "least", 0)
                    got = points.points * (values[0] + int(least))
                assert got == handbook.worth(row["points"], cell), (row["column"], cell)


def check_vetoes(
    judge: Judge,
    compiled: Compiled,
    datasets: Datasets,
    tables: Tables,
    subjects: Iterable[str],
) -> None:
    """Set one flag at a time, on somebody with a score: it names its group."""
    clean = next(s for s in subjects if judge.tell(tables, s).kind == "scored")
    for reason, dataset, source, text in judge.vetoes:
        row = {**tables[dataset][clean], source: text}
        changed = {**tables, dataset: {**tables[dataset], clean: row}}
        got = told(compiled, datasets, changed, clean)
        assert got == ("vetoed", reason, {}, 0), source


def check_scores(judge: Judge, compiled: Compiled) -> None:
    """See each possible total become what plain Python says, field by field."""
    steps = dict(compiled.card.steps)
    outcome = 0
    for total in range(compiled.card.top + 1):
        outcome = steps.get(total, outcome)
        said = judge.become(int(compiled.score(total)))
        assert dict(compiled.outcomes[outcome]) == said
