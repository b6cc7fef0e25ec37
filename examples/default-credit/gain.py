"""What a bank gains by a joint score: areas under the ROC curve, and gain.svg.

    python gain.py [directory]      prints them, and draws into the directory if named

From source/ alone, with none of the product's code, on the 7,500 subjects that
lr_model.json was not trained on.  Of two subjects, one who defaulted and one who did
not, the area is how often the first has the higher score; equal scores count half.

    bank alone        a logistic regression over the bank's thirteen columns
    custodians alone  one over the custodians' ten
    joint             the logits of expected_scores.csv
    joint, in grades  what is released: the eight grades of those logits
    and own points    the grade, and within a grade the points that the bank adds itself

The first two are fitted here on the other 22,500 subjects, unpenalised, by Newton's
method: what each side could have had without the other.
"""

import csv
import gzip
import json
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import numpy as np
from import_model import DATASETS, HERE
from make_data import GRADES, grade_of
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Corner: TypeAlias = tuple[float, float]  # shares of those who paid, who defaulted
STEPS = 12
SIDE, LEFT, TOP = 360, 56, 24  # of the square, in pixels
WIDTH, HEIGHT = 640, TOP + SIDE + 48
COLOURS = ("#9aa5b1", "#5b8fc7", "#1f4e8c", "#c05621")
CUSTODIANS = {column for columns in DATASETS.values() for column in columns}


def areas() -> dict[str, float]:
    """Return the area of every score, by its name."""
    return {name: _area(score, defaulted) for name, score, defaulted in _scores()}


def draw() -> str:
    """Draw four of the curves; the corners of the last are the grades."""
    parts = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _path([(0, 1), (0, 0), (1, 0)], "#7b8794"),
        _path([(0, 0), (1, 1)], "#cbd2d9"),
        _text(_place(0.5, -0.11), "of those who paid, refused", "middle"),
    ]
    aside = _text((0, 0), "of those who defaulted, refused", "middle")
    parts.append(
        f'<g transform="translate(16 {TOP + SIDE // 2}) rotate(-90)">{aside}</g>'
    )
    for tenth in range(0, 11, 2):
        told, share = f"{tenth / 10:.1f}", tenth / 10
        parts.append(_text(_place(share, -0.055), told, "middle"))
        parts.append(_text(_place(-0.02, share - 0.012), told, "end"))
    for row, (name, score, defaulted) in enumerate(_scores()[:4]):
        corners, colour = _curve(score, defaulted), COLOURS[row]
        parts.append(_path(corners, colour))
        if len(corners) == len(GRADES) + 1:
            parts += [_dot(corner, colour) for corner in corners[1:-1]]
        told = f"{_area(score, defaulted):.3f}  {name}"
        parts.append(_text(_place(1.06, 0.3 - 0.07 * row), told, "start", colour))
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    font = 'font-family="sans-serif" font-size="13"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>'
    return "\n".join([head, *parts, "</svg>", ""])


def _place(paid: float, defaulted: float) -> Corner:
    return LEFT + SIDE * paid, TOP + SIDE * (1 - defaulted)


def _path(corners: Sequence[Corner], colour: str) -> str:
    places = "L".join("{:.1f} {:.1f}".format(*_place(*corner)) for corner in corners)
    return f'<path d="M{places}" fill="none" stroke="{colour}" stroke-width="1.6"/>'


def _dot(corner: Corner, colour: str) -> str:
    x, y = _place(*corner)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>'


def _text(place: Corner, text: str, anchor: str, colour: str = "#323f4b") -> str:
    x, y = place
    at = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {at} fill="{colour}">{text}</text>'


def _scores() -> list[tuple[str, Floats, Flags]]:
    """List every score of the test part, with who defaulted."""
    bank, theirs, logits = (
        _read(name) for name in ("bank_side", "government_side", "expected_scores")
    )
    defaulted = np.array([row["default"] == "1" for row in bank])
    test = np.array([row["part"] == "test" for row in logits])
    model = json.loads((HERE / "source/lr_model.json").read_text())
    weights = {item["uci_column"]: item["weight"] for item in model["coefficients"]}
    own = _standardised(bank, [name for name in weights if name not in CUSTODIANS])
    other = _standardised(theirs, [name for name in weights if name in CUSTODIANS])
    joint = np.array([float(row["logit"]) for row in logits])
    grades = np.array([GRADES.index(grade_of(Decimal(row["logit"]))) for row in logits])
    points = own @ [w for name, w in weights.items() if name not in CUSTODIANS]
    scores = {
        "bank alone": _fitted(own, defaulted, ~test),
        "custodians alone": _fitted(other, defaulted, ~test),
        "joint": joint,
        "joint, in grades": grades.astype(float),
        # Points are far from 1,000: the grade decides first.
        "and own points": grades * 1000 + points,
    }
    return [(name, score[test], defaulted[test]) for name, score in scores.items()]


def _standardised(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> Floats:
    values = np.array([[float(row[name]) for name in columns] for row in rows])
    return np.asarray((values - values.mean(0)) / values.std(0))


def _fitted(values: Floats, defaulted: Flags, train: Flags) -> Floats:
    """Fit a logistic regression on `train`; return everybody's logit."""
    columns = np.hstack([np.ones((len(values), 1)), values])
    x, y = columns[train], defaulted[train]
    weights = np.zeros(columns.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-x @ weights))
        weights += np.linalg.solve((x.T * (p * (1 - p))) @ x, x.T @ (y - p))
    return np.asarray(columns @ weights)


def _curve(score: Floats, defaulted: Flags) -> list[Corner]:
    """Return the corners of a ROC curve, at most a hundred of them."""
    cuts = np.unique(score)[::-1]
    if len(cuts) > len(GRADES):
        cuts = np.quantile(score, np.linspace(1, 0, 100))
    paid, bad = np.sort(score[~defaulted]), np.sort(score[defaulted])
    return [
        (0.0, 0.0),
        *(
            (
                float(1 - np.searchsorted(paid, cut) / len(paid)),
                float(1 - np.searchsorted(bad, cut) / len(bad)),
            )
            for cut in cuts
        ),
    ]


def _area(score: Floats, defaulted: Flags) -> float:
    paid, bad = np.sort(score[~defaulted]), score[defaulted]
    below = np.searchsorted(paid, bad, "left") + np.searchsorted(paid, bad, "right")
    return float(below.sum() / (2 * len(paid) * len(bad)))


def _read(name: str) -> list[dict[str, str]]:
    with gzip.open(HERE / f"source/{name}.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    for name, area in areas().items():
        print(f"{area:.4f}  {name}")
    if len(sys.argv) > 1:
        (Path(sys.argv[1]) / "gain.svg").write_text(draw())
