"""Taking a committed change back, later: what was set is set back where it still stands, what the program did since
stays."""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.operations import Operation, Step, refill_steps, run_steps
from modctl.agent.engine.live.values import MAPPINGS, MISSING
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from modctl.agent.engine.live.born import Born


class Entry(NamedTuple):
    """One assignment that was made."""

    operation: Operation
    before: Any
    after: Any


class Journal:
    """What one commit set. Holds every old object, and lets them go with itself."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        #: What code_references() counts: operation, codes that it holds, codes that its entry holds; all by id.
        self._codes: list[tuple[int, list[int], list[int]]] | None = None
        #: The operations of those, and all the codes of both kinds.
        self._operations: frozenset[int] = frozenset()
        self._all_codes: tuple[int, ...] = ()
        #: What to do after the assignments are taken back: caches, baselines, new modules.
        self.afterwards: list[Callable[[], None]] = []
        #: The same for taking the undo back.
        self.backwards: list[Callable[[], None]] = []

    def code_references(self, seen: set[int], into: Counter[int]) -> None:
        """Counts how often this journal holds each code object.

        Args:
            seen: ids of operations that were counted: an undo's journal shares them with the one it takes back.
            into: counts by id of the code; added to.
        """
        if self._codes is None:
            self._codes = []
            for operation, before, after in self.entries:
                arguments = operation.steps[0][1] if operation.steps else ()
                own = [id(each) for each in (*arguments[2:], operation.expected) if type(each) is CodeType]
                held = [id(each) for each in (before, after) if type(each) is CodeType]
                if own or held:
                    self._codes.append((id(operation), own, held))
            self._operations = frozenset(identity for identity, _, _ in self._codes)
            self._all_codes = tuple(each for _, own, held in self._codes for each in (*own, *held))
        if len(self._operations) == len(self._codes) and seen.isdisjoint(self._operations):
            seen |= self._operations  # as ever but after an undo: counted in C
            into.update(self._all_codes)
            return
        for identity, own, held in self._codes:
            for each in held if identity in seen else (*own, *held):
                into[each] += 1
            seen.add(identity)

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
        return any(
            type(each) is CodeType
            for _, before, after in self.entries
            if type(before) is CodeType and type(after) is CodeType
            for each in (*before.co_consts, *after.co_consts)
        )


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
