"""Crime: the mask leaves the guard bit of every field clear.

Then a table needs half the rows, which is how the first design had it.  The
guard bit of the veto field is the carry out of the score field, [u < score], and
the authority knows u: every call on a subject halves what it does not know.
"""

import secrets
from collections.abc import Callable

from protocols.lookup import FlatGate, house_message
from protocols.paillier import Ciphertext, FixedBase, PrivateKey
from protocols.program import Scorecard
from protocols.slots import SLOT_BYTES, Ints, pack, slots_per_block, unpack

T = 7
CALLS = 120


def narrow(card: Scorecard, view: Callable[[], int]) -> tuple[int, int, int]:
    """Watch calls; return the interval of scores, and how often guard = [u < hi]."""
    score, veto = card.fields[:2]
    low, high, ones = 0, 1 << card.m, 0
    for _ in range(CALLS):
        slot = view()
        u, guard = slot % score.rows >> 1, slot >> veto.offset & 1
        if guard:
            low = max(low, u + 1)  # u < score
        else:
            high = min(high, u)  # score <= u
        ones += guard
    return low, high, ones


def test_with_cleared_guard_bits_the_authority_reads_the_score(
    key: PrivateKey, base: FixedBase, card: Scorecard, people: Ints, total: Ciphertext
) -> None:
    """120 calls leave an interval of a few per cent, and it holds the score."""
    public, count = key.public, slots_per_block(key.public.bits)
    guards = sum(1 << 40 * t + f.offset for t in range(count) for f in card.fields)
    constants = pack(people[0] * 0 + 2 * card.constant)

    def view() -> int:
        mask = int.from_bytes(secrets.token_bytes(SLOT_BYTES * count + 8), "little")
        blind = 1 + ((mask & ~guards) + constants) * public.n
        obfuscator = base.power(secrets.token_bytes(base.exponent_bytes))
        z = key.decrypt(total * blind * obfuscator % public.n2)
        return int(unpack(z.to_bytes(64, "little"), [T])[0])

    low, high, _ = narrow(card, view)
    score = card.total_of(people[:, T])
    assert low <= score <= high
    assert high - low < (1 << card.m) * 0.15


def test_ours_shows_a_fair_coin(
    key: PrivateKey, base: FixedBase, card: Scorecard, total: Ciphertext
) -> None:
    """The same reading of our messages contradicts itself."""
    gate, drawn = FlatGate(card), []

    def view() -> int:
        seed = len(drawn).to_bytes(32, "big")
        message, _ = house_message(gate, key.public, base, total, (T,), seed)
        z = key.decrypt(message.ciphertext)
        drawn.append(z)
        return int(unpack(z.to_bytes(64, "little"), [T])[0])

    low, high, ones = narrow(card, view)
    assert low > high  # no score fits
    assert 35 < ones < 85
