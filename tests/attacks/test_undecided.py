"""Something breaks while a node decides: a lost page, a bug, an edited row.

Empty means no, and so does an error: a signed, journalled denial, and no use.
"""

import pytest

from contracts.decide import Reason
from node import consents
from node.client import BankClient
from node.errors import Denied, NodeError
from protocols.errors import FormatError
from tests.german import German
from tests.hostile import kinds, question, reasons, send, uses


@pytest.mark.parametrize(
    "error",
    [
        KeyError("grantees"),
        FormatError("not canonical"),
        ZeroDivisionError(),
        AssertionError("a bug of ours"),
        RecursionError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("node", ["house", "authority"])
def test_an_error_while_deciding_is_a_denial(
    running: German,
    bank: BankClient,
    victim: str,
    node: str,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """INTERNAL, the class of the error in the journal, its text nowhere."""
    core = running.house if node == "house" else running.authority
    terms = core.registry.terms

    def broken(*_: object) -> object:
        raise error

    monkeypatch.setattr(core.registry, "terms", broken)
    asked = question(running, victim)
    with pytest.raises(Denied) as caught:
        send(bank, asked)
    assert caught.value.reason == "INTERNAL"
    assert reasons(core, caught.value) == [Reason.INTERNAL]
    assert kinds(core, asked.call) == ["call.deny"]
    assert str(error) == "" or str(error) not in str(caught.value)
    assert uses(running, f"c-{victim}") == 0
    monkeypatch.setattr(core.registry, "terms", terms)
    assert send(bank, question(running, victim)).answer.box


def test_an_error_while_counting_undoes_the_permit(
    running: German, bank: BankClient, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A use that cannot be written is not granted, and neither is its entry."""
    spend = consents.spend

    def broken(*given: object) -> int:
        spend(*given)  # type: ignore[arg-type]
        raise RuntimeError("after the write")

    monkeypatch.setattr(consents, "spend", broken)
    asked = question(running, victim)
    with pytest.raises(NodeError):
        send(bank, asked)
    monkeypatch.undo()
    assert kinds(running.authority, asked.call) == []
    assert uses(running, f"c-{victim}") == 0
    assert send(bank, asked).answer.box
    assert uses(running, f"c-{victim}") == 1
