"""Looking at foreign objects without running a line of their code.

A module may be lazy, its class may have a hostile `__getattr__` or a lying `__class__`, and what stands in sys.modules
need not be a module at all. Everything here goes through slots of the builtin types themselves, which cannot be
overridden: `type(x)`, the `__dict__` descriptor of ModuleType, the `__mro__` of type. Nothing here calls getattr,
isinstance, hash or == on an object that it does not know the exact type of.
"""

from __future__ import annotations

import types
from itertools import repeat
from operator import is_
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from typing import TypeGuard

KindT = TypeVar("KindT")


class _Missing:
    """The type of MISSING."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


#: Stands for "there is nothing": None is a valid entry (it blocks imports).
MISSING: Final = _Missing()

_mro_of: Final[Any] = type.__dict__["__mro__"].__get__
_class_dict_of: Final[Any] = type.__dict__["__dict__"].__get__
#: Of a ModuleType: its namespace. Raises TypeError of anything else. For loops over entries known to be modules.
raw_module_dict: Final[Any] = _class_dict_of(types.ModuleType)["__dict__"].__get__
_class_name_of: Final[Any] = type.__dict__["__name__"].__get__
_class_module_of: Final[Any] = type.__dict__["__module__"].__get__
_DICT_DESCRIPTORS: Final = (types.GetSetDescriptorType, types.MemberDescriptorType)


def module_dict(candidate: object) -> dict[str, Any] | None:
    """The real namespace of a module, also of a lazy one; None of what is no module."""
    try:
        namespace = raw_module_dict(candidate)
    except TypeError:
        return None
    return namespace if type(namespace) is dict else None


def is_module(candidate: object) -> bool:
    """Whether it is a ModuleType or of a subclass of it, whatever its `__class__` says."""
    return module_dict(candidate) is not None


def mro(kind: type) -> tuple[type, ...]:
    """The real method resolution order of a class."""
    found = _mro_of(kind)
    return found if type(found) is tuple else (kind,)


def is_kind(candidate: object, kind: type[KindT]) -> TypeGuard[KindT]:
    """isinstance() that asks nobody: only the real type counts."""
    found = type(candidate)
    return found is kind or any(map(is_, mro(found), repeat(kind)))


def is_exactly(kind: type, *kinds: type) -> bool:
    """Whether a class is one of these very classes. `in` would ask a foreign metaclass's `__eq__` or `__hash__`."""
    return any(kind is each for each in kinds)


def class_dict(kind: type) -> Any:
    """The mappingproxy of a class's own attributes."""
    return _class_dict_of(kind)


def instance_dict(candidate: object) -> dict[str, Any] | None:
    """The `__dict__` of an instance where its class stores one the ordinary way, else None."""
    for kind in mro(type(candidate)):
        own = _class_dict_of(kind)
        if "__dict__" in own:
            descriptor = own["__dict__"]
            if not is_exactly(type(descriptor), *_DICT_DESCRIPTORS):
                return None
            found = descriptor.__get__(candidate)
            return found if type(found) is dict else None
    return None


def text(value: object) -> str:
    """The value where it is exactly a str, else the empty string."""
    return value if type(value) is str else ""


def type_name(kind: type) -> str:
    """A class's name, module-qualified unless it is a builtin."""
    name = text(_class_name_of(kind)) or "?"
    try:
        module = text(_class_module_of(kind))
    except AttributeError:
        module = ""  # a class whose __module__ was deleted
    return name if module in ("", "builtins") else f"{module}.{name}"


def clean(value: str) -> str:
    r"""The text with lone surrogates written as `\udc80` escapes: protobuf and UTF-8 know none."""
    if value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def key_text(key: object) -> str:
    """A key of sys.modules as text, whatever it is."""
    if type(key) is str:
        return key
    if is_kind(key, str):
        return str.__str__(key)
    return f"<key of type {type_name(type(key))}>"
