"""Small changes on the agent's thread, and the new thread that goes on with the loop where one has to wait after all.

The loop keeps no state on its stack, so a thread that runs a change can leave it to another at any depth (standby.py
says when): that one begins where the next turn would, and the old one goes on with the change as the thread of a job.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from modctl.agent import standby
from modctl.agent.primitives import main_thread_mask, set_signal_mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.agent.jobs import Jobs
    from modctl.agent.serving import Requests


class Succeeded(BaseException):
    """Another thread goes on with the loop; this one has nothing left to do."""


class Succession:
    """Who goes on with the loop of one process.

    Args:
        pid: that process.
        jobs: what a thread joins that has left the loop.
        start_thread: starts a thread that goes on with the loop; raises RuntimeError where the system gives none.
    """

    __slots__ = ("_jobs", "_pid", "_start_thread")

    def __init__(self, pid: int, jobs: Jobs, start_thread: Callable[[], None]) -> None:
        self._pid = pid
        self._jobs = jobs
        self._start_thread = start_thread

    def make_small(self, requests: Requests) -> object:
        """Makes the next small change here and now, on the thread of the loop; its answer, to be delivered.

        Raises:
            Succeeded: another thread went on with the loop meanwhile, and delivers the answer. This one has to end.
        """
        standby.stand_in(self._hand_over)
        answer = requests.make_small()
        if os.getpid() != self._pid:
            os._exit(70)  # the change forked and came back in the child, where there is nothing to go on with
        if standby.step_back():
            return answer
        self._jobs.leave(requests, answer)
        raise Succeeded

    def _hand_over(self) -> None:
        """Another thread goes on with the loop; the calling one becomes that of a job."""
        self._jobs.enter()
        try:
            self._start_thread()
        except RuntimeError:  # no thread to be had: what is asked meanwhile waits
            self._jobs.withdraw()
            standby.stand_in(_nobody_to_hand_over_to)
        # What runs here from now on may start threads and processes, which inherit what is blocked.
        set_signal_mask(main_thread_mask())


def _nobody_to_hand_over_to() -> None:
    """There was no thread to be had; it is not tried again."""
    standby.stand_in(_nobody_to_hand_over_to)
