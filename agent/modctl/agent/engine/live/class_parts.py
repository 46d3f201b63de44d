"""A class's body is a list of statements too: only those that changed, or read what changed, run.

They run in a throw-away class of the same name that has no bases, so that no `__init_subclass__`, metaclass or
decorator runs again and counters stay; its namespace starts as a copy of the live class's. `super()` and
`__class__` mean the live class.
"""

from __future__ import annotations

import abc
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.classes import MACHINERY, merge_namespace, remove_gone
from modctl.agent.engine.live.mapped import is_mapped
from modctl.agent.engine.live.states import BEHAVIOUR, UNTOUCHED, Site
from modctl.agent.engine.live.values import class_dict, mro
from modctl.source.codes import CAPTURE
from modctl.source.comparison import CHANGED, NEW, SAME, Comparison, bound, compare_bodies, providers
from modctl.source.statements import DOC

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.agent.engine.live.merge import Merger
    from modctl.agent.engine.live.world import StagedModule
    from modctl.source.names import Chain
    from modctl.source.statements import Statement


class Capture:
    """Stands where the metaclass would: keeps the namespace instead of making a class of it."""

    def __init__(self, live: type) -> None:
        self._live = live
        self.namespace: dict[str, Any] = {}

    def __prepare__(self, *_: object) -> dict[str, Any]:
        """A copy of what the live class has, so that statements of the body find each other."""
        found = {key: value for key, value in class_dict(self._live).items() if key not in MACHINERY}
        notes = class_dict(self._live).get("__annotations__")
        found["__annotations__"] = dict(notes) if type(notes) is dict else {}
        return found

    def __call__(self, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - the signature is given
        """Called in place of the metaclass."""
        cell = namespace.pop("__classcell__", None)
        if type(cell) is CellType:
            cell.cell_contents = self._live
        self.namespace = namespace
        return namespace


def can_run_in_part(live: Any, statement: Statement, old: Statement | None, bases_stayed: bool) -> bool:
    """Whether a class statement may run statement by statement: its header stayed and nobody watches classes
    being made.
    """
    if old is None or statement.header != old.header or statement.decorated or statement.generic or not bases_stayed:
        return False
    if (type(live) not in (type, abc.ABCMeta) and not is_mapped(live)) or tuple in mro(live):
        return False
    slots = [[s.text for s in version.body if "__slots__" in s.writes] for version in (old, statement)]
    return slots[0] == slots[1]


class Part:
    """What of a class's body has to run."""

    def __init__(
        self, whole: Comparison, statement: Statement, old: Statement, reads_other: Callable[[Chain | str], bool]
    ) -> None:
        self.statement = statement
        self.old = old
        self.comparison: Comparison = compare_bodies(whole, old, statement)
        #: Unchanged statements that run because what they read has another value.
        self.follows: set[str] = set()
        self.indexes = self._select(reads_other)

    def _select(self, reads_other: Callable[[Chain | str], bool]) -> list[int]:
        body, comparison = self.statement.body, self.comparison
        before = providers(body)
        writers: dict[str, list[int]] = {}
        for inner in body:
            for name in inner.writes:
                writers.setdefault(name, []).append(inner.index)
        chosen: set[int] = set()
        for inner in body:
            index = inner.index
            changed = comparison.statuses[index] in (CHANGED, NEW) or index in comparison.displaced
            reads_ran = any(provider in chosen for provider in before[index].values())
            outer = [name for name, provider in before[index].items() if provider < 0]
            follows = any(reads_other(name) for name in outer) or any(
                reads_other(chain) for chain in inner.chains if before[index].get(chain[0], -1) < 0
            )
            if changed or reads_ran or follows:
                chosen.add(index)
                if comparison.statuses[index] == SAME:
                    self.follows.update(inner.writes)
        # Names with several writers (a property and its setter) are made again from the first.
        for indexes in writers.values():
            if len(indexes) > 1 and chosen.intersection(indexes):
                chosen.update(indexes)
        for name in comparison.rebuilt:
            chosen.update(inner.index for inner in body if name in inner.touches)
        return sorted(chosen)


def run_part(merger: Merger, staged: StagedModule, live: type, part: Part, site: Site) -> int:
    """Runs the part and merges what it bound into the live class. Returns the class's state."""
    state = UNTOUCHED
    capture = Capture(live)
    statement, old = part.statement, part.old
    if part.indexes:
        assert staged.plan is not None
        code = staged.plan.piece(statement.index, tuple(part.indexes))
        exec(code, staged.namespace, {CAPTURE: capture})  # noqa: S102 - running sources is what we are asked to do
        ran = [statement.body[index] for index in part.indexes]
        written = {name for inner in ran for name in inner.writes}
        if any(inner.kind == DOC for inner in ran):
            written.add("__doc__")
        made = {name: capture.namespace[name] for name in written if name in capture.namespace}
        for name, value in made.items():
            _tell_name(live, name, value)
        state = merge_namespace(merger, live, made, site)
        merger.stand_ins.changes(live, made)
        state = max(state, _notes(merger, live, capture.namespace.get("__annotations__"), part, site))
    elif any(old.body[index].annotates for index in part.comparison.gone):
        state = max(state, _notes(merger, live, dict(class_dict(live).get("__annotations__") or {}), part, site))
    remaining = dict.fromkeys(bound(statement.body))
    state = max(state, remove_gone(merger, live, remaining, site))
    if (
        any(old.body[index].kind == DOC for index in part.comparison.gone)
        and class_dict(live).get("__doc__") is not None
    ):
        merger.put("type", live, "__doc__", None, f"{site.what}.__doc__")
    if type(live) is abc.ABCMeta:
        merger.abstract.append(live)
    return state


def _tell_name(live: type, name: str, value: Any) -> None:
    """What making a whole class does for descriptors that want to know their name."""
    if type(value) in (FunctionType, staticmethod, classmethod, property) or class_dict(live).get(name) is value:
        return
    for cls in mro(type(value)):
        if "__set_name__" in class_dict(cls):
            class_dict(cls)["__set_name__"](value, live, name)
            return


def _notes(merger: Merger, live: type, notes: Any, part: Part, site: Site) -> int:
    """Annotations: those of statements that ran, less those that the new text has not."""
    kept = {name for inner in part.statement.body for name in inner.annotates}
    gone = {name for inner in part.old.body for name in inner.annotates} - kept
    wanted = {name: value for name, value in (notes or {}).items() if name not in gone}
    held = class_dict(live).get("__annotations__")
    if type(held) is dict:
        if not merger.same(held, wanted):
            merger.put("refill", held, None, wanted, f"{site.what}.__annotations__")
            return BEHAVIOUR
    elif wanted:
        merger.put("type", live, "__annotations__", wanted, f"{site.what}.__annotations__")
        return BEHAVIOUR
    return UNTOUCHED
