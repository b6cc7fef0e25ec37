"""Pages that can be filed: HTML in one file, no script, nothing fetched.

Bars are plain SVG, so a page prints as it looks.  All text is escaped: a reason, a
title or the class of a column must not become markup in a browser.

>>> print(table(("bank",), [("<a>",)]))
<table><tr><th>bank</th></tr><tr><td>&lt;a&gt;</td></tr></table>
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

WIDTH: Final = 420  # of a bar chart's bars, pixels
BAR: Final = 18
LABELS: Final = 220
INK: Final = "#3b6ea5"
PALE: Final = "#c3d3e6"  # of what is compared with

_STYLE: Final = """
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0;
  text-align: left; vertical-align: top } td.n { text-align: right }
code { font-size: .85em; overflow-wrap: anywhere }
.clean { color: #196b2c } .found { color: #a11 } svg text { font-size: 13px }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """Make a page of its parts."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def bars(rows: Sequence[tuple[Any, ...]]) -> str:
    """Draw (label, count) as bars."""
    if not rows:
        return "<p>None.</p>"
    top, height = max(1, *(count for _, count in rows)), BAR + 6
    bars = []
    for number, (label, count) in enumerate(rows):
        y, length = number * height, WIDTH * count // top
        bars.append(
            f'<text x="0" y="{y + 14}">{escape(str(label))}</text>'
            f'<rect x="{LABELS}" y="{y}" width="{length}" height="{BAR}"'
            ' fill="#3b6ea5"/>'
            f'<text x="{LABELS + length + 6}" y="{y + 14}">{count:,}</text>'
        )
    size = f'width="{LABELS + WIDTH + 90}" height="{len(rows) * height}"'
    return f"<svg {size}>{''.join(bars)}</svg>"


def pairs(rows: Sequence[tuple[str, int, int]], totals: tuple[int, int]) -> str:
    """Draw (label, before, now) as two thin bars each, in shares of the totals."""
    parts = [max(1, total) for total in totals]
    top = max(
        (part * 1000 // parts[i] for _, *two in rows for i, part in enumerate(two)),
        default=0,
    )
    height, drawn = BAR + 8, []
    for number, (label, *two) in enumerate(rows):
        y, told = number * height, " / ".join(f"{count:,}" for count in two)
        drawn.append(f'<text x="0" y="{y + 14}">{escape(label)}</text>')
        for place, (count, ink) in enumerate(zip(two, (PALE, INK), strict=True)):
            length = WIDTH * (count * 1000 // parts[place]) // max(1, top)
            drawn.append(
                f'<rect x="{LABELS}" y="{y + 10 * place}" width="{length}" height="9"'
                f' fill="{ink}"/>'
            )
        drawn.append(f'<text x="{LABELS + WIDTH + 6}" y="{y + 14}">{told}</text>')
    size = f'width="{LABELS + WIDTH + 160}" height="{len(rows) * height}"'
    return f"<svg {size}>{''.join(drawn)}</svg>"


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: frozenset[int] | set[int] = frozenset(),
) -> str:
    """Lay out rows under headers; `numbers` are the columns set to the right."""
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    lines = []
    for row in rows:
        cells = (
            f'<td class="n">{escape(cell)}</td>'
            if number in numbers
            else f"<td>{_cell(cell)}</td>"
            for number, cell in enumerate(row)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _cell(text: str) -> str:
    long = len(text) == 64 and text.isalnum()  # noqa: PLR2004  a hash
    return f"<code>{escape(text)}</code>" if long else escape(text)
