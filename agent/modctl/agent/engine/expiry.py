"""Changes with a time to live, or that wait for a confirmation: when they take themselves back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modctl.agent.engine.journal import Revision
    from modctl.agent.engine.plan import Step


class Expiry(NamedTuple):
    """Some operations of a revision that end at one time.

    Attributes:
        due_s: on the monotonic clock, which nobody can set.
        revision: what they are part of; it holds what is to be put back, even when the journal has let it go.
        operations: their indexes; None where the revision as a whole ends.
        names: the entries concerned.
        unconfirmed: whether a confirmation lets it stand.
        tries: how often it was due and could not be taken back yet.
    """

    due_s: float
    revision: Revision
    operations: frozenset[int] | None
    names: tuple[str, ...]
    unconfirmed: bool = False
    tries: int = 0


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
            self._add(Expiry(time.monotonic() + ttl_s, revision, operations, names))

    def schedule_whole(self, revision: Revision, ttl_s: float) -> None:
        """Notes that a committed revision ends as a whole after so many seconds."""
        self._add(Expiry(time.monotonic() + ttl_s, revision, None, _names_of(revision)))

    def expect_confirmation(self, revision: Revision, within_s: float) -> None:
        """Notes that a committed revision ends unless it is confirmed."""
        self._add(Expiry(time.monotonic() + within_s, revision, None, _names_of(revision), unconfirmed=True))

    def confirm(self, number: int) -> list[Revision]:
        """Lets a revision stand, 0 all that wait for it; those that did. Callable from any thread."""
        found = [each for each in list(self._waiting) if each.unconfirmed and number in (0, each.revision.number)]
        return [expiry.revision for expiry in found if self._drop(expiry)]

    def cancel(self, number: int) -> None:
        """The revision was taken back before its time."""
        for expiry in list(self._waiting):
            if expiry.revision.number == number:
                self._drop(expiry)

    def _add(self, expiry: Expiry) -> None:
        revision = expiry.revision
        at_s = time.time() + max(0.0, expiry.due_s - time.monotonic())
        if expiry.unconfirmed:
            revision.confirm_by_s = at_s
        else:
            revision.expires_at_s = min(revision.expires_at_s or at_s, at_s)
        for name in expiry.names:
            self.by_name[name] = at_s
            self.on_change(name)
        self._waiting.append(expiry)

    def next_due_s(self) -> float | None:
        """Seconds until the next is due, 0 where one is; None where nothing waits."""
        if not self._waiting:
            return None
        due_s = min([expiry.due_s for expiry in list(self._waiting)], default=None)
        return None if due_s is None else max(0.0, due_s - time.monotonic())

    def postpone(self, expiry: Expiry, wait_s: float) -> None:
        """One that was due could not be taken back yet."""
        self._add(expiry._replace(due_s=time.monotonic() + wait_s, tries=expiry.tries + 1))

    def due(self) -> list[Expiry]:
        """Takes out what is due."""
        now_s = time.monotonic()
        found = [expiry for expiry in list(self._waiting) if expiry.due_s <= now_s]
        return sorted(filter(self._drop, found), key=lambda expiry: expiry.due_s)

    def _drop(self, expiry: Expiry) -> bool:
        """Takes one out; False where another thread was faster: it was confirmed, or its time was over, just now."""
        try:
            self._waiting.remove(expiry)
        except ValueError:
            return False
        if expiry.unconfirmed:
            expiry.revision.confirm_by_s = None
        else:
            expiry.revision.expires_at_s = None
        for name in expiry.names:
            self.by_name.pop(name, None)
            self.on_change(name)
        return True


def _names_of(revision: Revision) -> tuple[str, ...]:
    return tuple(str(each["name"]) for each in revision.modules)
