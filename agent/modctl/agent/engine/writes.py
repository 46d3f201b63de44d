"""From what was staged to the writes that make it real: entries, parents' attributes, other names, injected sources."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from modctl.agent.engine import inventory, table
from modctl.agent.engine.commit import Write
from modctl.agent.engine.names import leaf_of, parent_of
from modctl.agent.engine.operations import Evict, Import, Inject, Reimport
from modctl.agent.engine.safe import MISSING, module_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modctl.agent.engine.plan import Step
    from modctl.agent.engine.recipes import Recipe


class Owners:
    """Which operation an entry belongs to.

    Args:
        steps: the plan's.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._index_of = {name: step.number for step in steps for name in step.names}
        self._first = min((step.number for step in steps), default=0)

    def operation_of(self, name: str) -> int:
        """The index of the operation that names it, or names the package that it is in, else the first's."""
        while name:
            if name in self._index_of:
                return self._index_of[name]
            name = parent_of(name)
        return self._first


def entry_writes(
    results: Mapping[str, Any], entries: Mapping[str, Any], steps: Sequence[Step], owners: Owners
) -> list[Write]:
    """The writes of entries, of their other names, and of their parents' attributes.

    A parent's attribute is changed where it is the entry's own old module, or where the entry is new; a function of
    the same name (`from .tax import tax`) is left. A parent that is itself part of the change has been bound in
    staging, and one that is removed keeps its attributes: whoever still runs its code needs them.

    Args:
        results: name → what shall be there.
        entries: the table when the change was planned.
        steps: the plan's.
        owners: which operation an entry belongs to.
    """
    modules = table.modules()
    reimported = {name for step in steps if isinstance(step.operation, Reimport) for name in step.names}
    writes: dict[tuple[int, str], Write] = {}

    def add(mapping: dict[str, Any], key: str, before: Any, after: Any, operation: int) -> None:
        if before is not after:
            writes[(id(mapping), key)] = Write(mapping, key, before, after, operation)

    for name, after in results.items():
        before = entries.get(name, MISSING)
        operation = owners.operation_of(name)
        add(modules, name, before, after, operation)
        names = [name]
        if name in reimported and before is not MISSING:
            others = [key for key, value in entries.items() if value is before and key not in results]
            for other in others:
                add(modules, other, before, after, operation)
            names += others
        for each in names:
            package = module_dict(table.get(parent_of(each))) if parent_of(each) not in results else None
            if package is None:
                continue
            bound = package.get(leaf_of(each), MISSING)
            if after is MISSING or after is None:
                if bound is before and before is not None:
                    add(package, leaf_of(each), bound, MISSING, operation)
            elif bound is before or before is MISSING or bound is MISSING:
                add(package, leaf_of(each), bound, after, operation)
    return list(writes.values())


def registry_writes(
    registry: dict[str, Any], steps: Sequence[Step], recipes: Mapping[int, Mapping[str, Recipe]]
) -> list[Write]:
    """The writes of the table of injected modules, by which the import system finds them again."""
    wanted: dict[str, tuple[Any, int]] = {}
    for step in steps:
        if isinstance(step.operation, Import):
            continue
        if isinstance(step.operation, Inject | Evict):
            root = step.operation.name
            for name in list(registry):
                if name == root or name.startswith(root + "."):
                    wanted[name] = (MISSING, step.number)
        for name, recipe in recipes[step.number].items():
            if recipe.injected is not None:
                wanted[name] = (recipe.injected, step.number)
    return [
        Write(registry, name, registry.get(name, MISSING), after, index)
        for name, (after, index) in wanted.items()
        if registry.get(name, MISSING) is not after
    ]


def added_writes(
    loaded: Iterable[tuple[str, Any]], results: Mapping[str, Any], named: Iterable[str], owners: Owners
) -> list[Write]:
    """What the staging thread has loaded by the real import system, as writes that have happened already.

    Extension and builtin modules of the standard library stay out, unless they were asked for by name: they are the
    interpreter's, and do no harm by staying.
    """
    asked = set(named)
    writes = []
    for name, module in loaded:
        if name in results or table.get(name) is not module:
            continue
        if name not in asked and name.partition(".")[0] in sys.stdlib_module_names:
            kind = inventory.facts_of(name, module).kind
            if kind in (inventory.EXTENSION, inventory.BUILTIN, inventory.FROZEN):
                continue
        operation = owners.operation_of(name)
        writes.append(Write(table.modules(), name, MISSING, module, operation))
        package = module_dict(table.get(parent_of(name))) if parent_of(name) else None
        if package is not None and package.get(leaf_of(name), MISSING) is module:
            writes.append(Write(package, leaf_of(name), MISSING, module, operation))
    return writes


def bind_children(results: Mapping[str, Any], steps: Sequence[Step], entries: Mapping[str, Any]) -> None:
    """A reimported package keeps its loaded submodules as attributes, as far as its old one had them."""
    reimported = {name for step in steps if isinstance(step.operation, Reimport) for name in step.names}
    if not reimported:
        return
    for name, child in entries.items():
        parent = parent_of(name)
        if parent not in reimported:
            continue
        fresh, old = module_dict(results.get(parent, MISSING)), module_dict(entries.get(parent))
        if fresh is None or old is None or leaf_of(name) in fresh:
            continue
        kept = results.get(name, child)
        if kept is not MISSING and kept is not None and old.get(leaf_of(name), MISSING) is child:
            fresh[leaf_of(name)] = kept
