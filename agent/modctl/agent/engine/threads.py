"""Running something on a thread of its own with a time limit, and stopping it where it does not end."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from modctl.agent import standby
from modctl.agent.primitives import allocate_lock, get_ident, main_thread_mask, set_signal_mask, start_new_thread

if TYPE_CHECKING:
    from collections.abc import Callable

#: How often and for how long a run-away thread is told to stop.
_STOP_ATTEMPTS: Final = 10
_STOP_WAIT_S: Final = 0.1
#: How long a thread that others need waits before it lets another one take its place, in seconds.
_SOON_S: Final = 0.02


class StagingStopped(BaseException):
    """Raised inside a staging thread that is over its time limit."""


class Worker:
    """One call on a thread of its own.

    Args:
        call: what to run.

    Attributes:
        ident: the thread's, once it runs.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._done = allocate_lock()
        self._done.acquire()
        self._finished = False
        self.ident: int | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self._pid = os.getpid()

    def run(self, timeout_s: float) -> bool:
        """Starts it and waits; whether it ended in time. Its value and error are then set."""
        needed = standby.is_needed_here()
        start_new_thread(self._main, (needed,))
        if needed:
            if self._wait(min(timeout_s, _SOON_S)):
                return True
            timeout_s -= _SOON_S
            standby.before_waiting()
        return self._wait(timeout_s)

    def run_here(self) -> None:
        """Runs it on the calling thread: for what cannot wait, loop or run code of the program. Never times out."""
        self._main(deaf=False)

    def stop(self) -> bool:
        """Raises StagingStopped in the thread, several times since code may catch it; whether it ended.

        A thread inside a call into C (a sleep, a lock, a socket) sees nothing before that call returns.
        """
        try:
            import ctypes
        except ImportError:
            return False
        for _ in range(_STOP_ATTEMPTS):
            if self.ident is not None and not self._finished:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(StagingStopped))
            if self._wait(_STOP_WAIT_S):
                return True
        return False

    def _wait(self, timeout_s: float) -> bool:
        if self._done.acquire(timeout=max(0.0, min(timeout_s, 1e6))):
            self._done.release()
            return True
        return False

    def _main(self, deaf: bool) -> None:
        self.ident = get_ident()
        try:
            if deaf:  # the agent's thread has started it: what runs here, and what that starts, must take signals
                set_signal_mask(main_thread_mask())
            self.value = self._call()
        except BaseException as error:  # noqa: BLE001 - it runs users' code; whatever that raises is the result
            self.error = error
        finally:
            if os.getpid() != self._pid:
                # The staged code forked and its child came back here: it is a copy of the service with this one thread.
                os._exit(0)
            self._finish()

    def _finish(self) -> None:
        while True:  # a stop that comes too late must not keep the waiting thread from hearing of the end
            try:
                # It may lead back here, and what it has made would wait for the garbage collector.
                self._call = _nothing
                if not self._finished:
                    _forget_dummy_thread()
                    self._finished = True
                if self._done.locked():
                    self._done.release()
                return
            except StagingStopped:  # noqa: PERF203 - the error is what is waited out
                continue


def _nothing() -> None:
    """What a worker has left to do afterwards."""


def _forget_dummy_thread() -> None:
    """Takes this thread out of `threading`, which invents an object for a thread that it did not start itself."""
    threading = sys.modules.get("threading")
    if threading is None:
        return
    active = getattr(threading, "_active", {})
    dummy = active.get(get_ident())
    if dummy is not None and type(dummy) is threading._DummyThread:
        active.pop(get_ident(), None)
