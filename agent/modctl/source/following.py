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
    from .statements import Statement


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


def is_quiet(plan: ModulePlan, names: set[str]) -> bool:
    """Whether none of a module's statements has to run: nothing but bodies of functions differ, and no statement
    calls anything that may lead to one of these names, which may behave otherwise.
    """
    if plan.runs or "*" in names:
        return False
    for statement in plan.comparison.new:
        if statement.calls or statement.dynamic:
            reads = {*statement.reads, *statement.bare, *(chain[0] for chain in (*statement.chains, *statement.lazy))}
            if reads & names:
                return False
    return True


def read_when_run(statement: Statement) -> set[str]:
    """Names that a statement reads when it runs, itself or in what it calls."""
    lazy = {chain[0] for chain in statement.lazy} if statement.calls else set()
    return {*statement.reads, *statement.bare, *(chain[0] for chain in statement.chains), *lazy}


def is_idle(statements: Iterable[Statement], names: set[str]) -> bool:
    """Whether no statement of a module that does not change itself reads any of these names when it runs.

    Imports are not looked at: whether what they bind is another object is for who knows the other module to say.
    """
    if "*" in names:
        return False
    return not any(
        statement.dynamic or names.intersection(read_when_run(statement))
        for statement in statements
        if statement.kind != IMPORT
    )


def imported_names(
    statements: Iterable[Statement], follower: str, is_package: bool, name: str, names: set[str]
) -> set[str]:
    """Names of the follower that are bound by importing the changed module or one of the names."""
    package = follower if is_package else follower.rpartition(".")[0]
    found: set[str] = set()
    for statement in statements:
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


def lazily_imported(statements: Iterable[Statement], name: str, is_package: bool) -> set[str]:
    """Names of modules that functions of a module may import when they are called."""
    package = name if is_package else name.rpartition(".")[0]
    found: set[str] = set()
    for statement in statements:
        for item in statement.lazy_imports:
            base = _absolute(item.module, item.level, package)
            found |= {base, f"{base}.{item.attribute}"} if item.attribute else {base}
    return found


def _absolute(module: str, level: int, package: str) -> str:
    if not level:
        return module
    base = package.rsplit(".", level - 1)[0] if level > 1 else package
    return f"{base}.{module}" if module else base


_IMPORTS = re.compile(rb"\b(?:import|from)\b(?:\\\n|[^\n;])*|\bimport\s*\([^)]*")
_BARE_RELATIVE = re.compile(rb"\bfrom\s*\.+\s*import\b")
_STAR = re.compile(rb"\bimport\s*\*")
_WORD = re.compile(rb"\w+")


class Words:
    """The words of a source, to tell without reading it whether it may have something from some module."""

    __slots__ = ("_all", "_any_module", "_any_name", "_imported")

    def __init__(self, source: bytes) -> None:
        self._imported = frozenset(word for found in _IMPORTS.findall(source) for word in _WORD.findall(found))
        self._all = frozenset(_WORD.findall(source))
        self._any_module = bool(_BARE_RELATIVE.search(source))
        self._any_name = bool(_STAR.search(source))

    def mention(self, own_name: str, name: str, names: Iterable[str]) -> bool:
        """Whether the module imports something called like another one at all, and says one of the names."""
        top = name.partition(".")[0]
        if top.encode() not in self._imported and own_name.partition(".")[0] != top:
            return False  # no relative import leads there, and an absolute one names what lies above it
        relative = self._any_module and own_name.startswith(f"{name}.")  # `from .. import x` names no module
        if not relative and name.rpartition(".")[2].encode() not in self._imported:
            return False
        return self._any_name or any(each.encode() in self._all for each in names)
