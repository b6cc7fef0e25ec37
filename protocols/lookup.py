r"""Packed masked lookup: the outcome of a total that nobody sees.

[C]omposed for this product from [S]tandard parts: additive blinding; one-time
truth tables (Ishai, Kushilevitz, Meldgaard, Orlandi, Paskin-Cherniavsky, TCC
2013); private simultaneous messages (Feige, Kilian, Naor, STOC 1994).  Attacked
in tests/attacks, not yet reviewed by others.  PROTOCOL 3::

    house      C = the program over a block's columns, every field twice its value
               R = uniform over all slots and 64 bits more, NO BIT CLEARED
               c = C (1 + n (R + 2 constants)) h_s^r             r long, never skipped
               for each permitted slot and field f: rho_f = bits of R in f,
               a table of 2^width rows,  T'[u] = T[(u - rho_f) >> 1] xor pad of row u
    authority  z = Dec(c);  u_f = bits of z in f;  row u_f of every table, still padded
    bank       removes the pads: insufficient_data, a veto, an outcome, or OUT_OF_RANGE

The authority sees u, which is uniform because R is; the bank sees u and one row
of each table, which say the outcome and no more; the house sees neither.

*The guard bit.*  A field holds 2v; with the carry from below, 2v + 1.  That
carry tells whether the value below exceeds its own (visible) masked value, so R
covers the guard bit like any other, and rows 2v and 2v + 1 both carry v's
entry.  With cleared guard bits and half the rows, each call would show the
authority one comparison with the score (tests/attacks/test_cleared_guard_bits).

*The veto chain.*  A row of veto table g is two bytes::

    00 | lock_g     where V_g = 0, with and without a carry
    01 | 00         elsewhere

and the score row, one byte, is xored with every lock.  A lock is drawn for one
slot and used once: who receives one row of each table and lacks one lock holds
a uniform byte in place of the outcome, whatever it computes.

*A number of the bank's* (`protocols.sharing`) shifts the rows of its slot: the house
rotates tables for the mask less its share, doubled, and the authority looks up u plus
its own.  Where the card holds it to a range, one more lock joins the vetoes', and
opens for a number within the range only (`protocols.range_lock`).  The lock's key for
the authority follows the score's part, not padded; the bank's follows the pad key.

*One stream a block.*  Tables of slot t are xored with bytes t * table_bytes on
of one ChaCha20 stream (RFC 8439, nonce 0; a key pads one block of one call).
table_bytes is a multiple of 64, so a slot starts at a block of the cipher.  Each
row has its own pad.  Everything drawn for a slot depends on the block's seed and
the slot's number only: a single call equals the batch byte for byte, and an
auditor redraws either.

Formats, little endian: tables of one slot are the veto tables in field order,
the score's part, the range's key, and padding; rows of one slot are the two bytes of
every veto table, the score's row, and the authority's share of the range's lock.
255 is OUT_OF_RANGE: the guard zone, where a total lands that a lying custodian or a
wrong limit has pushed out of 0..top.

Two gates, one interface (`Gate`): here the flat one, whose score part is one
table of a byte a row; in `protocols.split` the one for jobs, a tenth the size.

>>> import secrets
>>> from protocols.paillier import _small_key, encrypt
>>> from protocols.program import INSUFFICIENT_DATA, Group, Program
>>> groups = (Group("court", (1,), 1, 0), Group(INSUFFICIENT_DATA, (2,), -1, 1))
>>> gate = FlatGate(Scorecard((3, 0, 0), 0, 30, 6, ((0, 0), (15, 1)), groups,
...     Scorecard.layout(6, groups)))
>>> key = _small_key(512, secrets.token_bytes)
>>> base = FixedBase(key.public, key.public.authority_exponent_bits)
>>> people = np.array([[4, 5, 5, 5], [0, 0, 1, 1], [1, 1, 1, 0]])    # (columns, slots)
>>> columns = [
...     encrypt(key.public, pack(p), base.power(secrets.token_bytes(8))) for p in people
... ]
>>> total = Program(gate.card).run(key.public, columns)
>>> message, pad_key = house_message(
...     gate, key.public, base, total, (0, 1, 2, 3), bytes(32)
... )
>>> picked = authority_pick(gate, key, message)
>>> bank_open(gate, picked.u, picked.rows, pad_key, (0, 1, 2, 3)).tolist()
[0, 1, -2, -3]
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from protocols.canon import Tag, digest
from protocols.drbg import Drbg
from protocols.errors import FormatError
from protocols.paillier import (
    HIDING_BITS,
    Ciphertext,
    FixedBase,
    PrivateKey,
    PublicKey,
    RunHalves,
    check_ciphertexts,
)
from protocols.program import OUT_OF_RANGE, Scorecard
from protocols.range_lock import RangeLock
from protocols.slots import SLOT_BYTES, Ints, pack, slots_per_block, split_parts, unpack

Bytes: TypeAlias = NDArray[np.uint8]
Slots: TypeAlias = Sequence[int]  # ascending
Shares: TypeAlias = Sequence[int]  # of the bank's number, one a slot; or none

MAX_M = 20  # of the flat gate; score rows of one slot: 2 MiB
KEY_BYTES = 32
CIPHER_BLOCK = 64  # bytes of key stream that ChaCha20 makes at once
NO_OUTCOME = 255  # in a score row
_SLOT_NUMBER = 2  # bytes of a slot's number in a message hash


@dataclass(frozen=True, slots=True)
class Message:
    """What the house sends to the authority for one block."""

    ciphertext: int
    slots: tuple[int, ...]  # ascending
    tables: bytes  # table_bytes for each slot
    second: int | None = None  # of the fields that the first has no room for

    @property
    def ciphertexts(self) -> tuple[int, ...]:
        """One or two."""
        return (
            (self.ciphertext,)
            if self.second is None
            else (self.ciphertext, self.second)
        )

    def digest(self) -> bytes:
        """Hash all of it: the ticket names this hash."""
        numbers = (slot.to_bytes(_SLOT_NUMBER, "big") for slot in self.slots)
        first, *second = (
            int(c).to_bytes(-(-c.bit_length() // 8), "big") for c in self.ciphertexts
        )
        return digest(Tag.MESSAGE, first, b"".join(numbers), self.tables, *second)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Picked:
    """What the authority holds after decryption; it keeps none of it in clear."""

    z: int  # masked plaintext
    u: Ints  # (slots, fields): masked fields, which are row numbers
    rows: Bytes  # (slots, row_bytes): still padded
    second: int | None = None  # the masked plaintext of a second ciphertext

    @property
    def decrypted(self) -> tuple[int, ...]:
        """All masked plaintexts, one or two."""
        return (self.z,) if self.second is None else (self.z, self.second)


class Gate(ABC):
    """How the tables of a slot are laid out: one veto table a group, then the score.

    The score's part is a subclass's: what the authority is sent for it, what it makes
    of that, and how the bank reads what was released.
    """

    __slots__ = (
        "_outcomes",
        "_padded",
        "_range",
        "_score_at",
        "_score_end",
        "_veto_at",
        "_veto_end",
        "_veto_rows",
        "card",
        "row_bytes",
        "table_bytes",
    )
    name: ClassVar[str]  # in tickets
    most_bits: ClassVar[int]  # of a score, m
    draws: ClassVar[str] = ""  # before the labels of what is drawn for the tables
    lock_bytes: ClassVar[int] = 1

    def __init__(self, card: Scorecard, score_bytes: int, row_bytes: int) -> None:
        """Place a score part of `score_bytes`, of which `row_bytes` are released."""
        self.card = card
        self._outcomes = 1 + max(outcome for _, outcome in card.steps)
        self._veto_rows = [field.rows for field in card.fields[1:]]
        starts = np.cumsum([0, *(self._veto_row * rows for rows in self._veto_rows)])
        self._veto_at = starts[:-1]
        self._score_at = int(starts[-1])
        self._score_end = end = self._score_at + score_bytes
        self._veto_end = self._veto_row * len(self._veto_rows)
        self.row_bytes = self._veto_end + row_bytes
        self._range = None
        if card.added:
            self._range = RangeLock(card.m, card.added, self.lock_bytes)
            self.row_bytes += self.lock_bytes
            end += self._range.key_bytes
        self.table_bytes = -(-end // CIPHER_BLOCK) * CIPHER_BLOCK
        self._padded = self.table_bytes if self._range is None else self._score_end

    @classmethod
    def check_width(cls, card: Scorecard) -> None:
        """Raise `FormatError` for a score too wide for this gate."""
        if card.m > cls.most_bits:
            raise FormatError(
                f"a score of {card.m} bits is too wide for tables",
                f"coarser points: at most {cls.most_bits} bits",
            )

    def build(
        self, rho: Ints, slots: Slots, drbg: Drbg, shares: Shares = ()
    ) -> tuple[Bytes, bytes]:
        """Make the padded tables of some slots, and the pads that the bank needs.

        `rho` is the mask's part in every field: (slots, fields), less the house's
        `shares`.  The pads go to the bank only; the tables, (slots, table_bytes), to
        the authority.
        """
        locks, for_score, for_range = self._drawn(slots, drbg)
        tables = np.zeros((len(slots), self.table_bytes), np.uint8)
        for g, rows in enumerate(self._veto_rows):
            start, row = self._veto_at[g], self._veto_row
            table = tables[:, start : start + row * rows].reshape(-1, rows, row)
            _fill_veto(table, rho[:, 1 + g], locks[:, g])
        kept = self._fill_score(
            tables[:, self._score_at : self._score_end],
            rho[:, 0],
            locks,
            for_score,
        )
        if self._range is not None:
            mine, theirs = self._range.keys(shares, locks[:, -1], for_range)
            tables[:, self._score_end : self._score_end + mine.shape[1]] = mine
            kept += theirs.tobytes()
        pad_key = drbg.bytes(f"{self.draws}pads", KEY_BYTES)
        self._pad(pad_key, tables, slots)
        return tables, pad_key + kept

    def pick(self, u: Ints, tables: Bytes, shares: Shares = ()) -> Bytes:
        """Take row u of every table: (slots, row_bytes), still padded.

        The authority's `shares` are in u already.
        """
        veto = _take(tables, self._veto_places(u))
        score = tables[:, self._score_at : self._score_end]
        rows = [veto, self._pick_score(u[:, 0], score)]
        if self._range is not None:
            keys = tables[:, self._score_end : self._score_end + self._range.key_bytes]
            rows.append(self._range.shares(keys, 0, shares))
        return np.hstack(rows)

    def open(
        self, u: Ints, rows: Bytes, pads: bytes, slots: Slots, shares: Shares = ()
    ) -> Ints:
        """Remove the pads of rows u and read the codes: (slots,).

        `shares` are the authority's, of numbers that the bank has added: it split
        them.

        Always succeeds, at the same cost: whatever a byte says is some code, so
        that neither an error nor its absence tells a house that damaged a table
        which row was read.  A byte that is no outcome reads as OUT_OF_RANGE.
        """
        stream = np.zeros((len(slots), self.table_bytes), np.uint8)
        self._pad(pads[:KEY_BYTES], stream, slots)
        clear = rows[:, : self._veto_end] ^ _take(stream, self._veto_places(u))
        clear = clear.reshape(len(slots), -1, self._veto_row)
        vetoed, locks = clear[:, :, 0], clear[:, :, 1:]
        pad = stream[:, self._score_at : self._score_end]
        released = rows[:, self._veto_end :], pads[KEY_BYTES:]
        if self._range is not None:
            score, theirs = np.hsplit(released[0], [-self.lock_bytes])
            end = len(slots) * self._kept_bytes
            keys = np.frombuffer(released[1][end:], np.uint8).reshape(len(slots), -1)
            lock = theirs ^ self._range.shares(keys, 1, shares)
            locks = np.concatenate([locks, lock[:, None]], axis=1)
            released = score, released[1][:end]
        byte = self._open_score(u[:, 0], released, pad, locks)
        codes = np.where(byte < self._outcomes, byte.astype(np.int64), OUT_OF_RANGE)
        for g in reversed(self.card.precedence):
            codes = np.where(vetoed[:, g] != 0, -2 - g, codes)
        return codes

    def pad_bytes(self, slots: int) -> int:
        """Bytes of the pads of so many slots."""
        of_range = 0 if self._range is None else self._range.key_bytes
        return KEY_BYTES + slots * (self._kept_bytes + of_range)

    @property
    def _veto_row(self) -> int:
        """Bytes of a veto table's row: vetoed | lock."""
        return 1 + self.lock_bytes

    @property
    def _score_draws(self) -> int:
        """Bytes that the score's part needs for each slot."""
        return 0

    @property
    def _kept_bytes(self) -> int:
        """Bytes for each slot that go to the bank beside the pad key."""
        return 0

    @abstractmethod
    def _fill_score(self, score: Bytes, rho: Ints, locks: Bytes, drawn: Bytes) -> bytes:
        """Fill the score part, (slots, score_bytes), in place.

        `rho` is the mask in the score field, `locks` (slots, locks, lock_bytes),
        without all of which a bank must not read the outcome, `drawn` (slots,
        _score_draws) fresh bytes.  Returns what is kept for the bank.
        """

    @abstractmethod
    def _pick_score(self, u: Ints, score: Bytes) -> Bytes:
        """Return what of the score part is released for u: (slots, bytes)."""

    @abstractmethod
    def _open_score(
        self, u: Ints, released: tuple[Bytes, bytes], pad: Bytes, locks: Bytes
    ) -> Bytes:
        """Read the outcomes from what was `released` and what was kept: (slots,)."""

    def _drawn(self, slots: Slots, drbg: Drbg) -> tuple[Bytes, Bytes, Bytes]:
        """Draw what each slot needs, the same whichever slots are asked for.

        Returns the locks, (slots, locks, lock_bytes), and what the score's part and
        the range's keys are made of.
        """
        locks, of_range, label = len(self._veto_rows), 0, f"{self.draws}locks"
        if self._range is not None:
            locks, of_range = locks + 1, self._range.drawn_bytes
            label = f"{self.draws}range locks"
        end = locks * self.lock_bytes
        width = end + self._score_draws + of_range
        drawn = drbg.bytes(label, width * (max(slots) + 1))
        rows = np.frombuffer(drawn, np.uint8).reshape(-1, width)[list(slots)]
        return (
            rows[:, :end].reshape(len(slots), locks, self.lock_bytes),
            rows[:, end : width - of_range],
            rows[:, width - of_range :],
        )

    def _veto_places(self, u: Ints) -> Ints:
        """Find the bytes of veto rows u within a slot's tables."""
        first = self._veto_at + self._veto_row * u[:, 1:]
        places = first[:, :, None] + np.arange(self._veto_row)
        return places.reshape(len(u), -1)

    def _pad(self, key: bytes, tables: Bytes, slots: Slots) -> None:
        """Xor tables with their part of the block's stream, in place."""
        # one call of the cipher for each run of consecutive slots
        cuts = [0, *(np.flatnonzero(np.diff(slots) != 1) + 1).tolist(), len(slots)]
        for first, end in pairwise(cuts):
            counter = slots[first] * self.table_bytes // CIPHER_BLOCK
            nonce = counter.to_bytes(4, "little") + bytes(12)
            stream = Cipher(ChaCha20(key, nonce), None).encryptor()
            padded = stream.update(tables[first:end].tobytes())
            run = np.frombuffer(padded, np.uint8).reshape(-1, self.table_bytes)
            tables[first:end, : self._padded] = run[:, : self._padded]


class TableGate(Gate):
    """A gate whose score part is tables, too: rows are looked up, and unpadded."""

    __slots__ = ()

    @abstractmethod
    def _score_places(self, u: Ints) -> Ints:
        """Find the bytes of row u within the score part."""

    @abstractmethod
    def _released(self, clear: Bytes) -> Bytes:
        """Read the outcome, still locked, from the score part of a row."""

    def _pick_score(self, u: Ints, score: Bytes) -> Bytes:
        return _take(score, self._score_places(u))

    def _open_score(
        self, u: Ints, released: tuple[Bytes, bytes], pad: Bytes, locks: Bytes
    ) -> Bytes:
        clear = released[0] ^ _take(pad, self._score_places(u))
        return self._released(clear) ^ _all(locks)


class FlatGate(TableGate):
    """One score table, a row of one byte for every value the field can take.

    Raises `FormatError` for a score of more than 2^20 rows.
    """

    __slots__ = ("_rotations",)
    name = "flat"
    most_bits = MAX_M

    def __init__(self, card: Scorecard) -> None:
        self.check_width(card)
        rows = card.fields[0].rows
        super().__init__(card, score_bytes=rows, row_bytes=1)
        # _rotations[rows - rho][u] = entries[(u - rho) mod rows]
        self._rotations = sliding_window_view(np.tile(_score_entries(card), 2), rows)

    def _fill_score(
        self, score: Bytes, rho: Ints, locks: Bytes, _drawn: Bytes, /
    ) -> bytes:
        rows = self.card.fields[0].rows
        score[:] = self._rotations[rows - rho] ^ _all(locks)[:, None]
        return b""

    def _score_places(self, u: Ints) -> Ints:
        return u[:, None]

    def _released(self, clear: Bytes) -> Bytes:
        return clear[:, 0]


def house_message(
    gate: Gate,
    public: PublicKey,
    obfuscators: FixedBase,
    total: Ciphertext,
    slots: Slots,
    block_seed: bytes,
) -> tuple[Message, bytes]:
    """Mask a block's `total` for the authority; return the bank's pads with it.

    `slots`, ascending, are the permitted ones: all others stay uniform noise.
    """
    if obfuscators.public != public:
        raise RuntimeError("the table of obfuscators is of another key")
    return mask(gate, obfuscators, (total,), slots, block_seed)


def mask(
    gate: Gate,
    obfuscators: FixedBase,
    totals: Sequence[Ciphertext],
    slots: Slots,
    block_seed: bytes,
    shares: Shares = (),
) -> tuple[Message, bytes]:
    """Mask one block, as `mask_all` does."""
    return mask_all(gate, obfuscators, [Unmasked(totals, slots, block_seed, shares)])[0]


class Unmasked(NamedTuple):
    """A block's totals, one for each ciphertext of the contract's fields.

    `seed` comes from `drbg.block_seed` and hangs on the inputs: one mask over two
    versions of a block would show the authority their difference.  `shares` are the
    house's of numbers that the bank adds (`sharing`).
    """

    totals: Sequence[Ciphertext]
    slots: Slots
    seed: bytes
    shares: Shares = ()

    def __repr__(self) -> str:
        return object.__repr__(self)  # secrets have none


def mask_all(
    gate: Gate, obfuscators: FixedBase, blocks: Sequence[Unmasked]
) -> list[tuple[Message, bytes]]:
    """Mask blocks for the authority; the bank's pads with each message.

    1 mask   2 constants join it   3 a long obfuscator, always   4 tables
    """
    public, card = obfuscators.public, gate.card
    count, parts = slots_per_block(public.bits), range(card.parts)
    length = -(-public.authority_exponent_bits // 8)
    constants = [pack(np.full(count, 2 * card.constant_of(part))) for part in parts]
    totals, noises, added, exponents = [], [], [], []
    for block in blocks:
        if len(block.totals) != card.parts:
            raise RuntimeError(f"expected {card.parts} totals, got {len(block.totals)}")
        drbg = Drbg(block.seed)
        for part, total in enumerate(block.totals):
            label = f"{part} " if part else ""
            noise = drbg.bytes(f"{label}mask", SLOT_BYTES * count + HIDING_BITS // 8)
            totals.append(total)
            noises.append(noise)  # 1
            added.append(int.from_bytes(noise, "little") + constants[part])  # 2
            exponents.append(drbg.bytes(f"{label}obfuscator", length))  # 3
    blinded = [int(c) for c in obfuscators.blind_all(totals, added, exponents)]
    return [
        _with_tables(gate, block, blinded[at : at + card.parts], noises[at:])  # 4
        for block, at in zip(blocks, range(0, len(blinded), card.parts), strict=True)
    ]


def _with_tables(
    gate: Gate, block: Unmasked, ciphertexts: Sequence[int], noises: Sequence[bytes]
) -> tuple[Message, bytes]:
    """Join a block's tables, rotated by its masks, to its ciphertexts."""
    slots, fields = block.slots, gate.card.fields
    masks = [unpack(noise, slots) for noise in noises[: len(ciphertexts)]]
    rho = split_parts(masks, fields)
    doubled = _doubled(block.shares, fields[0].rows)
    rho[:, 0] = (rho[:, 0] - doubled) % fields[0].rows
    tables, pads = gate.build(rho, slots, Drbg(block.seed), block.shares)
    first, *others = ciphertexts
    return Message(first, tuple(slots), tables.tobytes(), *others), pads


def authority_pick(
    gate: Gate,
    private: PrivateKey,
    message: Message,
    run: RunHalves | None = None,
    shares: Shares = (),
) -> Picked:
    """Decrypt the mask's sum and take the rows it points at.

    `shares` are the authority's of numbers that the bank adds (`sharing`).
    Raises `FormatError` for slots or tables that are not the contract's, and
    `CiphertextInvalid`; all of that is known before the key is used.  What is
    decrypted is never judged: see `PrivateKey.decrypt`.

    1 shape   2 ciphertext in range, a unit   3 decrypt   4 fields   5 rows
    """
    tables = _message_tables(gate, private.public, message)  # 1
    check_ciphertexts(private.public, message.ciphertexts)  # 2
    z = [private.decrypt(c, run) for c in message.ciphertexts]  # 3
    return _picked(gate, private.public, message.slots, tables, z, shares)  # 4, 5


def authority_pick_all(
    gate: Gate, private: PrivateKey, messages: Sequence[Message]
) -> list[Picked]:
    """Do so for several blocks of one job: one gcd for all of them.

    Raises as `authority_pick` does, before anything is decrypted.
    """
    public = private.public
    tables = [_message_tables(gate, public, message) for message in messages]  # 1
    check_ciphertexts(public, [c for m in messages for c in m.ciphertexts])  # 2
    z = iter(private.decrypt_all([c for m in messages for c in m.ciphertexts]))  # 3
    return [
        _picked(gate, public, m.slots, table, [next(z) for _ in m.ciphertexts])  # 4, 5
        for m, table in zip(messages, tables, strict=True)
    ]


def _picked(
    gate: Gate,
    public: PublicKey,
    slots: Slots,
    tables: Bytes,
    z: Sequence[int],
    shares: Shares = (),
) -> Picked:
    fields = gate.card.fields
    plains = [part.to_bytes(public.bits // 8, "little") for part in z]
    u = split_parts([unpack(plain, slots) for plain in plains], fields)
    u[:, 0] = (u[:, 0] + _doubled(shares, fields[0].rows)) % fields[0].rows
    return Picked(z[0], u, gate.pick(u, tables, shares), *z[1:])


def bank_open(
    gate: Gate, u: Ints, rows: Bytes, pads: bytes, slots: Slots, shares: Shares = ()
) -> Ints:
    """Read the code of every slot from what the authority sent.

    u is (slots, fields), rows (slots, row_bytes); `shares` are the authority's, of
    numbers that the bank itself has split.  Raises `FormatError` when
    they are not shaped so, or u is no row number; nothing depends on contents.
    """
    fields = gate.card.fields
    if u.shape != (len(slots), len(fields)):
        raise FormatError(f"expected u for {len(slots)} slots, {len(fields)} fields")
    if rows.shape != (len(slots), gate.row_bytes):
        raise FormatError(f"expected rows of {gate.row_bytes} bytes a slot")
    if len(pads) != gate.pad_bytes(len(slots)):
        raise FormatError(f"expected pads of {gate.pad_bytes(len(slots))} bytes")
    if (u < 0).any() or (u >= [field.rows for field in fields]).any():
        raise FormatError("u is not the number of a row")
    return gate.open(u, rows, pads, slots, shares)


def _doubled(shares: Shares, rows: int) -> Ints:
    """Double shares, as fields hold doubled values; they may be of 62 bits."""
    return np.array([2 * share % rows for share in shares] or [0], np.int64)


def _message_tables(gate: Gate, public: PublicKey, message: Message) -> Bytes:
    slots, count = message.slots, slots_per_block(public.bits)
    if len(message.ciphertexts) != gate.card.parts:
        raise FormatError(f"expected {gate.card.parts} ciphertexts")
    if not slots or list(slots) != sorted(set(slots)):
        raise FormatError("expected slots in ascending order, at least one")
    if slots[0] < 0 or slots[-1] >= count:
        raise FormatError(f"expected slots of 0 to {count - 1}")
    if len(message.tables) != len(slots) * gate.table_bytes:
        raise FormatError(
            f"expected tables of {gate.table_bytes} bytes for each of "
            f"{len(slots)} slots, got {len(message.tables)} bytes"
        )
    return np.frombuffer(message.tables, np.uint8).reshape(-1, gate.table_bytes)


def _all(locks: Bytes) -> Bytes:
    """Xor the locks of one byte of every slot: (slots,)."""
    released: Bytes = np.bitwise_xor.reduce(locks[:, :, 0], axis=1)
    return released


def _score_entries(card: Scorecard) -> Bytes:
    """List the outcome byte of every unmasked field value, 2v and 2v + 1."""
    entries = np.full(1 << card.m, NO_OUTCOME, np.uint8)  # the guard zone
    for first, outcome in card.steps:
        entries[first : card.top + 1] = outcome
    return np.repeat(entries, 2)


def _fill_veto(table: Bytes, rho: Ints, locks: Bytes) -> None:
    """Fill the veto tables of one group, (slots, rows, 1 + lock_bytes), in place."""
    table[:, :, 0] = 1
    at = np.arange(len(table))
    for value in (0, 1):  # V = 0, without and with a carry from below
        row = (value + rho) % table.shape[1]
        table[at, row, 0] = 0
        table[at, row, 1:] = locks


def _take(tables: Bytes, places: Ints) -> Bytes:
    """Take byte places[i, j] of tables[i]."""
    return np.take_along_axis(tables, places, axis=1)
