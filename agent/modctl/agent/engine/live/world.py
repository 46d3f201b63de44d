"""The staged world: copies of modules' namespaces in which statements can run without anybody seeing it.

A staged namespace starts as a copy of the live one in which other staged modules stand for the live ones and the
module's own plain functions are clones that read the copy, so that an unchanged function called while staging sees
the new values. `canon` leads from what was made here to its live counterpart.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.values import MISSING, is_class

if TYPE_CHECKING:
    from modctl.source.plan import ModulePlan

CodeOf = Callable[[FunctionType], CodeType]


class StagedModule:
    """One module in the staged world."""

    def __init__(self, name: str, live: ModuleType, plan: ModulePlan | None) -> None:
        self.name = name
        self.live = live
        self.plan = plan
        self.home: dict[str, Any] = ModuleType.__getattribute__(live, "__dict__")
        self.module = ModuleType(name)
        self.namespace: dict[str, Any] = self.module.__dict__
        #: What each name was bound to in the copy before anything ran.
        self.initial: dict[str, Any] = {}

    def is_file_of(self, code: CodeType) -> bool:
        """Whether a code is of this module's file: its plan may have been made for another spelling of that, but what
        was made of no file (`<string>`) is of another text.
        """
        assert self.plan is not None
        return code.co_filename == self.plan.filename or not code.co_filename.startswith("<")


class World:
    """All staged modules of one change."""

    def __init__(self) -> None:
        self.modules: dict[str, StagedModule] = {}
        self._by_live: dict[int, StagedModule] = {}
        self._by_home: dict[int, StagedModule] = {}
        self._by_namespace: dict[int, StagedModule] = {}
        self._clones: dict[int, FunctionType] = {}
        #: From id of what was made while staging to the live object that it stands for.
        self._canon: dict[int, Any] = {}
        self._keep: list[object] = []
        #: ids of classes that were there before; they are kept alive by their modules or by _keep.
        self.live_classes: set[int] = set()

    def add(self, name: str, live: ModuleType, plan: ModulePlan | None) -> StagedModule:
        """Makes room for a module; `fill` copies its namespace once all are there."""
        staged = StagedModule(name, live, plan)
        self.modules[name] = staged
        self._by_live[id(live)] = staged
        self._by_home[id(staged.home)] = staged
        self._by_namespace[id(staged.namespace)] = staged
        self.stands_for(staged.module, live)
        return staged

    def adopt(self, name: str, live: ModuleType, plan: ModulePlan) -> StagedModule:
        """Takes a module in that is new to the process: its own namespace is the staged one."""
        staged = StagedModule.__new__(StagedModule)
        staged.name, staged.live, staged.plan, staged.module = name, live, plan, live
        staged.home = staged.namespace = live.__dict__
        staged.initial = {}
        self.modules[name] = staged
        self._by_live[id(live)] = staged
        return staged

    def fill(self, staged: StagedModule, builtins: dict[str, Any], code_of: CodeOf) -> None:
        """Copies the live namespace, substituting what is staged."""
        plan = staged.plan
        removed = plan.removed if plan is not None else frozenset()
        for key, value in staged.home.copy().items():
            if is_class(value):
                self.live_classes.add(id(value))
                self._keep.append(value)
            if key not in removed:
                staged.namespace[key] = self.substitute(value, code_of)
        staged.namespace["__builtins__"] = builtins
        notes = staged.home.get("__annotations__")
        if type(notes) is dict:
            staged.namespace["__annotations__"] = dict(notes)
        staged.initial = dict(staged.namespace)

    def substitute(self, value: Any, code_of: CodeOf) -> Any:
        """What stands for a live value in the staged world."""
        kind = type(value)
        if kind is FunctionType:
            staged = self._by_home.get(id(value.__globals__))
            return value if staged is None else self._clone(value, staged, code_of)
        found = self._by_live.get(id(value))
        return value if found is None else found.module

    def _clone(self, function: FunctionType, staged: StagedModule, code_of: CodeOf) -> FunctionType:
        clone = self._clones.get(id(function))
        if clone is None:
            clone = rebuilt(function, staged.namespace, code_of(function))
            self._clones[id(function)] = clone
            self.stands_for(clone, function)
            self._keep.append(function)
        return clone

    def stands_for(self, made: object, live: object) -> None:
        """Notes that something made while staging is, in the live world, this."""
        self._canon[id(made)] = live
        self._keep.append(made)

    def unmap(self, live: object) -> None:
        """From now on nothing stands for this object: what did is something of its own."""
        for key in [key for key, value in self._canon.items() if value is live]:
            del self._canon[key]

    def canon(self, value: Any) -> Any:
        """The live object that a staged one stands for; MISSING where it stands for itself."""
        return self._canon.get(id(value), MISSING)

    def is_staged_globals(self, namespace: dict[str, Any]) -> StagedModule | None:
        """The module whose staged namespace this is."""
        return self._by_namespace.get(id(namespace))

    def staged_for(self, value: object) -> StagedModule | None:
        """The staged module behind a module object, staged or live."""
        if isinstance(value, ModuleType):
            found = self._by_live.get(id(value))
            if found is None:
                found = self._by_namespace.get(id(ModuleType.__getattribute__(value, "__dict__")))
            return found
        return None

    def release(self) -> None:
        """Lets go of everything that was made for staging; where the modules live is kept."""
        for staged in self.modules.values():
            staged.plan = None
            staged.initial = {}
            if staged.home is not staged.namespace:
                staged.module = staged.live
                staged.namespace.clear()
        self._clones.clear()
        self._canon.clear()
        self._keep.clear()
        self._by_namespace.clear()
        self.live_classes.clear()

    def namespaces(self) -> list[dict[str, Any]]:
        """The staged namespaces that are copies."""
        return [staged.namespace for staged in self.modules.values() if staged.home is not staged.namespace]


def rebuilt(function: FunctionType, namespace: dict[str, Any], code: CodeType | None = None) -> FunctionType:
    """The same function over other globals, sharing its cells and defaults."""
    code = function.__code__ if code is None else code
    if len(code.co_freevars) != len(function.__code__.co_freevars):
        code = function.__code__
    made = FunctionType(code, namespace, function.__name__, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = None if function.__kwdefaults__ is None else dict(function.__kwdefaults__)
    made.__qualname__ = function.__qualname__
    made.__module__ = function.__module__
    made.__doc__ = function.__doc__
    made.__dict__.update(function.__dict__)
    made.__annotations__ = dict(function.__annotations__)
    if sys.version_info >= (3, 12):
        made.__type_params__ = function.__type_params__
    return made
