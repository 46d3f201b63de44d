"""What is counted: changes by outcome, how long they took, how long processes stood still; who is here, who is frozen.

    MODCTL_METRICS=127.0.0.1:9464    serves Prometheus' text there at /metrics (pip install 'modctl[metrics]')

Names of services, pids and outcomes are told, nothing else: no module's name, no identity. Nobody is asked who he is,
so the address is the operator's choice. A port that another gateway has is a line in the log and nothing worse.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any, Final

from modctl.v1 import change_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modctl.gateway.presence import ConnectedProcess

_log = logging.getLogger(__name__)

VARIABLE: Final = "MODCTL_METRICS"
#: One request's head; scrapers send less than a kilobyte.
_MAX_HEAD_BYTES: Final = 16 * 1024
_PATIENCE_S: Final = 5.0
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PAUSES: Final = (0.00001, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)


class Meters:
    """Counts, and tells what it counted. Lives on the gateway's event loop.

    Args:
        service: whose gateway it is.
        version: modctl's.
        processes: says who is here.

    Raises:
        ImportError: prometheus_client is not installed.
    """

    def __init__(self, service: str, version: str, processes: Callable[[], list[ConnectedProcess]]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._service = service
        self._version = version
        self._processes = processes
        self._registry: Any = CollectorRegistry(auto_describe=True)
        labels = ["service", "outcome"]
        self._changes: Any = Counter(
            "modctl_changes", "Answers of processes to changes, by outcome.", labels, registry=self._registry
        )
        self._seconds: Any = Histogram(
            "modctl_change_seconds",
            "From request to answer, in the process.",
            labels,
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._pauses: Any = Histogram(
            "modctl_pause_seconds",
            "How long a process could see nothing but the commit.",
            ["service"],
            buckets=_PAUSES,
            registry=self._registry,
        )
        self._calls: Any = Counter("modctl_calls", "Calls, by method.", ["method"], registry=self._registry)
        self._registry.register(self)

    def called(self, method: str) -> None:
        """Somebody called."""
        self._calls.labels(method).inc()

    def changed(self, result: change_pb2.ChangeResult) -> None:
        """A process answered to a change."""
        outcome = change_pb2.Outcome.Name(result.outcome).removeprefix("OUTCOME_")
        self._changes.labels(self._service, outcome).inc()
        self._seconds.labels(self._service, outcome).observe(result.duration_ms / 1000)
        if result.outcome == change_pb2.OUTCOME_APPLIED:
            self._pauses.labels(self._service).observe(result.paused_ms / 1000)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        from prometheus_client import generate_latest

        text: bytes = generate_latest(self._registry)
        return text

    def collect(self) -> Iterator[Any]:
        """What is looked up when it is asked for: prometheus_client calls this."""
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        here = self._processes()
        label = ["service"]
        info = InfoMetricFamily("modctl_gateway", "The gateway.", labels=label)
        info.add_metric([self._service], {"version": self._version})
        yield info
        processes = GaugeMetricFamily("modctl_processes", "Processes that are connected.", labels=label)
        processes.add_metric([self._service], len(here))
        yield processes
        frozen = GaugeMetricFamily("modctl_frozen_processes", "Processes that refuse changes.", labels=label)
        frozen.add_metric([self._service], sum(process.facts.frozen for process in here))
        yield frozen
        revision = GaugeMetricFamily(
            "modctl_revision", "The newest committed revision of a process.", labels=["service", "pid"]
        )
        entries = GaugeMetricFamily("modctl_entries", "Entries of sys.modules.", labels=["service", "pid"])
        for process in here:
            revision.add_metric([self._service, str(process.pid)], process.facts.revision)
            entries.add_metric([self._service, str(process.pid)], process.facts.entries)
        yield revision
        yield entries


def wanted(
    service: str, version: str, processes: Callable[[], list[ConnectedProcess]], address: str | None = None
) -> tuple[Meters | None, str]:
    """The meters and where they are to be served; None where nobody wants them, or they cannot be had."""
    address = os.environ.get(VARIABLE, "") if address is None else address
    if not address:
        return None, ""
    try:
        return Meters(service, version, processes), address
    except ImportError:
        _log.warning("%s=%s, but prometheus_client is not installed: pip install 'modctl[metrics]'", VARIABLE, address)
        return None, ""


async def serve(meters: Meters, address: str) -> None:
    """Serves /metrics until cancelled. Never raises for what cannot be bound: the gateway has more to do."""
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        _log.warning("%s=%s is no HOST:PORT", VARIABLE, address)
        return
    try:
        server = await asyncio.start_server(
            lambda reader, writer: _answer(meters, reader, writer), host.strip("[]") or None, int(port)
        )
    except OSError as error:
        _log.warning("metrics are not served at %s: %s", address, error)
        return
    _log.info("metrics are served at http://%s/metrics", address)
    async with server:
        await server.serve_forever()


async def _answer(meters: Meters, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_S)
        words = head.split(b"\r\n", 1)[0].split()
        if len(head) > _MAX_HEAD_BYTES or len(words) != 3 or words[0] not in (b"GET", b"HEAD"):
            status, body = b"400 Bad Request", b"GET /metrics\n"
        elif words[1].partition(b"?")[0] == b"/metrics":
            status, body = b"200 OK", meters.text()
        else:
            status, body = b"404 Not Found", b"GET /metrics\n"
        writer.write(
            b"HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body))
        )
        if words[:1] != [b"HEAD"]:
            writer.write(body)
        await asyncio.wait_for(writer.drain(), _PATIENCE_S)
    except (asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
        pass  # who does not ask, or does not listen, gets nothing
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
