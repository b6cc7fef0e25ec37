"""Replay of private calls: what is edited in a journal, or said falsely, is found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from contracts import bodies
from contracts.decide import UNKNOWN_SUBJECT, Finding, Reason, public
from contracts.discrepancy import JTI_KEPT_MS, SKEW_MS
from contracts.private_bodies import Deny, Intent, Refuse
from contracts.replay import Discrepancy, Mark, Replay
from contracts.replay import Role as Journal
from node.domain import Role
from node.errors import Denied
from node.keys import AuthorityKeys, BankKeys, HouseKeys
from node.verify import pinned, signers
from protocols.call import Denial
from protocols.canon import Json, Tag
from protocols.entry import Entry, Kind
from protocols.private_call import PrivateRequest, PrivateTicket
from protocols.sign import Signed, sign
from tests.crowd_of_one import Hidden, settle
from tests.hostile import journal


@dataclass
class Books:
    """Two journals: two answers, and one refusal of each kind."""

    hidden: Hidden
    entries: dict[Role, list[Entry]]

    def replayed(self, role: Role, entries: list[Entry]) -> list[Discrepancy]:
        """Replay a journal with all keys."""
        trust = self.hidden.town.world.domain
        replay = Replay(Journal(role.value), keys=pinned(trust), signers=signers(trust))
        return [d for n, e in enumerate(entries) for d in replay.feed(n, e)]

    def find(self, role: Role, kind: Kind, nth: int = 0) -> tuple[int, Entry]:
        """Find an entry of a kind."""
        found = [(n, e) for n, e in enumerate(self.entries[role]) if e.kind is kind]
        return found[nth]

    def marks(self, role: Role, index: int, *entries: Entry) -> list[Mark]:
        """Put others in the place of an entry; say what does not agree there."""
        changed = list(self.entries[role])
        changed[index : index + 1] = entries
        found = self.replayed(role, changed)
        within = range(index, index + len(entries))
        return [one.mark for one in found if one.index in within]

    def sign_ticket(self, ticket: PrivateTicket) -> Signed:
        """Sign a ticket as the house."""
        keys = self.hidden.town.world.keys("house", HouseKeys)
        return sign(Tag.PRIVATE_TICKET, ticket.to_bytes(), keys.ticket)

    def refusal(
        self, role: Role, entry: Entry, reasons: tuple[Finding, ...], **changes: object
    ) -> Entry:
        """Refuse for other reasons, signed as an honest node would."""
        kind = Deny if entry.kind is Kind.PRIVATE_DENY else Refuse
        body = kind.parse(entry.body)
        told, denial = public(reasons).reason, Denial.parse(body.denial.payload)
        digest = bodies.reasons_digest(body.salt, reasons)
        denial = replace(denial, reason=told.value, reasons=digest)
        world = self.hidden.town.world
        key = (
            world.keys("house", HouseKeys).ticket
            if role is Role.HOUSE
            else world.keys("authority", AuthorityKeys).receipt
        )
        body = replace(
            body,
            reasons=reasons,
            public=told,
            denial=sign(Tag.DENIAL, denial.to_bytes(), key),
            **changes,  # type: ignore[arg-type]
        )
        return replace(entry, body=body.to_body())


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """Ask until the subject's answers are spent, and under a consent that is none."""
    world, hidden = settle(tmp_path_factory.mktemp("books"))
    with world:
        subject, other = hidden.town.ids[:2]
        with hidden.bank() as bank:
            for _ in range(3):
                bank.range("turnover-floor", subject, hidden.among())
            with pytest.raises(Denied):
                bank.range("turnover-floor", subject, hidden.among())
            with pytest.raises(Denied):
                bank.range("turnover-floor", subject, {**hidden.among(), other: "c-0"})
        cores = {
            Role.HOUSE: hidden.town.house,
            Role.AUTHORITY: hidden.town.authority,
        }
        made = Books(hidden, {role: journal(core) for role, core in cores.items()})
        assert all(made.replayed(role, made.entries[role]) == [] for role in cores)
        yield made


# -- false refusals


FALSE = {
    "skew": (Reason.CLOCK_SKEW, ""),
    "ticket": (Reason.TICKET_INVALID, ""),
    "withdrawn": (Reason.WITHDRAWN, ""),
    "withdrawn, a stranger's": (Reason.WITHDRAWN, UNKNOWN_SUBJECT),
    "data": (Reason.STALE_DATA, ""),
}


@pytest.mark.parametrize("said", FALSE.values(), ids=FALSE)
def test_a_house_that_refuses_falsely_is_found(
    books: Books, said: tuple[Reason, str]
) -> None:
    """Of candidates whom nothing is against: alone, or beside a stranger."""
    index, entry = books.find(Role.HOUSE, Kind.PRIVATE_DENY)
    _, intent = books.find(Role.HOUSE, Kind.PRIVATE_INTENT)
    body, asked = Deny.parse(entry.body), Intent.parse(intent.body)
    stranger = Finding(Reason.NO_CONSENT, f"{UNKNOWN_SUBJECT}: candidate 3")
    candidates = tuple(
        replace(named, consent=asked.subjects[n].consent)
        for n, named in enumerate(body.subjects)
    )
    for beside in ((), (stranger,)):
        false = books.refusal(
            Role.HOUSE, entry, (*beside, Finding(*said)), subjects=candidates
        )
        assert Mark.DECISION_DIFFERS in books.marks(Role.HOUSE, index, false)
    unheard = books.refusal(Role.HOUSE, entry, (stranger,), subjects=candidates)
    assert books.marks(Role.HOUSE, index, unheard) == []  # replay cannot tell


def test_a_stranger_beside_one_without_consent(books: Books) -> None:
    """The one is beyond replay, the other is not: neither covers the other."""
    index, entry = books.find(Role.HOUSE, Kind.PRIVATE_DENY)
    stranger = Finding(Reason.NO_CONSENT, f"{UNKNOWN_SUBJECT}: candidate 3")
    plain = Finding(Reason.NO_CONSENT, "candidate 4")
    both = books.refusal(Role.HOUSE, entry, (stranger, plain))
    assert books.marks(Role.HOUSE, index, both) == []
    one = books.refusal(Role.HOUSE, entry, (stranger,))
    assert books.marks(Role.HOUSE, index, one) == [Mark.DECISION_DIFFERS]


def test_a_refusal_names_the_candidates(books: Books) -> None:
    """All of them, or none where the request was not looked into."""
    index, entry = books.find(Role.HOUSE, Kind.PRIVATE_DENY)
    body = Deny.parse(entry.body)
    for subjects in ((), body.subjects[:-1], body.subjects * 2):
        changed = replace(entry, body=replace(body, subjects=subjects).to_body())
        assert books.marks(Role.HOUSE, index, changed) == [Mark.MALFORMED]
    unread = books.refusal(
        Role.HOUSE, entry, (Finding(Reason.REPLAY_MISMATCH),), subjects=()
    )
    assert books.marks(Role.HOUSE, index, unread) == []


def test_only_a_forged_request_may_be_unsigned(books: Books) -> None:
    """A stale or a strange one has the bank's signature."""
    index, entry = books.find(Role.HOUSE, Kind.PRIVATE_DENY)
    request = replace(Deny.parse(entry.body).request, signature=bytes(64))
    for reason, expected in (
        (Reason.SIGNATURE_INVALID, []),
        (Reason.REPLAY_MISMATCH, [Mark.SIGNATURE_INVALID]),
    ):
        said = books.refusal(
            Role.HOUSE, entry, (Finding(reason),), request=request, subjects=()
        )
        assert books.marks(Role.HOUSE, index, said) == expected


@pytest.mark.parametrize(
    "reason", [Reason.TICKET_INVALID, Reason.CLOCK_SKEW, Reason.WITHDRAWN]
)
def test_an_authority_that_refuses_falsely_is_found(
    books: Books, reason: Reason
) -> None:
    """Sealed, for what only the house's or a stale request is refused for."""
    index, entry = books.find(Role.AUTHORITY, Kind.PRIVATE_REFUSE)
    false = books.refusal(Role.AUTHORITY, entry, (Finding(reason),))
    (mark,) = books.marks(Role.AUTHORITY, index, false)
    assert mark in (Mark.DECISION_DIFFERS, Mark.MALFORMED)


# -- edited entries


def ticketed(books: Books, entry: Entry, **changes: object) -> Entry:
    """Sign another ticket into an intent."""
    body = Intent.parse(entry.body)
    ticket = PrivateTicket.parse(body.ticket.payload)
    ticket = replace(ticket, **changes)  # type: ignore[arg-type]
    body = replace(body, ticket=books.sign_ticket(ticket))
    return replace(entry, body=body.to_body())


def edited(entry: Entry, /, **changes: Json) -> Entry:
    """Change members of a body."""
    return replace(entry, body={**entry.body, **changes})


def asked(books: Books, entry: Entry, **changes: object) -> Entry:
    """Sign another request into an intent, with a ticket for it."""
    body = Intent.parse(entry.body)
    request = PrivateRequest.parse(body.request.payload)
    request = replace(request, **changes)  # type: ignore[arg-type]
    bank = books.hidden.town.world.keys("jnrcb", BankKeys)
    signed = sign(Tag.PRIVATE_REQUEST, request.to_bytes(), bank.sign)
    other = replace(entry, body=replace(body, request=signed).to_body())
    other = replace(other, call=request.hash.hex())
    return ticketed(books, other, request=request.hash)


def of(entry: Entry) -> PrivateTicket:
    """Read an intent's ticket."""
    return PrivateTicket.parse(Intent.parse(entry.body).ticket.payload)


Edit = Callable[[Books, Entry], Entry]
INTENTS: dict[str, tuple[Mark, Edit]] = {
    "stale input": (
        Mark.STALE_INPUT,
        lambda b, e: ticketed(b, e, bases=(replace(of(e).bases[0], version=7),)),
    ),
    "other datasets": (
        Mark.MALFORMED,
        lambda b, e: ticketed(b, e, bases=(replace(of(e).bases[0], dataset="x"),)),
    ),
    "a place fewer": (
        Mark.MALFORMED,
        lambda b, e: ticketed(b, e, places=of(e).places[:-1]),
    ),
    "a place twice": (
        Mark.MALFORMED,
        lambda b, e: ticketed(b, e, places=of(e).places[:1] + of(e).places[:-1]),
    ),
    "a name fewer": (
        Mark.MALFORMED,
        lambda _, e: edited(e, subjects=e.body["subjects"][:-1]),  # type: ignore[index]
    ),
    "another count": (Mark.MALFORMED, lambda b, e: asked(b, e, count=23)),
    "another call's ticket": (
        Mark.MALFORMED,
        lambda b, e: ticketed(b, e, request=bytes(32)),
    ),
    "another contract's ticket": (
        Mark.MALFORMED,
        lambda b, e: ticketed(b, e, contract=bytes(32)),
    ),
    "the seed of another call": (
        Mark.SEED_REUSED,
        lambda b, e: ticketed(
            b, e, seed=of(b.find(Role.HOUSE, Kind.PRIVATE_INTENT, 0)[1]).seed
        ),
    ),
    "stale": (
        Mark.CLOCK_SKEW,
        lambda b, e: asked(b, e, iat_ms=e.time_ms - SKEW_MS - 1),
    ),
    "a forged request": (
        Mark.SIGNATURE_INVALID,
        lambda _, e: edited(
            e,
            request=replace(
                Intent.parse(e.body).request, signature=bytes(64)
            ).to_json(),
        ),
    ),
}
PERMITS: dict[str, tuple[Mark, Edit]] = {
    "more bits": (
        Mark.BITS_DIFFER,
        lambda _, e: edited(e, millibits=int(str(e.body["millibits"])) + 1),
    ),
    "another contract": (Mark.MALFORMED, lambda _, e: edited(e, contract="00" * 32)),
    "a candidate beyond": (Mark.MALFORMED, lambda _, e: edited(e, entry=22)),
    "another consent": (Mark.DECISION_DIFFERS, lambda _, e: edited(e, consent="c-0")),
    "the ticket of another": (
        Mark.TICKET_REUSED,
        lambda b, e: edited(
            e, ticket=b.find(Role.AUTHORITY, Kind.PRIVATE_PERMIT, 0)[1].body["ticket"]
        ),
    ),
}
LATER: dict[Kind, tuple[Mark, Role]] = {
    Kind.PRIVATE_DONE: (Mark.NO_PERMIT, Role.AUTHORITY),
    Kind.PRIVATE_OUTCOME: (Mark.NO_INTENT, Role.HOUSE),
    Kind.PRIVATE_RESULT: (Mark.NO_INTENT, Role.HOUSE),
}


@pytest.mark.parametrize(("mark", "edit"), INTENTS.values(), ids=INTENTS)
def test_an_edited_intent_is_found(books: Books, mark: Mark, edit: Edit) -> None:
    """One edit, one mark."""
    index, entry = books.find(Role.HOUSE, Kind.PRIVATE_INTENT, 1)
    assert books.marks(Role.HOUSE, index, edit(books, entry)) == [mark]


@pytest.mark.parametrize(("mark", "edit"), PERMITS.values(), ids=PERMITS)
def test_an_edited_permit_is_found(books: Books, mark: Mark, edit: Edit) -> None:
    """One edit, one mark."""
    index, entry = books.find(Role.AUTHORITY, Kind.PRIVATE_PERMIT, 1)
    assert books.marks(Role.AUTHORITY, index, edit(books, entry)) == [mark]


@pytest.mark.parametrize("kind", LATER)
def test_what_follows_names_a_ticket_that_was_taken(books: Books, kind: Kind) -> None:
    """Of the same call, too."""
    mark, role = LATER[kind]
    index, entry = books.find(role, kind, 1)
    _, first = books.find(role, kind, 0)
    for ticket in ("00" * 32, first.body["ticket"]):
        assert books.marks(role, index, edited(entry, ticket=ticket)) == [mark]


# -- jtis and tickets


def test_a_jti_is_free_once_the_house_may_forget_it(books: Books) -> None:
    """A bank cannot make an honest house's journal fail with an old jti."""
    index, intent = books.find(Role.HOUSE, Kind.PRIVATE_INTENT)
    body = Intent.parse(intent.body)
    bank = books.hidden.town.world.keys("jnrcb", BankKeys)

    def again(age_ms: int) -> Entry:
        now_ms = intent.time_ms + age_ms
        old = PrivateRequest.parse(body.request.payload)
        request = replace(old, iat_ms=now_ms)
        signed = sign(Tag.PRIVATE_REQUEST, request.to_bytes(), bank.sign)
        ticket = replace(
            PrivateTicket.parse(body.ticket.payload),
            request=request.hash,
            seed=bytes([age_ms % 251]) * 32,
        )
        return replace(
            intent,
            time_ms=now_ms,
            call=request.hash.hex(),
            body=replace(
                body, request=signed, ticket=books.sign_ticket(ticket)
            ).to_body(),
        )

    begun = books.entries[Role.HOUSE][: index + 1]
    for age_ms, expected in ((JTI_KEPT_MS, [Mark.JTI_REUSED]), (JTI_KEPT_MS + 1, [])):
        found = books.replayed(Role.HOUSE, [*begun, again(age_ms)])
        assert [one.mark for one in found] == expected


def test_a_ticket_is_taken_once(books: Books) -> None:
    """An intent twice has its jti, its ticket and its seed twice."""
    index, intent = books.find(Role.HOUSE, Kind.PRIVATE_INTENT)
    assert set(books.marks(Role.HOUSE, index, intent, intent)) == {
        Mark.JTI_REUSED,
        Mark.TICKET_REUSED,
        Mark.SEED_REUSED,
    }


def test_a_place_outside_its_block(books: Books) -> None:
    """The house's maps say how many slots a block has."""
    index, intent = books.find(Role.HOUSE, Kind.PRIVATE_INTENT)
    body = Intent.parse(intent.body)
    ticket = PrivateTicket.parse(body.ticket.payload)
    (block, _), *rest = ticket.places
    ticket = replace(ticket, places=((block, 75), *rest))
    changed = replace(body, ticket=books.sign_ticket(ticket)).to_body()
    marks = books.marks(Role.HOUSE, index, replace(intent, body=changed))
    assert marks == [Mark.MALFORMED]
