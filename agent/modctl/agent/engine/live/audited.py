"""Whether Python code of the program listens to assignments of code: then they are not one step for other threads.

An audit hook written in Python runs between two assignments, and where bytecode runs the GIL can go to another thread
(measured: a hundred thousand half states a second, where there is none without a hook). Nothing tells what hooks there
are, but an assignment that is announced takes at least three times as long as one that is not, and without a hook the
same within a sixth, on 3.10 to 3.13. Hooks in C are quicker than that, and keep the GIL.
"""

from __future__ import annotations

import time
from collections import deque
from itertools import repeat
from types import FunctionType
from typing import Any, Final

#: An announced assignment is so many times slower where a hook in Python hears of it.
_SLOWER: Final = 2.0
_ASSIGNMENTS: Final = 10
_ROUNDS: Final = 10

_set_code: Final[Any] = FunctionType.__dict__["__code__"].__set__
_set_name: Final[Any] = FunctionType.__dict__["__name__"].__set__

NOTE: Final = (
    "the program has an audit hook in Python, which runs between the assignments of a change: threads that hold no "
    "shield may see a part of it for a moment"
)


def is_heard() -> bool:
    """Whether such a hook is there. Takes some twenty-five microseconds."""

    def probe() -> None:
        """Nothing but a place to assign to."""

    announced_ns = plain_ns = 1 << 62
    for _ in range(_ROUNDS):  # in turn: what else the machine does slows both
        announced_ns = min(announced_ns, _took_ns(_set_code, probe, probe.__code__))
        plain_ns = min(plain_ns, _took_ns(_set_name, probe, probe.__name__))
    return announced_ns > _SLOWER * plain_ns


def _took_ns(assign: Any, probe: Any, value: object) -> int:
    began_ns = time.perf_counter_ns()
    deque(map(assign, repeat(probe, _ASSIGNMENTS), repeat(value, _ASSIGNMENTS)), maxlen=0)
    return time.perf_counter_ns() - began_ns
