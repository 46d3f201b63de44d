"""Changes with a time to live: when they take themselves back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modctl.agent.engine.journal import Revision
    from modctl.agent.engine.plan import Step


class Expiry(NamedTuple):
    """Some operations of a revision that end at one time.

    Attributes:
        due_s: on the monotonic clock, which nobody can set.
        revision: what they are part of; it holds what is to be put back, even when the journal has let it go.
        operations: their indexes.
        names: the entries concerned.
    """

    due_s: float
    revision: Revision
    operations: frozenset[int]
    names: tuple[str, ...]


class Expiries:
    """What is due when."""

    def __init__(self) -> None:
        self._waiting: list[Expiry] = []
        #: Name → when it is taken back, in seconds since the epoch, for people.
        self.by_name: dict[str, float] = {}
        self.on_change: Callable[[str], None] = lambda _: None

    def schedule(self, revision: Revision, steps: Sequence[Step]) -> None:
        """Notes the operations of a committed revision that have a time to live."""
        by_ttl: dict[float, list[Step]] = {}
        for step in steps:
            if ttl_s := getattr(step.operation, "ttl_s", 0.0):  # evictions and imports have none
                by_ttl.setdefault(ttl_s, []).append(step)
        for ttl_s, found in by_ttl.items():
            names = tuple(name for step in found for name in step.names)
            operations = frozenset(step.number for step in found)
            self._waiting.append(Expiry(time.monotonic() + ttl_s, revision, operations, names))
            expires_at_s = time.time() + ttl_s
            revision.expires_at_s = min(revision.expires_at_s or expires_at_s, expires_at_s)
            for name in names:
                self.by_name[name] = expires_at_s
                self.on_change(name)
        self._waiting.sort(key=lambda expiry: expiry.due_s)

    def cancel(self, number: int) -> None:
        """The revision was taken back before its time."""
        for expiry in [expiry for expiry in self._waiting if expiry.revision.number == number]:
            self._drop(expiry)

    def next_due_s(self) -> float | None:
        """Seconds until the next is due, 0 where one is; None where nothing waits."""
        return max(0.0, self._waiting[0].due_s - time.monotonic()) if self._waiting else None

    def postpone(self, expiry: Expiry, wait_s: float) -> None:
        """One that was due could not be taken back yet."""
        self._waiting.append(expiry._replace(due_s=time.monotonic() + wait_s))
        self._waiting.sort(key=lambda each: each.due_s)

    def due(self) -> list[Expiry]:
        """Takes out what is due."""
        now_s = time.monotonic()
        found = [expiry for expiry in self._waiting if expiry.due_s <= now_s]
        for expiry in found:
            self._drop(expiry)
        return found

    def _drop(self, expiry: Expiry) -> None:
        self._waiting.remove(expiry)
        expiry.revision.expires_at_s = None
        for name in expiry.names:
            self.by_name.pop(name, None)
            self.on_change(name)
