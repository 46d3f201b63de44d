"""functools' caches above what changed: a result worked out by old code is not to be served by the new.

A function under `lru_cache` or `cache`, and a `cached_property`, may stand in any module. It is concerned where its
code reaches something that the change assigns: through names of its globals, attributes of modules and classes, and
what it closes over, through any number of functions. What a function calls of its arguments cannot be told from its
code.

A cache is cleared after the commit and after its undo. What a cached_property has left on an instance stays and is
told: it cannot be known from a value that the program has set there.
"""

from __future__ import annotations

import functools
from types import CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live import program
from modctl.agent.engine.live.operations import cell_contents
from modctl.agent.engine.live.values import (
    ATOMS,
    CONTAINERS,
    LRU_WRAPPER,
    class_dict,
    instance_dict,
    is_class,
    is_opaque,
    mro,
)
from modctl.source.codes import signature
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from modctl.agent.engine.live.merge import Pending

_KEEP: Final = "__modctl_keep__"
#: How many functions are looked through for one cache.
_MAX_FUNCTIONS: Final = 2_000
_MAX_NAMED: Final = 5
_MARKS: Final = frozenset(
    map(id, (functools, functools.lru_cache, functools.cache, functools.cached_property, LRU_WRAPPER))
)
_HOLDERS: Final[frozenset[type]] = frozenset({LRU_WRAPPER, functools.cached_property, staticmethod, classmethod})
_NEVER_CLASSES: Final[frozenset[type]] = frozenset({*ATOMS, *CONTAINERS, tuple, FunctionType, ModuleType, LRU_WRAPPER})
#: Modules that had no caches: name to the identity of their namespace and how many names it had.
_without: Final[dict[str, tuple[int, int]]] = {}


class Cached(NamedTuple):
    """A cache of functools.

    Attributes:
        what: module-qualified name.
        function: what is under it.
        cache: the lru_cache wrapper; None of a cached_property.
        owner, name: of a cached_property: its class, and the attribute that it fills.
    """

    what: str
    function: Any
    cache: Any
    owner: type | None = None
    name: str = ""


class Changed:
    """What a change assigns, by identity.

    Args:
        pending: its assignments.
        differs: of functions, by identity, whether their new code does something else, as far as it is known.
    """

    def __init__(self, pending: Iterable[Pending], differs: Mapping[int, bool]) -> None:
        self.functions: set[int] = set()
        #: (id of a namespace, name), and (id of a class, attribute).
        self.names: set[tuple[int, str]] = set()
        self.containers: set[int] = set()
        for kind, holder, key, value, _ in pending:
            if kind == "function":
                known = differs.get(id(holder)) if key == "__code__" else True
                if known is None:
                    known = signature(holder.__code__) != signature(value)
                if known and key in ("__code__", "__defaults__", "__kwdefaults__"):
                    self.functions.add(id(holder))
            elif kind in ("item", "config", "type") and type(key) is str:
                self.names.add((id(holder), key))
            elif kind in ("attribute", "type slot", "cell", "partial", "refill"):
                self.containers.add(id(holder))

    def __bool__(self) -> bool:
        return bool(self.functions or self.names or self.containers)


class StaleCaches:
    """The caches that a change makes stale.

    Args:
        pending: its assignments.
        known: caches that are cleared already.
        changing: names of the modules that it changes.
        differs: as of Changed.
    """

    def __init__(
        self,
        pending: Iterable[Pending],
        known: Iterable[Any],
        changing: Iterable[str] = (),
        differs: Mapping[int, bool] = MappingProxyType({}),
    ) -> None:
        self._changing = list(changing)
        self.notes: list[str] = []
        self._found: list[Cached] = []
        changed = Changed(pending, differs)
        if not changed:
            return
        done = {id(cache) for cache in known}
        kept: list[str] = []
        left: list[Cached] = []
        for cached in _caches():
            if id(cached.cache) in done or not _reaches(cached.function, changed):
                continue
            home = cached.function.__globals__
            if cached.owner is not None:
                left.append(cached)
            elif cached.what.rpartition(".")[2] in (home.get(_KEEP) or ()):
                kept.append(cached.what)
            else:
                self._found.append(cached)
        if self._found:
            self.notes.append(f"cleared, because what they call or read has changed: {_named(self._found)}")
        if left:
            self.notes.append(f"what instances have worked out before stays: {_named(left)}")
        self.notes += [f"the cache of {what} keeps what it has: {_KEEP} names it" for what in kept]

    def __bool__(self) -> bool:
        return bool(self._found)

    def clear(self) -> None:
        """Forgets results. Called after the commit and after its undo."""
        for name in self._changing:
            _without.pop(name, None)
        for cached in self._found:
            cached.cache.cache_clear()


def _named(found: list[Cached]) -> str:
    names = sorted(cached.what for cached in found)
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


# -- finding them


def _caches() -> Iterator[Cached]:
    """The caches of the program's modules: in their namespaces, and in classes that they define.

    Most of the work is done by C functions over whole namespaces: a large program has tens of thousands of names. A
    module that had none is looked at again when it has more or fewer names, or was changed by us.
    """
    for name, module in program.modules():
        namespace = module.__dict__
        known = (id(namespace), len(namespace))
        if _without.get(name) == known:
            continue
        found = list(_of_module(name, namespace.copy()))
        if found:
            yield from found
        else:
            _without[name] = known


def _of_module(name: str, namespace: dict[str, Any]) -> Iterator[Cached]:
    if LRU_WRAPPER in set(map(type, namespace.values())):
        for key, value in namespace.items():
            if type(value) is LRU_WRAPPER:
                yield from _lru(f"{name}.{key}", value)
    # Whose classes have caches has functools, or one of its decorators.
    if _MARKS.isdisjoint(map(id, namespace.values())):
        return
    for key, value in namespace.items():
        if type(value) not in _NEVER_CLASSES and is_class(value) and class_dict(value).get("__module__") == name:
            yield from _of_class(f"{name}.{key}", value)


def _of_class(what: str, cls: type) -> Iterator[Cached]:
    own = class_dict(cls)
    if _HOLDERS.isdisjoint(map(type, own.values())):
        return
    for key, value in list(own.items()):
        kind = type(value)
        if kind is functools.cached_property:
            function: Any = value.func
            if type(function) is FunctionType:
                yield Cached(f"{what}.{key}", function, None, cls, value.attrname or key)
            continue
        inner: Any = value.__func__ if kind is staticmethod or kind is classmethod else value
        if type(inner) is LRU_WRAPPER:
            yield from _lru(f"{what}.{key}", inner)


def _lru(what: str, cache: Any) -> Iterator[Cached]:
    function: Any = cache.__wrapped__
    if type(function) is FunctionType:
        yield Cached(what, function, cache)


# -- what their code reaches


def _reaches(function: FunctionType, changed: Changed) -> bool:
    """Whether a function's code reaches anything that the change assigns."""
    todo: list[Any] = [function]
    seen: set[int] = set()
    while todo and len(seen) < _MAX_FUNCTIONS:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if id(value) in changed.functions or id(value) in changed.containers:
            return True
        kind = type(value)
        if type(value) is FunctionType:
            if program.is_others(str(value.__module__)):
                continue
            names = _names(value.__code__)
            if _reads(value, names, changed, todo):
                return True
        elif kind is LRU_WRAPPER:
            todo.append(value.__wrapped__)
        elif kind in (staticmethod, classmethod, MethodType):
            todo.append(value.__func__)
        elif kind is property:
            todo += [each for each in (value.fget,) if each is not None]
        elif kind is functools.partial or kind is functools.cached_property:
            todo.append(value.func)
    return False


def _reads(function: FunctionType, names: frozenset[str], changed: Changed, todo: list[Any]) -> bool:
    """Whether a function's names lead to an assignment; what else they lead to is to be looked at."""
    home = function.__globals__
    found: list[Any] = [home[name] for name in names if name in home]
    if any((id(home), name) in changed.names for name in names):
        return True
    found += [cell_contents(cell) for cell in function.__closure__ or ()]
    if "__wrapped__" in function.__dict__:
        found.append(function.__dict__["__wrapped__"])
    deep: set[int] = set()
    while found:
        value = found.pop()
        kind = type(value)
        if kind in ATOMS or id(value) in deep:
            continue
        deep.add(id(value))
        if kind in CONTAINERS:
            if id(value) in changed.containers:
                return True
        elif kind is ModuleType:
            namespace = value.__dict__
            if program.is_others(str(namespace.get("__name__"))):
                continue
            if any((id(namespace), name) in changed.names for name in names):
                return True
            found += [namespace[name] for name in names if name in namespace]
        elif is_class(value):
            if _class_reads(value, {*names, "__init__", "__new__", "__call__", "__post_init__"}, changed, todo):
                return True
        elif is_opaque(value):
            if id(instance_dict(value)) in {holder for holder, _ in changed.names} or id(value) in changed.containers:
                return True
            if _class_reads(kind, {*names, "__call__", "__getitem__"}, changed, todo):
                return True
        else:
            todo.append(value)
    return False


def _class_reads(cls: type, names: set[str], changed: Changed, todo: list[Any]) -> bool:
    """Whether attributes of a class that a function names are assigned; methods among them are to be looked at."""
    for each in mro(cls):
        own = class_dict(each)
        if program.is_others(str(own.get("__module__"))) or each is object:
            continue
        for name in names:
            if (id(each), name) in changed.names:
                return True
            if name in own:
                todo.append(own[name])
    return False


def _names(code: CodeType) -> frozenset[str]:
    """Names of globals and attributes that a code uses, with those of functions inside it."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if type(constant) is CodeType:
            found |= _names(constant)
    return frozenset(found)
