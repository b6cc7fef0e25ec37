"""Start a house or an authority from its `safehouse.toml`, until it is ended.

 1. The trust-domain file is the pinned root's; the keystore opens and is this
    party's.
 2. The journal is whole and not behind the checkpoint kept outside it, nor behind
    what its witnesses have seen.
 3. `node.start` is journalled, the port opened, health set to SERVING.
 4. The house finishes the calls and jobs that were left half-way, now and whenever
    the authority answers again.
 5. SIGTERM: running calls end, `node.stop` is journalled, the journal closed.

When the journal stops (disk full, I/O error, a clock that jumped), health turns
NOT_SERVING and the process ends with the journal's exit code: nothing goes on
beside a journal that does not record it.
"""

import gc
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node import (
    aggregate_authority,
    aggregate_house,
    audit_authority,
    audit_house,
    calls,
    clock,
    consents,
    directory,
    feedback,
    job_authority,
    keys,
    log,
    names,
    private_authority,
    private_house,
    psi_authority,
    psi_house,
    registry,
)
from node import attributes as attributes_room
from node import authority as authority_room
from node import house as house_room
from node import jobs as jobs_room
from node import ratings as ratings_room
from node.aggregate_authority import AggregateAuthority
from node.aggregate_house import AggregateHouse
from node.aggregate_service import AggregateEvaluationService, AggregateService
from node.attribute_service import AttributesService
from node.attributes import Attributes
from node.audit_authority import AuditAuthority
from node.audit_house import AuditHouse
from node.audit_remote import RemoteAudits
from node.audit_service import AuditEvaluationService, AuditService
from node.authority import Authority
from node.authority_service import EvaluationService, KeyService, RegistryService
from node.config import Config
from node.domain import Role, TrustDomain
from node.errors import ConfigInvalid, LedgerStopped
from node.feedback_service import FeedbackService
from node.history import Histories
from node.house import House
from node.house_service import (
    ContractService,
    DatasetService,
    DirectoryService,
    ScoringService,
)
from node.identity import Tls
from node.job_authority import JobAuthority
from node.job_cluster import Cluster
from node.job_service import JobEvaluationService, JobService
from node.job_work import Computing
from node.job_workers import Workers
from node.jobs import Jobs
from node.keys import AuthorityKeys, HouseKeys
from node.ledger import Ledger, Transaction
from node.metrics import Metrics
from node.objection_service import HouseObjections, ObjectionService
from node.private_authority import PrivateAuthority
from node.private_house import PrivateHouse
from node.private_remote import RemotePrivate
from node.private_service import PrivateEvaluationService, PrivateService
from node.psi_authority import PsiAuthority
from node.psi_remote import RemotePsi
from node.psi_service import PsiEvaluationService, PsiService
from node.query_service import QueryService
from node.rates import Rates
from node.rating_service import RatingService
from node.ratings import Ratings
from node.registry import Registry
from node.remote import RemoteAuthority, channel
from node.resumption import finish_each
from node.server import Desk, Server
from node.service import (
    ConsentService,
    HistoryService,
    JournalDesk,
    JournalService,
)
from node.succession import trusted
from node.vault import Vault
from node.wire.v1 import (
    aggregate_pb2_grpc,
    attributes_pb2_grpc,
    audit_pb2_grpc,
    consent_pb2_grpc,
    contract_pb2_grpc,
    dataset_pb2_grpc,
    directory_pb2_grpc,
    evaluation_pb2_grpc,
    feedback_pb2_grpc,
    history_pb2_grpc,
    job_evaluation_pb2_grpc,
    job_pb2_grpc,
    journal_pb2_grpc,
    key_pb2_grpc,
    objection_pb2_grpc,
    private_evaluation_pb2_grpc,
    private_pb2_grpc,
    psi_evaluation_pb2_grpc,
    psi_pb2_grpc,
    query_pb2_grpc,
    rating_pb2_grpc,
    registry_pb2_grpc,
    scoring_pb2_grpc,
)
from node.witnesses import Witnesses
from protocols.entry import Kind

LEDGER: Final = "journal.db"
BLOCKS: Final = "blocks"
ATTRIBUTES: Final = "attributes"
# How long a thread may keep the interpreter from the others.  Calls hand over
# between threads many times; with Python's 5 ms they wait for each other.
SWITCH_S: Final = 0.0005
RESUME_EVERY_S: Final = 5.0
GC_EVERY: Final = 100_000  # objects


@dataclass(frozen=True, slots=True)
class Node:
    """A node that can be started: its journal, its server, what to end with."""

    core: House | Authority
    ledger: Ledger
    server: Server
    witnesses: Witnesses
    channels: tuple[grpc.Channel, ...] = ()
    jobs: Jobs | JobAuthority | None = None
    aggregates: AggregateHouse | AggregateAuthority | None = None
    metrics: Metrics = field(default_factory=Metrics)
    psi: psi_house.Sessions | PsiAuthority | None = None
    private: PrivateHouse | PrivateAuthority | None = None
    audits: AuditHouse | AuditAuthority | None = None

    def close(self) -> None:
        """Stop serving, journal it, close the journal and the channels."""
        if isinstance(self.jobs, Jobs):
            self.jobs.close()
        self.server.stop()
        self.witnesses.close()
        for link in self.channels:
            link.close()
        self.ledger.close()


def open_house(config: Config, trust: TrustDomain, held: HouseKeys) -> Node:
    """Assemble a house; it does not listen yet."""
    schema = (
        *house_room.SCHEMA,
        *jobs_room.SCHEMA,
        *psi_house.SCHEMA,
        *private_house.SCHEMA,
        *aggregate_house.SCHEMA,
        *ratings_room.SCHEMA,
        *feedback.SCHEMA,
        *names.schema("slot", "consent", "objection"),
        *audit_house.SCHEMA,
    )
    ledger = _ledger(config, trust, held.journal, schema)
    link = channel(config.authority, held.tls, trust, Role.AUTHORITY)
    far = RemoteAuthority(link, config.limits.deadline_ms / 1000)
    desk = Desk(trust, log.get(), rates=Rates(config.limits.calls_per_second))
    vault = Vault(config.data / BLOCKS)
    attributes = Attributes(config.data / ATTRIBUTES)
    house = House(trust, held, ledger, Registry(trust, config.id), vault, far)
    _sweep(house)
    server = _server(config, trust, held.tls)
    asks = private_evaluation_pb2_grpc.PrivateEvaluationServiceStub(link)
    far_private = RemotePrivate(asks, config.limits.deadline_ms / 1000)
    private = PrivateHouse(house, held, far_private)
    private_pb2_grpc.add_PrivateServiceServicer_to_server(
        PrivateService(desk, private), server
    )
    feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(
        FeedbackService(desk, ledger), server
    )
    directory_pb2_grpc.add_DirectoryServiceServicer_to_server(
        DirectoryService(desk, house, held.pseudonym), server
    )
    dataset_pb2_grpc.add_DatasetServiceServicer_to_server(
        DatasetService(desk, house, far), server
    )
    contract_pb2_grpc.add_ContractServiceServicer_to_server(
        ContractService(desk, house, far), server
    )
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(
        ScoringService(desk, house), server
    )
    query_pb2_grpc.add_QueryServiceServicer_to_server(QueryService(desk, house), server)
    rating_pb2_grpc.add_RatingServiceServicer_to_server(
        RatingService(desk, Ratings(house, held)), server
    )
    attributes_pb2_grpc.add_AttributesServiceServicer_to_server(
        AttributesService(desk, ledger, attributes, far.put_attributes), server
    )
    workers = _computing(config, trust)
    jobs = Jobs(house, held, config.data, attributes, far, workers)
    job_pb2_grpc.add_JobServiceServicer_to_server(JobService(desk, jobs), server)
    stub = psi_evaluation_pb2_grpc.PsiEvaluationServiceStub(link)
    far_psi = RemotePsi(stub, config.limits.deadline_ms / 1000)
    sessions = psi_house.Sessions(house, held, config.data, far_psi)
    psi_pb2_grpc.add_PsiServiceServicer_to_server(
        PsiService(desk, house, sessions, far_psi.admit_list), server
    )
    aggregates = AggregateHouse(house, held, attributes, far)
    aggregate_pb2_grpc.add_AggregateServiceServicer_to_server(
        AggregateService(desk, aggregates), server
    )
    again = audit_pb2_grpc.AuditEvaluationServiceStub(link)
    far_audits = RemoteAudits(again, config.limits.deadline_ms / 1000)
    audits = AuditHouse(house, held, far_audits)
    audit_pb2_grpc.add_AuditServiceServicer_to_server(
        AuditService(desk, audits), server
    )
    witnesses = Witnesses(trust, config.witnesses, ledger, config.data)
    journal = JournalDesk(ledger, witnesses, house.registry, house.seed_share)
    _shared(server, desk, journal, held.pseudonym)
    erasers = (consents.erase, directory.vacate, calls.erase)
    objection_pb2_grpc.add_ObjectionServiceServicer_to_server(
        HouseObjections(desk, ledger, house.registry, held.pseudonym, erasers), server
    )
    desk.metrics.watch(
        "safehouse_jobs_open", "Jobs that have not ended", jobs.count_open
    )
    return Node(
        house,
        ledger,
        server,
        witnesses,
        (link,),
        jobs,
        aggregates,
        desk.metrics,
        sessions,
        private,
        audits,
    )


def _computing(config: Config, trust: TrustDomain) -> Computing:
    if config.scheduler:
        return Cluster(trust.paillier, config.scheduler)
    return Workers(trust.paillier, config.limits.workers or os.cpu_count() or 1)


def open_authority(config: Config, trust: TrustDomain, held: AuthorityKeys) -> Node:
    """Assemble an authority; it does not listen yet."""
    schema = (
        *authority_room.SCHEMA,
        *job_authority.SCHEMA,
        *psi_authority.SCHEMA,
        *private_authority.SCHEMA,
        *aggregate_authority.SCHEMA,
        *names.schema("consent", "objection"),
        *audit_authority.SCHEMA,
    )
    ledger = _ledger(config, trust, held.journal, schema)
    desk = Desk(trust, log.get(), rates=Rates(config.limits.calls_per_second))
    registry_ = Registry(trust, config.id)
    authority = Authority(trust, held, ledger, registry_)
    server = _server(config, trust, held.tls)
    evaluation_pb2_grpc.add_EvaluationServiceServicer_to_server(
        EvaluationService(desk, authority), server
    )
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(
        RegistryService(desk, authority), server
    )
    key_pb2_grpc.add_KeyServiceServicer_to_server(KeyService(desk, authority), server)
    attributes = Attributes(config.data / ATTRIBUTES)
    attributes_pb2_grpc.add_AttributesServiceServicer_to_server(
        AttributesService(desk, ledger, attributes), server
    )
    aggregates = AggregateAuthority(authority, held, attributes)
    aggregate_pb2_grpc.add_AggregateEvaluationServiceServicer_to_server(
        AggregateEvaluationService(desk, aggregates), server
    )
    audits = AuditAuthority(authority, held)
    audit_pb2_grpc.add_AuditEvaluationServiceServicer_to_server(
        AuditEvaluationService(desk, audits), server
    )
    job_desk = JobAuthority(
        trust, held, ledger, registry_, authority.following, attributes
    )
    job_evaluation_pb2_grpc.add_JobEvaluationServiceServicer_to_server(
        JobEvaluationService(desk, job_desk), server
    )
    psi_desk = PsiAuthority(trust, held, ledger, registry_, authority.following)
    psi_evaluation_pb2_grpc.add_PsiEvaluationServiceServicer_to_server(
        PsiEvaluationService(desk, psi_desk), server
    )
    private = PrivateAuthority(trust, held, ledger, registry_, authority.following)
    private_evaluation_pb2_grpc.add_PrivateEvaluationServiceServicer_to_server(
        PrivateEvaluationService(desk, private), server
    )
    witnesses = Witnesses(trust, config.witnesses, ledger, config.data)
    following = authority.following
    journal = JournalDesk(ledger, witnesses, registry_, seen=lambda: following.newest)
    _shared(server, desk, journal, held.pseudonym)
    erasers = (consents.erase, authority_room.erase)
    objection_pb2_grpc.add_ObjectionServiceServicer_to_server(
        ObjectionService(desk, ledger, registry_, held.pseudonym, erasers), server
    )
    return Node(
        authority,
        ledger,
        server,
        witnesses,
        (),
        job_desk,
        aggregates,
        desk.metrics,
        psi_desk,
        private,
        audits,
    )


def open_node(config: Config) -> Node:
    """Assemble the node a configuration describes; raises `NodeError`."""
    trust = trusted(config)
    if config.role is Role.HOUSE:
        return open_house(config, trust, keys.load(HouseKeys, config, trust))
    if config.role is Role.AUTHORITY:
        held = keys.load(AuthorityKeys, config, trust)
        return open_authority(config, trust, held)
    raise ConfigInvalid(
        f"a {config.role} runs no server",
        "`safehouse up` is for the house and the authority",
    )


def serve(config: Config, ready: Callable[[str], None]) -> None:
    """Run a node until SIGTERM or SIGINT; raises what stopped it otherwise."""
    sys.setswitchinterval(SWITCH_S)
    node = open_node(config)
    # What is there now stays; and a job makes objects by the million, none in a ring.
    gc.freeze()
    gc.set_threshold(GC_EVERY, 50, 100)
    ended = threading.Event()
    stopped: list[LedgerStopped] = []
    closing: list[Callable[[], None]] = []

    def on_stop(reason: LedgerStopped) -> None:
        stopped.append(reason)
        node.server.serving(well=False)
        node.server.end()

    try:
        node.server.heed_signals()  # before anybody is told that we are there
        node.ledger.on_stop(on_stop)
        node.witnesses.check()
        note_domain(node, config)  # who starts without it has not started
        _note(node, config, Kind.NODE_START)
        node.witnesses.start()
        if config.metrics:
            closing.append(node.metrics.serve(config.metrics))
        port = node.server.start(config.listen)
        if isinstance(node.jobs, Jobs):
            node.jobs.start()
        threading.Thread(
            target=_resume, args=(node, ended), name="resume", daemon=True
        ).start()
        ready(f"{config.listen.rsplit(':', 1)[0]}:{port}")
        node.server.wait()
        if not stopped:
            _note(node, config, Kind.NODE_STOP)
    finally:
        gc.unfreeze()  # libraries count what is left when the process ends
        ended.set()
        for close in closing:
            close()
        node.close()
    if stopped:
        raise stopped[0]


def _resume(node: Node, ended: threading.Event) -> None:
    """Finish the calls left half-way, as soon as the authority answers.

    Again and again: a bank that got no answer may never ask a second time, and
    what the authority has decrypted must come into this journal all the same.
    """
    if not isinstance(node.core, House):
        return
    parts: list[Callable[[], int]] = [node.core.resume]
    if isinstance(node.aggregates, AggregateHouse):
        parts.append(node.aggregates.resume)
    if isinstance(node.psi, psi_house.Sessions):
        parts.append(node.psi.resume)
    if isinstance(node.private, PrivateHouse):
        parts.append(node.private.resume)
    if isinstance(node.audits, AuditHouse):
        parts.append(node.audits.resume)
    while True:  # the journal may be closed
        finish_each(parts, lambda resume: resume(), "resume failed")
        if ended.wait(RESUME_EVERY_S):
            return


def note_domain(node: Node, config: Config) -> None:
    """Journal the trust domain, its classes and legal bases, where they are news.

    Raises `DomainInvalid` for one that does not follow from the one before.
    """
    trust = node.core.domain
    serials = (*trust.history, trust.hash)

    def note(transaction: Transaction) -> None:
        consents.note_domain(transaction, config.id, trust.serial, serials)
        consents.note_classes(transaction, config.id, trust.membership)
        registry.note_bases(transaction, config.id, trust.basis_rule)

    node.ledger.commit(note)


def _note(node: Node, config: Config, kind: Kind) -> None:
    node.ledger.commit(lambda tx: tx.append(kind, config.id, "", {}))


def _ledger(
    config: Config,
    trust: TrustDomain,
    signer: Ed25519PrivateKey,
    schema: tuple[str, ...],
) -> Ledger:
    config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A job's stretch touches rows all over the register; a negative number is in kB.
    cache = f"PRAGMA cache_size = -{config.limits.journal_cache_mb * 1000}"
    return Ledger.open(
        config.data / LEDGER,
        signer=signer,
        origin=trust.origin(config.role),
        clock=clock.now_ms,
        earlier=trust.verifiers(config.role)[1:],
        schema=(*registry.SCHEMA, *attributes_room.SCHEMA, *schema, cache),
    )


def _server(config: Config, trust: TrustDomain, tls: Tls) -> Server:
    return Server(
        tls,
        trust,
        max_message_bytes=config.limits.message_bytes,
        max_concurrent_calls=config.limits.concurrency,
        reflection=config.reflection,
    )


def _sweep(house: House) -> None:
    """Remove what was stored and never journalled, before anything is served."""

    def named(name: str) -> bool:
        root, suffix = name.split(".")
        if suffix == directory.SEALED[1:]:
            return directory.has_sealed(db, name)
        return house.registry.has_blocks(db, bytes.fromhex(root))

    with house.ledger.reader() as db:
        swept = house.vault.sweep(named)
        house.vault.discard(directory.outdated(db))
    if swept:
        log.get().info("files without an entry removed", count=len(swept))


def _shared(
    server: Server, desk: Desk, journal: JournalDesk, pseudonym_key: bytes
) -> None:
    ledger, metrics = journal.ledger, desk.metrics
    ledger.on_commit(metrics.commit_seconds.observe)
    metrics.watch(
        "safehouse_journal_entries", "Durable entries", lambda: ledger.head.size
    )
    metrics.watch(
        "safehouse_journal_waiting",
        "Operations that wait for the writer",
        lambda: ledger.waiting,
    )
    consent_pb2_grpc.add_ConsentServiceServicer_to_server(
        ConsentService(desk, journal.ledger, pseudonym_key), server
    )
    journal_pb2_grpc.add_JournalServiceServicer_to_server(
        JournalService(desk, journal), server
    )
    histories = Histories(ledger, journal.registry)
    history_pb2_grpc.add_HistoryServiceServicer_to_server(
        HistoryService(desk, ledger, histories, pseudonym_key), server
    )
