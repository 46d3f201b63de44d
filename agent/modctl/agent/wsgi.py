"""Each request of a WSGI application as one unit of work: no change lands inside it.

    app = modctl.agent.wsgi.ShieldMiddleware(app)

The unit of work lasts until the response is made: for one that is made piece by piece until the server closes it, as
PEP 3333 has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.agent.shielding import Shield

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class ShieldMiddleware:
    """Wraps a WSGI application.

    Args:
        application: what is wrapped.
        exempt: says of which requests, by their environ, a change need not wait: those that last for long.
    """

    def __init__(
        self, application: Callable[..., Iterable[bytes]], exempt: Callable[[dict[str, Any]], bool] | None = None
    ) -> None:
        self.application = application
        self._exempt = exempt

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handles one request."""
        if self._exempt is not None and self._exempt(environ):
            return self.application(environ, start_response)
        shield = Shield(f"{environ.get('REQUEST_METHOD', '')} {environ.get('PATH_INFO', '')}")
        shield.__enter__()
        try:
            response = self.application(environ, start_response)
        except BaseException:
            shield.__exit__()
            raise
        if type(response) in (list, tuple) or _is_file(response, environ):
            # It is made already, or made by the server itself, which sends a file in a way of its own.
            shield.__exit__()
            return response
        return _Shielded(response, shield)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.application, attribute)


def _is_file(response: object, environ: dict[str, Any]) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(response, wrapper)


class _Shielded:
    """A response that ends its unit of work when it is closed."""

    def __init__(self, response: Iterable[bytes], shield: Shield) -> None:
        self._response = response
        self._shield: Shield | None = shield

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._response)

    def close(self) -> None:
        """What the server calls once it has sent everything, or given up."""
        try:
            close = getattr(self._response, "close", None)
            if close is not None:
                close()
        finally:
            self._end()

    def _end(self) -> None:
        shield, self._shield = self._shield, None
        if shield is not None:
            shield.__exit__()

    def __del__(self) -> None:
        self._end()  # a server that forgets close()
