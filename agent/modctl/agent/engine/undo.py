"""What takes a revision back: its writes turned round, where nobody has built on them since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modctl.agent.engine import inventory, table
from modctl.agent.engine.commit import Write
from modctl.agent.engine.names import leaf_of, parent_of
from modctl.agent.engine.outcomes import ACTION_RESTORE, Refusal
from modctl.agent.engine.safe import MISSING, module_dict
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.agent.engine.injected import InjectedFinder
    from modctl.agent.engine.journal import Journal, Revision


class UndoPlan(NamedTuple):
    """The writes that take a revision back, or why there are none."""

    revision: Revision | None
    writes: tuple[Write, ...]
    refusals: tuple[Refusal, ...]


def plan_undo(journal: Journal, number: int, finder: InjectedFinder) -> UndoPlan:
    """Plans to take a revision back.

    Args:
        journal: the revisions.
        number: which; 0 is the newest that stands.
        finder: the injected modules.
    """
    revision = journal.find(number) if number else journal.newest_standing()
    if revision is None:
        hint = (
            f"revision {number} is not kept (the newest is {journal.newest}, the oldest kept {journal.oldest_kept})"
            if number
            else "no revision stands that could be taken back"
        )
        return UndoPlan(None, (), (Refusal("", ACTION_RESTORE, "NOTHING_TO_UNDO", "journal", hint),))
    if revision.undone_by:
        hint = f"revision {revision.number} was taken back by revision {revision.undone_by}; undo that to have it again"
        return UndoPlan(revision, (), (Refusal("", ACTION_RESTORE, "NOT_UNDOABLE", "undone", hint),))
    if revision.fixed:
        return UndoPlan(revision, (), (Refusal("", ACTION_RESTORE, "NOT_UNDOABLE", "fixed", revision.fixed),))
    return plan_inverse(revision, revision.writes, journal, finder)


def plan_inverse(revision: Revision, taken: Sequence[Write], journal: Journal, finder: InjectedFinder) -> UndoPlan:
    """Plans to take some writes of a revision back.

    A slot that the revision emptied and the program has filled since (it imported an evicted module again) is given
    its old content all the same. One that the revision filled and somebody has changed since is left alone: that is a
    refusal.
    """
    writes: list[Write] = []
    refusals: list[Refusal] = []
    for write in reversed(taken):
        found = dict.get(write.mapping, write.key, MISSING)
        if found is write.before:
            continue
        if found is not write.after:
            if (later := _later_writer(journal, revision, write)) is not None:
                hint = f"revision {later.number} changed {write.key} after revision {revision.number}; undo that first"
                refusals.append(Refusal(write.key, ACTION_RESTORE, "NOT_UNDOABLE", "later-revision", hint))
                continue
            if write.is_entry() and write.after is not MISSING:
                hint = f"the program itself has put something else in the place of {write.key} since"
                refusals.append(Refusal(write.key, ACTION_RESTORE, "NOT_UNDOABLE", "program", hint))
                continue
        writes.append(Write(write.mapping, write.key, found, write.before, write.operation))
    if not refusals:
        writes += _loaded_from(writes, finder)
    return UndoPlan(revision, tuple(writes), tuple(refusals))


def _later_writer(journal: Journal, revision: Revision, write: Write) -> Revision | None:
    for later in journal.after(revision.number):
        if later.undone_by or later.undoes:
            continue
        if any(other.mapping is write.mapping and other.key == write.key for other in later.writes):
            return later
    return None


def _loaded_from(writes: Sequence[Write], finder: InjectedFinder) -> list[Write]:
    """Entries that the program has imported from an injected package that goes: they go with it."""
    handled = {write.key for write in writes if write.is_entry()}
    found: list[Write] = []
    for write in writes:
        if write.mapping is not finder.modules or write.before is MISSING or write.key in handled:
            continue
        candidate = table.get(write.key)
        if inventory.injected_of(candidate) is not write.before:
            continue
        found.append(Write(table.modules(), write.key, candidate, MISSING, write.operation))
        package = module_dict(table.get(parent_of(write.key)))
        if package is not None and package.get(leaf_of(write.key), MISSING) is candidate:
            found.append(Write(package, leaf_of(write.key), candidate, MISSING, write.operation))
    return found
