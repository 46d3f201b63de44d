"""An engine that is loaded and attached on the agent's thread: having it costs the service's own thread nothing.

What start() was called by is seen on the thread that calls it; everything else, the files of these modules first, waits
for the agent's thread.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.beginning import Beginning
from modctl.agent.primitives import allocate_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modctl.agent.engine import Engine
    from modctl.agent.ports import WatchPort

#: How long a fork waits for an engine that is just being loaded (20 ms): a child must not inherit a half-done import.
LOADING_S: Final = 5.0


class DeferredEngine:
    """The engine of a process, there from `start()` on.

    Args:
        make: loads and makes it.
    """

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._beginning: Beginning | None = Beginning()
        self._engine: Engine | None = None
        self._stopped = False
        self._loading = allocate_lock()

    def start(self) -> None:
        """Loads and attaches the engine, once. Called on the agent's thread, before it answers anybody."""
        with self._loading:
            beginning, self._beginning = self._beginning, None
            if beginning is None or self._stopped:
                return
            starters = beginning.starters()
            self._engine = self._make()
            self._engine.start(beginning, starters)
            self._stop_late()

    def stop(self) -> None:
        """Puts back what was hooked; what is still being loaded hooks nothing for long."""
        self._stopped = True
        if self._engine is not None:
            self._engine.stop()

    def _stop_late(self) -> None:
        """Where stop() came while the engine was not there yet."""
        if self._stopped and self._engine is not None:
            self._engine.stop()

    @property
    def _there(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the engine is asked before it is there")
        return self._engine

    @property
    def revision(self) -> int:
        """The newest committed revision."""
        return 0 if self._engine is None else self._engine.revision

    @property
    def frozen(self) -> bool:
        """Whether changes are refused."""
        return self._engine is not None and self._engine.frozen

    @property
    def frozen_reason(self) -> str:
        """Why."""
        return "" if self._engine is None else self._engine.frozen_reason

    @property
    def entries(self) -> int:
        """How many entries sys.modules has."""
        return len(sys.modules) if self._engine is None else self._engine.entries

    def quiesce(self, timeout_s: float) -> bool:
        """Waits for a change in flight, or for the engine's loading; False when it took too long."""
        if not self._loading.acquire(timeout=max(timeout_s, LOADING_S)):
            return False
        self._loading.release()
        return self._engine is None or self._engine.quiesce(timeout_s)

    def resume(self) -> None:
        """Ends what quiesce() began."""
        if self._engine is not None:
            self._engine.resume()

    def after_fork_in_child(self) -> None:
        """Fresh locks; what was done stays known."""
        self._loading = allocate_lock()
        if self._engine is not None:
            self._engine.after_fork_in_child()
        else:
            self._beginning = self._beginning or Beginning()  # the parent's was taken by a thread that is not here

    def answer(self, request: dict[str, Any]) -> Iterator[bytes]:
        """The bodies of the answer to a request that reads."""
        return self._there.answer(request)

    def change(self, request: dict[str, Any]) -> bytes:
        """Makes a change; the body of its result."""
        return self._there.change(request)

    def watch(self, patterns: list[str], since_revision: int | None) -> WatchPort:
        """Begins to watch."""
        return self._there.watch(patterns, since_revision)

    def next_expiry_s(self) -> float | None:
        """Seconds until something is to be done by itself."""
        return None if self._engine is None else self._engine.next_expiry_s()

    def expire(self) -> None:
        """Does what is due."""
        self._there.expire()
