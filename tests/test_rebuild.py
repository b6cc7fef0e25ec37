"""Registers rebuilt from a journal: every step that is not allowed is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts import bodies
from contracts.consent import Event, Frequency, Status
from contracts.dataset import Dataset
from contracts.decide import Limits, Usage
from contracts.errors import ConsentConflict, DocumentInvalid
from contracts.lifecycle import Activation, Approval, Retirement, Stage
from contracts.rebuild import Asker, Consents, Contracts, Pins, Spending
from protocols.blocks import Manifest
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import FormatError, SignatureInvalid
from protocols.sign import Signed, sign
from tests.journals import Town

TOWN = Town()
GRADE = TOWN.contracts["grade"].contract


def fresh(*kinds: Kind) -> Contracts:
    """Rebuild the opening of the town from entries of these kinds."""
    contracts = Contracts(Pins())
    for entry in TOWN.house:
        if entry.kind in kinds:
            match entry.kind:
                case Kind.DATA_REGISTER:
                    contracts.register(bodies.Register.parse(entry.body))
                case Kind.CONTRACT_SUBMIT:
                    contracts.submit(bodies.Submit.parse(entry.body))
                case Kind.CONTRACT_APPROVE:
                    contracts.approve(bodies.Approve.parse(entry.body))
    return contracts


def first(body: type[bodies.Body], kind: Kind) -> bodies.Body:
    """Read the first body of a kind."""
    return body.parse(next(e for e in TOWN.house if e.kind is kind).body)


def unsigned(payload: bytes) -> Signed:
    """Nobody verifies here."""
    return Signed(payload, "", b"")


def test_a_contract_comes_into_force_and_goes() -> None:
    """Submitted, active, retired; and retired it stays."""
    contracts = fresh(Kind.DATA_REGISTER, Kind.CONTRACT_SUBMIT, Kind.CONTRACT_APPROVE)
    activate = first(bodies.Activate, Kind.CONTRACT_ACTIVATE)
    assert isinstance(activate, bodies.Activate)
    stages = [contracts.terms(GRADE)]
    contracts.activate(activate)
    stages.append(contracts.terms(GRADE))
    step = Retirement("tax", GRADE)
    contracts.retire(bodies.Retire(GRADE, unsigned(step.to_bytes())))
    stages.append(contracts.terms(GRADE))
    assert [terms and terms.stage for terms in stages] == [
        Stage.SUBMITTED,
        Stage.ACTIVE,
        Stage.RETIRED,
    ]
    with pytest.raises(DocumentInvalid, match="retired contract stays retired"):
        contracts.activate(activate)
    assert contracts.terms(bytes(32)) is None


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Approval("health", GRADE), "not a custodian"),
        (Approval("bank-a", GRADE), "not a custodian"),
        (Approval("tax", bytes(32)), "about another contract"),
        (Activation("bank-b", GRADE), "not the author"),
        (Activation("tax", GRADE), "not the author"),
        (Activation("bank-a", GRADE), "not approved by court, tax"),
        (Activation("bank-a", bytes(32)), "about another contract"),
        (Retirement("bank-b", GRADE), "may not retire"),
        (Retirement("health", GRADE), "may not retire"),
    ],
)
def test_steps_by_those_who_may_not(
    step: Approval | Activation | Retirement, message: str
) -> None:
    """Only custodians of its data approve, only the author activates."""
    contracts = fresh(Kind.DATA_REGISTER, Kind.CONTRACT_SUBMIT)
    with pytest.raises(DocumentInvalid, match=message):
        take(contracts, step)


def take(contracts: Contracts, step: Approval | Activation | Retirement) -> None:
    """Take a step of the contract `grade`."""
    signed = unsigned(step.to_bytes())
    match step:
        case Approval():
            contracts.approve(bodies.Approve(GRADE, step.party, signed))
        case Activation():
            contracts.activate(bodies.Activate(GRADE, signed))
        case Retirement():
            contracts.retire(bodies.Retire(GRADE, signed))


def test_an_approval_under_another_name() -> None:
    """The body names the custodian who signed."""
    contracts = fresh(Kind.DATA_REGISTER, Kind.CONTRACT_SUBMIT)
    signed = unsigned(Approval("tax", GRADE).to_bytes())
    with pytest.raises(DocumentInvalid, match="not a custodian"):
        contracts.approve(bodies.Approve(GRADE, "court", signed))


def test_a_step_of_a_contract_that_is_not_there() -> None:
    """Nothing comes into force that was not submitted."""
    signed = unsigned(Approval("tax", GRADE).to_bytes())
    with pytest.raises(DocumentInvalid, match="no contract"):
        Contracts(Pins()).approve(bodies.Approve(GRADE, "tax", signed))


SUBMIT = first(bodies.Submit, Kind.CONTRACT_SUBMIT)
assert isinstance(SUBMIT, bodies.Submit)
TEXT = SUBMIT.signed.payload.decode()


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (lambda s: replace(s, hash=bytes(32)), "signed another contract"),
        (
            lambda s: replace(
                s, signed=unsigned(TEXT.replace(GRADE.hex(), "00" * 32).encode())
            ),
            "signed another contract",
        ),
        (
            lambda s: replace(
                s,
                signed=unsigned(
                    TEXT.replace('"author":"bank-a"', '"author":"bank-b"').encode()
                ),
            ),
            "is not the contract's author",
        ),
        (
            lambda s: replace(
                s,
                signed=unsigned(TEXT.replace("points: 10", "points: 11", 1).encode()),
            ),
            "not what its text compiles to",
        ),
    ],
)
def test_a_contract_that_is_another(
    lie: Callable[[bodies.Submit], bodies.Submit], message: str
) -> None:
    """Text, integers, hash and author have to fit."""
    contracts = fresh(Kind.DATA_REGISTER)
    assert isinstance(SUBMIT, bodies.Submit)
    with pytest.raises(DocumentInvalid, match=message):
        contracts.submit(lie(SUBMIT))
    contracts.submit(SUBMIT)
    with pytest.raises(DocumentInvalid, match="is there already"):
        contracts.submit(SUBMIT)


@pytest.mark.parametrize(
    "lie",
    [
        lambda body: replace(body, dataset="court"),
        lambda body: replace(body, schema_hash=bytes(32)),
        lambda body: replace(body, schema="{}"),
    ],
)
def test_a_schema_that_is_another(
    lie: Callable[[bodies.Register], bodies.Register],
) -> None:
    """The body repeats what the custodian signed."""
    body = first(bodies.Register, Kind.DATA_REGISTER)
    assert isinstance(body, bodies.Register)
    with pytest.raises(DocumentInvalid, match="signed another schema"):
        Contracts(Pins()).register(lie(body))


def test_a_second_schema_under_one_name() -> None:
    """A dataset keeps its schema; the same one again changes nothing."""
    contracts = Contracts(Pins())
    body = first(bodies.Register, Kind.DATA_REGISTER)
    assert isinstance(body, bodies.Register)
    contracts.register(body)
    contracts.register(body)
    text = body.schema.replace('"T1"', '"T2"')
    other = Contracts(Pins())
    forged = replace(body, schema=text, signed=unsigned(text.encode()))
    with pytest.raises(DocumentInvalid, match="another schema"):
        other.register(forged)
    forged = replace(forged, schema_hash=Dataset.from_bytes(text.encode()).schema_hash)
    other.register(forged)
    with pytest.raises(DocumentInvalid, match="has another schema"):
        contracts.register(forged)


def pushed(change: Callable[[Manifest], Manifest]) -> bodies.Push:
    """Write the first push with another manifest."""
    body = first(bodies.Push, Kind.DATA_PUSH)
    assert isinstance(body, bodies.Push)
    manifest = change(Manifest.parse(body.manifest.payload))
    return bodies.Push(
        manifest.dataset,
        manifest.version,
        unsigned(manifest.to_bytes()),
        manifest.ciphertext_root,
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (pushed(lambda m: replace(m, custodian="court")), "no dataset `tax` of"),
        (pushed(lambda m: replace(m, schema_hash=bytes(32))), "no dataset `tax` of"),
        (pushed(lambda m: replace(m, dataset="land")), "no dataset `land` of"),
        (pushed(lambda m: replace(m, version=2)), "expected version 1"),
        (replace(pushed(lambda m: m), version=2), "signed another push"),
        (
            replace(pushed(lambda m: m), ciphertext_root=bytes(32)),
            "signed another push",
        ),
    ],
)
def test_a_push_that_does_not_fit(body: bodies.Push, message: str) -> None:
    """Custodian, schema, version and the body's own words."""
    contracts = fresh(Kind.DATA_REGISTER)
    with pytest.raises(DocumentInvalid, match=message):
        contracts.push(body)
    assert contracts.newest("tax") is None
    contracts.push(pushed(lambda m: m))
    newest = contracts.newest("tax")
    assert newest is not None
    assert newest.version == 1


def test_an_event_by_another_registrar() -> None:
    """Who did not sign the consent does not suspend or resume it."""
    town = Town()
    town.grant("c-1", "zhang")
    town.event("c-1", Event.SUSPEND)
    grant = bodies.Grant.parse(town.house[-2].body)
    event = bodies.Event.parse(town.house[-1].body)
    consents = Consents(Pins())
    with pytest.raises(ConsentConflict, match="no consent"):
        consents.event(event)
    consents.grant(grant)
    other = event.signed.payload.replace(b'"registry"', b'"bureau"')
    with pytest.raises(ConsentConflict, match="not the registrar"):
        consents.event(bodies.Event(unsigned(other)))
    consents.event(event)
    state = consents.find("c-1")
    assert state is not None
    assert state.grant.status is Status.SUSPENDED


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{}", b'{"v":"safehouse/consent/2"}', b"[" * 100_000]
)
def test_documents_that_are_none(payload: bytes) -> None:
    """Without keys bytes need not be canonical, but they have to be a document."""
    with pytest.raises(FormatError):
        Pins().read(payload, "safehouse/consent/1")


def test_only_with_keys_bytes_have_to_be_canonical() -> None:
    """A space is believed without keys and refused with them."""
    spaced = b'{ "v":"x/1"}'
    assert Pins().read(spaced, "x/1") == {}
    with pytest.raises(FormatError):
        Pins({}).read(spaced, "x/1")
    assert Pins({}).read(b'{"v":"x/1"}', "x/1") == {}


def test_pins_trust_the_named_party_only() -> None:
    """No keys given: believed.  None pinned, or another party's: refused."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signed = sign(Tag.CONSENT, b"x", key)
    Pins().verify(Tag.CONSENT, signed, "registry")
    pins = Pins({"registry": [key.public_key()]})
    pins.verify(Tag.CONSENT, signed, "registry")
    pins.verify(Tag.CONSENT, signed)
    for doubted, tag, party in (
        (Pins({}), Tag.CONSENT, ""),
        (pins, Tag.CONSENT, "bureau"),
        (pins, Tag.REQUEST, "registry"),
    ):
        with pytest.raises(SignatureInvalid):
            doubted.verify(tag, signed, party)


def test_windows_slide() -> None:
    """What is as old as the window no longer counts; a millisecond less does."""
    town = Town()
    town.grant("c-1", "zhang", frequency=Frequency(9, 1))
    consents = Consents(Pins())
    consents.grant(bodies.Grant.parse(town.house[-1].body))
    state = consents.find("c-1")
    spending = Spending(Limits(window_ms=1_000))
    mine = Asker("bank-a", b"s", b"c")
    for asker, now_ms in (
        (mine, 0),
        (Asker("bank-b", b"s", b"c"), 1),
        (Asker("bank-a", b"s", b"d"), 2),
        (Asker("bank-a", b"t", b"c"), 2),
    ):
        spending.permit(asker, state, 10, now_ms)
    spending.permit(mine, state, 0, 3)
    day = 86_400_000
    assert [spending.usage(mine, state, now) for now in (999, 1_000, 1_001, 1_002)] == [
        Usage(5, 5, 20, 30, 10),
        Usage(5, 5, 10, 20, 0),
        Usage(5, 5, 10, 10, 0),
        Usage(5, 5, 0, 0, 0),
    ]
    assert spending.usage(mine, state, day + 1) == Usage(5, 3, 0, 0, 0)
    assert spending.usage(mine, None, day) == Usage(0, 0, 0, 0, 0)
