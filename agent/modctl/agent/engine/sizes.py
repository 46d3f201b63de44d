"""About how much memory a module holds."""

from __future__ import annotations

import types
from typing import Any, Final

from modctl.agent.engine.safe import class_dict, is_exactly, is_kind, module_dict

#: Objects looked at per module.
MAX_OBJECTS: Final = 20_000
_PLAIN: Final[tuple[Any, ...]] = (str, bytes, bytearray, int, float, complex, bool, type(None))
_CONTAINERS: Final[tuple[Any, ...]] = (list, tuple, set, frozenset)


def size_of(candidate: object) -> int:
    """Approximate bytes of a module's namespace, functions, code, classes and plain containers.

    What other modules own is not followed, memory of C objects is not seen, what two modules share counts in both.
    No foreign `__sizeof__` is asked: objects of unknown types count with their basic size.
    """
    namespace = module_dict(candidate)
    if namespace is None:
        return 0
    seen: set[int] = set()
    waiting: list[Any] = [namespace]
    total = object.__sizeof__(candidate)
    while waiting and len(seen) < MAX_OBJECTS:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        kind: Any = type(value)
        if kind is dict:
            total += dict.__sizeof__(value)
            waiting += list(dict.keys(value)) + list(dict.values(value))
        elif is_exactly(kind, *_CONTAINERS):
            total += kind.__sizeof__(value)
            waiting += list(value)
        elif is_exactly(kind, *_PLAIN):
            total += kind.__sizeof__(value)
        elif kind is types.FunctionType:
            total += object.__sizeof__(value)
            if value.__globals__ is namespace:
                waiting += [value.__code__, value.__defaults__, value.__kwdefaults__]
        elif kind is types.CodeType:
            total += types.CodeType.__sizeof__(value)
            waiting.append(value.co_consts)
        elif is_kind(value, types.ModuleType):
            continue
        elif is_kind(value, type):
            own = class_dict(value)
            if own.get("__module__") == namespace.get("__name__"):
                total += type.__sizeof__(value)
                waiting += list(own.values())
        else:
            total += object.__sizeof__(value)
    return total
