"""Somebody reads everything that house and authority have written (TESTS 59).

Database, WAL, blocks, checkpoints, logs: no identifier, no reference, no raw value
in any spelling, and none of what passes through memory only: the masked number, the
row numbers and rows, the seed, the outcome.
"""

import base64
import io
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from contracts.dataset import Dataset
from node import authority as authority_room
from node import calls, log
from node.aggregate_store import Waiting
from node.domain import Role
from node.errors import Denied, NodeError, Unreachable
from node.house import Flight
from node.job_work import Made
from protocols.call import Opened
from protocols.canon import Tag
from protocols.lookup import Message, Picked, Unmasked
from tests.german import FOLDER, German
from tests.hostile import Between, question, send
from tests.simulator import World

SUBJECTS = 6
# Nobody has these by chance: 37 bits each, in a dataset beside the example's.
VALUES = [112_358_132_134 + 9_876_543 * i for i in range(SUBJECTS)]
MARKED = b"""
apiVersion: safehouse/v1
kind: Dataset
metadata: {name: marked, version: 1, title: marked}
spec:
  custodian: credit-bureau
  unit: unit
  category: category
  cycle: monthly
  tier: T2
  subject: opaque
  columns:
    - name: mark
      title: mark
      integer: {min: 0, max: 137000000000, scale: 1}
"""


class Eyes:
    """What passes through a node's memory and must not stay."""

    def __init__(self) -> None:
        self.picked: list[Picked] = []
        self.opened: list[bytes] = []
        self.seeds: list[bytes] = []
        self.sealed: list[bytes] = []


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> Eyes:
    """Watch the authority's pick, and what the house seals for the meantime."""
    seen = Eyes()
    pick, wrap, write = authority_room.authority_pick, calls.wrap, Opened.to_bytes

    def picking(*given: object) -> Picked:
        picked = pick(*given)  # type: ignore[arg-type]
        seen.picked.append(picked)
        return picked

    def wrapping(key: bytes, context: bytes, secret: bytes) -> bytes:
        sealed = wrap(key, context, secret)
        seen.seeds.append(secret[64:])
        seen.sealed.append(sealed)
        return sealed

    def writing(self: Opened) -> bytes:
        data = write(self)
        seen.opened.append(data)
        return data

    monkeypatch.setattr(authority_room, "authority_pick", picking)
    monkeypatch.setattr(calls, "wrap", wrapping)
    monkeypatch.setattr(Opened, "to_bytes", writing)
    return seen


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Let the nodes log as in production, to memory."""
    stream = io.StringIO()
    log.configure(stream)
    yield stream
    log.reset()


def spellings(data: bytes) -> list[bytes]:
    """Write bytes in the ways in which they could be kept."""
    return [data, data.hex().encode(), base64.b64encode(data).rstrip(b"=")[:-1]]


def numbers(value: int) -> list[bytes]:
    """Write a number in the ways in which it could be kept."""
    size = (value.bit_length() + 7) // 8
    return [
        str(value).encode(),
        value.to_bytes(size, "big"),
        value.to_bytes(size, "little"),
        f"{value:x}".encode(),
    ]


def find(files: dict[str, bytes], needles: list[bytes]) -> list[tuple[str, bytes]]:
    """Grep."""
    return [
        (name, needle)
        for name, data in files.items()
        for needle in needles
        if needle in data
    ]


def marked(german: German) -> None:
    """Push a dataset of values that are found by a grep, if they are anywhere."""
    dataset = Dataset.from_yaml(MARKED, "marked.yaml")
    payload = dataset.to_bytes()
    signed = german.sign(dataset.custodian, Tag.DATASET_REGISTRATION, payload)
    for core in (german.authority, german.house):
        registry = core.registry
        core.ledger.commit(lambda tx, r=registry: r.register(tx, signed))
    values = np.zeros((1, len(dataset.encrypted), german.world.slots), np.int64)
    for i, (name, value) in enumerate(zip(german.ids, VALUES, strict=True)):
        row = {"subject_id": name, "mark": str(value)}
        values[0, :, german.number(name)] = dataset.encode(row)
        assert value in values[0, :, german.number(name)], i
    german.push(dataset, values)


def busy(german: German) -> None:
    """Call in every way: answered, repeated, denied, refused, interrupted."""
    for i, subject in enumerate(german.ids[:-1]):
        german.grant(subject, f"consent-{i}")
    with german.bank() as bank:
        for i, subject in enumerate(german.ids[:-2]):
            for _ in range(2):
                bank.score("german-card", subject, consent=f"consent-{i}")
        with suppress(Denied):
            bank.score("german-card", german.ids[-1], consent="consent-0")
        with suppress(NodeError):
            asked = question(
                german, german.ids[-1], contract=bytes(32), consent="consent-0"
            )
            send(bank, asked)
        with pytest.MonkeyPatch.context() as patch:
            wire = Between(german.house)
            wire.on_answer = _away
            patch.setattr(german.house.consultation, "_authority", wire)
            with pytest.raises(Unreachable):
                bank.score(
                    "german-card",
                    german.ids[-2],
                    consent=f"consent-{len(german.ids) - 2}",
                )
        bank.flush()


def _away(_: object) -> None:
    raise Unreachable("no answer")


def test_nothing_that_was_plain_is_on_any_disk(
    tmp_path: Path, eyes: Eyes, lines: io.StringIO
) -> None:
    """Case 59: while they run, and after they have ended."""
    with World(tmp_path) as world:
        german = German(world, SUBJECTS)
        marked(german)
        busy(german)
        _search(world, german, eyes, lines)
        assert german.house.resume() == 1
        world.stop(Role.HOUSE)
        world.stop(Role.AUTHORITY)
        files = _search(world, german, eyes, lines)
    assert any(name.endswith(".blocks") for name in files)


def _search(
    world: World, german: German, eyes: Eyes, lines: io.StringIO
) -> dict[str, bytes]:
    # The contract's comments name the rows of the public table it was tested on.
    text = (FOLDER / "contract.yaml").read_text()
    people = [name.encode() for name in german.ids if name not in text]
    assert people
    for ref in german.refs.values():
        people += spellings(ref)
    values = [spelt for value in VALUES for spelt in numbers(value)]
    memory = [spelt for seed in eyes.seeds if seed for spelt in spellings(seed)]
    memory += [s for picked in eyes.picked for s in numbers(picked.z)]
    for opened in eyes.opened:
        memory += spellings(opened[32:])  # u and rows
    assert len(eyes.picked) >= SUBJECTS - 2
    assert len(eyes.opened) >= SUBJECTS - 2
    house = world.disk("house")
    authority = world.disk("authority")
    logged = {"log": lines.getvalue().encode()}
    assert logged["log"]
    for files in (house, authority, logged):
        assert find(files, people) == []
        assert find(files, values) == []
        assert find(files, memory) == []
    # The keys are as secret as ever: not one of them outside its keystore.
    secret = [
        held
        for party in ("house", "authority")
        for name in ("at_rest", "pseudonym", "opening")
        for held in spellings(getattr(world.composed.keys[party], name, b"?" * 32))
    ]
    assert find({**house, **authority, **logged}, secret) == []
    return {**house, **authority}


def test_the_grep_finds_what_is_there() -> None:
    """Each spelling is one that a careless node would have written."""
    value = VALUES[0]
    for spelt in (
        f"score {value}".encode(),
        np.array([value], "<i8").tobytes(),
        np.array([value], ">i8").tobytes(),
    ):
        assert find({"file": b"x" + spelt + b"y"}, numbers(value))
    data = secrets.token_bytes(32)
    for kept in (data, base64.b64encode(data), b"0x" + data.hex().encode()):
        assert find({"file": kept}, spellings(data))


@pytest.mark.parametrize("role", [Role.HOUSE, Role.AUTHORITY])
def test_only_the_house_keeps_pads_and_only_sealed_boxes(
    tmp_path: Path, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pad key is the house's and the bank's: the authority never has it."""
    pads: list[bytes] = []
    with World(tmp_path) as world:
        german = German(world, SUBJECTS)
        make: Callable[..., tuple[object, bytes]] = german.house.engine.message

        def making(*given: object) -> tuple[object, bytes]:
            message, key = make(*given)
            pads.append(key)
            return message, key

        monkeypatch.setattr(german.house.engine, "message", making)
        busy(german)
        files = world.disk(role.value)
        found = find(files, [spelt for key in pads for spelt in spellings(key)])
    assert bool(found) is (role is Role.HOUSE)


@pytest.mark.parametrize(
    "secret",
    [
        Made(Message(0, (), b""), b"pads-of-a-block"),
        Unmasked([7], (), b"seed-of-a-block"),
        Flight.__new__(Flight),
        Waiting.__new__(Waiting),
    ],
    ids=lambda secret: type(secret).__name__,
)
def test_what_a_node_computes_with_has_no_repr(secret: object) -> None:
    """Seeds, pads and shares stay out of a debugger's line, too."""
    assert "object at" in repr(secret)
    assert "of-a-block" not in repr(secret)
