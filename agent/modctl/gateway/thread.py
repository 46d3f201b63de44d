"""The gateway in a thread of this process: for tests, and for places that may not start programs.

It brings everything into the process that the gateway's own process keeps out of it (grpc, its threads, its memory),
and a process that forks must not do this.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from modctl.gateway.claim import Claim
from modctl.gateway.errors import ClaimError
from modctl.gateway.gateway import DEFAULT_GRACE_S, Gateway

if TYPE_CHECKING:
    from types import TracebackType

SelfT = TypeVar("SelfT", bound="ThreadGateway")

_log = logging.getLogger(__name__)

START_S: Final = 10.0
STOP_S: Final = 10.0


class ThreadGateway:
    """A gateway that runs. Also a context manager."""

    def __init__(self, claim: Claim, service: str, grace_s: float) -> None:
        self._gateway = Gateway(claim, service, grace_s)
        self._claim = claim
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="modctl-gateway", daemon=True)
        self._thread.start()
        self._ready.wait(START_S)
        for failure in self._failures:
            self._thread.join(STOP_S)
            raise ClaimError(f"the gateway could not start: {failure}") from failure

    @property
    def addresses(self) -> list[str]:
        """Where it is served."""
        return self._gateway.addresses()

    @property
    def running(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ends it and waits until everything of it is gone. Idempotent."""
        if self._loop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(self._gateway.end, "stop() was called")
        self._thread.join(STOP_S)

    def __enter__(self: SelfT) -> SelfT:  # noqa: PYI019 - typing.Self is Python 3.11's
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - the thread's last words: whoever waits for it must hear
            self._failures.append(error)
            _log.exception("the gateway ended")
        finally:
            self._claim.release()
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._gateway.run(self._ready.set)


def serve_in_thread(instance_dir: str, service: str, grace_s: float = DEFAULT_GRACE_S) -> ThreadGateway:
    """Starts a gateway in a thread; it serves when this returns.

    Raises:
        TakenError: another gateway has the instance.
        ClaimError: it cannot start.
    """
    return ThreadGateway(Claim(instance_dir), service, grace_s)
