"""The program's own modules: what is loaded and neither the standard library's nor modctl's."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Final

_OTHERS: Final = frozenset(sys.stdlib_module_names) | {"modctl"}
#: Names that were found to belong to the others: most of a table, and a name never comes to belong to anybody else.
_known_others: Final[set[str]] = set()
_MOST_KNOWN: Final = 20_000


def is_others(name: str) -> bool:
    """Whether a module of that name is the standard library's or modctl's."""
    return name.partition(".")[0] in _OTHERS


def modules() -> list[tuple[str, ModuleType]]:
    """They, by name, in the table's order. Other things than modules are left out."""
    known = _known_others
    unknown = [(name, each) for name, each in list(sys.modules.items()) if type(name) is str and name not in known]
    found: list[tuple[str, ModuleType]] = []
    for name, each in unknown:
        if is_others(name):
            if len(known) < _MOST_KNOWN:
                known.add(name)
        elif type(each) is ModuleType:
            found.append((name, each))
    return found
