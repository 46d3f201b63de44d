"""When the gateway leaves: nobody connected for the grace period, or asked to and the last process gone."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

_log = logging.getLogger(__name__)

#: How long a fresh gateway waits for its first process: it was started by one that dials at once.
START_S: Final = 3.0


class Life:
    """Counts connections; `over` is set when the gateway is to leave. Lives on one event loop.

    Args:
        grace_s: how long to stay without any connection.
    """

    def __init__(self, grace_s: float) -> None:
        self.over = asyncio.Event()
        self.draining = False
        self._grace_s = grace_s
        self._connections = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._wait(max(grace_s, START_S), "no process came")

    def connected(self) -> None:
        """A process is there, or may be: it has connected and not yet said hello."""
        self._connections += 1
        self._stop_waiting()

    def disconnected(self) -> None:
        """It is gone."""
        self._connections -= 1
        if self._connections == 0:
            if self.draining:
                self.end("the last process left")
            else:
                self._wait(self._grace_s, "no process is left")

    def drain(self, why: str) -> None:
        """Leaves with the last process; at once where there is none."""
        if not self.draining:
            _log.info("%s: leaving with the last process (%d connected)", why, self._connections)
        self.draining = True
        if self._connections == 0:
            self.end(why)

    def end(self, why: str) -> None:
        """Leaves now."""
        if not self.over.is_set():
            _log.info("leaving: %s", why)
        self._stop_waiting()
        self.over.set()

    def _wait(self, seconds: float, why: str) -> None:
        self._stop_waiting()
        self._timer = self._loop.call_later(seconds, self.end, why)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
