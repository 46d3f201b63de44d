"""What a change of whole entries answers: what was done, would be done, or was not done, entry by entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.agent import standby
from modctl.agent.engine import table
from modctl.agent.engine.holders import definitions_of, holders_by_name
from modctl.agent.engine.operations import Import, Reimport
from modctl.agent.engine.outcomes import Refusal, refused, stays
from modctl.agent.engine.references import held_elsewhere
from modctl.agent.engine.symbols import symbols_between
from modctl.agent.engine.versions import version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from modctl.agent.engine.commit import CommitRefusedError
    from modctl.agent.engine.execution import Execution, Recipes
    from modctl.agent.engine.memory import Memory
    from modctl.agent.engine.plan import Plan
    from modctl.agent.engine.staging import Staging


def modules_of(
    memory: Memory,
    plan: Plan,
    execution: Execution,
    staging: Staging,
    before: Mapping[str, dict[str, Any]],
    entries: Mapping[str, Any],
    own: Iterable[object],
) -> list[dict[str, Any]]:
    """The ModuleChange objects of a change that was made.

    Args:
        memory: what the engine remembers; it knows of the new code already.
        plan: what was to be done.
        execution: how it went.
        staging: what came of it.
        before: the versions that were there before, by name.
        entries: the table when the change was planned.
        own: containers of ours that refer to what was replaced: they hold nothing against anybody.
    """
    replaced = {
        name: entries[name]
        for step in plan.steps
        for name in step.names
        if not isinstance(step.operation, Import) and name in entries and table.get(name) is not entries[name]
    }
    stale: dict[str, list[dict[str, Any]]] = {}
    if replaced:
        defined = definitions_of(replaced.values())
        # Twice for `replaced`: `entries` holds the same once more, and all others with it, which are not to be touched.
        ours = [replaced, replaced, *memory.journal.writes_of(set(map(id, defined))), *own]
        if held_elsewhere(defined, ours):
            standby.before_waiting()  # a walk over the heap
            stale = holders_by_name(replaced)
    modules = []
    for step in plan.steps:
        for name in step.names:
            change: dict[str, Any] = {
                "name": name,
                "action": step.action,
                "before": before[name],
                "after": version_of(memory, name),
            }
            if isinstance(step.operation, Import):
                change["cached"] = execution.cached.get(name, False)
            if isinstance(step.operation, Reimport):
                change["tier"] = "TIER_FRESH"
                change["symbols"] = symbols_between(entries.get(name), table.get(name))
            if not change.get("cached") and (import_ms := staging.import_ms.get(name)) is not None:
                change["import_ms"] = round(import_ms, 3)
            if stale.get(name):
                change["stale"] = stale[name]
            modules.append(change)
    return modules


def planned(plan: Plan, recipes: Recipes, execution: Execution, before: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The answer to a dry run, and what a prepared change says it will do."""
    modules = []
    for step in plan.steps:
        for name in step.names:
            change: dict[str, Any] = {"name": name, "action": step.action, "before": before[name]}
            recipe = recipes[step.number].get(name)
            if recipe is not None and recipe.digest:
                change["after"] = {"digest": recipe.digest, "generation": before[name]["generation"] + 1}
            if isinstance(step.operation, Import):
                change["cached"] = execution.cached.get(name, False)
            if isinstance(step.operation, Reimport):
                change["tier"] = "TIER_FRESH"
            modules.append(change)
    return {
        "outcome": "OUTCOME_PLANNED",
        "modules": modules,
        "message": "found and compiled; nothing was executed or changed",
    }


def not_committed(error: CommitRefusedError, kept: list[str], execution: Execution) -> dict[str, Any]:
    """The answer where the commit was not begun.

    Args:
        error: why not.
        kept: names that stay loaded, because they cannot be unloaded.
        execution: what had been staged.
    """
    if error.reason == "IN_FLIGHT":
        return refused([Refusal(error.name, "", "IN_FLIGHT", "import-lock", str(error))])
    return {
        "outcome": "OUTCOME_FAILED",
        "message": f"{error}; everything is as it was{stays(kept)}",
        "side_effects": execution.effects,
    }
