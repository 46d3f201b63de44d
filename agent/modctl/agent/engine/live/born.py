"""Functions that are born from code which a change has replaced: those of calls that began before it.

A call that is under way goes on with the code it began with, and so do generators; a function that it makes has the
old inner code although the change is over. So does one that was made between the look for live functions and the
commit. They are looked for again, a moment after the change and then ever more seldom, until nobody runs the old outer
code any more (the design calls it the second sweep). Taking a change back asks the same: what was made since from the
new code gets the old.

A pair is found from the journal's own entries, so nothing here keeps a code object or a function alive.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Final

from modctl.agent.engine import drained
from modctl.agent.engine.live.codesweep import functions_with, makes_functions
from modctl.source.codes import children, identical, kind_flags, pair_children
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from modctl.agent.engine.live.journal import Entry, Journal

#: The first look comes so long after a change; each later one after twice the wait, and none after the last.
FIRST_LOOK_S: Final = 0.25
LONGEST_WAIT_S: Final = 60.0
LAST_LOOK_S: Final = 900.0


class Inner(NamedTuple):
    """A function's code inside replaced code, in both versions."""

    old: CodeType
    new: CodeType


class Born(NamedTuple):
    """A function with old inner code, and what it is to have; None where its closure does not fit the new."""

    function: FunctionType
    code: CodeType | None


def inner_pairs(entries: Iterable[Entry]) -> dict[int, Inner]:
    """The functions inside the codes that these entries replaced and that differ, by id of the old code."""
    found: dict[int, Inner] = {}
    for _, before, after in entries:
        if type(before) is not CodeType or type(after) is not CodeType or before is after or not children(before):
            continue
        for pair in pair_children([before], [((), after)]):
            old = pair.old
            if old is not before and makes_functions(old) and not identical(old, pair.new):
                found[id(old)] = Inner(old, pair.new)
    return found


def find(pairs: dict[int, Inner]) -> list[Born]:
    """Every function of the process that has one of the old codes. One pass of the collector, in C, where they are few.

    Args:
        pairs: of inner_pairs(); a new code that is an old one of another pair is followed to the newest.
    """
    if not pairs:
        return []
    found: list[Born] = []
    for each in functions_with([pair.old for pair in pairs.values()]):
        if (pair := pairs.get(id(each.__code__))) is not None:
            new = _newest(pairs, pair)
            found.append(Born(each, new if each.__code__.co_freevars == new.co_freevars else None))
    return found


def _newest(pairs: dict[int, Inner], pair: Inner) -> CodeType:
    for _ in pairs:
        later = pairs.get(id(pair.new))
        if later is None:
            break
        pair = later
    return pair.new


class Watch:
    """The changes whose old code may still make functions.

    Args:
        journals: gives the kept journals, whose references to code are known.
    """

    def __init__(self, journals: Callable[[], Iterable[Journal]]) -> None:
        self._journals = journals
        #: Oldest first: a function of two changes ago is led through both.
        self._watched: list[Journal] = []
        self._due_s = 0.0
        self._wait_s = 0.0
        self._until_s = 0.0

    def add(self, journal: Journal) -> None:
        """Begins to look after a commit, or after the commit of what takes one back."""
        now_s = time.monotonic()
        self._watched.append(journal)
        self._wait_s, self._until_s = FIRST_LOOK_S, now_s + LAST_LOOK_S
        self._due_s = now_s + self._wait_s

    def drop(self, journal: object) -> None:
        """That change was taken back: its new code is no longer what is to be."""
        self._watched = [each for each in self._watched if each is not journal]

    def next_due_s(self) -> float | None:
        """Seconds until a look is due, 0 where one is; None where nothing is looked for."""
        return max(0.0, self._due_s - time.monotonic()) if self._watched else None

    def look(self) -> int:
        """Gives what was born since the new code; returns how many functions it found.

        Holds no code afterwards. Ends the watch where nobody runs the old code, or its time is over.
        """
        pairs: dict[int, Inner] = {}
        for journal in list(self._watched):
            inner = inner_pairs(journal.entries)
            if not inner:  # what is made inside of it is as before
                self.drop(journal)
            pairs.update(inner)
        if not pairs:
            return 0
        held = self._held()
        born = find(pairs) if _is_anybody_there(pairs, held) else []
        for function, code in born:
            if code is not None:
                function.__code__ = code
        now_s = time.monotonic()
        if now_s >= self._until_s or not self._is_old_code_running(pairs, held):
            self._watched = []
        self._wait_s = min(LONGEST_WAIT_S, self._wait_s * 2)
        self._due_s = now_s + self._wait_s
        return len(born)

    def _held(self) -> dict[int, int]:
        """How often the journals hold each code, by id."""
        held: Counter[int] = Counter()
        seen: set[int] = set()
        for journal in self._journals():
            held.update(journal.code_references(seen))
        return held

    def _is_old_code_running(self, pairs: dict[int, Inner], held: dict[int, int]) -> bool:
        outer: dict[int, CodeType] = {}
        for journal in self._watched:
            outer.update(_outer(journal))
        outer.update((key, pair.old) for key, pair in pairs.items() if children(pair.old))
        if drained.on_stacks(outer):
            return True
        # What is suspended holds its code; the table here does, getrefcount's argument, and of inner ones two more.
        return drained.has_suspended(
            {
                key: outer[key]
                for key in outer
                if kind_flags(outer[key])
                and sys.getrefcount(outer[key]) > held.get(key, 0) + (4 if key in pairs else 2)
            }
        )


def _outer(journal: Journal) -> dict[int, CodeType]:
    """The replaced codes that have others inside, by id."""
    return {
        id(before): before
        for _, before, after in journal.entries
        if type(before) is CodeType and before is not after and children(before)
    }


def _is_anybody_there(pairs: dict[int, Inner], held: dict[int, int]) -> bool:
    """Whether somebody but the outer code and the journals holds an old code. A wrong yes costs a walk."""
    # Held by the constants of the code around it, by its pair, and by getrefcount's own argument.
    return any(sys.getrefcount(pairs[key].old) > held.get(key, 0) + 3 for key in pairs)
