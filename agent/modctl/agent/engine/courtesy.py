"""Letting a change have an import lock that other threads ask for without a pause.

An import lock is not fair: threads that import a missing name in a loop take it again and again, each for as long as it
runs, and whoever else wants it may wait for minutes (measured without modctl: 3.10 always, 3.11 mostly, 3.12 and 3.13
now and then). While a change waits for a name, whoever begins to import it stands back for a moment first.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import bootstrap
from modctl.agent.primitives import allocate_lock, original

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

STAND_BACK_S: Final = 0.001
_sleep: Final[Callable[[float], None]] = original(time, "sleep")

#: Names that a change waits for, each with how many do.
_awaited: dict[str, int] = {}
_lock = allocate_lock()


def _around_find_and_load(real: Callable[..., Any]) -> Callable[..., Any]:
    def _find_and_load(name, import_):  # type: ignore[no-untyped-def]  # the interpreter's signature
        if name in _awaited:
            _sleep(STAND_BACK_S)
        return real(name, import_)

    return _find_and_load


# The interpreter looks this up anew for each import of a name that is not loaded, and for no other.
_patch = bootstrap.Patch("_find_and_load", _around_find_and_load)


@contextmanager
def awaiting(names: Collection[str]) -> Iterator[None]:
    """While this is entered, imports of these names begin a little later, as long as they are not loaded."""
    if not bootstrap.FINDS_AND_LOADS:
        yield
        return
    with _lock:
        for name in names:
            _awaited[name] = _awaited.get(name, 0) + 1
        _patch.attach()
    try:
        yield
    finally:
        with _lock:
            for name in names:
                left = _awaited.pop(name, 0) - 1
                if left > 0:
                    _awaited[name] = left
            if not _awaited:
                _patch.detach()


def after_fork_in_child() -> None:
    """The threads that waited are not here."""
    global _lock
    _lock = allocate_lock()
    _awaited.clear()
    _patch.detach()
