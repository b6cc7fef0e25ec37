"""Which legal bases are accepted is the trust domain's to say; by default, strictly."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts import bodies
from contracts.basis import STRICT, Accepted, Bases, Basis, basis_of
from contracts.consent import Evidence
from contracts.contract import ContractKind
from contracts.cross_check import cross_check
from contracts.dataset import Tier
from contracts.decide import Data, Finding, Reason, decide, decide_job, public
from contracts.discrepancy import Role as Journal
from contracts.rebuild import Standing
from contracts.replay import Replay
from contracts.subject import SubjectType
from node import clock
from node.cli.setup import _basis
from node.domain import Role, TrustDomain
from node.errors import Denied, DomainInvalid
from node.initialise import DEFAULT_MEMBERS, Plan, compose
from protocols.canon import Json, dumps
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from tests.german import German
from tests.simulator import ORDERS, World
from tests.test_decide import ASK, START, TERMS, consenting
from tests.test_four_eyes import DESK, OTHER, statutory
from tests.test_replay_nodes import journal

TIERS = tuple(Tier)


def test_the_strict_rule() -> None:
    """宜兴: the subject's own word for everything, nobody's only for what is public."""
    for tier in Tier:
        assert STRICT.accepts(Basis.SELF, tier, "税务")
        assert not STRICT.accepts(Basis.STATUTORY, tier, "税务")
        assert not STRICT.accepts(Basis.AGGREGATE, tier, "税务")
        assert STRICT.accepts(Basis.PUBLIC, tier, "税务") is (tier is Tier.T0)
    assert not any(Bases(()).accepts(b, t, "") for b in Basis for t in Tier)
    assert [basis_of(kind) for kind in Evidence] == [
        Basis.SELF,
        Basis.SELF,
        Basis.STATUTORY,
    ]


def test_a_rule_is_exact_in_tier_and_category() -> None:
    """No neighbour of what is written."""
    rule = STRICT.with_rows([Accepted(Basis.STATUTORY, (Tier.T1,), ("税务",))])
    accepted = {
        (tier, word)
        for tier in Tier
        for word in ("税务", "社会保险", "")
        if rule.accepts(Basis.STATUTORY, tier, word)
    }
    assert accepted == {(Tier.T1, "税务")}
    none = rule.with_rows([Accepted(Basis.SELF, ())])
    assert not none.accepts(Basis.SELF, Tier.T0, "")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (
            {"basis": "blanket", "tiers": [], "categories": []},
            "unknown basis `blanket`",
        ),
        ({"basis": "self", "tiers": ["T4"], "categories": []}, "unknown tier `T4`"),
        ({"basis": "self", "tiers": ["T1", "T0"], "categories": []}, "in order"),
        ({"basis": "self", "tiers": ["T1", "T1"], "categories": []}, "each once"),
        ({"basis": "self", "tiers": [], "categories": ["b", "a"]}, "in order"),
        ({"basis": "self", "tiers": [], "categories": [""]}, "expected a basis"),
        ({"basis": "self", "tiers": []}, "expected a basis"),
        ({"basis": "self", "tiers": [], "categories": [], "x": 1}, "expected a basis"),
        ({"basis": "public", "tiers": ["T1"], "categories": []}, "never one for tier"),
        ({"basis": "aggregate", "tiers": ["T3"], "categories": []}, "never one for"),
    ],
)
def test_rules_that_are_refused(item: Json, words: str) -> None:
    """By name: unknown bases and tiers, and what no rule may accept."""
    with pytest.raises(FormatError, match=words):
        Accepted.from_json(item)


def test_a_trust_domain_says_it_in_one_way() -> None:
    """Read as written; left out where it is strict; each basis once, in order."""
    strict = compose(Plan("rencheng", key_bits=2048), clock.now_ms()).domain
    ruled_ = replace(strict, bases=ORDERS)
    data = ruled_.to_bytes()
    assert TrustDomain.parse(data) == ruled_
    assert b'"bases"' not in strict.to_bytes()
    at = data.index(b'"bases":') + len(b'"bases":')
    end = data.index(b',"ca":', at)
    rows = dumps({"rows": [row.to_json() for row in STRICT.rows]})[8:-1]
    for written, words in (
        (rows, "left out where they are the strict ones"),
        (data[at:end].replace(b"statutory", b"unheard"), "unknown basis `unheard`"),
        (b"{}", "bases"),
    ):
        with pytest.raises(DomainInvalid, match=words):
            TrustDomain.parse(data[:at] + written + data[end:])
    with pytest.raises(FormatError, match="in order, each once"):
        Bases((*ORDERS.rows, ORDERS.rows[0]))


def by(evidence: Evidence, tiers: str, bases: Bases) -> list[Finding]:
    """Decide a call on a consent of this evidence."""
    grant = consenting(evidence_kind=evidence, evidence_digest=b"e" * 32, separate=True)
    data = tuple(Data(f"d-{tier}", Tier(f"T{tier}"), "税务") for tier in tiers)
    scope = (f"contract:{TERMS.contract_id}",)
    consent = replace(grant.consent, scope=scope)
    terms = replace(TERMS, datasets=data, bases=bases)
    return list(
        decide(ASK, terms, replace(grant, consent=consent), None, START).reasons
    )


@pytest.mark.parametrize("evidence", [Evidence.ONLINE, Evidence.PAPER])
def test_the_own_word_is_enough_under_the_strict_rule(evidence: Evidence) -> None:
    """For every tier."""
    assert by(evidence, "0123", STRICT) == []


def test_an_order_is_none_under_the_strict_rule() -> None:
    """Refused by name, for every dataset; told to the bank."""
    found = by(Evidence.STATUTORY, "01", STRICT)
    assert found == [Finding(Reason.BASIS_REFUSED, "`statutory` for d-0, d-1")]
    assert public(found) == found[0]
    some = STRICT.with_rows([Accepted(Basis.STATUTORY, (Tier.T0,))])
    assert by(Evidence.STATUTORY, "0", some) == []
    assert by(Evidence.STATUTORY, "01", some) == [
        Finding(Reason.BASIS_REFUSED, "`statutory` for d-1")
    ]


@pytest.mark.parametrize(
    ("kind", "tier", "refused"),
    [
        (ContractKind.AGGREGATE, Tier.T0, True),
        (ContractKind.AGGREGATE, Tier.T1, True),
        (ContractKind.PSI, Tier.T0, False),  # public
        (ContractKind.PSI, Tier.T1, False),  # its entries consent, one by one
        (ContractKind.SCORE, Tier.T1, False),
    ],
)
def test_what_needs_nobodys_word(
    kind: ContractKind, *, tier: Tier, refused: bool
) -> None:
    """A statistic, a public list: by the rule, before anybody is looked up."""
    terms = replace(TERMS, kind=kind, datasets=(Data("d", tier, "税务"),))
    reasons = [r.reason for r in decide_job(ASK.bank, ASK.purpose, terms, kind).reasons]
    assert reasons == ([Reason.BASIS_REFUSED] if refused else [])
    rows = [Accepted(Basis.AGGREGATE, (Tier.T0, Tier.T1)), Accepted(Basis.PUBLIC, ())]
    terms = replace(terms, bases=STRICT.with_rows(rows))
    reasons = [r.reason for r in decide_job(ASK.bank, ASK.purpose, terms, kind).reasons]
    public_list = kind is ContractKind.PSI and tier is Tier.T0
    assert reasons == ([Reason.BASIS_REFUSED] if public_list else [])


# -- at the nodes


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Run a trust domain that says nothing of bases."""
    with World(tmp_path / "world", (*DEFAULT_MEMBERS, DESK, OTHER)) as made:
        yield made


def ruled(world: World, serial: int, bases: Bases) -> None:
    """Give everybody another trust domain; the nodes start again."""
    same = serial == world.domain.serial
    history = world.domain.history if same else ()
    world.renew(replace(world.domain, serial=serial, history=history, bases=bases))


def findings(world: World, german: German) -> list[str]:
    """Replay both journals under the trust domain at hand, and compare them."""
    trust, told = world.domain, list[str]()
    keys = {party.id: party.sign for party in trust.parties}
    for role in Journal:
        replay = Replay(role, keys=keys, standing=trust.standing)
        for index, entry in enumerate(journal(german, role)):
            told += [str(found.mark) for found in replay.feed(index, entry)]
    house, authority = (journal(german, role) for role in Journal)
    found, _ = cross_check(house, authority, standing=trust.standing)
    return told + [str(each.mark) for each in found]


def test_an_order_is_accepted_from_the_serial_on_that_says_so(
    world: World, tmp_path: Path
) -> None:
    """Denied, permitted, denied again; a replay decides by the rule of its time."""
    german = German(world, 3)
    subject, kind = german.ids[0], SubjectType.OPAQUE
    with world.registrar() as one, world.registrar("desk-2") as two:
        path = statutory(tmp_path, subject)
        one.import_consents(path, None, kind, clock.now_ms())
        two.approve([each.name for each in two.pending()], clock.now_ms())

    def asks() -> str:
        with german.bank() as bank:
            try:
                bank.score("german-card", subject, consent="s-1")
            except Denied as denied:
                return denied.reason
        return "permitted"

    assert asks() == "BASIS_REFUSED"
    ruled(world, 2, ORDERS)
    assert asks() == "permitted"
    ruled(world, 3, STRICT)
    assert asks() == "BASIS_REFUSED"
    assert findings(world, german) == []
    for role in Journal:
        entries = [e for e in journal(german, role) if e.kind is Kind.ADMIN_BASES]
        assert [bodies.BasisRule.parse(e.body).serial for e in entries] == [2, 3]

    # A journal that forgets the rule, or has it earlier, no longer follows.
    for role in Journal:
        entries = journal(german, role)
        at = next(i for i, e in enumerate(entries) if e.kind is Kind.ADMIN_BASES)
        without = entries[:at] + entries[at + 1 :]
        assert "DECISION_DIFFERS" in marks(role, without)
        if role is Journal.AUTHORITY:
            continue  # it was not asked before
        early = [entries[0], replace(entries[at], time_ms=entries[0].time_ms)]
        early += without[1:]
        assert "DECISION_DIFFERS" in marks(role, early)


def marks(
    role: Journal, entries: list[Entry], standing: Standing | None = None
) -> set[str]:
    """Replay a journal without keys."""
    replay = Replay(role, standing=standing)
    return {
        str(found.mark)
        for index, entry in enumerate(entries)
        for found in replay.feed(index, entry)
    }


def test_a_rule_that_is_not_the_domains(world: World) -> None:
    """Another one, a later serial, or one that does not rise: named by a replay."""
    german = German(world, 3)
    ruled(world, 2, ORDERS)
    entries = journal(german, Journal.HOUSE)
    at = next(i for i, e in enumerate(entries) if e.kind is Kind.ADMIN_BASES)
    pinned = Standing(bases=world.domain.basis_rule)
    registers = world.domain.standing.registers
    pinned = replace(pinned, registers=registers)
    assert marks(Journal.HOUSE, entries, pinned) == set()
    free = STRICT.with_rows([Accepted(Basis.STATUTORY, (Tier.T0,))])
    for lie in (
        bodies.BasisRule(2, free.rows),
        bodies.BasisRule(3, ORDERS.rows),
        bodies.BasisRule(0, ORDERS.rows),
    ):
        edited = list(entries)
        edited[at] = replace(entries[at], body=lie.to_body())
        assert marks(Journal.HOUSE, edited, pinned) == {"STEP_REFUSED"}


def test_nodes_by_different_rules_are_found(world: World) -> None:
    """One that started with the strict rule, and one that did not."""
    german = German(world, 3)
    ruled(world, 2, ORDERS)
    house, authority = (journal(german, role) for role in Journal)
    assert cross_check(house, authority)[0] == ()
    start = Entry(Kind.NODE_START, clock.now_ms() + 1, "authority", "", {})
    strict = [e for e in authority if e.kind is not Kind.ADMIN_BASES]
    found, _ = cross_check(house, [*strict, start])
    assert [str(each.mark) for each in found] == ["BASES_DIFFER"]
    standing = replace(world.domain.standing, since_ms=0)
    found, _ = cross_check([], [*strict, start], standing=standing)
    assert "BASES_DIFFER" in {str(each.mark) for each in found}


def test_an_older_domain_starts_no_node(world: World) -> None:
    """What was ruled out would be accepted again; and one serial has one rule."""
    ruled(world, 2, ORDERS)
    ruled(world, 3, STRICT)
    good = world.composed
    for serial, bases in ((2, ORDERS), (3, ORDERS)):
        world.composed = good
        with pytest.raises(DomainInvalid, match="serial"):
            ruled(world, serial, bases)
        for role in (Role.HOUSE, Role.AUTHORITY):
            world.stop(role)
    world.composed = good
    ruled(world, 4, ORDERS)


def test_init_takes_a_basis() -> None:
    """As words on the command line; unknown ones are refused by name."""
    assert _basis("statutory=T2,T1:税务") == Accepted(
        Basis.STATUTORY, (Tier.T1, Tier.T2), ("税务",)
    )
    assert Plan("x").bases == STRICT
    for text, words in (
        ("blanket=T1", "unknown basis `blanket`"),
        ("self=T9", "unknown tier `T9`"),
        ("public=T1", "never one for tier"),
        ("self", "expected a basis, `=` and tiers"),
    ):
        with pytest.raises(DomainInvalid, match=words):
            _basis(text)
