"""A house that computes something else than it journals.

It holds every ciphertext and draws the mask: with an accomplice at a bank it could
answer about another person, run other weights, or use older data, and the bank
would check every proof and see nothing.  Two auditors compute the call again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from contracts import bodies, inputs
from contracts.inputs import Inputs
from contracts.transcript import Block, Case, Replayed, Subject, Transcripts
from node.auditor import Auditor
from node.domain import Role
from node.engine import Engine
from node.errors import ExportInvalid
from node.transcript import find_cases, sample
from node.verify import verify
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.paillier import Ciphertext
from tests.audited import Audited, ask, audited, places, told, with_body


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Audited]:
    """Run a town of its own, whose house may lie."""
    with audited(tmp_path) as made:
        yield made


@contextmanager
def auditors(town: Audited) -> Iterator[tuple[Auditor, Auditor]]:
    """Open both, with a new export."""
    with town.world.auditor() as one, town.world.auditor("auditor-b") as two:
        one.export(town.folder)
        yield one, two


def again(town: Audited, call: bytes, subject: Subject | None = None) -> Replayed:
    """Compute one call again."""
    with auditors(town) as both:
        (case,) = find_cases(town.folder, town.world.domain, [call])
        shares = [auditor.seed_share(case) for auditor in both]
        transcripts = Transcripts(town.world.domain.paillier)
        return transcripts.replay(case, shares, both[0].blocks(case), subject)


def test_another_slot(own: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    """The neighbour's outcome under one's own consent: the opened slot tells."""
    german, honest = own.german, Engine.inputs

    def neighbour(engine: Engine, *given: object) -> Inputs:
        found = honest(engine, *given)  # type: ignore[arg-type]
        return replace(found, slot=(found.slot + 1) % 2)

    monkeypatch.setattr(Engine, "inputs", neighbour)
    with german.bank() as bank:
        (call,) = ask(german, bank, 6)
    assert again(own, call).identical  # so it was computed, about somebody
    ref = german.refs[german.ids[6]]
    (salt,) = (row.salt for row in german.rows if row.subject_ref == ref)
    found = again(own, call, Subject(ref, salt))
    assert set(found.differences) == {
        f"the slot in `{name}` is another subject's" for name in german.datasets
    }


def test_another_computation(own: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 points more in every slot: the message is another one."""
    german, honest = own.german, Engine._totals

    def better(engine: Engine, *given: object) -> tuple[Ciphertext, ...]:
        (total,) = honest(engine, *given)  # type: ignore[arg-type]
        public = engine._public
        return (total * (1 + 200 * public.n) % public.n2,)

    monkeypatch.setattr(Engine, "_totals", better)
    with german.bank() as bank:
        (call,) = ask(german, bank, 6)
    assert verify(own.folder, own.world.domain).findings == ()  # journals agree
    found = again(own, call)
    assert found.differences == ("the message to the authority is another one",)


def test_another_key_of_the_pads(own: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not drawn from the seed."""
    honest = inputs.message

    def other(*given: object) -> object:
        message, _ = honest(*given)  # type: ignore[arg-type]
        return message, b"k" * 32

    german = own.german
    with monkeypatch.context() as lying:
        lying.setattr(inputs, "message", other)
        with german.bank() as bank:
            ask(german, bank, 6)
    with auditors(own):
        pass
    intent = [e for e in own.entries(Role.HOUSE) if e.kind is Kind.CALL_INTENT][-1]
    found = again(own, bytes.fromhex(intent.call))
    assert found.differences == ("the pads are other ones",)


def test_an_older_version(own: Audited, tmp_path: Path) -> None:
    """A ticket on version 1 behind the push of version 2, in the journal it signed."""
    german = own.german
    dataset = next(iter(german.datasets.values()))
    german.push(dataset, german.values(dataset, german.ids), version=2)
    with auditors(own):
        pass
    house = own.entries(Role.HOUSE)
    intent = max(i for i, e in enumerate(house) if e.kind is Kind.CALL_INTENT)
    call = house[intent].call
    while b'"repeat_of":""' not in house[intent].to_bytes().replace(b"\\", b""):
        intent = max(
            i for i, e in enumerate(house[:intent]) if e.kind is Kind.CALL_INTENT
        )
        call = house[intent].call

    def earlier(entries: list[Entry]) -> list[Entry]:
        push = replace(entries.pop(), time_ms=entries[intent].time_ms)
        return [*entries[:intent], push, *entries[intent:]]

    assert house[-1].kind is Kind.DATA_PUSH
    folder = own.rewrite(tmp_path / "x", Role.HOUSE, earlier)
    assert ("house", intent + 1, "STALE_INPUT") in told(own.verify(folder).findings)
    (case,) = find_cases(folder, own.world.domain, [bytes.fromhex(call)])
    with auditors(own) as both:
        shares = [auditor.seed_share(case) for auditor in both]
        blocks = both[0].blocks(case)
    found = Transcripts(own.world.domain.paillier).replay(case, shares, blocks)
    assert found.differences == (
        f"rests on version 1 of `{dataset.name}`, version 2 was the newest",
    )


def edited(block: Block, **changes: object) -> Block:
    """Change what the house hands out."""
    return replace(block, **changes)  # type: ignore[arg-type]


def test_edited_blocks(town: Audited) -> None:
    """Other ciphertexts, another place, another row: each is named."""
    trust = town.world.domain
    item = town.fresh[0]
    assert item.reply is not None
    with town.world.auditor() as one, town.world.auditor("auditor-b") as two:
        case = only(town)
        shares = [one.seed_share(case), two.seed_share(case)]
        blocks = one.blocks(case)
    transcripts = Transcripts(trust.paillier)
    name, other = list(blocks)[:2]
    true, neighbour = blocks[name], blocks[other]
    records = true.records
    flipped = records[:-1] + bytes([records[-1] ^ 1])
    place = f"block {case.ticket.block} of `{name}`: "
    slot = f"slot {case.ticket.slot} of `{name}`: "
    lies = {
        place + "the ciphertexts are not those of the ticket": [
            edited(true, records=flipped),
            edited(true, records=records[::-1]),
        ],
        place + "expected": [edited(true, records=records[:-1])],
        place + "inclusion of": [edited(true, inclusion=(bytes(32),))],
        slot + "inclusion of": [edited(true, row_leaf=bytes(32))],
        f"the house shows another manifest of `{name}`": [
            edited(true, manifest=neighbour.manifest)
        ],
    }
    for words, shown in lies.items():
        for lie in shown:
            found = transcripts.replay(case, shares, blocks | {name: lie})
            assert len(found.differences) == 1
            assert found.differences[0].startswith(words)
    rest = {name_: block for name_, block in blocks.items() if name_ != name}
    found = transcripts.replay(case, shares, rest)
    assert found.differences == (
        f"the house has no block {case.ticket.block} of `{name}`",
    )
    assert str(found).endswith(found.differences[0])


def only(town: Audited) -> Case:
    """Return the first call that was computed."""
    house = town.entries(Role.HOUSE)
    call = next(e.call for e in house if e.kind is Kind.CALL_INTENT)
    (case,) = find_cases(town.folder, town.world.domain, [bytes.fromhex(call)])
    return case


def test_tickets_of_another_shape(town: Audited) -> None:
    """No contract, other datasets, versions never pushed, an unsigned ticket."""
    with town.world.auditor() as one, town.world.auditor("auditor-b") as two:
        case = only(town)
        shares = [one.seed_share(case), two.seed_share(case)]
        blocks = one.blocks(case)
    transcripts = Transcripts(town.world.domain.paillier)
    first = case.ticket.inputs[0]

    def with_first(**changes: object) -> Case:
        item = replace(first, **changes)  # type: ignore[arg-type]
        items = (item, *case.ticket.inputs[1:])
        named = dict(case.named)
        if "version" in changes:
            del named[first.dataset]
        return replace(case, ticket=replace(case.ticket, inputs=items), named=named)

    lies = {
        "the contract is not in the journal": replace(case, compiled=None),
        "the ticket is on other datasets": replace(
            case, ticket=replace(case.ticket, inputs=case.ticket.inputs[::-1])
        ),
        "rests on version 9": with_first(version=9),
        "rests on version 0": with_first(version=0),
        "names another map": with_first(row_map_root=bytes(32)),
        f"block {case.ticket.block} of": with_first(leaf=bytes(32)),
        "signed by": replace(case, flaws=("signed by nobody",)),
        "slot": replace(case, maps={}),
    }
    for words, lie in lies.items():
        found = transcripts.replay(lie, shares, blocks)
        assert not found.identical
        assert found.differences[0].startswith(words), found.differences


def test_a_ticket_that_the_house_did_not_sign(town: Audited, tmp_path: Path) -> None:
    """Or that is for another call: told with everything else that is wrong."""
    house = town.entries(Role.HOUSE)
    first, second = places(house, Kind.CALL_INTENT)[:2]

    def forge(entries: list[Entry]) -> list[Entry]:
        ticket = bodies.Intent.parse(entries[first].body).ticket
        signed = town.sign("jnrcb", Tag.TICKET, ticket.payload)
        entries[first] = with_body(entries[first], ticket=signed.to_json())
        return entries

    folder = town.rewrite(tmp_path / "x", Role.HOUSE, forge)
    call = bytes.fromhex(house[first].call)
    (case,) = find_cases(folder, town.world.domain, [call])
    assert case.flaws == ("`jnrcb` signs no `safehouse/ticket/1`",)

    def exchange(entries: list[Entry]) -> list[Entry]:
        other = entries[second].body["ticket"]
        entries[first] = with_body(entries[first], ticket=other)
        return entries

    folder = town.rewrite(tmp_path / "y", Role.HOUSE, exchange)
    (case,) = find_cases(folder, town.world.domain, [call])
    assert case.flaws == ("the ticket is for another request or contract",)


def test_an_intent_that_cannot_be_read(town: Audited, tmp_path: Path) -> None:
    """Neither found nor sampled; the entry is named."""
    house = town.entries(Role.HOUSE)
    first = places(house, Kind.CALL_INTENT)[0]

    def forge(entries: list[Entry]) -> list[Entry]:
        entries[first] = with_body(entries[first], score=700)
        return entries

    trust = town.world.domain
    folder = town.rewrite(tmp_path / "x", Role.HOUSE, forge)
    for read in (
        lambda: find_cases(folder, trust, [bytes.fromhex(house[first].call)]),
        lambda: sample(folder, trust, 1, b"seed"),
    ):
        with pytest.raises(ExportInvalid, match="unknown member") as caught:
            read()
        assert caught.value.index == first


def test_a_contract_or_a_push_that_nobody_signed(town: Audited, tmp_path: Path) -> None:
    """What the house slipped in among the documents is not what a call rests on."""
    trust = town.world.domain
    call = only(town).call
    for kind, member, words in (
        (Kind.CONTRACT_SUBMIT, "signed", "the contract is not in the journal"),
        (Kind.DATA_PUSH, "manifest", "rests on version 1"),
        (Kind.DATA_DIRECTORY, "signed", "slot"),
    ):

        def forge(
            entries: list[Entry], kind: Kind = kind, member: str = member
        ) -> list[Entry]:
            at = places(entries, kind)[0]
            document = entries[at].body[member]
            assert isinstance(document, dict)
            edited_ = {**document, "signature": "00" * 64}
            entries[at] = with_body(entries[at], **{member: edited_})
            return entries

        folder = town.rewrite(tmp_path / member / kind, Role.HOUSE, forge)
        (case,) = find_cases(folder, trust, [call])
        with auditors(town) as both:
            shares = [auditor.seed_share(case) for auditor in both]
            blocks = both[0].blocks(case)
        found = Transcripts(trust.paillier).replay(case, shares, blocks)
        assert any(told.startswith(words) for told in found.differences), words
