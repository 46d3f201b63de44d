"""Reading sys.modules. Nobody but commit.py writes it."""

from __future__ import annotations

import sys
from typing import Any

from modctl.agent.engine.safe import MISSING

#: One pass over a table that other threads change is repeated at most so often.
_ATTEMPTS = 20


def modules() -> dict[Any, Any]:
    """The table itself.

    Raises:
        TypeError: the program put something there that is no dict; there is nothing to be done then.
    """
    table = sys.modules
    if not isinstance(table, dict):
        raise TypeError("sys.modules is not a dict in this process; modctl cannot read it")
    return table


def entries() -> list[tuple[Any, Any]]:
    """All entries in their order, at one moment. Hashes and compares no key."""
    table = modules()
    for _ in range(_ATTEMPTS):
        try:
            return list(dict.items(table))
        except RuntimeError:  # noqa: PERF203 - the error is what is waited out
            continue  # a finalizer that the allocation triggered has changed the table
    return list(dict.copy(table).items())


def named() -> dict[str, Any]:
    """The entries whose keys are text, at one moment."""
    found = dict.copy(modules())
    if set(map(type, found)) == {str}:  # as ever
        return found
    return {key: value for key, value in found.items() if type(key) is str}


def get(name: str) -> Any:
    """The entry's object, or MISSING."""
    return dict.get(modules(), name, MISSING)


def size() -> int:
    """How many entries there are."""
    return dict.__len__(modules())


def descendants(name: str) -> list[str]:
    """The names of loaded submodules of any depth, in the table's order."""
    prefix = name + "."
    return [key for key, _ in entries() if type(key) is str and key.startswith(prefix)]
