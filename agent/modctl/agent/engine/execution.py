"""Running a plan's steps aside, on a thread of its own, within a time limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from modctl.agent.engine import bootstrap, table
from modctl.agent.engine.effects import Effects
from modctl.agent.engine.names import parent_of
from modctl.agent.engine.operations import Evict, Import, Inject, Reimport
from modctl.agent.engine.outcomes import Refusal
from modctl.agent.engine.raised import python_error
from modctl.agent.engine.recipes import (
    FoundRecipe,
    InjectedRecipe,
    NoSourceError,
    Recipe,
    injected_modules,
    search_path,
)
from modctl.agent.engine.safe import MISSING
from modctl.agent.engine.threads import StagingStopped, Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.agent.engine.plan import Step
    from modctl.agent.engine.recorder import Recorder
    from modctl.agent.engine.staging import Staging

Recipes = dict[int, dict[str, Recipe]]


class Execution:
    """One plan being staged. Its attributes are filled in on the staging thread.

    Args:
        steps: the plan's.
        recipes: how to make what each step brings.
        staging: serves imports.
        recorder: tells what the staging thread loads by the real import system.
        dry_run: find and compile, execute nothing.

    Attributes:
        refusals: what cannot be found or compiled.
        source_errors: PythonErrors of sources that do not compile, by name.
        culprit: the module whose code failed, or empty.
        error: its PythonError.
        cached: of imports: whether the module was there.
        loaded: what the real import system has loaded, in order.
        effects: what the code did besides.
    """

    def __init__(
        self, steps: Sequence[Step], recipes: Recipes, staging: Staging, recorder: Recorder, *, dry_run: bool
    ) -> None:
        self._steps = steps
        self._recipes = recipes
        self._staging = staging
        self._recorder = recorder
        self._dry_run = dry_run
        self.worker = Worker(self._run)
        self.refusals: list[Refusal] = []
        self.source_errors: dict[str, dict[str, Any]] = {}
        self.culprit = ""
        self.error: dict[str, Any] | None = None
        self.cached: dict[str, bool] = {}
        self.loaded: list[tuple[str, Any]] = []
        self.effects: list[str] = []
        self._straight = False

    def run(self, timeout_s: float) -> None:
        """Stages the plan. Afterwards no hook is left, whether it ended or not."""
        try:
            self._straight = all(map(self._is_straight, self._steps))
            if self._straight:
                self.worker.run_here()
                done = True
            else:
                done = self.worker.run(timeout_s)
            if done:
                if self.worker.error is not None:
                    raise self.worker.error  # users' exceptions are results; this one is our own fault
                return
            self.culprit = self._staging.innermost
            stopped = self.worker.stop()
        finally:
            self._staging.end()
        names = ", ".join(name for step in self._steps for name in step.names)
        left = "" if stopped else f"; its thread ({self.worker.ident}) is in a call that cannot be stopped, and is left"
        self.error = {
            "type": "TimeoutError",
            "message": f"the code of {names} did not end within {timeout_s:g} s and was abandoned{left}",
        }
        self.loaded = list(self.loaded)
        if not stopped:
            self._staging.abandon()

    def _is_straight(self, step: Step) -> bool:
        """Whether nothing of it can wait, or run code of the program: then it needs no thread and no time limit."""
        operation = step.operation
        if isinstance(operation, Evict):
            return True
        if not isinstance(operation, Inject) or operation.alias_of:
            return False
        parent = parent_of(operation.name)
        if parent and not operation.block and table.get(parent) is MISSING:
            return False  # it will be imported
        if any(bootstrap.is_in_flight(name) for name in step.names):
            return False  # its import lock will be waited for
        return all(recipe.is_straight() for recipe in self._recipes[step.number].values())

    def _run(self) -> None:
        self._staging.begin()
        try:
            if not self._prepare() or self._dry_run:
                return
            looked = None if self._straight else Effects()
            self.loaded = self._recorder.follow()
            for step in self._steps:
                if not self._execute(step):
                    break
            if looked is not None:
                self.effects = looked.seen()
        finally:
            self._recorder.unfollow()
            self._staging.end()

    def _prepare(self) -> bool:
        """Finds and compiles everything before anything is executed; whether all went well."""
        if not self._straight:
            bootstrap.invalidate_caches()  # something may be looked for
        for step in self._steps:
            for name in self._recipes[step.number]:
                try:
                    self._staging.prepare(name)
                except StagingStopped:  # noqa: PERF203 - each source has its own error
                    raise
                except (SyntaxError, UnicodeError, RecursionError, MemoryError) as error:
                    self.source_errors[name] = python_error(error)
                    self.refusals.append(bad_source(name, step.action, error))
                except (NoSourceError, Exception) as error:  # noqa: BLE001 - finders and loaders are foreign code
                    hint = f"{name} cannot be found and read again: {python_error(error)['message']}"
                    self.refusals.append(Refusal(name, step.action, "NO_SOURCE", "found", hint))
            if isinstance(step.operation, Import):
                name = step.operation.name
                self.cached[name] = table.get(name) is not MISSING
                if self._dry_run and not self.cached[name] and not _findable(name):
                    hint = f"no finder of the process knows {name}"
                    self.refusals.append(Refusal(name, step.action, "NO_SOURCE", "found", hint))
        return not self.refusals

    def _execute(self, step: Step) -> bool:
        """Does one operation aside; whether it went well. Users' code runs in here."""
        staging, operation, name = self._staging, step.operation, step.operation_name
        try:
            if isinstance(operation, Import):
                self._import(name)
            elif isinstance(operation, Evict):
                for each in step.names:
                    staging.remove(each)
            elif isinstance(operation, Reimport):
                for name in step.names:
                    staging.module(name)
            elif isinstance(operation, Inject):
                self._inject(step, operation)
        except StagingStopped:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a user's module raises is the answer
            self._recorder.unfollow()
            self.loaded = list(self.loaded)  # what formatting the error loads is ours
            failed = next((each for each, raised in staging.failed.items() if raised is error), name)
            self.culprit = failed if failed in step.names else name
            self.error = python_error(error)
            return False
        return True

    def _import(self, name: str) -> None:
        self.cached[name] = table.get(name) is not MISSING and name not in self._staging.results
        began_ns = time.perf_counter_ns()
        module = self._staging.module(name)
        if not self._recorder.follows and not self.cached[name]:
            self.loaded.append((name, module))  # what it imported in turn cannot be told apart
        self._staging.import_ms.setdefault(name, (time.perf_counter_ns() - began_ns) / 1e6)

    def _inject(self, step: Step, operation: Inject) -> None:
        staging, recipes = self._staging, self._recipes[step.number]
        if operation.block:
            staging.put(operation.name, None)
            return
        if parent := parent_of(operation.name):
            staging.module(parent)
        if operation.alias_of:
            staging.put(operation.name, staging.module(operation.alias_of))
            return
        for name in step.names:
            if name not in recipes:
                staging.remove(name)  # a submodule of the package that is replaced, which the new one does not have
        staging.recipes.update(recipes)  # an earlier operation may have removed the name
        for name in step.names:
            if name in recipes:
                staging.module(name)


def recipes_for(steps: Sequence[Step]) -> tuple[Recipes, list[Refusal], dict[str, dict[str, Any]]]:
    """How to make what each step brings; sources that came along are compiled here.

    Returns:
        the recipes by the operation's index; refusals of sources that do not compile; their PythonErrors.
    """
    recipes: Recipes = {}
    refusals: list[Refusal] = []
    errors: dict[str, dict[str, Any]] = {}
    for step in steps:
        made: dict[str, Recipe] = {}
        if isinstance(step.operation, Reimport):
            made = {name: FoundRecipe(name, step.number, step.sent.get(name)) for name in step.names}
        elif isinstance(step.operation, Inject) and not step.operation.block and not step.operation.alias_of:
            injected, failures = injected_modules(step.operation)
            made = {each.name: InjectedRecipe(each, step.number) for each in injected}
            for name, error in failures.items():
                errors[name] = python_error(error)
                refusals.append(bad_source(name, step.action, error))
        recipes[step.number] = made
    return recipes, refusals, errors


def bad_source(name: str, action: str, error: BaseException) -> Refusal:
    """The refusal of a source that does not compile."""
    where = ""
    if isinstance(error, SyntaxError) and error.lineno:
        where = f" ({error.filename}, line {error.lineno}, column {error.offset or 0})"
    what = error.msg if isinstance(error, SyntaxError) else f"{type(error).__name__}: {error}"
    return Refusal(name, action, "BAD_SOURCE", "compiles", f"the source of {name} does not compile: {what}{where}")


def _findable(name: str) -> bool:
    parent = parent_of(name)
    package = table.get(parent) if parent else None
    if package is MISSING:
        return True  # only importing the package would tell
    return bootstrap.find_spec(name, search_path(package) if parent else None) is not None
