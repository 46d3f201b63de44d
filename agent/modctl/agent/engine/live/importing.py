"""`import` inside the staged world: staged modules are found in it, everything else is imported as ever.

A staged namespace has builtins of its own whose `__import__` is this one. `sys.modules` is not touched for modules
that are there; a module that is new to the process, of a package that is being changed, is executed in the staged
world too and entered, because dataclasses and typing look modules up by name; it is taken out again where the
change fails.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.values import MISSING

if TYPE_CHECKING:
    from modctl.agent.engine.live.evaluate import Evaluation
    from modctl.agent.engine.live.world import StagedModule, World

Execute = Callable[[str], ModuleType | None]


class Importer:
    """The `__import__` of the staged world."""

    def __init__(self, world: World, execute_new: Execute, evaluation: Evaluation, brought: set[str]) -> None:
        self._world = world
        self._execute_new = execute_new
        self._evaluation = evaluation
        #: Modules that are not loaded and whose sources come with the change.
        self._brought = brought
        #: Gives the double of a framework's object, which is what is imported instead; None where there is none.
        self.double_of: Callable[[Any], Any] = lambda _: None
        self._open = True
        self.builtins: dict[str, Any] = dict(builtins.__dict__)
        self.builtins["__import__"] = self._import

    def close(self) -> None:
        """From now on functions that captured these builtins import as everybody does."""
        self._open = False
        self.builtins["__import__"] = builtins.__import__

    def _import(
        self,
        name: str,
        globals: dict[str, Any] | None = None,  # noqa: A002 - the signature of __import__
        locals: object = None,  # noqa: A002 - the signature of __import__
        fromlist: tuple[str, ...] | list[str] | None = (),
        level: int = 0,
    ) -> Any:
        real: Callable[..., Any] = builtins.__import__
        if not self._open:
            return real(name, globals, locals, fromlist, level)
        absolute = absolute_name(name, level, globals or {})
        self._make_new(absolute)
        if absolute not in sys.modules or not fromlist:
            found = real(name, globals, locals, fromlist, level)
            return self.staged(found)
        found = real(name, globals, locals, (), level) if absolute not in sys.modules else sys.modules[absolute]
        module = self.staged(found)
        staged = self._world.staged_for(found)
        for item in fromlist:
            if staged is None:
                break
            self._evaluation.settle_name(staged, item)  # a new module, or code run while staging, needs it now
        for item in self._items(module, fromlist):
            inner = f"{absolute}.{item}"
            if hasattr(module, item) or not hasattr(module, "__path__"):
                continue
            self._make_new(inner)
            if inner not in sys.modules:
                try:
                    real(inner, globals, locals, (), 0)
                except ModuleNotFoundError as error:
                    if error.name != inner:
                        raise
            if inner in sys.modules and isinstance(module, ModuleType):
                module.__dict__[item] = self.staged(sys.modules[inner])
        return self._with_doubles(module, fromlist) if staged is None else module

    def _with_doubles(self, module: Any, fromlist: tuple[str, ...] | list[str]) -> Any:
        """A module that takes no part in the change, with doubles in the place of objects that are taken from it: what
        is registered with them is part of the change.
        """
        if type(module) is not ModuleType:
            return module
        own = module.__dict__
        doubles = {item: self.double_of(own[item]) for item in fromlist if item in own}
        doubles = {item: double for item, double in doubles.items() if double is not None}
        if not doubles:
            return module
        shown = ModuleType(module.__name__)
        shown.__dict__.update(own, **doubles)
        return shown

    @staticmethod
    def _items(module: Any, fromlist: tuple[str, ...] | list[str]) -> list[str]:
        if "*" in fromlist:
            return [*getattr(module, "__all__", ()), *(item for item in fromlist if item != "*")]
        return list(fromlist)

    def staged(self, module: Any) -> Any:
        """What stands for a module in the staged world: of a package of staged modules, a copy that shows those."""
        staged = self._world.staged_for(module)
        if staged is not None:
            return staged.module
        return module

    def skip(self, staged: StagedModule) -> None:
        """A new module is executed as a whole: none of its statements is to be settled."""
        self._evaluation.skip(staged)

    def bind(self, owner: StagedModule, name: str, module: ModuleType) -> None:
        """A new submodule is an attribute of its package from the commit on."""
        self._evaluation.bind(owner, name, module)

    def load(self, name: str) -> None:
        """Executes a module that comes with the change and that nothing has imported yet.

        Raises:
            BaseException: what its code raised, or the import of its package.
        """
        parent = name.rpartition(".")[0]
        if parent:
            self._import(parent)
        self._make_new(name)

    def _make_new(self, absolute: str) -> None:
        """Executes modules of changed packages that are not loaded yet, parents first."""
        if absolute in sys.modules:
            return
        parent = absolute.rpartition(".")[0]
        if parent:
            self._make_new(parent)
        tops = {name.partition(".")[0] for name in self._world.modules}
        if absolute.partition(".")[0] not in tops and absolute not in self._brought:
            return
        module = self._execute_new(absolute)
        if module is not None and parent:
            owner = self._world.staged_for(sys.modules.get(parent))
            if owner is not None:
                owner.namespace[absolute.rpartition(".")[2]] = module


def absolute_name(name: str, level: int, namespace: dict[str, Any]) -> str:
    """The absolute name that an import statement of this namespace means."""
    if not level:
        return name
    package = namespace.get("__package__")
    if not package:
        spec = namespace.get("__spec__")
        package = getattr(spec, "parent", None) or (
            namespace.get("__name__", "")
            if "__path__" in namespace
            else namespace.get("__name__", "").rpartition(".")[0]
        )
    return importlib.util.resolve_name("." * level + name, package)


def ancestors(names: list[str]) -> list[str]:
    """Loaded packages above these modules: they are copied too, so that `from pkg import sub` finds the staged one."""
    found: dict[str, None] = {}
    for name in names:
        while name := name.rpartition(".")[0]:
            if name not in names and type(sys.modules.get(name, MISSING)) is ModuleType:
                found[name] = None
    return list(found)


def staged_module(world: World, name: str) -> StagedModule | None:
    """The staged module of a name, which may be an alias key of it."""
    found = world.modules.get(name)
    return found if found is not None else world.staged_for(sys.modules.get(name))
