"""Who steals the house's disk later looks for the seeds of earlier calls.

With a seed and the authority's help the mask of a call comes off.  The house keeps
one, sealed, from the intent to the outcome; then only the auditors' shares are left.
"""

from pathlib import Path

import pytest

from contracts.consent import ConsentEvent, Event
from node import calls, clock
from node.domain import Role
from node.errors import Unreachable
from tests.german import German
from tests.hostile import Between
from tests.simulator import World


def test_a_finished_call_leaves_no_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even sealed, once the database has been closed or copied."""
    sealed: list[bytes] = []
    wrap = calls.wrap

    def wrapping(key: bytes, context: bytes, secret: bytes) -> bytes:
        sealed.append(wrap(key, context, secret))
        return sealed[-1]

    monkeypatch.setattr(calls, "wrap", wrapping)
    with World(tmp_path) as world:
        german = German(world, 11)
        for subject in german.ids:
            german.grant(subject)
        with german.bank() as bank:
            with Between(german.house) as wire:
                wire.on_question = _away
                for subject in german.ids[:4]:
                    with pytest.raises(Unreachable):
                        bank.score("german-card", subject, consent=f"c-{subject}")
            for call in bank.unanswered()[:2]:
                bank.retry(call)
        for subject in german.ids[:4]:
            event = Event.WITHDRAW
            german.happen(
                ConsentEvent(f"c-{subject}", event, clock.now_ms(), "", "registrar")
            )
        world.stop(Role.HOUSE)
        assert len(sealed) == 4
        assert len(_left(world, sealed)) == 2  # they are still under way
        world.start(Role.HOUSE)
        assert german.house.resume() == 2  # and denied
        world.stop(Role.HOUSE)
        assert _left(world, sealed) == []


def _away(_: object) -> None:
    raise Unreachable("no answer")


def _left(world: World, sealed: list[bytes]) -> list[bytes]:
    disk = b"".join(world.disk("house").values())
    return [secret for secret in sealed if secret in disk]
