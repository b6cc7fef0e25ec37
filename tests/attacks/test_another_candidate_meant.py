"""The bank seals to the authority what is not in the list that it signed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from contracts.decide import Reason
from node import private_client
from node.domain import Role
from node.errors import Denied
from protocols.private_call import Candidates, Secret
from tests.crowd_of_one import Hidden, Wire
from tests.hostile import uses


def refused(
    hidden: Hidden,
    subject: str,
    change: Callable[[Candidates, Secret], Secret],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seal another secret: a sealed refusal, no use, nothing decrypted of anybody."""
    honest = private_client.Candidates

    class Evil(honest):  # type: ignore[misc, valid-type]
        __slots__ = ()

        def secret(self, entry: int) -> Secret:
            return change(self, honest.secret(self, entry))

    before = {name: uses(hidden.town, f"c-{name}") for name in hidden.town.ids}
    with hidden.bank() as bank, Wire(hidden) as wire, monkeypatch.context() as patch:
        patch.setattr(private_client, "Candidates", Evil)
        with pytest.raises(Denied) as caught:
            bank.range("turnover-floor", subject, hidden.among())
    assert caught.value.reason == "TICKET_INVALID"
    assert hidden.reasons(Role.AUTHORITY, caught.value) == [Reason.TICKET_INVALID]
    assert len(wire.answered[0].box) == 32_768
    assert before == {name: uses(hidden.town, f"c-{name}") for name in hidden.town.ids}
    assert hidden.replay(Role.AUTHORITY) == []


def test_one_candidate_s_slot_under_another_s_consent(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who consented pays for whom the slot is: the entry is not theirs."""
    refused(
        hidden,
        hidden.town.ids[0],
        lambda _, secret: replace(secret, entry=(secret.entry + 1) % 22),
        monkeypatch,
    )


def test_a_consent_that_is_not_the_entry_s(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consent with uses left, for one without."""
    refused(
        hidden,
        hidden.town.ids[1],
        lambda all_, secret: replace(secret, consent=all_.rows[secret.entry - 1][2]),
        monkeypatch,
    )


def test_somebody_who_is_not_in_the_list(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry of another list, with a proof under that one's root."""

    def stranger(all_: Candidates, secret: Secret) -> Secret:
        rows = list(all_.rows)
        ref, salt, _ = rows[secret.entry]
        rows[secret.entry] = ref, bytes(a ^ 1 for a in salt), "c-x"
        return Candidates.secret(Candidates(tuple(rows)), secret.entry)

    refused(hidden, hidden.town.ids[2], stranger, monkeypatch)


def test_an_entry_beyond_the_list(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no such place in the ticket, and none is looked for."""
    seal = Secret.seal
    monkeypatch.setattr(
        Secret, "seal", lambda secret, *to: seal(replace(secret, entry=22), *to)
    )
    refused(hidden, hidden.town.ids[3], lambda _, secret: secret, monkeypatch)


def test_a_secret_of_another_request(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A house cannot move a box to a request of its accomplice: the jti binds it."""
    seal = Secret.seal
    monkeypatch.setattr(
        Secret, "seal", lambda secret, key, c, _: seal(secret, key, c, bytes(16))
    )
    refused(hidden, hidden.town.ids[4], lambda _, secret: secret, monkeypatch)
