"""The templates of the public list: as many as it has, right, and in the package."""

import csv
import json
import subprocess
import sys
import tomllib
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest

from contracts.compile import compile_contract
from contracts.dataset import Dataset
from contracts.encoding import Integer
from contracts.scoring import ScoringContract
from node.errors import DocumentConflict, NotFound
from node.templates import Template, copy, template, templates

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "contracts/catalogue").glob("*.yaml"))
ALL = templates()
PARTIES = ROOT / "examples/jining-sharing/parties.csv"


def test_fourteen_categories_and_thirty_seven_items() -> None:
    """Numbered as they lie there; a category's items stand together."""
    assert [item.number for item in ALL] == list(range(1, 38))
    assert len({item.dataset.name for item in ALL}) == 37
    categories = [item.dataset.category for item in ALL]
    assert len(set(categories)) == 14
    assert sum(a != b for a, b in pairwise(categories)) == 13


def test_the_categories_are_the_words_of_the_plan() -> None:
    """The first seven as the README quotes them, in their order."""
    words = list(dict.fromkeys(item.dataset.category for item in ALL))
    quoted = "、".join(words[:7])
    for page in ("README.md", "README.zh-CN.md"):
        text = (ROOT / "contracts/catalogue" / page).read_text("utf-8")
        assert quoted in "".join(line.strip() for line in text.splitlines())


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.dataset.name)
def test_a_template_is_a_dataset_whose_head_says_which(item: Template) -> None:
    """Its file's name, its number and its category's stand in it; it can be signed."""
    dataset = item.dataset
    assert dataset.title
    assert (dataset.version, dataset.subject_type.value) == (1, "cn-uscc")
    assert FILES[item.number - 1].name == f"{item.number:02}-{dataset.name}.yaml"
    place = list(dict.fromkeys(i.dataset.category for i in ALL)).index(dataset.category)
    head = f"# Item {item.number} of 37, category {place + 1} of 14."
    assert item.text.startswith(head)
    assert Dataset.from_bytes(dataset.to_bytes()) == dataset


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.dataset.name)
def test_a_contract_can_read_every_column(item: Template) -> None:
    """Compiled into weights: classes and flags; an integer is for `verify`, `range`."""
    dataset, top, indicators = item.dataset, 0, []
    for column in dataset.columns:
        if isinstance(column.encoding, Integer):
            continue
        labels = {label: 10 * place for place, label in enumerate(column.labels)}
        indicators.append(
            {"column": f"{dataset.name}.{column.name}", "points": labels or 10}
        )
        top += max(labels.values(), default=10)
    spec = {
        "purpose": "pre-approval",
        "subject": "cn-uscc",
        "author": "jnrcb",
        "banks": ["jnrcb"],
        "base": 0,
        "groups": [{"name": "all", "indicators": indicators}],
        "outcome": {"grade": {"bands": [{"value": "B"}, {"from": 1, "value": "A"}]}},
        "release": {"most_outcomes": 2, "narrowest_band": 1, "bits_per_90_days": 6},
        "examples": [{"given": {}, "insufficient_data": True}],
    }
    head = {"apiVersion": "safehouse/v1", "kind": "ScoringContract"}
    whole = head | {"metadata": {"name": "one", "version": 1}, "spec": spec}
    contract = ScoringContract.from_yaml(json.dumps(whole), "one.yaml")
    assert compile_contract(contract, {dataset.name: dataset}).card.top == top


def test_every_custodian_of_a_template_is_in_the_example() -> None:
    """So that its trust domain can push the list as it lies here."""
    with PARTIES.open(encoding="utf-8", newline="") as file:
        known = {r["id"] for r in csv.DictReader(file) if r["role"] == "custodian"}
    assert {item.dataset.custodian for item in ALL} == known


def test_copies_are_the_templates_and_overwrite_nothing(tmp_path: Path) -> None:
    """A file that somebody filled in stops it before the first is written."""
    written = copy(tmp_path / "new", ["tax-rating", "water"])
    assert [path.name for path in written] == ["tax-rating.yaml", "water.yaml"]
    assert written[0].read_text("utf-8") == template("tax-rating").text
    written[1].write_text("filled in")
    with pytest.raises(DocumentConflict, match=r"water\.yaml` is there"):
        copy(tmp_path / "new", ["gas", "water"])
    assert not (tmp_path / "new/gas.yaml").exists()
    assert written[1].read_text() == "filled in"
    assert len(copy(tmp_path / "all")) == 37


def test_a_copy_that_was_killed_can_be_made_again(tmp_path: Path) -> None:
    """What it wrote is there, the same to the byte; the rest follows."""
    copy(tmp_path, ["gas"])
    (before,) = tmp_path.iterdir()
    made = before.stat()
    assert len(copy(tmp_path, ["gas", "water"])) == 2
    assert (tmp_path / "water.yaml").read_text("utf-8") == template("water").text
    assert (before.stat().st_ino, before.stat().st_mtime_ns) == (
        made.st_ino,
        made.st_mtime_ns,
    )


def test_a_copy_does_not_follow_a_link_to_nowhere(tmp_path: Path) -> None:
    """It is a name that is taken, also by who takes it while we write."""
    (tmp_path / "gas.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DocumentConflict, match=r"gas\.yaml` is there"):
        copy(tmp_path, ["gas"])
    assert not (tmp_path / "elsewhere").exists()


def test_an_unknown_item_is_refused_by_name() -> None:
    """With the nearest that is there."""
    with pytest.raises(NotFound, match="no item `tax-ratin`") as caught:
        template("tax-ratin")
    assert caught.value.hint == "did you mean `tax-rating`?"


def test_the_package_takes_the_templates_along() -> None:
    """The patterns of pyproject.toml match every one of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["*"]
    taken = {
        path for pattern in patterns for path in (ROOT / "contracts").glob(pattern)
    }
    assert len(FILES) == 37
    assert set(FILES) <= taken


@pytest.mark.slow
def test_a_built_wheel_has_them(tmp_path: Path) -> None:
    """Thirty-seven YAML files in the archive that pip makes of a checkout."""
    wanted = (
        "contracts",
        "node",
        "protocols",
        "pyproject.toml",
        "setup.py",
        "README.md",
    )
    source = tmp_path / "source"
    source.mkdir()
    names = (str(ROOT / name) for name in wanted)
    subprocess.run(["cp", "-R", *names, str(source)], check=True)
    line = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet")
    out = ("--wheel-dir", str(tmp_path), str(source))
    subprocess.run([sys.executable, *line, *out], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    inside = zipfile.ZipFile(wheel).namelist()
    assert {f"contracts/catalogue/{path.name}" for path in FILES} <= set(inside)
