"""Who holds a module, or something defined in it: by one walk over the namespaces of all modules."""

from __future__ import annotations

import sys
import types
from itertools import chain, compress, repeat
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import table
from modctl.agent.engine.safe import class_dict, clean, is_kind, key_text, module_dict, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_HOLDERS: Final = 200
#: Containers with more members are not looked into.
MAX_MEMBERS: Final = 10_000
#: By identity: a foreign metaclass could have a `__hash__` of its own.
_CONTAINER_IDS: Final = frozenset(map(id, (list, tuple, set, frozenset, dict)))
_SEQUENCES: Final = (list, tuple)
#: What is neither a function nor a class, at a glance.
_DATA_IDS: Final = frozenset(map(id, (str, int, float, bool, bytes, type(None), list, tuple, dict, types.ModuleType)))


def definitions(candidate: object) -> dict[int, str]:
    """The identities of a module and of the functions and classes defined in it, with their names."""
    namespace = module_dict(candidate)
    if namespace is None:
        return {}
    name = text(namespace.get("__name__"))
    found = {id(candidate): name}
    for key, value in _defined(namespace, name):
        found.setdefault(id(value), f"{name}.{key}")
    return found


def definitions_of(candidates: Iterable[object]) -> list[object]:
    """The objects that definitions() names, of several modules."""
    found: list[object] = []
    for candidate in candidates:
        namespace = module_dict(candidate)
        if namespace is not None:
            mine: dict[int, object] = {id(candidate): candidate}
            mine.update((id(value), value) for _, value in _defined(namespace, text(namespace.get("__name__"))))
            found += mine.values()
    return found


def _defined(namespace: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    """The functions and classes of a namespace that say they were defined in the module of that name."""
    return [
        (key, value)
        for key, value in list(namespace.items())
        if type(key) is str and id(type(value)) not in _DATA_IDS and defined_in(value) == name
    ]


def defined_in(value: object) -> str:
    """The name of the module that a function or class says it was defined in; empty of anything else."""
    if type(value) is types.FunctionType:
        return text(value.__module__)
    if is_kind(value, type):
        return text(class_dict(value).get("__module__"))
    return ""


def importers_of(candidate: object) -> list[str]:
    """Names of the modules whose namespace holds the module, or a function or class defined in it."""
    wanted = definitions(candidate)
    found = []
    for key, other in table.entries():
        namespace = module_dict(other)
        if namespace is None or other is candidate:
            continue
        if any(id(value) in wanted for value in list(namespace.values())):
            found.append(clean(key_text(key)))
    return sorted(set(found))


def holders_of(old: Iterable[object]) -> list[dict[str, Any]]:
    """Where namespaces of loaded modules, and their classes, still hold objects of modules that were replaced.

    Holders elsewhere in the heap (instances, closures, frames) are not looked for: that is a stop of the whole process.
    Containers of the standard library's own modules are looked into only where something else holds an old object.

    Args:
        old: module objects that are no longer in the table.
    """
    wanted: dict[int, str] = {}
    kept = list(old)
    for candidate in kept:
        wanted.update(definitions(candidate))
    if not wanted:
        return []
    if not _anybody_holds(wanted, kept):
        return []
    replaced = {id(candidate) for candidate in kept}
    is_wanted, holds_none = wanted.__contains__, wanted.keys().isdisjoint
    found: list[dict[str, Any]] = []
    for key, module in table.entries():
        namespace = module_dict(module)
        if namespace is None or id(module) in replaced:
            continue
        # Passes in C pick out the few values that matter: most of a hundred thousand are neither.
        items = list(namespace.items())
        values = [value for _, value in items]
        picked = [] if holds_none(map(id, values)) else list(compress(items, map(is_wanted, map(id, values))))
        picked += compress(items, map(_CONTAINER_IDS.__contains__, map(id, map(type, values))))
        for attribute, value in picked:
            if type(attribute) is not str or attribute == "__builtins__":
                continue
            if id(value) in wanted:
                kind, hits = "module", [("", wanted[id(value)])]
            elif 0 < len(value) < MAX_MEMBERS:
                kind, hits = "container", _in_container(value, wanted)
            else:
                continue
            for place, name in hits:
                holder = f"{clean(key_text(key))}.{clean(attribute)}{place}"
                found.append({"holder": holder, "name": clean(name), "kind": kind})
            if len(found) >= MAX_HOLDERS:
                return found[:MAX_HOLDERS]
    return found


def _anybody_holds(wanted: dict[int, str], old: list[object]) -> bool:
    """Whether the walk is worth its while: mostly nobody holds anything, and a few loops in C say so."""
    gone = set(map(id, old))
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    for key, module in table.entries():
        namespace = module_dict(module)
        if namespace is not None and id(module) not in gone:
            standard = type(key) is str and key.partition(".")[0] in sys.stdlib_module_names
            (theirs if standard else ours).append(namespace)
    holds_none = wanted.keys().isdisjoint
    try:
        values = list(chain.from_iterable(map(dict.values, ours)))
        if not holds_none(map(id, values)) or not holds_none(map(id, chain.from_iterable(map(dict.values, theirs)))):
            return True
        containers = compress(values, map(_CONTAINER_IDS.__contains__, map(id, map(type, values))))
        # by identity: every namespace has the same __builtins__
        for container in {id(each): each for each in containers}.values():
            if 0 < len(container) < MAX_MEMBERS:
                members = dict.values(container) if type(container) is dict else container
                if not holds_none(map(id, members)):
                    return True
    except RuntimeError:
        return True  # something grew while it was read: look closely
    return False


def holders_by_name(old: Mapping[str, object]) -> dict[str, list[dict[str, Any]]]:
    """The same for several entries in one walk: entry name → who holds what stood there.

    Args:
        old: entry name → the module object that was replaced or removed.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for holder in holders_of(old.values()):
        name = holder["name"]
        while name and name not in old:
            name = name.rpartition(".")[0]
        if name:
            found.setdefault(name, []).append(holder)
    return found


def _in_container(value: Any, wanted: dict[int, str]) -> list[tuple[str, str]]:
    """Where in a container something wanted is, as code would name the place: ['k'], [3], […] in a set."""
    members = list(dict.values(value)) if type(value) is dict else list(value)
    if wanted.keys().isdisjoint(map(id, members)):
        return []
    if type(value) is dict:
        keys = list(dict.items(value))
        return [(_subscript(key), wanted[id(member)]) for key, member in keys if id(member) in wanted]
    places = (f"[{index}]" for index in range(len(members))) if type(value) in _SEQUENCES else repeat("[…]")
    return [(place, wanted[id(member)]) for place, member in zip(places, members, strict=False) if id(member) in wanted]


def _subscript(key: object) -> str:
    # repr of anything else could be foreign code
    return f"[{clean(repr(key))[:80]}]" if type(key) in (str, int, bytes) else "[…]"
