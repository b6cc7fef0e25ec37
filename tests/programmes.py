"""What tests of whole programmes do alike."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

import pytest

from contracts.compile import check_examples, compile_contract, evaluate
from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.rules import require
from contracts.scoring import ScoringContract
from examples import programme
from examples.plain import Card, Tables, Told
from tests.scripts import scripts

Datasets: TypeAlias = Mapping[str, Dataset]


def fixtures(folder: Path, *more: str) -> tuple[Any, Any]:
    """Make two fixtures: the scripts of a folder, and its rules in plain Python.

    `more` are scripts beside `oracle`, `make_data` and `run`.
    """

    @pytest.fixture(scope="module", name="scripts")
    def scripts_() -> Iterator[SimpleNamespace]:
        with scripts(folder, "oracle", "make_data", "run", *more) as found:
            yield found

    @pytest.fixture(scope="module", name="oracle")
    def oracle_(scripts: SimpleNamespace) -> ModuleType:
        module: ModuleType = scripts.oracle
        return module

    return scripts_, oracle_


def document(folder: Path, name: str) -> ScoringContract:
    """Read a score of a folder."""
    path = folder / f"contracts/{name}.yaml"
    return ScoringContract.from_yaml(path.read_bytes(), path.name)


def admitted(contract: ScoringContract, datasets: Datasets) -> Compiled:
    """Compile a score, golden examples and rules included."""
    compiled = compile_contract(contract, datasets)
    check_examples(compiled, contract, datasets)
    require(compiled, datasets)
    return compiled


def documents(folder: Path) -> dict[str, Dataset]:
    """Read every dataset's document of a folder."""
    return {item.name: item for item in programme.documents(folder / "datasets")}


def compile_all(
    folder: Path, names: Iterable[str], datasets: Datasets
) -> dict[str, Compiled]:
    """Compile scores of a folder, golden examples and rules included."""
    return {name: admitted(document(folder, name), datasets) for name in names}


def told(
    compiled: Compiled, datasets: Datasets, tables: Tables, subject: str
) -> tuple[str, str, dict[str, Any], int]:
    """Say what a compiled contract says of a subject's rows."""
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


def agree(
    compiled: Compiled,
    datasets: Datasets,
    tell: Callable[[Tables, str], Told],
    cases: Iterable[tuple[str, Tables]],
) -> Counter[str]:
    """Hold what a contract says of subjects in tables against plain Python.

    Kind, reason, every field and the score that nobody is told.  Counts outcomes.
    """
    found: Counter[str] = Counter()
    for subject, tables in cases:
        said = tell(tables, subject)
        got = told(compiled, datasets, tables, subject)
        assert got == (said.kind, said.reason, said.fields, said.score)
        found[str(said.fields or said.reason or said.kind)] += 1
    return found


def changes(
    card: Card, tables: Tables, subjects: Iterable[str]
) -> Iterator[tuple[str, Tables]]:
    """Change one cell at a time, to every class and veto, of somebody with a score."""
    clean = next(s for s in subjects if card.tell(tables, s).kind == "scored")
    cells = [
        (table, column, cell)
        for (table, column), points in card.points.items()
        for cell in (
            points if isinstance(points, dict) else [str(n) for n, _ in points]
        )
    ]
    for table, column, cell in [*cells, *(veto[1:] for veto in card.vetoes)]:
        row = {**tables[table][clean], column: cell}
        yield clean, {**tables, table: {**tables[table], clean: row}}


def made_twice(make_data: ModuleType, folder: Path, *counts: int) -> bool:
    """Tell whether the same seed makes the same bytes, and another seed others."""
    made = []
    for number, seed in enumerate((1, 1, 2)):
        into = folder / str(number)
        make_data.main(into, *counts, seed)
        made.append({path.name: path.read_bytes() for path in into.glob("*.csv")})
    return made[0] == made[1] != made[2]


def run_whole(folder: Path, out: Path, files: Iterable[str]) -> str:
    """Run a programme with its defaults; the folder's files must be those it makes."""
    line = (sys.executable, str(folder / "run.py"), "--keep", str(out))
    ran = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for name in files:
        assert (out / name).read_bytes() == (folder / name).read_bytes()
    return ran.stdout
