"""Public attributes: coarse, signed, the same at both nodes, and no cell small."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import bodies
from contracts.attributes import (
    LEAST_CELL,
    Attribute,
    AttributeTable,
    Codes,
    PublicAttributes,
    check_cells,
    coarsen,
    describe,
)
from contracts.errors import DocumentInvalid, SourceError
from contracts.rebuild import Contracts, Pins
from contracts.subject import SubjectType, subject_ref
from node import attributes, tables
from node.attribute_puts import AttributesReceipt
from node.attributes import Attributes
from node.catalogue import fetch_attributes
from node.clock import now_ms
from node.domain import Role
from node.errors import (
    DocumentConflict,
    NotFound,
    Refused,
    RoleRefused,
    RowsRefused,
    VaultDamaged,
)
from node.keys import BankKeys, CustodianKeys, HouseKeys
from node.remote import channel, put_attributes
from node.wire.v1 import attributes_pb2_grpc
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from protocols.sign import sign
from protocols.where import Where
from tests.simulator import STATISTICS, World

AUTHORITY = Role.AUTHORITY
CUSTODIAN = "credit-bureau"
OTHER = "housing-loans"
TOWNS = ("安居镇", "唐口街道", "喻屯镇")
DOCUMENT = f"""
apiVersion: safehouse/v1
kind: PublicAttributes
metadata: {{name: residents, title: 居民公开属性}}
spec:
  custodian: {CUSTODIAN}
  subject: opaque
  attributes:
    - {{name: town, title: 乡镇, from: 乡镇街道, classes: [{", ".join(TOWNS)}]}}
    - {{name: trade, title: 行业, classes: [农业, 制造业], other: 其他}}
"""
IDS = [f"s-{number:03}" for number in range(60)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Run a fresh trust domain with a map of all ids."""
    with World(tmp_path / "world", bases=STATISTICS) as made:
        with made.custodian(CUSTODIAN) as custodian:
            ids = table(tmp_path / "register.csv", ("id",), [(i,) for i in IDS])
            custodian.put_register(SubjectType.OPAQUE, ids, "id", now_ms())
        yield made


def table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    """Write a table."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    path.write_text(text.getvalue(), "utf-8")
    return path


def people(path: Path, count: int = 60, trade: str = "农业") -> Path:
    """Twenty subjects a town; the first of each town have another trade."""
    rows = [(IDS[i], TOWNS[i % 3], trade if i < 30 else "制造业") for i in range(count)]
    return table(path, ("subject_id", "乡镇街道", "trade"), rows)


def put(world: World, path: Path, text: str = DOCUMENT) -> AttributesReceipt:
    """Put a table as the custodian in charge."""
    document = PublicAttributes.from_yaml(text, "attributes.yaml")
    with world.custodian(document.custodian) as custodian:
        return custodian.put_attributes(document, path, now_ms())


def journalled(world: World, role: Role) -> list[Entry]:
    """List a node's entries of attributes."""
    ledger = {Role.HOUSE: world.house, Role.AUTHORITY: world.authority}[role].ledger
    entries = map(Entry.parse, ledger.entries(0, ledger.head.size))
    return [entry for entry in entries if entry.kind is Kind.DATA_ATTRIBUTES]


def store(world: World, party: str) -> Attributes:
    """Open a node's folder of attributes."""
    return Attributes(world.folder / party / "data/attributes")


def test_both_nodes_hold_what_the_custodian_signed(
    world: World, tmp_path: Path
) -> None:
    """The house relays; either journals it; either finds the same rows."""
    receipt = put(world, people(tmp_path / "t.csv"))
    assert (receipt.table.version, receipt.moved, receipt.again) == (1, 0, False)
    (ours,), (theirs,) = (
        journalled(world, Role.HOUSE),
        journalled(world, Role.AUTHORITY),
    )
    assert ours.body == theirs.body
    where = (("town", (TOWNS[1],)), ("trade", ("农业",)))
    with world.custodian(CUSTODIAN) as custodian:
        numbers = custodian.fetch_map(SubjectType.OPAQUE)
    pepper = world.keys(CUSTODIAN, CustodianKeys).pepper
    wanted = [
        numbers[subject_ref(pepper, SubjectType.OPAQUE, IDS[i])]
        for i in range(60)
        if i % 3 == 1 and i < 30
    ]
    for party in ("house", "authority"):
        found = store(world, party).rows(receipt.table, where)
        assert found.tolist() == sorted(wanted)
    one, other = (store(world, p).codes(receipt.table) for p in ("house", "authority"))
    assert (one == other).all()


def test_everybody_may_know_the_classes_and_their_sizes(
    world: World, tmp_path: Path
) -> None:
    """A bank sees which words there are; of whom, it does not see."""
    put(world, people(tmp_path / "t.csv"))
    held = world.keys("jnrcb", BankKeys)
    link = channel(world.config("jnrcb").house, held.tls, world.domain, Role.HOUSE)
    listed = fetch_attributes(link, world.domain, "opaque", 5)
    link.close()
    assert listed.counts == (20, 20, 20, 30, 30, 0)
    assert [item.title for item in listed.table.attributes] == ["乡镇", "行业"]


def test_the_same_again_makes_no_version(world: World, tmp_path: Path) -> None:
    """After a lost reply the same command finds what it did; a change is version 2."""
    path = people(tmp_path / "t.csv")
    first, again = put(world, path), put(world, path)
    assert (again.again, again.table, again.proof.index) == (
        True,
        first.table,
        first.proof.index,
    )
    second = put(world, people(tmp_path / "u.csv", trade="制造业"))
    assert (second.again, second.table.version) == (False, 2)
    assert len(journalled(world, Role.AUTHORITY)) == 2


def test_small_cells_move_or_are_refused(world: World, tmp_path: Path) -> None:
    """One miner in a town is `其他` there, with nine more; alone he is refused."""
    rows = [
        (IDS[i], TOWNS[i % 3], "采矿业" if i < 3 else "农业" if i < 30 else "制造业")
        for i in range(60)
    ]
    path = table(tmp_path / "t.csv", ("subject_id", "乡镇街道", "trade"), rows)
    receipt = put(world, path)  # 9 peasants and 1 miner a town
    assert receipt.moved == 27
    assert store(world, "house").counts(receipt.table) == (20, 20, 20, 0, 30, 30)
    alone = DOCUMENT.replace(", other: 其他", "").replace("农业,", "农业, 采矿业,")
    with pytest.raises(DocumentInvalid, match=r"trade `.*` has [19] subject"):
        put(world, path, alone)
    assert len(journalled(world, Role.HOUSE)) == 1


def test_who_is_in_no_row_is_in_no_group(world: World, tmp_path: Path) -> None:
    """A subject without attributes is in no filter; without a filter it counts."""
    receipt = put(world, people(tmp_path / "t.csv", count=30))
    here = store(world, "house")
    towns = [len(here.rows(receipt.table, (("town", (t,)),))) for t in TOWNS]
    assert (sum(towns), len(here.rows(receipt.table, ()))) == (30, 60)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ((("city", ("x",)),), "no public attribute `city`"),
        ((("town", ("安居",)),), "attribute `town` has no class `安居`"),
    ],
)
def test_unknown_words_are_refused_by_name(
    world: World, tmp_path: Path, where: Where, said: str
) -> None:
    """Nobody gets everybody for a word that was mistyped."""
    receipt = put(world, people(tmp_path / "t.csv"))
    with pytest.raises(DocumentInvalid, match=said):
        store(world, "house").rows(receipt.table, where)


def test_bad_rows_are_told_and_nothing_is_sent(world: World, tmp_path: Path) -> None:
    """An unlisted town, an unknown subject, one twice."""
    header = ("subject_id", "乡镇街道", "trade")
    rows = [(i, TOWNS[0], "农业") for i in IDS[:40]]
    bad = [("nobody", TOWNS[0], "农业"), (IDS[41], "兖州", "农业"), rows[0]]
    path = table(tmp_path / "t.csv", header, [*rows, *bad])
    with pytest.raises(RowsRefused, match="4 of 43 rows"):
        put(world, path)
    assert journalled(world, Role.HOUSE) == []


def test_only_the_custodian_in_charge_puts(world: World, tmp_path: Path) -> None:
    """Another custodian is refused by its own client, and by the house."""
    path = people(tmp_path / "t.csv")
    document = PublicAttributes.from_yaml(DOCUMENT, "attributes.yaml")
    with world.custodian(OTHER) as custodian:
        with pytest.raises(RoleRefused, match=f"`{CUSTODIAN}`'s to put"):
            custodian.put_attributes(document, path, now_ms())
        theirs = replace(document, custodian=OTHER)
        with pytest.raises(Refused, match=f"in the charge of `{CUSTODIAN}`"):
            custodian.put_attributes(theirs, path, now_ms())


def test_neither_the_authority_nor_an_auditor_takes_others(world: World) -> None:
    """What a house lets through that another custodian signed."""
    table = AttributeTable(
        "opaque", 1, 1, 1, bytes(32), (Attribute("town", TOWNS),), bytes(32), OTHER, 0
    )
    held = world.keys(OTHER, CustodianKeys)
    signed = sign(Tag.ATTRIBUTES, table.to_bytes(), held.sign)
    house = world.keys("house", HouseKeys)
    link = channel(world.config("house").authority, house.tls, world.domain, AUTHORITY)
    stub = attributes_pb2_grpc.AttributesServiceStub(link)
    with pytest.raises(Refused, match=f"in the charge of `{CUSTODIAN}`"):
        put_attributes(stub, signed, b"\1", 5)
    link.close()
    contracts = Contracts(Pins(standing=world.domain.standing))
    with pytest.raises(DocumentInvalid, match=f"`{CUSTODIAN}`, not of `{OTHER}`"):
        contracts.attributes(bodies.Attributes("opaque", 1, signed))


def test_a_flipped_bit_puts_nobody_into_another_group(
    world: World, tmp_path: Path
) -> None:
    """A file that another wrote is refused, and an unreadable one too."""
    receipt = put(world, people(tmp_path / "t.csv"))
    here = store(world, "house")
    path = here.path(receipt.table)
    swap = "SELECT _row, ? AS town, trade FROM read_parquet(?)"
    found = tables.read_parquet(path, swap, [TOWNS[0]])
    path.unlink()
    tables.write_parquet(path, "SELECT * FROM given", [], found)
    with pytest.raises(VaultDamaged, match="not what its custodian put"):
        here.codes(receipt.table)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(VaultDamaged, match="not a Parquet file"):
        store(world, "house").codes(receipt.table)


def test_a_restart_finds_them(world: World, tmp_path: Path) -> None:
    """The description is in the ledger, the codes beside it."""
    receipt = put(world, people(tmp_path / "t.csv"))
    world.stop(Role.HOUSE)
    world.start(Role.HOUSE)
    with world.house.ledger.reader() as db:
        assert attributes.find(db, "opaque")[1] == receipt.table
        with pytest.raises(NotFound):
            attributes.find(db, "cn-uscc")


def test_the_house_checks_what_a_custodian_sends(world: World, tmp_path: Path) -> None:
    """Small cells, other codes, another map, a forged signature, a wrong version."""
    receipt = put(world, people(tmp_path / "t.csv"))
    held = world.keys(CUSTODIAN, CustodianKeys)
    link = channel(world.config(CUSTODIAN).house, held.tls, world.domain, Role.HOUSE)
    stub = attributes_pb2_grpc.AttributesServiceStub(link)

    def send(made: AttributeTable, codes: bytes, key: object = held.sign) -> None:
        put_attributes(stub, sign(Tag.ATTRIBUTES, made.to_bytes(), key), codes, 5)  # type: ignore[arg-type]

    good = replace(receipt.table, version=2)
    codes = np.array([[1] * 51 + [2] * 9, [1] * 60], np.uint8)
    small, data = describe(good, codes)
    for made, sent, said in (
        (small, data, "has 9 subjects"),
        (good, data, "not the ones that were signed"),
        (
            replace(good, version=3),
            store(world, "house").codes(good).tobytes(),
            "expected version 2",
        ),
        (
            replace(good, row_map_root=bytes(32)),
            store(world, "house").codes(good).tobytes(),
            "another map than the newest",
        ),
    ):
        with pytest.raises(Refused, match=said):
            send(made, sent)
    with pytest.raises(Refused, match="signed by unknown key"):
        send(good, b"", world.keys(OTHER, CustodianKeys).sign)
    link.close()
    assert (
        len(journalled(world, Role.HOUSE))
        == len(journalled(world, Role.AUTHORITY))
        == 1
    )


codes_of_two = st.integers(1, 60).flatmap(
    lambda rows: st.tuples(
        st.lists(st.integers(0, 3), min_size=rows, max_size=rows),
        st.lists(st.integers(1, 4), min_size=rows, max_size=rows),
    )
)


@given(codes_of_two)
def test_coarse_is_what_a_slow_count_says(columns: tuple[list[int], list[int]]) -> None:
    """After moving, every cell has enough, or the table is refused; never between."""
    towns = np.array(columns[0], np.uint8)
    trades = np.where(towns == 0, 0, np.array(columns[1], np.uint8)).astype(np.uint8)
    codes: Codes = np.array([towns, trades])
    made = AttributeTable(
        "opaque",
        1,
        codes.shape[1],
        1,
        bytes(32),
        (
            Attribute("town", ("a", "b", "c")),
            Attribute("trade", ("p", "q", "r", "其他")),
        ),
        bytes(32),
        "c",
        0,
    )
    coarse = coarsen(codes, (0, 4))
    cells = [tuple(cell) for cell in coarse.T.tolist() if cell[0]]
    few = [cell for cell in cells if cells.count(cell) < LEAST_CELL]
    if few:
        with pytest.raises(DocumentInvalid):
            check_cells(made, coarse)
    else:
        check_cells(made, coarse)
    assert (coarse[0] == codes[0]).all()
    assert set(coarse[1][coarse[1] != codes[1]].tolist()) <= {4}
    for town in (1, 2, 3):  # only where all of a town are few does anything stay small
        members = int((codes[0] == town).sum())
        assert not (members >= LEAST_CELL and any(c[0] == town for c in few))


def test_a_description_has_one_form() -> None:
    """What is signed is read back; what no custodian could have written is refused."""
    table_, _ = describe(
        AttributeTable(
            "opaque",
            1,
            10,
            1,
            bytes(32),
            (Attribute("town", ("a",), "镇"),),
            b"",
            "c",
            0,
        ),
        np.ones((1, 10), np.uint8),
    )
    assert AttributeTable.parse(table_.to_bytes()) == table_
    for wrong in (
        replace(table_, attributes=()),
        replace(table_, attributes=(Attribute("Town", ("a",)),)),
        replace(table_, attributes=(Attribute('t" FROM x', ("a",)),)),
        replace(table_, attributes=(Attribute("town", ("a", "a")),)),
        replace(table_, attributes=table_.attributes * 2),
    ):
        with pytest.raises(FormatError):
            AttributeTable.parse(wrong.to_bytes())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("other: 其他", "other: 农业", "class `农业` is there twice"),
        ("name: trade", "name: town", "attribute `town` is there twice"),
        ("from: 乡镇街道", "form: 乡镇街道", "unknown key `form`"),
    ],
)
def test_a_document_is_read_strictly(old: str, new: str, said: str) -> None:
    """The line and the word."""
    with pytest.raises(SourceError, match=said):
        PublicAttributes.from_yaml(DOCUMENT.replace(old, new), "a.yaml")


def test_versions_come_one_after_the_other(world: World, tmp_path: Path) -> None:
    """A version of another custodian is refused even where nobody knows the map."""
    receipt = put(world, people(tmp_path / "t.csv"))
    other = replace(receipt.table, version=2, custodian=OTHER)
    held = world.keys(OTHER, CustodianKeys)
    signed = sign(Tag.ATTRIBUTES, other.to_bytes(), held.sign)
    with pytest.raises(DocumentConflict, match="in the charge of"):
        world.authority.ledger.commit(lambda tx: attributes.put(tx, signed))
