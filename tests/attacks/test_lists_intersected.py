"""The house intersects the lists of a bank's questions about one subject."""

import pytest

from contracts.errors import DocumentInvalid
from tests.crowd_of_one import Hidden, Wire


def test_a_list_that_leaves_too_few_in_common_is_not_sent(hidden: Hidden) -> None:
    """Sixteen of all lists remain possible, over all of them, not of any two."""
    ids = hidden.town.ids
    subject = ids[10]
    with hidden.bank() as bank, Wire(hidden) as wire:
        bank.range("turnover-floor", subject, hidden.among(*ids[:19]))
        bank.range("turnover-floor", subject, hidden.among(*ids[2:22]))  # 17 in common
        with pytest.raises(DocumentInvalid, match="fewer than 16") as caught:
            bank.range(
                "turnover-floor", subject, hidden.among(*ids[:2], *ids[3:17], *ids[19:])
            )
        assert caught.value.hint is not None
        assert len(wire.asked) == 2
        other = ids[11]  # of whom nothing was asked in those
        told = bank.range("turnover-floor", other, hidden.among(*ids[3:22]))
        assert told.candidates == 19
