"""A custodian: tables checked, whole blocks pushed once, receipts that prove it."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import pytest

from contracts import bodies
from contracts.cells import Cells, Version
from contracts.cells import check as check_cells
from contracts.cells import sample as sample_cells
from contracts.dataset import Dataset
from contracts.errors import DocumentInvalid
from contracts.holdings import Holdings
from contracts.lifecycle import Submission
from contracts.subject import SubjectType, canonical_id, subject_ref
from node import encryption, maps, pushes
from node.author import Author
from node.cells import open_answer, seal_answer, sign_question
from node.clock import now_ms
from node.custodian import Custodian
from node.domain import Role
from node.encryption import Encryption, write_blocks
from node.errors import (
    DocumentConflict,
    NotFound,
    Refused,
    ReplyRefused,
    RoleRefused,
    RowsRefused,
    TableInvalid,
    Unreachable,
)
from node.keys import AuditorKeys, AuthorityKeys, BankKeys, CustodianKeys
from node.registry import Registry
from node.sent import Sent
from node.transcript import find_version
from node.vault import UNNAMED
from node.verify import pins
from protocols.blocks import BlockFile, Header, Manifest, Opening
from protocols.canon import Tag, dumps
from protocols.entry import Entry, Kind
from protocols.errors import SealBroken, SignatureInvalid
from protocols.rowmap import RowMap
from protocols.sign import Signed, sign
from protocols.slots import unpack
from tests.german import FOLDER
from tests.simulator import World

Ask: TypeAlias = Callable[..., Any]

KIND = SubjectType.CN_RESIDENT_ID
CUSTODIAN = "social-insurance"
OTHER = "housing-loans"
FIRST = [  # 17 digits and their check digit
    "11010519491231002X",
    "440524188001010014",
    "370811199001010014",
]

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
    - {name: months, from: 缴费月数, integer: {min: 0, max: 500}}
    - {name: city, from: 城市, category: [任城, 兖州], missing: {class: unknown}}
    - {name: arrears, from: 欠缴, flag: {one: ["yes"], zero: ["no"]}}
"""
HEADER = ("subject_id", "缴费月数", "城市", "欠缴")


def _ids(count: int) -> list[str]:
    """Make valid resident ids."""
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    made = []
    for number in range(count):
        digits = f"37081119900101{number:03d}"
        total = sum(int(d) * w for d, w in zip(digits, weights, strict=True))
        made.append(digits + "10X98765432"[total % 11])
    return made


IDS = _ids(40)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Run a fresh trust domain."""
    with World(tmp_path / "world") as made:
        yield made


@pytest.fixture
def dataset() -> Dataset:
    """Read the dataset of these tests."""
    return Dataset.from_yaml(DOCUMENT, "social.yaml")


@pytest.fixture
def loaded(world: World, dataset: Dataset, tmp_path: Path) -> World:
    """Add a map of all ids, and the registered dataset."""
    with world.custodian(CUSTODIAN) as custodian:
        register = table(tmp_path / "register.csv", ("id",), [(i,) for i in IDS])
        custodian.put_register(KIND, register, "id", now_ms())
        custodian.register(dataset)
    return world


def table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    """Write a table."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    path.write_text(text.getvalue(), "utf-8")
    return path


def people(path: Path, count: int = 30, change: int = -1) -> Path:
    """Write a good table; one cell of row `change` is another."""
    cities = ("任城", "兖州", "")
    rows = [
        (IDS[i], str(i + (i == change)), cities[i % 3], ("no", "yes")[i % 2])
        for i in range(count)
    ]
    return table(path, HEADER, rows)


def entries(world: World, kind: Kind) -> list[Entry]:
    """List the house's journal entries of one kind."""
    ledger = world.house.ledger
    parsed = map(Entry.parse, ledger.entries(0, ledger.head.size))
    return [entry for entry in parsed if entry.kind is kind]


def decrypted(world: World, manifest: Manifest) -> np.ndarray:
    """Decrypt what the house stores: (blocks, columns, slots)."""
    path = next((world.folder / "house").rglob(f"{manifest.ciphertext_root.hex()}*"))
    file = BlockFile(path.read_bytes())
    key = world.keys("authority", AuthorityKeys).paillier
    size = -(-key.public.bits // 8)
    return np.array(
        [
            [
                unpack(
                    key.decrypt(file.ciphertext(b, c)).to_bytes(size, "little"),
                    range(world.slots),
                )
                for c in range(file.header.columns)
            ]
            for b in range(file.header.blocks)
        ]
    )


# -- the map ----------------------------------------------------------------------


def test_a_register_gives_everybody_a_slot(world: World, tmp_path: Path) -> None:
    """In the order of references, whatever the order of the file."""
    path = table(tmp_path / "r.csv", ("id",), [(i,) for i in reversed(IDS)])
    with world.custodian(CUSTODIAN) as custodian:
        receipt = custodian.put_register(KIND, path, "id", now_ms())
        numbers = custodian.fetch_map(KIND)
    pepper = world.keys(CUSTODIAN, CustodianKeys).pepper
    refs = {subject_ref(pepper, KIND, canonical_id(KIND, i)) for i in IDS}
    assert list(numbers) == sorted(refs)
    assert list(numbers.values()) == list(range(len(IDS)))
    assert (receipt.added, receipt.row_map.rows, receipt.row_map.version) == (40, 40, 1)
    assert receipt.proof is not None
    assert [e.actor for e in entries(world, Kind.DATA_DIRECTORY)] == [CUSTODIAN]


def test_another_custodian_reads_the_same_map(loaded: World) -> None:
    """Whoever holds the pepper opens it; the house only keeps it."""
    with loaded.custodian(CUSTODIAN) as one, loaded.custodian(OTHER) as other:
        assert other.fetch_map(KIND) == one.fetch_map(KIND)


def test_new_subjects_are_appended_and_nobody_moves(
    world: World, tmp_path: Path
) -> None:
    """The second register makes version 2; the third, without news, none."""
    with world.custodian(CUSTODIAN) as custodian:
        some = table(tmp_path / "a.csv", ("id",), [(i,) for i in IDS[:20]])
        custodian.put_register(KIND, some, "id", now_ms())
        before = dict(custodian.fetch_map(KIND))
        every = table(tmp_path / "b.csv", ("id",), [(i,) for i in IDS])
        receipt = custodian.put_register(KIND, every, "id", now_ms())
        after = custodian.fetch_map(KIND)
        assert (receipt.row_map.version, receipt.added) == (2, 20)
        assert {ref: after[ref] for ref in before} == before
        again = custodian.put_register(KIND, every, "id", now_ms())
    assert (again.row_map.version, again.added) == (2, 0)
    assert again.proof == receipt.proof
    assert len(entries(world, Kind.DATA_DIRECTORY)) == 2


def test_bad_ids_are_named_by_row_and_nothing_is_sent(
    world: World, tmp_path: Path
) -> None:
    """Wrong check digit, a subject twice in two spellings, an empty cell (48)."""
    wide = IDS[0].translate({ord(str(d)): ord("０") + d for d in range(10)})
    wrong = IDS[2][:-1] + ("1" if IDS[2][-1] != "1" else "2")
    path = table(
        tmp_path / "r.csv",
        ("id", "n"),
        [(IDS[0], ""), (f" {wide}", ""), (wrong, ""), ("", "")],
    )
    with world.custodian(CUSTODIAN) as custodian:
        with pytest.raises(RowsRefused) as caught:
            custodian.put_register(KIND, path, "id", now_ms())
        assert caught.value.problems == (
            "row 3, column `id`: the subject is already in row 2",
            "row 4, column `id`: the check digit is wrong",
            "row 5, column `id`: expected 17 digits and a digit or X of 公民身份号码",
        )
        assert "3 of 4 rows cannot be taken" in str(caught.value)
        assert entries(world, Kind.DATA_DIRECTORY) == []
        receipt = custodian.put_register(KIND, path, "id", now_ms(), skip_bad_rows=True)
    assert (receipt.added, len(receipt.register.problems)) == (1, 3)


def test_one_custodian_is_in_charge(loaded: World, tmp_path: Path) -> None:
    """Another one is told whose map it is."""
    path = table(tmp_path / "r.csv", ("id",), [(i,) for i in _ids(50)])
    with (
        loaded.custodian(OTHER) as other,
        pytest.raises(RoleRefused, match=f"in the charge of `{CUSTODIAN}`"),
    ):
        other.put_register(KIND, path, "id", now_ms())


def test_a_map_receipt_is_fetched_after_a_lost_reply(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The map landed, its reply did not: no second version, and the proof."""
    path = table(tmp_path / "r.csv", ("id",), [(i,) for i in IDS])
    with world.custodian(CUSTODIAN) as custodian:
        with monkeypatch.context() as patch:
            patch.setattr(maps, "ask", _losing(maps.ask))
            with pytest.raises(Unreachable):
                custodian.put_register(KIND, path, "id", now_ms())
        receipt = custodian.put_register(KIND, path, "id", now_ms())
    assert (receipt.added, receipt.row_map.version) == (0, 1)
    assert receipt.proof is not None
    assert len(entries(world, Kind.DATA_DIRECTORY)) == 1


def test_a_rewound_house_is_found_out(loaded: World, tmp_path: Path) -> None:
    """A map older than one seen here, or none at all, is refused."""
    path = table(tmp_path / "more.csv", ("id",), [(i,) for i in _ids(50)])
    with loaded.custodian(CUSTODIAN) as custodian:
        custodian.fetch_map(KIND)
        custodian.put_register(KIND, path, "id", now_ms())
        custodian.fetch_map(KIND)
    loaded.house.ledger.commit(
        lambda tx: tx.db.execute("DELETE FROM map WHERE version = 2")
    )
    with (
        loaded.custodian(CUSTODIAN) as custodian,
        pytest.raises(ReplyRefused, match="has shown another version 2"),
    ):
        custodian.fetch_map(KIND)
    loaded.house.ledger.commit(lambda tx: tx.db.execute("DELETE FROM map"))
    with loaded.custodian(CUSTODIAN) as custodian:
        with pytest.raises(NotFound):
            custodian.fetch_map(KIND)
        with pytest.raises(ReplyRefused, match="has shown version 2"):
            custodian.put_register(KIND, path, "id", now_ms())


def _map_files(world: World) -> list[Path]:
    return list((world.folder / "house").rglob("*.map"))


def test_an_edited_sealed_map_is_refused(loaded: World) -> None:
    """The house cannot put a subject into another's slot."""
    (path,) = _map_files(loaded)
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    with loaded.custodian(OTHER) as other, pytest.raises(ReplyRefused, match="sealed"):
        other.fetch_map(KIND)


def test_another_pepper_opens_no_map(loaded: World) -> None:
    """And the message says what is different."""
    held = replace(loaded.keys(OTHER, CustodianKeys), pepper=bytes(32))
    with (
        Custodian(loaded.config(OTHER), held, loaded.domain) as other,
        pytest.raises(ReplyRefused, match="does not open with our pepper"),
    ):
        other.fetch_map(KIND)


def test_a_map_signed_by_the_house_is_refused(loaded: World) -> None:
    """Only a custodian of the trust domain is in charge of a map."""
    with loaded.house.ledger.reader() as db:
        ((payload,),) = db.execute("SELECT payload FROM map").fetchall()
    key = loaded.keys("jnrcb", BankKeys).sign
    forged = sign(Tag.MAP, payload, key)
    loaded.house.ledger.commit(
        lambda tx: tx.db.execute(
            "UPDATE map SET key_id = ?, signature = ?",
            (forged.key_id, forged.signature),
        )
    )
    with (
        loaded.custodian(OTHER) as other,
        pytest.raises(ReplyRefused, match="signed by unknown key"),
    ):
        other.fetch_map(KIND)


def test_an_auditor_takes_no_map_of_another_custodian(loaded: World) -> None:
    """Not even the first of its type, which a house let through."""
    (entry,) = entries(loaded, Kind.DATA_DIRECTORY)
    body = bodies.Directory.parse(entry.body)
    theirs = replace(RowMap.parse(body.signed.payload), custodian=OTHER)
    key = loaded.keys(OTHER, CustodianKeys).sign
    signed = sign(Tag.MAP, theirs.to_bytes(), key)
    holdings = Holdings(pins(loaded.domain))
    holdings.feed(replace(entry, body=replace(body, signed=signed).to_body()))
    holdings.feed(entry)
    found = holdings.contracts.row_map(KIND.value, 1)
    assert found is not None
    assert found.custodian == CUSTODIAN


# -- datasets ---------------------------------------------------------------------


def test_a_dataset_is_registered_at_both_nodes_once(
    loaded: World, dataset: Dataset
) -> None:
    """Again is nothing; another schema under the name is refused."""
    with loaded.custodian(CUSTODIAN) as custodian:
        assert custodian.register(dataset) == dataset.schema_hash
        with pytest.raises(Refused, match="registered with another schema"):
            custodian.register(replace(dataset, unit="另一单位"))
    for node in (loaded.house, loaded.authority):
        ledger = node.ledger
        kinds = [Entry.parse(e).kind for e in ledger.entries(0, ledger.head.size)]
        assert kinds.count(Kind.DATA_REGISTER) == 1


def test_nobody_registers_anothers_dataset(loaded: World, dataset: Dataset) -> None:
    """Refused before anything is signed."""
    with loaded.custodian(OTHER) as other, pytest.raises(RoleRefused):
        other.register(dataset)


def test_validation_reports_every_cell(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """Row, column and what was expected; the value only beside the text."""
    stranger = _ids(50)[-1]
    rows = [
        (IDS[0], "12", "任城", "no"),
        (IDS[1], "501", "任城", "no"),  # out of range
        (IDS[2], "1.5", "邹城", "no"),  # not whole; unknown class
        (IDS[3], "-1", "", "2"),  # negative; a flag outside
        (IDS[4], "", "任城", "no"),  # missing is rejected
        (IDS[5], "7", "兖州", "yes"),
        (IDS[5].lower(), "8", "兖州", "yes"),  # the same subject again
        (stranger, "7", "兖州", "no"),  # not in the map
        ("370811", "7", "兖州", "no"),  # nobody
    ]
    path = table(tmp_path / "t.csv", HEADER, rows)
    with loaded.custodian(CUSTODIAN) as custodian:
        report = custodian.validate(dataset, path)
        assert [(p.row, p.column, p.value) for p in report.problems] == [
            (3, "缴费月数", "501"),
            (4, "缴费月数", "1.5"),
            (4, "城市", "邹城"),
            (5, "缴费月数", "-1"),
            (5, "欠缴", "2"),
            (6, "缴费月数", ""),
            (7, "subject_id", None),
            (8, "subject_id", IDS[5]),
            (9, "subject_id", stranger),
            (10, "subject_id", "370811"),
        ]
        assert report.problems[0].message == "expected a whole number from 0 to 500"
        assert [p.message for p in report.problems[6:8]] == [
            "the subject is again in row 8",
            "the subject is already in row 7",
        ]
        assert (report.rows, report.good, report.bad_rows) == (9, 1, 8)
        assert (report.duplicates, report.unknown, report.absent) == (2, 1, 39)
        with pytest.raises(RowsRefused) as caught:
            custodian.push(dataset, path, "2026-01", now_ms())
    for secret in ("501", "1.5", "邹城", stranger, IDS[5]):
        assert secret not in repr(
            (caught.value, caught.value.problems, caught.value.hint)
        )
        assert secret not in repr(report)
    assert entries(loaded, Kind.DATA_PUSH) == []


def test_skipping_pushes_the_good_rows_only(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """Nobody of a doubtful row is present, not even one of two duplicates."""
    rows = [
        (IDS[0], "12", "任城", "no"),
        (IDS[1], "x", "任城", "no"),
        (IDS[2], "3", "", "yes"),
        (IDS[3], "4", "兖州", "no"),
        (IDS[3], "5", "兖州", "no"),
    ]
    path = table(tmp_path / "t.csv", HEADER, rows)
    with loaded.custodian(CUSTODIAN) as custodian:
        receipt = custodian.push(dataset, path, "2026-01", now_ms(), skip_bad_rows=True)
        numbers = custodian.fetch_map(KIND)
    assert (receipt.manifest.rows, receipt.report.bad_rows) == (2, 3)
    stored = decrypted(loaded, receipt.manifest)
    flat = stored.transpose(0, 2, 1).reshape(-1, stored.shape[1])
    pepper = loaded.keys(CUSTODIAN, CustodianKeys).pepper
    place = [numbers[subject_ref(pepper, KIND, canonical_id(KIND, i))] for i in IDS]
    assert flat[place[0]].tolist() == list(
        dataset.encode(dict(zip(HEADER, rows[0], strict=True)))
    )
    assert flat[place[2]].tolist() == [3, 0, 0, 1, 1, 1]
    assert flat.sum() == flat[place[0]].sum() + flat[place[2]].sum()


def test_what_is_stored_is_what_the_document_says(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """Against a slow definition: every slot of every block, row by row."""
    path = people(tmp_path / "t.csv")
    with loaded.custodian(CUSTODIAN) as custodian:
        receipt = custodian.push(dataset, path, "2026-01", now_ms())
        numbers = custodian.fetch_map(KIND)
    blocks_, slots = -(-len(IDS) // loaded.slots), loaded.slots
    wanted = np.zeros((blocks_, len(dataset.encrypted), slots), np.int64)
    pepper = loaded.keys(CUSTODIAN, CustodianKeys).pepper
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            ref = subject_ref(pepper, KIND, canonical_id(KIND, row["subject_id"]))
            block, slot = divmod(numbers[ref], slots)
            wanted[block, :, slot] = dataset.encode(row)
    assert np.array_equal(wanted, decrypted(loaded, receipt.manifest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "none.csv"}, "cannot read"),
        ({"header": ("subject_id", "缴费月", "城市", "欠缴")}, "no column `缴费月数`"),
        ({"column": "身份证号"}, "no column `身份证号`"),
        ({"rows": []}, "no row that can be pushed"),
    ],
)
def test_a_table_that_is_none_is_refused(
    loaded: World,
    dataset: Dataset,
    tmp_path: Path,
    change: dict[str, Any],
    message: str,
) -> None:
    """Missing, with another header, or empty: nothing is stored."""
    rows = change.get("rows", [(IDS[0], "1", "任城", "no")])
    path = table(tmp_path / "t.csv", change.get("header", HEADER), rows)
    path = path.with_name(change.get("path", "t.csv"))
    column = change.get("column", "subject_id")
    with (
        loaded.custodian(CUSTODIAN) as custodian,
        pytest.raises((TableInvalid, RowsRefused), match=message),
    ):
        custodian.push(dataset, path, "2026-01", now_ms(), column=column)
    assert entries(loaded, Kind.DATA_PUSH) == []
    assert list((loaded.folder / "house").rglob("*.blocks")) == []


def test_a_vintage_is_a_word_for_people(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """An empty one is refused: nobody would know of when the data are."""
    with loaded.custodian(CUSTODIAN) as custodian, pytest.raises(DocumentInvalid):
        custodian.push(dataset, people(tmp_path / "t.csv"), "", now_ms())


def test_a_dataset_is_registered_before_it_is_pushed(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """Unknown, or with a schema that was changed meanwhile."""
    path = people(tmp_path / "t.csv")
    with loaded.custodian(CUSTODIAN) as custodian:
        with pytest.raises(NotFound, match="`other` is not registered"):
            custodian.push(replace(dataset, name="other"), path, "2026-01", now_ms())
        with pytest.raises(DocumentConflict, match="another schema"):
            custodian.push(replace(dataset, unit="x"), path, "2026-01", now_ms())


# -- receipts, and lost replies ----------------------------------------------------


def _losing(ask: Ask, *names: str) -> Ask:
    """Call, and lose the reply."""

    def lost(method: Ask, request: object, deadline_s: float) -> object:
        reply = ask(method, request, deadline_s)
        if type(reply).__name__ in (names or ("PutMapResponse", "PushResponse")):
            raise Unreachable("no answer", "")
        return reply

    return lost


def _dropping(ask: Ask) -> Ask:
    """Lose a push on its way."""

    def dropped(method: Ask, request: object, deadline_s: float) -> object:
        if isinstance(request, Iterator):
            next(request)
            raise Unreachable("no answer", "")
        return ask(method, request, deadline_s)

    return dropped


def test_a_push_is_proven_and_its_receipt_kept(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """The proof verifies against the house's pinned key, off line."""
    with loaded.custodian(CUSTODIAN) as custodian:
        receipt = custodian.push(
            dataset, people(tmp_path / "t.csv"), "2026-01", now_ms()
        )
    sent = Sent.parse(receipt.path.read_bytes())
    assert sent.proof == receipt.proof.to_text()
    verifiers = loaded.domain.verifiers(Role.HOUSE)
    receipt.proof.verify(receipt.proof.extra, verifiers)
    (entry,) = entries(loaded, Kind.DATA_PUSH)
    assert receipt.proof.extra == entry.to_bytes()
    assert entry.body["ciphertext_root"] == receipt.manifest.ciphertext_root.hex()
    assert receipt.path.parent.stat().st_mode & 0o077 == 0
    assert receipt.manifest.vintage == "2026-01"


def test_versions_count_up(loaded: World, dataset: Dataset, tmp_path: Path) -> None:
    """The same table under another version has other ciphertexts everywhere."""
    path = people(tmp_path / "t.csv")
    with loaded.custodian(CUSTODIAN) as custodian:
        one = custodian.push(dataset, path, "2026-01", now_ms()).manifest
        two = custodian.push(dataset, path, "2026-01", now_ms()).manifest
    assert (one.version, two.version) == (1, 2)
    assert not set(_records(loaded, one)) & set(_records(loaded, two))


def _records(world: World, manifest: Manifest) -> list[bytes]:
    path = next((world.folder / "house").rglob(f"{manifest.ciphertext_root.hex()}*"))
    file = BlockFile(path.read_bytes())
    return [
        bytes(file.record(b, c))
        for b in range(file.header.blocks)
        for c in range(file.header.columns)
    ]


def test_a_lost_reply_makes_no_second_version(
    loaded: World, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It landed: the same command fetches its receipt and stores nothing."""
    path = people(tmp_path / "t.csv")
    with loaded.custodian(CUSTODIAN) as custodian:
        with monkeypatch.context() as patch:
            patch.setattr(pushes, "ask", _losing(pushes.ask))
            with pytest.raises(Unreachable):
                custodian.push(dataset, path, "2026-01", now_ms())
        receipt = custodian.push(dataset, path, "2026-01", now_ms() + 5_000)
        assert (receipt.again, receipt.manifest.version) == (True, 1)
        assert receipt.proof.index == 2
        later = custodian.push(dataset, path, "2026-02", now_ms())
    assert (later.again, later.manifest.version) == (False, 2)
    assert len(entries(loaded, Kind.DATA_PUSH)) == 2


def test_another_table_after_a_lost_reply_is_another_version(
    loaded: World, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one landed and keeps its number; its receipt is fetched too."""
    with loaded.custodian(CUSTODIAN) as custodian:
        with monkeypatch.context() as patch:
            patch.setattr(pushes, "ask", _losing(pushes.ask))
            with pytest.raises(Unreachable):
                custodian.push(dataset, people(tmp_path / "a.csv"), "2026-01", now_ms())
        path = people(tmp_path / "b.csv", change=3)
        receipt = custodian.push(dataset, path, "2026-01", now_ms())
    assert (receipt.again, receipt.manifest.version) == (False, 2)
    first = receipt.path.with_name("social.1.json")
    assert Sent.parse(first.read_bytes()).proof


def test_a_push_that_never_arrived_is_sent_again_byte_for_byte(
    loaded: World, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same version, same manifest, same ciphertexts, whatever the clock says."""
    path = people(tmp_path / "t.csv")
    with loaded.custodian(CUSTODIAN) as custodian:
        with monkeypatch.context() as patch:
            patch.setattr(pushes, "ask", _dropping(pushes.ask))
            with pytest.raises(Unreachable):
                custodian.push(dataset, path, "2026-01", 1_000)
        receipt = custodian.push(dataset, path, "2026-01", 2_000)
    assert (receipt.again, receipt.manifest.version) == (False, 1)
    assert receipt.manifest.created_ms == 1_000


def test_a_corrected_table_never_uses_an_exponent_twice(
    loaded: World, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: keep the failed push, divide it by the repeated one, read the change.

    Both carry version 1.  Were the exponents drawn by version, block and column
    only, the quotient of two ciphertexts would be 1 + (m1 - m2) n.
    """
    stolen: dict[str, list[int]] = {}
    public = loaded.domain.paillier

    def spy(name: str) -> Ask:
        ask = pushes.ask

        def kept(method: Ask, request: object, deadline_s: float) -> object:
            if not isinstance(request, Iterator):
                return ask(method, request, deadline_s)
            pieces = list(request)
            file = BlockFile(b"".join(piece.chunk for piece in pieces[1:]))
            stolen[name] = [
                int(file.ciphertext(b, c))
                for b in range(file.header.blocks)
                for c in range(file.header.columns)
            ]
            raise Unreachable("no answer", "")

        return kept

    with loaded.custodian(CUSTODIAN) as custodian:
        for name, change in (("first", -1), ("corrected", 3), ("first again", -1)):
            with monkeypatch.context() as patch:
                patch.setattr(pushes, "ask", spy(name))
                path = people(tmp_path / "t.csv", change=change)
                with pytest.raises(Unreachable):
                    custodian.push(dataset, path, "2026-01", now_ms())
    assert stolen["first"] == stolen["first again"]
    for one, two in zip(stolen["first"], stolen["corrected"], strict=True):
        quotient = one * pow(two, -1, int(public.n2)) % int(public.n2)
        assert quotient % int(public.n) != 1  # else it is 1 + (m1 - m2) n


def test_a_push_by_an_old_map_is_refused_with_the_way_out(
    loaded: World, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map that was extended while a push was under way: push again."""
    with loaded.custodian(CUSTODIAN) as custodian:
        known = custodian._pushes.maps.fetch(KIND)
        more = table(tmp_path / "more.csv", ("id",), [(i,) for i in _ids(50)])
        custodian.put_register(KIND, more, "id", now_ms())
        path = people(tmp_path / "t.csv")
        with monkeypatch.context() as patch:
            patch.setattr(custodian._pushes.maps, "fetch", lambda _: known)
            with pytest.raises(Refused, match="another map") as caught:
                custodian.push(dataset, path, "2026-01", now_ms())
        assert caught.value.hint == "fetch the map and push again"
        receipt = custodian.push(dataset, path, "2026-01", now_ms())
    assert (receipt.manifest.version, receipt.manifest.directory_version) == (1, 2)


def test_a_house_that_lost_a_push_is_found_out(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """It gave a receipt of version 1 and lists none."""
    with loaded.custodian(CUSTODIAN) as custodian:
        path = people(tmp_path / "t.csv")
        custodian.push(dataset, path, "2026-01", now_ms())
        loaded.house.ledger.commit(lambda tx: tx.db.execute("DELETE FROM push"))
        with pytest.raises(ReplyRefused, match="has given a receipt of version 1"):
            custodian.push(dataset, path, "2026-01", now_ms())


def test_a_push_survives_the_death_of_the_house(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """No answer, then the same command after the restart."""
    path = people(tmp_path / "t.csv")
    with loaded.custodian(CUSTODIAN) as custodian:
        loaded.stop(Role.HOUSE)
        with pytest.raises(Unreachable):
            custodian.push(dataset, path, "2026-01", now_ms())
        loaded.start(Role.HOUSE)
    with loaded.custodian(CUSTODIAN) as custodian:
        assert custodian.push(dataset, path, "2026-01", now_ms()).manifest.version == 1


@pytest.mark.parametrize(
    "crime",
    [
        "truncated",
        "another key",
        "a byte more",
        "a swapped block",
        "no file",
        "a multiple of n",
    ],
)
def test_the_house_refuses_a_bad_file_and_keeps_nothing(
    loaded: World,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    crime: str,
) -> None:
    """One line, nothing half-stored, and the good push goes through after it."""
    public = loaded.domain.paillier

    def spoil(data: bytes) -> bytes:
        header = Header.parse(data[20 : 20 + int.from_bytes(data[16:20], "big")])
        start = len(header.to_bytes())
        size = header.block_bytes
        match crime:
            case "truncated":
                return data[:-1]
            case "another key":
                other = replace(header, key_id="00" * 16).to_bytes()
                return other + data[start:]
            case "a byte more":
                return data + b"\0"
            case "a swapped block":
                records = data[start:]
                swapped = records[size : 2 * size] + records[:size]
                return data[:start] + swapped + records[2 * size :]
            case "no file":
                return b""
            case _:
                n = int(public.n).to_bytes(public.ciphertext_bytes, "big")
                return data[:start] + n + data[start + len(n) :]

    def spoiled(signed: Signed, file: BinaryIO) -> Iterator[object]:
        pieces = list(original(signed, file))
        yield pieces[0]
        data = spoil(b"".join(piece.chunk for piece in pieces[1:]))
        if data:
            yield type(pieces[0])(chunk=data)

    original = pushes._pieces
    path = people(tmp_path / "t.csv")
    with loaded.custodian(CUSTODIAN) as custodian:
        with monkeypatch.context() as patch:
            patch.setattr(pushes, "_pieces", spoiled)
            with pytest.raises(Refused) as caught:
                custodian.push(dataset, path, "2026-01", now_ms())
        assert "\n" not in str(caught.value)
        assert [p.name for p in vault_of(loaded).iterdir() if p.suffix != ".map"] == []
        assert entries(loaded, Kind.DATA_PUSH) == []
        assert custodian.push(dataset, path, "2026-01", now_ms()).manifest.version == 1


def vault_of(world: World) -> Path:
    """Say where the house keeps files of ciphertexts and maps."""
    return world.folder / "house" / "data" / "blocks"


def test_a_push_refused_at_its_entry_leaves_no_file_behind(
    loaded: World, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is in its place before the entry: the next start removes it."""
    path, folder = people(tmp_path / "t.csv"), vault_of(loaded)
    maps_only = sorted(folder.iterdir())

    def overtaken(*_: object) -> int:
        raise DocumentConflict("expected version 2, got 1")

    with loaded.custodian(CUSTODIAN) as custodian:
        with monkeypatch.context() as patch:
            patch.setattr(Registry, "push", overtaken)
            with pytest.raises(Refused):
                custodian.push(dataset, path, "2026-01", now_ms())
        left = {p.suffix for p in folder.iterdir()} - {".map"}
        assert left >= {".blocks", UNNAMED}  # what a kill would leave, too
        loaded.stop(Role.HOUSE)
        loaded.start(Role.HOUSE)
        assert sorted(folder.iterdir()) == maps_only
        assert custodian.push(dataset, path, "2026-01", now_ms()).manifest.version == 1


def test_a_file_whose_entry_is_written_stays(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """The house may die between the entry and the end of the mark."""
    path, folder = people(tmp_path / "t.csv"), vault_of(loaded)
    with loaded.custodian(CUSTODIAN) as custodian:
        pushed = custodian.push(dataset, path, "2026-01", now_ms()).manifest
        for made in (*folder.glob("*.blocks"), *folder.glob("*.map")):
            (folder / f"{made.name}{UNNAMED}").touch()
        (folder / f"{'00' * 32}.blocks").touch()  # of nobody, and without a mark
        kept = {p.name for p in folder.iterdir() if p.suffix != UNNAMED}
        loaded.stop(Role.HOUSE)
        loaded.start(Role.HOUSE)
        assert {p.name for p in folder.iterdir()} == kept
        assert decrypted(loaded, pushed).any()
        assert len(custodian.fetch_map(KIND)) == len(IDS)


def test_a_receipt_of_another_push_is_refused(
    loaded: World, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A house that proves another entry has proven nothing."""
    path = people(tmp_path / "t.csv")
    with loaded.custodian(CUSTODIAN) as custodian:
        old: list[Any] = []
        ask = pushes.ask

        def record(method: Ask, request: object, deadline_s: float) -> object:
            reply = ask(method, request, deadline_s)
            old.append(reply)
            return old[0]

        monkeypatch.setattr(pushes, "ask", record)
        custodian.push(dataset, path, "2026-01", now_ms())
        with pytest.raises(ReplyRefused, match="the receipt is of another push"):
            custodian.push(dataset, path, "2026-02", now_ms())


def test_no_plaintext_is_left_on_any_disk(
    loaded: World, dataset: Dataset, tmp_path: Path
) -> None:
    """Cells and ids are nowhere below the parties' folders (59)."""
    rows = [(i, "437", "任城", "yes") for i in IDS]
    with loaded.custodian(CUSTODIAN) as custodian:
        path = table(tmp_path / "t.csv", HEADER, rows)
        custodian.push(dataset, path, "2026-01", now_ms())
    files = loaded.disk()
    assert len(files) > 5
    pepper = loaded.keys(CUSTODIAN, CustodianKeys).pepper
    refs = [subject_ref(pepper, KIND, canonical_id(KIND, i)) for i in IDS]
    for path, data in files.items():
        for secret in (*(i.encode() for i in IDS), *refs, "任城".encode()):
            if secret == "任城".encode() and b"safehouse/dataset/1" in data:
                continue  # the schema names its classes
            assert secret not in data, path
    own = {path.name for path in (loaded.folder / CUSTODIAN / "data").iterdir()}
    assert own == {"profiles", "receipts"}  # sums of a subject under its own seed


# -- openings ---------------------------------------------------------------------


@dataclass(frozen=True)
class Pushed:
    """A version, its export, and an auditor who asks about it."""

    world: World
    dataset: Dataset
    table: Path
    export: Path
    version: Version
    asked: Cells
    told: list[Cells] = field(default_factory=list)  # before anything is sealed

    def question(self, cells: Cells | None = None) -> bytes:
        """Sign a question as the auditor."""
        held = self.world.keys("auditor-a", AuditorKeys)
        return sign_question(cells or self.asked, held)

    def answer(self, question: bytes, path: Path | None = None) -> bytes:
        """Have the custodian answer."""
        with self.world.custodian(CUSTODIAN) as custodian:
            return custodian.open_cells(
                self.dataset, path or self.table, question, self.told.append
            )[1]

    def opened(self, answer: bytes, auditor: str = "auditor-a") -> tuple[Opening, ...]:
        """Open an answer."""
        held = self.world.keys(auditor, AuditorKeys)
        return open_answer(answer, self.asked, self.version, held, self.world.domain)

    def check(self, opened: Sequence[Opening], **blocks: bytes) -> list[str]:
        """Compute it again, from the house's blocks, with other records in one."""
        with self.world.auditor() as auditor:
            found = auditor.cell_blocks(self.asked)
        for number, records in blocks.items():
            found[int(number[1:])] = replace(found[int(number[1:])], records=records)
        public = self.world.domain.paillier
        return check_cells(public, self.version, self.asked, opened, found)


@pytest.fixture
def pushed(loaded: World, dataset: Dataset, tmp_path: Path) -> Pushed:
    """Push, let the map grow, export, and choose."""
    path = people(tmp_path / "t.csv")
    more = table(tmp_path / "more.csv", ("id",), [(i,) for i in _ids(90)])
    with loaded.custodian(CUSTODIAN) as custodian:
        custodian.push(dataset, path, "2026-01", now_ms())
        custodian.put_register(KIND, more, "id", now_ms())
    with loaded.auditor() as auditor:
        auditor.export(tmp_path / "export")
    version = find_version(tmp_path / "export", loaded.domain, "social")
    root = version.manifest.ciphertext_root
    cells = sample_cells(version.manifest, 5, "5e1f")
    asked = Cells("auditor-a", "social", 1, root, "5e1f", cells)
    return Pushed(loaded, dataset, path, tmp_path / "export", version, asked)


def test_sampled_ciphertexts_open(pushed: Pushed, tmp_path: Path) -> None:
    """From the seed and the source table, after the map has grown; for one auditor."""
    question = pushed.question()
    answer = pushed.answer(question)
    assert pushed.check(pushed.opened(answer)) == []
    other = people(tmp_path / "other.csv", change=2)
    with pytest.raises(DocumentConflict, match="is not what version 1 was made of"):
        pushed.answer(question, other)
    second = replace(pushed.asked, version=2)
    with pytest.raises(NotFound, match="version 2 of `social` was not pushed"):
        pushed.answer(pushed.question(second))
    with pytest.raises(SealBroken):
        pushed.opened(answer, "auditor-b")
    everything = sample_cells(pushed.version.manifest, 1_000, "")
    assert len(everything) == pushed.version.manifest.blocks * len(
        pushed.dataset.encrypted
    )


def test_cells_that_were_picked_are_not_opened(pushed: Pushed) -> None:
    """One block's every column is a subject's whole row: only what a seed draws."""
    row = tuple((0, column) for column in range(len(pushed.dataset.encrypted)))
    picked = replace(pushed.asked, cells=row)
    with pytest.raises(DocumentConflict, match="seed draws other ciphertexts"):
        pushed.answer(pushed.question(picked))
    assert pushed.told == []
    pushed.answer(pushed.question())
    assert pushed.told == [pushed.asked]


def test_what_a_custodian_may_not_say(pushed: Pushed) -> None:
    """Another value, fewer cells, another cell: named."""
    first, *rest = pushed.opened(pushed.answer(pushed.question()))
    place = f"block {first.block}, column {first.column}"
    limit = pushed.dataset.encrypted[first.column].limit
    values = (first.values[0] + 1, *first.values[1:])
    beyond = (limit + 1, *first.values[1:])
    told = pushed.check([replace(first, values=values), *rest])
    assert told in (
        [f"{place} does not hold what its custodian says"],
        [f"opening of {place} has a value beyond 0 to {limit}"],
    )
    assert pushed.check([replace(first, values=beyond), *rest]) == [
        f"opening of {place} has a value beyond 0 to {limit}"
    ]
    assert pushed.check(rest) == ["opened are other ciphertexts than were asked for"]


def test_ciphertexts_that_a_house_exchanged(pushed: Pushed) -> None:
    """They do not stand in what the custodian signed."""
    opened = pushed.opened(pushed.answer(pushed.question()))
    with pushed.world.auditor() as auditor:
        (number, block), *_ = auditor.cell_blocks(pushed.asked).items()
    records = block.records[::-1]
    (told,) = pushed.check(opened, **{f"b{number}": records})
    assert told.startswith(f"block {number}: ")


def test_who_may_ask_and_who_answers(pushed: Pushed) -> None:
    """Questions are auditors', answers the custodian's, to that question."""
    key = pushed.world.keys("jnrcb", BankKeys).sign
    signed = sign(Tag.CELLS, pushed.asked.to_bytes(), key)
    forged = dumps({"v": "safehouse/asked-cells/1", **signed.to_json()})
    with pytest.raises(SignatureInvalid):
        pushed.answer(forged)
    for changed, error in (
        ({"root": bytes(32)}, DocumentConflict),
        ({"dataset": "other"}, DocumentConflict),
        ({"cells": ((0, 99),)}, DocumentConflict),
        ({"cells": ((1 << 20, 0),)}, DocumentConflict),
        ({"seed": "another"}, DocumentConflict),
    ):
        cells = replace(pushed.asked, **changed)  # type: ignore[arg-type]
        with pytest.raises(error):
            pushed.answer(pushed.question(cells))
    assert pushed.told == []
    fewer = replace(
        pushed.asked, cells=sample_cells(pushed.version.manifest, 4, "5e1f")
    )
    with pytest.raises(DocumentConflict, match="another question"):
        pushed.opened(pushed.answer(pushed.question(fewer)))
    opened = list(pushed.opened(pushed.answer(pushed.question())))
    others = pushed.world.keys(OTHER, CustodianKeys)
    domain = pushed.world.domain
    theirs = seal_answer(pushed.asked, opened, OTHER, others, domain)
    with pytest.raises(RoleRefused, match=f"is not `{OTHER}`'s"):
        pushed.opened(theirs)
    with pytest.raises(SignatureInvalid):
        pushed.opened(seal_answer(pushed.asked, opened, CUSTODIAN, others, domain))
    own = pushed.world.keys(CUSTODIAN, CustodianKeys)
    second = replace(pushed.asked, auditor="auditor-b")
    with pytest.raises(RoleRefused, match="openings for `auditor-b`"):
        pushed.opened(seal_answer(second, opened, CUSTODIAN, own, domain))


# -- contracts --------------------------------------------------------------------


@pytest.fixture
def german(world: World) -> World:
    """Register the example's datasets and submit its contract."""
    for name in ("credit-bureau", "social-insurance", "housing-loans"):
        document = (FOLDER / f"datasets/{name}.yaml").read_bytes()
        with world.custodian(name) as custodian:
            custodian.register(Dataset.from_yaml(document, name))
    return world


def _submitted(world: World) -> bytes:
    author = Author(world.config("jnrcb"), world.keys("jnrcb", BankKeys), world.domain)
    with author:
        source = (FOLDER / "contract.yaml").read_text("utf-8")
        return author.submit(source, "contract.yaml").hash


def test_custodians_approve_what_they_compiled(german: World) -> None:
    """One after the other, until nobody is missing; again changes nothing."""
    contract = _submitted(german)
    missing = []
    for name in ("credit-bureau", "housing-loans", "housing-loans", "social-insurance"):
        with german.custodian(name) as custodian:
            approved = custodian.approve(contract)
            assert approved.compiled.hash == contract
            missing.append(len(approved.missing))
    assert missing == [2, 1, 1, 0]
    with german.custodian("housing-loans") as custodian:
        custodian.retire(contract)
        with pytest.raises(Refused, match="retired"):
            custodian.approve(contract)


def test_a_source_that_compiles_to_another_hash_is_not_approved(german: World) -> None:
    """A house that shows one text and asks for the hash of another."""
    contract = _submitted(german)
    source = (FOLDER / "contract.yaml").read_text("utf-8")
    key = german.keys("jnrcb", BankKeys).sign
    edited = Submission(
        "jnrcb", contract, source.replace("version: 1", "version: 2", 1)
    )
    forged = sign(Tag.CONTRACT_SUBMISSION, edited.to_bytes(), key)
    assert edited.source != source
    german.house.ledger.commit(
        lambda tx: tx.db.execute(
            "UPDATE contract SET payload = ?, signature = ?",
            (forged.payload, forged.signature),
        )
    )
    with (
        german.custodian("housing-loans") as custodian,
        pytest.raises(ReplyRefused, match="compiles to another hash here"),
    ):
        custodian.approve(contract)
    assert entries(german, Kind.CONTRACT_APPROVE) == []


def test_an_unknown_contract_is_not_found(german: World) -> None:
    """Nothing is signed by name."""
    with german.custodian("housing-loans") as custodian, pytest.raises(NotFound):
        custodian.approve(bytes(32))


# -- several processes ---------------------------------------------------------------


def _plan(world: World, workers: int, columns: int) -> Encryption:
    return Encryption(world.domain.paillier, b"s" * 32, (9,) * columns, workers)


def _header(world: World, count: int, columns: int) -> Header:
    public = world.domain.paillier
    size = public.ciphertext_bytes
    return Header("d", 1, bytes(32), public.key_id, count, columns, size)


def test_processes_make_the_bytes_that_one_makes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, with progress, and no process is left."""
    monkeypatch.setattr(encryption, "IN_PROCESS", 10)
    monkeypatch.setattr(encryption, "TASK", 12)
    count, columns = 40, 5
    rng = np.random.default_rng(7)
    values = rng.integers(0, 10, (count, columns, world.slots), np.int64)
    made = {}
    seen: list[tuple[int, int]] = []
    for workers in (1, 2):
        file = io.BytesIO()
        root = write_blocks(
            file,
            _header(world, count, columns),
            _plan(world, workers, columns),
            values,
            lambda done, total: seen.append((done, total)),
        )
        made[workers] = file.getvalue()
        assert BlockFile(file.getvalue()).ciphertext_root() == root
        assert seen == [(number + 1, count) for number in range(count)]
        seen.clear()
    assert made[1] == made[2]
    assert _children(os.getpid()) == []


def test_a_value_out_of_range_stops_the_processes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process refuses is raised here, and none is left."""
    monkeypatch.setattr(encryption, "IN_PROCESS", 1)
    values = np.full((3, 2, world.slots), 10, np.int64)
    with pytest.raises(Exception, match="expected a value of 0 to 9"):
        write_blocks(io.BytesIO(), _header(world, 3, 2), _plan(world, 2, 2), values)
    assert _children(os.getpid()) == []


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            name = (path.parent / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        # The resource tracker of multiprocessing lives as long as we do.
        if int(fields[1]) == pid and b"spawn_main" in name:
            found.append(int(path.parent.name))
    return found


PARENT = """
import io, sys
import numpy as np
from node.encryption import Encryption, write_blocks
from protocols import paillier
from protocols.blocks import Header

def blocks():
    while True:
        yield np.zeros((5, 11), np.int64)

def told(done, total):
    if done == 100:
        print("working", flush=True)

if __name__ == "__main__":
    import secrets
    public = paillier._small_key(512, secrets.token_bytes).public
    header = Header("d", 1, bytes(32), public.key_id, 10**6, 5, public.ciphertext_bytes)
    plan = Encryption(public, bytes(32), (1,) * 5, 2)
    write_blocks(io.BytesIO(), header, plan, blocks(), told)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_processes_end_with_the_one_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL to a custodian's push leaves nothing that holds its data (44)."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == "working\n"
        children = _children(parent.pid)
        assert len(children) == 2
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 10
    while any(_running(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in children if _running(pid)] == []


def _running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
