"""Private set intersection: against plain sets; documents and pieces, strictly."""

import json
import secrets
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import psi, psi_call, ristretto
from protocols.call import Permit
from protocols.canon import dumps
from protocols.errors import FormatError, PointInvalid, ProtocolError
from protocols.psi import PIECE, Source
from protocols.psi_call import (
    ListManifest,
    PsiCount,
    PsiReceipt,
    PsiRequest,
    PsiResult,
    PsiReturn,
    PsiTicket,
)
from protocols.ristretto import multiply_all

SOURCE = Source("subsidy", 3)
ONE = bytes([1]) * 32
REQUEST = PsiRequest(ONE, ONE, "pre-approval", ONE[:16], 5, "jnrcb", 7, ONE)
MANIFEST = ListManifest(
    list="subsidy",
    version=1,
    schema=ONE,
    custodian="court",
    vintage="2026-01",
    rows=3,
    entries=ONE,
    markers=ONE,
    key=ONE,
    box=ONE,
    consents=b"",
    created_ms=9,
)
RECEIPT = PsiReceipt(ONE, ONE, ((0, 1), (4, 2)), Permit(3, 4, ONE))
DOCUMENTS = (
    REQUEST,
    MANIFEST,
    replace(MANIFEST, consents=ONE),
    PsiTicket(ONE, ONE, ONE, ONE, 8),
    RECEIPT,
    PsiReturn(ONE, 9, ONE),
    PsiCount(ONE, ONE, ONE, ONE),
    PsiResult(ONE, ONE),
)


def fresh() -> bytes:
    """Draw a scalar."""
    return ristretto.scalar(secrets.token_bytes(64))


def ref(number: int) -> bytes:
    """Name a subject."""
    return number.to_bytes(32, "big")


@settings(max_examples=25)
@given(
    listed=st.sets(st.integers(0, 30), min_size=1),
    customers=st.lists(st.integers(0, 30), min_size=1, unique=True),
)
def test_the_bank_reads_the_intersection(
    listed: set[int], customers: list[int]
) -> None:
    """Whatever the sets: the same as set arithmetic, in the bank's own numbering."""
    s, b, t = fresh(), fresh(), fresh()
    registered = ristretto.ascending(multiply_all(s, SOURCE.points(map(ref, listed))))
    asked = psi.blind(SOURCE.points(map(ref, customers)), b)
    replies = multiply_all(t, multiply_all(s, asked.points))
    served = ristretto.ascending(multiply_all(t, registered))
    expected = [i for i, number in enumerate(customers) if number in listed]
    assert expected == psi.intersect(asked, replies, served)


@settings(max_examples=25)
@given(
    listed=st.sets(st.integers(0, 12), min_size=1),
    customers=st.sets(st.integers(0, 12), min_size=1),
    data=st.data(),
)
def test_the_bank_reads_a_count(
    listed: set[int], customers: set[int], data: st.DataObject
) -> None:
    """The authority's number less the bank's own markers is the true one."""
    s, b, t = fresh(), fresh(), fresh()
    m = len(listed)
    d = data.draw(st.integers(0, m))
    x = multiply_all(s, SOURCE.points(map(ref, listed)) + SOURCE.markers(0, m))
    padding = SOURCE.points(secrets.token_bytes(32) for _ in range(m - d))
    mine = SOURCE.points(map(ref, customers)) + SOURCE.markers(0, d) + padding
    asked = psi.blind(mine, b)
    assert len(asked.points) == 32 * (len(customers) + m)  # whatever d is
    served = ristretto.ascending(multiply_all(t, x))
    u = set(ristretto.each(multiply_all(t, multiply_all(s, asked.points))))
    v = set(ristretto.each(multiply_all(b, served)))
    assert len(listed & customers) == len(u & v) - d


def test_a_subject_twice() -> None:
    """Two rows of one customer are one point: refused, not counted twice."""
    with pytest.raises(PointInvalid, match="none twice"):
        psi.blind(SOURCE.points([ONE, ONE]), fresh())


def test_nothing_is_shared_between_lists() -> None:
    """Name, version and kind of a point are in its hash."""
    point = SOURCE.points([ONE])
    for other in (Source("subsidy", 4), Source("Subsidy", 3), Source("subsid", 3)):
        assert other.points([ONE]) != point
    assert SOURCE.markers(0, 1) != SOURCE.points([bytes(8)])
    assert SOURCE.markers(0, 3)[64:] == SOURCE.markers(2, 3)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: type(d).__name__)
def test_documents(document: psi_call._Document) -> None:
    """What is written is read; no member more or less; each hash its own."""
    data = document.to_bytes()
    assert type(document).parse(data) == document
    assert sum(other.hash == document.hash for other in DOCUMENTS) == 1
    reader = type(document)
    members = json.loads(data)
    for name in members:
        rest = {key: value for key, value in members.items() if key != name}
        with pytest.raises(FormatError):
            reader.parse(dumps(rest))
    with pytest.raises(FormatError, match="unknown member `score`"):
        reader.parse(dumps({**members, "score": 1}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": True},
        {"jti": "00" * 32},
        {"root": ""},
        {"contract": "AB" * 32},
    ],
)
def test_members_of_another_type(wrong: dict[str, object]) -> None:
    """A jti of 32 bytes, no root, a bool: each is refused."""
    members = json.loads(REQUEST.to_bytes())
    with pytest.raises(FormatError):
        PsiRequest.parse(dumps({**members, **wrong}))


@pytest.mark.parametrize("runs", [[[0]], [[0, True]], [["0", 1]], [0], [[-1, 2]]])
def test_runs_of_another_shape(runs: list[object]) -> None:
    """Runs are pairs of integers."""
    members = json.loads(RECEIPT.to_bytes())
    with pytest.raises(FormatError, match="runs of two integers"):
        PsiReceipt.parse(dumps({**members, "dropped": runs}))


@settings(max_examples=50)
@given(numbers=st.sets(st.integers(0, 40)), rows=st.integers(1, 40))
def test_runs(numbers: set[int], rows: int) -> None:
    """Runs say the same as the numbers; what lies beyond the rows is refused."""
    runs = psi.runs_of(sorted(numbers))
    if max(numbers, default=0) >= rows:
        with pytest.raises(FormatError, match="no run"):
            psi.check_runs(runs, rows)
        return
    assert psi.check_runs(runs, rows) == len(numbers)
    points = b"".join(map(ref, range(rows)))
    left = [number for number in range(rows) if number not in numbers]
    assert psi.without(points, runs) == b"".join(map(ref, left))


@pytest.mark.parametrize(
    "runs", [((3, 0),), ((3, 2), (4, 1)), ((3, 1), (4, 1)), ((9, 2),)]
)
def test_runs_that_are_none(runs: psi.Runs) -> None:
    """Empty, overlapping, touching, too long: one set of numbers has one form."""
    with pytest.raises(FormatError, match="no run"):
        psi.check_runs(runs, 10)


def test_pieces() -> None:
    """Whole pieces but for the last; a root over them."""
    total = PIECE + 3
    points = ristretto.ascending(
        multiply_all(fresh(), SOURCE.points(map(ref, range(total))))
    )
    cut = list(psi.pieces(points))
    assert [len(piece) // 32 for piece in cut] == [PIECE, 3]
    assert psi.piece_count(total) == len(cut) == 2
    for number, piece in enumerate(cut):
        assert psi.check_piece(total, number, piece) == piece
    assert psi.root(cut) != psi.root([points])
    for number, wrong, why in (
        (0, cut[1], "to have 4096 points"),
        (1, cut[1] + cut[1][:32], "to have 3 points"),
        (2, b"", "pieces 0 to 1"),
        (-1, cut[1], "pieces 0 to 1"),
    ):
        with pytest.raises(FormatError, match=why):
            psi.check_piece(total, number, wrong)
    with pytest.raises(PointInvalid, match=f"point {PIECE + 1} is the identity"):
        psi.check_piece(total, 1, cut[1][:32] + bytes(32) + cut[1][64:])
    with pytest.raises(PointInvalid, match="ascending"):
        psi.check_piece(total, 1, cut[1][32:] + cut[1][:32])


def test_a_house_scalar_follows_from_the_seed() -> None:
    """So an auditor with the seed makes the served list again."""
    assert psi.house_scalar(ONE) == psi.house_scalar(ONE)
    assert psi.house_scalar(ONE) != psi.house_scalar(bytes(32))


def test_salts_hide_what_is_committed_to() -> None:
    """A count, or who was found, under two salts is two digests."""
    assert psi_call.counted_digest(ONE, 5) != psi_call.counted_digest(bytes(32), 5)
    one = psi_call.result_digest(ONE, 2, [ref(1), ref(2)])
    assert one == psi_call.result_digest(ONE, 2, [ref(2), ref(1)])
    assert one != psi_call.result_digest(bytes(32), 2, [ref(1), ref(2)])
    assert one != psi_call.result_digest(ONE, 2, [])


# -- the box of a list

AUTHORITY = X25519PrivateKey.from_private_bytes(bytes(32))


def boxed(consents: list[str], **changes: object) -> tuple[ListManifest, bytes, bytes]:
    """Seal a list of so many entries."""
    s = fresh()
    box = psi_call.seal_list(AUTHORITY.public_key(), SOURCE, s, consents)
    manifest = replace(
        MANIFEST,
        list=SOURCE.list,
        version=SOURCE.version,
        key=ristretto.base(s),
        box=psi_call.box_digest(box),
        consents=psi_call.consents_root(consents) if consents else b"",
        rows=len(consents) or 5,
        **changes,
    )
    return manifest, box, s


@pytest.mark.parametrize("consents", [[], ["c-1", "授权-2", "c-3"]])
def test_a_box_opens_at_the_authority(consents: list[str]) -> None:
    """Scalar and consents, as the custodian signed them."""
    manifest, box, s = boxed(consents)
    secret = psi_call.unseal_list(AUTHORITY, manifest, box)
    assert (secret.scalar, list(secret.consents)) == (s, consents)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"key": ristretto.base(fresh())}, "scalar is not the one"),
        ({"consents": b""}, "consents are not the ones"),
        ({"consents": ONE}, "consents are not the ones"),
        ({"rows": 4}, "consents are not the ones"),
        ({"box": ONE}, "box is not the one"),
        ({"version": 4}, "does not open"),
    ],
)
def test_a_box_of_another_list(change: dict[str, object], told: str) -> None:
    """Everything in it is bound by what was signed, and it by its place."""
    manifest, box, _ = boxed(["c-1", "c-2", "c-3"])
    with pytest.raises(ProtocolError, match=told):
        psi_call.unseal_list(AUTHORITY, replace(manifest, **change), box)


def test_a_consent_stands_for_one_entry() -> None:
    """Twice the same consent is a list whose entries did not all consent."""
    manifest, box, _ = boxed(["c-1", "c-2", "c-1"])
    with pytest.raises(FormatError, match="two entries"):
        psi_call.unseal_list(AUTHORITY, manifest, box)
