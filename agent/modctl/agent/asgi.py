"""Each request of an ASGI application as one unit of work: no change lands inside it.

    app = modctl.agent.asgi.ShieldMiddleware(app)

Requests of HTTP are shielded. A websocket may be open for days, and no change would ever be made: its application says
`async with agent.shield():` around the handling of each message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.agent.shielding import Shield

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class ShieldMiddleware:
    """Wraps an ASGI application.

    Args:
        application: what is wrapped.
        exempt: says of which requests, by their scope, a change need not wait: streams of events and the like.
    """

    def __init__(
        self, application: Callable[..., Awaitable[None]], exempt: Callable[[dict[str, Any]], bool] | None = None
    ) -> None:
        self.application = application
        self._exempt = exempt

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Handles one connection."""
        if scope.get("type") != "http" or (self._exempt is not None and self._exempt(scope)):
            await self.application(scope, receive, send)
            return
        async with Shield(f"{scope.get('method', '')} {scope.get('path', '')}"):
            await self.application(scope, receive, send)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.application, attribute)
