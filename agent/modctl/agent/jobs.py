"""Work on threads of its own: what may take long, or runs other people's code."""

from __future__ import annotations

import os
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.log import ERROR, log
from modctl.agent.primitives import allocate_lock, get_ident, main_thread_mask, poll, set_signal_mask, start_new_thread
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

#: More at once are refused: each one is a thread of the host's.
MAX_JOBS: Final = 16


class Finished(NamedTuple):
    """A job that is done: what its work returned, for whom."""

    owner: object
    result: Any


class Jobs:
    """Runs functions on raw threads and collects what they return.

    Args:
        wake: called when a result is there.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._lock = allocate_lock()
        self._idents: set[int] = set()
        self._active = 0
        self.finished: deque[Finished] = deque()

    @property
    def active(self) -> int:
        """How many run."""
        return self._active

    def on_job_thread(self) -> bool:
        """Whether the calling thread is one of a job."""
        return get_ident() in self._idents

    def start(self, owner: object, work: Callable[[], object]) -> bool:
        """Starts one; False when there are too many or there is no thread to be had. `work` must not raise."""
        with self._lock:
            if self._active >= MAX_JOBS:
                return False
            self._active += 1
        try:
            start_new_thread(self._run, (owner, work))
        except RuntimeError:  # no thread to be had: limits, or the interpreter is ending
            with self._lock:
                self._active -= 1
            return False
        return True

    def enter(self) -> None:
        """The calling thread becomes that of a job."""
        with self._lock:
            self._active += 1
        self._idents.add(get_ident())

    def leave(self, owner: object, result: object) -> None:
        """It has done the job, and ends."""
        self.finished.append(Finished(owner, result))
        self._idents.discard(get_ident())
        with self._lock:
            self._active -= 1
        self._wake()

    def withdraw(self) -> None:
        """It does not become one after all."""
        self._idents.discard(get_ident())
        with self._lock:
            self._active -= 1

    def wait_idle(self, timeout_s: float) -> bool:
        """Waits until none runs; True when so."""
        deadline_s = monotonic() + timeout_s
        pause = poll()
        while self._active and monotonic() < deadline_s:
            pause.poll(1)
        return self._active == 0

    def _run(self, owner: object, work: Callable[[], object]) -> None:
        ident, pid = get_ident(), os.getpid()
        self._idents.add(ident)
        try:
            # The agent's thread blocks every signal and threads inherit that; what a job runs or starts must not.
            set_signal_mask(main_thread_mask())
            self.finished.append(Finished(owner, work()))
        except BaseException as error:  # noqa: BLE001 - a raw thread has nobody above it, and would print
            log(ERROR, "a request of the gateway failed inside the agent", error=error)
        finally:
            if os.getpid() != pid:
                os._exit(70)  # the work forked and came back in the child, where there is nothing to go on with
            self._idents.discard(ident)
            with self._lock:
                self._active -= 1
            self._wake()
