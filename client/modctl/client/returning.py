"""Gateways of this machine that died this moment: they are back within half a second, and what they serve with them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.results import Row
    from modctl.client.targets import Target

#: How long to wait before looking again, in seconds.
BACK_S: Final = 0.7
#: How often, at most.
LOOKS: Final = 4
#: Nobody listens: it died just now, or long ago and nobody has put its socket away.
_NOBODY: Final = frozenset({"NO_SOCKET", "REFUSED"})
#: Somebody listens who has begun just now, or is ending.
_BEGINNING: Final = frozenset({"CLOSED", "NO_PROCESS"})
#: A gateway that died soon after it came is brought back more slowly than one that had served for long.
_YOUNG_S: Final = 60.0


def lost(targets: Sequence[Target], rows: Sequence[Row[Any]], look: int, *, everybody: bool) -> list[Target]:
    """Of the targets that were found and not named, those that may be about to be back.

    Args:
        targets: who was asked.
        rows: what came.
        look: how often they have been looked at again; for an old socket that nobody serves, once is enough.
        everybody: whether each of their processes was asked for: then one without any has just begun.
    """
    told: dict[str, set[str]] = {}
    for row in rows:
        silent = row.error is not None and not row.process
        told.setdefault(row.target, set()).add(row.error.reason if silent and row.error is not None else "")
    found = []
    for target in targets:
        reasons = told.get(target.label, set() if everybody else {""})
        if not target.discovered or not reasons <= _BEGINNING | _NOBODY:
            continue
        if look == 0 or not reasons & _NOBODY or _is_young(target.path):
            found.append(target)
    return found


def _is_young(path: str) -> bool:
    try:
        return abs(time.time() - os.stat(path).st_mtime) < _YOUNG_S
    except OSError:
        return True  # it is just being made anew
