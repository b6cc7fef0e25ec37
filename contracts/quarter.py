"""Quarters of a year, in UTC: how long a snapshot stays, and what a budget is for.

>>> quarter_of(0), quarter_of(1_790_812_800_000)
('1970Q1', '2026Q4')
>>> first_ms("2026Q4")
1790812800000
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from protocols.errors import FormatError

_QUARTER: Final = re.compile(r"([0-9]{4})Q([1-4])")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS: Final = 3


def quarter_of(time_ms: int) -> str:
    """Name the quarter of a moment."""
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return f"{moment.year:04}Q{(moment.month - 1) // _MONTHS + 1}"


def first_ms(quarter: str) -> int:
    """Return the first moment of a quarter; raises `FormatError`."""
    match = _QUARTER.fullmatch(quarter)
    if match is None or match[1] == "0000":
        raise FormatError("expected a quarter, such as `2026Q4`")
    month = _MONTHS * (int(match[2]) - 1) + 1
    start = datetime(int(match[1]), month, 1, tzinfo=UTC)
    return (start - _EPOCH) // timedelta(milliseconds=1)
