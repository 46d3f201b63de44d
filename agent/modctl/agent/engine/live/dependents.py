"""Which other loaded modules may have to follow a change.

Static part: names that can get another value, and names made from them. Live part: modules whose namespace holds
the changed module, or an object of one of those names. Small numbers and strings are held by everybody, so a module
that holds only such is asked by its text whether it names module and name at all.
"""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live import program
from modctl.agent.engine.live.failures import RefusedError
from modctl.agent.engine.live.values import ATOMS, class_dict, is_class
from modctl.source.following import Words, imported_names, is_quiet, potential_names
from modctl.source.plain import plain_of
from modctl.source.plan import ModulePlan, Text, plan_module
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from modctl.agent.engine.live.baselines import Baselines

#: What the import system puts into every module: nobody has it from another one.
_MACHINERY = frozenset(
    {"__builtins__", "__cached__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__"}
)


def add_dependents(plans: dict[str, ModulePlan], baselines: Baselines, notes: list[str]) -> None:
    """Adds plans of modules that may have to follow, until there are no more."""
    todo = {name: potential_names(plan, set()) for name, plan in plans.items() if plan.changed}
    for name, names in todo.items():
        _doubt(plans[name], names)
    refused: set[str] = set()
    while todo:
        name, names = todo.popitem()
        for follower in _followers(name, names):
            if follower in plans or follower in refused:
                continue
            plan = _plan_of(follower, baselines, refused, notes)
            if plan is None:
                continue
            seeds = imported_names(plan.comparison.new, follower, plan.package, name, names)
            if seeds:
                plans[follower] = plan
                todo[follower] = potential_names(plan, seeds)
                _doubt(plan, todo[follower])


def _doubt(plan: ModulePlan, names: set[str]) -> None:
    plan.names, plan.quiet = frozenset(names), is_quiet(plan, names)
    plan.plain = None if plan.quiet else plain_of(plan, names)


def _plan_of(name: str, baselines: Baselines, refused: set[str], notes: list[str]) -> ModulePlan | None:
    module = sys.modules.get(name)
    if type(module) is not ModuleType:
        return None
    try:
        text: Text = baselines.of(name, module)
    except RefusedError as error:
        refused.add(name)
        notes.append(f"whether {name} has to follow cannot be told: {error}")
        return None
    return plan_module(name, text, text, package="__path__" in module.__dict__)


def _followers(name: str, names: set[str]) -> list[str]:
    found = holders_of({name: names})
    unsure = [other for other, of in found.unsure.items() if other not in found.sure for _ in of]
    mentioning = [other for other in unsure if _mentions(other, name, found.names[name])]
    return [*found.sure, *mentioning]


class Holders(NamedTuple):
    """Who holds what of some modules.

    Attributes:
        sure: modules that hold one of the modules or an object of theirs, with the modules of which.
        unsure: modules that hold a value which many hold anyway, a number or what is at home elsewhere, with the
            modules that have it too: their texts must say whether they have it from those.
        names: of each module asked about, the names of such values.
    """

    sure: dict[str, set[str]]
    unsure: dict[str, set[str]]
    names: dict[str, list[str]]


def holders_of(wanted: Mapping[str, Iterable[str]]) -> Holders:
    """Loaded modules that may hold something of other modules: of each, some names, or `*` for any.

    One pass over all namespaces, and most of them are passed over in C.
    """
    owners: dict[int, set[str]] = {}
    shared: dict[int, set[str]] = {}
    derived: dict[Any, set[str]] = {}
    found = Holders({}, {}, {})
    for name, names in wanted.items():
        changed = sys.modules.get(name)
        if type(changed) is not ModuleType:
            continue
        owners.setdefault(id(changed), set()).add(name)
        home = changed.__dict__
        keys = set(home) - _MACHINERY if "*" in names else set(names)
        if "__all__" in keys:
            keys |= {key for key in home if key[:2] != "__"}
        doubtful = found.names.setdefault(name, [])
        for key in keys:
            value: Any = home.get(key)
            kind = type(value)
            if kind is FunctionType and value.__module__ == name:  # most are
                owners.setdefault(id(value), set()).add(name)
                continue
            if is_class(value):
                cls: type
                for cls in type.__subclasses__(value):
                    derived.setdefault(class_dict(cls).get("__module__"), set()).add(name)
            if kind in ATOMS or _is_at_home_elsewhere(value, kind, name):
                shared.setdefault(id(value), set()).add(name)
                doubtful.append(key)
            else:
                owners.setdefault(id(value), set()).add(name)
    concerned = owners.keys() | shared.keys()
    for other, module in _with_any(modules_beside(wanted), concerned, derived):
        namespace = module.__dict__
        if other == "__main__" or namespace.get("__name__") != other:
            continue
        held = list(map(id, list(namespace.values())))
        for places, into in ((owners, found.sure), (shared, found.unsure)):
            of = {name for identity in places.keys() & held for name in places[identity]}
            if into is found.sure:
                of |= derived.get(other, set())
            of.discard(other)
            if of:
                into[other] = of
    return found


def modules_beside(changed: Iterable[str]) -> list[tuple[str, ModuleType]]:
    """Loaded modules that may have names from these: nothing of the standard library's or modctl's, which are most of
    the table, has any from modules of the program.
    """
    if not any(map(program.is_others, changed)):
        return program.modules()
    return [(name, each) for name, each in list(sys.modules.items()) if type(each) is ModuleType]


def _with_any(
    modules: list[tuple[str, ModuleType]], concerned: set[int], derived: dict[Any, set[str]]
) -> list[tuple[str, ModuleType]]:
    """Modules that hold one of these objects, or are among those names.

    Nothing runs between two values of a namespace, so none is copied. (Without a GIL one may change all the same.)
    """
    disjoint = concerned.isdisjoint
    try:
        return [
            (name, each) for name, each in modules if not disjoint(map(id, each.__dict__.values())) or name in derived
        ]
    except RuntimeError:
        return [
            (name, each)
            for name, each in modules
            if not disjoint(map(id, list(each.__dict__.values()))) or name in derived
        ]


def _is_at_home_elsewhere(value: object, kind: type, name: str) -> bool:
    if kind is ModuleType:
        return True
    if kind is FunctionType:
        return value.__module__ != name
    return is_class(value) and class_dict(value).get("__module__") != name


def _mentions(own_name: str, name: str, names: Iterable[str]) -> bool:
    """Whether a module's text names the changed module and one of the names at all."""
    module = sys.modules[own_name]
    path = module.__dict__.get("__file__")
    if type(path) is not str or not path.endswith(".py"):
        return any(each in module.__dict__ for each in names)
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return True
    return Words(text).mention(own_name, name, names)
