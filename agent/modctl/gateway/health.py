"""grpc.health.v1, so that probes work without our stubs.

Its two messages are one string and one enum: google.protobuf's wrappers have the same bytes on the wire, and
grpcio-health (which would pin the newest protobuf) is not needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf import wrappers_pb2
from modctl.gateway.errors import CallFailure
from modctl.gateway.rpc import Call, Method

if TYPE_CHECKING:
    from collections.abc import Collection

    from modctl.gateway.presence import Presence

SERVICE: Final = "grpc.health.v1.Health"
SERVING: Final = 1
NOT_SERVING: Final = 2
SERVICE_UNKNOWN: Final = 3


class HealthService:
    """Serving is who has a process behind it.

    Args:
        presence: who is connected.
        services: names that may be asked for, beside none.
    """

    def __init__(self, presence: Presence, services: Collection[str]) -> None:
        self._presence = presence
        self._known = {"", SERVICE, *services}

    def methods(self) -> dict[str, Method]:
        """Check, which needs no credentials as probes have none, and Watch, which does."""
        request, response = wrappers_pb2.StringValue, wrappers_pb2.Int32Value
        return {
            "Check": Method(request, response, self.check, streams=False, open=True),
            "Watch": Method(request, response, self.watch, watches=True, guarded=False),
        }

    async def check(self, call: Call, request: wrappers_pb2.StringValue) -> None:
        """The status now."""
        if request.value not in self._known:
            raise CallFailure("NOT_FOUND", "SERVICE_UNKNOWN", f"no service {request.value[:80]!r} is served here")
        await call.write(_said(self._status(request.value)))

    async def watch(self, call: Call, request: wrappers_pb2.StringValue) -> None:
        """The status now and whenever it changes."""
        said = 0
        while True:
            changed = self._presence.changed
            status = self._status(request.value)
            if status != said:
                await call.write(_said(status))
                said = status
            await changed.wait()

    def _status(self, service: str) -> int:
        if service not in self._known:
            return SERVICE_UNKNOWN
        return SERVING if len(self._presence) else NOT_SERVING


def _said(status: int) -> bytes:
    return wrappers_pb2.Int32Value(value=status).SerializeToString()
