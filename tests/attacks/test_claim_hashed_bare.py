"""Crime: the request names the house's share, or the claim, by a bare hash.

Whoever sees the signed request, such as the authority or an auditor, tries all numbers
that the share can be.  The authority, which holds the other share, has the claim.
"""

import hashlib
import secrets
from collections.abc import Iterator

import pytest

from protocols.sharing import HouseShare, split
from tests.hostile import journal
from tests.simulator import World
from tests.turnover import Town

BITS = 16  # of a number of staff; turnovers of 37 bits take some hours more


def test_a_bare_hash_of_the_share_is_found() -> None:
    """In 2^16 trials: a tenth of a second."""
    claim = 41
    mine, theirs = split(claim, BITS, bytes(32), secrets.token_bytes(16))
    named = hashlib.sha256(mine.value.to_bytes(8, "big")).digest()
    found = next(
        guess
        for guess in range(1 << BITS)
        if hashlib.sha256(guess.to_bytes(8, "big")).digest() == named
    )
    assert (found + theirs) % (1 << BITS) == claim


def test_ours_is_not_found_without_the_salt() -> None:
    """No number under a salt of zeros, nor under one that was seen elsewhere, fits."""
    mine, _ = split(41, BITS, secrets.token_bytes(32), secrets.token_bytes(16))
    guesses = (
        HouseShare(salt, guess).commitment()
        for salt in (bytes(32), secrets.token_bytes(32))
        for guess in range(1 << 12)
    )
    assert mine.commitment() not in set(guesses)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Run a town."""
    with World(tmp_path_factory.mktemp("bare")) as world:
        yield Town(world, [1_234_500])


def test_nothing_in_the_journals_is_a_digest_of_a_claim(town: Town) -> None:
    """Neither the claim nor what is added for it, as decimals or as bytes."""
    (subject,) = town.ids
    town.consent(subject)
    claim, added = 7_654_321, (1 << 37) - 7_654_321
    with town.bank() as bank:
        bank.verify("turnover-check", subject, claim, consent=f"c-{subject}")
        assert bank.flush() == 0
    forms = [
        form
        for number in (claim, added)
        for form in (str(number).encode(), *_widths(number))
    ]
    digests = {hashlib.sha256(form).hexdigest() for form in forms}
    for core in (town.house, town.authority):
        text = "\n".join(str(entry.body) for entry in journal(core))
        assert not [digest for digest in digests if digest in text]
        assert str(claim) not in text
        assert str(added) not in text


def _widths(number: int) -> list[bytes]:
    return [
        number.to_bytes(n, order) for n in (5, 8, 32) for order in ("big", "little")
    ]  # type: ignore[arg-type]
