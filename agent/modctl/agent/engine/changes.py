"""One change from request to answer: plan, stage, commit, verify, remember."""

from __future__ import annotations

import importlib
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import bootstrap, inventory, lines, table
from modctl.agent.engine.commit import CommitRefusedError, Write, commit
from modctl.agent.engine.effects import Effects
from modctl.agent.engine.journal import Revision
from modctl.agent.engine.names import leaf_of, parent_of
from modctl.agent.engine.operations import ChangeRequest, Evict, Import, Inject, Reimport, Undo
from modctl.agent.engine.plan import ACTION_IMPORT, ACTION_RESTORE, Plan, Planner, Refusal, Step
from modctl.agent.engine.protect import Distributions, Protector
from modctl.agent.engine.raised import python_error
from modctl.agent.engine.recipes import (
    FoundRecipe,
    InjectedRecipe,
    NoSourceError,
    Recipe,
    digest_of_file,
    injected_modules,
)
from modctl.agent.engine.recorder import stat_of_file
from modctl.agent.engine.safe import MISSING, is_module, module_dict
from modctl.agent.engine.staging import Staging
from modctl.agent.engine.threads import StagingStopped, Worker
from modctl.agent.engine.undo import plan_inverse, plan_undo

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from modctl.agent.engine.memory import Memory
    from modctl.agent.engine.undo import UndoPlan

#: How long a commit waits for imports in flight of the entries of concern.
COMMIT_TIMEOUT_S: Final = 5.0
_TIER_FRESH: Final = "TIER_FRESH"


class Staged:
    """What came of staging, filled in on the staging thread."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []
        self.source_errors: dict[str, dict[str, Any]] = {}
        self.error_name = ""
        self.error: dict[str, Any] | None = None
        self.cached: dict[str, bool] = {}
        self.loaded: list[tuple[str, Any]] = []
        self.effects: list[str] = []
        self.executed = False


class Changes:
    """Makes changes, one at a time: the engine holds its lock around each call.

    Args:
        memory: everything that the engine remembers.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._distributions = Distributions()
        #: The staging thread, while there is one: a fork from inside it must not wait for itself.
        self.worker: Worker | None = None
        self.staging: Staging | None = None

    def run(self, request: ChangeRequest) -> dict[str, Any]:
        """Makes a change; returns the fields of ChangeResult but the request's id and duration."""
        memory = self._memory
        if memory.frozen:
            hint = f"the process is frozen ({memory.frozen_reason or 'no reason given'}); thaw it first"
            return refused([Refusal("", "", "FROZEN", "frozen", hint)])
        if request.expect_revision is not None and request.expect_revision != memory.journal.newest:
            hint = f"the process is at revision {memory.journal.newest}, not at {request.expect_revision}"
            return refused([Refusal("", "", "REVISION_DIFFERS", "expect_revision", hint)])
        first = request.operations[0]
        if isinstance(first, Undo):
            return self._undo(request, first)
        entries = {key: value for key, value in table.entries() if type(key) is str}
        protector = Protector(entries, self._distributions)
        plan = Planner(entries, protector, request.override_protected, self.digest_of).plan(request.operations)
        if plan.refusals:
            return refused(plan.refusals)
        return self._apply(request, plan, entries)

    def digest_of(self, name: str) -> str:
        """The digest of what is loaded under a name; empty where it is not known."""
        candidate = table.get(name)
        if candidate is MISSING or candidate is None:
            return ""
        facts = inventory.facts_of(name, candidate)
        loaded = self._memory.generations.loaded(candidate)
        if loaded is not None and loaded.digest:
            return loaded.digest
        namespace = module_dict(candidate)
        if facts.kind == inventory.INJECTED and namespace is not None:
            return str(inventory.loader_of(namespace).injected.digest)
        if not facts.file or facts.kind != inventory.SOURCE:
            return ""
        self._memory.origins.note(candidate, facts.origin)
        loaded = self._memory.generations.loaded(candidate)
        if loaded is None or loaded.stat is None or loaded.stat != stat_of_file(facts.origin):
            return ""
        return digest_of_file(facts.origin)

    # ---- the four verbs
    def _apply(self, request: ChangeRequest, plan: Plan, entries: dict[str, Any]) -> dict[str, Any]:
        recipes, refusals, errors = _recipes(plan.steps)
        if refusals:
            return refused(refusals, errors)
        staging = Staging({name: recipe for found in recipes.values() for name, recipe in found.items()}, self._usable)
        staged = Staged()
        problem = self._stage(request, plan.steps, recipes, staging, staged)
        if staged.refusals:
            return refused(staged.refusals, staged.source_errors)
        before = {name: self._version(name, entries.get(name, MISSING)) for step in plan.steps for name in step.names}
        if problem is not None or staged.error is not None:
            kept = self._withdraw(staged.loaded)
            return self._failed(plan, before, staged, problem, kept)
        if request.dry_run:
            return self._planned(plan, before, recipes, staged)
        staging.drop_facades()
        owners = {name: step.index for step in plan.steps for name in step.names}
        _bind_children(staging.results, entries)
        writes = [
            *self._entry_writes(staging.results, entries, owners, plan.steps),
            *self._registry_writes(staging, plan.steps, recipes),
        ]
        added = self._added(staged.loaded, staging.results, owners)
        if not writes and not added:
            modules = [self._imported(name, before, staged, staging) for step in plan.steps for name in step.names]
            return {"outcome": "OUTCOME_UNCHANGED", "modules": modules, "message": "everything was loaded already"}
        self._memory.finder.attach_for(writes)
        try:
            paused_ms = commit(writes, COMMIT_TIMEOUT_S, self._usable["locks"])
        except CommitRefusedError as error:
            self._memory.finder.attach()
            kept = self._withdraw(staged.loaded)
            if error.reason == "IN_FLIGHT":
                return refused([Refusal(error.name, "", "IN_FLIGHT", "import-lock", str(error))])
            return {"outcome": "OUTCOME_FAILED", "message": f"{error}{_stays(kept)}", "side_effects": staged.effects}
        self._memory.finder.attach()
        return self._committed(request, plan, staging, staged, before, [*added, *writes], paused_ms)

    @property
    def _usable(self) -> dict[str, bool]:
        return self._memory.usable

    def _stage(
        self,
        request: ChangeRequest,
        steps: Sequence[Step],
        recipes: dict[int, dict[str, Recipe]],
        staging: Staging,
        staged: Staged,
    ) -> str | None:
        """Runs what is to be executed on a thread of its own; returns what is wrong with the thread, or None."""

        def call() -> None:
            staged.loaded = self._memory.recorder.follow()
            staging.begin()
            try:
                if not _prepare(request, steps, recipes, staging, staged) or request.dry_run:
                    return
                looked = Effects()
                staged.executed = True
                for step in steps:
                    if not _execute(step, recipes[step.index], staging, staged):
                        break
                staged.effects = looked.seen()
            finally:
                staging.end()
                self._memory.recorder.unfollow()

        self.staging, self.worker = staging, Worker(call)
        try:
            in_time = self.worker.run(request.timeout_s)
            if not in_time:
                stopped = self.worker.stop()
                staging.end()
                names = ", ".join(sorted(recipes_names(recipes))) or ", ".join(step.operation_name for step in steps)
                left = "" if stopped else f"; its thread {self.worker.ident} is in a call that cannot be stopped and still runs"
                return f"the code of {names} did not end within {request.timeout_s:g} s{left}"
            if self.worker.error is not None:
                if isinstance(self.worker.error, StagingStopped):
                    return "the staging thread was stopped"
                raise self.worker.error
        finally:
            self.staging, self.worker = None, None
        return None

    def _committed(
        self,
        request: ChangeRequest,
        plan: Plan,
        staging: Staging,
        staged: Staged,
        before: dict[str, dict[str, Any]],
        writes: list[Write],
        paused_ms: float,
    ) -> dict[str, Any]:
        memory = self._memory
        number = memory.journal.newest + 1
        for name, recipe in staging.recipes.items():
            module = staging.results.get(name)
            if module is MISSING or module is None:
                continue
            loaded = memory.generations.remember(module)
            loaded.digest, loaded.stat, loaded.proven = recipe.digest, recipe.stat, recipe.stat is not None
            loaded.patched, loaded.source = recipe.patched, recipe.source if recipe.patched else None
            loaded.state = ""
            loaded.import_ms = staging.import_ms.get(name)
        self._note(writes, number)
        modules = []
        for step in plan.steps:
            for name in step.names:
                if isinstance(step.operation, Import):
                    modules.append(self._imported(name, before, staged, staging))
                else:
                    modules.append(self._changed(name, step, before, staging))
        revision = Revision(
            number, request.identity, request.reason, modules, writes, request.request_id, fixed=self._fixed(writes)
        )
        memory.journal.add(revision)
        memory.expiries.schedule(revision, plan.steps)
        return {
            "outcome": "OUTCOME_APPLIED",
            "revision": number,
            "undoable": revision.undoable,
            "paused_ms": round(paused_ms, 3),
            "modules": modules,
            "message": _summary(modules),
            "side_effects": staged.effects,
        }

    def _undo(self, request: ChangeRequest, operation: Undo) -> dict[str, Any]:
        plan = plan_undo(self._memory.journal, operation.revision, self._memory.finder)
        return self.take_back(plan, request.identity, request.reason, request.request_id, dry_run=request.dry_run)

    def take_back(
        self, plan: UndoPlan, identity: str, reason: str, request_id: str, *, dry_run: bool = False, whole: bool = True
    ) -> dict[str, Any]:
        """Commits what an undo has planned."""
        if plan.refusals or plan.revision is None:
            return refused(plan.refusals)
        memory = self._memory
        names = [write.key for write in plan.writes if write.is_entry()]
        before = {name: self._version(name, table.get(name)) for name in names}
        changes: list[dict[str, Any]] = [{"name": name, "action": ACTION_RESTORE, "before": before[name]} for name in names]
        if dry_run:
            return {"outcome": "OUTCOME_PLANNED", "modules": changes, "message": f"would undo revision {plan.revision.number}"}
        memory.finder.attach_for(plan.writes)
        try:
            paused_ms = commit(plan.writes, COMMIT_TIMEOUT_S, self._usable["locks"])
        except CommitRefusedError as error:
            memory.finder.attach()
            reason_word = "IN_FLIGHT" if error.reason == "IN_FLIGHT" else "NOT_UNDOABLE"
            return refused([Refusal(error.name, ACTION_RESTORE, reason_word, "commit", str(error))])
        memory.finder.attach()
        number = memory.journal.newest + 1
        self._note(plan.writes, number)
        for change in changes:
            change["after"] = self._version(change["name"], table.get(change["name"]))
        undone = plan.revision.number if whole else 0
        revision = Revision(
            number, identity, reason, changes, plan.writes, request_id, undoes=undone, fixed=self._fixed(plan.writes)
        )
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

    def expire(self, revision: Revision, operations: frozenset[int]) -> dict[str, Any]:
        """Takes back what operations with a time to live did."""
        taken = [write for write in revision.writes if write.operation in operations]
        plan = plan_inverse(revision, taken, self._memory.journal, self._memory.finder)
        whole = len(taken) == len(revision.writes)
        return self.take_back(plan, "modctl (ttl)", f"the time to live of revision {revision.number} is over", "", whole=whole)

    # ---- what is written
    def _entry_writes(
        self, results: dict[str, Any], entries: dict[str, Any], owners: dict[str, int], steps: Sequence[Step]
    ) -> list[Write]:
        modules = table.modules()
        reimported = {name for step in steps if isinstance(step.operation, Reimport) for name in step.names}
        writes: dict[tuple[int, str], Write] = {}

        def add(mapping: dict[str, Any], key: str, before: Any, after: Any, operation: int) -> None:
            if before is not after:
                writes[(id(mapping), key)] = Write(mapping, key, before, after, operation)

        for name, after in results.items():
            before = entries.get(name, MISSING)
            operation = owners.get(name, owners.get(_owner(name, owners), 0))
            add(modules, name, before, after, operation)
            names = [name]
            if name in reimported and before is not MISSING:
                for alias, candidate in entries.items():
                    if candidate is before and alias != name and alias not in results:
                        add(modules, alias, before, after, operation)
                        names.append(alias)
            for each in names:
                parent = parent_of(each)
                if not parent or parent in results:
                    continue
                namespace = module_dict(table.get(parent))
                if namespace is None:
                    continue
                bound = namespace.get(leaf_of(each), MISSING)
                if after is MISSING or after is None:
                    if bound is before:
                        add(namespace, leaf_of(each), bound, MISSING, operation)
                elif bound is before or before is MISSING or bound is MISSING:
                    add(namespace, leaf_of(each), bound, after, operation)
        return list(writes.values())

    def _registry_writes(
        self, staging: Staging, steps: Sequence[Step], recipes: dict[int, dict[str, Recipe]]
    ) -> list[Write]:
        registry = self._memory.finder.modules
        wanted: dict[str, tuple[Any, int]] = {}
        for step in steps:
            if isinstance(step.operation, Import):
                continue
            for name in list(registry):
                below = name == step.operation_name or name.startswith(step.operation_name + ".")
                if isinstance(step.operation, Inject | Evict) and below:
                    wanted[name] = (MISSING, step.index)
            for name, recipe in recipes[step.index].items():
                if recipe.injected is not None:
                    wanted[name] = (recipe.injected, step.index)
        return [
            Write(registry, name, registry.get(name, MISSING), after, index)
            for name, (after, index) in wanted.items()
            if registry.get(name, MISSING) is not after
        ]

    def _added(self, loaded: Iterable[tuple[str, Any]], results: dict[str, Any], owners: dict[str, int]) -> list[Write]:
        """What the staging thread has loaded by the real import system, as writes that have happened."""
        writes = []
        for name, module in loaded:
            if name in results or table.get(name) is not module:
                continue
            index = owners.get(name, min(owners.values(), default=0))
            writes.append(Write(table.modules(), name, MISSING, module, index))
            namespace = module_dict(table.get(parent_of(name))) if parent_of(name) else None
            if namespace is not None and namespace.get(leaf_of(name), MISSING) is module:
                writes.append(Write(namespace, leaf_of(name), MISSING, module, index))
        return writes

    def _withdraw(self, loaded: Iterable[tuple[str, Any]]) -> list[str]:
        """Takes out what a failed change had loaded; returns names that stay, because they cannot be unloaded."""
        entries = {key: value for key, value in table.entries() if type(key) is str}
        protector = Protector(entries, self._distributions)
        kept = []
        writes = []
        for write in self._added(loaded, {}, {}):
            if write.is_entry() and protector.protection_of(write.key) is not None:
                kept.append(write.key)
            else:
                writes.append(write.inverse())
        writes = [write for write in writes if write.is_entry() or not _is_any(write.before, kept, entries)]
        try:
            commit(writes, COMMIT_TIMEOUT_S, self._usable["locks"])
        except CommitRefusedError:
            return [write.key for write in writes if write.is_entry()] + kept
        return kept

    def _fixed(self, writes: Sequence[Write]) -> str:
        """Why a revision could not be taken back; empty where it could."""
        entries = {key: value for key, value in table.entries() if type(key) is str}
        protector = Protector(entries, self._distributions)
        for write in writes:
            if write.is_entry() and write.before is MISSING and is_module(write.after):
                protection = protector.protection_of(write.key)
                if protection is not None and protection.rule in ("extension", "extension-distribution"):
                    return f"it loaded {write.key}, whose C code cannot be unloaded"
        return ""

    def _note(self, writes: Sequence[Write], number: int) -> None:
        memory = self._memory
        for write in writes:
            if write.is_entry():
                namespace = module_dict(write.after)
                spec = None if namespace is None else inventory.spec_of(namespace)
                memory.generations.changed(write.key, write.after, spec, number)
                memory.rows.forget(write.key)
                for candidate in (write.before, write.after):
                    lines.refresh(candidate, memory.generations)

    # ---- what is answered
    def _version(self, name: str, candidate: object) -> dict[str, Any]:
        if candidate is MISSING:
            return {"generation": 0}
        namespace = module_dict(candidate)
        spec = None if namespace is None else inventory.spec_of(namespace)
        version: dict[str, Any] = {"generation": self._memory.generations.see(name, candidate, spec).generation}
        if digest := self.digest_of(name):
            version["digest"] = digest
        return version

    def _changed(
        self, name: str, step: Step, before: dict[str, dict[str, Any]], staging: Staging
    ) -> dict[str, Any]:
        change: dict[str, Any] = {
            "name": name,
            "action": step.action,
            "before": before[name],
            "after": self._version(name, table.get(name)),
        }
        if isinstance(step.operation, Reimport):
            change["tier"] = _TIER_FRESH
        if (import_ms := staging.import_ms.get(name)) is not None:
            change["import_ms"] = round(import_ms, 3)
        return change

    def _imported(
        self, name: str, before: dict[str, dict[str, Any]], staged: Staged, staging: Staging
    ) -> dict[str, Any]:
        cached = staged.cached.get(name, False)
        change: dict[str, Any] = {
            "name": name,
            "action": ACTION_IMPORT,
            "before": before[name],
            "after": self._version(name, table.get(name)),
            "cached": cached,
        }
        if not cached and (import_ms := staging.import_ms.get(name)) is not None:
            change["import_ms"] = round(import_ms, 3)
        return change

    def _planned(
        self,
        plan: Plan,
        before: dict[str, dict[str, Any]],
        recipes: dict[int, dict[str, Recipe]],
        staged: Staged,
    ) -> dict[str, Any]:
        modules = []
        for step in plan.steps:
            for name in step.names:
                change: dict[str, Any] = {"name": name, "action": step.action, "before": before[name]}
                recipe = recipes[step.index].get(name)
                if recipe is not None and recipe.digest:
                    change["after"] = {"generation": before[name]["generation"] + 1, "digest": recipe.digest}
                if isinstance(step.operation, Import):
                    change["cached"] = staged.cached.get(name, False)
                if isinstance(step.operation, Reimport):
                    change["tier"] = _TIER_FRESH
                modules.append(change)
        return {"outcome": "OUTCOME_PLANNED", "modules": modules, "message": "planned and compiled; nothing was executed"}

    def _failed(
        self,
        plan: Plan,
        before: dict[str, dict[str, Any]],
        staged: Staged,
        problem: str | None,
        kept: list[str],
    ) -> dict[str, Any]:
        modules: list[dict[str, Any]] = []
        for step in plan.steps:
            for name in step.names:
                change: dict[str, Any] = {"name": name, "action": step.action, "before": before[name], "after": before[name]}
                if name == staged.error_name and staged.error is not None:
                    change["error"] = staged.error
                modules.append(change)
        if problem is not None:
            message = problem
            if modules:
                modules[0].setdefault("error", {"type": "TimeoutError", "message": problem})
        else:
            error = staged.error or {}
            message = f"{staged.error_name}: {error.get('type', '')}: {error.get('message', '')}"
        return {
            "outcome": "OUTCOME_FAILED",
            "modules": modules,
            "message": f"{message}; everything is as it was{_stays(kept)}",
            "side_effects": staged.effects,
        }


def _recipes(
    steps: Sequence[Step],
) -> tuple[dict[int, dict[str, Recipe]], list[Refusal], dict[str, dict[str, Any]]]:
    """How to make what each operation brings; what came along is compiled here."""
    recipes: dict[int, dict[str, Recipe]] = {}
    refusals: list[Refusal] = []
    errors: dict[str, dict[str, Any]] = {}
    for step in steps:
        made: dict[str, Recipe] = {}
        if isinstance(step.operation, Reimport):
            made = {name: FoundRecipe(name, step.index, step.sent.get(name)) for name in step.names}
        elif isinstance(step.operation, Inject) and not step.operation.block and not step.operation.alias_of:
            try:
                made = {each.name: InjectedRecipe(each, step.index) for each in injected_modules(step.operation)}
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                errors[step.operation.name] = python_error(error)
                refusals.append(_bad_source(step.operation.name, step.action, error))
        recipes[step.index] = made
    return recipes, refusals, errors


def recipes_names(recipes: dict[int, dict[str, Recipe]]) -> set[str]:
    """The names of all recipes."""
    return {name for found in recipes.values() for name in found}


def _bad_source(name: str, action: str, error: BaseException) -> Refusal:
    where = ""
    if isinstance(error, SyntaxError) and error.lineno:
        where = f" ({error.filename}, line {error.lineno})"
    return Refusal(name, action, "BAD_SOURCE", "compiles", f"the source does not compile: {error}{where}")


def _prepare(
    request: ChangeRequest,
    steps: Sequence[Step],
    recipes: dict[int, dict[str, Recipe]],
    staging: Staging,
    staged: Staged,
) -> bool:
    """Finds and compiles everything before anything is executed; whether all went well. On the staging thread."""
    if any(not isinstance(step.operation, Evict) for step in steps):
        importlib.invalidate_caches()
    for step in steps:
        for name in recipes[step.index]:
            try:
                staging.prepare(name)
            except (SyntaxError, UnicodeError, RecursionError, MemoryError) as error:
                staged.source_errors[name] = python_error(error)
                staged.refusals.append(_bad_source(name, step.action, error))
            except (NoSourceError, ImportError, OSError, ValueError) as error:
                hint = f"{name} cannot be read again: {error}"
                staged.refusals.append(Refusal(name, step.action, "NO_SOURCE", "found", hint))
        if isinstance(step.operation, Import):
            name = step.operation.name
            staged.cached[name] = table.get(name) not in (MISSING, None) and staging.results.get(name) is not MISSING
            if request.dry_run and not staged.cached[name] and not _findable(name):
                staged.refusals.append(Refusal(name, step.action, "NO_SOURCE", "found", f"no finder knows {name}"))
    return not staged.refusals


def _findable(name: str) -> bool:
    parent = parent_of(name)
    package = module_dict(table.get(parent)) if parent else None
    if parent and package is None:
        return True  # only importing the package would tell
    return bootstrap.find_spec(name, None if package is None else package.get("__path__")) is not None


def _execute(step: Step, recipes: dict[str, Recipe], staging: Staging, staged: Staged) -> bool:
    """Does one operation aside; whether it went well. On the staging thread: users' code runs here."""
    operation = step.operation
    name = ""
    try:
        if isinstance(operation, Import):
            name = operation.name
            cached = table.get(name) is not MISSING and name not in staging.results
            began_ns = time.perf_counter_ns()
            staging.module(name)
            staged.cached[name] = cached
            staging.import_ms.setdefault(name, (time.perf_counter_ns() - began_ns) / 1e6)
        elif isinstance(operation, Evict):
            for name in step.names:
                staging.remove(name)
        elif isinstance(operation, Reimport):
            for name in step.names:
                staging.module(name)
        elif isinstance(operation, Inject):
            name = operation.name
            _inject(step, operation, recipes, staging)
    except StagingStopped:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a user's module raises is the answer
        culprit = next((failed for failed, raised in staging.failed.items() if raised is error), name)
        staged.error_name = culprit if culprit in step.names else name
        staged.error = python_error(error)
        return False
    return True


def _inject(step: Step, operation: Inject, recipes: dict[str, Recipe], staging: Staging) -> None:
    name = operation.name
    if operation.block:
        staging.put(name, None)
        return
    parent = parent_of(name)
    if parent:
        staging.module(parent)
    if operation.alias_of:
        staging.put(name, staging.module(operation.alias_of))
        return
    for each in step.names:
        if each not in recipes:
            staging.remove(each)
    staging.recipes.update(recipes)
    for each in step.names:
        if each in recipes:
            staging.module(each)


def _bind_children(results: dict[str, Any], entries: dict[str, Any]) -> None:
    """A package that was executed anew keeps its loaded submodules as attributes, as far as its old one had them."""
    for name, child in entries.items():
        parent = parent_of(name)
        package = results.get(parent, MISSING)
        fresh, old = module_dict(package), module_dict(entries.get(parent))
        if fresh is None or old is None or fresh is old:
            continue
        child = results.get(name, child)
        if child is MISSING or child is None or leaf_of(name) in fresh:
            continue
        if old.get(leaf_of(name), MISSING) is entries[name]:
            fresh[leaf_of(name)] = child


def _owner(name: str, owners: dict[str, int]) -> str:
    while name and name not in owners:
        name = parent_of(name)
    return name


def _is_any(candidate: object, names: Iterable[str], entries: dict[str, Any]) -> bool:
    return any(entries.get(name) is candidate for name in names)


def refused(refusals: Iterable[Refusal], errors: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """The answer of a change that is not made, with every refusal."""
    modules = []
    for refusal in refusals:
        change: dict[str, Any] = {
            "name": refusal.name,
            "refusal": {"reason": refusal.reason, "rule": refusal.rule, "hint": refusal.hint},
        }
        if refusal.action:
            change["action"] = refusal.action
        if errors and refusal.name in errors:
            change["error"] = errors[refusal.name]
        modules.append(change)
    message = modules[0]["refusal"]["hint"] if len(modules) == 1 else f"{len(modules)} refusals; nothing was touched"
    return {"outcome": "OUTCOME_REFUSED", "modules": modules, "message": message}


def _summary(modules: Sequence[dict[str, Any]]) -> str:
    count = len(modules)
    return f"{count} {'entry' if count == 1 else 'entries'} changed"


def _stays(kept: Sequence[str]) -> str:
    if not kept:
        return ""
    return f"; {', '.join(kept[:5])}{', …' if kept[5:] else ''} had been loaded and cannot be unloaded"


def audit(stage: str, request: ChangeRequest, names: Sequence[str]) -> None:
    """Tells the host's audit hooks.

    Raises:
        Exception: a hook forbids it.
    """
    sys.audit("modctl.change", stage, request.request_id, list(names))
