"""One change from request to answer: plan, stage, commit, remember."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import answered, inventory, lines, patching, table
from modctl.agent.engine.commit import CommitRefusedError, Write, commit
from modctl.agent.engine.execution import Execution, recipes_for
from modctl.agent.engine.finishing import Ending
from modctl.agent.engine.holding import Prepared
from modctl.agent.engine.journal import Revision
from modctl.agent.engine.operations import ChangeRequest, Undo
from modctl.agent.engine.outcomes import Refusal, failed, refused, summary
from modctl.agent.engine.plan import ACTION_RESTORE, Plan, Planner
from modctl.agent.engine.protect import Distributions, Protector
from modctl.agent.engine.safe import MISSING, is_module, module_dict
from modctl.agent.engine.staging import Staging
from modctl.agent.engine.undo import UndoPlan, plan_undo
from modctl.agent.engine.versions import digest_of, version_of
from modctl.agent.engine.writes import Owners, added_writes, bind_children, entry_writes, registry_writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from modctl.agent.engine.execution import Recipes
    from modctl.agent.engine.live.changing import Patching
    from modctl.agent.engine.memory import Memory
    from modctl.agent.engine.threads import Worker

#: How long a commit waits for imports in flight of the entries of concern.
COMMIT_TIMEOUT_S: Final = 5.0


class Changes:
    """Makes changes, one at a time: the engine holds its lock around each call.

    Args:
        memory: everything that the engine remembers.

    Attributes:
        worker: the staging thread, while there is one: a fork from inside it must not wait for itself.
        staging: what is staged, while something is.
        own: containers of ours that refer to what a change replaces, while one is being made.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.distributions = Distributions()
        self.own: list[Any] = []
        self.worker: Worker | None = None
        self.staging: Staging | None = None
        self._hold: Callable[[Prepared], None] | None = None
        self._request: ChangeRequest | None = None
        self.patching: Patching | None = None

    def run(self, request: ChangeRequest) -> dict[str, Any]:
        """Makes a change; returns the fields of ChangeResult but the request's id and duration."""
        memory = self.memory
        self._request = request
        if memory.frozen:
            hint = f"the process is frozen ({memory.frozen_reason or 'no reason given'}); thaw it first"
            return refused([Refusal("", "", "FROZEN", "frozen", hint)])
        if request.expect_revision is not None and request.expect_revision != memory.journal.newest:
            hint = f"the process is at revision {memory.journal.newest}, not at {request.expect_revision}; look again"
            return refused([Refusal("", "", "REVISION_DIFFERS", "expect_revision", hint)])
        first = request.operations[0]
        if isinstance(first, Undo):
            if self._hold is not None:
                hint = "an undo is not prepared; it needs no staging and commits at once"
                return refused([Refusal("", ACTION_RESTORE, "UNSUPPORTED", "prepare", hint)])
            undo = plan_undo(memory.journal, first.revision, memory.finder)
            return self.undo(undo, request)
        if patching.is_asked_for(request):
            return patching.change(self, request)
        entries = table.named()
        planner = Planner(
            entries,
            Protector(entries, self.distributions),
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
        memory = self.memory
        before = {name: version_of(memory, name) for step in plan.steps for name in step.names}
        staging = Staging({name: each for found in recipes.values() for name, each in found.items()}, memory.usable)
        execution = Execution(plan.steps, recipes, staging, memory.recorder, dry_run=request.dry_run)
        self.staging, self.worker = staging, execution.worker
        try:
            execution.run(request.timeout_s)
        finally:
            self.staging, self.worker = None, None
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
            modules = answered.modules_of(memory, plan, execution, staging, before, entries, self.own)
            return {"outcome": "OUTCOME_UNCHANGED", "modules": modules, "message": "everything was loaded already"}

        def finish() -> dict[str, Any]:
            try:
                paused_ms = self._commit(writes)
            except CommitRefusedError as error:
                kept = self._withdraw(execution.loaded, owners)
                return answered.not_committed(error, kept, execution)
            committed_at_unix_s = memory.holding.switched()
            self._remember_loaded(staging)
            number = self._note([*added, *writes])
            own = [*writes, *added, *self.own]
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
        return self.conclude(Prepared(finish, lambda: self._withdraw(execution.loaded, owners), planned))

    def prepare(self, request: ChangeRequest, hold: Callable[[Prepared], None]) -> dict[str, Any]:
        """Makes a change up to its commit, and hands what would commit it over; returns the fields of ChangeResult.

        Args:
            request: as for run().
            hold: takes what is prepared.
        """
        self._hold = hold
        try:
            return self.run(request)
        finally:
            self._hold = None

    def conclude(self, prepared: Prepared) -> dict[str, Any]:
        """The end of every change that is staged: commits it, or where it is only prepared has it held."""
        assert self._request is not None
        ending, staged = Ending(self, self._request, prepared.modules), prepared
        prepared = prepared._replace(finish=lambda: ending.make(staged.finish, staged.drop))
        if self._hold is None:
            return prepared.finish()
        self._hold(prepared)
        message = "staged and held; nothing has changed yet"
        return {"outcome": "OUTCOME_PREPARED", "modules": prepared.modules, "message": message}

    def undo(self, undo: UndoPlan, request: ChangeRequest, *, unstoppable: bool = False) -> dict[str, Any]:
        """Takes a revision back as a whole."""
        if undo.revision is None or undo.refusals:
            return refused(undo.refusals)
        if request.dry_run:
            return self._taken_back(undo, request)
        modules = [{"name": each["name"], "action": ACTION_RESTORE} for each in undo.revision.modules]
        ending = Ending(self, request, modules, takes_back=True, unstoppable=unstoppable)
        return ending.make(lambda: self._taken_back(undo, request))

    def _taken_back(self, undo: UndoPlan, request: ChangeRequest) -> dict[str, Any]:
        revision = undo.revision
        if revision is None or revision.patch is None or undo.refusals:
            return self.take_back(undo, request.identity, request.reason, request.request_id, dry_run=request.dry_run)
        result = patching.take_back(self, revision, request)
        if result["outcome"] == "OUTCOME_APPLIED":
            self.memory.expiries.cancel(revision.number)
        return result

    def take_back_at_once(self, number: int, request: ChangeRequest, reason: str) -> dict[str, Any]:
        """Takes back what has just been committed, because a hook after it failed."""
        undo = plan_undo(self.memory.journal, number, self.memory.finder)
        return self._taken_back(undo, request._replace(request_id="", reason=reason, dry_run=False))

    def take_back(
        self,
        plan: UndoPlan,
        identity: str,
        reason: str,
        request_id: str,
        *,
        dry_run: bool = False,
        whole: bool = True,
        timeout_s: float = COMMIT_TIMEOUT_S,
    ) -> dict[str, Any]:
        """Commits what an undo has planned.

        Args:
            plan: the writes.
            identity: who asked.
            reason: why.
            request_id: the request's.
            dry_run: only say what would be done.
            whole: whether the revision is taken back as a whole, so that it no longer stands.
            timeout_s: how long to wait for imports in flight.
        """
        if plan.refusals or plan.revision is None:
            return refused(plan.refusals)
        memory = self.memory
        names = [write.key for write in plan.writes if write.is_entry()]
        changes: list[dict[str, Any]] = [
            {"name": name, "action": ACTION_RESTORE, "before": version_of(memory, name)} for name in names
        ]
        if dry_run:
            message = f"revision {plan.revision.number} would be taken back"
            return {"outcome": "OUTCOME_PLANNED", "modules": changes, "message": message}
        try:
            paused_ms = self._commit(plan.writes, timeout_s)
        except CommitRefusedError as error:
            reason_of = "IN_FLIGHT" if error.reason == "IN_FLIGHT" else "NOT_UNDOABLE"
            return refused([Refusal(error.name, ACTION_RESTORE, reason_of, "commit", str(error))])
        memory.holding.switched()
        number = self._note(plan.writes)
        for change in changes:
            change["after"] = version_of(memory, change["name"])
        undone = plan.revision.number if whole else 0
        revision = Revision(number, identity, reason, changes, plan.writes, request_id, undoes=undone)
        memory.journal.add(revision)
        if whole:
            memory.expiries.cancel(plan.revision.number)
        return {
            "outcome": "OUTCOME_APPLIED",
            "revision": number,
            "undoable": revision.undoable,
            "paused_ms": round(paused_ms, 3),
            "modules": changes,
            "message": f"revision {plan.revision.number} is taken back",
        }

    # ---- the commit and its memory
    def _commit(self, writes: Sequence[Write], timeout_s: float = COMMIT_TIMEOUT_S) -> float:
        finder = self.memory.finder
        finder.attach_for(writes)
        try:
            return commit(writes, timeout_s, self.memory.usable["locks"])
        finally:
            finder.attach()

    def _remember_loaded(self, staging: Staging) -> None:
        for name, recipe in staging.recipes.items():
            module = staging.results.get(name)
            if module is MISSING or module is None:
                continue
            loaded = self.memory.generations.remember(module)
            loaded.digest, loaded.stat, loaded.proven = recipe.digest, recipe.stat, recipe.stat is not None
            loaded.patched, loaded.source = recipe.patched, recipe.source if recipe.patched else None
            loaded.state = ""
            loaded.import_ms, loaded.import_self_ms = staging.import_ms.get(name), None

    def _note(self, writes: Sequence[Write]) -> int:
        """Tells the memory of committed writes; returns the new revision's number."""
        memory = self.memory
        number = memory.journal.newest + 1
        for write in writes:
            if write.is_entry():
                namespace = module_dict(write.after)
                spec = None if namespace is None else inventory.spec_of(namespace)
                memory.generations.changed(write.key, write.after, spec, number)
                memory.rows.forget(write.key)
                for candidate in (write.before, write.after):
                    lines.refresh(candidate, memory.generations)
        return number

    def _withdraw(self, loaded: Iterable[tuple[str, Any]], owners: Owners) -> list[str]:
        """Takes out what a change that failed had loaded; returns the names that stay, because they cannot be
        unloaded.
        """
        protector = Protector(table.named(), self.distributions)
        added = added_writes(loaded, {}, (), owners)
        kept = {write.key: write.after for write in added if write.is_entry() and protector.protection_of(write.key)}
        writes = [write.inverse() for write in added if not any(write.after is module for module in kept.values())]
        try:
            commit(writes, COMMIT_TIMEOUT_S, self.memory.usable["locks"])
        except CommitRefusedError:
            kept.update((write.key, write.before) for write in writes if write.is_entry())
        return list(kept)

    def _fixed(self, added: Sequence[Write]) -> str:
        """Why a revision cannot be taken back; empty where it can."""
        if not added:
            return ""
        protector = Protector(table.named(), self.distributions)
        for write in added:
            if write.is_entry() and is_module(write.after):
                protection = protector.protection_of(write.key)
                if protection is not None and protection.rule in ("extension", "extension-distribution"):
                    return f"it loaded {write.key}, which belongs to C code that cannot be unloaded"
        return ""
