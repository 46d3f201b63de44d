"""Taking a committed change back, later: what was set is set back where it still stands, what the program did since
stays."""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live.operations import FunctionOperation, Operation, Step, refill_steps, run_steps
from modctl.agent.engine.live.values import MAPPINGS, MISSING
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from modctl.agent.engine.live.born import Born

#: isinstance, in C and for one type alone: nobody can derive from it.
_is_code: Final = CodeType.__instancecheck__


class Entry(NamedTuple):
    """One assignment that was made."""

    operation: Operation | FunctionOperation
    before: Any
    after: Any


class Journal:
    """What one commit set. Holds every old object, and lets them go with itself."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        #: The codes that this holds, by id: each as often as it is held. None where nobody has asked yet.
        self._all_codes: tuple[int, ...] | None = None
        self._which_codes: frozenset[int] = frozenset()
        #: The operations that have to do with codes, by id, and whether each of them is there once.
        self._operations: frozenset[int] = frozenset()
        self._is_simple = True
        #: What to do after the assignments are taken back: caches, baselines, new modules.
        self.afterwards: list[Callable[[], None]] = []
        #: The same for taking the undo back.
        self.backwards: list[Callable[[], None]] = []

    def code_references(self, seen: set[int], wanted: Collection[int] | None = None) -> Collection[int]:
        """The codes that this journal holds, by id: each as often as it is held.

        Args:
            seen: ids of operations that were counted: an undo's journal shares them with the one it takes back.
            wanted: the codes that are asked about; all where that is not said.
        """
        if self._all_codes is None:
            codes = self._look_for_codes()
            self._operations = frozenset([identity for identity, _, _ in codes])
            self._is_simple = len(self._operations) == len(codes)
            self._all_codes = tuple([each for _, own, held in codes for each in (*own, *held)])
            self._which_codes = frozenset(self._all_codes)
        if wanted is not None and self._which_codes.isdisjoint(wanted):
            return ()  # whoever shares operations with this one has none of them there either
        if self._is_simple and seen.isdisjoint(self._operations):
            seen |= self._operations  # as ever but after an undo
            return self._all_codes
        found: list[int] = []
        for identity, own, held in self._look_for_codes():
            found += held if identity in seen else (*own, *held)
            seen.add(identity)
        return found

    def _look_for_codes(self) -> list[tuple[int, list[int], list[int]]]:
        """Operations, the codes that each holds itself, and those that its entry holds; all by id."""
        found: list[tuple[int, list[int], list[int]]] = []
        for operation, before, after in self.entries:
            arguments = operation.steps[0][1][2:] if operation.steps else ()
            own = list(map(id, filter(_is_code, (*arguments, operation.expected))))
            held = list(map(id, filter(_is_code, (before, after))))
            if own or held:
                found.append((id(operation), own, held))
        return found

    def undo(self) -> tuple[float, list[str], Journal]:
        """Takes it back in one step.

        Returns the pause in seconds, what the program has changed since and keeps, and the journal that takes the
        undo back.

        Raises:
            Exception: what an assignment raised; everything is as it was before the undo then.
        """
        steps: list[Step] = []
        back: list[Step] = []
        kept: list[str] = []
        entries: list[Entry] = []
        for operation, before, after in reversed(self.entries):
            now = operation.read()
            if operation.container is not None:
                wanted = _without(now, before, after)
                steps += refill_steps(operation.container, wanted)
                back += refill_steps(operation.container, now)
                entries.append(Entry(operation, now, wanted))
            elif now is after or operation.unread:
                steps += operation.restore(before)
                back += operation.steps if operation.unread else operation.restore(now)
                entries.append(Entry(operation, now, before))
            else:
                kept.append(operation.what)
        for function, code in self._born_since(entries):
            if code is None:
                kept.append(f"{function.__module__}.{function.__qualname__} made since")
            else:
                steps.append((setattr, (function, "__code__", code)))
                back.append((setattr, (function, "__code__", function.__code__)))
        back.reverse()
        took_s = run_steps(steps, back)
        for action in self.afterwards:
            action()
        inverse = Journal(entries)
        inverse.afterwards, inverse.backwards = self.backwards, self.afterwards
        return took_s, kept, inverse

    def _born_since(self, entries: list[Entry]) -> list[Born]:
        """What was made since from the code that goes, by functions around it."""
        if not self.nests():
            return []
        from modctl.agent.engine.live.born import find, inner_pairs
        from modctl.agent.engine.live.codesweep import unfreeze

        unfreeze()
        return find(inner_pairs(entries))

    def nests(self) -> bool:
        """Whether code was replaced, or has come, that has other code inside and may make functions of it."""
        for _, before, after in self.entries:
            if type(before) is not CodeType or type(after) is not CodeType:
                continue
            if CodeType in map(type, before.co_consts) or CodeType in map(type, after.co_consts):
                return True
        return False


def _without(now: Any, before: Any, after: Any) -> Any:
    """The container's contents with the change from `before` to `after` taken back."""
    kind = type(after)
    if kind is dict or kind in MAPPINGS:
        wanted = dict(now)
        for key, value in after.items():
            if now.get(key, MISSING) is value:
                if key in before:
                    wanted[key] = before[key]
                else:
                    wanted.pop(key, None)
        for key, value in before.items():
            if key not in after:
                wanted.setdefault(key, value)
        return wanted
    if kind is set:
        return (now - (after - before)) | (before - after)
    if len(now) == len(after) and all(a is b for a, b in zip(now, after, strict=True)):
        return before
    added = [item for item in now if not any(item is other for other in after)]
    return [*before, *added]
