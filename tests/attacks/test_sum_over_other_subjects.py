"""Crime: a house lists other slots than the question's, or the same under a false name.

One subject left out, and what it has is a subtraction; one added from another group;
ten that the house knows and one that it wants; a small group passed off as a large one;
somebody who objects counted all the same.  The authority works out by itself who is in
which group, and decrypts nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Self

import pytest

from contracts.decide import Reason
from contracts.odometer import EpsilonLimits
from contracts.subject import SubjectType
from node import clock
from node.author import Author
from node.errors import Denied, ReplyRefused
from node.keys import BankKeys, RegistrarKeys
from node.objections import Placement
from node.objector import Objector
from node.wire.v1 import aggregate_pb2
from protocols.aggregate_call import AggregateTicket, Group, aggregate_ticket_hash
from protocols.slots import Ints
from tests.hostile_sums import EvilHouse, Lie, first_of, only, out
from tests.simulator import STATISTICS, World
from tests.statistics_town import CONTRACT, Town, people


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EvilHouse]:
    """Run a town whose house lies."""
    folder = tmp_path_factory.mktemp("town")
    with World(folder / "world", bases=STATISTICS) as world:
        town = Town(world, folder / "files", people())
        town.authority._limits = EpsilonLimits(10**9, 10**9)
        yield EvilHouse(town)


def test_the_truth_is_answered(house: EvilHouse) -> None:
    """Else the refusals below would prove nothing."""
    asked = house.asked(house.town.contract.hash)
    spent, done = house.counted()
    house.evaluate(asked, house.make(asked))
    assert house.counted() == (spent + 900, done + 1)


def rows_of(house: EvilHouse) -> tuple[int, ...]:
    """List the rows of the first group."""
    asked = house.asked(house.town.contract.hash)
    of_rows = house.found(asked).selection.of_rows
    return tuple(int(row) for row in (of_rows == 0).nonzero()[0])


def join(of_rows: Ints) -> None:
    """Move somebody of the second group into the first."""
    of_rows[first_of(of_rows, 1)] = 0


def test_one_left_out_or_added_is_seen(house: EvilHouse) -> None:
    """Whoever it is, and though the ticket says so itself."""
    mine = rows_of(house)
    for change in (out(mine[0]), join, only(*mine[:10])):
        asked = house.asked(house.town.contract.hash)
        found = house.refused(asked, house.make(asked, rows=change))
        # The ciphertexts that follow from the right list may be other ones.
        assert found[0] == Reason.TICKET_INVALID
        assert set(found) <= {Reason.TICKET_INVALID, Reason.MESSAGE_INVALID}


def test_a_lie_about_the_list_does_not_help(house: EvilHouse) -> None:
    """The right digest over other ciphertexts: then the message is another shape."""
    asked = house.asked(house.town.contract.hash)
    honest = house.make(asked)
    alone = house.make(asked, rows=only(*rows_of(house)[:1]))
    lie = replace(
        honest,
        ticket=replace(honest.ticket, message=alone.ticket.message),
        ciphertexts=alone.ciphertexts,
    )
    assert house.refused(asked, lie) == [Reason.MESSAGE_INVALID]


CHANGES: list[tuple[str, Callable[[AggregateTicket], AggregateTicket]]] = [
    ("groups", lambda t: replace(t, groups=t.groups[:1])),
    ("sizes", lambda t: replace(t, groups=(Group(("安居镇",), 40), *t.groups[1:]))),
    ("suppressed", lambda t: replace(t, suppressed=(Group(("x",), 3),))),
    ("left out", lambda t: replace(t, left_out=1)),
    ("request", lambda t: replace(t, request=bytes(32))),
    ("contract", lambda t: replace(t, contract=bytes(32))),
    ("quarter", lambda t: replace(t, snapshot=replace(t.snapshot, quarter="2001Q1"))),
    ("dataset", lambda t: replace(t, snapshot=replace(t.snapshot, dataset="other"))),
    (
        "attributes",
        lambda t: replace(t, snapshot=replace(t.snapshot, attributes=bytes(32))),
    ),
    ("blocks", lambda t: replace(t, snapshot=replace(t.snapshot, blocks=2))),
]


@pytest.mark.parametrize("change", [c for _, c in CHANGES], ids=[n for n, _ in CHANGES])
def test_every_word_of_a_ticket_is_checked(
    house: EvilHouse, change: Callable[[AggregateTicket], AggregateTicket]
) -> None:
    """What is signed and false is refused, whatever else is right."""
    asked = house.asked(house.town.contract.hash)
    lie = house.make(asked)
    assert Reason.TICKET_INVALID in house.refused(
        asked, replace(lie, ticket=change(lie.ticket))
    )


def test_a_quarter_has_one_snapshot(house: EvilHouse) -> None:
    """After the first answer another version is refused: versions would subtract."""
    asked = house.asked(house.town.contract.hash)
    house.evaluate(asked, house.make(asked))
    asked = house.asked(house.town.contract.hash)
    lie = house.make(asked, snapshot=lambda s: replace(s, version=2))
    assert house.refused(asked, lie) == [Reason.STALE_DATA]


def test_ciphertexts_are_those_of_the_ticket(house: EvilHouse) -> None:
    """One more, one less, one swapped, one that is no unit: nothing is decrypted."""
    for change in (
        lambda c: c[:-1],
        lambda c: (*c, c[0]),
        lambda c: (c[1], c[0], *c[2:]),
        lambda c: (0, *c[1:]),
    ):
        asked = house.asked(house.town.contract.hash)
        lie = house.make(asked)
        assert lie.ciphertexts is not None
        lie = replace(lie, ciphertexts=change(lie.ciphertexts))
        assert house.refused(asked, lie) == [Reason.MESSAGE_INVALID]


def test_the_intent_is_in_the_journal(house: EvilHouse) -> None:
    """Another question's entry is no intent."""
    other = house.asked(house.town.contract.hash)
    lie = house.make(other)
    house.evaluate(other, lie)
    asked = house.asked(house.town.contract.hash)
    assert Reason.INTENT_UNPROVEN in house.refused(asked, house.make(asked), intent=1)


def test_a_second_ticket_for_one_request(house: EvilHouse) -> None:
    """A jti answers once: another message under it is refused."""
    asked = house.asked(house.town.contract.hash)
    house.evaluate(asked, house.make(asked))
    assert Reason.REPLAY_MISMATCH in house.refused(asked, house.make(asked))


def test_nobody_asks_for_a_bank(house: EvilHouse) -> None:
    """A request that the bank did not sign, and one that is too old."""
    asked = house.asked(house.town.contract.hash, "jnrcb", signer="lsbank")
    assert Reason.SIGNATURE_INVALID in house.refused(asked, house.make(asked))
    request = replace(asked.request, iat_ms=clock.now_ms() - 301_000)
    old = house.signed(request, "jnrcb")
    assert house.refused(old, house.make(old)) == [Reason.CLOCK_SKEW]


def test_a_repeat_repeats_the_same_question(house: EvilHouse) -> None:
    """Leave to release another bank's, or another question's, answer is refused."""
    asked = house.asked(house.town.contract.hash, town=["安居镇"])
    made = house.make(asked)
    house.evaluate(asked, made)
    name = Lie(
        replace(
            made.ticket,
            seed=b"",
            message=b"",
            masks=b"",
            repeat_of=aggregate_ticket_hash(made.ticket.to_bytes()),
        ),
        None,
        made.placements,
    )
    again = house.asked(house.town.contract.hash, town=["安居镇"])
    house.evaluate(
        again, replace(name, ticket=replace(name.ticket, request=again.call))
    )
    for bank, where in (("lsbank", ["安居镇"]), ("jnrcb", ["唐口街道"])):
        wrong = house.asked(house.town.contract.hash, bank, town=where)
        right = house.make(wrong).ticket
        repeat = replace(
            right, seed=b"", message=b"", masks=b"", repeat_of=name.ticket.repeat_of
        )
        assert house.refused(wrong, replace(name, ticket=repeat)) == [
            Reason.TICKET_INVALID
        ]


def test_who_objects_cannot_be_counted_nor_exchanged(house: EvilHouse) -> None:
    """Left out by the house or not: the authority has the register, and a memory."""
    town = house.town
    held = town.world.keys("registrar", RegistrarKeys)
    victim, other = town.rows[4].name, town.rows[7].name
    with Objector(town.world.config("registrar"), held, town.world.domain) as registrar:
        registrar.object(SubjectType.OPAQUE, victim, clock.now_ms(), "o-victim")
        contract = town.contract.hash
        asked = house.asked(contract)
        assert house.refused(asked, house.make(asked, placements=())) == [
            Reason.OBJECTION,
            Reason.TICKET_INVALID,
        ]
        asked = house.asked(contract)
        house.evaluate(asked, house.make(asked))  # its place is known from now on
        place = Placement("o-victim", town.number(other))
        asked = house.asked(contract)
        lie = house.make(
            asked,
            rows=out(town.number(other)),
            placements=(place,),
        )
        assert Reason.OBJECTION in house.refused(asked, lie)
        registrar.object(
            SubjectType.OPAQUE, victim, clock.now_ms(), "o-victim", ends=True
        )


def test_a_contract_that_nobody_approved(house: EvilHouse) -> None:
    """Submitted, and asked at once: refused by the house and by the authority."""
    town = house.town
    text = CONTRACT.replace("version: 1", "version: 77")
    held = town.world.keys("jnrcb", BankKeys)
    with Author(town.world.config("jnrcb"), held, town.world.domain) as author:
        contract = author.submit(text, "contract.yaml")
    asked = house.asked(contract.hash)
    assert house.refused(asked, house.make(asked)) == [Reason.CONTRACT_NOT_APPROVED]
    with town.client() as bank, pytest.raises(Denied) as caught:
        bank.ask(contract.hash)
    assert caught.value.reason == Reason.CONTRACT_NOT_APPROVED


@pytest.mark.parametrize(
    "part", ["request", "ticket", "receipt", "box", "masks", "permit"]
)
def test_a_bank_takes_no_answer_that_proves_nothing(
    house: EvilHouse, part: str
) -> None:
    """A part of a reply exchanged for another answer's; then the honest one."""
    contract = house.town.contract.hash
    with house.town.client() as bank:
        kept = bank._records.find(bank.ask(contract, {"trade": ["农业"]}).request)
        assert kept is not None
        assert kept.reply is not None
        foreign = kept.reply.answer

        def change(reply: aggregate_pb2.AggregateReply) -> None:
            value = getattr(foreign, part)
            if isinstance(value, bytes):
                setattr(reply.answer, part, value)
            else:
                getattr(reply.answer, part).CopyFrom(value)

        honest = bank._stub.Aggregate
        bank._stub.Aggregate = Changed(honest, change)
        with pytest.raises(ReplyRefused):
            bank.ask(contract, {"trade": ["制造业"]})
        bank._stub.Aggregate = honest
        assert bank.ask(contract, {"trade": ["制造业"]}).groups


class Changed:
    """A method whose replies are changed on the way."""

    def __init__(
        self,
        method: Callable[..., Iterator[aggregate_pb2.AggregateResponse]],
        change: Callable[[aggregate_pb2.AggregateReply], None],
    ) -> None:
        self._method, self._change = method, change
        self._pieces: Iterator[aggregate_pb2.AggregateResponse] = iter(())

    def __call__(self, message: object, timeout: float) -> Self:
        """Ask."""
        self._pieces = self._method(message, timeout=timeout)
        return self

    def __iter__(self) -> Iterator[aggregate_pb2.AggregateResponse]:
        for piece in self._pieces:
            if piece.HasField("reply"):
                self._change(piece.reply)
            yield piece

    def cancel(self) -> None:
        """End the stream, as gRPC's."""
