"""A node that rewrites its journal and signs it anew with its real key.

Every hash and signature of the export is right, so structure finds nothing.  What
the other node journalled, what banks kept, and what follows from the entries
themselves do; an earlier export, or a bank's proof, shows the fork.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from contracts import bodies
from contracts.consent import Consent
from node import evidence
from node.domain import Role
from node.errors import FindingsFound, ForkFound
from node.report import Verdict
from protocols.call import (
    Permit,
    Receipt,
    Request,
    receipt_hash,
    request_hash,
)
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from tests.audited import Audited, places, told, with_body

HOUSE, AUTHORITY = Role.HOUSE, Role.AUTHORITY


def test_any_entry_left_out(town: Audited, tmp_path: Path) -> None:
    """Whatever the house leaves out, and however cleanly: the banks' proofs tell."""
    receipts = [found for item in town.kept if (found := evidence.answered(item))]
    # After the last answer, banks hold no proof of what stands there.
    last = places(town.entries(HOUSE), Kind.CALL_OUTCOME)[-1]
    for index in range(0, last, 5):
        folder = town.rewrite(
            tmp_path / f"{index}", HOUSE, lambda e, i=index: [*e[:i], *e[i + 1 :]]
        )
        report = town.verify(folder, receipts=receipts, signatures=False)
        with pytest.raises((ForkFound, FindingsFound)):
            report.check()


def test_a_call_left_out_by_the_house(town: Audited, tmp_path: Path) -> None:
    """A permit without intent: the authority's own entry names the call."""
    entries = town.entries(AUTHORITY)
    permit = places(entries, Kind.CALL_PERMIT)[1]
    call = entries[permit].call
    folder = town.rewrite(
        tmp_path / "x", HOUSE, lambda house: [e for e in house if e.call != call]
    )
    report = town.verify(folder)
    assert told(report.findings) == {("authority", permit, "NO_INTENT")}
    assert report.findings[0].call == call
    # Its done is so young that the outcome may still come.
    assert report.unfinished.answers == 1


def test_a_permit_for_somebody_whom_the_house_does_not_know(
    town: Audited, tmp_path: Path
) -> None:
    """The authority decrypts for a bank behind the house's back."""
    entries = town.entries(AUTHORITY)
    permit = places(entries, Kind.CALL_PERMIT)[2]
    forged = secret_call(town, entries[permit])
    folder = town.rewrite(
        tmp_path / "x", AUTHORITY, lambda e: [*e[:permit], *forged, *e[permit:]]
    )
    found = told(town.verify(folder).findings)
    assert ("authority", permit, "NO_INTENT") in found
    assert town.verify(folder).findings[0].call == forged[0].call


def secret_call(town: Audited, like: Entry) -> list[Entry]:
    """Make permit and done of a call like another, that only two know."""
    body = bodies.Permit.parse(like.body)
    request = replace(Request.parse(body.request.payload), jti=b"j" * 16)
    signed = town.sign(request.bank, Tag.REQUEST, request.to_bytes())
    call, ticket = request_hash(signed.payload).hex(), bytes(32)
    permit = replace(body, request=signed, ticket=ticket)
    receipt = Receipt(ticket, bytes(32), bytes(32), Permit(1, 2, bytes(32)))
    done = bodies.Done(ticket, town.sign("authority", Tag.RECEIPT, receipt.to_bytes()))
    return [
        replace(like, call=call, body=permit.to_body()),
        replace(like, kind=Kind.CALL_DONE, call=call, body=done.to_body()),
    ]


def test_a_swapped_ticket(town: Audited, tmp_path: Path) -> None:
    """Tickets of two calls exchanged, the house's signatures and all."""
    entries = town.entries(HOUSE)
    first, second = places(entries, Kind.CALL_INTENT)[:2]

    def swap(house: list[Entry]) -> list[Entry]:
        one, two = house[first].body["ticket"], house[second].body["ticket"]
        house[first] = with_body(house[first], ticket=two)
        house[second] = with_body(house[second], ticket=one)
        return house

    found = told(town.verify(town.rewrite(tmp_path / "x", HOUSE, swap)).findings)
    assert {("house", first, "MALFORMED"), ("house", second, "MALFORMED")} <= found
    permits = places(town.entries(AUTHORITY), Kind.CALL_PERMIT)[:2]
    assert {("authority", permit, "NO_INTENT") for permit in permits} <= found


def test_a_ticket_signed_by_somebody_else(town: Audited, tmp_path: Path) -> None:
    """A party of the domain, but not one that signs tickets, nor consents."""
    entries = town.entries(HOUSE)
    intent = places(entries, Kind.CALL_INTENT)[0]
    ticket = bodies.Intent.parse(entries[intent].body).ticket

    def forge(house: list[Entry]) -> list[Entry]:
        signed = town.sign("jnrcb", Tag.TICKET, ticket.payload)
        forged = with_body(house[intent], ticket=signed.to_json())
        return [*house[:intent], replace(forged, actor="jnrcb"), *house[intent + 1 :]]

    report = town.verify(town.rewrite(tmp_path / "x", HOUSE, forge))
    assert ("house", intent, "SIGNATURE_INVALID") in told(report.findings)


@pytest.mark.parametrize("signer", ["ryrcb", "house", "credit-bureau"])
def test_a_consent_signed_by_a_party_that_is_no_registrar(
    town: Audited, tmp_path: Path, signer: str
) -> None:
    """A bank, a node or a custodian that consents for others, with its real key."""
    folder = tmp_path / "x"
    for role in (HOUSE, AUTHORITY):
        grant = places(town.entries(role), Kind.CONSENT_GRANT)[0]

        def forge(entries: list[Entry], at: int = grant) -> list[Entry]:
            body = bodies.Grant.parse(entries[at].body)
            consent = replace(Consent.parse(body.signed.payload), registrar=signer)
            signed = town.sign(signer, Tag.CONSENT, consent.to_bytes())
            entries[at] = with_body(entries[at], signed=signed.to_json())
            return entries

        town.rewrite(folder, role, forge)
    found = town.verify(folder).findings
    marks = {(f.journal, f.mark) for f in found}
    assert ("house", "SIGNATURE_INVALID") in marks
    assert ("authority", "SIGNATURE_INVALID") in marks
    assert ("authority", "DECISION_DIFFERS") in marks  # no consent, then


def test_an_altered_decision(town: Audited, tmp_path: Path) -> None:
    """Case 36: a consent moved behind the call that needed it."""
    entries = town.entries(AUTHORITY)
    permit = places(entries, Kind.CALL_PERMIT)[0]
    consent = bodies.Permit.parse(entries[permit].body).consent
    grant = next(
        at
        for at in places(entries, Kind.CONSENT_GRANT)
        if Consent.parse(bodies.Grant.parse(entries[at].body).signed.payload).consent_id
        == consent
    )

    def later(authority: list[Entry]) -> list[Entry]:
        moved = replace(authority.pop(grant), time_ms=authority[-1].time_ms)
        return [*authority, moved]

    report = town.verify(town.rewrite(tmp_path / "x", AUTHORITY, later))
    found = told(report.findings)
    assert ("authority", permit - 1, "DECISION_DIFFERS") in found
    assert ("authority", permit - 1, "GRANTED_AFTER_CALL") in found
    assert report.verdict is Verdict.FINDINGS


def test_a_receipt_for_another_entry(town: Audited, tmp_path: Path) -> None:
    """A receipt that says the permit stands where it does not."""
    entries = town.entries(AUTHORITY)
    done = places(entries, Kind.CALL_DONE)[0]
    body = bodies.Done.parse(entries[done].body)
    receipt = Receipt.parse(body.receipt.payload)
    lie = replace(receipt, permit=replace(receipt.permit, index=0))
    signed = town.sign("authority", Tag.RECEIPT, lie.to_bytes())

    def forge(role: Role, change: Callable[[Entry], Entry]) -> Path:
        def rewrite(entries: list[Entry]) -> list[Entry]:
            return [change(entry) for entry in entries]

        return town.rewrite(tmp_path / "x", role, rewrite)

    def at_authority(entry: Entry) -> Entry:
        if entry.kind is Kind.CALL_DONE and entry.call == entries[done].call:
            return with_body(entry, receipt=signed.to_json())
        return entry

    def at_house(entry: Entry) -> Entry:
        if entry.kind is Kind.CALL_OUTCOME and entry.call == entries[done].call:
            return with_body(entry, receipt=receipt_hash(signed.payload).hex())
        return entry

    forge(AUTHORITY, at_authority)
    report = town.verify(forge(HOUSE, at_house))
    assert told(report.findings) == {("authority", done, "NO_PERMIT")}
