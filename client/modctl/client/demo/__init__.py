"""`modctl demo`: a small real fleet on this machine, and a walk through the main verbs on it.

run ──▶ fleet     copies the examples to a temporary folder and runs them there, with a state directory of their own
    └─▶ tour      what is shown and what has to come out of it
          └─▶ guide   tells, pauses, runs the real command line, checks
"""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING

from modctl.client.demo import tour
from modctl.client.demo.errors import DemoError
from modctl.client.demo.fleet import DemoFleet
from modctl.client.demo.guide import Guide, Pace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["run"]


def run(keep: bool = False, fast: bool = False) -> int:
    """Runs the demo and cleans up after it, however it ends.

    Args:
        keep: leave the services running and say how to use and how to stop them.
        fast: short pauses, no questions.

    Returns:
        0 where every step did what it says; 1 where one did not; 130 after Ctrl-C.
    """
    pace = Pace.FAST if fast else Pace.ASK if sys.stdin.isatty() and sys.stdout.isatty() else Pace.READ
    guide = Guide(sys.stdout, pace)
    kept = False
    with _stop_signals_as_interrupts(), contextlib.ExitStack() as cleanup:
        try:
            fleet = DemoFleet(outlives_us=keep)
            cleanup.callback(lambda: None if kept else _stop(fleet))
            guide.say("Starting " + ", ".join(fleet.describe()) + " …")
            fleet.start()
            tour.walk(fleet, guide)
        except DemoError as error:
            guide.fail(str(error))
            return 1
        except KeyboardInterrupt:
            guide.say("\nStopped. Taking everything down …")
            return 130
        if keep:
            kept = True
            guide.title("Left running")
            guide.say(fleet.instructions())
            return 0
    guide.say("The services are stopped and their folder is gone.")
    return 0


def _stop(fleet: DemoFleet) -> None:
    """An impatient second Ctrl-C must not leave half of it running."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        fleet.stop()
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def _stop_signals_as_interrupts() -> Iterator[None]:
    """SIGTERM and SIGHUP (a closed terminal) clean up as Ctrl-C does; a second one cannot cut the cleaning short."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
