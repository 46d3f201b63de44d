"""Which other loaded modules may have to follow a change.

Static part: names that can get another value, and names made from them. Live part: modules whose namespace holds
the changed module, or an object of one of those names. Small numbers and strings are held by everybody, so a module
that holds only such is asked by its text whether it names module and name at all.
"""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.failures import RefusedError
from modctl.agent.engine.live.values import ATOMS, class_dict, is_class
from modctl.source.following import imported_names, mentions, potential_names
from modctl.source.plan import ModulePlan, Text, plan_module

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modctl.agent.engine.live.baselines import Baselines

_STDLIB = frozenset(sys.stdlib_module_names)


def add_dependents(plans: dict[str, ModulePlan], baselines: Baselines, notes: list[str]) -> None:
    """Adds plans of modules that may have to follow, until there are no more."""
    todo = {name: potential_names(plan, set()) for name, plan in plans.items() if plan.changed}
    refused: set[str] = set()
    while todo:
        name, names = todo.popitem()
        for follower in _followers(name, names):
            if follower in plans or follower in refused:
                continue
            plan = _plan_of(follower, baselines, refused, notes)
            if plan is None:
                continue
            seeds = imported_names(plan, follower, name, names)
            if seeds:
                plans[follower] = plan
                todo[follower] = potential_names(plan, seeds)


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
    return [
        other
        for other, unsure in holders_of(name, names).items()
        if not unsure or _mentions(sys.modules[other], name, unsure)
    ]


def holders_of(name: str, names: Iterable[str]) -> dict[str, list[str]]:
    """Loaded modules that may hold one of a module's names, `*` for any.

    With each comes the list of names whose values many modules hold anyway, numbers and what is at home elsewhere,
    where it holds nothing else: its text must say whether it has them from this module. An empty list leaves no doubt.
    """
    changed = sys.modules.get(name)
    if type(changed) is not ModuleType:
        return {}
    home = changed.__dict__
    keys = set(home if "*" in names else names)
    if "__all__" in keys:
        keys |= {key for key in home if key[:2] != "__"}
    sure, unsure = {id(changed)}, dict[int, str]()
    derived: set[Any] = set()
    for key in keys:
        value = home.get(key)
        kind = type(value)
        if is_class(value):
            derived |= {class_dict(cls).get("__module__") for cls in type.__subclasses__(value)}
        if kind in ATOMS or _is_at_home_elsewhere(value, kind, name):
            unsure[id(value)] = key
        else:
            sure.add(id(value))
    concerned = sure | unsure.keys()
    top_is_stdlib = name.partition(".")[0] in _STDLIB
    found: dict[str, list[str]] = {}
    for other, module in list(sys.modules.items()):
        if type(module) is not ModuleType or (not top_is_stdlib and other.partition(".")[0] in _STDLIB):
            continue
        namespace = module.__dict__
        held = list(map(id, list(namespace.values())))
        if concerned.isdisjoint(held) and other not in derived:
            continue
        if module is changed or other == "__main__" or namespace.get("__name__") != other:
            continue
        certain = other in derived or not sure.isdisjoint(held)
        found[other] = [] if certain else list(unsure.values())
    return found


def _is_at_home_elsewhere(value: object, kind: type, name: str) -> bool:
    if kind is ModuleType:
        return True
    if kind is FunctionType:
        return value.__module__ != name
    return is_class(value) and class_dict(value).get("__module__") != name  # type: ignore[arg-type]


def _mentions(module: ModuleType, name: str, names: Iterable[str]) -> bool:
    """Whether a module's text names the changed module and one of the names at all."""
    path = module.__dict__.get("__file__")
    if type(path) is not str or not path.endswith(".py"):
        return any(each in module.__dict__ for each in names)
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return True
    return mentions(text, name, names)
