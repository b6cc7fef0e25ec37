"""A functional replay is used to ask about somebody, or to hide what was computed.

It has house and authority use the private key once more.  So auditors could ask about
whom they like, a bank could pretend to be one, a house could send another block's mask
under an auditor's request, and an authority could tell the auditor what it likes.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from contracts import audit_bodies, audits
from contracts.decide import LIMITS
from node import clock, functional
from node.audit_authority import AuditAuthority
from node.audit_denial import Asked as Read
from node.audit_house import AuditHouse, _Called
from node.domain import Role
from node.engine import Engine
from node.errors import Denied, NotFound, Refused, ReplyRefused, RoleRefused
from node.functional import Asked, Known
from node.keys import AuditorKeys
from node.remote import ask as call_method
from node.replays import find, replayed
from node.status import to_wire
from node.wire.v1 import audit_pb2, audit_pb2_grpc
from protocols import hpke
from protocols.audit_call import AuditRequest
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.lookup import Gate, Picked, authority_pick
from protocols.sign import Signed, sign
from tests.audited import audited, places
from tests.test_functional import Audit, opened


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    """Run a town whose auditors, house and authority may be bad."""
    with audited(tmp_path_factory.mktemp("town")) as town, opened(town) as made:
        yield made


@pytest.fixture
def fresh(audit: Audit) -> Known:
    """Find a call that was not computed again."""
    done = {
        AuditRequest.parse(_signed(entry.body).payload).call
        for entry in audit.town.entries(Role.HOUSE)
        if entry.kind is Kind.AUDIT_INTENT
    }
    call = next(call for call in audit.calls if call not in done)
    return audit.known(call)


def _signed(body: Any) -> Signed:  # noqa: ANN401
    given = body["request"]
    return Signed(given["payload"].encode(), given["key"], b"")


def signed(audit: Audit, request: AuditRequest, **keys: AuditorKeys) -> Asked:
    """Sign a request with the real keys of both, whatever it says."""
    payload = request.to_bytes()
    one = keys.get("one", audit.keys("auditor-a"))
    two = keys.get("two", audit.keys("auditor-b"))
    return Asked(
        sign(Tag.AUDIT_REQUEST, payload, one.sign),
        sign(Tag.AUDIT_SECOND, payload, two.sign),
    )


def refused(audit: Audit, asked: Asked) -> str:
    """Send it as the first auditor; return the public reason."""
    assert asked.second is not None
    with pytest.raises(Denied) as caught:
        audit.one.compute_again(asked.request, asked.second)
    return caught.value.reason


def request_of(known: Known, **changes: object) -> AuditRequest:
    """Ask for a call, with something else in it."""
    honest = known.asked("auditor-a", "auditor-b", clock.now_ms())
    return replace(honest, **changes)  # type: ignore[arg-type]


# -- auditors


def test_a_call_that_is_not_in_the_journal(audit: Audit, fresh: Known) -> None:
    """Not under a name that nobody asked, another's entries, or beyond the end."""
    other = audit.known(audit.calls[-1])
    assert other.case.call != fresh.case.call
    denied = next(
        index
        for index, entry in enumerate(audit.town.entries(Role.HOUSE))
        if entry.kind is Kind.CALL_DENY
    )
    lies: list[dict[str, object]] = [
        {"call": secrets.token_bytes(32)},
        {"call": other.case.call},
        {"ticket": other.ticket},
        {"intent": other.intent},
        {"intent": denied},
        {"intent": 1 << 40},
        {"result": other.result},
        {"result": fresh.intent},
        {"permit": other.permit},  # the house cannot see it, the authority does
        {"permit": 1 << 40},
        {"permit": fresh.permit + 1},
    ]
    for lie in lies:
        asked = signed(audit, request_of(fresh, **lie))
        assert refused(audit, asked) == "INTENT_UNPROVEN", lie
    audit.clean()


def test_a_house_that_goes_along(
    audit: Audit, fresh: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authority looks the call up in its own journal, whatever the house says."""
    honest, asks = AuditHouse._called, audit.known(fresh.case.call)

    def any_call(desk: AuditHouse, asked: Any) -> _Called | None:  # noqa: ANN401
        true = replace(asked, request=asks.asked("auditor-a", "auditor-b", 0))
        return honest(desk, true)

    monkeypatch.setattr(AuditHouse, "_called", any_call)
    for lie in ({"call": secrets.token_bytes(32)}, {"ticket": bytes(32)}):
        asked = signed(audit, request_of(fresh, **lie))
        assert refused(audit, asked) in {"INTENT_UNPROVEN", "TICKET_INVALID"}
        assert "INTENT_UNPROVEN" in told_by_authority(audit)
    report = audit.town.verify(audit.town.folder)  # and replay finds the house
    assert {str(found.mark) for found in report.findings} == {"NO_INTENT"}


def told_by_authority(audit: Audit) -> set[str]:
    """Read every reason of its newest refusal."""
    audit.one.export(audit.town.folder)
    *_, newest = (
        entry
        for entry in audit.town.entries(Role.AUTHORITY)
        if entry.kind is Kind.AUDIT_DENY
    )
    body = audit_bodies.Deny.parse(newest.body)
    return {finding.reason.value for finding in body.reasons}


@pytest.mark.parametrize("node", ["house", "authority"])
def test_one_auditor_is_not_two(
    audit: Audit, fresh: Known, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a signature on another request, or that of a bank, a second one's."""
    if node == "authority":  # a house that lets everything pass
        believed = SimpleNamespace(
            of=lambda *given: replace(Read.of(*given), findings=())
        )
        monkeypatch.setattr("node.audit_house.Asked", believed)
    honest = request_of(fresh)
    one = audit.keys("auditor-a")
    bank: Any = audit.town.world.composed.keys["jnrcb"]
    both = signed(audit, honest)
    old = signed(audit, replace(honest, asked_ms=honest.asked_ms - 1))
    lies = [
        signed(audit, honest, two=one),
        signed(audit, replace(honest, second="auditor-a"), two=one),
        signed(audit, honest, two=bank),
        signed(audit, replace(honest, second="jnrcb"), two=bank),
        Asked(both.request, old.second),
        Asked(both.request, both.request),
    ]
    for lie in lies:
        assert refused(audit, lie) == "SIGNATURE_INVALID"


def test_another_recipient(audit: Audit, fresh: Known) -> None:
    """Whoever calls, and whoever is named: the reply is for who signed as first."""
    honest = request_of(fresh)
    both = signed(audit, honest)
    assert both.second is not None
    with pytest.raises(Refused, match="not the caller"):
        audit.two.compute_again(both.request, both.second)
    named = signed(audit, replace(honest, auditor="auditor-b", second="auditor-a"))
    assert named.second is not None
    with pytest.raises(Denied) as caught:
        audit.two.compute_again(named.request, named.second)
    assert caught.value.reason == "SIGNATURE_INVALID"  # each signed for the other


def test_a_bank_as_the_caller(audit: Audit, fresh: Known) -> None:
    """Over its own channel, and under its own name: refused before it is read."""
    both = signed(audit, request_of(fresh))
    assert both.second is not None
    message = audit_pb2.ComputeAgainRequest(
        request=to_wire(both.request), second=to_wire(both.second)
    )
    with audit.town.german.bank() as bank:
        stub = audit_pb2_grpc.AuditServiceStub(bank._link)
        with pytest.raises(Refused, match="may not call"):
            call_method(stub.ComputeAgain, message, 10.0)


def test_old_requests(audit: Audit, fresh: Known) -> None:
    """Two persons have a week; a request for later is none."""
    now_ms = clock.now_ms()
    for asked_ms in (now_ms - audits.ASKED_MS - 1, now_ms + 400_000):
        asked = signed(audit, request_of(fresh, asked_ms=asked_ms))
        assert refused(audit, asked) == "CLOCK_SKEW"


def test_the_quota(audit: Audit, fresh: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """For all auditors together; what was refused is not counted."""
    desk = audit.town.world.authority.audits
    assert isinstance(desk, AuditAuthority)
    size = len(places(audit.town.entries(Role.AUTHORITY), Kind.AUDIT_PERMIT))
    monkeypatch.setattr(desk, "_limits", replace(LIMITS, audits=size))
    assert refused(audit, signed(audit, request_of(fresh))) == "AUDITS_SPENT"
    monkeypatch.setattr(desk, "_limits", replace(LIMITS, audits=size + 1))
    found = functional.replay(audit.one, audit.asked(fresh), fresh, audit.salts)
    assert found.identical


def test_two_auditors_who_are_asked_to_sign_something_else(
    audit: Audit, fresh: Known
) -> None:
    """The second one signs what stands in an export of its own, or not at all."""
    held, trust = audit.keys("auditor-b"), audit.town.world.domain
    honest = functional.ask(
        fresh, audit.keys("auditor-a"), "auditor-a", "auditor-b", clock.now_ms()
    )
    other = audit.known(audit.calls[-1])
    with pytest.raises(NotFound, match="other entries"):
        functional.sign_too(honest, other, held, "auditor-b", trust)
    with pytest.raises(RoleRefused, match="is to sign"):
        functional.sign_too(honest, fresh, held, "auditor-a", trust)
    with pytest.raises(RoleRefused, match="not two"):
        functional.ask(fresh, held, "auditor-b", "auditor-b", 0)
    with pytest.raises(RoleRefused, match="has not signed"):
        functional.replay(audit.one, honest, fresh, audit.salts)


# -- a house


def test_a_ticket_on_other_data(
    audit: Audit, fresh: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another slot, another block's hash, another version: the authority refuses."""
    honest = AuditHouse._called

    def change(**changes: object) -> Callable[..., _Called | None]:
        def called(desk: AuditHouse, asked: Any) -> _Called | None:  # noqa: ANN401
            found = honest(desk, asked)
            assert found is not None
            ticket = replace(found.ticket, **changes)  # type: ignore[arg-type]
            return found._replace(ticket=ticket)

        return called

    ticket = fresh.case.ticket
    first, *others = ticket.inputs
    lies: list[dict[str, object]] = [
        {"slot": (ticket.slot + 1) % 2},
        {"inputs": (replace(first, leaf=bytes(32)), *others)},
        {"inputs": (replace(first, row_map_root=bytes(32)), *others)},
    ]
    for lie in lies:
        with monkeypatch.context() as lying:
            lying.setattr(AuditHouse, "_called", change(**lie))
            asked = signed(audit, request_of(fresh))
            assert refused(audit, asked) == "TICKET_INVALID", lie


def test_the_seed_of_the_call(
    audit: Audit, fresh: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One mask twice: the auditor would hold the pads of the bank's own box."""
    desk = audit.town.world.house.audits
    assert isinstance(desk, AuditHouse)
    shares = [each.seed_share(fresh.case) for each in (audit.one, audit.two)]
    seed = bytes(a ^ b for a, b in zip(*(s.share for s in shares), strict=True))
    seeds = audit.town.german.house.seeds
    drawn = seeds.take()
    monkeypatch.setattr(seeds, "take", lambda: replace(drawn, seed=seed))
    assert refused(audit, signed(audit, request_of(fresh))) == "TICKET_INVALID"


def test_a_message_from_other_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the right ticket: the outcome differs, and the opened seed says why."""
    with audited(tmp_path) as town, opened(town) as audit:
        known = audit.known(audit.calls[0])
        asked = audit.asked(known)
        honest = Engine._totals

        def otherwise(engine: Engine, *given: object) -> tuple[Any, ...]:
            (total,) = honest(engine, *given)  # type: ignore[arg-type]
            added = sum(600 << (40 * slot) for slot in range(11))  # 300 points each
            public = engine._public
            return (total * (1 + added * public.n) % public.n2,)

        monkeypatch.setattr(Engine, "_totals", otherwise)
        found = functional.replay(audit.one, asked, known, audit.salts)
        assert not found.identical
        audit.clean()  # decisions alone show nothing
        cases = find(town.folder, town.world.domain, asked.name)
        shares = [each.seed_share(cases[0]) for each in (audit.one, audit.two)]
        (again,) = replayed(audit.one, town.world.domain, cases, shares)
        assert again.differences == ("the message to the authority is another one",)


def test_another_message_than_the_tickets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ciphertext of whatever the house likes is not decrypted under its ticket."""
    with audited(tmp_path) as town, opened(town) as audit:
        desk = town.world.house.audits
        assert isinstance(desk, AuditHouse)
        honest = desk._authority

        def otherwise(
            message: audit_pb2.EvaluateAgainRequest,
        ) -> audit_pb2.EvaluateAgainResponse:
            last = message.ciphertext[-1] ^ 1
            message.ciphertext = message.ciphertext[:-1] + bytes([last])
            return honest.evaluate_again(message)

        lying = SimpleNamespace(evaluate_again=otherwise)
        monkeypatch.setattr(desk, "_authority", lying)
        known = audit.known(audit.calls[0])
        assert refused(audit, signed(audit, request_of(known))) == "MESSAGE_INVALID"
        audit.clean()


# -- an authority


def test_an_authority_that_answers_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row of another outcome, honestly signed: the commitment tells.

    A box that is not the receipt's, or sealed to somebody else, proves nothing.
    """
    with audited(tmp_path) as town, opened(town) as audit:
        known = audit.known(audit.calls[0])
        with monkeypatch.context() as lying:
            lying.setattr("node.authority.hpke", SimpleNamespace(seal=_flipped))
            with pytest.raises(ReplyRefused, match="not the one the authority made"):
                functional.replay(audit.one, audit.asked(known), known, audit.salts)
        known = audit.known(audit.calls[1])
        with monkeypatch.context() as lying:
            lying.setattr("node.authority.authority_pick", _shifted)
            found = functional.replay(audit.one, audit.asked(known), known, audit.salts)
        assert not found.identical
        audit.clean()


def _flipped(public: X25519PublicKey, info: bytes, data: bytes) -> bytes:
    return hpke.seal(public, info, data[:-1] + bytes([data[-1] ^ 1]))


def _shifted(gate: Gate, *given: Any) -> Picked:  # noqa: ANN401
    """Take the row of a score half the range away."""
    picked = authority_pick(gate, *given)
    rows = gate.card.fields[0].rows
    u = picked.u.copy()
    u[:, 0] = (u[:, 0] + rows // 2) % rows
    return replace(picked, u=u)
