"""Which names a change of one module may give another value, and what another module binds from them.

What holds the old values is for the live process to say; see `modctl.agent.engine.live.dependents`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .comparison import SAME
from .statements import IMPORT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .plan import ModulePlan


def potential_names(plan: ModulePlan, seeds: set[str]) -> set[str]:
    """Names of a module that may get another value or behaviour: those of changed statements, those given, and
    their readers. `*` stands for any name.
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


def imported_names(plan: ModulePlan, follower: str, name: str, names: set[str]) -> set[str]:
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


def mentions(source: bytes, name: str, names: Iterable[str]) -> bool:
    """Whether a source imports something called like the changed module at all, and says one of the names."""
    tail = re.escape(name.rpartition(".")[2].encode())
    on_one_line = rb"\b(?:import|from)\b[^\n;]*\b" + tail + rb"\b|\bfrom\s*\.+\s*import\b"
    if not re.search(on_one_line, source) and b"(" in source:
        return bool(re.search(rb"\bimport\s*\([^)]*\b" + tail + rb"\b", source))
    return b"*" in source or any(each.encode() in source for each in names)
