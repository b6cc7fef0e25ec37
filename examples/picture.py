"""Draw subjects and the sum of their limits: a row a place, a column a list."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

from examples.plain import FEN

WIDE, HIGH = 150, 24  # of a cell
LEFT, TOP = 130, 96
PALE, DEEP = (238, 244, 250), (31, 78, 140)
SVG = "http://www.w3.org/2000/svg"
FONT = "font-family='Noto Sans CJK SC, PingFang SC, Microsoft YaHei, sans-serif'"

Cells = Mapping[tuple[str, str], tuple[int, int]]  # town, column: subjects, yuan


def gather(
    rows: Sequence[str],
    columns: Sequence[str],
    place: Callable[[str], tuple[str, str]],
    limits: Mapping[str, int],
) -> Cells:
    """Count subjects in each row and column, and sum up their limits, given in fen."""
    cells = {(row, column): (0, 0) for row in rows for column in columns}
    for subject, fen in limits.items():
        where = place(subject)
        count, yuan = cells[where]
        cells[where] = (count + 1, yuan + fen // FEN)
    return cells


def colour(part: float) -> str:
    """Shade from pale to deep."""
    mixed = (round(a + (b - a) * part) for a, b in zip(PALE, DEEP, strict=True))
    return "#" + "".join(f"{level:02x}" for level in mixed)


def draw(title: str, towns: Sequence[str], columns: Sequence[str], cells: Cells) -> str:
    """Return the picture as SVG."""
    width = LEFT + WIDE * len(columns) + 20
    height = TOP + HIGH * len(towns) + 36
    most = {
        column: max(cells[town, column][1] for town in towns) or 1 for column in columns
    }
    lines = [
        f"<svg xmlns='{SVG}' width='{width}' viewBox='0 0 {width} {height}'",
        f"  {FONT} font-size='12'>",
        f"<rect width='{width}' height='{height}' fill='white'/>",
        f"<text x='16' y='30' font-size='16'>{escape(title)}</text>",
    ]
    for number, column in enumerate(columns):
        middle = LEFT + WIDE * number + WIDE // 2
        for line, text in enumerate(column.split("|")):
            lines.append(
                f"<text x='{middle}' y='{60 + 18 * line}' text-anchor='middle'>"
                f"{escape(text)}</text>"
            )
    for row, town in enumerate(towns):
        y = TOP + HIGH * row
        lines.append(
            f"<text x='{LEFT - 10}' y='{y + 16}' text-anchor='end'>"
            f"{escape(town)}</text>"
        )
        for number, column in enumerate(columns):
            count, yuan = cells[town, column]
            part = yuan / most[column]
            ink = "white" if part > 0.55 else "#1f2933"
            x = LEFT + WIDE * number
            lines.append(
                f"<rect x='{x}' y='{y}' width='{WIDE - 2}' height='{HIGH - 2}'"
                f" fill='{colour(part)}'/><text x='{x + WIDE // 2}' y='{y + 16}'"
                f" text-anchor='middle' fill='{ink}'>{count} · {yuan // 10_000} 万元"
                "</text>"
            )
    lines.append(
        f"<text x='16' y='{height - 12}' fill='#52606d'>合成数据 synthetic data:"
        " subjects · sum of limits, 10,000 yuan</text>"
    )
    return "\n".join([*lines, "</svg>", ""])
