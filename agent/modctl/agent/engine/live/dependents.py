"""Which other loaded modules may have to follow a change.

Static part: names that can get another value, and names made from them. Live part: modules whose namespace holds
the changed module, or an object of one of those names. Small numbers and strings are held by everybody, so a module
that holds only such is asked by its text whether it names module and name at all.
"""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from modctl.agent.engine.live.failures import RefusedError
from modctl.agent.engine.live.values import ATOMS, class_dict, is_class
from modctl.source.comparison import SAME
from modctl.source.plan import ModulePlan, Text, plan_module
from modctl.source.statements import IMPORT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modctl.agent.engine.live.baselines import Baselines

_STDLIB = frozenset(sys.stdlib_module_names)


def potential_names(plan: ModulePlan, seeds: set[str]) -> set[str]:
    """Names of a module that may get another value or behaviour: those of changed statements, those given, and
    their readers.
    """
    comparison = plan.comparison
    found = set(seeds) | set(comparison.removed)
    for statement, status in zip(comparison.new, comparison.statuses, strict=True):
        if status != SAME or statement.index in comparison.displaced:
            found |= statement.touches
            if statement.dynamic:
                found.add("*")
    for index in comparison.gone:
        found |= comparison.old[index].touches
    growing = True
    while growing:
        growing = False
        for statement in comparison.new:
            if statement.touches <= found:
                continue
            reads = set(statement.reads) | {chain[0] for chain in statement.lazy}
            if reads & found:
                found |= statement.touches
                growing = True
    return found


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
            seeds = _imported(plan, follower, name, names)
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


def _imported(plan: ModulePlan, follower: str, name: str, names: set[str]) -> set[str]:
    """Names of the follower that are bound by importing the changed module or one of the names."""
    package = follower if plan.package else follower.rpartition(".")[0]
    found: set[str] = set()
    for statement in plan.comparison.new:
        for item in statement.imports:
            base = _absolute(item.module, item.level, package)
            if base == name and (
                item.attribute in names or item.attribute == "*" or not item.attribute or "*" in names
            ):
                found.add(item.binds if item.binds != "*" else "*")
            elif (
                not item.attribute and (name == base or name.startswith(f"{base}.") or base.startswith(f"{name}."))
            ) or (item.attribute and f"{base}.{item.attribute}" == name):
                found.add(item.binds)
        if statement.kind != IMPORT and any(i.binds in found for i in statement.lazy_imports):
            found |= statement.touches
    return found


def _absolute(module: str, level: int, package: str) -> str:
    if not level:
        return module
    base = package.rsplit(".", level - 1)[0] if level > 1 else package
    return f"{base}.{module}" if module else base


def _followers(name: str, names: set[str]) -> list[str]:
    changed = sys.modules.get(name)
    if type(changed) is not ModuleType:
        return []
    home = changed.__dict__
    wanted = {id(changed)}
    atoms: dict[int, str] = {}
    for key in names if "*" not in names else home:
        value = home.get(key)
        if type(value) in ATOMS:
            atoms[id(value)] = key
        elif value is not None:
            wanted.add(id(value))
    if "__all__" in names:
        wanted |= {id(value) for value in home.values() if type(value) not in ATOMS}
        atoms.update({id(value): key for key, value in home.items() if type(value) in ATOMS and key[:2] != "__"})
    tops = {name.partition(".")[0]}
    top_is_stdlib = bool(tops & _STDLIB)
    found: list[str] = []
    derived = {
        class_dict(cls).get("__module__")
        for key in (names if "*" not in names else home)
        if is_class(home.get(key))
        for cls in type.__subclasses__(home[key])
    }
    concerned = wanted | atoms.keys()
    for other, module in list(sys.modules.items()):
        if type(module) is not ModuleType or (not top_is_stdlib and other.partition(".")[0] in _STDLIB):
            continue
        namespace = module.__dict__
        if concerned.isdisjoint(map(id, list(namespace.values()))) and other not in derived:
            continue
        if module is changed or other == "__main__" or namespace.get("__name__") != other:
            continue
        if (
            not wanted.isdisjoint(map(id, list(namespace.values())))
            or other in derived
            or _mentions(module, name.rpartition(".")[2], atoms.values())
        ):
            found.append(other)
    return found


def _mentions(module: ModuleType, tail: str, names: Iterable[str]) -> bool:
    """Whether a module's text names the changed module and one of the names at all."""
    path = module.__dict__.get("__file__")
    if type(path) is not str or not path.endswith(".py"):
        return any(name in module.__dict__ for name in names)
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return True
    if not re.search(rb"\b(?:import|from)\b[^\n;]*\b" + tail.encode() + rb"\b", text) and b"(" in text:
        return bool(re.search(rb"\bimport\s*\([^)]*\b" + tail.encode() + rb"\b", text))
    return b"*" in text or any(name.encode() in text for name in names)
