"""Facts about one entry of sys.modules, told by nothing but its own slots: no foreign code runs."""

from __future__ import annotations

import importlib.machinery
import sys
import zipimport
from typing import Any, Final

from modctl.agent.engine import bootstrap
from modctl.agent.engine.injected import InjectedLoader, InjectedModule
from modctl.agent.engine.safe import instance_dict, module_dict, mro, text
from modctl.source.tuples import NamedTuple

SOURCE: Final = "MODULE_KIND_SOURCE"
BYTECODE: Final = "MODULE_KIND_BYTECODE"
EXTENSION: Final = "MODULE_KIND_EXTENSION"
BUILTIN: Final = "MODULE_KIND_BUILTIN"
FROZEN: Final = "MODULE_KIND_FROZEN"
NAMESPACE: Final = "MODULE_KIND_NAMESPACE"
INJECTED: Final = "MODULE_KIND_INJECTED"
BLOCKED: Final = "MODULE_KIND_BLOCKED"
OTHER: Final = "MODULE_KIND_OTHER"

#: By identity: a foreign metaclass could have a `__hash__` of its own.
_KIND_OF_LOADER: Final[dict[int, str]] = {
    id(importlib.machinery.ExtensionFileLoader): EXTENSION,
    id(importlib.machinery.SourcelessFileLoader): BYTECODE,
    id(importlib.machinery.SourceFileLoader): SOURCE,
    id(InjectedLoader): INJECTED,
    **{id(kind): NAMESPACE for kind in bootstrap.NAMESPACE_LOADERS},
}
_EXTENSION_SUFFIXES: Final = tuple(importlib.machinery.EXTENSION_SUFFIXES)
_SOURCE_SUFFIXES: Final = (".py", ".pyw")
_SOURCE_LOADER: Final = importlib.machinery.SourceFileLoader
_ZIP_LOADER: Final = zipimport.zipimporter
_dict_of_spec: Final[Any] = vars(importlib.machinery.ModuleSpec)["__dict__"].__get__


class Facts(NamedTuple):
    """What one entry is.

    Attributes:
        kind: a name of the enum ModuleKind.
        origin: a file, "built-in", "frozen", or modctl's own name for injected source; empty where unknown.
        package: whether it has a `__path__`.
        alias_of: the module's own name where the key is another one.
        initializing: whether its first import is still running.
        file: whether origin is a file by itself, not a member of an archive.
    """

    kind: str
    origin: str
    package: bool
    alias_of: str
    initializing: bool
    file: bool


def spec_of(namespace: dict[str, Any]) -> Any:
    """The `__spec__` as it stands in a module's namespace."""
    return dict.get(namespace, "__spec__")


def spec_fields(spec: object) -> dict[str, Any]:
    """The attributes of a spec where it is an ordinary object, else nothing."""
    if type(spec) is importlib.machinery.ModuleSpec:  # as ever
        return _dict_of_spec(spec)  # type: ignore[no-any-return]  # a slot's getter, of which only we know what it gives
    return {} if spec is None else instance_dict(spec) or {}


def loader_of(namespace: dict[str, Any]) -> Any:
    """The loader that a module says it has; None where it has none."""
    return _loader(spec_fields(spec_of(namespace)), namespace)


def _loader(fields: dict[str, Any], namespace: dict[str, Any]) -> Any:
    loader = fields.get("loader")
    return dict.get(namespace, "__loader__") if loader is None else loader


def injected_of(candidate: object) -> InjectedModule | None:
    """What an injected module is made from; None of any other."""
    namespace = module_dict(candidate)
    loader = None if namespace is None else loader_of(namespace)
    return loader.injected if type(loader) is InjectedLoader else None


def facts_of(name: str, candidate: object) -> Facts:
    """What an entry is.

    Args:
        name: the key as text.
        candidate: what stands there.
    """
    if candidate is None:
        return Facts(BLOCKED, "", False, "", False, False)
    namespace = module_dict(candidate)
    if namespace is None:
        return Facts(OTHER, "", False, "", False, False)
    fields = spec_fields(spec_of(namespace))
    loader = _loader(fields, namespace)
    own_file = text(dict.get(namespace, "__file__"))
    origin = text(fields.get("origin")) or own_file
    kind = _kind(loader, origin, own_file, namespace)
    if kind == INJECTED and own_file:
        origin = own_file
    own_name = text(dict.get(namespace, "__name__"))
    is_file = (
        kind in (SOURCE, BYTECODE, EXTENSION)
        and origin.startswith("/")
        and (type(loader) is _SOURCE_LOADER or not any(base is _ZIP_LOADER for base in mro(type(loader))))
    )
    alias_of = own_name if own_name and own_name != name else ""
    return Facts(kind, origin, "__path__" in namespace, alias_of, fields.get("_initializing") is True, is_file)


def _kind(loader: Any, origin: str, own_file: str, namespace: dict[str, Any]) -> str:
    if loader is importlib.machinery.BuiltinImporter:
        return BUILTIN
    if loader is importlib.machinery.FrozenImporter:
        return FROZEN
    for base in mro(type(loader)):
        if (kind := _KIND_OF_LOADER.get(id(base))) is not None:
            return BYTECODE if kind == SOURCE and origin.endswith(".pyc") else kind
    if origin == "built-in" or (not origin and text(dict.get(namespace, "__name__")) in sys.builtin_module_names):
        return BUILTIN
    if loader is None and not own_file:
        return NAMESPACE if "__path__" in namespace and spec_of(namespace) is not None else OTHER
    file = origin or own_file
    if file.endswith(".pyc"):
        return BYTECODE
    if file.endswith(_EXTENSION_SUFFIXES):
        return EXTENSION
    if file.endswith(_SOURCE_SUFFIXES):
        return SOURCE
    # A script without a suffix is run as __main__ all the same.
    return SOURCE if file.startswith("/") and text(dict.get(namespace, "__name__")) == "__main__" else OTHER
