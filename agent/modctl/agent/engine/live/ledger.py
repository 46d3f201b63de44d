"""What running statements did besides binding names, taken down and put back, so that nothing leaks from a change that
fails.

Containers of modules and classes (registries) are copied before; afterwards what was done to them is noted as a
delta, undone at once, and applied again with the commit, in terms of live objects. Threads, atexit functions,
signal handlers and the like cannot be taken back by anybody: they are told, and by policy refused.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
import warnings
from collections import deque
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.operations import cell_contents, refill_steps
from modctl.agent.engine.live.values import CONTAINERS, MAPPINGS, MISSING, class_dict, is_class

if TYPE_CHECKING:
    from modctl.agent.engine.live.merge import Merger
    from modctl.agent.engine.live.world import World

#: Modules whose containers are the interpreter's business.
_SKIPPED = frozenset(
    {"sys", "builtins", "__main__", "typing", "warnings", "linecache", "re", "abc", "gc", "os", "threading"}
)
#: Containers of weak references, which come and go with what they refer to.
_NOT_OURS = frozenset({"logging._handlerList"})


class Ledger:
    """Containers and process-wide state as they were before anything ran."""

    def __init__(self, world: World) -> None:
        self._containers: dict[int, tuple[str, Any, Any]] = {}
        self._process = _process_state()
        self._deltas: list[tuple[str, Any, Any, Any]] = []
        seen: set[int] = set()
        for staged in list(world.modules.values()):
            if staged.plan is None:
                continue
            self._module(staged.name, staged.home, seen)
            for value in list(staged.home.values()):
                if type(value) is ModuleType and value.__dict__.get("__name__") not in _SKIPPED:
                    self._module(value.__dict__.get("__name__", "?"), value.__dict__, seen)
                elif is_class(value) or type(value) is FunctionType:
                    self._value("", value, seen)

    def _module(self, name: str, namespace: dict[str, Any], seen: set[int]) -> None:
        if id(namespace) in seen:
            return
        seen.add(id(namespace))
        for key, value in list(namespace.items()):
            if key[:2] != "__" and f"{name}.{key}" not in _NOT_OURS:
                self._value(f"{name}.{key}", value, seen)

    def _value(self, what: str, value: Any, seen: set[int]) -> None:
        kind = type(value)
        if kind in CONTAINERS:
            self._containers.setdefault(id(value), (what, value, _copy(value)))
        elif kind is FunctionType:
            self._function(what, value, seen)
        elif kind not in _ATOMIC and is_class(value) and id(value) not in seen:
            seen.add(id(value))
            for key, item in list(class_dict(value).items()):
                if type(item) in CONTAINERS:
                    self._containers.setdefault(id(item), (f"{what}.{key}", item, _copy(item)))

    def _function(self, what: str, function: FunctionType, seen: set[int]) -> None:
        """What a function closes over, and the functions that it closes over or carries: singledispatch keeps
        its registry so.
        """
        if id(function) in seen:
            return
        seen.add(id(function))
        for held in [*map(cell_contents, function.__closure__ or ()), *function.__dict__.values()]:
            if type(held) in CONTAINERS:
                self._containers.setdefault(id(held), (f"{what}.<closure>", held, _copy(held)))
            elif type(held) is FunctionType:
                self._function(what, held, seen)

    def close(self) -> None:
        """Notes what was done to the containers and undoes it. Call it once, whatever became of the staging."""
        for what, container, before in self._containers.values():
            after = _copy(container)
            if not _same_items(before, after):
                self._deltas.append((what, container, before, after))
                for function, arguments in refill_steps(container, before):
                    function(*arguments)
        self._containers.clear()

    def side_effects(self) -> list[str]:
        """What cannot be taken back, in words."""
        before, after = self._process, _process_state()
        new = [(key, value) for key in after for value in after[key] if value not in before[key]]
        return [f"{key}: {value.partition(_HIDDEN)[0]}" for key, value in new]

    def decide(self, merger: Merger) -> list[str]:
        """Turns the deltas into assignments of the commit; returns the containers' names."""
        told = []
        for what, container, before, after in self._deltas:
            wanted = _applied(merger, container, before, after)
            if wanted is not None and not _same_items(wanted, _copy(container)):
                merger.put("refill", container, None, wanted, what or "a container")
                told.append(what)
        return told


_HIDDEN = "\0"  # what stands after it is compared, and told to nobody
_ATOMIC = frozenset({int, str, float, bool, bytes, tuple, type(None)})


def _copy(container: Any) -> Any:
    kind = type(container)
    return kind(container) if kind in (list, set, deque, bytearray) else dict(container)


def _same_items(one: Any, other: Any) -> bool:
    if len(one) != len(other):
        return False
    if type(one) is dict:
        return all(a is b and one[a] is other[b] for a, b in zip(one, other, strict=True))
    if type(one) is set:
        return {id(item) for item in one} == {id(item) for item in other}
    return (
        bytes(one) == bytes(other) if type(one) is bytearray else all(a is b for a, b in zip(one, other, strict=True))
    )


def _applied(merger: Merger, container: Any, before: Any, after: Any) -> Any:
    """The container's contents with the delta applied; staged objects count as what they stand for."""
    live = merger.canonical
    kind = type(container)
    if kind in MAPPINGS:
        wanted = dict(container)
        for key in before:
            if key not in after:
                wanted.pop(key, None)
        for key, value in after.items():
            if before.get(key, MISSING) is not value:
                wanted[live(key)] = value if live(value) is value else live(value)
        return wanted
    if kind is set:
        gone = {id(item) for item in before} - {id(item) for item in after}
        return {item for item in container if id(item) not in gone} | {
            live(item) for item in after if item not in before
        }
    if kind is bytearray:
        return after
    items = list(container)
    if [id(item) for item in after[: len(before)]] == [id(item) for item in before]:
        present = {id(item) for item in items}
        added = [live(item) for item in list(after)[len(before) :]]
        return kind([*items, *(item for item in added if id(item) not in present or _is_atom(item))])
    return kind(live(item) for item in after)


def _is_atom(value: Any) -> bool:
    return type(value) in _ATOMIC


def _environment() -> list[str]:
    encoded = getattr(os.environ, "_data", None)
    if type(encoded) is not dict:
        return [f"{key}{_HIDDEN}{value}" for key, value in os.environ.items()]
    # Four calls of Python for each variable otherwise, twice a change.
    raw = b"\n\0".join(key + b"\0" + value for key, value in list(encoded.items()))
    return raw.decode(errors="surrogateescape").split("\n\0")


def _process_state() -> dict[str, list[str]]:
    """What statements may change of the whole process, by kind."""
    logging = sys.modules.get("logging")
    handlers = [*getattr(getattr(logging, "root", None), "handlers", ())]
    signals = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    }
    return {
        "thread started": [f"{thread.name} ({thread.ident})" for thread in threading.enumerate()],
        "atexit functions": [str(atexit._ncallbacks())],
        "signal handler": [f"{number}: {id(handler)}" for number, handler in signals.items()],
        "handler of the root logger": [f"{type(handler).__name__} {id(handler)}" for handler in handlers],
        "finder": [f"{type(finder).__name__} {id(finder)}" for finder in [*sys.meta_path, *sys.path_hooks]],
        "sys.path entry": list(map(str, sys.path)),
        "environment variable": _environment(),
        "gc callback": [str(id(callback)) for callback in gc.callbacks],
        "warning filter": [str(item) for item in warnings.filters],
    }
