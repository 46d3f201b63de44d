"""How two versions of a body differ, statement by statement.

    SAME     the same text: not run, unless something that it reads has another value
    CODE     the same but for bodies of functions: not run, code objects are swapped
    CHANGED  the same thing, defined otherwise: run
    NEW      run
    GONE     (of the old version) what it bound is unbound

A statement whose text stayed can still mean something else where names have several writers: `X = 1; Y = X; X = 2`
in another order, or `X = 1; X += 1` with the second gone. Those are `displaced` and run like changed ones.
"""

from __future__ import annotations

from collections import defaultdict, deque
from functools import cached_property
from typing import Any, Final

from .statements import ANNOTATION, ASSIGN, AUGMENT, CLASS, COMPOUND, DEF, DOC, Statement

SAME, CODE, CHANGED, NEW = "same", "code", "changed", "new"

#: Kinds whose label says which statement of the other version they are.
_LABELLED: Final = frozenset({DEF, CLASS, ASSIGN, AUGMENT, ANNOTATION, COMPOUND, DOC})


class Comparison:
    """Two versions of one body."""

    def __init__(
        self,
        old: tuple[Statement, ...],
        new: tuple[Statement, ...],
        statuses: tuple[str, ...],
        partners: tuple[int, ...],
        gone: tuple[int, ...],
        displaced: frozenset[int],
        rebuilt: frozenset[str],
        bodies: dict[int, Comparison],
    ) -> None:
        self.old = old
        self.new = new
        #: Of each new statement: its status, and the index of the old one that it was, or -1.
        self.statuses = statuses
        self.partners = partners
        #: Old statements that are no more.
        self.gone = gone
        #: New statements of unchanged text that read or finish other things than before.
        self.displaced = displaced
        #: Names whose object is changed by other statements, or in another order, than before: `L.append(2)` added.
        self.rebuilt = rebuilt
        #: Of changed classes: their bodies.
        self.bodies = bodies

    @property
    def runs(self) -> bool:
        """Whether anything of the body has to be executed or removed."""
        return bool(self.gone or self.displaced or self.rebuilt or {CHANGED, NEW} & set(self.statuses))

    @cached_property
    def removed(self) -> frozenset[str]:
        """Names that the old version bound for good and the new one does not."""
        return frozenset(bound(self.old)) - frozenset(bound(self.new))


def bound(statements: tuple[Statement, ...]) -> dict[str, int]:
    """Names bound, with the index of the statement that binds them last; those deleted for good are left out."""
    last: dict[str, int] = {}
    for statement in statements:
        for name in statement.writes:
            last[name] = statement.index
        for name in statement.deletes:
            if statement.kind != COMPOUND:
                last.pop(name, None)
    return last


def compare(old: tuple[Statement, ...], new: tuple[Statement, ...]) -> Comparison:
    """How `new` differs from `old`."""
    partners = [-1] * len(new)
    statuses = [NEW] * len(new)
    free = set(range(len(old)))
    for status, key in (
        (SAME, lambda s: s.text),
        (CODE, lambda s: (s.kind, s.label, s.mask)),
        (CHANGED, lambda s: (s.kind, s.label) if s.kind in _LABELLED and s.label else None),
    ):
        queues: dict[object, deque[int]] = defaultdict(deque)
        for index in sorted(free):
            queues[key(old[index])].append(index)
        for statement in new:
            found = key(statement)
            if partners[statement.index] == -1 and found is not None and queues.get(found):
                partner = queues[found].popleft()
                free.discard(partner)
                partners[statement.index] = partner
                statuses[statement.index] = status
    return Comparison(
        old,
        new,
        tuple(statuses),
        tuple(partners),
        tuple(sorted(free)),
        _displaced(old, new, statuses, partners),
        _rebuilt(old, new, statuses, partners),
        {
            index: compare(old[partners[index]].body, new[index].body)
            for index, status in enumerate(statuses)
            if status == CHANGED and new[index].kind == CLASS
        },
    )


def compare_bodies(whole: Comparison, old: Statement, new: Statement) -> Comparison:
    """How the bodies of two versions of a class differ; what `whole`, of the body they stand in, tells is not looked
    for again.
    """
    partner = whole.partners[new.index]
    if partner >= 0 and whole.old[partner] is old:
        known = whole.bodies.get(new.index)
        if known is not None:
            return known
        if whole.statuses[new.index] == SAME and len(old.body) == len(new.body):
            count, nothing = len(new.body), frozenset[Any]()
            return Comparison(old.body, new.body, (SAME,) * count, tuple(range(count)), (), nothing, nothing, {})
    return compare(old.body, new.body)


def providers(statements: tuple[Statement, ...]) -> tuple[dict[str, int], ...]:
    """Of each statement: every name that it reads, with the index of the last statement before it that binds
    the name.
    """
    last: dict[str, int] = {}
    found: list[dict[str, int]] = []
    for statement in statements:
        found.append({name: last.get(name, -1) for name in statement.reads})
        last.update(dict.fromkeys(statement.writes, statement.index))
    return tuple(found)


def _displaced(
    old: tuple[Statement, ...], new: tuple[Statement, ...], statuses: list[str], partners: list[int]
) -> frozenset[int]:
    """Only names with several writers: what has one writer is decided by whether its value is another."""
    several = _several_writers(old) | _several_writers(new)
    if not several:
        return frozenset()
    before, after = providers(old), providers(new)
    found: set[int] = set()
    for index, status in enumerate(statuses):
        if status in (CHANGED, NEW):
            continue
        reads_before = before[partners[index]]
        for name, provider in after[index].items():
            was = reads_before.get(name, -1)
            if name not in several or (provider == -1 and was == -1):
                continue
            if provider == -1 or partners[provider] != was:
                found.add(index)
    old_last, new_last = _last_writers(old), _last_writers(new)
    for name in several & new_last.keys():
        index = new_last[name]
        if statuses[index] in (SAME, CODE) and partners[index] != old_last.get(name, -1):
            found.add(index)
    return frozenset(found)


def _several_writers(statements: tuple[Statement, ...]) -> set[str]:
    once: set[str] = set()
    several: set[str] = set()
    for statement in statements:
        several |= once & set(statement.writes)
        once |= set(statement.writes)
    return several


def _last_writers(statements: tuple[Statement, ...]) -> dict[str, int]:
    return {name: statement.index for statement in statements for name in statement.writes}


def _rebuilt(
    old: tuple[Statement, ...], new: tuple[Statement, ...], statuses: list[str], partners: list[int]
) -> frozenset[str]:
    before, after = _changers(old), _changers(new)
    found: set[str] = set()
    for name in {*before, *after}:
        indexes = after.get(name, [])
        unchanged = all(statuses[index] in (SAME, CODE) for index in indexes)
        if not unchanged or [partners[index] for index in indexes] != before.get(name, []):
            found.add(name)
    return frozenset(found)


def _changers(statements: tuple[Statement, ...]) -> dict[str, list[int]]:
    """Statements that change a name's object without binding the name."""
    found: dict[str, list[int]] = defaultdict(list)
    for statement in statements:
        for name in statement.touches - set(statement.writes):
            found[name].append(statement.index)
    return found
