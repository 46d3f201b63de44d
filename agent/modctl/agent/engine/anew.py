"""Changes that bring modules in anew, or take them out: everything but changes in place and undoing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.agent.engine import answered, table
from modctl.agent.engine.changes import COMMIT_TIMEOUT_S
from modctl.agent.engine.commit import CommitRefusedError, commit
from modctl.agent.engine.execution import Execution, recipes_for
from modctl.agent.engine.holding import Prepared
from modctl.agent.engine.journal import Revision
from modctl.agent.engine.outcomes import failed, refused, summary
from modctl.agent.engine.plan import Plan, Planner
from modctl.agent.engine.protect import Protector
from modctl.agent.engine.safe import MISSING, is_module
from modctl.agent.engine.staging import Staging
from modctl.agent.engine.versions import digest_of, version_of
from modctl.agent.engine.writes import Owners, added_writes, bind_children, entry_writes, registry_writes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modctl.agent.engine.changes import Changes
    from modctl.agent.engine.commit import Write
    from modctl.agent.engine.execution import Recipes
    from modctl.agent.engine.operations import ChangeRequest


class Anew:
    """One such change."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._memory = changes.memory

    def run(self, request: ChangeRequest) -> dict[str, Any]:
        """As of Changes."""
        memory = self._memory
        entries = table.named()
        planner = Planner(
            entries,
            Protector(entries, self._changes.distributions),
            request.override_protected,
            lambda name: digest_of(memory, name),
        )
        plan = planner.plan(request.operations)
        if plan.refusals:
            return refused(plan.refusals)
        recipes, refusals, errors = recipes_for(plan.steps)
        if refusals:
            return refused(refusals, errors)
        return self._apply(request, plan, recipes, entries)

    def _apply(
        self, request: ChangeRequest, plan: Plan, recipes: Recipes, entries: Mapping[str, Any]
    ) -> dict[str, Any]:
        memory = self._memory
        before = {name: version_of(memory, name) for step in plan.steps for name in step.names}
        staging = Staging({name: each for found in recipes.values() for name, each in found.items()}, memory.usable)
        execution = Execution(plan.steps, recipes, staging, memory.recorder, dry_run=request.dry_run)
        self._changes.staging, self._changes.worker = staging, execution.worker
        try:
            execution.run(request.timeout_s)
        finally:
            self._changes.staging, self._changes.worker = None, None
        owners = Owners(plan.steps)
        if execution.refusals:
            return refused(execution.refusals, execution.source_errors)
        if execution.error is not None:
            kept = self._withdraw(execution.loaded, owners)
            changes = [
                {"name": name, "action": step.action, "before": before[name]}
                for step in plan.steps
                for name in step.names
            ]
            return failed(changes, execution.culprit, execution.error, kept, execution.effects)
        if request.dry_run:
            return answered.planned(plan, recipes, execution, before)
        staging.drop_facades()
        bind_children(staging.results, plan.steps, entries)
        writes = [
            *entry_writes(staging.results, entries, plan.steps, owners),
            *registry_writes(memory.finder.modules, plan.steps, recipes),
        ]
        asked = [name for step in plan.steps for name in step.names]
        added = added_writes(execution.loaded, staging.results, asked, owners)
        if not writes and not added:
            modules = answered.modules_of(memory, plan, execution, staging, before, entries, self._changes.own)
            return {"outcome": "OUTCOME_UNCHANGED", "modules": modules, "message": "everything was loaded already"}

        def finish() -> dict[str, Any]:
            try:
                paused_ms = self._changes.commit(writes)
            except CommitRefusedError as error:
                kept = self._withdraw(execution.loaded, owners)
                return answered.not_committed(error, kept, execution)
            committed_at_unix_s = memory.holding.switched()
            self._remember_loaded(staging)
            number = self._changes.note([*added, *writes])
            own = [*writes, *added, *self._changes.own]
            modules = answered.modules_of(memory, plan, execution, staging, before, entries, own)
            revision = Revision(
                number,
                request.identity,
                request.reason,
                modules,
                [*added, *writes],
                request.request_id,
                fixed=self._fixed(added),
            )
            memory.journal.add(revision)
            memory.expiries.schedule(revision, plan.steps)
            more = sum(1 for write in added if write.is_entry() and write.key not in asked)
            return {
                "outcome": "OUTCOME_APPLIED",
                "revision": number,
                "undoable": revision.undoable,
                "paused_ms": round(paused_ms, 3),
                "committed_at_unix_s": committed_at_unix_s,
                "modules": modules,
                "message": summary(modules, more),
                "side_effects": execution.effects,
            }

        planned: list[dict[str, Any]] = answered.planned(plan, recipes, execution, before)["modules"]
        return self._changes.conclude(Prepared(finish, lambda: self._withdraw(execution.loaded, owners), planned))

    def _remember_loaded(self, staging: Staging) -> None:
        for name, recipe in staging.recipes.items():
            module = staging.results.get(name)
            if module is MISSING or module is None:
                continue
            loaded = self._memory.generations.remember(module)
            loaded.digest, loaded.stat, loaded.proven = recipe.digest, recipe.stat, recipe.stat is not None
            loaded.patched, loaded.source = recipe.patched, recipe.source if recipe.patched else None
            loaded.state = ""
            loaded.import_ms, loaded.import_self_ms = staging.import_ms.get(name), None

    def _withdraw(self, loaded: Iterable[tuple[str, Any]], owners: Owners) -> list[str]:
        """Takes out what a change that failed had loaded; returns the names that stay, because they cannot be
        unloaded.
        """
        protector = Protector(table.named(), self._changes.distributions)
        added = added_writes(loaded, {}, (), owners)
        kept = {write.key: write.after for write in added if write.is_entry() and protector.protection_of(write.key)}
        writes = [write.inverse() for write in added if not any(write.after is module for module in kept.values())]
        try:
            commit(writes, COMMIT_TIMEOUT_S, self._memory.usable["locks"])
        except CommitRefusedError:
            kept.update((write.key, write.before) for write in writes if write.is_entry())
        return list(kept)

    def _fixed(self, added: Sequence[Write]) -> str:
        """Why a revision cannot be taken back; empty where it can."""
        if not added:
            return ""
        protector = Protector(table.named(), self._changes.distributions)
        for write in added:
            if write.is_entry() and is_module(write.after):
                protection = protector.protection_of(write.key)
                if protection is not None and protection.rule in ("extension", "extension-distribution"):
                    return f"it loaded {write.key}, which belongs to C code that cannot be unloaded"
        return ""
