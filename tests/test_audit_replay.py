"""Journals of functional replays, edited: replay and cross-check find each edit."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts import audit_bodies
from node.domain import Role
from node.errors import Denied
from protocols.audit_call import AuditRequest, audit_hash
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from tests.audited import audited, places, with_body
from tests.test_functional import Audit, opened


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    """Run a town in which one call was computed again, and a second time refused."""
    with audited(tmp_path_factory.mktemp("town")) as town, opened(town) as made:
        assert made.replay(made.calls[0]).identical
        assert made.replay(made.calls[1]).identical
        made.clean()
        yield made


def found(
    audit: Audit,
    folder: Path,
    role: Role,
    change: Any,  # noqa: ANN401
) -> set[str]:
    """Rewrite a journal under its real key; list what is found."""
    written = audit.town.rewrite(folder, role, change)
    return {str(each.mark) for each in audit.town.verify(written).findings}


def request(audit: Audit, entry: Entry, **changes: object) -> dict[str, object]:
    """Sign another request, by both auditors."""
    body: Any = entry.body
    honest = AuditRequest.parse(body["request"]["payload"].encode())
    payload = replace(honest, **changes).to_bytes()  # type: ignore[arg-type]
    return {
        "request": audit.town.sign("auditor-a", Tag.AUDIT_REQUEST, payload).to_json(),
        "second": audit.town.sign("auditor-b", Tag.AUDIT_SECOND, payload).to_json(),
    }


BOTH = ((Role.HOUSE, Kind.AUDIT_INTENT), (Role.AUTHORITY, Kind.AUDIT_PERMIT))


@pytest.mark.parametrize(("role", "kind"), BOTH)
def test_edited_requests(audit: Audit, tmp_path: Path, role: Role, kind: Kind) -> None:
    """Another call's entry, the call that was audited before, an old request."""
    entries = audit.town.entries(role)
    first, second = places(entries, kind)
    missing = "NO_INTENT" if role is Role.HOUSE else "NO_PERMIT"
    at = "intent" if role is Role.HOUSE else "permit"
    before: Any = entries[first].body
    earlier = AuditRequest.parse(before["request"]["payload"].encode())
    again = {
        "call": earlier.call,
        "ticket": earlier.ticket,
        at: getattr(earlier, at),
    }
    for number, (changes, mark) in enumerate(
        (
            ({at: 0}, missing),
            ({"ticket": bytes(32)}, missing),
            ({"asked_ms": 0}, "CLOCK_SKEW"),
            (again, "DECISION_DIFFERS"),
        )
    ):

        def edit(given: list[Entry], changes: Any = changes) -> list[Entry]:  # noqa: ANN401
            entry = given[second]
            members = request(audit, entry, **changes)
            payload: Any = members["request"]
            call = audit_hash(payload["payload"].encode()).hex()
            given[second] = replace(with_body(entry, **members), call=call)
            return given

        assert mark in found(audit, tmp_path / str(number), role, edit), changes


@pytest.mark.parametrize(("role", "kind"), BOTH)
def test_edited_members(audit: Audit, tmp_path: Path, role: Role, kind: Kind) -> None:
    """One person twice, nobody's second signature, another subject or consent."""
    at = places(audit.town.entries(role), kind)[0]
    body: Any = audit.town.entries(role)[at].body
    payload = body["request"]["payload"].encode()
    other: Any = next(
        entry.body
        for entry in audit.town.entries(role)[::-1]
        if entry.kind in (Kind.CALL_INTENT, Kind.CALL_PERMIT)
        and entry.body["subject"] != body["subject"]
    )
    one = audit.town.sign("auditor-a", Tag.AUDIT_SECOND, payload).to_json()
    bank = audit.town.sign("jnrcb", Tag.AUDIT_SECOND, payload).to_json()
    mine = audit.town.sign("auditor-b", Tag.AUDIT_SECOND, payload[:-1] + b" ").to_json()
    for number, (members, mark) in enumerate(
        (
            ({"second": one}, "SIGNATURE_INVALID"),
            ({"second": bank}, "SIGNATURE_INVALID"),
            ({"second": mine}, "MALFORMED"),
            ({"subject": other["subject"]}, "SUBJECTS_DIFFER"),
            ({"consent": "c-nobody"}, "DECISION_DIFFERS"),
        )
    ):

        def edit(given: list[Entry], members: Any = members) -> list[Entry]:  # noqa: ANN401
            given[at] = with_body(given[at], **members)
            return given

        assert mark in found(audit, tmp_path / str(number), role, edit), members


@pytest.mark.parametrize(
    ("role", "kind", "mark"),
    [
        (Role.HOUSE, Kind.AUDIT_INTENT, "NO_INTENT"),
        (Role.AUTHORITY, Kind.AUDIT_PERMIT, "NO_PERMIT"),
        (Role.AUTHORITY, Kind.AUDIT_DONE, "NO_DONE"),
    ],
)
def test_left_out(
    audit: Audit, tmp_path: Path, role: Role, kind: Kind, mark: str
) -> None:
    """What one node journalled, the other has to have."""

    def edit(given: list[Entry]) -> list[Entry]:
        at = places(given, kind)[0]
        return given[:at] + given[at + 1 :]

    assert mark in found(audit, tmp_path / "x", role, edit)


def test_a_ticket_on_other_inputs(audit: Audit, tmp_path: Path) -> None:
    """Signed by the house: replay compares it with the call's."""
    entries = audit.town.entries(Role.HOUSE)
    at = places(entries, Kind.AUDIT_INTENT)[0]
    body = audit_bodies.Intent.parse(entries[at].body)
    payload = body.ticket.payload.replace(b'"version":1', b'"version":9', 1)
    signed = audit.town.sign("house", Tag.TICKET, payload).to_json()

    def edit(given: list[Entry]) -> list[Entry]:
        given[at] = with_body(given[at], ticket=signed)
        return given

    assert "STALE_INPUT" in found(audit, tmp_path / "x", Role.HOUSE, edit)


def test_denials(tmp_path: Path) -> None:
    """A refusal for another reason than replay comes to."""
    with audited(tmp_path) as town, opened(town) as audit:
        call = audit.calls[0]
        assert audit.replay(call).identical
        with pytest.raises(Denied, match="computed again"):
            audit.replay(call)
        audit.clean()
        at = places(town.entries(Role.HOUSE), Kind.AUDIT_DENY)[0]
        intent = places(town.entries(Role.HOUSE), Kind.AUDIT_INTENT)[0]

        def early(given: list[Entry]) -> list[Entry]:
            denial = replace(given[at], time_ms=given[intent].time_ms)
            return [*given[:intent], denial, *given[intent:at], *given[at + 1 :]]

        marks = found(audit, tmp_path / "x", Role.HOUSE, early)
        assert "DECISION_DIFFERS" in marks
