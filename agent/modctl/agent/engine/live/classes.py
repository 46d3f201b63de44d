"""Bringing a live class to what a newly made one is; or saying why the new one must take its place.

A class that can be changed in place keeps its identity, its instances and its subclasses. Attributes that the old
statement did not bind (counters set at run time, monkeypatches) are left alone, and so are data attributes whose
statement stayed.
"""

from __future__ import annotations

import abc
import enum
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.enums import merge_members, same_members
from modctl.agent.engine.live.states import BEHAVIOUR, UNTOUCHED, VALUE, Site
from modctl.agent.engine.live.values import MISSING, class_dict, mro
from modctl.source.comparison import bound

if TYPE_CHECKING:
    from modctl.agent.engine.live.merge import Merger
    from modctl.source.statements import Statement

_HEAP_TYPE = 1 << 9
#: What the interpreter keeps in a class's namespace for itself.
MACHINERY = frozenset({
    "__dict__", "__weakref__", "__module__", "__qualname__", "__slots__", "_abc_impl", "__abstractmethods__",
    "__classcell__", "__classdictcell__", "__annotations__", "__annotations_cache__",
})  # fmt: skip
#: What dataclass() and its like make of a class; absent from the new one, it is taken off.
_GENERATED = frozenset({
    "__init__", "__repr__", "__eq__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__setattr__", "__delattr__",
    "__match_args__", "__dataclass_fields__", "__dataclass_params__", "__replace__",
})  # fmt: skip
_LINES = frozenset({"__firstlineno__", "__static_attributes__"})


def merge_classes(merger: Merger, live: type, new: type, site: Site) -> tuple[Any, int]:
    """Brings `live` to what `new` is. Returns the class to bind and the state."""
    reason = cannot_stay(merger, live, new)
    if reason is not None:
        merger.replaced.append((site.what, reason))
        merger.replaced_classes.append((live, new))
        return new, VALUE
    merger.world.stands_for(new, live)
    state = _bases(merger, live, new, site)
    if isinstance(live, enum.EnumMeta):
        state = max(state, merge_members(merger, live, new, site))
    state = max(state, merge_namespace(merger, live, dict(class_dict(new)), site))
    state = max(state, remove_gone(merger, live, class_dict(new), site))
    merge_annotations(merger, live, class_dict(new).get("__annotations__"), site)
    for name in ("__qualname__",):
        wanted = type.__dict__[name].__get__(new)
        if type.__dict__[name].__get__(live) != wanted:
            merger.put("type slot", live, name, wanted, site.what)
    merger.leftover_classes.append(new)
    if isinstance(live, abc.ABCMeta):
        merger.abstract.append(live)
    return live, state


def cannot_stay(merger: Merger, live: type, new: type) -> str | None:
    """Why a class cannot be changed in place into the new one; None where it can."""
    if merger.canonical(type(live)) is not merger.canonical(type(new)):
        return "its metaclass is another"
    if _layout(live) != _layout(new):
        return "its slots or its layout differ"
    if isinstance(live, enum.EnumMeta) and not same_members(live, new):
        return "a member was removed or has another value"
    if issubclass(live, tuple) and class_dict(live).get("_fields") != class_dict(new).get("_fields"):
        return "its fields are positions of a tuple, and they differ"
    wanted = tuple(merger.canonical(base) for base in new.__bases__)
    if wanted != live.__bases__ and not _bases_fit(live.__bases__, wanted, live):
        return "its bases have another layout"
    return None


def _layout(cls: type) -> tuple[object, ...]:
    slots = sorted(name for name, value in class_dict(cls).items() if type(value) is MemberDescriptorType)
    return (cls.__basicsize__, cls.__itemsize__, bool(cls.__dictoffset__), bool(cls.__weakrefoffset__), slots)


def _bases_fit(held: tuple[type, ...], wanted: tuple[type, ...], live: type) -> bool:
    """Whether CPython accepts the assignment to `__bases__`: the best bases must be alike down to their deallocator."""
    if any(live is base or live in mro(base) for base in wanted):
        return False
    old, new = _best_base(held), _best_base(wanted)
    if old is new:
        return True
    return (
        bool(old.__flags__ & new.__flags__ & _HEAP_TYPE)
        and _layout(old)[:4] == _layout(new)[:4]
        and (_solid(old) is _solid(new))
    )


def _best_base(bases: tuple[type, ...]) -> type:
    best = bases[0]
    for base in bases[1:]:
        if _solid(base) is not _solid(best) and issubclass(_solid(base), _solid(best)):
            best = base
    return best


def _solid(cls: type) -> type:
    """The nearest class that adds to the layout of instances."""
    for base in mro(cls):
        own_slots = any(type(value) is MemberDescriptorType for value in class_dict(base).values())
        if own_slots or not base.__flags__ & _HEAP_TYPE:
            return base
    return object


def _bases(merger: Merger, live: type, new: type, site: Site) -> int:
    wanted = tuple(merger.canonical(base) for base in new.__bases__)
    if wanted == live.__bases__:
        return UNTOUCHED
    merger.put("type slot", live, "__bases__", wanted, site.what)
    return BEHAVIOUR


def merge_namespace(merger: Merger, live: type, namespace: dict[str, Any], site: Site) -> int:
    """Merges attributes of a newly run body into the live class."""
    held_names = class_dict(live)
    is_enum = isinstance(live, enum.EnumMeta)
    texts = _texts(site.old_statement), _texts(site.statement)
    owned = bound(site.old_statement.body) if site.old_statement is not None else {}
    changed = UNTOUCHED
    for name, value in namespace.items():
        if name in MACHINERY or type(value) in (GetSetDescriptorType, MemberDescriptorType):
            continue
        of_members = is_enum and (name.startswith("_") or name in live.__members__)  # type: ignore[attr-defined]  # an enum has them
        if of_members and not isinstance(value, (FunctionType, staticmethod, classmethod, property)):
            continue
        held = held_names.get(name, MISSING)
        inside = _attribute_site(site, name, name in owned or name in _GENERATED)
        if name in _LINES:
            if held is not MISSING and held != value:
                merger.put("type", live, name, value, inside.what)
            continue
        stayed = name in texts[0] and texts[0].get(name) == texts[1].get(name)
        if stayed and held is not MISSING and merger.keeps(held, value, site, name):
            continue
        if name == "__doc__" and held is not MISSING and held == value:
            continue
        settled, state = merger.merge(held, value, inside)
        if settled is not held:
            merger.put("type", live, name, settled, inside.what)
            merger.attributes.add(inside.what)
            changed = BEHAVIOUR
        elif state == VALUE:
            merger.attributes.add(inside.what)
        changed = max(changed, min(state, BEHAVIOUR))
    return changed


def _attribute_site(site: Site, name: str, owned: bool) -> Site:
    return Site(site.module, f"{site.what}.{name}", owned=owned, born=True, statement=site.statement)


def _texts(statement: Statement | None) -> dict[str, tuple[str, ...]]:
    """Name to the texts of the statements of the class's body that bind it."""
    found: dict[str, tuple[str, ...]] = {}
    for inner in statement.body if statement is not None else ():
        for name in inner.writes:
            found[name] = (*found.get(name, ()), inner.text)
    return found


def remove_gone(merger: Merger, live: type, namespace: Any, site: Site) -> int:
    """Takes off what the old statement bound, or a decorator made, and the new class has not."""
    owned = set(bound(site.old_statement.body)) if site.old_statement is not None else set()
    if "__dataclass_fields__" in class_dict(live):
        owned |= _GENERATED
    gone = [name for name in class_dict(live) if name in owned and name not in namespace and name not in MACHINERY]
    for name in gone:
        merger.put("type", live, name, MISSING, f"{site.what}.{name}")
        merger.attributes.add(f"{site.what}.{name}")
        merger.removed.append(f"{site.what}.{name}")
    return BEHAVIOUR if gone else UNTOUCHED


def merge_annotations(merger: Merger, live: type, notes: Any, site: Site) -> None:
    """Annotations of a class are a dict of its own; it stays and takes the new contents."""
    held = class_dict(live).get("__annotations__")
    if type(notes) is not dict:
        notes = {}
    if type(held) is dict:
        if not merger.same(held, notes) or list(held) != list(notes):
            merger.put("refill", held, None, dict(notes), f"{site.what}.__annotations__")
    elif notes:
        merger.put("type", live, "__annotations__", dict(notes), site.what)
