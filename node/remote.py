"""Channels to the nodes, and the authority as the house sees it.

Every channel is mTLS: our certificate for the peer, and the domain's CA, with
the peer's role in its name, for the peer's (`identity.server_name`).  Nothing
retries by itself: after a reply was lost the same request is sent again by
whoever asked.
"""

from collections.abc import Callable, Generator, Iterator
from typing import Any, Final

import grpc

from node import identity, status
from node.domain import Role, TrustDomain
from node.wire.v1 import (
    aggregate_pb2,
    aggregate_pb2_grpc,
    attributes_pb2,
    attributes_pb2_grpc,
    evaluation_pb2,
    evaluation_pb2_grpc,
    job_evaluation_pb2,
    job_evaluation_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
)
from protocols.sign import Signed

MAX_MESSAGE_BYTES: Final = 4 << 20
CHUNK: Final = 1 << 20  # bytes of one piece of a long document
SLOWEST: Final = 1 << 20  # bytes a second of a long document
DECRYPTION_S: Final = 0.02  # of one ciphertext, at most
DEADLINE_S: Final = 30.0
# A node that is back is found soon; by default it takes up to two minutes.
WINDOW_BYTES: Final = 4 << 20
RECONNECT_MS: Final = 200
RECONNECT_AT_MOST_MS: Final = 5_000


def channel(
    address: str,
    tls: identity.Tls,
    domain: TrustDomain,
    role: Role,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> grpc.Channel:
    """Open a channel to the house or the authority."""
    credentials = grpc.ssl_channel_credentials(
        domain.ca_pem, tls.key_pem, tls.certificate_pem
    )
    return grpc.secure_channel(
        address,
        credentials,
        options=[
            ("grpc.ssl_target_name_override", identity.server_name(domain, role)),
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.keepalive_time_ms", 60_000),
            # A window that is wide from the start, instead of pings beside every
            # message to find out how wide it should be.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
            ("grpc.initial_reconnect_backoff_ms", RECONNECT_MS),
            ("grpc.min_reconnect_backoff_ms", RECONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", RECONNECT_AT_MOST_MS),
        ],
    )


def ask(method: Callable[..., Any], request: object, deadline_s: float) -> Any:  # noqa: ANN401  what the method answers
    """Call a method; what the other side raised is raised here."""
    try:
        return method(request, timeout=deadline_s)
    except grpc.RpcError as error:
        raise status.raised(error) from None


def listen(
    method: Callable[..., Any],
    request: object,
    deadline_s: float,
) -> Generator[Any]:
    """Call a method that answers in pieces; whoever stops listening ends the call."""
    call = method(request, timeout=deadline_s)
    try:
        yield from call
    except grpc.RpcError as error:
        raise status.raised(error) from None
    finally:
        call.cancel()


class RemoteAuthority:
    """The authority at the other end of a channel (house)."""

    def __init__(self, link: grpc.Channel, deadline_s: float = DEADLINE_S) -> None:
        self._evaluation = evaluation_pb2_grpc.EvaluationServiceStub(link)
        self._jobs = job_evaluation_pb2_grpc.JobEvaluationServiceStub(link)
        self._registry = registry_pb2_grpc.RegistryServiceStub(link)
        self._aggregates = aggregate_pb2_grpc.AggregateEvaluationServiceStub(link)
        self._attributes = attributes_pb2_grpc.AttributesServiceStub(link)
        self._deadline_s = deadline_s

    def evaluate(
        self, message: evaluation_pb2.EvaluateRequest
    ) -> evaluation_pb2.EvaluateResponse:
        """Ask for one evaluation."""
        response: evaluation_pb2.EvaluateResponse = ask(
            self._evaluation.Evaluate, message, self._deadline_s
        )
        return response

    def admit_job(self, signed: Signed) -> None:
        """Ask for a job to be admitted."""
        message = job_evaluation_pb2.AdmitJobRequest(job=status.to_wire(signed))
        ask(self._jobs.AdmitJob, message, self._deadline_s)

    def permit_job(
        self, message: job_evaluation_pb2.PermitJobRequest
    ) -> job_evaluation_pb2.PermitJobResponse:
        """Ask for the permits of a stretch."""
        response: job_evaluation_pb2.PermitJobResponse = ask(
            self._jobs.PermitJob, message, self._deadline_s
        )
        return response

    def evaluate_job(
        self, message: job_evaluation_pb2.EvaluateJobRequest
    ) -> job_evaluation_pb2.EvaluateJobResponse:
        """Ask for some blocks to be decrypted."""
        response: job_evaluation_pb2.EvaluateJobResponse = ask(
            self._jobs.EvaluateJob, message, self._deadline_s
        )
        return response

    def evaluate_aggregate(
        self, pieces: Iterator[aggregate_pb2.EvaluateAggregateRequest], count: int
    ) -> aggregate_pb2.EvaluateAggregateResponse:
        """Ask for the masks of a statistic to be decrypted."""
        response: aggregate_pb2.EvaluateAggregateResponse = ask(
            self._aggregates.EvaluateAggregate,
            pieces,
            self._deadline_s + count * DECRYPTION_S,
        )
        return response

    def spending(self, bank: str, dataset: str) -> aggregate_pb2.GetSpendingResponse:
        """Ask what is left of a dataset to a bank."""
        message = aggregate_pb2.GetSpendingRequest(bank=bank, dataset=dataset)
        response: aggregate_pb2.GetSpendingResponse = ask(
            self._aggregates.GetSpending, message, self._deadline_s
        )
        return response

    def put(self, message: registry_pb2.PutRequest) -> registry_pb2.PutResponse:
        """Relay one signed document."""
        response: registry_pb2.PutResponse = ask(
            self._registry.Put, message, self._deadline_s
        )
        return response

    def put_attributes(self, signed: Signed, codes: bytes) -> None:
        """Relay a table of public attributes."""
        put_attributes(self._attributes, signed, codes, self._deadline_s)


def put_attributes(
    stub: attributes_pb2_grpc.AttributesServiceStub,
    signed: Signed,
    codes: bytes,
    deadline_s: float,
) -> attributes_pb2.PutAttributesResponse:
    """Send a table; without its codes, ask for the receipt of one that is kept."""

    def pieces() -> Iterator[attributes_pb2.PutAttributesRequest]:
        yield attributes_pb2.PutAttributesRequest(table=status.to_wire(signed))
        for at in range(0, len(codes), CHUNK):
            yield attributes_pb2.PutAttributesRequest(codes=codes[at : at + CHUNK])

    response: attributes_pb2.PutAttributesResponse = ask(
        stub.PutAttributes, pieces(), deadline_s + len(codes) / SLOWEST
    )
    return response
