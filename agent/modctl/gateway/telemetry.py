"""What is told of calls to whoever watches gateways: meters and spans, each only where it is wanted."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from modctl.gateway import meters, tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modctl.gateway.presence import ConnectedProcess
    from modctl.v1 import change_pb2


class Telemetry:
    """The meters and the tracing of a gateway.

    Args:
        service: whose gateway it is.
        version: modctl's.
        processes: says who is here.
    """

    def __init__(self, service: str, version: str, processes: Callable[[], list[ConnectedProcess]]) -> None:
        self._meters, self._address = meters.wanted(service, version, processes)
        self._tracing = tracing.wanted(service)

    async def serve(self) -> None:
        """Serves the meters until cancelled; returns at once where nobody wants them."""
        if self._meters is not None:
            await meters.serve(self._meters, self._address)

    def call(
        self, method: str, identity: str, metadata: Callable[[], Mapping[str, str]]
    ) -> contextlib.AbstractContextManager[Any]:
        """Around one call; gives the span that it is, or None."""
        if self._meters is not None:
            self._meters.called(method)
        if self._tracing is None:
            return contextlib.nullcontext()
        return self._tracing.span(method, identity, metadata())

    def changed(self, span: Any, process: str, result: change_pb2.ChangeResult) -> None:
        """A process answered to a change."""
        if self._meters is not None:
            self._meters.changed(result)
        if span is not None:
            tracing.changed(span, process, result)

    def close(self) -> None:
        """Sends what is left."""
        if self._tracing is not None:
            self._tracing.close()


def texts(metadata: Any) -> dict[str, str]:
    """A call's metadata that is text."""
    return {str(key): value for key, value in metadata or () if isinstance(value, str)}
