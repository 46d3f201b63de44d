"""Watches imports from start() on: how long each takes, and what its file was before it was read."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import bootstrap
from modctl.agent.engine.generations import Stat
from modctl.agent.engine.live import keeping
from modctl.agent.engine.safe import text
from modctl.agent.primitives import get_ident

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.agent.engine.generations import Generations

_STATTED_SUFFIXES: Final = (".py", ".pyw", ".pyc", ".so")


class Import:
    """One import that runs."""

    __slots__ = ("began_ns", "nested_ns", "spec", "stat")

    def __init__(self, spec: Any, stat: Stat | None) -> None:
        self.spec = spec
        self.stat = stat
        self.nested_ns = 0
        self.began_ns = time.perf_counter_ns()


class Recorder:
    """Hooks the one place through which first imports of every kind of loader go, and the one of reloads.

    An import costs a few microseconds more; nothing else does. What goes wrong in here is counted and never reaches the
    importing code.

    Args:
        generations: where what is learned is kept.
        usable: the self test of bootstrap.py.
    """

    def __init__(self, generations: Generations, usable: dict[str, bool]) -> None:
        self._generations = generations
        self._running: dict[int, list[Import]] = {}
        #: For threads that stage a change: the names that they have loaded, in order of completion.
        self._followed: dict[int, list[tuple[str, Any]]] = {}
        self._patches: list[bootstrap.Patch] = []
        if usable["load"]:
            self._patches.append(bootstrap.Patch("_load_unlocked", self._around_load))
        if usable["exec"]:
            self._patches.append(bootstrap.Patch("_exec", self._around_exec))
        self._follows = usable["load"]
        self.failures = 0
        self._active = False

    def attach(self) -> None:
        """Begins to watch."""
        self._active = True
        for patch in self._patches:
            patch.attach()

    def detach(self) -> None:
        """Puts everything back."""
        self._active = False
        for patch in self._patches:
            patch.detach()
        self._running.clear()

    def after_fork_in_child(self) -> None:
        """Imports that other threads of the parent were in are not going on here."""
        own = get_ident()
        self._running = {ident: stack for ident, stack in self._running.items() if ident == own}
        self._followed = {}

    @property
    def follows(self) -> bool:
        """Whether follow() tells anything."""
        return self._follows and self._active

    def follow(self) -> list[tuple[str, Any]]:
        """From now on tells what this thread loads, into the list that it returns."""
        return self._followed.setdefault(get_ident(), [])

    def unfollow(self) -> None:
        """Stops telling."""
        self._followed.pop(get_ident(), None)

    # The two wrappers are made here and disguised as frames of the import system by Patch. `finally` adds nothing to a
    # traceback, and a spec is all that they look at.
    def _around_load(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        begin, end = self._begin, self._end

        def _load_unlocked(spec: Any) -> Any:
            running = begin(spec)
            module = None
            try:
                module = original(spec)
                return module
            finally:
                end(running, module)

        return _load_unlocked

    def _around_exec(self, original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        begin, end = self._begin, self._end

        def _exec(spec: Any, module: Any) -> Any:
            running = begin(spec)
            executed = None
            try:
                executed = original(spec, module)
                return executed
            finally:
                end(running, executed, True)

        return _exec

    def _begin(self, spec: Any) -> Import | None:
        if not self._active:
            return None
        try:
            running = Import(spec, stat_of(spec))
            self._running.setdefault(get_ident(), []).append(running)
        except Exception:  # noqa: BLE001 - an import of the host must never fail because of the recorder
            self.failures += 1
            return None
        return running

    def _end(self, running: Import | None, module: Any, again: bool = False) -> None:
        if running is None:
            return
        try:
            took_ns = time.perf_counter_ns() - running.began_ns
            ident = get_ident()
            stack = self._running.get(ident, [])
            if running in stack:  # greenlets may end imports in another order than they began them
                stack.remove(running)
            if stack:
                stack[-1].nested_ns += took_ns
            else:
                self._running.pop(ident, None)
            if module is None:
                return
            loaded = self._generations.remember(module)
            loaded.import_ms = took_ns / 1e6
            loaded.import_self_ms = max(0, took_ns - running.nested_ns) / 1e6
            loaded.stat, loaded.proven, loaded.digest, loaded.patched = (
                running.stat,
                running.stat is not None,
                "",
                False,
            )
            loaded.source, loaded.state = None, ""
            ours = text(running.spec.name).startswith("modctl.")  # never changed, so never compared
            packed = None if ours else keeping.keep(text(running.spec.origin), running.stat)
            self._generations.keep(loaded, packed)
            if again:
                self._generations.reloaded(text(running.spec.name), module, running.spec)
            if (followed := self._followed.get(ident)) is not None:
                followed.append((text(running.spec.name), module))
        except Exception:  # noqa: BLE001 - as above
            self.failures += 1


def stat_of(spec: Any) -> Stat | None:
    """The stat of the file that a spec points at; None where it points at none that code is loaded from.

    Taken before the loader reads: a file that changes in between then shows as MODIFIED, never falsely as CLEAN.
    """
    if not bootstrap.is_spec(spec):
        return None
    origin = text(spec.__dict__.get("origin"))
    return stat_of_file(origin) if origin.endswith(_STATTED_SUFFIXES) else None


def stat_of_file(path: str) -> Stat | None:
    """A regular file's stat, or None where it cannot be had."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return Stat(found.st_mtime_ns, found.st_size, found.st_ino)
