"""What can be said about a value without running anybody's code.

Every test here is by exact type and identity: `isinstance` and `==` on a foreign object may call its own methods.
"""

from __future__ import annotations

import collections
import functools
import sys
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import safe

if TYPE_CHECKING:
    from typing import TypeGuard

#: Stands for "there is nothing" where None is a value.
MISSING: Final[Any] = safe.MISSING

ATOMS: Final[frozenset[type]] = frozenset(
    {int, float, complex, str, bytes, bool, type(None), type(...), type(NotImplemented), range, slice}
)
#: Containers whose insides can be read and replaced by C functions alone.
CONTAINERS: Final = frozenset({
    dict, list, set, bytearray, collections.OrderedDict, collections.defaultdict, collections.deque,
    collections.Counter,
})  # fmt: skip
MAPPINGS: Final = frozenset({dict, collections.OrderedDict, collections.defaultdict, collections.Counter})
LRU_WRAPPER: Final = type(functools.lru_cache(lambda: None))
_BUILT_IN: Final = (BuiltinFunctionType, type(str.join), type(dict.__init__), type(object.__new__(object).__str__))
#: Immutable values of the standard library whose == is their own: module, type.
_FROZEN_VALUES: Final = (
    ("re", "Pattern"), ("decimal", "Decimal"), ("fractions", "Fraction"), ("uuid", "UUID"), ("datetime", "datetime"),
    ("datetime", "date"), ("datetime", "time"), ("datetime", "timedelta"), ("datetime", "timezone"),
    ("pathlib", "PosixPath"), ("pathlib", "PurePosixPath"), ("struct", "Struct"),
)  # fmt: skip


_FROZEN_MODULES: Final = tuple(dict.fromkeys(module for module, _ in _FROZEN_VALUES))
#: Of the modules that are loaded, their types.
_frozen: tuple[tuple[str, ...], frozenset[type]] = ((), ATOMS)


def frozen_types() -> frozenset[type]:
    """Immutable types of the standard library, of modules that are loaded; nothing is imported for it."""
    global _frozen
    loaded = tuple(filter(sys.modules.__contains__, _FROZEN_MODULES))
    if _frozen[0] != loaded:
        wanted = [(module, name) for module, name in _FROZEN_VALUES if module in loaded]
        found = {kind for module, name in wanted if isinstance(kind := getattr(sys.modules[module], name, None), type)}
        if len(found) < len(wanted):
            return frozenset(found) | ATOMS  # one of them is being imported
        _frozen = loaded, frozenset(found) | ATOMS
    return _frozen[1]


def is_class(value: object) -> TypeGuard[type]:
    """Whether it is a class, whatever its `__class__` says."""
    return issubclass(type(value), type)  # of real types, by C: no metaclass is asked about subclasses of `type`


def mro(cls: type) -> tuple[type, ...]:
    """The class's real MRO, past any metaclass."""
    found: tuple[type, ...] = type.__dict__["__mro__"].__get__(cls)
    return found


def class_dict(cls: type) -> MappingProxyType[str, Any]:
    """The class's own namespace, past any metaclass."""
    found: MappingProxyType[str, Any] = type.__dict__["__dict__"].__get__(cls)
    return found


def instance_dict(value: object) -> dict[str, Any] | None:
    """The instance's own attributes, without running a `__dict__` property of its class."""
    for cls in mro(type(value)):
        descriptor = class_dict(cls).get("__dict__")
        if descriptor is not None:
            if type(descriptor) is not GetSetDescriptorType:
                return None
            found = descriptor.__get__(value)
            return found if type(found) is dict else None
    return None


def is_plain(value: object) -> bool:
    """Whether it is immutable data through and through."""
    kind = type(value)
    if kind in ATOMS:
        return True
    if kind is tuple or kind is frozenset:
        return all(map(is_plain, value))  # type: ignore[call-overload]  # a tuple or frozenset, by its exact type
    return kind in frozen_types()


def is_plain_data(value: object, depth: int = 0) -> bool:
    """Whether it is plain data or exact builtin containers of it."""
    kind = type(value)
    if depth > 20:
        return False
    if kind is tuple or kind is frozenset or kind in (list, set):
        return all(is_plain_data(item, depth + 1) for item in value)  # type: ignore[attr-defined]  # by its exact type
    if kind in MAPPINGS:
        items = value.items()  # type: ignore[attr-defined]  # a mapping, by its exact type
        return all(is_plain_data(k, depth + 1) and is_plain_data(v, depth + 1) for k, v in items)
    return is_plain(value)


def same_data(one: Any, other: Any, depth: int = 0) -> bool:
    """Whether two values are equal data. Objects that are not data are equal only if they are one."""
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other) or depth > 50:
        return False
    if kind is float or kind is complex:
        return repr(one) == repr(other)
    if kind in ATOMS:
        return bool(one == other)
    if kind is tuple or kind is list or kind is collections.deque:
        return len(one) == len(other) and all(same_data(a, b, depth + 1) for a, b in zip(one, other, strict=True))
    if kind in MAPPINGS:
        return len(one) == len(other) and all(
            key in other and same_data(item, other[key], depth + 1) for key, item in one.items()
        )
    if kind is set or kind is frozenset:
        return all(map(is_plain, one)) and bool(one == other)
    return kind in frozen_types() and bool(one == other)


def home_of(function: FunctionType | type) -> object:
    """What the place says that its `__module__` and `__qualname__` name; MISSING where they name nothing."""
    if is_class(function):
        module = class_dict(function).get("__module__")
        qualname = type.__dict__["__qualname__"].__get__(function)
    else:
        module, qualname = function.__module__, function.__qualname__
    found = sys.modules.get(module) if isinstance(module, str) else None
    if not isinstance(found, ModuleType) or "<locals>" in qualname:
        return MISSING
    here: object = found
    for part in qualname.split("."):
        if type(here) is FunctionType or here is MISSING:
            return MISSING
        if is_class(here):
            here = class_dict(here).get(part, MISSING)
        elif here is found:
            here = ModuleType.__getattribute__(found, "__dict__").get(part, MISSING)
        else:
            return MISSING
        if type(here) in (staticmethod, classmethod):
            here = here.__func__  # type: ignore[attr-defined]  # both have one
    return here


def is_opaque(value: object) -> bool:
    """Whether calling a method of it may do anything: an instance of somebody's class, not data, function,
    class or module.
    """
    kind = type(value)
    if (
        kind in CONTAINERS
        or kind in (FunctionType, MethodType, LRU_WRAPPER, functools.partial, property)
        or kind in _BUILT_IN
    ):
        return False
    if is_class(value) or issubclass(kind, ModuleType) or kind in (staticmethod, classmethod, CellType, CodeType):
        return False
    return not is_plain(value) and kind.__module__ != "typing"


def type_name(value: object) -> str:
    """The value's type, module-qualified unless builtin."""
    kind = type(value)
    module = class_dict(kind).get("__module__", "builtins")
    qualname = type.__dict__["__qualname__"].__get__(kind)
    return qualname if module == "builtins" else f"{module}.{qualname}"
