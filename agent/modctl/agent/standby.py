"""Who goes on with the agent's loop while the thread that ran it makes a change.

A small change is made on the agent's own thread. Where a hundred processes of a host are changed at once, each hand-
over to another thread lets a neighbour run first and finds the caches cold: two hand-overs fewer are a third of the
time. But that thread also answers everything else. So whoever may have to wait, or runs code of the program, says so
here before; then a new thread goes on with the loop, and the old one is that of a job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modctl.agent.primitives import get_ident

if TYPE_CHECKING:
    from collections.abc import Callable

_successions: dict[int, Callable[[], None]] = {}


def stand_in(hand_over: Callable[[], None]) -> None:
    """The calling thread, which others need, begins something that may take long after all.

    Args:
        hand_over: lets another thread do what this one is needed for; called at most once, on this thread.
    """
    _successions[get_ident()] = hand_over


def step_back() -> bool:
    """It has ended; whether the thread is needed still: nobody has taken its place."""
    return _successions.pop(get_ident(), None) is not None


def is_needed_here() -> bool:
    """Whether the calling thread is needed by others."""
    return get_ident() in _successions


def before_waiting() -> None:
    """Call before the calling thread may block, or runs code of the program. Costs nothing on any other thread."""
    hand_over = _successions.pop(get_ident(), None)
    if hand_over is not None:
        hand_over()


def after_fork_in_child() -> None:
    """The threads are gone."""
    _successions.clear()
