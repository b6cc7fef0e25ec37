"""A job from its list to its outcomes, over real sockets (PROTOCOL 4)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contracts import job_bodies
from contracts.consent import ConsentEvent, Event, Frequency
from contracts.decide import Reason
from contracts.replay import Role
from node import clock, job_run
from node.errors import Denied, NotFound, Refused, RowsRefused
from node.job_store import State
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import SignatureInvalid
from protocols.job import JobCancel
from tests.crowds import Crowd, crowded, published, told

SUBJECTS = 420  # 39 blocks of 11


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Run a town."""
    with crowded(tmp_path_factory.mktemp("jobs"), SUBJECTS) as made:
        yield made


def test_every_outcome_is_the_published_one(crowd: Crowd) -> None:
    """Those who consent are scored or vetoed as the card says, all others denied."""
    people, strangers = crowd.people(60), crowd.strangers(30)
    ids = [*strangers[10:], *people, *strangers[:10]]
    job, outcomes = crowd.run(ids)
    assert list(outcomes) == ids  # in the bank's own order
    for subject in people:
        assert told(outcomes[subject]) == published(subject)
    assert {told(outcomes[s]) for s in strangers} == {("denied", "NO_CONSENT", "")}
    assert crowd.uses(people) == [1] * 60
    house, authority = (crowd.kinds(role, job) for role in (Role.HOUSE, Role.AUTHORITY))
    assert house["job.intent"] == house["job.outcome"] > 3
    assert house["job.result"] == house["job.outcome"]
    assert authority["job.decrypt"] == authority["job.done"] == house["job.intent"]
    assert crowd.replayed()[0] == []


def test_a_job_says_what_single_calls_say(crowd: Crowd) -> None:
    """The same codes for the same inputs, in words and in fen."""
    ids = crowd.people(20)
    _, outcomes = crowd.run(ids)
    with crowd.german.bank("lsbank") as bank:  # with a budget of its own
        for subject in ids:
            single = bank.score("german-card", subject, consent=f"c-{subject}")
            outcome = outcomes[subject]
            assert (single.kind, single.fields) == (outcome.kind, outcome.fields)
            assert single.reason == outcome.reason
        assert bank.flush() == 0
    assert crowd.replayed()[0] == []


def test_each_subject_is_refused_for_its_own_reason(crowd: Crowd) -> None:
    """Consent is checked and counted one by one; reasons are exact in the journal."""
    german, now_ms = crowd.german, clock.now_ms()
    names = iter(crowd.strangers(11))
    wanted: dict[str, str] = {}

    def grant(reason: str, **changes: object) -> str:
        subject = next(names)
        german.grant(subject, **changes)
        wanted[subject] = reason
        return subject

    used = grant("USED_UP", max_uses=1)
    often = grant("FREQUENCY", frequency=Frequency(1, 1))
    grant("NO_CONSENT", grantees=("lsbank",))
    grant("NO_CONSENT", grantees=("class:rural",))
    grant("EXPIRED", not_after_ms=now_ms - 1)
    grant("NOT_YET_VALID", not_before_ms=now_ms + 60_000)
    grant("PURPOSE_MISMATCH", purposes=("review",))
    grant("SCOPE_TOO_SMALL", scope=("contract:another",))
    grant("", max_uses=1)
    gone, off = grant("WITHDRAWN"), grant("SUSPENDED")
    for subject, event in ((gone, Event.WITHDRAW), (off, Event.SUSPEND)):
        german.happen(ConsentEvent(f"c-{subject}", event, now_ms, "", "registrar"))
    with german.bank() as bank:
        for subject in (used, often):
            bank.score("german-card", subject, consent=f"c-{subject}")
        bank.flush()
    with crowd.bank() as bank:
        (nameless,) = crowd.people(1)
        pairs = [*crowd.pairs(wanted), ("nobody-at-all", "c-x"), (nameless, "")]
        job = bank.submit("german-card", pairs)
        outcomes = crowd.outcomes(bank, job)
        assert crowd.end(bank, job).denied == len(pairs) - 1
    wanted |= {"nobody-at-all": "NO_CONSENT", nameless: "NO_CONSENT"}
    for subject, reason in wanted.items():
        outcome = outcomes[subject]
        told_reason, _, detail = outcome.reason.partition(": ")
        assert (told_reason if outcome.kind == "denied" else "") == reason, subject
        assert bool(detail) == (reason == "SCOPE_TOO_SMALL")
    assert crowd.uses([used, often]) == [1, 1]
    assert crowd.replayed()[0] == []


def test_bits_are_spent_by_jobs_and_calls_alike(crowd: Crowd) -> None:
    """A job's answers count against the same budget: the last is denied for it."""
    (subject,) = crowd.people(1)
    reasons = []
    for _ in range(4):
        _, outcomes = crowd.run([subject])
        reasons.append(outcomes[subject].reason)
    compiled = crowd.german.contract
    calls = compiled.limit_millibits // compiled.millibits
    vetoed = published(subject)[1]
    assert reasons == [vetoed] * calls + ["BITS_SPENT"] * (4 - calls)
    assert crowd.uses([subject]) == [calls]
    with crowd.german.bank() as bank, pytest.raises(Denied) as caught:
        bank.score("german-card", subject, consent=f"c-{subject}")
    assert caught.value.reason == "BITS_SPENT"
    assert crowd.replayed()[0] == []


def test_the_same_job_again_is_found(crowd: Crowd) -> None:
    """Sent twice, run once; the receipt is the same entry."""
    ids = crowd.people(4)
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(ids))
        bank.send(job)
        crowd.outcomes(bank, job)
        bank.send(job)
        assert bank.unsent() == []
    assert crowd.uses(ids) == [1] * 4
    assert crowd.kinds(Role.HOUSE, job)["job.submit"] == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iat_ms": clock.now_ms() - 301_000}, "CLOCK_SKEW"),
        ({"contract": bytes(32)}, "CONTRACT_UNKNOWN"),
        ({"purpose": "review"}, "PURPOSE_MISMATCH"),
    ],
)
def test_a_job_that_must_not_be_is_refused(
    crowd: Crowd, changes: dict[str, object], reason: str
) -> None:
    """As a whole, signed and journalled, before its list is looked at."""
    with crowd.bank() as bank:
        made = crowd.made(bank, crowd.german.ids[:5], **changes)
        with pytest.raises(Denied) as caught:
            made.send(bank)
    assert caught.value.reason == reason
    assert crowd.kinds(Role.HOUSE, made.name) == {"job.refuse": 1}
    assert crowd.kinds(Role.AUTHORITY, made.name) == {}
    assert crowd.replayed()[0] == []


def test_one_jti_is_one_job(crowd: Crowd) -> None:
    """Other bytes under the jti of a job are refused; the job stands."""
    ids = crowd.people(3)
    with crowd.bank() as bank:
        first = crowd.made(bank, ids[:2])
        first.send(bank)
        other = crowd.made(bank, ids, jti=first.job.jti)
        with pytest.raises(Denied) as caught:
            other.send(bank)
        assert caught.value.reason == "REPLAY_MISMATCH"
        assert crowd.end(bank, first.name).state is State.FINISHED
    assert crowd.replayed()[0] == []


def test_a_forged_job_is_refused(crowd: Crowd) -> None:
    """The signature of another bank over this bank's channel: refused, journalled."""
    with crowd.bank() as bank:
        made = crowd.made(bank, crowd.german.ids[:2], signer="lsbank")
        with pytest.raises(Denied) as caught:
            made.send(bank)
    assert caught.value.reason == "SIGNATURE_INVALID"
    assert crowd.replayed()[0] == []


@pytest.mark.parametrize(
    ("change", "crime"),
    [
        ({"root": bytes(32)}, "signed root"),
        ({"entries": 2}, "expected 2 entries"),
        ({"entries": 4}, "expected 4 entries"),
        ({"bank": "lsbank"}, "not of the caller"),
    ],
)
def test_another_list_than_was_signed_is_refused(
    crowd: Crowd, change: dict[str, object], crime: str
) -> None:
    """Root, length and caller: nothing is kept."""
    with crowd.bank() as bank:
        made = crowd.made(bank, crowd.german.ids[:3], **change)
        with pytest.raises(Refused, match=crime):
            made.send(bank)
        with pytest.raises(NotFound, match="no such job"):
            list(bank.watch(made.name, 0.0))
    assert crowd.kinds(Role.HOUSE, made.name) == {}


def test_a_list_names_nobody_twice(crowd: Crowd) -> None:
    """The SDK refuses with the rows; the house refuses who does not ask the SDK."""
    subject = crowd.german.ids[0]
    with crowd.bank() as bank:
        with pytest.raises(RowsRefused, match=r"row 2.*already in row 1"):
            bank.submit("german-card", [(subject, "c-1"), (f" {subject}", "c-2")])
        with pytest.raises(RowsRefused, match="row 1"):
            bank.submit("german-card", [("two words", "c-1")])
        with pytest.raises(RowsRefused, match="nobody"):
            bank.submit("german-card", [])
        made = crowd.made(bank, crowd.german.ids[:3])
        made.entries.refs[:32] = made.entries.refs[32:64]
        with pytest.raises(Refused, match="ascending order"):
            made.send(bank)


def test_files_are_lists(crowd: Crowd, tmp_path: Path) -> None:
    """CSV and Parquet in, CSV and Parquet out, in the bank's own rows."""
    ids = crowd.people(4)
    table = tmp_path / "people.csv"
    rows = "\n".join(f"{name},{subject}" for subject, name in crowd.pairs(ids))
    table.write_text(f"consent_id,subject_id\n{rows}\n")
    with crowd.bank() as bank:
        job = bank.submit_file("german-card", table)
        bank.fetch(job)
        results = bank.results(job)
        for suffix in (".csv", ".parquet"):
            results.write(tmp_path / f"out{suffix}")
    with crowd.bank("lsbank") as bank:
        again = bank.submit_file("german-card", tmp_path / "out.parquet")
        bank.fetch(again)
        assert bank.results(again).counts() == results.counts()
    text = (tmp_path / "out.csv").read_text().splitlines()
    assert text[0] == "subject_id,consent_id,kind,reason,grade,limit"
    assert [line.split(",")[0] for line in text[1:]] == ids
    read = results.table()
    assert read.column_names == text[0].split(",")
    assert read.column("grade").to_pylist() == [published(s)[2] or None for s in ids]


@pytest.mark.parametrize("kind", ["pandas", "arrow", "numpy"])
def test_frames_are_lists(crowd: Crowd, kind: str) -> None:
    """A bank's own programs hand in a frame and get one back, in its order."""
    ids = crowd.people(3)
    subjects, consents = zip(*crowd.pairs(ids), strict=True)
    columns = {"subject_id": np.array(subjects), "consent_id": np.array(consents)}
    frame = {
        "pandas": lambda: pd.DataFrame(columns),
        "arrow": lambda: pa.table(columns),
        "numpy": lambda: columns,
    }[kind]()
    with crowd.bank() as bank:
        job = bank.submit_frame("german-card", frame)
        bank.fetch(job)
        told = bank.results(job).frame()
    assert told["subject_id"].tolist() == ids
    assert told["grade"].fillna("").tolist() == [published(s)[2] for s in ids]


def test_numbers_are_not_taken_for_identifiers(crowd: Crowd) -> None:
    """A column that was read as numbers has lost its zeros; nothing is sent."""
    frame = {"subject_id": np.array([1, 2]), "consent_id": ["c-1", "c-2"]}
    with crowd.bank() as bank, pytest.raises(RowsRefused, match="2 of 2 cells"):
        bank.submit_frame("german-card", frame)


def test_a_bank_sees_its_own_jobs(crowd: Crowd) -> None:
    """Watch, fetch, cancel and list: another bank's job is no job."""
    with crowd.bank() as bank, crowd.bank("lsbank") as other:
        job = bank.submit("german-card", crowd.pairs(crowd.people(3)))
        crowd.end(bank, job)
        assert job in {item.job for item in bank.list()}
        assert job not in {item.job for item in other.list()}
        for ask in (
            lambda: list(other.watch(job, 0.0)),
            lambda: list(other._releases_from(job, 0, follow=False)),
            lambda: other.cancel(job),
        ):
            with pytest.raises(NotFound, match="no such job"):
                ask()


def test_a_cancelled_job_ends_early(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is under way is finished and released; nothing more is begun."""
    with crowd.bank() as bank:
        cancelled: list[bytes] = []
        depart = job_run.Run._depart

        def departing(run: job_run.Run, group: job_run.Group) -> object:
            if not cancelled:
                cancelled.append(run.name)
                bank.cancel(run.name)
                bank.cancel(run.name)  # once is enough
            return depart(run, group)

        monkeypatch.setattr(job_run.Run, "_depart", departing)
        monkeypatch.setattr(job_run, "COURIERS", 1)
        job = bank.submit("german-card", crowd.pairs(crowd.people(60)))
        end = crowd.end(bank, job)
        assert end.state is State.CANCELLED
        assert 0 < end.released < end.permitted
        outcomes = crowd.outcomes(bank, job)
        kinds = {outcome.kind for outcome in outcomes.values()}
        assert "open" in kinds
        assert kinds & {"scored", "vetoed"}
        assert bank.cancel(job).state is State.CANCELLED  # it stays as it was
        payload, party = JobCancel(job, "jnrcb").to_bytes(), "lsbank"
        forged = crowd.german.sign(party, Tag.JOB_CANCEL, payload)
        with pytest.raises(SignatureInvalid):
            crowd.jobs.cancel(crowd.world.domain.party("jnrcb"), forged)
    assert crowd.kinds(Role.HOUSE, job)["job.cancel"] == 1
    assert crowd.replayed()[0] == []


def test_what_was_withdrawn_is_not_decrypted(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Withdrawn between permit and decryption: left out, named, the rest released."""
    ids = crowd.people(11)
    gone, off = ids[3], ids[4]
    evaluate = type(crowd.authority).evaluate
    now_ms = clock.now_ms()

    def late(desk: object, message: object) -> object:
        for subject, event in ((gone, Event.WITHDRAW), (off, Event.SUSPEND)):
            name = f"c-{subject}"
            with crowd.german.authority.ledger.reader() as db:
                status = db.execute("SELECT status FROM consent WHERE id = ?", (name,))
                active = status.get == "active"
            if active:
                crowd.german.happen(ConsentEvent(name, event, now_ms, "", "registrar"))
        return evaluate(desk, message)

    monkeypatch.setattr(type(crowd.authority), "evaluate", late)
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(ids))
        outcomes = crowd.outcomes(bank, job)
        end = crowd.end(bank, job)
    assert (end.withdrawn, end.released, end.permitted) == (2, 9, 11)
    for subject in ids:
        if subject in (gone, off):
            assert told(outcomes[subject]) == ("withdrawn", "", "")
        else:
            assert told(outcomes[subject]) == published(subject)
    dropped = [
        item
        for entry in crowd.entries(Role.AUTHORITY)
        if entry.kind is Kind.JOB_DECRYPT and entry.call == job.hex()
        for item in job_bodies.Decrypt.parse(entry.body).dropped
    ]
    assert {item.reason for item in dropped} == {Reason.WITHDRAWN, Reason.SUSPENDED}
    assert crowd.replayed()[0] == []


def test_a_list_is_erased_with_its_job(crowd: Crowd) -> None:
    """References lie sealed while a job runs, and nowhere afterwards."""
    job, _ = crowd.run(crowd.people(3))
    folder = crowd.world.folder / "house" / "data" / "jobs"
    assert list(folder.iterdir()) == []
    with crowd.german.house.ledger.reader() as db:
        ((secret,),) = db.execute("SELECT secret FROM job WHERE id = ?", (job,))
        shares = db.execute(
            "SELECT count(*) FROM seed_share WHERE request = ?", (job,)
        ).get
    assert (secret, shares) == (None, 2)


def test_releases_prove_what_the_journals_say(crowd: Crowd) -> None:
    """A bank's evidence reads again from its own file, without the nodes."""
    ids = crowd.people(6)
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(ids))
        bank.fetch(job)
        first = bank.results(job)
        codes = np.array(first._codes)
    with crowd.bank() as bank:
        assert (bank.results(job)._codes == codes).all()
        assert bank.fetch(job, follow=False) == len(ids)
        assert bank.find(job.hex()[:8]) == job
