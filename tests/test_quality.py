"""How good a custodian's table is: counted twice, and told to the custodian only."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import profile
from contracts.dataset import Dataset
from contracts.profile import Profile, Verdict
from node import pushes
from node.clock import now_ms
from node.domain import Role
from node.errors import RowsRefused
from node.quality import FOLDER, rate
from node.quality_page import WARNING, page
from protocols.blocks import Header
from protocols.errors import FormatError
from tests.simulator import World
from tests.test_custodian import CUSTODIAN, IDS, KIND, Ask, _ids, table

DOCUMENT = """
apiVersion: safehouse/v1
kind: Dataset
metadata: {name: social, version: 1}
spec:
  custodian: social-insurance
  unit: 社会保险经办机构
  category: 社会保险
  cycle: monthly
  tier: T1
  subject: cn-resident-id
  columns:
    - name: months
      from: 缴费月数
      integer: {min: 0, max: 500, cap: true}
      missing: {default: "0"}
    - {name: city, from: 城市, category: [任城, "<兖州>"], missing: {class: unknown}}
    - {name: arrears, from: 欠缴, flag: {one: ["yes"], zero: ["no"]}}
"""
HEADER = ("subject_id", "缴费月数", "城市", "欠缴")
Row = tuple[str, str, str, str]
COUNTS = st.lists(st.integers(0, 5000), min_size=2, max_size=12)


@pytest.fixture
def dataset() -> Dataset:
    """Read the dataset of these tests."""
    return Dataset.from_yaml(DOCUMENT, "social.yaml")


@pytest.fixture
def loaded(tmp_path: Path, dataset: Dataset) -> Iterator[World]:
    """Run a trust domain with a map of all ids, and the registered dataset."""
    with World(tmp_path / "world") as world:
        with world.custodian(CUSTODIAN) as custodian:
            register = table(tmp_path / "register.csv", ("id",), [(i,) for i in IDS])
            custodian.put_register(KIND, register, "id", now_ms())
            custodian.register(dataset)
        yield world


def people(count: int = 30) -> list[Row]:
    """Make good rows."""
    cities = ("任城", "<兖州>", "")
    return [(IDS[i], str(i), cities[i % 3], ("no", "yes")[i % 2]) for i in range(count)]


def kept(world: World) -> list[Path]:
    """List the profiles at the custodian."""
    return sorted((world.folder / CUSTODIAN / "data" / FOLDER).glob("*"))


# -- the figures


@given(COUNTS, st.data())
def test_the_index_is_its_definition(before: list[int], data: st.DataObject) -> None:
    """Summed in floats, with half a subject in empty classes, it is the same."""
    now = data.draw(
        st.lists(st.integers(0, 5000), min_size=len(before), max_size=len(before))
    )

    def shares(counts: Sequence[int]) -> list[float]:
        filled = [count or 0.5 for count in counts]
        return [each / sum(filled) for each in filled]

    wanted = 0.0
    if sum(before) and sum(now):
        both = zip(shares(before), shares(now), strict=True)
        wanted = sum((q - p) * math.log(q / p) for p, q in both)
    assert profile.psi(before, now) == pytest.approx(wanted * 1e6, abs=1)
    assert profile.psi(before, now) == profile.psi(now, before)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=300))
def test_deciles_cut_where_a_tenth_begins(values: list[int]) -> None:
    """Every cut is the value at one of nine ranks, and none is the least."""
    ordered = sorted(values)
    wanted = {ordered[len(ordered) * part // 10] for part in range(1, 10)}
    got = profile.deciles(sorted(Counter(values).items()))
    assert set(got) == wanted - {ordered[0]}
    assert list(got) == sorted(got)


def test_a_rate_is_never_rounded_up() -> None:
    """Only everybody is 100 %."""
    assert (rate(9_999, 10_000), rate(0, 5), rate(5, 5)) == (
        "99.9 %",
        "0.0 %",
        "100.0 %",
    )


# -- a table


def test_a_profile_counts_what_is_there(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """Missing and out of range over all rows, classes over those that are pushed."""
    rows = [
        *people(10),
        (IDS[10], "", "", "no"),  # two cells missing
        (IDS[11], "700", "任城", "no"),  # capped
        (IDS[12], "5", "邹城", "2"),  # two cells out of range
        (IDS[13], "5", "任城", ""),  # missing, and refused
        (IDS[14], "5", "任城", "no"),
        (IDS[14], "5", "任城", "no"),  # again
        (_ids(50)[-1], "", "任城", "no"),  # nobody of the register
    ]
    path = table(tmp_path / "t.csv", HEADER, rows)
    with loaded.custodian(CUSTODIAN) as custodian:
        quality = custodian.examine(dataset, path)
    found = quality.profile
    assert (found.rows, found.good, found.duplicates, found.unknown) == (17, 12, 2, 1)
    assert (found.register, found.version, quality.change) == (40, 0, None)
    months, city, arrears = found.columns
    assert (months.missing, months.outside, months.capped) == (2, 0, 1)
    assert (city.missing, city.outside, city.capped) == (4, 1, 0)
    assert (arrears.missing, arrears.outside, arrears.capped) == (1, 1, 0)
    assert city.counts == (5, 3, 4)
    assert arrears.counts == (7, 5)
    assert months.counts[-1] == 1  # subjects whose cell counts as 0
    assert sum(months.counts) == 12
    assert kept(loaded) == []


def test_what_changed_since_the_last_push(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """Who came, went and changed is found again by plain comparison."""
    old = people(30)
    new = [
        *((i, m, c, "yes") if i == IDS[8] else (i, m, c, a) for i, m, c, a in old[5:]),
        (IDS[33], "7", "任城", "no"),
    ]
    new = [(i, "499" if int(m) > 19 else m, c, a) for i, m, c, a in new]
    changed = [row for row, each in enumerate(new, 2) if each not in old]
    came = [len(new) + 1]
    with loaded.custodian(CUSTODIAN) as custodian:
        path = table(tmp_path / "old.csv", HEADER, old)
        first = custodian.push(dataset, path, "2026-10", now_ms())
        path = table(tmp_path / "new.csv", HEADER, new)
        looked = custodian.examine(dataset, path)
        second = custodian.push(dataset, path, "2026-11", now_ms())
    assert first.quality.change is None
    change = second.quality.change
    assert change is not None
    assert looked.change == change
    assert (change.version, change.vintage) == (1, "2026-10")
    assert change.came == tuple(came)
    assert change.changed == tuple(row for row in changed if row not in came)
    assert (change.went, change.same) == (5, 25 - len(change.changed))
    months = change.farthest
    assert (months.column, months.verdict) == ("months", Verdict.SHIFTED)
    assert sum(months.before) == 30
    assert sum(months.now) == 26
    assert second.quality.profile.version == 2


def test_a_subject_that_the_map_got_since_came(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """The slots of an older profile keep their meaning when the map grows."""
    ids = _ids(60)
    more = [(ids[i], "5", "任城", "no") for i in (45, 59)]
    with loaded.custodian(CUSTODIAN) as custodian:
        path = table(tmp_path / "old.csv", HEADER, people())
        custodian.push(dataset, path, "2026-10", now_ms())
        register = table(tmp_path / "register.csv", ("id",), [(i,) for i in ids])
        custodian.put_register(KIND, register, "id", now_ms())
        path = table(tmp_path / "new.csv", HEADER, [*people(), *more])
        change = custodian.push(dataset, path, "2026-11", now_ms()).quality.change
    assert change is not None
    assert (change.came, change.went, change.changed) == ((32, 33), 0, ())


def test_a_roster_says_who_ought_to_be_there(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """Those who are not in the register count as expected, too; twice is refused."""
    path = table(tmp_path / "t.csv", HEADER, people(10))
    names = [(i,) for i in (*IDS[5:12], _ids(50)[-1])]
    roster = table(tmp_path / "roster.csv", ("subject_id",), names)
    twice = table(tmp_path / "twice.csv", ("subject_id",), [names[0], names[0]])
    with loaded.custodian(CUSTODIAN) as custodian:
        found = custodian.examine(dataset, path, expected=roster).profile
        with pytest.raises(RowsRefused):
            custodian.examine(dataset, path, expected=twice)
    assert (found.expected, found.arrived) == (8, 5)


def test_collection_is_what_custodians_signed(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """Present of the register, and nothing before the first push."""
    path = table(tmp_path / "t.csv", HEADER, people(10))
    with loaded.custodian(CUSTODIAN) as custodian:
        (before,) = custodian.collection()
        custodian.push(dataset, path, "2026-10", now_ms())
    with loaded.custodian("housing-loans") as other:
        (after,) = other.collection()
    assert (before.vintage, before.present, before.register) == ("", 0, 40)
    assert (after.vintage, after.present, after.register) == ("2026-10", 10, 40)


# -- where it stays


def test_nothing_of_it_reaches_the_house(
    loaded: World, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent is a manifest and ciphertexts to the last byte; disks hold none."""
    sent: list[Any] = []
    ask = pushes.ask

    def watched(call: Ask, request: object, deadline_s: float) -> object:
        if isinstance(request, Iterator):
            request = list(request)
            sent.extend(request)
            request = iter(request)
        return ask(call, request, deadline_s)

    monkeypatch.setattr(pushes, "ask", watched)
    with loaded.custodian(CUSTODIAN) as custodian:
        for vintage, count in (("2026-10", 30), ("2026-11", 20)):
            sent.clear()
            path = table(tmp_path / "t.csv", HEADER, people(count))
            receipt = custodian.push(dataset, path, vintage, now_ms())
    manifest, public = receipt.manifest, loaded.domain.paillier
    header = Header(
        dataset.name,
        2,
        dataset.schema_hash,
        public.key_id,
        manifest.blocks,
        manifest.columns,
        public.ciphertext_bytes,
    )
    size = manifest.blocks * manifest.columns * public.ciphertext_bytes
    assert sent[0].manifest.payload == manifest.to_bytes()
    assert sum(len(each.chunk) for each in sent[1:]) == len(header.to_bytes()) + size
    assert all(each.WhichOneof("piece") == "chunk" for each in sent[1:])

    files = kept(loaded)
    assert [path.name for path in files] == ["social.1.profile", "social.2.profile"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    _, _, marks = files[1].read_bytes().partition(b"\n")
    for role in (Role.HOUSE, Role.AUTHORITY):
        disk = b"".join(loaded.disk(role.value).values())
        assert profile.VERSION.encode() not in disk
        assert marks[:8] not in disk


def test_the_marks_tell_nobody_without_the_seed(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """Alike subjects and empty slots have different marks."""
    rows = [(i, "5", "任城", "no") for i in IDS[:20]]
    with loaded.custodian(CUSTODIAN) as custodian:
        path = table(tmp_path / "t.csv", HEADER, rows)
        marks = custodian.examine(dataset, path).marks
    assert len(set(marks.tolist())) == len(marks)


def test_two_versions_are_kept(loaded: World, dataset: Dataset, tmp_path: Path) -> None:
    """A push repeated after a lost reply reports what it did at first."""
    with loaded.custodian(CUSTODIAN) as custodian:
        for count in (10, 11, 12):
            path = table(tmp_path / "t.csv", HEADER, people(count))
            receipt = custodian.push(dataset, path, f"v{count}", now_ms())
        names = [path.name for path in kept(loaded)]
        kept(loaded)[-1].unlink()  # it stopped between receipt and profile
        receipts = loaded.folder / CUSTODIAN / "data/receipts/push/social.3.json"
        text = receipts.read_text()
        proof = text.index('"proof":"') + 9
        receipts.write_text(text[:proof] + text[text.index('"', proof) :])
        again = custodian.push(dataset, path, "v12", now_ms())
    assert names == ["social.2.profile", "social.3.profile"]
    assert again.again
    assert again.quality.change == receipt.quality.change
    assert [path.name for path in kept(loaded)] == names


@pytest.mark.parametrize("damage", ["cut", "edit", "other"])
def test_a_damaged_profile_is_named(
    loaded: World, dataset: Dataset, tmp_path: Path, damage: str
) -> None:
    """A push is not compared with something else in silence."""
    with loaded.custodian(CUSTODIAN) as custodian:
        path = table(tmp_path / "t.csv", HEADER, people())
        custodian.push(dataset, path, "2026-10", now_ms())
        (file,) = kept(loaded)
        data = file.read_bytes()
        line, _, marks = data.partition(b"\n")
        spoilt = {
            "cut": data[:-3],
            "edit": data.replace(b'"rows":30', b'"rows":"30"'),
            "other": line.replace(b'"version":1', b'"version":7') + b"\n" + marks,
        }
        file.write_bytes(spoilt[damage])
        with pytest.raises(FormatError, match=r"social\.1\.profile"):
            custodian.examine(dataset, path)


def test_a_profile_is_read_as_it_was_written(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """Canonical and strict."""
    with loaded.custodian(CUSTODIAN) as custodian:
        path = table(tmp_path / "t.csv", HEADER, people())
        made = custodian.push(dataset, path, "2026-10", now_ms()).quality.profile
    assert Profile.parse(made.to_bytes()) == made
    with pytest.raises(FormatError):
        Profile.parse(made.to_bytes().replace(b'"good":30', b'"good":30,"odd":1'))


# -- the page


def test_the_page_is_for_the_custodian(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """It says so, draws every column, fetches nothing, and words stay words."""
    with loaded.custodian(CUSTODIAN) as custodian:
        for count in (30, 12):
            path = table(tmp_path / "t.csv", HEADER, people(count))
            quality = custodian.push(dataset, path, f"<v{count}>", now_ms()).quality
    text = page(quality)
    for said in (WARNING, "15 / 6", "30.0 %", "归集率", "&lt;兖州&gt;", "&lt;v30&gt;"):
        assert said in text, said
    for fetched in ("<script", "http:", "https:", "<link", "url(", "<兖州>", "<v30>"):
        assert fetched not in text
    assert text.count("<svg") == 1 + len(dataset.columns)
