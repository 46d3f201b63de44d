"""From what was made while staging to what the live world shall hold.

Functions made in a staged namespace read its globals; their live counterparts are made over the live globals.
Containers, wrappers, closures and classes made while staging are walked so that nothing in them points back into
the staged world.
"""

from __future__ import annotations

import functools
from collections import deque
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from modctl.agent.engine.live.operations import cell_contents
from modctl.agent.engine.live.values import ATOMS, LRU_WRAPPER, MAPPINGS, MISSING, class_dict, instance_dict, is_class
from modctl.agent.engine.live.world import World, rebuilt

_DEEP = 4
_set_class = object.__dict__["__class__"].__set__


class Rehomer:
    """Maps values; the same value always to the same result."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._done: dict[int, Any] = {}
        self._keep: list[object] = []
        #: New functions over live globals, by the staged ones that they replace.
        self.functions: dict[int, FunctionType] = {}

    def __call__(self, value: Any, depth: int = 0) -> Any:
        """The live version of a value; the value itself where nothing in it is staged."""
        kind = type(value)
        if kind in ATOMS or kind is CodeType:
            return value
        canon = self._world.canon(value)
        if canon is not MISSING:
            return canon
        if id(value) in self._done:
            return self._done[id(value)]
        self._keep.append(value)
        self._done[id(value)] = value  # cycles end here
        made = self._make(value, kind, depth)
        self._done[id(value)] = made
        return made

    def _make(self, value: Any, kind: type, depth: int) -> Any:
        if kind is FunctionType:
            return self.function(value)
        if kind is tuple:
            items = tuple(self(item, depth) for item in value)
            return value if all(a is b for a, b in zip(items, value, strict=False)) else items
        if kind in (list, set, frozenset, deque) or kind in MAPPINGS:
            return self._container(value, kind, depth)
        if kind is CellType:
            self.cell(value)
            return value
        if kind is MethodType:
            return _if_other(value, (value.__func__, value.__self__), self, lambda f, s: MethodType(f, s))
        if kind is staticmethod or kind is classmethod:
            return _if_other(value, (value.__func__,), self, kind)
        if kind is property:
            parts = (value.fget, value.fset, value.fdel)
            return _if_other(value, parts, self, lambda g, s, d: property(g, s, d, value.__doc__))
        if issubclass(kind, property):
            self._property(value)
            return value
        if kind is functools.partial:
            parts = (value.func, value.args, value.keywords)
            return _if_other(value, parts, self, lambda f, a, k: functools.partial(f, *a, **k))
        if kind is LRU_WRAPPER:
            settings = value.cache_parameters()
            return _if_other(value, (value.__wrapped__,), self, lambda f: functools.lru_cache(**settings)(f))
        if is_class(value):
            self._class(value)
            return value
        if not issubclass(kind, ModuleType) and depth < _DEEP:
            self._instance(value, depth)
        return value

    def _property(self, value: property) -> None:
        """A property of a class derived from it, as werkzeug's cached_property is, made while staging: it cannot be
        made again without running its class, but given other functions.
        """
        held = (value.fget, value.fset, value.fdel)
        live = [self(part) for part in held]
        if any(a is not b for a, b in zip(held, live, strict=True)):
            getter, setter, deleter = live
            property.__init__(value, getter, setter, deleter, value.__doc__)
        self._instance(value, 0)

    def function(self, function: FunctionType) -> FunctionType:
        """A function over the live globals, or the same function with what it closes over put right."""
        staged = self._world.is_staged_globals(function.__globals__)
        if staged is None:
            if function.__closure__ or function.__dict__:
                self.insides(function)
            return function
        made = rebuilt(function, staged.home)
        self._done[id(function)] = made  # before its insides: closures may refer to it
        self.functions[id(function)] = made
        self.insides(made)
        return made

    def insides(self, function: FunctionType) -> None:
        """Puts right what a function made while staging holds."""
        for cell in function.__closure__ or ():
            self.cell(cell)
        for key, value in list(function.__dict__.items()):
            live = self(value)
            if live is not value:
                function.__dict__[key] = live
        if function.__defaults__:
            function.__defaults__ = self(function.__defaults__)
        if function.__kwdefaults__:
            function.__kwdefaults__ = {key: self(value) for key, value in function.__kwdefaults__.items()}
        notes = function.__annotations__
        for key, value in list(notes.items()):
            live = self(value)
            if live is not value:
                notes[key] = live

    def cell(self, cell: CellType) -> None:
        """Puts right what a cell holds, at once: only staged things are ever replaced."""
        value = cell_contents(cell)
        live = self(value) if value is not MISSING else value
        if live is not value:
            cell.cell_contents = live

    def _container(self, value: Any, kind: type, depth: int) -> Any:
        if kind is frozenset:
            items = frozenset(self(item, depth + 1) for item in value)
            return value if {id(i) for i in items} == {id(i) for i in value} else items
        if kind is set:
            changed = [(item, self(item, depth + 1)) for item in list(value)]
            for item, live in changed:
                if live is not item:
                    set.discard(value, item)
                    set.add(value, live)
        elif kind is list or kind is deque:
            for index, item in enumerate(list(value)):
                live = self(item, depth + 1)
                if live is not item:
                    value[index] = live
        else:
            for key, item in list(value.items()):
                live_key, live = self(key, depth + 1), self(item, depth + 1)
                if live_key is not key:
                    kind.pop(value, key)  # type: ignore[attr-defined]  # a mapping: the other containers stand above
                if live is not item or live_key is not key:
                    value[live_key] = live
        return value

    def _class(self, cls: type) -> None:
        """Puts right a class made while staging; live classes are not entered."""
        if class_dict(cls).get("__module__") not in self._world.modules:
            return
        if id(cls) in self._world.live_classes:
            return
        for name, value in list(class_dict(cls).items()):
            if name in ("__dict__", "__weakref__", "__abstractmethods__", "_abc_impl"):
                continue
            live = self(value)
            if live is not value:
                type.__setattr__(cls, name, live)
        bases = type.__dict__["__bases__"].__get__(cls)
        live_bases = tuple(self(base) for base in bases)
        if any(a is not b for a, b in zip(bases, live_bases, strict=False)):
            type.__setattr__(cls, "__bases__", live_bases)

    def _instance(self, value: Any, depth: int) -> None:
        live_class = self._world.canon(type(value))
        if live_class is not MISSING:
            _set_class(value, live_class)  # made while its class was made anew, to be merged into the live one
        attributes = instance_dict(value)
        for key, item in list((attributes or {}).items()):
            live = self(item, depth + 1)
            if live is not item:
                assert attributes is not None
                attributes[key] = live
        if type(value) is functools.cached_property:
            value.func = self(value.func)


def _if_other(value: Any, parts: tuple[Any, ...], rehome: Rehomer, make: Any) -> Any:
    """A new wrapper where any of its parts has a live version of its own; the same wrapper otherwise."""
    live = [rehome(part) for part in parts]
    return value if all(a is b for a, b in zip(live, parts, strict=False)) else make(*live)
