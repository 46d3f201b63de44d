"""What was when start() was called: the time, what was loaded, and the modules in whose code it was called.

Those modules are what is edited first, so their files are read first. Looking at the stack is for the thread that
calls, some ten microseconds; reading the files is for the agent's own.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.reading import read_whole
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    import os
    from types import FrameType

_MOST_STARTERS: Final = 16
#: Larger sources are generated.
_MOST_BYTES: Final = 1 << 20


class Starter(NamedTuple):
    """A module that calls start().

    Attributes:
        namespace: its globals.
        path: its file, as it says itself; empty where it says none.
        found: the file's stat, None where it could not be read.
        data: its bytes at that stat.
    """

    namespace: dict[str, Any]
    path: str
    found: os.stat_result | None
    data: bytes | None


class Beginning:
    """The moment in which it is made.

    Attributes:
        at_s: when: seconds since the epoch.
        keys: the keys of sys.modules, of any type.
    """

    def __init__(self) -> None:
        self.at_s = time.time()
        self.keys: list[Any] = list(dict.keys(sys.modules)) if isinstance(sys.modules, dict) else []
        self._namespaces = _calling_namespaces()

    def starters(self) -> list[Starter]:
        """The modules whose top-level code called, the innermost first, and their files as they are now."""
        return [_read(namespace) for namespace in self._namespaces]


def _calling_namespaces() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    frame: FrameType | None = sys._getframe()
    while frame is not None and len(found) < _MOST_STARTERS:
        if frame.f_code.co_name == "<module>":
            found.append(frame.f_globals)
        frame = frame.f_back
    return found


def _read(namespace: dict[str, Any]) -> Starter:
    path = dict.get(namespace, "__file__")
    if type(path) is not str:
        return Starter(namespace, "", None, None)
    try:
        return Starter(namespace, path, *read_whole(path, _MOST_BYTES))
    except (OSError, ValueError):
        return Starter(namespace, path, None, None)
