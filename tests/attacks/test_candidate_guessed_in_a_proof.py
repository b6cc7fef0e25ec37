"""The house guesses the one who was meant in a leaf of the authority's journal.

Anybody may ask for consistency proofs, and one from n to n + 1 entries can have the
hash of entry n in it.  The house knows the authority's pseudonym of whom it asked about
openly, and everything else in a permit but who it is about.
"""

from dataclasses import replace

from contracts.private_bodies import Permit
from node.domain import Role
from protocols.entry import Entry, Kind
from protocols.tlog import leaf_hash
from tests.crowd_of_one import Hidden
from tests.hostile import journal


def test_a_permit_is_not_found_among_the_candidates(hidden: Hidden) -> None:
    """Not with the entry's very time: its salt is the authority's."""
    subject, town = hidden.town.ids[0], hidden.town
    with hidden.bank() as bank:
        call = bank.range("turnover-floor", subject, hidden.among()).request
    entries = journal(town.authority)
    (index,) = [
        n
        for n, e in enumerate(entries)
        if e.kind is Kind.PRIVATE_PERMIT and e.call == call.hex()
    ]
    permit = Permit.parse(entries[index].body)
    shown = leaf_hash(entries[index].to_bytes())  # as a proof shows it
    ledger = town.authority.ledger
    assert leaf_hash(next(iter(ledger.entries(index, index + 1)))) == shown

    def guesses(salt: bytes) -> list[str]:
        by_ref = sorted(town.ids, key=lambda name: town.refs[name])
        found = []
        for number, name in enumerate(by_ref):
            body = replace(
                permit,
                subject=town.name("authority", name),
                consent=f"c-{name}",
                entry=number,
                salt=salt,
            )
            guess = replace(entries[index], body=body.to_body())
            if leaf_hash(guess.to_bytes()) == shown:
                found.append(name)
        return found

    assert guesses(permit.salt) == [subject]  # what an auditor could do
    known = [bytes(32), call, permit.ticket, permit.contract]
    assert [guesses(salt) for salt in known] == [[]] * len(known)
    said = b"".join(entry.to_bytes() for entry in hidden.said(Role.HOUSE, call))
    assert permit.salt.hex().encode() not in said
    assert Entry.parse(entries[index].to_bytes()) == entries[index]
