"""Changes that are prepared and wait for their commit: two-phase, with a lease that runs out by itself.

What was staged is held as two functions, so that the parts of the engine that make changes need not know of waiting:
one makes the commit, which compares and sets as ever, and one drops what was staged.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.errors import RequestError
from modctl.agent.primitives import poll
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.agent.engine.journal import Asked

DEFAULT_LEASE_S: Final = 30.0
MAX_LEASE_S: Final = 300.0
#: How long a process keeps still after its commit, in milliseconds.
SETTLE_MS: Final = 15
#: Staged modules take memory: no more changes than this wait at once.
MAX_HELD: Final = 16


def nothing() -> None:
    """Does it."""


class Prepared(NamedTuple):
    """Something that is staged.

    Attributes:
        finish: makes it take effect; returns the fields of ChangeResult.
        drop: gives it up.
        modules: what would be done, as the `modules` of a ChangeResult.
    """

    finish: Callable[[], dict[str, Any]]
    drop: Callable[[], object]
    modules: list[dict[str, Any]]


class _Held(NamedTuple):
    prepared: Prepared
    asked: Asked
    names: list[str]
    due_s: float


class Holding:
    """What is prepared, by request id."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        #: Whether what was held is being committed now.
        self.committing = False
        #: What is to be done at the very moment of a commit.
        self.at_switch: Callable[[], object] = nothing

    def switched(self) -> float:
        """The moment at which new code is there: right after a commit, seconds since the epoch.

        Of a wave of processes on one machine others are committing at this very moment. They come first: what is left
        to do here is bookkeeping, and would take the processors that they wait for.
        """
        now_unix_s = time.time()
        self.at_switch()
        if self.committing:
            poll().poll(SETTLE_MS)
        return now_unix_s

    def hold(self, request_id: str, prepared: Prepared, asked: Asked, names: list[str], lease_s: float) -> None:
        """Takes it in; what was prepared under the same id before is dropped.

        Raises:
            RequestError: BUSY: too many wait already.
        """
        self.drop(request_id)
        if len(self._held) >= MAX_HELD:
            prepared.drop()
            message = f"{MAX_HELD} changes are prepared and wait for their commit already; try again later"
            raise RequestError("RESOURCE_EXHAUSTED", "BUSY", message)
        self._held[request_id] = _Held(prepared, asked, names, time.monotonic() + lease_s)

    def take(self, request_id: str, identity: str) -> Prepared | None:
        """Hands out what is prepared under an id, to be finished now; None where there is nothing, its time is over,
        or somebody else has prepared it: nobody lends his rights.
        """
        self.expire()
        held = self._held.get(request_id)
        if held is None or held.asked.identity != identity:
            return None
        del self._held[request_id]
        return held.prepared

    def drop(self, request_id: str, identity: str | None = None) -> bool:
        """Gives up what is prepared under an id, by that identity where one is given; whether there was something."""
        held = self._held.get(request_id)
        if held is None or identity not in (None, held.asked.identity):
            return False
        del self._held[request_id]
        held.prepared.drop()
        return True

    def expire(self) -> None:
        """Gives up whatever's lease is over."""
        now_s = time.monotonic()
        for request_id, held in list(self._held.items()):
            if held.due_s <= now_s:
                self.drop(request_id)

    def next_due_s(self) -> float | None:
        """Seconds until a lease is over; None where none runs."""
        due_s = min([held.due_s for held in list(self._held.values())], default=None)
        return None if due_s is None else max(0.0, due_s - time.monotonic())

    def names_of(self, request_id: str) -> list[str]:
        """The names that a prepared change is about."""
        held = self._held.get(request_id)
        return [] if held is None else held.names

    def asked(self, request_id: str) -> Asked | None:
        """Who prepared what under an id; None where nothing is."""
        held = self._held.get(request_id)
        return None if held is None else held.asked

    def forget(self) -> None:
        """Lets go of everything without dropping it: in a forked child, whose parent holds it on."""
        self._held.clear()


def lease_of(request: dict[str, Any]) -> float:
    """The lease that a request asks for, in seconds.

    Raises:
        RequestError: BAD_REQUEST.
    """
    lease_s = request.get("lease_s") or DEFAULT_LEASE_S
    if type(lease_s) not in (int, float) or not 0 < lease_s <= MAX_LEASE_S:
        message = f"lease_s is {lease_s!r}; it is a time above zero and at most {MAX_LEASE_S:g}"
        raise RequestError("INVALID_ARGUMENT", "BAD_REQUEST", message)
    return float(lease_s)
