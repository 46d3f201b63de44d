"""OpenTelemetry spans of calls, where it is installed and somebody wants them.

    OTEL_TRACES_EXPORTER=otlp|console, OTEL_EXPORTER_OTLP_ENDPOINT=…      as OpenTelemetry's own documentation has them

A call is one span, a child of the caller's where it sends a traceparent; each process's answer to a change is an event
of it, with outcome, revision, milliseconds and pause.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any, Final

from modctl.v1 import change_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_log = logging.getLogger(__name__)

_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Tracing:
    """Makes spans.

    Args:
        tracer: OpenTelemetry's.
        provider: whom to tell that no more will come.
    """

    def __init__(self, tracer: Any, provider: Any = None) -> None:
        self._tracer = tracer
        self._provider = provider

    @contextlib.contextmanager
    def span(self, method: str, identity: str, metadata: Mapping[str, str]) -> Iterator[Any]:
        """One call.

        Args:
            method: the RPC's name.
            identity: who calls.
            metadata: of the call, for the caller's own span.
        """
        from opentelemetry import propagate, trace

        parent = propagate.extract(dict(metadata))
        with self._tracer.start_as_current_span(f"modctl.{method}", parent, kind=trace.SpanKind.SERVER) as span:
            span.set_attribute("rpc.system", "grpc")
            span.set_attribute("rpc.method", method)
            span.set_attribute("enduser.id", identity)
            yield span

    def close(self) -> None:
        """Sends what is left."""
        if self._provider is not None:
            self._provider.shutdown()


def changed(span: Any, process: str, result: change_pb2.ChangeResult) -> None:
    """A process answered to a change."""
    span.add_event(
        "modctl.change",
        {
            "modctl.process": process,
            "modctl.outcome": change_pb2.Outcome.Name(result.outcome).removeprefix("OUTCOME_"),
            "modctl.revision": result.revision,
            "modctl.duration_ms": result.duration_ms,
            "modctl.paused_ms": result.paused_ms,
            "modctl.modules": [each.name for each in result.modules[:64]],
        },
    )


def wanted(service: str, environ: Mapping[str, str] = os.environ) -> Tracing | None:
    """The tracing that the environment asks for; None where it asks for none, or it cannot be had."""
    kind = environ.get(_EXPORTER) or ("otlp" if any(environ.get(name) for name in _ENDPOINTS) else "")
    if kind in ("", "none"):
        return None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = _exporter(kind)
    except ImportError as error:
        _log.warning("%s=%s, but %s is not installed: pip install opentelemetry-sdk", _EXPORTER, kind, error.name)
        return None
    if exporter is None:
        _log.warning("%s=%s is not known here; it is otlp, console or none", _EXPORTER, kind)
        return None
    provider = TracerProvider(resource=Resource.create({"service.name": "modctl-gateway", "modctl.service": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider.get_tracer("modctl.gateway"), provider)


def _exporter(kind: str) -> Any:
    if kind == "console":
        import sys

        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)  # a gateway's stderr is its log
    if kind == "otlp":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    return None
