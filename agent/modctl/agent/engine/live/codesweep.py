"""Giving live functions the new version of their code, wherever they are: nothing is executed for it.

A live function is recognised by the place of its code (line and name), which is unique but for functions on one
line, and by what its code does. Most functions are found by walking the module; whether that found all who hold a
code object is proven by its reference count, and only where it does not add up is the heap looked through, once for
all modules of a change.
"""

from __future__ import annotations

import functools
import gc
import sys
from collections import Counter
from itertools import chain
from types import CellType, CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from modctl.agent import standby
from modctl.agent.engine.inventory import injected_of
from modctl.agent.engine.live.operations import cell_contents
from modctl.agent.engine.live.states import Site
from modctl.agent.engine.live.values import ATOMS, CONTAINERS, LRU_WRAPPER, MAPPINGS, MISSING, class_dict, is_class
from modctl.source.codes import (
    Pair,
    deep_signature,
    doc_of,
    has_inner,
    kind_flags,
    qualified_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modctl.agent.engine.live.journal import Journal
    from modctl.agent.engine.live.merge import Merger
    from modctl.agent.engine.live.world import StagedModule


_CO_OPTIMIZED = 0x1
#: The collector compares each reference of the heap with each of the objects asked for: 2 ms each per million objects.
_FEW = 24
#: Code that runs where it stands: no function is ever made from it and kept.
_AT_ONCE = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
#: Python 3.12 freezes what it has made before anything of a program runs: some 375 objects, no function of which is one
#: of the program's. Who calls gc.freeze() freezes ten times as many.
_FROZEN_AT_START = 1_000 if sys.version_info[:2] == (3, 12) else 0
_KEEPS_LINES = sys.version_info >= (3, 13)


class LiveCodes:
    """The functions of one module that its namespace leads to, and what the plan says their code becomes."""

    def __init__(self, staged: StagedModule) -> None:
        assert staged.plan is not None
        self.staged = staged
        self.functions: dict[int, FunctionType] = {}
        #: lru_cache wrappers by id of the function inside.
        self.caches: dict[int, list[Any]] = {}
        self.classes: dict[str, type] = {}
        self._seen: set[int] = set()
        self._pairs: dict[tuple[int, str], list[Pair]] = {}
        for pair in staged.plan.pairs:
            self._pairs.setdefault((pair.old.co_firstlineno, pair.old.co_name), []).append(pair)
        #: Live code to its pair, or None where it is not one that we know.
        self._known: dict[int, Pair | None] = {}
        self._keep: list[CodeType] = []

    def collect(self) -> None:
        """Walks the namespace."""
        todo: list[Any] = list(self.staged.home.values())
        home, name = self.staged.home, self.staged.name
        while todo:
            value = todo.pop()
            kind = type(value)
            if kind is FunctionType:
                if id(value) in self._seen:
                    continue
                self._seen.add(id(value))
                if value.__globals__ is home:
                    self.functions[id(value)] = value
                if value.__closure__:
                    todo += [cell_contents(cell) for cell in value.__closure__]
                if "__wrapped__" in value.__dict__:
                    todo.append(value.__dict__["__wrapped__"])
            elif kind is LRU_WRAPPER:
                inner = value.__wrapped__
                self.caches.setdefault(id(inner), []).append(value)
                todo.append(inner)
            elif kind is staticmethod or kind is classmethod or kind is MethodType:
                todo.append(value.__func__)
            elif kind is property:
                todo += [value.fget, value.fset, value.fdel]
            elif kind is functools.partial or kind is functools.cached_property:
                todo.append(value.func)
            elif kind in ATOMS:
                continue  # as most values are
            elif is_class(value):
                if id(value) not in self._seen and class_dict(value).get("__module__") == name:
                    self._seen.add(id(value))
                    self.classes.setdefault(type.__dict__["__qualname__"].__get__(value), value)
                    todo += class_dict(value).values()
            elif kind in CONTAINERS and kind is not bytearray and id(value) not in self._seen and len(value) < 1000:
                self._seen.add(id(value))
                todo += [
                    v for v in (value.values() if kind in MAPPINGS else value) if type(v) in (FunctionType, list, dict)
                ]

    def suspects(self, journals: Iterable[Journal]) -> list[CodeType] | None:
        """Codes that change and that somebody holds whom the walk did not find; None where the heap must tell.

        Every holder is counted: functions, the constants of outer functions, and our own tables.

        Args:
            journals: of earlier changes.
        """
        if not self._pairs:
            return []
        assert self.staged.plan is not None
        holders: dict[int, int] = {}
        live: dict[int, CodeType] = {}
        for function in self.functions.values():
            holders[id(function.__code__)] = holders.get(id(function.__code__), 0) + 1
            if (function.__code__.co_firstlineno, function.__code__.co_name) in self._pairs:
                live[id(function.__code__)] = function.__code__
        pairs = [pair for found in self._pairs.values() for pair in found]
        top = {
            (pair.old.co_firstlineno, pair.old.co_name)
            for pair in pairs
            if len(pair.route) == 1 and pair.old.co_flags & _CO_OPTIMIZED
        }
        if not top <= {(code.co_firstlineno, code.co_name) for code in live.values()}:
            return None  # a function of the module is somewhere where the walk does not come
        injected = injected_of(self.staged.live)  # its loader keeps the code that it was made from
        wholes = [self.staged.plan.old_code, None if injected is None else injected.code]
        for identity in [*map(id, self._keep), *[id(pair.old) for pair in pairs]]:
            holders[identity] = holders.get(identity, 0) + 1
        inner = [
            code
            for outer in list(live.values())
            if has_inner(outer)
            for code in _inside(outer)
            if (code.co_firstlineno, code.co_name) in self._pairs
            and code.co_flags & _CO_OPTIMIZED
            and code.co_name not in _AT_ONCE
        ]
        live.update((id(code), code) for code in inner)
        del pairs, inner
        seen: set[int] = set()
        held = Counter(chain.from_iterable([journal.code_references(seen, live) for journal in journals]))
        excess: list[int] = []
        # Most often what a loader or the plan keeps is older than what runs, and need not be looked through.
        for roots in ([], [whole for whole in wholes if whole is not None]):
            parents = _parents([*live.values(), *roots])
            # Each is held by `live` and by getrefcount's own argument too; the loop goes by keys and holds nothing.
            excess = [
                identity
                for identity in live
                if sys.getrefcount(live[identity])
                > holders.get(identity, 0) + parents.get(identity, 0) + held.get(identity, 0) + 2
            ]
            if not excess:
                break
        return [live[identity] for identity in excess]

    def pair_of(self, code: CodeType) -> Pair | None:
        """What becomes of a live code object; None where it stays."""
        if id(code) in self._known:
            return self._known[id(code)]
        self._keep.append(code)
        pair = self._find(code)
        self._known[id(code)] = pair
        return pair

    def _find(self, code: CodeType) -> Pair | None:
        assert self.staged.plan is not None
        candidates = self._pairs.get((code.co_firstlineno, code.co_name))
        if not candidates or not self.staged.is_file_of(code):
            return None
        for pair in candidates:
            if pair.old == code:
                return pair
        what = deep_signature(code)
        return next((pair for pair in candidates if deep_signature(pair.old) == what), None)

    def new_code(self, function: FunctionType) -> CodeType:
        """The code that a clone of a live function runs while staging."""
        pair = self.pair_of(function.__code__)
        return function.__code__ if pair is None else pair.new


def _directly_inside(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if type(constant) is CodeType]


def _inside(code: CodeType) -> list[CodeType]:
    """The codes inside a code, at any depth."""
    found = _directly_inside(code)
    return found + [deeper for inner in found if has_inner(inner) for deeper in _inside(inner)]


def _parents(roots: list[CodeType]) -> dict[int, int]:
    """By how many codes each code is held as a constant."""
    found: dict[int, int] = {}
    seen: set[int] = set()
    todo = list(roots)
    while todo:
        code = todo.pop()
        if id(code) in seen or not has_inner(code):
            continue
        seen.add(id(code))
        for inner in _directly_inside(code):
            found[id(inner)] = found.get(id(inner), 0) + 1
            todo.append(inner)
    return found


def find_elsewhere(changing: list[LiveCodes], notes: list[str], journals: Iterable[Journal] = ()) -> None:
    """Adds the functions of these modules that the walks did not find.

    A few codes, and namespaces of modules where it cannot be told which, are asked for in one pass of the collector,
    in C; for many, every function of the heap is looked at.
    """
    suspects: list[object] = []
    journals = list(journals)
    for codes in changing:
        found = codes.suspects(journals)
        if found is None or len(found) > 1:
            suspects.append(codes.staged.home)  # every function of the module holds it
        else:
            suspects += found
    if not suspects:
        return
    standby.before_waiting()  # a walk over the heap
    if unfreeze():
        notes.append("gc.freeze() was in force and is undone: functions frozen by it would have been missed")
    by_home = {id(codes.staged.home): codes for codes in changing}
    for each in functions_with(suspects):
        if (codes_of := by_home.get(id(each.__globals__))) is not None:
            codes_of.functions.setdefault(id(each), each)


def unfreeze() -> bool:
    """Undoes gc.freeze(), which hides objects from every look at the heap; whether it was in force."""
    if gc.get_freeze_count() <= _FROZEN_AT_START:
        return False
    gc.unfreeze()
    return True


def functions_with(held: list[Any]) -> list[FunctionType]:
    """Every function of the process that refers to one of these; where these are many, every function."""
    candidates = gc.get_objects() if len(held) > _FEW else gc.get_referrers(*held)
    return [each for each in candidates if type(each) is FunctionType]


def makes_functions(code: CodeType) -> bool:
    """Whether functions are made from it, which may be kept."""
    return bool(code.co_flags & _CO_OPTIMIZED) and code.co_name not in _AT_ONCE


def swap(codes: LiveCodes, merger: Merger) -> dict[str, str]:
    """Decides the new code of every live function that no statement has transplanted. Returns qualified names:
    what they do.
    """
    staged = codes.staged
    changed: dict[str, str] = {}
    for function in list(codes.functions.values()):
        if id(function) in merger.transplanted:
            continue
        pair = codes.pair_of(function.__code__)
        if pair is None:
            continue
        what = f"{staged.name}.{function.__qualname__}"
        if pair.differs:
            changed[function.__qualname__] = "changed"
            merger.caches += codes.caches.get(id(function), [])
            if pair.old.co_flags != pair.new.co_flags and kind_flags(pair.old) != kind_flags(pair.new):
                merger.notes.append(f"{what} is another kind of function now (plain, generator or coroutine)")
        if function.__code__.co_freevars == pair.new.co_freevars:
            merger.differs[id(function)] = pair.differs
            merger.put("function", function, "__code__", pair.new, what)
        else:
            _swap_closure(codes, merger, function, pair.new, what)
        # Where these are equal the docstring is, which most often need not be asked for.
        alike = pair.old.co_consts[:1] == pair.new.co_consts[:1] and pair.old.co_flags == pair.new.co_flags
        if not alike and doc_of(pair.old) != doc_of(pair.new) and function.__doc__ == doc_of(pair.old):
            merger.put("function", function, "__doc__", doc_of(pair.new), what)
    _class_lines(codes, merger)
    return changed


def _swap_closure(codes: LiveCodes, merger: Merger, function: FunctionType, code: CodeType, what: str) -> None:
    """The new code closes over other variables: a new function takes the place, the old one leads to it."""
    held = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
    owner_name = function.__qualname__.rpartition(".")[0]
    owner = codes.classes.get(owner_name)
    cells: list[CellType] = []
    for name in code.co_freevars:
        if name in held:
            cells.append(held[name])
        elif name == "__class__" and owner is not None:
            cells.append(CellType(owner))
        else:
            merger.stale.append((what, f"its new version uses {name!r} of the function around it, which is gone"))
            return
    made = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, tuple(cells))
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__, made.__module__ = function.__qualname__, function.__module__
    made.__doc__ = doc_of(code)
    made.__annotations__ = function.__annotations__
    made.__dict__.update(function.__dict__)
    place = None
    if owner is not None:
        place = next((key for key, value in class_dict(owner).items() if value is function), None)
    site = Site(codes.staged, what)
    merger.forward(function, made, site)
    if owner is not None and place is not None:
        merger.put("type", owner, place, made, what)


def _class_lines(codes: LiveCodes, merger: Merger) -> None:
    """3.13 keeps the line of a class in the class."""
    if not _KEEPS_LINES:
        return
    assert codes.staged.plan is not None
    for pair in codes.staged.plan.pairs:
        owner = codes.classes.get(qualified_name(pair.old))
        if owner is None or class_dict(owner).get("__firstlineno__", MISSING) != pair.old.co_firstlineno:
            continue
        if pair.new.co_firstlineno != pair.old.co_firstlineno:
            merger.put(
                "type", owner, "__firstlineno__", pair.new.co_firstlineno, f"{qualified_name(pair.old)}.__firstlineno__"
            )
