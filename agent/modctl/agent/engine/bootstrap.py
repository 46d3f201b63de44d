"""The only file that touches importlib._bootstrap and importlib._bootstrap_external.

Everything private that modctl uses of the import system, on CPython 3.10 to 3.13:

* `_load_unlocked(spec)` and `_exec(spec, module)`: each first import and each reload goes through these module globals.
* `_gcd_import(name, package, level)`: what importlib.import_module calls.
* `_find_and_load(name, import_)`: each import of a name that is not loaded goes through this module global.
* `_module_locks`, `_ModuleLockManager` and the global import lock: who is importing what at this moment.

`self_test()` says at start which of these work as known; what does not is done without.
"""

from __future__ import annotations

import _imp
import importlib.machinery
import sys
from importlib import _bootstrap as _known_bootstrap
from importlib import _bootstrap_external as _known_external
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.safe import instance_dict

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import CodeType

#: Typeshed knows little of what is private in here.
_bootstrap: Final[Any] = _known_bootstrap
_bootstrap_external: Final[Any] = _known_external
#: Import-system frames are taken out of tracebacks by this file name, so wrappers carry it too.
_FROZEN_NAME: Final = "<frozen importlib._bootstrap>"

SOURCE_LOADER: Final[Any] = _bootstrap_external.SourceLoader
BASIC_LOADER: Final[Any] = _bootstrap_external._LoaderBasics
NAMESPACE_LOADERS: Final[tuple[type, ...]] = tuple(
    found
    for name in ("NamespaceLoader", "_NamespaceLoader")
    if (found := getattr(_bootstrap_external, name, None)) is not None
)


#: One of each wrapper's code, however often it is put in place.
_disguised: Final[dict[CodeType, CodeType]] = {}


def disguise(function: Any) -> Any:
    """Makes a wrapper's frame part of the import system's, so that tracebacks stay what they were."""
    code = function.__code__
    disguised = _disguised.get(code)
    if disguised is None:
        disguised = _disguised[code] = code.replace(co_filename=_FROZEN_NAME)
    function.__code__ = disguised
    return function


def _arguments(name: str) -> tuple[str, ...]:
    code = getattr(getattr(_bootstrap, name, None), "__code__", None)
    return code.co_varnames[: code.co_argcount] if code is not None else ()


#: Whether `_find_and_load` is as this file knows it.
FINDS_AND_LOADS: Final = _arguments("_find_and_load") == ("name", "import_")


def self_test() -> dict[str, bool]:
    """Which of the private parts are as this file knows them."""

    locks = isinstance(getattr(_bootstrap, "_module_locks", None), dict) and hasattr(_imp, "acquire_lock")
    if locks:
        probe = "modctl-self-test"
        try:
            with _bootstrap._ModuleLockManager(probe):
                locks = is_in_flight(probe) and not is_in_flight(probe + "-other")
            locks = locks and not is_in_flight(probe)
        except Exception:  # noqa: BLE001 - whatever it is, the private API is not the one that we know
            locks = False
    return {
        "load": _arguments("_load_unlocked") == ("spec",),
        "exec": _arguments("_exec") == ("spec", "module"),
        "import_module": _arguments("_gcd_import") == ("name", "package", "level"),
        "locks": locks,
    }


class Patch:
    """A module global of importlib._bootstrap replaced by a wrapper, and put back.

    Where somebody else has wrapped ours meanwhile, putting back would cut theirs off: then ours stays and passes
    through.
    """

    def __init__(self, name: str, make: Callable[[Any], Any]) -> None:
        self._name = name
        self._make = make
        self._original: Any = None
        self._wrapper: Any = None

    def attach(self) -> None:
        """Puts the wrapper in; a second call does nothing."""
        if self._wrapper is None:
            self._original = getattr(_bootstrap, self._name)
            self._wrapper = disguise(self._make(self._original))
            setattr(_bootstrap, self._name, self._wrapper)

    def detach(self) -> None:
        """Puts the original back."""
        if self._wrapper is not None and getattr(_bootstrap, self._name) is self._wrapper:
            setattr(_bootstrap, self._name, self._original)
            self._wrapper = None


def gcd_import(name: str) -> Any:
    """Imports a module by its absolute name as importlib.import_module does; returns the module itself."""
    return _bootstrap._gcd_import(name)


def find_spec(name: str, search: Any) -> importlib.machinery.ModuleSpec | None:
    """What the finders of sys.meta_path say about a name. Runs foreign finders."""
    found: importlib.machinery.ModuleSpec | None = _bootstrap._find_spec(name, search)
    return found


def import_lock_of(name: str) -> AbstractContextManager[Any]:
    """The lock that an import of this name holds while the module executes."""
    manager: AbstractContextManager[Any] = _bootstrap._ModuleLockManager(name)
    return manager


def forget_import_lock(name: str) -> None:
    """Later imports of this name take a new lock: for one that a run-away thread will never give back."""
    _bootstrap._module_locks.pop(name, None)


def is_initializing(spec: object) -> bool:
    """Whether a module with this spec is being imported by somebody."""
    return is_spec(spec) and (instance_dict(spec) or {}).get("_initializing") is True


def is_spec(spec: object) -> bool:
    """Whether it is an ordinary ModuleSpec, which is safe to look into."""
    return type(spec) is importlib.machinery.ModuleSpec


def is_in_flight(name: str) -> bool:
    """Whether somebody has the import lock of a name, is about to take it, or waits for it."""
    reference = _bootstrap._module_locks.get(name)
    return reference is not None and reference() is not None


def is_owned(name: str) -> bool:
    """Whether somebody has it."""
    reference = _bootstrap._module_locks.get(name)
    lock = None if reference is None else reference()
    return lock is not None and lock.owner is not None


def names_in_flight() -> list[str]:
    """All names whose import locks are in somebody's hands."""
    return [name for name in list(_bootstrap._module_locks) if type(name) is str and is_in_flight(name)]


def try_hold_imports() -> bool:
    """Takes the global import lock, under which import locks are handed out; False where somebody has it just now."""
    if _imp.lock_held():
        return False
    _imp.acquire_lock()
    return True


def let_imports_go() -> None:
    """Gives the global import lock back."""
    _imp.release_lock()


def invalidate_caches() -> None:
    """As importlib.invalidate_caches(), which would load importlib.metadata and all that it needs into the service."""
    for finder in list(sys.meta_path):
        if finder is not importlib.machinery.PathFinder and (invalidate := getattr(finder, "invalidate_caches", None)):
            invalidate()
    for name, found in list(sys.path_importer_cache.items()):
        if found is None or not name.startswith("/"):
            sys.path_importer_cache.pop(name, None)
        elif (invalidate := getattr(found, "invalidate_caches", None)) is not None:
            invalidate()
    if hasattr(_bootstrap_external._NamespacePath, "_epoch"):
        _bootstrap_external._NamespacePath._epoch += 1
    if (metadata := sys.modules.get("importlib.metadata")) is not None:
        # On an instance: before 3.13 it is a plain method that calls its argument `cls`.
        metadata.MetadataPathFinder().invalidate_caches()


def absolute_name(name: str, namespace: Any, level: int) -> str:
    """What an import statement in a namespace means by a relative name.

    Raises:
        ImportError: as the statement would.
    """
    if level == 0:
        return name
    package = _bootstrap._calc___package__(namespace if namespace is not None else {})
    _bootstrap._sanity_check(name, package, level)
    resolved: str = _bootstrap._resolve_name(name, package, level)
    return resolved


def module_from_spec(spec: importlib.machinery.ModuleSpec) -> Any:
    """A new module object with all the attributes that the import system sets."""
    return _bootstrap.module_from_spec(spec)


def loads_source_itself(loader: object) -> bool:
    """Whether a loader reads source by get_data and executes it as importlib's own loaders do.

    Such a module can be compiled from bytes that were read once, with no stale .pyc in between. Any other loader (one
    that rewrites assertions, decrypts, traces) is asked to execute the module itself.
    """
    kind = type(loader)
    return (
        issubclass(kind, SOURCE_LOADER)
        and getattr(kind, "exec_module", None) is BASIC_LOADER.exec_module
        and getattr(kind, "get_code", None) is SOURCE_LOADER.get_code
    )
