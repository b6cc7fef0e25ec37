"""What operators watch: counters and histograms for Prometheus, and nobody's data.

A node with `metrics = "127.0.0.1:9464"` in its `safehouse.toml` serves them on
`/metrics` there, plain HTTP; without it, nothing listens.  Labels are names of our own
code: a method, a reason, a status; never a subject, a consent, a bank.  Which bank
asks how often is in the journal, for those who may read it::

    safehouse_calls_total{method,result}      result: `ok`, a reason of a refusal, or
                                              the class of another error
    safehouse_call_seconds{method}            histogram
    safehouse_calls_in_progress
    safehouse_journal_entries                 entries that are durable
    safehouse_journal_waiting                 operations that wait for the writer
    safehouse_journal_commit_seconds          histogram, of one transaction
    safehouse_jobs_open                       jobs that have not ended (house)
    safehouse_log_dropped_total               log keys that were not on the allow-list
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    start_http_server,
)

from node import clock, log
from node.errors import ConfigInvalid, Denied

SECONDS: Final = (
    *(0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024, 0.032),
    *(0.064, 0.128, 0.256, 0.512, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0),
)


class Metrics:
    """One node's metrics; thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "safehouse_calls",
            "Calls that were answered, by what came of them",
            ("method", "result"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "safehouse_call_seconds",
            "How long calls took",
            ("method",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._in_progress = Gauge(
            "safehouse_calls_in_progress",
            "Calls being answered",
            registry=self.registry,
        )
        self.commit_seconds = Histogram(
            "safehouse_journal_commit_seconds",
            "How long a transaction of the journal took",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.watch(
            "safehouse_log_dropped_total",
            "Log keys that were not on the allow-list",
            log.dropped_keys,
        )

    def watch(self, name: str, what: str, read: Callable[[], int]) -> None:
        """Show a number that is read whenever somebody looks."""
        Gauge(name, what, registry=self.registry).set_function(read)

    @contextmanager
    def call(self, method: str) -> Iterator[None]:
        """Count and time one call; what it raises is its result."""
        began, result = clock.monotonic_us(), "ok"
        self._in_progress.inc()
        try:
            yield
        except Denied as denial:
            result = denial.reason
            raise
        except BaseException as error:
            result = type(error).__name__
            raise
        finally:
            self._in_progress.dec()
            self._calls.labels(method, result).inc()
            seconds = (clock.monotonic_us() - began) / 1e6
            self._seconds.labels(method).observe(seconds)

    def serve(self, address: str) -> Callable[[], None]:
        """Serve on `host:port` until what is returned is called.

        Raises `ConfigInvalid` where the port is taken.
        """
        host, _, port = address.rpartition(":")
        try:
            server, thread = start_http_server(
                int(port), host.strip("[]"), self.registry
            )
        except OSError as error:
            raise ConfigInvalid(
                f"cannot serve metrics on `{address}`: {error.strerror}",
                "is another node serving them there?",
            ) from None

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return close
