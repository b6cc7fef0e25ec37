"""A gRPC server of the house or the authority: mTLS, limits, health, an end.

* Every caller shows a certificate of the domain's CA; who it is comes from the
  certificate's one SPIFFE id, and each method names the roles it serves.
* One bank's calls are at most `calls_per_second`; those beyond are turned away
  before anything is decided (`node.rates`).
* One bank has at most `STREAMS` streams and private calls at the same time, each of
  which holds a thread.
* A message is at most `max_message_bytes`, calls at the same time at most
  `max_concurrent_calls`; the call beyond that is RESOURCE_EXHAUSTED at once.
* Health (`grpc.health.v1`) turns NOT_SERVING when the journal stops.
* SIGTERM and SIGINT end gracefully: running calls finish within the grace
  period, new ones are UNAVAILABLE, then the journal is closed.
"""

import functools
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection as reflecting
from structlog.typing import FilteringBoundLogger

from node import clock, identity, status
from node.domain import Party, Role, TrustDomain
from node.errors import ConfigInvalid, RateLimited, RoleRefused, Unreachable
from node.metrics import Metrics
from node.rates import Rates, Turns

GRACE_S: Final = 5.0
MAX_MESSAGE_BYTES: Final = 4 << 20
MAX_CONCURRENT_CALLS: Final = 32
CALLS_PER_SECOND: Final = 500  # of one bank
STREAMS: Final = 8  # of one bank: a quarter of the calls at the same time

Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls, and whether an answer is still awaited."""

    caller: Party
    alive: Callable[[], bool]

    def check_alive(self) -> None:
        """Raise `Unreachable` once the caller has gone or its time is up."""
        if not self.alive():
            raise Unreachable("the caller has gone; nothing was decided")


@dataclass(frozen=True, slots=True)
class Desk:
    """What every service needs to know its callers and to report."""

    domain: TrustDomain
    log: FilteringBoundLogger
    metrics: Metrics = field(default_factory=Metrics)
    rates: Rates = field(default_factory=lambda: Rates(CALLS_PER_SECOND))
    turns: Turns = field(default_factory=lambda: Turns(STREAMS))

    def admit(self, context: grpc.ServicerContext, roles: tuple[Role, ...]) -> Call:
        """Name the caller; raises `PeerRefused` or `RoleRefused`."""
        who = _auth_context(context)
        peer = identity.peer_from(who, self.domain, clock.now_ms())
        if peer.role not in roles:  # no roles: nobody
            raise RoleRefused(
                f"role `{peer.role}` may not call this method",
                f"it serves {', '.join(roles) or 'nobody'}",
            )
        # Nodes and custodians call each other in bursts that are work.
        if peer.role is Role.BANK and not self.rates.allows(
            peer.id, clock.monotonic_us()
        ):
            raise RateLimited(
                "too many calls; nothing was decided",
                "ask more slowly, or hand in a job",
            )
        return Call(peer, context.is_active)

    @contextmanager
    def turn(self, call: Call) -> Iterator[None]:
        """Let what holds a thread for long begin, and last; raises `RateLimited`."""
        if call.caller.role is not Role.BANK:
            yield
            return
        with self.turns.of(call.caller.id) as taken:
            if not taken:
                raise RateLimited(
                    f"`{call.caller.id}` follows or asks too much at the same time",
                    "end another watch, download or private call first",
                )
            yield

    def report(self, method: str, error: Exception) -> None:
        """Log that a call failed: its kind, never its content."""
        known = status.describe(error) is not None
        event = self.log.info if known else self.log.error
        event("call failed", method=method, error=type(error).__name__)


def _auth_context(context: grpc.ServicerContext) -> Mapping[str, Iterable[bytes]]:
    """Read what TLS knows of the peer; the stubs give the values a wrong type."""
    return cast("Mapping[str, Iterable[bytes]]", context.auth_context())


def serves(
    *roles: Role,
) -> Callable[
    [Callable[[Any, Any, Call], Reply]],
    Callable[[Any, Any, grpc.ServicerContext], Reply],
]:
    """Make a method with one answer a handler that serves `roles` only."""

    def wrap(
        method: Callable[[Any, Any, Call], Reply],
    ) -> Callable[[Any, Any, grpc.ServicerContext], Reply]:
        @functools.wraps(method)
        def handler(self: Any, request: Any, context: grpc.ServicerContext) -> Reply:  # noqa: ANN401
            try:
                with self.desk.metrics.call(method.__name__):
                    return method(self, request, self.desk.admit(context, roles))
            except Exception as error:  # noqa: BLE001  every error becomes a status
                self.desk.report(method.__name__, error)
                status.abort(context, error)

        return handler

    return wrap


def streams(
    *roles: Role,
) -> Callable[
    [Callable[[Any, Any, Call], Iterator[Reply]]],
    Callable[[Any, Any, grpc.ServicerContext], Iterator[Reply]],
]:
    """Make a method with a stream of answers a handler for `roles` only."""

    def wrap(
        method: Callable[[Any, Any, Call], Iterator[Reply]],
    ) -> Callable[[Any, Any, grpc.ServicerContext], Iterator[Reply]]:
        @functools.wraps(method)
        def handler(
            self: Any,  # noqa: ANN401
            request: Any,  # noqa: ANN401
            context: grpc.ServicerContext,
        ) -> Iterator[Reply]:
            try:
                with self.desk.metrics.call(method.__name__):
                    call = self.desk.admit(context, roles)
                    with self.desk.turn(call):
                        yield from method(self, request, call)
            except Exception as error:  # noqa: BLE001  every error becomes a status
                self.desk.report(method.__name__, error)
                status.abort(context, error)

        return handler

    return wrap


class Server:
    """A running server; `add` the services before `start`."""

    def __init__(
        self,
        tls: identity.Tls,
        domain: TrustDomain,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_concurrent_calls: int = MAX_CONCURRENT_CALLS,
        reflection: bool = False,
    ) -> None:
        self.grpc = grpc.server(
            futures.ThreadPoolExecutor(max_concurrent_calls + 2, "call"),
            maximum_concurrent_rpcs=max_concurrent_calls,
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.http2.bdp_probe", 0),  # as in node.remote
                ("grpc.http2.lookahead_bytes", max_message_bytes),
            ],
        )
        self._credentials = grpc.ssl_server_credentials(
            [(tls.key_pem, tls.certificate_pem)],
            root_certificates=domain.ca_pem,
            require_client_auth=True,
        )
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        self._ended = threading.Event()
        self._reflects = reflection
        self._services: list[str] = []

    # What generated code calls to add a service.

    def add_generic_rpc_handlers(
        self, handlers: Sequence[grpc.GenericRpcHandler]
    ) -> None:
        """Add a service's handlers."""
        self.grpc.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(
        self, service: str, handlers: dict[str, Any]
    ) -> None:
        """Add a service's handlers by name, and note the name."""
        self._services.append(service)
        self.grpc.add_registered_method_handlers(service, handlers)

    def start(self, address: str) -> int:
        """Listen on `host:port`; port 0 takes a free one.  Returns the port."""
        try:
            port = self.grpc.add_secure_port(address, self._credentials)
        except RuntimeError:
            raise ConfigInvalid(
                f"cannot listen on `{address}`", "is another node running there?"
            ) from None
        if self._reflects:
            reflecting.enable_server_reflection(
                (*self._services, reflecting.SERVICE_NAME), self.grpc
            )
        self.grpc.start()
        self.serving(well=True)
        return port

    def serving(self, *, well: bool) -> None:
        """Tell whoever asks for our health."""
        word = health_pb2.HealthCheckResponse
        self._health.set("", word.SERVING if well else word.NOT_SERVING)

    def heed_signals(self) -> None:
        """Let SIGTERM and SIGINT end `wait`, not the process; in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ended.set())

    def wait(self) -> None:
        """Block until something asks the process to end, then end gracefully."""
        self._ended.wait()
        self.stop()

    def end(self) -> None:
        """Make `wait` return; safe from any thread."""
        self._ended.set()

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Refuse new calls, let the running ones finish, stop."""
        self._health.enter_graceful_shutdown()
        self.grpc.stop(grace_s).wait()
