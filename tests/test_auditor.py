"""An audit end to end over real sockets: export, verify off-line, compute again."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.answered import Answered
from contracts.consent import ConsentEvent, Event
from contracts.cross_check import Unfinished
from contracts.transcript import Case, Replayed, Share, Subject, Transcripts, combine
from node import evidence
from node.auditor import Auditor
from node.clock import now_ms
from node.domain import Role, load
from node.errors import (
    ConfigInvalid,
    Denied,
    DomainInvalid,
    ExportInvalid,
    FindingsFound,
    ForkFound,
    NotFound,
    ReplyRefused,
    RoleRefused,
    Unreachable,
)
from node.export import write_export
from node.report import Report, Verdict
from node.shares import hand_over, take_over
from node.transcript import find_cases, sample
from node.verify import verify
from protocols.call import Opening, Request
from protocols.entry import Entry, Kind
from protocols.errors import FormatError, SealBroken, SignatureInvalid
from tests.audited import Audited, ask, audited, places, told
from tests.german import German
from tests.simulator import World

SEED = b"drawn after the export".ljust(32)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    """Run a town, and export it."""
    with audited(tmp_path_factory.mktemp("town")) as made:
        yield made


@pytest.fixture(scope="module")
def auditors(town: Audited) -> Iterator[tuple[Auditor, Auditor]]:
    """Open the two auditors' clients."""
    with town.world.auditor() as first, town.world.auditor("auditor-b") as second:
        yield first, second


@pytest.fixture(scope="module")
def transcripts(town: Audited) -> Transcripts:
    """Make what computes calls again."""
    return Transcripts(town.world.domain.paillier)


# Export and verify


def test_a_true_export_is_clean(town: Audited, tmp_path: Path) -> None:
    """Structure, decisions, cross-check, receipts and openings: nothing to tell."""
    evidence.write_receipts(town.kept, tmp_path / "receipts")
    openings = [*evidence.openings_of(town.kept), *town.german.openings]
    evidence.write_openings(openings, tmp_path / "openings")
    steps: list[tuple[int, int]] = []
    report = town.verify(
        town.folder,
        receipts=evidence.read_receipts(tmp_path / "receipts"),
        openings=evidence.read_openings(tmp_path / "openings"),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert report.findings == ()
    assert report.verdict is Verdict.CLEAN
    report.check()
    house, authority = town.entries(Role.HOUSE), town.entries(Role.AUTHORITY)
    assert report.entries == len(house) + len(authority)
    assert 0 < report.checkpoints <= report.entries  # some were written together
    assert (report.calls, report.permits) == (8, 6)
    assert report.denials == {"NO_CONSENT": 2}
    assert report.decisions_replayed == 8 + 6
    assert (report.unopened, report.receipts) == (0, 6)
    assert report.unfinished == Unfinished()
    assert steps[-1] == (report.entries, report.entries)
    assert report.heads["house"].size == len(house)


def test_signatures_can_be_believed(town: Audited) -> None:
    """Without them the same is counted, and nothing is found either."""
    assert town.verify(town.folder, signatures=False) == town.verify(town.folder)


def test_without_openings_nobody_is_joined(town: Audited) -> None:
    """Openings of the registrar alone leave every permit unopened."""
    report = town.verify(town.folder, openings=town.german.openings)
    assert report.verdict is Verdict.CLEAN
    assert report.unopened == 12  # 6 intents and 6 permits


def test_openings_of_two_subjects_are_told(town: Audited) -> None:
    """A request that opens to somebody else than its consent is found."""
    requests = {Request.parse(item.request.payload).subject: item for item in town.kept}
    answered = town.fresh[0]
    commitment = Request.parse(answered.request.payload).subject
    other = next(
        ref for ref in town.german.refs.values() if ref != answered.subject_ref
    )

    class Lie(Opening):
        def commitment(self) -> bytes:
            return commitment

    lies = [
        Lie(other, item.salt)
        if item is answered
        else Opening(item.subject_ref, item.salt)
        for item in requests.values()
    ]
    report = town.verify(town.folder, openings=[*lies, *town.german.openings])
    assert {finding.mark for finding in report.findings} == {"SUBJECTS_DIFFER"}
    assert {finding.journal for finding in report.findings} == {"house", "authority"}


def test_the_domain_file_goes_with_the_export(town: Audited) -> None:
    """As it is pinned, signature and all; a changed one is told."""
    path = town.folder / "domain.json"
    root = town.world.composed.root.public_key()
    with pytest.raises(DomainInvalid, match="2048"):  # small keys are for tests only
        load(path, root)
    assert json.loads(path.read_bytes())["domain"]["name"] == "rencheng"


def test_an_export_goes_on_where_it_ended(town: Audited, tmp_path: Path) -> None:
    """More calls, the same folder: it grows, and verifies as one."""
    folder = town.copy(tmp_path / "export")
    with town.german.bank() as bank:
        ask(town.german, bank, 5)
    with town.world.auditor() as auditor:
        exported = auditor.export(folder)
        size = len(town.entries(Role.HOUSE))
        assert exported.before[Role.HOUSE] == size
        assert exported.heads[Role.HOUSE].size >= size + 3
        again = auditor.export(folder)
        assert again.before[Role.HOUSE] == again.heads[Role.HOUSE].size
    report = town.verify(folder, receipts=_answered(town))
    assert report.findings == ()
    assert report.permits == 7


def test_interrupted_export_goes_on(town: Audited, tmp_path: Path) -> None:
    """The line breaks after the authority's journal: the next export completes it."""
    with town.world.auditor() as auditor:
        stub = auditor._journals[Role.HOUSE]
        read, auditor._journals[Role.HOUSE] = stub.ReadEntries, _Broken(stub)
        with pytest.raises(Unreachable):
            auditor.export(tmp_path / "x")
        assert (tmp_path / "x/authority/checkpoint").exists()
        assert town.verify(tmp_path / "x").verdict is Verdict.INVALID
        auditor._journals[Role.HOUSE] = stub
        assert read is stub.ReadEntries
        auditor.export(tmp_path / "x")
    assert town.verify(tmp_path / "x").verdict is Verdict.CLEAN


class _Broken:
    """A journal whose entries cannot be reached."""

    def __init__(self, stub: object) -> None:
        self._stub = stub

    def __getattr__(self, name: str) -> object:
        if name == "ReadEntries":
            raise Unreachable("the line broke")
        return getattr(self._stub, name)


def test_an_export_of_another_history_is_kept(town: Audited, tmp_path: Path) -> None:
    """The journal does not begin with what was exported: both notes are shown."""
    folder = town.rewrite(tmp_path / "x", Role.HOUSE, lambda entries: entries[1:])
    before = (folder / "house/checkpoint").read_bytes()
    with town.world.auditor() as auditor, pytest.raises(ForkFound) as caught:
        auditor.export(folder)
    assert len(caught.value.notes) == 2
    assert caught.value.notes[0].encode() == before
    assert (folder / "house/checkpoint").read_bytes() == before


@pytest.mark.parametrize("fork", [False, True])
def test_a_journal_that_became_shorter(
    town: Audited, tmp_path: Path, *, fork: bool
) -> None:
    """Cut, or cut and rewritten: told apart, and the export stays."""

    def grow(entries: list[Entry]) -> list[Entry]:
        return [*entries[fork:], *[entries[-1]] * 9]

    with town.world.auditor() as auditor:
        auditor.export(tmp_path / "now")
        now = replace(town, folder=tmp_path / "now")
        folder = now.rewrite(tmp_path / "x", Role.AUTHORITY, grow)
        with pytest.raises(ExportInvalid) as caught:
            auditor.export(folder)
    assert isinstance(caught.value, ForkFound) is fork
    assert ("rewritten" if fork else "cut") in str(caught.value)


def test_a_checkpoint_by_nobody_known(town: Audited, tmp_path: Path) -> None:
    """A node with another journal key than the pinned one is not exported."""
    with town.world.auditor() as auditor:
        domain = auditor._domain
        swapped = tuple(
            replace(party, journal=domain.house.journal)
            if party.role is Role.AUTHORITY
            else replace(party, journal=domain.authority.journal)
            if party.role is Role.HOUSE
            else party
            for party in domain.parties
        )
        auditor._domain = replace(domain, parties=swapped)
        with pytest.raises(ConfigInvalid, match="has changed"):
            auditor.export(tmp_path / "x")
        auditor._write_domain = lambda _: None  # type: ignore[method-assign]
        with pytest.raises(ReplyRefused, match="pinned key"):
            auditor.export(tmp_path / "x")


def test_exports_while_calls_run(tmp_path: Path) -> None:
    """Calls, withdrawals and pushes under way: no export has a false finding."""
    with World(tmp_path / "world") as world:
        german = German(world, 40)
        for subject in german.ids:
            german.grant(subject)

        def call(part: int) -> None:
            with german.bank(("jnrcb", "lsbank")[part % 2]) as bank:
                for subject in german.ids[part // 2 :: 2]:
                    with suppress(Denied):
                        bank.score("german-card", subject, consent=f"c-{subject}")
                bank.flush()

        callers = [threading.Thread(target=call, args=(part,)) for part in range(4)]
        for caller in callers:
            caller.start()
        dataset = next(iter(german.datasets.values()))
        with world.auditor() as auditor:
            for round_ in range(4):
                subject = german.ids[-1 - round_]
                event = ConsentEvent(
                    f"c-{subject}", Event.WITHDRAW, now_ms(), "", "registrar"
                )
                german.happen(event, *(("house", "authority")[:: 1 - 2 * (round_ % 2)]))
                values = german.values(dataset, german.ids)
                german.push(dataset, values, version=2 + round_)
                auditor.export(tmp_path / "export")
                report = verify(tmp_path / "export", world.domain)
                assert report.findings == ()
            for caller in callers:
                caller.join()
            auditor.export(tmp_path / "export")
        report = verify(tmp_path / "export", world.domain)
        assert (report.findings, report.unfinished) == ((), Unfinished())
        assert report.calls == 80


# What banks show


def _answered(town: Audited) -> list[Answered]:
    return [found for item in town.kept if (found := evidence.answered(item))]


def test_receipts_beyond_the_export(town: Audited, tmp_path: Path) -> None:
    """Case 27: the last entries cut off, signed anew: the bank's receipt refuses."""
    last = max(places(town.entries(Role.AUTHORITY), Kind.CALL_PERMIT))
    folder = town.rewrite(
        tmp_path / "x", Role.AUTHORITY, lambda entries: entries[:last]
    )
    report = town.verify(folder, receipts=_answered(town))
    assert ("authority", last, "BEYOND_EXPORT") in told(report.findings)
    assert ("authority", last, "UNLOGGED_RECEIPT") in told(report.findings)
    with pytest.raises(FindingsFound):
        report.check()


def test_receipts_of_another_history(town: Audited, tmp_path: Path) -> None:
    """Case 28: what a bank was shown is not what the auditor was shown."""
    first = min(places(town.entries(Role.HOUSE), Kind.CALL_INTENT))

    def leave_out(entries: list[Entry]) -> list[Entry]:
        return entries[: first - 1] + entries[first:] + entries[-1:] * 2

    folder = town.rewrite(tmp_path / "x", Role.HOUSE, leave_out)
    report = town.verify(folder, receipts=_answered(town))
    assert report.verdict is Verdict.FORKED
    assert len(report.notes) == 2
    with pytest.raises(ForkFound) as caught:
        report.check()
    assert caught.value.exit_code == 41


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ticket", "ticket for another request"),
        ("receipt", "receipt for another ticket"),
        ("permit", "another entry than the permit"),
        ("outcome", "another entry than the outcome"),
        ("request", "ticket for another request"),
    ],
)
def test_receipts_put_together_from_two(town: Audited, name: str, words: str) -> None:
    """Every part is genuine, and of another call."""
    first, other = (evidence.answered(item) for item in town.fresh[:2])
    assert first is not None
    mixed = replace(first, **{name: getattr(other, name)})
    report = town.verify(town.folder, receipts=[mixed])
    assert [finding.mark for finding in report.findings] == ["RECEIPT_INVALID"]
    assert words in report.findings[0].sentence
    assert report.receipts == 1


def test_files_of_receipts_are_strict(town: Audited, tmp_path: Path) -> None:
    """A new file, readable by its owner only; a damaged line is named."""
    path = tmp_path / "receipts"
    assert evidence.write_receipts(town.kept, path) == 6
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigInvalid, match="cannot write"):
        evidence.write_receipts(town.kept, path)
    with pytest.raises(ConfigInvalid, match="cannot read"):
        evidence.read_receipts(tmp_path / "nowhere")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b" " + lines[1])
    with pytest.raises(FormatError, match="receipts:2: not canonical"):
        evidence.read_receipts(path)
    path.write_bytes(lines[0].strip())
    with pytest.raises(FormatError, match="receipts:1: no end"):
        evidence.read_receipts(path)


# Calls computed again


def replayed(
    transcripts: Transcripts, auditors: tuple[Auditor, Auditor], case: Case
) -> Replayed:
    """Let both auditors open their shares, and compute a call again."""
    shares = [auditor.seed_share(case) for auditor in auditors]
    return transcripts.replay(case, shares, auditors[0].blocks(case))


def test_every_call_is_computed_again(
    town: Audited, auditors: tuple[Auditor, Auditor], transcripts: Transcripts
) -> None:
    """All that were released, byte for byte; the repeat has no computation."""
    calls = sample(town.folder, town.world.domain, 100, SEED)
    assert len(calls) == 5
    cases = find_cases(town.folder, town.world.domain, calls)
    assert [case.call for case in cases] == list(calls)
    for case in cases:
        assert replayed(transcripts, auditors, case) == Replayed(
            case.call, case.index, ()
        )


def test_a_sample_follows_from_its_seed(town: Audited) -> None:
    """The same seed gives the same calls, a smaller sample their beginning."""
    trust = town.world.domain
    calls = sample(town.folder, trust, 5, SEED)
    assert sample(town.folder, trust, 2, SEED) == calls[:2]
    others = {sample(town.folder, trust, 5, bytes([n])) for n in range(6)}
    assert len(others) > 1


def test_what_cannot_be_computed_again(town: Audited) -> None:
    """An unknown call, a denied one, and a repeat are told apart from findings."""
    trust = town.world.domain
    with pytest.raises(NotFound, match="no intent"):
        find_cases(town.folder, trust, [bytes(32)])
    house = town.entries(Role.HOUSE)
    denied = house[places(house, Kind.CALL_DENY)[0]].call
    with pytest.raises(NotFound, match="no intent"):
        find_cases(town.folder, trust, [bytes.fromhex(denied)])
    repeat = next(
        item for item in town.kept if item.reply and item.reply.HasField("repeat")
    )
    call = evidence.answered(repeat)
    assert call is not None
    with pytest.raises(NotFound, match="repeats an earlier"):
        find_cases(town.folder, trust, [bytes.fromhex(call.call)])


def test_the_slot_is_the_subjects(
    town: Audited, auditors: tuple[Auditor, Auditor], transcripts: Transcripts
) -> None:
    """A holder of the map and the bank open slot and request; another does not fit."""
    german = town.german
    item = town.fresh[0]
    (answered,) = (found for found in [evidence.answered(item)] if found)
    call = bytes.fromhex(answered.call)
    (case,) = find_cases(town.folder, town.world.domain, [call])
    shares = [auditor.seed_share(case) for auditor in auditors]
    blocks = auditors[0].blocks(case)
    rows = {row.subject_ref: row for row in german.rows}
    right = Subject(item.subject_ref, rows[item.subject_ref].salt, item.salt)
    assert transcripts.replay(case, shares, blocks, right).identical
    other = next(row for row in german.rows if row.subject_ref != item.subject_ref)
    wrong = Subject(other.subject_ref, other.salt, item.salt)
    differences = transcripts.replay(case, shares, blocks, wrong).differences
    assert len(differences) == len(german.datasets) + 1
    assert differences[-1] == "the request is about another subject"


def test_data_that_were_never_pushed(tmp_path: Path) -> None:
    """A dataset without a version counts as zeros, in replay and in computation."""
    with audited(tmp_path) as town:
        german = town.german
        new = [f"new-{number}" for number in range(12)]
        german.map([*german.ids, *new])  # a third block
        last = max(new, key=german.number)
        german.grant(last)
        with german.bank() as bank:
            outcome = bank.score("german-card", last, consent=f"c-{last}")
            assert outcome.kind == "insufficient_data"
        with town.world.auditor() as auditor, town.world.auditor("auditor-b") as other:
            auditor.export(town.folder)
            (case,) = find_cases(town.folder, town.world.domain, [outcome.request])
            assert {item.version for item in case.ticket.inputs} == {0}
            transcripts = Transcripts(town.world.domain.paillier)
            assert replayed(transcripts, (auditor, other), case).identical
        assert town.verify(town.folder).findings == ()


def test_newer_data_are_no_discrepancy(tmp_path: Path) -> None:
    """A push between two calls: each rests on the newest before it."""
    with audited(tmp_path) as town:
        german = town.german
        dataset = next(iter(german.datasets.values()))
        german.push(dataset, german.values(dataset, german.ids), version=2)
        with german.bank() as bank:
            (call,) = ask(german, bank, 6)
        with town.world.auditor() as auditor, town.world.auditor("auditor-b") as other:
            auditor.export(town.folder)
            calls = sample(town.folder, town.world.domain, 100, SEED)
            assert call in calls
            transcripts = Transcripts(town.world.domain.paillier)
            for case in find_cases(town.folder, town.world.domain, calls):
                assert replayed(transcripts, (auditor, other), case).identical
        assert town.verify(town.folder).findings == ()


# Shares


def test_a_share_is_handed_to_the_other_auditor_only(
    town: Audited, auditors: tuple[Auditor, Auditor], transcripts: Transcripts
) -> None:
    """Sealed to one auditor, signed by the other; then the call is computed."""
    trust = town.world.domain
    (call,) = sample(town.folder, trust, 1, SEED)
    (case,) = find_cases(town.folder, trust, [call])
    mine, theirs = (auditor.seed_share(case) for auditor in auditors)
    held, others = (auditor._keys for auditor in auditors)
    data = hand_over(theirs, others, trust.party("auditor-a"))
    share = take_over(data, held, "auditor-a", trust)
    assert combine([mine, share]) == combine([theirs, mine])
    assert transcripts.replay(case, [mine, share], auditors[0].blocks(case)).identical
    with pytest.raises(RoleRefused, match="a share for `auditor-a`"):
        take_over(data, others, "auditor-b", trust)
    with pytest.raises(SealBroken):
        take_over(data, others, "auditor-a", trust)
    for party in ("auditor-b", "jnrcb"):
        with pytest.raises(RoleRefused, match="not the other auditor"):
            hand_over(theirs, others, trust.party(party))
    forged = json.loads(data)
    forged["signature"] = "00" * 64
    with pytest.raises(SignatureInvalid):
        take_over(_canonical(forged), held, "auditor-a", trust)


def _canonical(document: dict[str, str]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ([], "expected 2 shares"),
        ([Share("a", b"c", bytes(32))], "expected 2 shares"),
        ([Share("a", b"c", bytes(32))] * 2, "of two auditors"),
        ([Share("a", b"c", bytes(32)), Share("b", b"d", bytes(32))], "of one call"),
        ([Share("a", b"c", bytes(32)), Share("b", b"c", bytes(31))], "of 32 bytes"),
    ],
)
def test_shares_that_do_not_go_together(shares: list[Share], words: str) -> None:
    """Two auditors, one call, whole shares; and none of them in a log."""
    assert "bytes" not in "".join(map(repr, shares))
    with pytest.raises(FormatError, match=words):
        combine(shares)


# Everything else


def test_an_empty_folder_is_no_export(town: Audited, tmp_path: Path) -> None:
    """Two findings, one for each journal, and no count of anything."""
    report = town.verify(tmp_path)
    assert report.verdict is Verdict.INVALID
    assert [finding.journal for finding in report.findings] == ["authority", "house"]
    assert report.entries == 0
    with pytest.raises(ExportInvalid):
        report.check()


def test_a_journal_in_the_place_of_the_other(town: Audited, tmp_path: Path) -> None:
    """The house's journal as the authority's is not signed by its key."""
    folder = town.copy(tmp_path / "x")
    (folder / "house").rename(folder / "other")
    (folder / "authority").rename(folder / "house")
    (folder / "other").rename(folder / "authority")
    assert town.verify(folder).verdict is Verdict.INVALID


def test_entries_that_cannot_be_read_are_named(town: Audited, tmp_path: Path) -> None:
    """Signed, and no entry at all: replay goes on behind it."""
    data = [entry.to_bytes() for entry in town.entries(Role.AUTHORITY)]
    data[3] = b"{}"
    folder = town.copy(tmp_path / "x")
    shutil.rmtree(folder / "authority")
    write_export(folder / "authority", town.source(Role.AUTHORITY, data))
    report = town.verify(folder)
    assert ("authority", 3, "MALFORMED") in told(report.findings)
    assert report.entries == len(data) + len(town.entries(Role.HOUSE)) - 1


def test_a_report_says_what_it_found(town: Audited, tmp_path: Path) -> None:
    """The first of the gravest, and how many more; all of them for machines."""
    report: Report = town.verify(tmp_path)
    with pytest.raises(ExportInvalid, match=r"authority: .* \(and 1 more\)"):
        report.check()
    assert report.to_json()["verdict"] == "invalid"
    assert len(report.to_json()["findings"]) == 2  # type: ignore[arg-type]
