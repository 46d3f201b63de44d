"""Modules that a change brings into the process: executed in the staged world, kept with the commit, taken out without
it."""

from __future__ import annotations

import builtins
import importlib.machinery
import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import bootstrap, commit
from modctl.agent.engine.live.failures import RefusedError
from modctl.agent.engine.live.keeping import decode
from modctl.source.comparison import SAME
from modctl.source.following import lazily_imported
from modctl.source.plan import plan_module, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modctl.agent.engine.live.importing import Importer
    from modctl.agent.engine.live.rehome import Rehomer
    from modctl.agent.engine.live.world import World
    from modctl.source.plan import ModulePlan, Text
    from modctl.source.statements import Statement


#: Names of modules that are left out are told up to so many.
_TOLD: Final = 5


class NewModules:
    """New modules of one change. `sources`: name to (text, file name, whether it is a package)."""

    def __init__(self, world: World, sources: dict[str, tuple[str, str, bool]]) -> None:
        self._world = world
        self._sources = sources
        self.importer: Importer
        self.modules: dict[str, ModuleType] = {}
        self.texts: dict[str, Text] = {}
        self.given: set[str] = set(sources)
        #: Why those could not be executed that only functions import.
        self._failed: dict[str, str] = {}

    def execute(self, name: str) -> ModuleType | None:
        """Executes a module that is not loaded, in the staged world; None where it is none of ours.

        Raises:
            BaseException: what its code raised; it is taken out again.
        """
        found = self._find(name)
        if found is None:
            return None
        spec, source, filename = found
        text = read_text(source, filename)
        module: ModuleType = bootstrap.module_from_spec(spec)
        module.__dict__["__builtins__"] = self.importer.builtins
        commit.publish_initializing(name, module)
        self.modules[name] = module
        self.texts[name] = text
        plan = plan_module(name, text, text, package=spec.submodule_search_locations is not None)
        self._world.adopt(name, module, plan)
        self.importer.skip(self._world.modules[name])
        try:
            exec(text.code, module.__dict__)  # noqa: S102 - running sources is what we are asked to do
        except BaseException:
            commit.withdraw(name)
            self.modules.pop(name, None)
            self.texts.pop(name, None)
            self._world.modules.pop(name, None)
            raise
        parent, _, tail = name.rpartition(".")
        owner = self._world.modules.get(parent)
        if owner is not None:
            owner.namespace[tail] = module
            self.importer.bind(owner, tail, module)
        return module

    def _find(self, name: str) -> tuple[importlib.machinery.ModuleSpec, str, str] | None:
        parent = sys.modules.get(name.rpartition(".")[0])
        search = getattr(parent, "__path__", None)
        spec = bootstrap.find_spec(name, search) if search is not None or "." not in name else None
        if name in self.given:
            source, filename, package = self._sources[name]
            if spec is None:
                spec = importlib.machinery.ModuleSpec(name, None, origin=filename, is_package=package)
            return spec, source, filename
        if spec is None or spec.loader is None or not bootstrap.loads_source_itself(spec.loader):
            return None
        loader: Any = spec.loader  # of the interpreter's own that read source, which have these two
        path = loader.get_filename(name)
        return spec, decode(loader.get_data(path)), path

    def are_wanted(self, plans: Mapping[str, ModulePlan]) -> bool:
        """Whether a changed function will import one of the given modules."""
        return any(
            not self.given.isdisjoint(lazily_imported(_changed(plan), name, plan.package))
            for name, plan in plans.items()
            if self.given
        )

    def load_what_functions_import(self, plans: Mapping[str, ModulePlan]) -> None:
        """Executes those of the given modules that changed functions will import when they are called: nobody else
        could. One that cannot be executed is left out, as functions often import what only some systems have.

        Args:
            plans: of the modules that change, and of those that follow.

        Raises:
            RefusedError: a rule forbids what one does.
        """
        seen = set(plans)
        todo = [(name, plan.package, _changed(plan)) for name, plan in plans.items()]
        while todo:
            for name, package, statements in todo:
                for wanted in sorted(self.given & lazily_imported(statements, name, package)):
                    if wanted not in sys.modules:
                        self._load(wanted)
            come = [(name, text) for name, text in self.texts.items() if name in self.modules and name not in seen]
            seen.update(name for name, _ in come)
            todo = [(name, "__path__" in self.modules[name].__dict__, text.statements) for name, text in come]

    def _load(self, name: str) -> None:
        try:
            self.importer.load(name)
        except RefusedError:
            raise
        except BaseException as error:  # noqa: BLE001 - it may raise anything
            self._failed[name] = f"{type(error).__name__}: {error}"

    def left_out(self) -> list[str]:
        """Notes on given modules that are not in the process now: a whole tree may have been sent."""
        left = [name for name in sorted(self.given - self._failed.keys()) if name not in sys.modules]
        notes = [f"{name} is left out: {why}" for name, why in sorted(self._failed.items())]
        if left:
            more = f" and {len(left) - _TOLD} more" if len(left) > _TOLD else ""
            notes.append(
                f"{', '.join(left[:_TOLD])}{more} left out: not loaded, and nothing that changes imports them; "
                "`modctl inject` brings them in"
            )
        return notes

    def adopt(self, rehome: Rehomer) -> None:
        """Makes them modules like any other: what they hold of the staged world becomes what that stands for."""
        for module in self.modules.values():
            namespace: dict[str, Any] = module.__dict__
            namespace["__builtins__"] = builtins.__dict__
            for key, value in list(namespace.items()):
                if key != "__builtins__":
                    live = rehome(value)
                    if live is not value:
                        namespace[key] = live
                    if type(value) is FunctionType and value.__globals__ is namespace:
                        rehome.insides(value)

    def withdraw(self) -> None:
        """Takes them out of sys.modules."""
        for name, module in self.modules.items():
            if sys.modules.get(name) is module:
                commit.withdraw(name)


def _changed(plan: ModulePlan) -> tuple[Statement, ...]:
    comparison = plan.comparison
    return tuple(each for each, status in zip(comparison.new, comparison.statuses, strict=True) if status != SAME)
