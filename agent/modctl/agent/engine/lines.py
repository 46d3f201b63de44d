"""Keeping linecache true: tracebacks and inspect.getsource shall show the lines that run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from modctl.agent.engine.safe import module_dict, text

if TYPE_CHECKING:
    from modctl.agent.engine.generations import Generations


def refresh(candidate: object, generations: Generations) -> None:
    """After a change: lines kept of this module's file are dropped, or set where it runs other source than its file's.

    An entry without a modification time survives linecache.checkcache(): it is how doctest and IPython do it too.
    """
    namespace = module_dict(candidate)
    filename = "" if namespace is None else text(namespace.get("__file__"))
    if not filename:
        return
    loaded = generations.loaded(candidate)
    if loaded is not None and loaded.patched and loaded.source is not None:
        import linecache

        lines = loaded.source.splitlines(keepends=True)
        linecache.cache[filename] = (len(loaded.source), None, lines, filename)
    elif (imported := sys.modules.get("linecache")) is not None:
        imported.cache.pop(filename, None)
