"""The journal: one writer, one transaction, and refusal to go on when in doubt.

Cases 6, 7, 8, 9, 11, 25, 26, 27, 29, 32, 33, 46.  What a disk that fails or a
process that is killed does to it is in `faults/`.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.clock import CLOCK_JUMP_MS, now_ms
from node.errors import (
    ClockJumped,
    LedgerBusy,
    LedgerDamaged,
    LedgerLocked,
    LedgerStopped,
    LedgerTimeout,
)
from node.ledger import WAITING, Ledger, Operation, Transaction
from protocols.entry import MAX_ENTRY, Entry, Kind
from protocols.errors import FormatError, ProofInvalid
from protocols.note import Checkpoint, VerifierKey
from protocols.tlog import leaf_hash, root_of, verify_consistency

SIGNER = Ed25519PrivateKey.from_private_bytes(b"j" * 32)
ORIGIN = "rencheng.example/authority"
KEY = VerifierKey.of(ORIGIN, SIGNER)
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS consent(
        id TEXT PRIMARY KEY, status TEXT, uses INTEGER, max_uses INTEGER)""",
    "CREATE TABLE IF NOT EXISTS nonce(jti TEXT PRIMARY KEY)",
)


class Denied(Exception):
    """A refusal by the sample operations below."""


def grant(consent: str, max_uses: int) -> Operation[None]:
    """Register a consent."""

    def operation(transaction: Transaction) -> None:
        transaction.db.execute(
            "INSERT INTO consent VALUES (?, 'active', 0, ?)", (consent, max_uses)
        )
        transaction.append(Kind.CONSENT_GRANT, "registrar", "", {"id": consent})

    return operation


def withdraw(consent: str) -> Operation[int]:
    """End a consent; return the index of the entry."""

    def operation(transaction: Transaction) -> int:
        transaction.db.execute(
            "UPDATE consent SET status = 'withdrawn' WHERE id = ?", (consent,)
        )
        return transaction.append(
            Kind.CONSENT_EVENT, "registrar", "", {"id": consent, "event": "withdraw"}
        )

    return operation


def permit(consent: str, jti: str) -> Operation[int]:
    """Use a consent once; return the index of the permit."""

    def operation(transaction: Transaction) -> int:
        db = transaction.db
        try:
            db.execute("INSERT INTO nonce VALUES (?)", (jti,))
        except apsw.ConstraintError:
            raise Denied("REPLAY_MISMATCH") from None
        used = db.execute(
            "UPDATE consent SET uses = uses + 1 WHERE id = ? AND status = 'active'"
            " AND uses < max_uses RETURNING uses",
            (consent,),
        ).fetchall()
        if not used:
            raise Denied("NO_CONSENT")
        return transaction.append(Kind.CALL_PERMIT, "authority", jti, {"id": consent})

    return operation


def start(transaction: Transaction) -> int:
    """Append the smallest entry."""
    return transaction.append(Kind.NODE_START, "authority", "", {})


def uses(ledger: Ledger, consent: str) -> int:
    """Read how often a consent was used."""
    with ledger.reader() as db:
        ((count,),) = db.execute("SELECT uses FROM consent WHERE id = ?", (consent,))
    assert isinstance(count, int)
    return count


Opener = Callable[..., Ledger]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name the ledger."""
    return tmp_path / "authority.ledger"


@pytest.fixture
def opener(path: Path) -> Iterator[Opener]:
    """Open ledgers that the test need not close."""
    opened: list[Ledger] = []

    def open_(
        path: Path = path,
        clock: Callable[[], int] = now_ms,
        monotonic: Callable[[], int] = now_ms,
    ) -> Ledger:
        ledger = Ledger.open(
            path,
            signer=SIGNER,
            origin=ORIGIN,
            clock=clock,
            monotonic=monotonic,
            schema=SCHEMA,
        )
        opened.append(ledger)
        return ledger

    yield open_
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(opener: Opener) -> Ledger:
    """Open a new ledger."""
    return opener()


# Committing


def test_a_new_ledger_has_a_signed_empty_head(ledger: Ledger) -> None:
    """A log of no entries is signed too."""
    checkpoint = Checkpoint.open(ledger.head.note, [KEY])
    assert (checkpoint.size, checkpoint.root) == (0, root_of([]))
    assert list(ledger.notes()) == [ledger.head.note]
    assert list(ledger.entries(0, 0)) == []


def test_commit_returns_value_entries_and_head(ledger: Ledger) -> None:
    """Every answer comes with a signed head that covers its entries."""

    def two(transaction: Transaction) -> str:
        start(transaction)
        start(transaction)
        return "done"

    ledger.commit(start)
    committed = ledger.commit(two)
    assert (committed.value, committed.indices) == ("done", (1, 2))
    leaves = [leaf_hash(entry) for entry in ledger.entries(0, 3)]
    checkpoint = Checkpoint.open(committed.head.note, [KEY])
    assert checkpoint == Checkpoint(ORIGIN, 3, root_of(leaves))
    assert ledger.root(2) == root_of(leaves[:2])


def test_an_operation_without_entries_signs_nothing(ledger: Ledger) -> None:
    """State may change without an entry; the head stays."""
    ledger.commit(start)
    before = ledger.head
    committed = ledger.commit(
        lambda transaction: transaction.db.execute("INSERT INTO nonce VALUES ('x')")
    )
    assert (committed.indices, committed.head) == ((), before)


def test_a_refusal_undoes_its_own_operation_only(ledger: Ledger) -> None:
    """Operations of one transaction do not harm each other."""
    gate = threading.Event()
    ledger.submit(lambda _: gate.wait(5))  # the others gather behind it
    ledger.submit(grant("C1", 1))
    permitted = ledger.submit(permit("C1", "1"))
    denied = ledger.submit(permit("C1", "2"))
    replayed = ledger.submit(permit("C1", "1"))
    late = ledger.submit(grant("C2", 1))
    gate.set()
    assert permitted.result(5).indices == (1,)
    assert str(denied.exception(5)) == "NO_CONSENT"
    assert str(replayed.exception(5)) == "REPLAY_MISMATCH"
    assert late.result(5).indices == (2,)
    assert late.result(5).head.size == 3  # one transaction, one head
    assert uses(ledger, "C1") == 1
    with ledger.reader() as db:
        assert db.execute("SELECT jti FROM nonce").fetchall() == [("1",)]


def test_entries_of_a_refusal_are_undone(ledger: Ledger) -> None:
    """What an operation appended before it raised was never there."""

    def append_and_raise(transaction: Transaction) -> None:
        start(transaction)
        raise Denied("after all")

    with pytest.raises(Denied):
        ledger.commit(append_and_raise)
    assert ledger.commit(start).indices == (0,)
    assert ledger.head.root == root_of([leaf_hash(ledger.entry(0))])


def test_a_transaction_is_over_when_its_operation_returns(ledger: Ledger) -> None:
    """An operation cannot keep the connection for later."""
    kept = ledger.commit(lambda transaction: transaction).value
    with pytest.raises(RuntimeError, match="has ended"):
        start(kept)


@pytest.mark.parametrize("size", [MAX_ENTRY, MAX_ENTRY + 1])
def test_entry_size(ledger: Ledger, size: int) -> None:
    """Case 32: 65,535 bytes are accepted; one more is refused, nothing is kept."""
    bare = Entry(Kind.LOG_READ, ledger.commit(lambda t: t.now_ms).value, "a", "", {})
    fill = "x" * (size - len(bare.to_bytes()) - len('"fill":""'))

    def operation(transaction: Transaction) -> None:
        transaction.append(Kind.LOG_READ, "a", "", {"fill": fill})

    if size > MAX_ENTRY:
        with pytest.raises(FormatError, match="at most 65535 bytes"):
            ledger.commit(operation)
        assert ledger.head.size == 0
    else:
        ledger.commit(operation)
        assert len(ledger.entry(0)) == MAX_ENTRY


# Consents under many threads


@pytest.mark.parametrize("max_uses", [1, 5, 50])
def test_uses_are_counted_exactly(ledger: Ledger, max_uses: int) -> None:
    """Case 6: 16 threads, N uses, exactly N permits and N entries."""
    ledger.commit(grant("C1", max_uses))

    def caller(number: int) -> int:
        permits = 0
        for call in range(10):
            try:
                ledger.commit(permit("C1", f"{number}-{call}"), 10)
                permits += 1
            except Denied:
                continue
        return permits

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(caller, range(16))) == max_uses
    entries = map(Entry.parse, ledger.entries(0, ledger.head.size))
    assert [entry.kind for entry in entries].count(Kind.CALL_PERMIT) == max_uses
    assert uses(ledger, "C1") == max_uses


def test_one_nonce_is_one_use(ledger: Ledger) -> None:
    """Case 9: the same request 32 times at once uses the consent once."""
    ledger.commit(grant("C1", 100))
    futures = [ledger.submit(permit("C1", "same")) for _ in range(32)]
    errors = [str(future.exception(5)) for future in futures]
    assert errors.count("None") == 1
    assert errors.count("REPLAY_MISMATCH") == 31
    assert uses(ledger, "C1") == 1


def test_no_permit_after_the_withdrawal(ledger: Ledger) -> None:
    """Cases 7, 8: the journal's order decides between withdrawal and permit."""
    for trial in range(5):
        consent = f"C{trial}"
        ledger.commit(grant(consent, 10_000))
        under_way = threading.Barrier(7)

        def caller(
            number: int, consent: str = consent, start: threading.Barrier = under_way
        ) -> list[int]:
            start.wait(5)
            permits = []
            for call in range(30):
                try:
                    jti = f"{consent}-{number}-{call}"
                    permits.append(ledger.commit(permit(consent, jti), 10).value)
                except Denied:
                    break
            return permits

        with ThreadPoolExecutor(6) as pool:
            futures = [pool.submit(caller, number) for number in range(6)]
            under_way.wait(5)
            time.sleep(0.002 * trial)
            withdrawn = ledger.commit(withdraw(consent), 10).value
            permits = [index for future in futures for index in future.result(10)]
        assert all(index < withdrawn for index in permits)
        assert uses(ledger, consent) == len(permits)


# Time


def test_log_time_never_goes_back(opener: Opener) -> None:
    """Case 11: while the clock is a little behind, the journal's time stands."""
    wall = [now_ms()]
    ledger = opener(clock=lambda: wall[0], monotonic=lambda: 0)
    times = []
    for step in (0, 1, -200_000, 150_000, 60_000):
        wall[0] += step
        times.append(ledger.commit(lambda transaction: transaction.now_ms).value)
    first = times[0]
    assert times == [first, first + 1, first + 1, first + 1, first + 10_001]


@pytest.mark.parametrize("jump", [-3_600_000, 3_600_000, CLOCK_JUMP_MS + 1])
def test_a_clock_jump_stops_the_ledger(opener: Opener, jump: int) -> None:
    """Case 11: a jump over five minutes stops it until an operator journals it."""
    wall = [now_ms()]
    ledger = opener(clock=lambda: wall[0], monotonic=lambda: 0)
    stops: list[LedgerStopped] = []
    ledger.on_stop(stops.append)
    ledger.commit(start)
    first = Entry.parse(ledger.entry(0))
    wall[0] += jump
    for _ in range(2):
        with pytest.raises(ClockJumped, match="the clock went"):
            ledger.commit(start)
    assert isinstance(ledger.stopped, ClockJumped)
    assert len(stops) == 1
    accepted = ledger.accept_clock("operator")
    entry = Entry.parse(ledger.entry(accepted.indices[0]))
    assert (entry.kind, entry.actor) == (Kind.NODE_CLOCK, "operator")
    assert entry.time_ms == first.time_ms + max(jump, 0)  # never back
    assert entry.body == {"clock_ms": wall[0]}
    wall[0] += 1000
    assert ledger.commit(start).indices == (2,)


def test_a_jump_of_five_minutes_passes(opener: Opener) -> None:
    """The limit itself is allowed, and the monotonic clock explains a long wait."""
    wall, monotonic = [now_ms()], [0]
    ledger = opener(clock=lambda: wall[0], monotonic=lambda: monotonic[0])
    wall[0] += CLOCK_JUMP_MS
    ledger.commit(start)
    wall[0] += 7_200_000
    monotonic[0] += 7_200_000
    ledger.commit(start)
    wall[0] += 3_600_000  # set back an hour while two went by
    monotonic[0] += 7_200_000
    with pytest.raises(ClockJumped, match="back by 3600 s"):
        ledger.commit(start)


def test_small_steps_back_add_up(opener: Opener) -> None:
    """Twice three minutes back are six."""
    wall = [now_ms()]
    ledger = opener(clock=lambda: wall[0], monotonic=lambda: 0)
    ledger.commit(start)
    wall[0] -= 180_000
    ledger.commit(start)
    wall[0] -= 180_000
    with pytest.raises(ClockJumped, match="back by 360 s"):
        ledger.commit(start)


def test_a_clock_behind_the_log_at_start(opener: Opener) -> None:
    """A node that starts an hour before its last entry waits for an operator."""
    ledger = opener()
    ledger.commit(start)
    ledger.close()
    behind = opener(clock=lambda: now_ms() - 3_600_000)
    with pytest.raises(ClockJumped):
        behind.commit(start)
    stops: list[LedgerStopped] = []
    behind.on_stop(stops.append)
    assert stops == [behind.stopped]
    behind.accept_clock("operator")
    times = [Entry.parse(entry).time_ms for entry in behind.entries(0, 2)]
    assert times[1] == times[0]


def test_an_accepted_clock_is_accepted_at_the_next_start(opener: Opener) -> None:
    """The journal remembers what was answered for, and nothing that went further."""
    hour = 3_600_000
    wall = [now_ms()]
    ledger = opener(clock=lambda: wall[0])
    ledger.commit(start)
    ledger.close()
    wall[0] -= hour
    behind = opener(clock=lambda: wall[0])
    behind.accept_clock("operator")
    behind.commit(start)
    behind.close()
    again = opener(clock=lambda: wall[0])
    again.commit(start)
    again.close()
    wall[0] -= hour  # not what was accepted
    twice = opener(clock=lambda: wall[0])
    assert isinstance(twice.stopped, ClockJumped)
    twice.close()
    wall[0] += 3 * hour  # caught up: from here on it may not go back again
    caught_up = opener(clock=lambda: wall[0])
    caught_up.commit(start)
    caught_up.close()
    wall[0] -= hour
    assert isinstance(opener(clock=lambda: wall[0]).stopped, ClockJumped)


def test_a_start_does_not_parse_what_was_written_while_time_stood(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of a busy node may stand at one millisecond, at every start."""
    wall = [now_ms()]
    ledger = opener(clock=lambda: wall[0])
    ledger.commit(start)
    ledger.close()
    wall[0] -= 3_600_000
    behind = opener(clock=lambda: wall[0])
    behind.accept_clock("operator")
    for _ in range(20):
        behind.commit(start)
    behind.close()
    parsed: list[Entry] = []
    parse = Entry.parse

    def counted(data: bytes) -> Entry:
        parsed.append(parse(data))
        return parsed[-1]

    monkeypatch.setattr(Entry, "parse", counted)
    assert opener(clock=lambda: wall[0]).stopped is None
    assert [entry.kind for entry in parsed] == [Kind.NODE_START, Kind.NODE_CLOCK]


def test_how_far_an_accepted_clock_went_on_is_not_remembered(opener: Opener) -> None:
    """Time stands still, so nothing says it: set back as far, a clock passes."""
    wall = [now_ms()]
    ledger = opener(clock=lambda: wall[0])
    ledger.commit(start)
    ledger.close()
    wall[0] -= 3_600_000
    behind = opener(clock=lambda: wall[0])
    behind.accept_clock("operator")
    behind.close()
    wall[0] += 2_400_000
    behind = opener(clock=lambda: wall[0])
    behind.commit(start)
    behind.close()
    wall[0] -= 2_400_000
    again = opener(clock=lambda: wall[0])
    assert again.stopped is None
    again.close()
    wall[0] -= CLOCK_JUMP_MS + 1
    assert isinstance(opener(clock=lambda: wall[0]).stopped, ClockJumped)


def test_a_clock_not_in_question_cannot_be_accepted(ledger: Ledger) -> None:
    """Accepting is an answer, not a habit."""
    with pytest.raises(RuntimeError, match="not in question"):
        ledger.accept_clock("operator")


def test_a_failed_disk_outlasts_a_clock(ledger: Ledger) -> None:
    """Accepting the clock does not revive a journal whose disk has failed."""
    stops: list[LedgerStopped] = []
    ledger.on_stop(stops.append)
    disk = LedgerStopped("the journal stopped: disk I/O error")
    for reason in (ClockJumped("forward"), disk, ClockJumped("back")):
        ledger._stop(reason, [])
    assert ledger.stopped is disk
    assert [str(reason) for reason in stops] == ["forward", str(disk)]
    with pytest.raises(RuntimeError, match="not in question"):
        ledger.accept_clock("operator")


# Waiting


def test_a_stalled_writer_releases_nobody(ledger: Ledger) -> None:
    """Case 46: callers get a timeout; what had not begun never happens."""
    go_on = threading.Event()
    stalled = ledger.submit(lambda _: go_on.wait(10))
    with pytest.raises(LedgerTimeout, match=r"longer than 0\.05 s"):
        ledger.commit(start, timeout=0.05)
    assert not stalled.done()
    go_on.set()
    assert stalled.result(5).indices == ()
    assert ledger.commit(start).indices == (0,)


def test_the_queue_is_bounded(ledger: Ledger) -> None:
    """More than the queue holds is refused at once, and all others are served."""
    go_on = threading.Event()
    began = threading.Event()

    def stall(_: Transaction) -> None:
        began.set()
        go_on.wait(10)

    ledger.submit(stall)
    began.wait(5)
    waiting = [ledger.submit(start) for _ in range(WAITING)]
    with pytest.raises(LedgerBusy, match="4096 operations are waiting"):
        ledger.submit(start)
    go_on.set()
    indices = [future.result(30).value for future in waiting]
    assert indices == list(range(WAITING))


def test_a_closed_ledger_finishes_what_it_took(opener: Opener) -> None:
    """Closing answers everybody, and refuses those who come later."""
    ledger = opener()
    futures = [ledger.submit(start) for _ in range(600)]
    ledger.close()
    assert [future.result(0).value for future in futures] == list(range(600))
    with pytest.raises(LedgerStopped, match="is closed"):
        ledger.submit(start)
    with pytest.raises(RuntimeError, match="is closed"), ledger.reader():
        pass


# Reading


def test_reopened_ledger_is_the_same(opener: Opener) -> None:
    """Entries, heads and proofs survive, and the log goes on."""
    first = opener()
    for _ in range(5):
        first.commit(start)
    head, notes = first.head, list(first.notes())
    first.close()
    second = opener()
    assert second.head == head
    assert list(second.notes()) == notes
    assert list(second.notes(since=3)) == notes[4:]
    grown = second.commit(start).head
    proof = second.consistency(head.size, grown.size)
    verify_consistency(head.size, grown.size, proof, head.root, grown.root)


def test_many_pages(ledger: Ledger) -> None:
    """Entries and notes are read page by page without a seam."""
    futures = [ledger.submit(grant(f"C{number}", number)) for number in range(700)]
    for future in futures:
        future.result(5)
    entries = [Entry.parse(data) for data in ledger.entries(1, 699)]
    assert [entry.body["id"] for entry in entries] == [f"C{n}" for n in range(1, 699)]
    for _ in range(300):
        ledger.commit(start)
    sizes = [Checkpoint.open(note, [KEY]).size for note in ledger.notes()]
    assert sizes == sorted(set(sizes))
    assert sizes[-300:] == list(range(701, 1001))


def test_proof_under_any_head(ledger: Ledger) -> None:
    """A proof verifies with the ledger's key alone, under old and new heads."""
    old = ledger.commit(start).head
    ledger.commit(grant("C1", 1))
    entry = ledger.entry(0)
    assert ledger.proof(0).verify(entry, [KEY]).size == 2
    assert ledger.proof(0, old).verify(entry, [KEY]).size == 1
    with pytest.raises(ProofInvalid):
        ledger.proof(1).verify(entry, [KEY])


def test_beyond_the_head_is_our_own_mistake(ledger: Ledger) -> None:
    """Callers compare sizes with the head first; nothing half-written is shown."""
    ledger.commit(start)
    for misuse in (
        lambda: ledger.entry(1),
        lambda: ledger.entries(0, 2),
        lambda: ledger.entries(1, 0),
        lambda: ledger.root(2),
        lambda: ledger.inclusion(0, 2),
        lambda: ledger.consistency(1, 2),
    ):
        with pytest.raises(RuntimeError):
            misuse()


def test_readers_cannot_write(ledger: Ledger) -> None:
    """A reader sees one moment and changes nothing."""
    ledger.commit(grant("C1", 1))
    with ledger.reader() as db:
        before = db.execute("SELECT count(*) FROM entry").get
        ledger.commit(start)
        assert db.execute("SELECT count(*) FROM entry").get == before
        with pytest.raises(apsw.ReadOnlyError):
            db.execute("DELETE FROM nonce")
    with ledger.reader() as db:
        assert db.execute("SELECT count(*) FROM entry").get == 2


# Whose it is


def test_second_opener_is_refused(opener: Opener) -> None:
    """Case 33: two nodes on one ledger; the second one ends, with its exit code."""
    ledger = opener()
    with pytest.raises(LedgerLocked, match="open in another process") as refused:
        opener()
    assert refused.value.exit_code == 20
    ledger.close()
    opener().commit(start)


@pytest.mark.parametrize("other", ["key", "origin"])
def test_another_journals_key_or_origin(opener: Opener, path: Path, other: str) -> None:
    """A journal opens only as itself."""
    ledger = opener()
    ledger.commit(start)
    ledger.close()
    with pytest.raises(LedgerDamaged, match="not a checkpoint of this log"):
        Ledger.open(
            path,
            signer=Ed25519PrivateKey.generate() if other == "key" else SIGNER,
            origin="rencheng.example/house" if other == "origin" else ORIGIN,
            clock=now_ms,
        )


def test_files_are_the_owners_only(ledger: Ledger, tmp_path: Path) -> None:
    """Other users read exports, never the database."""
    ledger.commit(start)
    for name in ("authority.ledger", "authority.ledger-wal", "authority.ledger.lock"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_schema_is_run_at_every_start(opener: Opener, path: Path) -> None:
    """A statement that fails leaves the ledger closed and unlocked."""
    with pytest.raises(apsw.SQLError):
        Ledger.open(
            path,
            signer=SIGNER,
            origin=ORIGIN,
            clock=now_ms,
            schema=["CREATE NONSENSE"],
        )
    opener().commit(start)


# Damage


def edit(path: Path, *statements: str) -> None:
    """Change a database behind its node's back, triggers dropped."""
    db = apsw.Connection(str(path))
    for statement in statements:
        db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET data = x'00' WHERE idx = 0",
        "DELETE FROM entry WHERE idx = 1",
        "INSERT OR REPLACE INTO entry VALUES (0, x'00')",
        "INSERT INTO entry VALUES (7, x'00')",
        "UPDATE head SET note = ''",
        "DELETE FROM head WHERE size = 1",
        "INSERT OR REPLACE INTO head VALUES (1, '', x'')",
    ],
)
def test_entries_are_append_only(ledger: Ledger, statement: str) -> None:
    """Case 26: the triggers stop our own mistakes."""
    ledger.commit(start)
    ledger.commit(start)
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        ledger.commit(lambda transaction: transaction.db.execute(statement))
    assert ledger.commit(start).indices == (2,)


def grow(opener: Opener, entries: int) -> None:
    """Write a ledger of some entries, one a transaction, and close it."""
    ledger = opener()
    for _ in range(entries):
        ledger.commit(start)
    ledger.close()


def test_yesterdays_database(opener: Opener, path: Path, tmp_path: Path) -> None:
    """Case 25: a restored copy is shorter than the checkpoint outside it."""
    grow(opener, 3)
    copy = tmp_path / "copy"
    shutil.copy(path, copy)
    ledger = opener()
    for _ in range(4):
        ledger.commit(start)
    ledger.close()
    shutil.copy(copy, path)
    with pytest.raises(LedgerDamaged, match="log shorter than checkpoint 7") as refused:
        opener()
    assert refused.value.exit_code == 21
    assert path.read_bytes() == copy.read_bytes()


def test_truncated_wal(opener: Opener, tmp_path: Path) -> None:
    """Case 25: a WAL cut short takes acknowledged entries with it: refused."""
    ledger = opener()
    for _ in range(6):
        ledger.commit(start)
    deadline = time.monotonic() + 5
    anchor = tmp_path / "authority.ledger.checkpoint"
    while "\n6\n" not in anchor.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    broken = tmp_path / "broken"  # as if the machine had lost power
    broken.mkdir()
    for name in ("authority.ledger", "authority.ledger.checkpoint"):
        shutil.copy(tmp_path / name, broken)
    wal = (tmp_path / "authority.ledger-wal").read_bytes()
    (broken / "authority.ledger-wal").write_bytes(wal[: len(wal) * 2 // 3])
    with pytest.raises(LedgerDamaged, match="log shorter than checkpoint 6"):
        opener(broken / "authority.ledger")
    (broken / "authority.ledger-wal").write_bytes(wal)  # the evidence is intact
    assert opener(broken / "authority.ledger").head.size == 6


@pytest.mark.parametrize("missing", ["database", "checkpoint"])
def test_a_missing_half(
    opener: Opener, path: Path, tmp_path: Path, missing: str
) -> None:
    """Neither a database nor its checkpoint is believed without the other."""
    grow(opener, 2)
    anchor = tmp_path / "authority.ledger.checkpoint"
    if missing == "database":
        path.unlink()
        with pytest.raises(LedgerDamaged, match="log shorter than checkpoint 2"):
            opener()
        assert not path.exists()
    else:
        anchor.unlink()
        with pytest.raises(LedgerDamaged, match="is missing"):
            opener()
        assert not anchor.exists()


def test_emptied_database(opener: Opener, path: Path) -> None:
    """A database cut to nothing is not a new one."""
    grow(opener, 2)
    path.write_bytes(b"")
    with pytest.raises(LedgerDamaged, match="log shorter than checkpoint 2"):
        opener()
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["DROP TRIGGER entry_delete", "DELETE FROM entry WHERE idx = 2"], "log ends"),
        (["DROP TRIGGER head_delete", "DELETE FROM head WHERE size = 2"], "missing"),
        (["DROP TRIGGER head_delete", "DELETE FROM head WHERE size = 3"], "log ends"),
        (
            ["DROP TRIGGER head_update", "UPDATE head SET leaves = zeroblob(32)"],
            "leaf hashes are missing",
        ),
        (
            [
                "DROP TRIGGER head_update",
                "UPDATE head SET leaves = zeroblob(32) WHERE size = 2",
            ],
            "differs from its own checkpoint 3",
        ),
        (
            ["DROP TRIGGER head_update", "UPDATE head SET note = 'x'"],
            "is not a journal",
        ),
        (["PRAGMA user_version = 2"], "not a journal of version 1"),
        (["PRAGMA application_id = 2"], "not a journal of version 1"),
    ],
)
def test_edited_database(
    opener: Opener, path: Path, statements: list[str], message: str
) -> None:
    """What start reads it checks; entries themselves are the auditor's."""
    grow(opener, 3)
    edit(path, *statements)
    with pytest.raises(LedgerDamaged, match=message):
        opener()


def test_entry_cut_out_of_the_middle(opener: Opener, path: Path) -> None:
    """Start does not look at entries; whoever reads them all finds the hole."""
    grow(opener, 5)
    edit(path, "DROP TRIGGER entry_delete", "DELETE FROM entry WHERE idx = 2")
    with pytest.raises(LedgerDamaged, match="entries are missing from 0 to 5"):
        list(opener().entries(0, 5))


@pytest.mark.parametrize("content", [b"not a database, " * 300, b"\0" * 4096])
def test_other_files(opener: Opener, path: Path, content: bytes) -> None:
    """A file of another kind is refused, not overwritten."""
    path.write_bytes(content)
    with pytest.raises(LedgerDamaged, match="is not a journal"):
        opener()
    assert path.read_bytes() == content


def test_rewritten_by_its_own_key(opener: Opener, path: Path, tmp_path: Path) -> None:
    """Case 27: cut, re-signed with the real key, grown again: receipts refuse it."""
    grow(opener, 20)
    ledger = opener()
    receipt, entry = ledger.proof(19), ledger.entry(19)
    kept = receipt.verify(entry, [KEY])
    root = ledger.root(10)
    ledger.close()
    note = Checkpoint(ORIGIN, 10, root).sign(SIGNER)
    edit(
        path,
        "DROP TRIGGER entry_delete",
        "DROP TRIGGER head_delete",
        "DELETE FROM entry WHERE idx >= 10",
        "DELETE FROM head WHERE size > 10",
    )
    (tmp_path / "authority.ledger.checkpoint").write_text(note)
    forked = opener()  # nothing on this machine can tell any more
    while forked.head.size < 25:
        forked.commit(start)
    head = forked.head
    with pytest.raises(ProofInvalid):
        verify_consistency(
            kept.size, head.size, forked.consistency(20, 25), kept.root, head.root
        )


def test_another_log_of_the_same_length(opener: Opener, tmp_path: Path) -> None:
    """A database that differs from the checkpoint outside it is refused."""
    grow(opener, 3)
    other = opener(tmp_path / "other.ledger")
    for _ in range(4):
        other.commit(grant("C1", 1) if other.head.size == 1 else start)
    other.close()
    shutil.copy(tmp_path / "other.ledger", tmp_path / "authority.ledger")
    with pytest.raises(LedgerDamaged, match="log differs from checkpoint 3"):
        opener()
