"""A moment in which nobody imports what is about to be changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from modctl.agent import standby
from modctl.agent.engine import bootstrap, courtesy
from modctl.agent.primitives import allocate_lock, original, start_new_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_sleep: Final[Callable[[float], None]] = original(time, "sleep")
_LOOK_EVERY_S: Final = 0.002
#: A lock object that is alive but owned by nobody is about to be taken, or is held in a stored traceback: so many looks
#: tell one from the other.
_LOOKS_AT_UNOWNED: Final = 25
#: A name that is in flight at so many looks is imported all the time, or for long: then its lock is queued for.
_LOOKS_AT_OWNED: Final = 15
_GLOBAL_LOCK: Final = "the global import lock"


class ImportsHeld:
    """While this is held, nobody begins an import, and none of these names is being imported.

    CPython hands out the import lock of a name only under the global import lock, and keeps the lock object alive as
    long as somebody uses it. So: hold the global lock, and look whether a lock object of a name of concern is alive.
    Nothing is waited for while the global lock is held, so this can take part in no deadlock. Evicting without it makes
    an importer in flight fail with KeyError and execute the module twice (measured on each version).

    Args:
        names: entries that are to be changed.
        packages: entries whose submodules must not be in flight either.
        usable: what the self test of bootstrap.py says; without the private parts nothing is held.
    """

    def __init__(self, names: Iterable[str], packages: Iterable[str], usable: bool) -> None:
        self._names = list(names)
        self._prefixes = tuple(f"{package}." for package in packages)
        self._usable = usable
        self._queued: QueuedLock | None = None

    def acquire(self, timeout_s: float) -> str:
        """Empty once it is held, else the name that is in the way after the time."""
        if not self._usable:
            return ""
        deadline_s = time.monotonic() + timeout_s
        if bootstrap.try_hold_imports():
            if not self._blocker():
                return ""
            bootstrap.let_imports_go()
        standby.before_waiting()
        with courtesy.awaiting(self._names):
            return self._wait(deadline_s)

    def _wait(self, deadline_s: float) -> str:
        looks_at_unowned = looks_at_owned = 0
        while True:
            blocker = _GLOBAL_LOCK
            if bootstrap.try_hold_imports():
                blocker = self._blocker()
                if blocker and not bootstrap.is_owned(blocker):
                    looks_at_unowned += 1
                    if looks_at_unowned >= _LOOKS_AT_UNOWNED and not any(map(bootstrap.is_owned, self._in_the_way())):
                        blocker = ""
                if not blocker:
                    return ""
                bootstrap.let_imports_go()
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                self._let_go()
                return blocker
            looks_at_owned += 1
            if looks_at_owned >= _LOOKS_AT_OWNED and blocker != _GLOBAL_LOCK:
                looks_at_owned = 0
                self._let_go()
                self._queued = QueuedLock(blocker)
                if not self._queued.wait(left_s):
                    self._queued = None
            else:
                _sleep(_LOOK_EVERY_S)

    def release(self) -> None:
        """Lets imports go on."""
        if self._usable:
            bootstrap.let_imports_go()
            self._let_go()

    def _let_go(self) -> None:
        if self._queued is not None:
            self._queued.release()
            self._queued = None

    def _blocker(self) -> str:
        return next(iter(self._in_the_way()), "")

    def _in_the_way(self) -> list[str]:
        own = "" if self._queued is None else self._queued.name
        found = [name for name in self._names if name != own and bootstrap.is_in_flight(name)]
        if self._prefixes:
            found += [name for name in bootstrap.names_in_flight() if name != own and name.startswith(self._prefixes)]
        return found


class QueuedLock:
    """The import lock of one name, waited for on a thread that can be left waiting.

    Only one is ever held, and nothing is waited for with it but the global lock, which nobody keeps.

    Args:
        name: the name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._taken = allocate_lock()
        self._taken.acquire()
        self._over = allocate_lock()
        self._over.acquire()
        start_new_thread(self._hold, ())

    def wait(self, timeout_s: float) -> bool:
        """Whether it was had in time; else it is given up."""
        if self._taken.acquire(timeout=timeout_s) and self._got:
            return True
        self.release()
        return False

    def release(self) -> None:
        """Gives it back, or up."""
        if self._over.locked():
            self._over.release()

    _got = False

    def _hold(self) -> None:
        try:
            with bootstrap.import_lock_of(self.name):
                self._got = True
                self._taken.release()
                self._over.acquire()
        except RuntimeError:
            # The import system's deadlock error: the importer waits for us in turn. It is looked at again.
            if self._taken.locked():
                self._taken.release()
