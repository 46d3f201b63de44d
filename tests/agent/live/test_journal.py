"""What journals say that they hold is what they hold: the proof that a code has no other holder rests on it."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from itertools import chain, permutations
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.journal import Entry, Journal
from modctl.agent.engine.live.operations import Batch

if TYPE_CHECKING:
    from types import CodeType, FunctionType


def versions() -> tuple[FunctionType, list[CodeType]]:
    """A function, and codes that nobody else has."""
    found: list[Any] = []
    for number in range(4):
        namespace: dict[str, Any] = {}
        exec(f"def f(x):\n    return x + {number}", namespace)
        found.append(namespace["f"])
    function, codes = found[0], [each.__code__ for each in found[1:]]
    del found, namespace
    gc.collect()  # the other functions, which hold their codes and are in cycles with their globals
    return function, codes


def changed(function: FunctionType, code: CodeType) -> Journal:
    batch = Batch()
    batch.set_function(function, "__code__", code, "m.f")
    batch.check()
    entries, _ = batch.commit()
    batch.release()
    assert function.__code__ is code
    return Journal([Entry(*entry) for entry in entries])


def check(function: FunctionType, journals: list[Journal], codes: list[CodeType], beside: list[int]) -> None:
    """`beside` is how many hold each code but journals, the function and what this test itself has of it."""
    wanted = frozenset(map(id, codes))
    for order in permutations(journals):
        for asked in (None, wanted, frozenset([id(codes[0])])):
            seen: set[int] = set()
            told = Counter(chain.from_iterable([journal.code_references(seen, asked) for journal in order]))
            for index, number in enumerate(beside):
                if asked is None or id(codes[index]) in asked:
                    runs = function.__code__ is codes[index]
                    assert told[id(codes[index])] == sys.getrefcount(codes[index]) - 1 - number - runs


def test_codes_are_counted_as_often_as_they_are_held_through_changes_undos_and_their_undos() -> None:
    function, codes = versions()
    beside = [sys.getrefcount(code) - 1 for code in codes]
    journals = [changed(function, codes[0])]
    check(function, journals, codes, beside)
    journals.append(changed(function, codes[1]))
    check(function, journals, codes, beside)
    _, kept, back = journals[1].undo()
    journals.append(back)
    assert (kept, function.__code__) == ([], codes[0])
    check(function, journals, codes, beside)
    _, kept, forth = back.undo()
    journals.append(forth)
    assert (kept, function.__code__) == ([], codes[1])
    check(function, journals, codes, beside)


def test_a_journal_that_has_nothing_of_what_is_asked_says_so() -> None:
    function, codes = versions()
    journal = changed(function, codes[0])
    seen: set[int] = set()
    assert list(journal.code_references(seen, frozenset([id(codes[1])]))) == []
    assert id(codes[0]) in journal.code_references(seen)
