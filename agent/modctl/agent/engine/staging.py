"""Executing a change's modules aside, so that they see each other while nobody else sees them.

While a change is staged, import statements and importlib.import_module *on the staging thread* are answered from here:
a module of the change is executed on demand and served, everything else goes to the real import system, and what that
loads on this thread sees the change's modules too. Other threads' imports pass through.

A namespace of its own for builtins, with another `__import__` in it, would do the same without touching anything
shared, but every function captures its builtins when it is made: each module that was ever reimported would keep the
overlay in its imports, and would never see what a program changes in builtins later. So the hook is set for the time of
staging only, asks which thread calls, and is gone afterwards.

Names that are not in the table yet are executed as an import does it: visible under their import lock, marked as
initializing, because dataclasses, typing and `sys.modules[__name__]` look there; then they are taken out again until
the commit.
Names that are in the table are executed aside while the old entry stays.
"""

from __future__ import annotations

import builtins
import time
from contextlib import ExitStack
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine import bootstrap, courtesy, table
from modctl.agent.engine.commit import give_back, publish_initializing, withdraw
from modctl.agent.engine.names import leaf_of, parent_of
from modctl.agent.engine.recipes import FoundRecipe, Recipe, search_path
from modctl.agent.engine.safe import MISSING, module_dict
from modctl.agent.primitives import get_ident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Staging:
    """One change while it is being staged.

    Args:
        recipes: how to make what the change brings, by name.
        usable: the self test of bootstrap.py.

    Attributes:
        results: what each entry of the change is to be: an object, None (blocked) or MISSING (removed).
        import_ms: how long each module's code ran, with what it imported.
        failed: what the code of a module raised.
    """

    def __init__(self, recipes: dict[str, Recipe], usable: dict[str, bool]) -> None:
        self.recipes = recipes
        self.results: dict[str, Any] = {}
        self.import_ms: dict[str, float] = {}
        self.failed: dict[str, BaseException] = {}
        self._executing: list[str] = []
        self._published: list[str] = []
        self._facades: dict[str, Facade] = {}
        self._concerned: set[str] = set()
        self._ident: int | None = None
        self._real_import: Callable[..., Any] = builtins.__import__
        self._hook: Any = None
        self._import_module = (
            bootstrap.Patch("_gcd_import", self._around_gcd_import) if usable["import_module"] else None
        )
        self._real_gcd_import: Callable[..., Any] = bootstrap.gcd_import
        for name in recipes:
            self._concern(name)

    # ---- the hook
    def begin(self) -> None:
        """From here on this thread's imports are answered from the change."""
        self._ident = get_ident()
        self._real_import = builtins.__import__
        self._hook = bootstrap.disguise(self._around_import(self._real_import))
        builtins.__import__ = self._hook
        if self._import_module is not None:
            self._import_module.attach()

    def end(self) -> None:
        """Every thread's imports go to the real import system again. Callable from any thread, more than once."""
        self._ident = None
        if self._hook is not None and builtins.__import__ is self._hook:
            builtins.__import__ = self._real_import
        if self._import_module is not None:
            self._import_module.detach()
        # Both lead back here: what was staged would live until the garbage collector comes by.
        self._hook = self._import_module = None

    def _around_import(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def hook(name, globals=None, locals=None, fromlist=(), level=0):  # type: ignore[no-untyped-def]  # noqa: A002
            if get_ident() != self._ident:
                return real(name, globals, locals, fromlist, level)
            return self._import(name, globals, locals, fromlist, level)

        return hook

    def _around_gcd_import(self, real: Callable[..., Any]) -> Callable[..., Any]:
        self._real_gcd_import = real

        def _gcd_import(name, package=None, level=0):  # type: ignore[no-untyped-def]  # the interpreter's signature
            if get_ident() != self._ident:
                return real(name, package, level)
            absolute = bootstrap.absolute_name(name, {"__package__": package}, level)
            if not self._concerns(absolute):
                return real(name, package, level)
            self.module(absolute)
            return self._face(absolute)

        return _gcd_import

    def _import(self, name: str, namespace: Any, local: Any, fromlist: Sequence[str] | None, level: int) -> Any:
        if type(name) is not str:
            return self._real_import(name, namespace, local, fromlist, level)
        absolute = bootstrap.absolute_name(name, namespace, level)
        if not self._concerns(absolute):
            return self._real_import(name, namespace, local, fromlist, level)
        self.module(absolute)
        if not fromlist:
            if level == 0:
                return self._face(absolute.partition(".")[0])
            first = name.partition(".")[0]
            return self._face(absolute[: len(absolute) - len(name) + len(first)])
        face = self._face(absolute)
        wanted: Iterable[Any] = fromlist
        if "*" in fromlist:
            wanted = [*fromlist, *getattr(face, "__all__", ())]
        if hasattr(face, "__path__"):
            for attribute in wanted:
                if type(attribute) is str and attribute != "*" and not hasattr(face, attribute):
                    self._import_child(f"{absolute}.{attribute}")
        return face

    def _import_child(self, name: str) -> None:
        try:
            found = self.module(name)
            if parent_of(name) in self.results:
                # It may still be executing, in a cycle. The interpreter would look for it in sys.modules then, and find
                # the old one.
                self._bind(self.results[parent_of(name)], name, found)
        except ModuleNotFoundError as error:
            # As the import system does it: `from package import name` may mean an attribute that is just not there.
            if error.name != name:
                raise

    @property
    def innermost(self) -> str:
        """The module whose code runs right now; empty where none does."""
        return self._executing[-1] if self._executing else ""

    def abandon(self) -> None:
        """The staging thread hangs: what it has published is taken out, and its import locks are forgotten."""
        while self._published:
            name = self._published.pop()
            withdraw(name)
            bootstrap.forget_import_lock(name)

    # ---- modules
    def module(self, name: str) -> Any:
        """The module of that name as the change will have it; executes it, and its parents, where needed.

        Raises:
            ModuleNotFoundError: there is none, or the change blocks it.
            BaseException: whatever its code raises.
        """
        found = self.results.get(name, MISSING)
        if found is None:
            raise ModuleNotFoundError(f"import of {name} halted; None in sys.modules", name=name)
        if found is not MISSING:
            return found
        if name in self.results and name not in self.recipes:
            self.recipes[name] = FoundRecipe(name, -1)  # removed by the change, wanted again by its later code
        if name in self.recipes:
            return self._execute(self.recipes[name])
        parent = parent_of(name)
        if parent:
            parent_module = self.module(parent)
            if parent in self.results and table.get(parent) is MISSING:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            found = self._real_gcd_import(name)
            if parent in self.results:
                self._bind(parent_module, name, found)
            return found
        return self._real_gcd_import(name)

    def remove(self, name: str) -> None:
        """The change removes this entry."""
        self.results[name] = MISSING
        self.recipes.pop(name, None)
        self._concern(name)

    def put(self, name: str, value: object) -> None:
        """The change puts this object there: None, or another entry's module."""
        self.results[name] = value
        self._concern(name)

    def prepare(self, name: str) -> None:
        """Finds and compiles what the change brings under that name; executes nothing of it."""
        recipe = self.recipes.get(name)
        if recipe is not None:
            parent = parent_of(name)
            parent_module = self.results.get(parent, MISSING) if parent else None
            if parent and parent_module in (MISSING, None):
                parent_module = table.get(parent)
            recipe.prepare(search_path(parent_module) if parent else None)

    def drop_facades(self) -> None:
        """Puts the live packages in place of the stand-ins that staged code has bound."""
        live = {id(facade): facade.modctl_live for facade in self._facades.values()}
        if not live:
            return
        for module in self.results.values():
            namespace = module_dict(module)
            for key, value in list(namespace.items()) if namespace is not None else ():
                if type(value) is Facade and namespace is not None:
                    namespace[key] = live[id(value)]

    def _execute(self, recipe: Recipe) -> Any:
        name = recipe.name
        if name in self.failed:
            raise self.failed[name]
        parent = parent_of(name)
        if parent:
            self.module(parent)
            found = self.results.get(name, MISSING)
            if found is not MISSING:
                return found  # the package imported us while it executed
        self.prepare(name)
        live = table.get(name)
        module = recipe.make()
        self.results[name] = module
        spec = module.__spec__
        began_ns = time.perf_counter_ns()
        self._executing.append(name)
        try:
            if spec is not None:
                spec._initializing = True  # type: ignore[attr-defined]  # the interpreter's own: who imports it waits
            if live is MISSING:
                final = self._execute_as_new(recipe, module)
            else:
                final = self._execute_beside(recipe, module, live)
        except BaseException as error:
            self.results.pop(name, None)
            self.failed[name] = error
            package = module_dict(self.results.get(parent)) if parent else None
            if package is not None and package.get(leaf_of(name)) is module:
                del package[leaf_of(name)]
            raise
        finally:
            self._executing.remove(name)
            if spec is not None:
                spec._initializing = False  # type: ignore[attr-defined]  # as above
            self.import_ms[name] = (time.perf_counter_ns() - began_ns) / 1e6
        self.results[name] = final
        if parent in self.results:
            self._bind(self.results[parent], name, final)
        return final

    def _execute_beside(self, recipe: Recipe, module: ModuleType, live: object) -> Any:
        final: Any = MISSING
        try:
            recipe.execute(module)
        finally:
            # `sys.modules[__name__] = Other()` in its code has replaced the live entry, before its time. Only code that
            # speaks of `modules` is taken to have done so: else it was another thread, and the commit will refuse.
            if recipe.names_modules():
                final = give_back(recipe.name, live)
        return module if final is MISSING else final

    def _execute_as_new(self, recipe: Recipe, module: ModuleType) -> Any:
        with ExitStack() as held:
            with courtesy.awaiting((recipe.name,)):
                held.enter_context(bootstrap.import_lock_of(recipe.name))
            publish_initializing(recipe.name, module)
            self._published.append(recipe.name)
            final: Any = MISSING
            try:
                recipe.execute(module)
            finally:
                if recipe.name in self._published:  # else it was abandoned, and taken out, meanwhile
                    self._published.remove(recipe.name)
                    final = withdraw(recipe.name)
        return module if final is MISSING else final

    def _bind(self, package: object, name: str, module: object) -> None:
        namespace = module_dict(package)
        if namespace is not None:
            namespace[leaf_of(name)] = module

    # ---- what the change is about
    def _concern(self, name: str) -> None:
        while name:
            self._concerned.add(name)
            name = parent_of(name)

    def _concerns(self, absolute: str) -> bool:
        if absolute in self._concerned:
            return True
        while absolute := parent_of(absolute):
            if absolute in self.results or absolute in self.recipes:
                return True
        return False

    def _face(self, name: str) -> Any:
        """The module as staged code may see it: a live package of which the change has submodules gets a stand-in."""
        found = self.module(name)
        if name in self.results or name not in self._concerned:
            return found
        facade = self._facades.get(name)
        if facade is None:
            facade = self._facades[name] = Facade(self, name, found)
        return facade

    def child_for(self, package: str, live: object, attribute: str) -> Any:
        """What a stand-in answers for an attribute: the change's submodule, or MISSING where it has none to say."""
        name = f"{package}.{attribute}"
        if name not in self._concerned or get_ident() != self._ident:
            return MISSING
        current = (module_dict(live) or {}).get(attribute, MISSING)
        if current is not MISSING and current is not table.get(name):
            return MISSING  # something else has the submodule's name: a function, as in `from .tax import tax`
        if name in self.results or name in self.recipes:
            if self.results.get(name, MISSING) is MISSING and name not in self.recipes:
                raise AttributeError(f"module {package!r} has no attribute {attribute!r}")
            return self.module(name)
        return self._face(name)


class Facade(ModuleType):
    """A live package as staged code sees it: with the change's submodules in place of the live ones.

    Once the change is over it is nothing but the live package under another identity.
    """

    def __init__(self, staging: Staging, name: str, live: Any) -> None:
        super().__init__(name)
        own = module_dict(self)
        assert own is not None
        own["modctl_staging"], own["modctl_name"], own["modctl_live"] = staging, name, live

    def __getattribute__(self, attribute: str) -> Any:
        own = module_dict(self) or {}
        live = own["modctl_live"]
        if attribute == "modctl_live":
            return live
        staging: Staging = own["modctl_staging"]
        found = staging.child_for(own["modctl_name"], live, attribute)
        return getattr(live, attribute) if found is MISSING else found

    def __setattr__(self, attribute: str, value: object) -> None:
        setattr((module_dict(self) or {})["modctl_live"], attribute, value)

    def __delattr__(self, attribute: str) -> None:
        delattr((module_dict(self) or {})["modctl_live"], attribute)

    def __dir__(self) -> list[str]:
        return dir((module_dict(self) or {})["modctl_live"])
