"""The commit: prebuilt assignments, done by one call into C.

While `deque.extend` consumes `starmap(setattr, …)` no bytecode runs, so on a build with a GIL no other thread sees
a half. Each assignment is paired with the one that takes it back, taken down just before: that is the undo journal,
and it keeps every old object alive, so that no `__del__` runs in the middle.
"""

from __future__ import annotations

import functools
import gc
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from itertools import chain, groupby, starmap
from operator import itemgetter
from time import perf_counter
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live import kinds
from modctl.agent.engine.live.values import MISSING, class_dict
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from types import CellType, FunctionType

Step = tuple[Callable[..., object], tuple[Any, ...]]
#: Past the metaclass, which may have a property of that name: sympy's have one.
_set_doc: Callable[..., object] = type.__dict__["__doc__"].__set__
_set_partial: Callable[..., object] = functools.partial.__setstate__  # type: ignore[attr-defined]  # typeshed does not know it


class Operation(NamedTuple):
    """One assignment: how it is done, what was there when it was decided, and how to look."""

    #: For people: `m.f.__code__`.
    what: str
    steps: tuple[Step, ...]
    expected: Any
    read: Callable[[], Any]
    #: From what is there to the steps that bring it back.
    restore: Callable[[Any], tuple[Step, ...]]
    #: Of a refill: what is refilled; `read` gives copies then.
    container: Any = None
    #: Whether `read` cannot tell what is there.
    unread: bool = False


class FunctionOperation(NamedTuple):
    """An Operation on an attribute of a function: most are such, so this one needs no closures."""

    what: str
    #: One step: `setattr(function, attribute, value)`.
    steps: tuple[Step, ...]
    expected: Any

    def read(self) -> Any:
        """What is there."""
        function, attribute, _ = self.steps[0][1]
        return getattr(function, attribute)

    def restore(self, old: Any) -> tuple[Step, ...]:
        """As of Operation."""
        function, attribute, _ = self.steps[0][1]
        return ((setattr, (function, attribute, old)),)

    @property
    def container(self) -> None:
        """As of Operation."""

    @property
    def unread(self) -> bool:
        """As of Operation."""
        return False


class ConflictError(Exception):
    """Somebody else changed something between the decision and the commit."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was changed by the program while the change was being prepared")
        self.what = what


def _apply(steps: list[Step]) -> None:
    """All steps, in one call into C: groups of the same function become one starmap each."""
    groups: list[Iterator[object]] = [
        starmap(function, [arguments for _, arguments in group])
        for function, group in groupby(steps, key=itemgetter(0))
    ]
    deque(chain.from_iterable(groups), maxlen=0)


class Batch:
    """Assignments in the making. Later ones for the same place win."""

    def __init__(self) -> None:
        self._operations: dict[object, Operation | FunctionOperation] = {}
        self._keep: list[object] = []

    def __len__(self) -> int:
        return len(self._operations)

    def __iter__(self) -> Iterator[Operation | FunctionOperation]:
        return iter(self._operations.values())

    def release(self) -> None:
        """After the commit nothing is decided any more: only what was done is still told."""
        self._operations = dict(enumerate(self._operations.values()))
        self._keep.clear()

    def has(self, kind: str, holder: object, key: object) -> bool:
        """Whether something is decided for that place already."""
        return (kind, id(holder), key) in self._operations

    def decided(self, kind: str, holder: object, key: object) -> Any:
        """What will be there, or MISSING where nothing is decided."""
        operation = self._operations.get((kind, id(holder), key))
        if operation is None or len(operation.steps[0][1]) < 3:
            return MISSING
        return operation.steps[0][1][2]

    def _add(self, kind: str, holder: object, key: object, operation: Operation | FunctionOperation) -> None:
        self._keep.append(holder)  # ids of dead objects are used again
        place = kind, id(holder), key
        known = self._operations.get(place)
        if known is not None:
            operation = operation._replace(expected=known.expected)
        self._operations[place] = operation

    def set_function(self, function: FunctionType, attribute: str, value: object, what: str) -> None:
        """Sets a writable attribute of a function."""
        current = getattr(function, attribute)
        if current is value:
            return
        step = setattr, (function, attribute, value)
        operation = FunctionOperation._make((f"{what}.{attribute}", (step,), current))
        self._add("function", function, attribute, operation)

    def set_type(self, cls: type, name: str, value: object, what: str) -> None:
        """Sets or, with MISSING, deletes an attribute of a class, past its metaclass's `__setattr__`."""
        current = class_dict(cls).get(name, MISSING)
        if current is value:
            return
        self._add("type", cls, name, Operation(
            f"{what}.{name}", _type_steps(cls, name, value), current,
            lambda: class_dict(cls).get(name, MISSING),
            lambda old: _type_steps(cls, name, old),
        ))  # fmt: skip

    def set_type_slot(self, cls: type, name: str, value: object, what: str) -> None:
        """Sets `__bases__`, `__name__`, `__qualname__`, `__doc__`: what is no item of the class's namespace."""
        # Past the metaclass, which may have a property of that name.
        read, write = type.__dict__[name].__get__, type.__dict__[name].__set__
        self._add("type", cls, name, Operation(
            f"{what}.{name}", ((write, (cls, value)),), read(cls),
            lambda: read(cls), lambda old: ((write, (cls, old)),),
        ))  # fmt: skip

    def set_item(self, mapping: dict[Any, Any], key: object, value: object, what: str) -> None:
        """Sets or, with MISSING, deletes an item."""
        current = mapping.get(key, MISSING)
        if current is value:
            return
        self._add("item", mapping, key, Operation(
            what, _item_steps(mapping, key, value), current,
            lambda: mapping.get(key, MISSING), lambda old: _item_steps(mapping, key, old),
        ))  # fmt: skip

    def set_cell(self, cell: CellType, value: object, what: str) -> None:
        """Sets what closures share."""
        current = cell_contents(cell)
        if current is value:
            return
        self._add("cell", cell, None, Operation(
            what, ((setattr, (cell, "cell_contents", value)),), current,
            lambda: cell_contents(cell), lambda old: _cell_steps(cell, old),
        ))  # fmt: skip

    def set_attribute(self, holder: object, name: str, value: object, what: str) -> None:
        """Sets an attribute of an instance through its own `__setattr__`: the one step that may run foreign code."""
        self._add("attribute", holder, name, Operation(
            what, ((setattr, (holder, name, value)),), getattr(holder, name, MISSING),
            lambda: getattr(holder, name, MISSING),
            lambda old: ((delattr, (holder, name)),) if old is MISSING else ((setattr, (holder, name, old)),),
        ))  # fmt: skip

    def set_partial(self, partial: functools.partial[Any], state: tuple[Any, ...], what: str) -> None:
        """Gives a partial another function and arguments."""
        old = _partial_state(partial)
        steps = ((_set_partial, (partial, state)),)
        restore = ((_set_partial, (partial, old)),)
        operation = Operation(what, steps, None, lambda: None, lambda _: restore, None, unread=True)
        self._add("partial", partial, None, operation)

    def refill(self, container: Any, items: Any, what: str) -> None:
        """Gives a dict, list, set or deque other contents; its identity stays."""
        self._add("refill", container, None, Operation(
            what, refill_steps(container, items), _copy(container),
            lambda: _copy(container), lambda old: refill_steps(container, old), container,
        ))  # fmt: skip

    def check(self) -> None:
        """Raises ConflictError where something is not as it was when it was decided upon."""
        for operation in self:
            found = operation.read()
            if found is not operation.expected and not _same_contents(found, operation.expected):
                raise ConflictError(operation.what)

    def commit(self) -> tuple[list[tuple[Operation | FunctionOperation, Any, Any]], float]:
        """Does it all. Returns each operation with what was there before and after, and the seconds that it took.

        Raises:
            Exception: what an assignment raised; everything is as before then.
        """
        operations = list(self)
        before = [operation.read() for operation in operations]
        back = [step for operation, old in zip(operations, before, strict=True) for step in operation.restore(old)]
        steps = [step for operation in operations for step in operation.steps]
        took_s = run_steps(steps, back[::-1])
        after = [operation.read() for operation in operations]
        return list(zip(operations, before, after, strict=True)), took_s


def run_steps(steps: list[Step], journal: list[Step]) -> float:
    """Runs prepared steps in one go; on an error runs the journal and raises. Returns the seconds that it took."""
    if not kinds.change(steps):
        return _run_steps(steps, journal)
    with kinds.without_warning():
        return _run_steps(steps, journal)


def _run_steps(steps: list[Step], journal: list[Step]) -> float:
    collecting = gc.isenabled()
    gc.disable()  # a collection inside would run finalizers
    started_s = perf_counter()
    try:
        _apply(steps)
    except BaseException:
        undo_steps(journal)
        raise
    finally:
        took_s = perf_counter() - started_s
        if collecting:
            gc.enable()
    return took_s


def undo_steps(journal: list[Step]) -> None:
    """Takes back; where a step fails the rest is taken back one by one, and the first failure is raised at the end."""
    failure: BaseException | None = None
    for function, arguments in journal:
        try:
            function(*arguments)
        except BaseException as error:  # noqa: BLE001, PERF203 - foreign code may raise anything
            if isinstance(error, AttributeError) and function in (type.__delattr__, delattr):
                continue  # it was never set: the commit failed before that
            failure = failure or error
    if failure is not None:
        raise failure


def cell_contents(cell: CellType) -> Any:
    """What a cell holds; MISSING where it is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def _partial_state(partial: functools.partial[Any]) -> tuple[Any, ...]:
    return partial.func, partial.args, dict(partial.keywords), dict(partial.__dict__) or None


def _cell_steps(cell: CellType, value: object) -> tuple[Step, ...]:
    if value is MISSING:
        return ((delattr, (cell, "cell_contents")),)
    return ((setattr, (cell, "cell_contents", value)),)


def _type_steps(cls: type, name: str, value: object) -> tuple[Step, ...]:
    if value is MISSING:
        return ((type.__delattr__, (cls, name)),)
    if name == "__doc__":
        return ((_set_doc, (cls, value)),)
    return ((type.__setattr__, (cls, name, value)),)


def _item_steps(mapping: dict[Any, Any], key: object, value: object) -> tuple[Step, ...]:
    kind = type(mapping)
    if value is MISSING:
        return ((kind.pop, (mapping, key, None)),)
    return ((kind.__setitem__, (mapping, key, value)),)


def refill_steps(container: Any, items: Any) -> tuple[Step, ...]:
    """The C calls that give a container other contents."""
    kind = type(container)
    if kind is list:
        return ((list.__setitem__, (container, slice(None), list(items))),)
    if kind is set:
        return ((set.clear, (container,)), (set.update, (container, set(items))))
    if kind is deque:
        return ((deque.clear, (container,)), (deque.extend, (container, list(items))))
    if kind is bytearray:
        return ((bytearray.__setitem__, (container, slice(None), bytes(items))),)
    if kind is OrderedDict:
        return ((OrderedDict.clear, (container,)), (OrderedDict.update, (container, dict(items))))
    return ((dict.clear, (container,)), (dict.update, (container, dict(items))))


def _copy(container: Any) -> Any:
    kind = type(container)
    return dict(container) if kind not in (list, set, deque, bytearray) else kind(container)


def _same_contents(found: Any, expected: Any) -> bool:
    """Whether two copies of a container hold the same objects in the same order."""
    kind = type(expected)
    if kind is not type(found) or kind not in (dict, list, set, deque, bytearray) or len(found) != len(expected):
        return False
    if kind is dict:
        return all(key in found and found[key] is value for key, value in expected.items())
    if kind is set:
        return {id(item) for item in found} == {id(item) for item in expected}
    return (
        all(a is b for a, b in zip(found, expected, strict=True)) if kind is not bytearray else bool(found == expected)
    )
