"""Datasets, contracts and approvals, as house and authority each know them.

Both are told the same signed documents (the house relays them) and both verify
every one: signatures under pinned keys, schemas read anew, contracts compiled
anew from their source text.  A contract is in force only where its author's
hash is the hash that this registry compiled, every custodian whose data it
reads has approved that hash, and its golden examples pass.

Documents never change: the same one again is passed over, another one in its
place is a `DocumentConflict`.
"""

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

import apsw

from contracts import bodies, kinds
from contracts.compiled import Compiled
from contracts.contract import Contract, custodians
from contracts.dataset import Dataset
from contracts.decide import Terms
from contracts.errors import ContractError, DocumentInvalid
from contracts.gates import Machine
from contracts.lifecycle import Activation, Approval, Retirement, Stage, Submission
from contracts.rebuild import terms_of
from node import clock
from node.domain import Role, TrustDomain
from node.errors import DocumentConflict, DomainInvalid, NotFound, RoleRefused
from node.ledger import Transaction
from protocols.blocks import Manifest
from protocols.canon import Tag, dumps, loads
from protocols.entry import Kind
from protocols.errors import ProtocolError
from protocols.sign import Signed, verify
from protocols.split import SplitGate

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS dataset(
        id TEXT PRIMARY KEY, payload BLOB NOT NULL, key_id TEXT NOT NULL,
        signature BLOB NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS push(
        dataset TEXT, version INTEGER, payload BLOB NOT NULL,
        key_id TEXT NOT NULL, signature BLOB NOT NULL, entry INTEGER NOT NULL,
        PRIMARY KEY(dataset, version)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS contract(
        hash BLOB PRIMARY KEY, number INTEGER NOT NULL, id TEXT NOT NULL,
        version INTEGER NOT NULL, compiled BLOB NOT NULL, payload BLOB NOT NULL,
        key_id TEXT NOT NULL, signature BLOB NOT NULL, stage TEXT NOT NULL,
        UNIQUE(id, version)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS approval(
        contract BLOB, custodian TEXT, payload BLOB NOT NULL,
        key_id TEXT NOT NULL, signature BLOB NOT NULL,
        PRIMARY KEY(contract, custodian)) WITHOUT ROWID""",
    # Which legal bases are accepted, by each serial that the node started with.
    """CREATE TABLE IF NOT EXISTS bases(
        serial INTEGER PRIMARY KEY, body BLOB NOT NULL)""",
)

T = TypeVar("T")

CONTRACTS_KEPT: Final = 256  # compiled programs and tables in memory


@dataclass(frozen=True, slots=True)
class Record:
    """A contract as it stands."""

    compiled: Contract
    stage: Stage
    submission: Signed
    approvals: tuple[Signed, ...]
    missing: tuple[str, ...]  # custodians who have not approved


class Registry:
    """Checks documents into a node's tables, and reads them back."""

    def __init__(self, domain: TrustDomain, node: str) -> None:
        self._domain = domain
        self._node = node  # party id, the actor of entries
        self._contracts: dict[bytes, Contract] = {}
        self._categories: dict[bytes, dict[str, str]] = {}  # of what contracts read
        self._machines: dict[bytes, Machine] = {}
        self._job_gates: dict[bytes, SplitGate] = {}
        self._lock = threading.Lock()

    # -- datasets

    def register(self, transaction: Transaction, signed: Signed) -> Dataset:
        """Keep a custodian's schema; raises `DocumentConflict` for another one."""
        dataset = Dataset.from_bytes(signed.payload)
        custodian = self._domain.party(dataset.custodian, Role.CUSTODIAN)
        verify(Tag.DATASET_REGISTRATION, signed, custodian.signing(transaction.now_ms))
        known = _one(
            transaction.db, "SELECT payload FROM dataset WHERE id = ?", dataset.name
        )
        if known is not None:
            if known[0] != signed.payload:
                raise DocumentConflict(
                    f"dataset `{dataset.name}` is registered with another schema",
                    "register the new schema under a new name",
                )
            return dataset
        transaction.db.execute(
            "INSERT INTO dataset(id, payload, key_id, signature) VALUES(?, ?, ?, ?)",
            (dataset.name, signed.payload, signed.key_id, signed.signature),
        )
        body = bodies.Register(
            dataset.name, dataset.schema_hash, signed.payload.decode(), signed
        )
        transaction.append(Kind.DATA_REGISTER, custodian.id, "", body.to_body())
        return dataset

    def dataset(self, db: apsw.Connection, name: str) -> tuple[Signed, Dataset] | None:
        """Find a registered dataset."""
        row = _one(
            db, "SELECT payload, key_id, signature FROM dataset WHERE id = ?", name
        )
        return None if row is None else (Signed(*row), Dataset.from_bytes(row[0]))

    def datasets(self, db: apsw.Connection) -> list[tuple[Signed, Dataset]]:
        """List the registered datasets by name."""
        rows = db.execute("SELECT payload, key_id, signature FROM dataset ORDER BY id")
        return [(Signed(*row), Dataset.from_bytes(row[0])) for row in rows]

    def check_manifest(self, db: apsw.Connection, signed: Signed) -> Manifest:
        """Check a push against the schema it names, before its blocks are read."""
        manifest = Manifest.parse(signed.payload)
        found = self.dataset(db, manifest.dataset)
        if found is None:
            raise NotFound(
                f"dataset `{manifest.dataset}` is not registered",
                "register it before its first push",
            )
        dataset = found[1]
        if dataset.is_list:
            raise DocumentConflict(
                f"dataset `{dataset.name}` has no blocks: it is a list"
            )
        if manifest.custodian != dataset.custodian:
            raise RoleRefused(
                f"dataset `{dataset.name}` is `{dataset.custodian}`'s to push"
            )
        custodian = self._domain.party(dataset.custodian, Role.CUSTODIAN)
        verify(Tag.MANIFEST, signed, custodian.signing(clock.now_ms()))
        if manifest.schema_hash != dataset.schema_hash:
            raise DocumentConflict("the push is of another schema than the registered")
        if manifest.key_id != self._domain.paillier.key_id:
            raise DocumentConflict(
                f"the push is under key `{manifest.key_id}`",
                f"the trust domain's is `{self._domain.paillier.key_id}`",
            )
        if manifest.columns != len(dataset.encrypted):
            raise DocumentConflict("the push has other columns than the schema")
        return manifest

    def push(self, transaction: Transaction, signed: Signed) -> int:
        """Keep a version whose blocks are stored; return the journal's index.

        The same push again is passed over: the index is the one it had.
        """
        manifest = self.check_manifest(transaction.db, signed)
        known = self.pushed(transaction.db, signed)
        if known is not None:
            return known
        self.check_version(transaction.db, manifest)
        body = bodies.Push(
            manifest.dataset, manifest.version, signed, manifest.ciphertext_root
        )
        index = transaction.append(
            Kind.DATA_PUSH, manifest.custodian, "", body.to_body()
        )
        transaction.db.execute(
            "INSERT INTO push(dataset, version, payload, key_id, signature, entry)"
            " VALUES(?, ?, ?, ?, ?, ?)",
            (
                manifest.dataset,
                manifest.version,
                signed.payload,
                signed.key_id,
                signed.signature,
                index,
            ),
        )
        return index

    def check_version(self, db: apsw.Connection, manifest: Manifest) -> None:
        """Refuse a push that is not the next one of its dataset."""
        newest = self.manifest(db, manifest.dataset)
        expected = 1 if newest is None else newest.version + 1
        if manifest.version != expected:
            raise DocumentConflict(
                f"expected version {expected} of dataset `{manifest.dataset}`,"
                f" got {manifest.version}",
                "another push came first; push again",
            )

    def pushed(self, db: apsw.Connection, signed: Signed) -> int | None:
        """Find the journal's index of this very push, if it is kept."""
        manifest = Manifest.parse(signed.payload)
        row = _one(
            db,
            "SELECT entry FROM push WHERE dataset = ? AND version = ? AND payload = ?",
            manifest.dataset,
            manifest.version,
            signed.payload,
        )
        return None if row is None else int(row[0])

    def has_blocks(self, db: apsw.Connection, root: bytes) -> bool:
        """Tell whether any version is made of these blocks: reads all manifests."""
        rows = db.execute("SELECT payload FROM push")
        return any(_manifest(payload).ciphertext_root == root for (payload,) in rows)

    def signed_manifest(
        self, db: apsw.Connection, dataset: str, version: int | None = None
    ) -> Signed | None:
        """Find the manifest of a version, by default the newest."""
        row = _one(
            db,
            "SELECT payload, key_id, signature FROM push WHERE dataset = ?"
            " AND (version = ? OR ? IS NULL) ORDER BY version DESC LIMIT 1",
            dataset,
            version,
            version,
        )
        return None if row is None else Signed(*row)

    def manifest(
        self, db: apsw.Connection, dataset: str, version: int | None = None
    ) -> Manifest | None:
        """Find the manifest of a version, by default the newest."""
        signed = self.signed_manifest(db, dataset, version)
        return None if signed is None else _manifest(signed.payload)

    # -- contracts

    def submit(self, transaction: Transaction, signed: Signed) -> Record:
        """Compile and keep an author's contract.

        Raises `SourceError`, `CompileError`, `RuleBroken` for what is wrong with
        it, `DocumentConflict` when id and version are taken.
        """
        db = transaction.db
        submission = Submission.parse(signed.payload)
        author = self._domain.party(submission.author, Role.BANK, Role.CUSTODIAN)
        verify(Tag.CONTRACT_SUBMISSION, signed, author.signing(transaction.now_ms))
        known = self.record(db, submission.contract)
        if known is not None:
            return known
        written = kinds.read(submission.source, "contract.yaml")
        datasets = {dataset.name: dataset for _, dataset in self.datasets(db)}
        compiled = written.compile(datasets)
        if compiled.author != author.id:
            raise DocumentInvalid(
                f"the contract names `{compiled.author}` as its author,"
                f" `{author.id}` submits it"
            )
        if compiled.hash != submission.contract:
            raise DocumentConflict(
                "the contract compiles to another hash here",
                "fetch the registered datasets and compile it again",
            )
        written.admit(datasets)
        for bank in compiled.banks:
            self._domain.party(bank, Role.BANK)
        taken = _one(
            db,
            "SELECT 1 FROM contract WHERE id = ? AND version = ?",
            compiled.id,
            compiled.version,
        )
        if taken is not None:
            raise DocumentConflict(
                f"contract `{compiled.id}` version {compiled.version} is taken",
                "a contract never changes: raise its version",
            )
        db.execute(
            "INSERT INTO contract(hash, number, id, version, compiled, payload,"
            " key_id, signature, stage) VALUES(?, (SELECT count(*) FROM contract),"
            " ?, ?, ?, ?, ?, ?, ?)",
            (
                compiled.hash,
                compiled.id,
                compiled.version,
                compiled.to_bytes(),
                signed.payload,
                signed.key_id,
                signed.signature,
                Stage.SUBMITTED.value,
            ),
        )
        body = bodies.Submit(compiled.to_bytes().decode(), compiled.hash, signed)
        transaction.append(Kind.CONTRACT_SUBMIT, author.id, "", body.to_body())
        return self.need(db, compiled.hash)

    def approve(self, transaction: Transaction, signed: Signed) -> Record:
        """Record a custodian's approval of a contract that reads its data."""
        approval = Approval.parse(signed.payload)
        custodian = self._domain.party(approval.party, Role.CUSTODIAN)
        verify(Tag.APPROVAL, signed, custodian.signing(transaction.now_ms))
        record = self.need(transaction.db, approval.contract)
        if custodian.id not in custodians(record.compiled.datasets):
            raise RoleRefused(f"the contract reads no data of `{custodian.id}`")
        if record.stage is Stage.RETIRED:
            raise DocumentConflict("the contract is retired")
        if custodian.id not in record.missing:
            return record
        transaction.db.execute(
            "INSERT INTO approval(contract, custodian, payload, key_id, signature)"
            " VALUES(?, ?, ?, ?, ?)",
            (
                approval.contract,
                custodian.id,
                signed.payload,
                signed.key_id,
                signed.signature,
            ),
        )
        body = bodies.Approve(approval.contract, custodian.id, signed)
        transaction.append(Kind.CONTRACT_APPROVE, custodian.id, "", body.to_body())
        return self.need(transaction.db, approval.contract)

    def activate(self, transaction: Transaction, signed: Signed) -> Record:
        """Put a contract in force that every custodian has approved."""
        activation = Activation.parse(signed.payload)
        record = self.need(transaction.db, activation.contract)
        author = self._domain.party(activation.party)
        if author.id != record.compiled.author:
            raise RoleRefused(f"`{record.compiled.author}` is to activate the contract")
        verify(Tag.ACTIVATION, signed, author.signing(transaction.now_ms))
        if record.stage is Stage.ACTIVE:
            return record
        if record.stage is Stage.RETIRED:
            raise DocumentConflict("the contract is retired")
        if record.missing:
            raise DocumentConflict(
                f"approvals are missing: {', '.join(record.missing)}",
                "each custodian approves with `safehouse approve`",
            )
        _set_stage(transaction.db, activation.contract, Stage.ACTIVE)
        body = bodies.Activate(activation.contract, signed)
        transaction.append(Kind.CONTRACT_ACTIVATE, author.id, "", body.to_body())
        return self.need(transaction.db, activation.contract)

    def retire(self, transaction: Transaction, signed: Signed) -> Record:
        """Take a contract out of force, for ever."""
        retirement = Retirement.parse(signed.payload)
        record = self.need(transaction.db, retirement.contract)
        party = self._domain.party(retirement.party)
        if party.id not in {
            record.compiled.author,
            *custodians(record.compiled.datasets),
        }:
            raise RoleRefused(f"`{party.id}` is neither author nor custodian")
        verify(Tag.RETIREMENT, signed, party.signing(transaction.now_ms))
        if record.stage is Stage.RETIRED:
            return record
        _set_stage(transaction.db, retirement.contract, Stage.RETIRED)
        body = bodies.Retire(retirement.contract, signed)
        transaction.append(Kind.CONTRACT_RETIRE, party.id, "", body.to_body())
        return self.need(transaction.db, retirement.contract)

    def record(self, db: apsw.Connection, contract: bytes) -> Record | None:
        """Find a contract by its hash."""
        row = _one(
            db,
            "SELECT stage, payload, key_id, signature FROM contract WHERE hash = ?",
            contract,
        )
        if row is None:
            return None
        compiled = self.contract(db, contract)
        approvals = {
            custodian: Signed(payload, key_id, signature)
            for custodian, payload, key_id, signature in db.execute(
                "SELECT custodian, payload, key_id, signature FROM approval"
                " WHERE contract = ? ORDER BY custodian",
                (contract,),
            )
        }
        missing = tuple(c for c in custodians(compiled.datasets) if c not in approvals)
        return Record(
            compiled,
            Stage(row[0]),
            Signed(*row[1:]),
            tuple(approvals.values()),
            missing,
        )

    def need(self, db: apsw.Connection, contract: bytes) -> Record:
        """Find a contract by its hash; raises `NotFound`."""
        record = self.record(db, contract)
        if record is None:
            raise NotFound(f"no contract `{contract.hex()[:16]}`")
        return record

    def newest(self, db: apsw.Connection, name: str) -> Record:
        """Find the newest active version of a contract; raises `NotFound`."""
        row = _one(
            db,
            "SELECT hash FROM contract WHERE id = ?"
            " ORDER BY stage = 'active' DESC, version DESC LIMIT 1",
            name,
        )
        if row is None:
            raise NotFound(f"no contract `{name}`", "list them: `safehouse contracts`")
        return self.need(db, row[0])

    def records(self, db: apsw.Connection) -> list[Record]:
        """List all contracts, oldest first."""
        rows = db.execute("SELECT hash FROM contract ORDER BY number").fetchall()
        return [self.need(db, cast("bytes", contract)) for (contract,) in rows]

    # -- what calls need, kept in memory: contracts never change

    def terms(self, db: apsw.Connection, contract: bytes) -> Terms | None:
        """Return what `decide` must know of a contract; None if it is unknown."""
        row = _one(db, "SELECT stage FROM contract WHERE hash = ?", contract)
        if row is None:
            return None
        compiled = self.contract(db, contract)
        categories = self._categories_of(db, compiled)
        return terms_of(compiled, Stage(row[0]), categories, _rule(db).rule)

    def _categories_of(self, db: apsw.Connection, compiled: Contract) -> dict[str, str]:
        with self._lock:
            known = self._categories.get(compiled.hash)
        if known is None:
            found = {used.id: self.dataset(db, used.id) for used in compiled.datasets}
            known = {name: kept[1].category for name, kept in found.items() if kept}
            with self._lock:
                self._categories[compiled.hash] = known
        return known

    def compiled(self, db: apsw.Connection, contract: bytes) -> Compiled:
        """Return the integers of a contract that runs over a block of slots.

        Raises what `contract` does, and `DocumentConflict` for one that does not.
        """
        found = self.contract(db, contract)
        if not isinstance(found, Compiled):
            raise DocumentConflict(
                f"contract `{found.id}` answers `{found.kind}`: it has no score"
            )
        return found

    def contract(self, db: apsw.Connection, contract: bytes) -> Contract:
        """Return a contract of any kind.

        Raises `NotFound`, and `DocumentConflict` for integers that were edited
        on the disk after everybody had signed their hash.
        """
        with self._lock:
            known = self._contracts.get(contract)
        if known is not None:
            return known
        row = _one(db, "SELECT compiled FROM contract WHERE hash = ?", contract)
        if row is None:
            raise NotFound(f"no contract `{contract.hex()[:16]}`")
        try:
            compiled: Contract | None = kinds.parse(row[0])
        except (ProtocolError, ContractError):
            compiled = None
        if compiled is None or compiled.hash != contract:
            raise DocumentConflict(
                f"contract `{contract.hex()[:16]}` is stored with other integers",
                "restore the journal from a backup",
            )
        with self._lock:
            _keep(self._contracts, contract, compiled)
        return compiled

    def machine(self, compiled: Compiled) -> Machine:
        """Return what computes a contract in a single call."""
        with self._lock:
            machine = self._machines.get(compiled.hash)
            if machine is None:
                machine = Machine(compiled)
                _keep(self._machines, compiled.hash, machine)
            return machine

    def job_gate(self, compiled: Compiled) -> SplitGate:
        """Return the layout of a contract's tables in a job, whose tickets name it."""
        with self._lock:
            gate = self._job_gates.get(compiled.hash)
            if gate is None:
                gate = SplitGate(compiled.card)
                _keep(self._job_gates, compiled.hash, gate)
            return gate


@lru_cache(maxsize=256)
def _manifest(payload: bytes) -> Manifest:
    """Read a manifest of ours; every call asks for the same few."""
    return Manifest.parse(payload)


def _set_stage(db: apsw.Connection, contract: bytes, stage: Stage) -> None:
    db.execute("UPDATE contract SET stage = ? WHERE hash = ?", (stage.value, contract))


def _keep(cache: dict[bytes, T], name: bytes, item: T) -> None:
    cache[name] = item
    while len(cache) > CONTRACTS_KEPT:
        del cache[next(iter(cache))]


def _one(db: apsw.Connection, query: str, *values: object) -> Any | None:  # noqa: ANN401  a row
    return db.execute(query, cast("tuple[apsw.SQLiteValue, ...]", values)).fetchone()


def note_bases(transaction: Transaction, actor: str, now: bodies.BasisRule) -> None:
    """Journal which legal bases are accepted, where they are others than before.

    As `consents.note_classes`; raises `DomainInvalid` for an earlier domain, and for
    another of the same serial.
    """
    before = _rule(transaction.db)
    if now.serial < before.serial:
        raise DomainInvalid(
            f"the trust domain is of serial {now.serial}, this node started with"
            f" serial {before.serial}",
            "start with the newest trust-domain file",
        )
    if now.serial == before.serial:
        if not now.alike(before):
            raise DomainInvalid(
                f"two trust domains of serial {now.serial} accept other legal bases",
                "a trust domain that changes has a new serial",
            )
        return
    body = now.to_body()
    transaction.db.execute(
        "INSERT INTO bases(serial, body) VALUES(?, ?)",
        (now.serial, dumps({"v": "1", **body})),
    )
    if not now.alike(before):
        transaction.append(Kind.ADMIN_BASES, actor, "", body)


def _rule(db: apsw.Connection) -> bodies.BasisRule:
    query = "SELECT body FROM bases ORDER BY serial DESC LIMIT 1"
    for (data,) in db.execute(query):
        return _read_rule(cast("bytes", data))
    return bodies.STRICT_RULE


@lru_cache(maxsize=64)
def _read_rule(data: bytes) -> bodies.BasisRule:
    body = loads(data, "1")
    del body["v"]
    return bodies.BasisRule.parse(body)
