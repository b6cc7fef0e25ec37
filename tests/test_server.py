"""What a node's door lets in (TESTS 38, 39, 41, 42, 44): real nodes, real sockets."""

import re
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc_health.v1 import health_pb2, health_pb2_grpc

from node import clock
from node.client import BankClient
from node.config import Config, Limits
from node.domain import Role
from node.errors import NodeError, Refused, Unreachable
from node.identity import Tls, server_name
from node.remote import ask, channel
from node.wire.v1 import (
    aggregate_pb2,
    aggregate_pb2_grpc,
    attributes_pb2,
    attributes_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    consent_pb2,
    consent_pb2_grpc,
    contract_pb2,
    contract_pb2_grpc,
    dataset_pb2,
    dataset_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    evaluation_pb2,
    evaluation_pb2_grpc,
    feedback_pb2,
    feedback_pb2_grpc,
    history_pb2,
    history_pb2_grpc,
    job_evaluation_pb2,
    job_evaluation_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    journal_pb2,
    journal_pb2_grpc,
    key_pb2,
    key_pb2_grpc,
    objection_pb2,
    objection_pb2_grpc,
    private_evaluation_pb2_grpc,
    private_pb2,
    private_pb2_grpc,
    psi_evaluation_pb2,
    psi_evaluation_pb2_grpc,
    psi_pb2,
    psi_pb2_grpc,
    query_pb2,
    query_pb2_grpc,
    rating_pb2,
    rating_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
    scoring_pb2,
    scoring_pb2_grpc,
)
from tests.german import German
from tests.hostile import kinds, question, send, uses
from tests.simulator import World

LIMIT = 6
MESSAGE_BYTES = 64 << 10


class Tight(World):
    """Nodes with narrow limits."""

    def config(self, party: str) -> Config:
        """Make what a party's `safehouse.toml` would say."""
        limits = Limits(
            deadline_ms=10_000, message_bytes=MESSAGE_BYTES, concurrency=LIMIT
        )
        return replace(super().config(party), limits=limits)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run a trust domain with narrow limits."""
    with Tight(tmp_path_factory.mktemp("server")) as made:
        german = German(made, 22)
        for subject in german.ids:
            german.grant(subject)
        yield german


@pytest.fixture(scope="module")
def bank(running: German) -> Iterator[BankClient]:
    """Open the first bank's SDK."""
    with running.bank() as client:
        yield client


def knock(running: German, role: Role, tls: Tls | None) -> grpc.StatusCode:
    """Ask for a checkpoint with some certificate; return the status."""
    domain = running.world.domain
    address = running.world._addresses[role]
    options = [
        ("grpc.ssl_target_name_override", server_name(domain, role)),
        ("grpc.enable_retries", 0),
    ]
    pair = (tls.key_pem, tls.certificate_pem) if tls else (None, None)
    credentials = grpc.ssl_channel_credentials(domain.ca_pem, *pair)
    with grpc.secure_channel(address, credentials, options) as link:
        stub = journal_pb2_grpc.JournalServiceStub(link)
        try:
            stub.GetCheckpoint(journal_pb2.GetCheckpointRequest(), timeout=5)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


def certificate(running: German, *uris: str) -> Tls:
    """Let the domain's own CA vouch for some names."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(u) for u in uris]
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    return running.world.composed.ca._issue_with("jnrcb", names, uses, clock.now_ms())


@pytest.mark.parametrize("role", [Role.HOUSE, Role.AUTHORITY])
def test_who_shows_no_good_certificate_stays_outside(
    running: German, role: Role
) -> None:
    """Cases 38 and 39: refused before anything is decided, or journalled."""
    world, now_ms = running.world, clock.now_ms()
    core = running.house if role is Role.HOUSE else running.authority
    ca = world.composed.ca
    before = core.ledger.head.size
    assert knock(running, role, world.composed.keys["jnrcb"].tls) is grpc.StatusCode.OK
    old_ms = now_ms - 3 * 365 * clock.DAY_MS
    foreign = type(ca).create(world.domain.name, now_ms)
    name = "spiffe://rencheng/bank/jnrcb"
    for tls, code in (
        (None, grpc.StatusCode.UNAVAILABLE),
        (
            ca.issue(world.domain.name, Role.BANK, "jnrcb", [], old_ms),
            grpc.StatusCode.UNAVAILABLE,
        ),
        (
            foreign.issue(world.domain.name, Role.BANK, "jnrcb", [], now_ms),
            grpc.StatusCode.UNAVAILABLE,
        ),
        (
            certificate(running, name, "spiffe://rencheng/bank/lsbank"),
            grpc.StatusCode.UNAUTHENTICATED,
        ),
        (
            certificate(running, "spiffe://laicheng/bank/jnrcb"),
            grpc.StatusCode.UNAUTHENTICATED,
        ),
        (
            certificate(running, "spiffe://rencheng/bank/nobody"),
            grpc.StatusCode.UNAUTHENTICATED,
        ),
        (
            certificate(running, "spiffe://rencheng/house/jnrcb"),
            grpc.StatusCode.UNAUTHENTICATED,
        ),
    ):
        assert knock(running, role, tls) is code
    assert core.ledger.head.size == before


def test_plaintext_stays_outside(running: German) -> None:
    """Case 38: without TLS there is no answer."""
    for address in running.world._addresses.values():
        with grpc.insecure_channel(address, [("grpc.enable_retries", 0)]) as link:
            stub = journal_pb2_grpc.JournalServiceStub(link)
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetCheckpoint(journal_pb2.GetCheckpointRequest(), timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


STREAMED = (
    *("Read", "GetMap", "WatchJob", "FetchJob", "FetchAttributes"),
    *("RunSession", "FetchReplies", "FetchPoints", "Aggregate"),
)
# Method, a request, and the only roles that it serves.
BOTH = {Role.HOUSE, Role.AUTHORITY}
ANYBODY = set(Role)
METHODS = (
    *(
        ({Role.HOUSE}, feedback_pb2_grpc.FeedbackServiceStub, name, request, {role})
        for name, request, role in (
            ("PutFeedbackDesk", feedback_pb2.PutFeedbackDeskRequest(), Role.CUSTODIAN),
            ("GetFeedbackDesk", feedback_pb2.GetFeedbackDeskRequest(), Role.BANK),
            ("SendFeedback", feedback_pb2.SendFeedbackRequest(), Role.BANK),
            ("FetchFeedback", feedback_pb2.FetchFeedbackRequest(), Role.CUSTODIAN),
        )
    ),
    (
        {Role.HOUSE},
        scoring_pb2_grpc.ScoringServiceStub,
        "Score",
        scoring_pb2.ScoreRequest(),
        {Role.BANK},
    ),
    (
        {Role.HOUSE},
        scoring_pb2_grpc.ScoringServiceStub,
        "Joint",
        scoring_pb2.JointRequest(),
        {Role.BANK},
    ),
    (
        {Role.HOUSE},
        scoring_pb2_grpc.ScoringServiceStub,
        "CommitResults",
        scoring_pb2.CommitResultsRequest(),
        {Role.BANK},
    ),
    (
        {Role.HOUSE},
        scoring_pb2_grpc.ScoringServiceStub,
        "CommitResult",
        scoring_pb2.CommitResultRequest(),
        {Role.BANK},
    ),
    *(
        ({Role.HOUSE}, query_pb2_grpc.QueryServiceStub, name, request, {Role.BANK})
        for name, request in (
            ("Range", query_pb2.RangeRequest()),
            ("Verify", query_pb2.VerifyRequest()),
        )
    ),
    *(
        ({Role.HOUSE}, job_pb2_grpc.JobServiceStub, name, request, {Role.BANK})
        for name, request in (
            ("SubmitJob", iter(())),
            ("WatchJob", job_pb2.WatchJobRequest()),
            ("FetchJob", job_pb2.FetchJobRequest()),
            ("CancelJob", job_pb2.CancelJobRequest()),
            ("ListJobs", job_pb2.ListJobsRequest()),
            ("CommitJobResult", job_pb2.CommitJobResultRequest()),
        )
    ),
    *(
        (
            {Role.AUTHORITY},
            job_evaluation_pb2_grpc.JobEvaluationServiceStub,
            name,
            request,
            {Role.HOUSE},
        )
        for name, request in (
            ("AdmitJob", job_evaluation_pb2.AdmitJobRequest()),
            ("PermitJob", job_evaluation_pb2.PermitJobRequest()),
            ("EvaluateJob", job_evaluation_pb2.EvaluateJobRequest()),
        )
    ),
    *(
        ({Role.HOUSE}, private_pb2_grpc.PrivateServiceStub, name, request, {Role.BANK})
        for name, request in (
            ("AskPrivately", private_pb2.AskPrivatelyRequest()),
            ("CommitPrivateResult", private_pb2.CommitPrivateResultRequest()),
        )
    ),
    (
        {Role.AUTHORITY},
        private_evaluation_pb2_grpc.PrivateEvaluationServiceStub,
        "EvaluatePrivately",
        iter(()),
        {Role.HOUSE},
    ),
    *(
        ({Role.HOUSE}, psi_pb2_grpc.PsiServiceStub, name, request, served)
        for name, request, served in (
            ("PutList", iter(()), {Role.CUSTODIAN}),
            (
                "GetList",
                psi_pb2.GetListRequest(),
                {Role.BANK, Role.CUSTODIAN, Role.AUDITOR},
            ),
            ("OpenSession", psi_pb2.OpenSessionRequest(), {Role.BANK}),
            ("SendPoints", iter(()), {Role.BANK}),
            ("RunSession", psi_pb2.RunSessionRequest(), {Role.BANK}),
            ("FetchReplies", psi_pb2.FetchRepliesRequest(), {Role.BANK}),
            ("ReturnPoints", iter(()), {Role.BANK}),
            ("CommitPsiResult", psi_pb2.CommitPsiResultRequest(), {Role.BANK}),
        )
    ),
    (
        {Role.HOUSE},
        psi_pb2_grpc.PsiServiceStub,
        "FetchPoints",
        psi_pb2.FetchPointsRequest(),
        {Role.AUDITOR},
    ),
    *(
        (
            {Role.AUTHORITY},
            psi_evaluation_pb2_grpc.PsiEvaluationServiceStub,
            name,
            request,
            {Role.HOUSE},
        )
        for name, request in (
            ("AdmitList", psi_evaluation_pb2.AdmitListRequest()),
            ("PermitSession", psi_evaluation_pb2.PermitSessionRequest()),
            ("EvaluatePoints", psi_evaluation_pb2.EvaluatePointsRequest()),
            ("FinishSession", psi_evaluation_pb2.FinishSessionRequest()),
            ("CountSession", iter(())),
        )
    ),
    (
        BOTH,
        attributes_pb2_grpc.AttributesServiceStub,
        "PutAttributes",
        iter(()),
        {Role.CUSTODIAN, Role.HOUSE},
    ),
    (
        BOTH,
        attributes_pb2_grpc.AttributesServiceStub,
        "FetchAttributes",
        attributes_pb2.FetchAttributesRequest(),
        {Role.AUDITOR},
    ),
    (
        {Role.HOUSE},
        aggregate_pb2_grpc.AggregateServiceStub,
        "Aggregate",
        aggregate_pb2.AggregateRequest(),
        {Role.BANK},
    ),
    (
        {Role.HOUSE},
        aggregate_pb2_grpc.AggregateServiceStub,
        "GetBudget",
        aggregate_pb2.GetBudgetRequest(),
        {Role.BANK},
    ),
    (
        {Role.AUTHORITY},
        aggregate_pb2_grpc.AggregateEvaluationServiceStub,
        "EvaluateAggregate",
        iter(()),
        {Role.HOUSE},
    ),
    (
        {Role.AUTHORITY},
        aggregate_pb2_grpc.AggregateEvaluationServiceStub,
        "GetSpending",
        aggregate_pb2.GetSpendingRequest(),
        {Role.HOUSE},
    ),
    (
        {Role.HOUSE},
        audit_pb2_grpc.AuditServiceStub,
        "ComputeAgain",
        audit_pb2.ComputeAgainRequest(),
        {Role.AUDITOR},
    ),
    (
        {Role.AUTHORITY},
        audit_pb2_grpc.AuditEvaluationServiceStub,
        "EvaluateAgain",
        audit_pb2.EvaluateAgainRequest(),
        {Role.HOUSE},
    ),
    (
        BOTH,
        objection_pb2_grpc.ObjectionServiceStub,
        "PutObjection",
        objection_pb2.PutObjectionRequest(),
        {Role.REGISTRAR},
    ),
    (
        BOTH,
        objection_pb2_grpc.ObjectionServiceStub,
        "KnowsSubject",
        objection_pb2.KnowsSubjectRequest(),
        {Role.REGISTRAR},
    ),
    (
        {Role.HOUSE},
        objection_pb2_grpc.ObjectionServiceStub,
        "ListRepairs",
        objection_pb2.ListRepairsRequest(),
        {Role.CUSTODIAN},
    ),
    (
        {Role.HOUSE},
        objection_pb2_grpc.ObjectionServiceStub,
        "AnswerRepair",
        objection_pb2.AnswerRepairRequest(),
        {Role.CUSTODIAN},
    ),
    (
        BOTH,
        history_pb2_grpc.HistoryServiceStub,
        "ReadHistory",
        history_pb2.ReadHistoryRequest(),
        {Role.REGISTRAR},
    ),
    (
        {Role.HOUSE},
        rating_pb2_grpc.RatingServiceStub,
        "IssueRating",
        rating_pb2.IssueRatingRequest(),
        {Role.BANK},
    ),
    (
        {Role.HOUSE},
        rating_pb2_grpc.RatingServiceStub,
        "RevokeRating",
        rating_pb2.RevokeRatingRequest(),
        {Role.BANK},
    ),
    (
        {Role.HOUSE},
        rating_pb2_grpc.RatingServiceStub,
        "GetRatingStatus",
        rating_pb2.GetRatingStatusRequest(),
        {Role.BANK},
    ),
    (
        {Role.HOUSE},
        directory_pb2_grpc.DirectoryServiceStub,
        "PutMap",
        iter(()),
        {Role.CUSTODIAN},
    ),
    (
        {Role.HOUSE},
        directory_pb2_grpc.DirectoryServiceStub,
        "GetMap",
        directory_pb2.GetMapRequest(),
        {Role.CUSTODIAN, Role.AUDITOR},
    ),
    (
        {Role.HOUSE},
        dataset_pb2_grpc.DatasetServiceStub,
        "RegisterDataset",
        dataset_pb2.RegisterDatasetRequest(),
        {Role.CUSTODIAN},
    ),
    (
        {Role.HOUSE},
        dataset_pb2_grpc.DatasetServiceStub,
        "Push",
        iter(()),
        {Role.CUSTODIAN},
    ),
    (
        {Role.HOUSE},
        dataset_pb2_grpc.DatasetServiceStub,
        "ListDatasets",
        dataset_pb2.ListDatasetsRequest(),
        ANYBODY,
    ),
    (
        {Role.HOUSE},
        dataset_pb2_grpc.DatasetServiceStub,
        "FetchBlock",
        dataset_pb2.FetchBlockRequest(),
        {Role.AUDITOR},
    ),
    (
        {Role.HOUSE},
        contract_pb2_grpc.ContractServiceStub,
        "SubmitContract",
        contract_pb2.SubmitContractRequest(),
        {Role.BANK, Role.CUSTODIAN},
    ),
    (
        {Role.HOUSE},
        contract_pb2_grpc.ContractServiceStub,
        "ApproveContract",
        contract_pb2.ApproveContractRequest(),
        {Role.CUSTODIAN},
    ),
    (
        {Role.HOUSE},
        contract_pb2_grpc.ContractServiceStub,
        "ActivateContract",
        contract_pb2.ActivateContractRequest(),
        {Role.BANK, Role.CUSTODIAN},
    ),
    (
        {Role.HOUSE},
        contract_pb2_grpc.ContractServiceStub,
        "RetireContract",
        contract_pb2.RetireContractRequest(),
        {Role.BANK, Role.CUSTODIAN},
    ),
    (
        BOTH,
        consent_pb2_grpc.ConsentServiceStub,
        "PutConsents",
        consent_pb2.PutConsentsRequest(items=[consent_pb2.ConsentItem()]),
        {Role.REGISTRAR},
    ),
    (
        BOTH,
        consent_pb2_grpc.ConsentServiceStub,
        "ListConsents",
        consent_pb2.ListConsentsRequest(),
        {Role.REGISTRAR},
    ),
    (
        BOTH,
        consent_pb2_grpc.ConsentServiceStub,
        "ListPending",
        consent_pb2.ListPendingRequest(),
        {Role.REGISTRAR},
    ),
    (
        BOTH,
        journal_pb2_grpc.JournalServiceStub,
        "ReadEntries",
        journal_pb2.ReadEntriesRequest(),
        {Role.AUDITOR},
    ),
    (
        BOTH,
        journal_pb2_grpc.JournalServiceStub,
        "ReadCheckpoints",
        journal_pb2.ReadCheckpointsRequest(),
        {Role.AUDITOR},
    ),
    (
        BOTH,
        journal_pb2_grpc.JournalServiceStub,
        "GetSeedShare",
        journal_pb2.GetSeedShareRequest(),
        {Role.AUDITOR},
    ),
    (
        {Role.AUTHORITY},
        evaluation_pb2_grpc.EvaluationServiceStub,
        "Evaluate",
        evaluation_pb2.EvaluateRequest(),
        {Role.HOUSE},
    ),
    (
        {Role.AUTHORITY},
        registry_pb2_grpc.RegistryServiceStub,
        "Put",
        registry_pb2.PutRequest(),
        {Role.HOUSE},
    ),
    (
        {Role.AUTHORITY},
        key_pb2_grpc.KeyServiceStub,
        "GetFingerprint",
        key_pb2.GetFingerprintRequest(),
        ANYBODY,
    ),
)


@pytest.mark.parametrize("name", [method[2] for method in METHODS])
def test_every_method_serves_its_roles_and_nobody_else(
    running: German, name: str
) -> None:
    """A bank that calls as a registrar, a house that reads a journal: refused."""
    world = running.world
    (found,) = [method for method in METHODS if method[2] == name]
    servers, stub, _, request, served = found
    one_each = {party.role: party.id for party in world.domain.parties}
    for server in servers:
        for role, party in one_each.items():
            tls = world.composed.keys[party].tls
            with channel(world._addresses[server], tls, world.domain, server) as link:
                code = "OK"
                try:
                    answer = getattr(stub(link), name)(request, timeout=5)
                    if name.startswith(STREAMED):
                        list(answer)
                except grpc.RpcError as error:
                    code = error.details()
                refused = "may not call this method" in code
                assert refused is (role not in served), (server, role, code)


def test_every_method_was_asked() -> None:
    """No method of ours is missing above, but those that tell anybody a root."""
    folder = Path(__file__).parents[1] / "node/wire/v1"
    named = {
        name
        for path in folder.glob("*.proto")
        for name in re.findall(r"^\s*rpc (\w+)\(", path.read_text(), re.MULTILINE)
    }
    open_to_all = {
        "GetAttributes",
        "GetCheckpoint",
        "ProveConsistency",
        "GetContract",
        "ListContracts",
    }
    assert named - {method[2] for method in METHODS} == open_to_all


def test_a_large_request_is_refused_before_it_is_read(
    running: German, bank: BankClient
) -> None:
    """Case 41: 200 kB into a limit of 64 kB, again and again: memory stays flat."""
    asked = question(running, running.ids[0], consent="c" * 200_000)
    sizes = []
    for _ in range(8):
        with pytest.raises(Refused) as caught:
            send(bank, asked)
        assert caught.value.reason == "RESOURCE_EXHAUSTED"
        sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # kB
    assert sizes[-1] - sizes[1] < 4_000
    assert send(bank, question(running, running.ids[0])).answer.box


def test_more_callers_than_the_limit_are_refused_at_once(
    running: German, bank: BankClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 42: of 12 at once 6 are served, 6 RESOURCE_EXHAUSTED, none hangs."""
    compute, go = running.house.engine.message, threading.Event()

    def slow(*given: object) -> object:
        assert go.wait(10)
        return compute(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(running.house.engine, "message", slow)
    subjects = running.ids[1:13]

    def call(subject: str) -> str:
        try:
            send(bank, question(running, subject))
        except Refused as refusal:
            return refusal.reason
        return "served"

    with ThreadPoolExecutor(12) as pool:
        under_way = [pool.submit(call, subject) for subject in subjects]
        while sum(future.done() for future in under_way) < 12 - LIMIT:
            threading.Event().wait(0.01)
        assert not go.is_set()
        go.set()
        told = [future.result(10) for future in under_way]
    assert sorted(told) == 6 * ["RESOURCE_EXHAUSTED"] + 6 * ["served"]
    for subject, word in zip(subjects, told, strict=True):
        assert uses(running, f"c-{subject}") == (word == "served")


def test_a_stopping_node_finishes_what_it_began(
    running: German, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 44: running calls finish in grace, new ones are UNAVAILABLE."""
    compute, begun, go = running.house.engine.message, *_events(2)

    def slow(*given: object) -> object:
        begun.set()
        assert go.wait(10)
        return compute(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(running.house.engine, "message", slow)
    asked = question(running, running.ids[20])
    with running.bank() as bank, ThreadPoolExecutor(2) as pool:
        first = pool.submit(send, bank, asked)
        assert begun.wait(5)
        stopping = pool.submit(running.world.stop, Role.HOUSE)
        for _ in range(500):
            try:
                send(bank, question(running, running.ids[21]), deadline_s=0.3)
            except Unreachable:
                break
            except NodeError:
                threading.Event().wait(0.01)
        else:
            pytest.fail("new calls are still taken")
        go.set()
        assert first.result(10).answer.box
        stopping.result(10)
    running.world.start(Role.HOUSE)
    assert kinds(running.house, asked.call) == ["call.intent", "call.outcome"]


def _events(count: int) -> list[threading.Event]:
    return [threading.Event() for _ in range(count)]


def test_health_is_told_to_whoever_is_in_the_domain(running: German) -> None:
    """grpc.health.v1: SERVING while the journal is; NOT_SERVING when told so."""
    world = running.world
    tls = world.composed.keys["auditor-a"].tls
    with channel(world._addresses[Role.HOUSE], tls, world.domain, Role.HOUSE) as link:
        stub = health_pb2_grpc.HealthStub(link)
        request = health_pb2.HealthCheckRequest()
        assert ask(stub.Check, request, 5).status == 1
        world.house.server.serving(well=False)
        assert ask(stub.Check, request, 5).status == 2
        world.house.server.serving(well=True)
