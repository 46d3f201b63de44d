"""What a change of this process would have to wait for."""

from __future__ import annotations

from typing import Any, Final

from modctl.agent import shielding
from modctl.agent.engine import bootstrap
from modctl.agent.engine.safe import clean

MAX_LOCKS: Final = 200


def locks(usable: bool) -> list[dict[str, Any]]:
    """The fields of modctl.v1.Lock, of units of work under way, longest first, and of imports in flight.

    Args:
        usable: whether import locks can be looked at; see bootstrap.py.
    """
    found: list[dict[str, Any]] = [
        {
            "kind": "SHIELD",
            "what": clean(holder.what),
            "thread": clean(holder.thread),
            "task": clean(holder.task),
            "held_s": round(holder.held_s, 3),
            "place": clean(holder.place),
        }
        for holder in shielding.holders()
    ]
    in_flight = bootstrap.names_in_flight() if usable else []
    found += [{"kind": "IMPORT", "what": clean(name)} for name in in_flight]
    return found[:MAX_LOCKS]
