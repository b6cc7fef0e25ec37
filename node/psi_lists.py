"""Lists for intersection, as house and authority each know them.

Both verify a version anew: its custodian signed it, the dataset is registered as a
list of that custodian, and it is the next version.  The house keeps the points, in
files named by the manifest's hash, and no scalar; the authority keeps the sealed box,
opens it when it is needed, and no point.  Neither can make the other's half.

Old versions stay: a session that was permitted over one may be resumed, and an auditor
computes it again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from contracts import psi_bodies
from contracts.dataset import Dataset, Tier
from node import clock, durable
from node.domain import Role, TrustDomain
from node.errors import DocumentConflict, NotFound, RoleRefused, VaultDamaged
from node.ledger import Transaction
from node.registry import Registry
from protocols import psi, ristretto
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import FormatError
from protocols.psi import MOST_POINTS
from protocols.psi_call import ListManifest
from protocols.ristretto import POINT_BYTES
from protocols.sign import Signed, verify

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS psi_list(
        hash BLOB PRIMARY KEY, list TEXT NOT NULL, version INTEGER NOT NULL,
        payload BLOB NOT NULL, key_id TEXT NOT NULL, signature BLOB NOT NULL,
        box BLOB NOT NULL, entry INTEGER NOT NULL,
        UNIQUE(list, version)) WITHOUT ROWID""",
)
FOLDER: Final = "lists"


@dataclass(frozen=True, slots=True)
class Listed:
    """A version of a list that is kept here."""

    signed: Signed
    manifest: ListManifest
    box: bytes  # sealed to the authority; empty at the house
    entry: int  # of the journal


def check(
    db: apsw.Connection, registry: Registry, trust: TrustDomain, signed: Signed
) -> ListManifest:
    """Read a version that its custodian may put; raises `NodeError`."""
    manifest = ListManifest.parse(signed.payload)
    custodian = trust.party(manifest.custodian, Role.CUSTODIAN)
    verify(Tag.PSI_LIST, signed, custodian.signing(clock.now_ms()))
    found = registry.dataset(db, manifest.list)
    if found is None:
        raise NotFound(
            f"list `{manifest.list}` is not registered",
            "register it before its first push",
        )
    dataset = found[1]
    if not dataset.is_list:
        raise DocumentConflict(f"dataset `{dataset.name}` is no list")
    if manifest.custodian != dataset.custodian:
        raise RoleRefused(f"list `{dataset.name}` is `{dataset.custodian}`'s to push")
    if manifest.schema != dataset.schema_hash:
        raise DocumentConflict("the push is of another schema than the registered")
    if not 1 <= manifest.rows <= MOST_POINTS:
        raise FormatError(f"expected 1 to {MOST_POINTS} entries, got {manifest.rows}")
    return manifest


def is_public(dataset: Dataset) -> bool:
    """Tell whether a list needs nobody's consent."""
    return dataset.tier is Tier.T0


def check_version(db: apsw.Connection, manifest: ListManifest) -> None:
    """Refuse a version that is not the next one of its list."""
    before = newest(db, manifest.list)
    expected = 1 if before is None else before.manifest.version + 1
    if manifest.version != expected:
        raise DocumentConflict(
            f"expected version {expected} of list `{manifest.list}`,"
            f" got {manifest.version}",
            "another push came first; push again",
        )


def keep(
    transaction: Transaction, signed: Signed, box: bytes, consents: Iterable[str] = ()
) -> int:
    """Keep a checked version; return the journal's index.

    `consents` are those of its entries, at the authority.  The same version again is
    passed over: the index is the one it had.
    """
    manifest = ListManifest.parse(signed.payload)
    before = find(transaction.db, manifest.hash)
    if before is not None:
        return before.entry
    check_version(transaction.db, manifest)
    entry = transaction.append(
        Kind.PSI_LIST, manifest.custodian, "", psi_bodies.List(signed).to_body()
    )
    for page in psi_bodies.consent_pages(manifest.hash, list(consents)):
        transaction.append(Kind.PSI_CONSENTS, manifest.custodian, "", page.to_body())
    transaction.db.execute(
        "INSERT INTO psi_list(hash, list, version, payload, key_id, signature, box,"
        " entry) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        (
            manifest.hash,
            manifest.list,
            manifest.version,
            signed.payload,
            signed.key_id,
            signed.signature,
            box,
            entry,
        ),
    )
    return entry


def find(db: apsw.Connection, name: bytes) -> Listed | None:
    """Find a version by the hash of its manifest."""
    return _listed(
        db.execute(
            "SELECT payload, key_id, signature, box, entry FROM psi_list"
            " WHERE hash = ?",
            (name,),
        ).fetchone()
    )


def newest(db: apsw.Connection, name: str) -> Listed | None:
    """Find the newest version of a list."""
    return _listed(
        db.execute(
            "SELECT payload, key_id, signature, box, entry FROM psi_list"
            " WHERE list = ? ORDER BY version DESC LIMIT 1",
            (name,),
        ).fetchone()
    )


def _listed(row: tuple[bytes, str, bytes, bytes, int] | None) -> Listed | None:
    if row is None:
        return None
    payload, key_id, signature, box, entry = row
    manifest = ListManifest.parse(payload)
    return Listed(Signed(payload, key_id, signature), manifest, box, entry)


class ListFolder:
    """The points of lists, at the house."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def keep(self, manifest: ListManifest, points: bytes) -> None:
        """Check a version's points against its manifest, and write them durably.

        Raises `FormatError` and `PointInvalid`.  That they are multiples by the
        sealed scalar nobody can tell here; a custodian can lie about its own list.
        """
        middle = manifest.rows * POINT_BYTES
        if len(points) != 2 * middle:
            raise FormatError(f"expected {2 * manifest.rows} points")
        for part, signed in (
            (points[:middle], manifest.entries),
            (points[middle:], manifest.markers),
        ):
            ristretto.check_points(part)
            # In the order of a register, places would name people by their rank.
            ristretto.check_ascending(part)
            if psi.root(psi.pieces(part)) != signed:
                raise FormatError("the points do not make the signed root")
        durable.replace(self._path(manifest), points)

    def read(self, manifest: ListManifest) -> tuple[bytes, bytes]:
        """Read a version's entries and markers; raises `VaultDamaged`."""
        path, middle = self._path(manifest), manifest.rows * POINT_BYTES
        try:
            points = path.read_bytes()
        except FileNotFoundError:
            points = b""
        entries, markers = points[:middle], points[middle:]
        roots = psi.root(psi.pieces(entries)), psi.root(psi.pieces(markers))
        if roots != (manifest.entries, manifest.markers):
            raise VaultDamaged(
                f"the points of list `{manifest.list}` version {manifest.version}"
                " are not what its custodian pushed",
                "restore them from a backup, or ask the custodian to push again",
            )
        return entries, markers

    def _path(self, manifest: ListManifest) -> Path:
        return self._folder / f"{manifest.hash.hex()}.points"
