"""The only file that writes sys.modules.

A commit is a list of writes to dicts: the module table, namespaces of parent packages, the table of injected modules.
All of them happen inside one call into C, so that under the GIL no other thread sees a part of them (measured: no half
state in 300 commits on each version with readers at full speed, where a loop in Python tore).
"""

from __future__ import annotations

import sys
import time
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Any

from modctl.agent.engine import bootstrap, table
from modctl.agent.engine.quiet import ImportsHeld
from modctl.agent.engine.safe import MISSING, module_dict
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import ModuleType


class Write(NamedTuple):
    """One slot's change.

    Attributes:
        mapping: the dict that is written.
        key: its key.
        before: what must stand there; MISSING where nothing must.
        after: what shall stand there; MISSING removes.
        operation: the index of the operation that wants it, for taking back one of several.
    """

    mapping: dict[str, Any]
    key: str
    before: Any
    after: Any
    operation: int

    def is_entry(self) -> bool:
        """Whether it writes the module table."""
        return self.mapping is sys.modules

    def inverse(self) -> Write:
        """The write that takes it back."""
        return Write(self.mapping, self.key, self.after, self.before, self.operation)


class CommitRefusedError(Exception):
    """The commit was not begun; everything is as it was.

    Args:
        reason: IN_FLIGHT or CONFLICT.
        name: the entry in the way.
        message: one sentence.
    """

    def __init__(self, reason: str, name: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.name = name


def commit(writes: Sequence[Write], timeout_s: float, locks_usable: bool) -> float:
    """Makes all the writes at one moment; returns how long nobody could begin an import, in milliseconds.

    Args:
        writes: each slot at most once.
        timeout_s: how long to wait for imports in flight of the entries of concern.
        locks_usable: what the self test of bootstrap.py says.

    Raises:
        CommitRefusedError: an import stayed in flight, or somebody changed a slot since it was looked at.
    """
    if not writes:
        return 0.0
    names = [write.key for write in writes if write.is_entry()]
    replaced = [write.key for write in writes if write.is_entry() and write.before is not MISSING]
    held = ImportsHeld(names, replaced, locks_usable)
    blocker = held.acquire(timeout_s)
    if blocker:
        raise CommitRefusedError(
            "IN_FLIGHT", blocker, f"{blocker} is being imported by another thread; try again when that has ended"
        )
    began_ns = time.perf_counter_ns()
    try:
        for write in writes:
            found = dict.get(write.mapping, write.key, MISSING)
            if found is not write.before:
                raise CommitRefusedError(
                    "CONFLICT", write.key, f"somebody else changed {write.key} meanwhile; look again and repeat"
                )
            if write.is_entry() and is_initializing(write.before):
                raise CommitRefusedError("IN_FLIGHT", write.key, f"{write.key} is being imported by another thread")
        _write(writes)
        if any(dict.get(write.mapping, write.key, MISSING) is not write.after for write in writes):
            _write([write.inverse() for write in writes])
            raise CommitRefusedError("CONFLICT", "", "what was written is not what stands there now; it is taken back")
    finally:
        held.release()
    return (time.perf_counter_ns() - began_ns) / 1e6


def _write(writes: Iterable[Write]) -> None:
    kept = [write for write in writes if write.after is not MISSING]
    removed = [write for write in writes if write.after is MISSING]
    # dict.pop with a default cannot fail; what it hands out is still held by the writes, so nothing is finalised here.
    deque(
        chain(
            map(
                dict.__setitem__,
                [write.mapping for write in kept],
                [write.key for write in kept],
                [write.after for write in kept],
            ),
            map(
                dict.pop,
                [write.mapping for write in removed],
                [write.key for write in removed],
                [None] * len(removed),
            ),
        ),
        maxlen=0,
    )


def is_initializing(candidate: object) -> bool:
    """Whether a module's first import still runs."""
    namespace = module_dict(candidate)
    return namespace is not None and bootstrap.is_initializing(dict.get(namespace, "__spec__"))


def publish_initializing(name: str, module: ModuleType) -> None:
    """Puts a new module there before it executes, as an import does. Call it with the import lock of the name held.

    Raises:
        CommitRefusedError: there is an entry.
    """
    if table.modules().setdefault(name, module) is not module:
        raise CommitRefusedError("CONFLICT", name, f"somebody imported {name} meanwhile; look again and repeat")


def withdraw(name: str) -> Any:
    """Takes out what publish_initializing put there, or what the module put in its own place; returns it."""
    return dict.pop(table.modules(), name, MISSING)


def give_back(name: str, wanted: object) -> Any:
    """Puts a live entry back that code in staging has replaced by itself; returns what that had put there, or
    MISSING.
    """
    found = table.get(name)
    if found is wanted:
        return MISSING
    if wanted is MISSING:
        dict.pop(table.modules(), name, None)
    else:
        dict.__setitem__(table.modules(), name, wanted)
    return found
