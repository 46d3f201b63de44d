"""Has the cyclic collector run more seldom while a change is made.

A change makes some hundred thousand short-lived objects in one go. At the usual threshold (a collection each 700) they
are looked at again and again, count as long-lived because they still live then, and set off a collection of the
service's whole heap: a stop of tens of milliseconds that finds nothing. The threshold is raised instead of switching
the collector off: what the service's other threads leave behind meanwhile is found after as many objects, and
`gc.isenabled()`, `gc.disable()` and `gc.enable()` mean what they always do.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Containers made, less those gone, before the collector looks: some 10 to 30 MB.
SELDOM: Final = 100_000

_usual: tuple[int, int, int] | None = None


@contextmanager
def seldom() -> Iterator[None]:
    """While this lasts the collector runs each SELDOM objects; where the service has it run still less, as it says.

    Within another it does nothing.
    """
    global _usual
    usual = gc.get_threshold()
    if not 0 < usual[0] < SELDOM:
        yield
        return
    _usual = usual
    gc.set_threshold(SELDOM, *usual[1:])
    try:
        yield
    finally:
        restore()


def restore() -> None:
    """As it was, unless the service has said otherwise since. A forked child calls it: who raised it is not there."""
    global _usual
    usual, _usual = _usual, None
    if usual is not None and gc.get_threshold() == (SELDOM, *usual[1:]):
        gc.set_threshold(*usual)


def count() -> int:
    """How often the collector has run: as long as it has not, what was made since is in the youngest generation."""
    return sum(each["collections"] for each in gc.get_stats())
