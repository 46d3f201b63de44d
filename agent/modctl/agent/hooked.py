"""The agent of a program that did not ask for it: started half a second after the process, if it is still there.

Imported by hook/sitecustomize.py in every Python process below `modctl-agent run`, so it imports next to nothing.
"""

from __future__ import annotations

import _thread
import os
import sys

#: Helper processes are gone by then.
DELAY_S = 0.5
#: How long a fork waits for an agent that is just starting: a child must not inherit a half-done import.
_BOUND_S = 2.0
#: Processes that are nobody's service.
_TOOLS = ("modctl", "modctl-agent", "pip", "pip3")
_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "-m pip ", "-m ensurepip", "-m venv ")


class _Arming:
    """The wait of one process. A fork ends it and both sides wait anew."""

    def __init__(self) -> None:
        self.forker_pid = 0
        self.has_forked = False
        self._fresh()

    def _fresh(self) -> None:
        self._pid = os.getpid()
        self._done = False
        self._called_off = False
        #: Released to call the wait off.
        self._signal = _thread.allocate_lock()
        #: Held while the thread is there.
        self._thread = _thread.allocate_lock()

    def begin(self) -> None:
        self._called_off = False
        self._signal = _thread.allocate_lock()
        self._signal.acquire()
        self._thread.acquire()
        try:
            _thread.start_new_thread(self._wait, (self._thread, self._signal))
        except RuntimeError:
            self._thread.release()

    def _wait(self, thread: _thread.LockType, signal: _thread.LockType) -> None:
        try:
            signal.acquire(True, DELAY_S)
            if not self._called_off:
                _start(self.forker_pid, self.has_forked)
                self._done = True
        finally:
            thread.release()

    def before_fork(self) -> None:
        if self._done:
            return
        self._called_off = True
        if self._signal.locked():
            self._signal.release()
        if self._thread.acquire(True, _BOUND_S):
            self._thread.release()

    def in_parent(self) -> None:
        if not self._done and not self._thread.locked():
            self.has_forked = True
            self.begin()

    def in_child(self) -> None:
        if self._done:
            return  # the agent's own fork hooks care for it
        self.forker_pid, self.has_forked = self._pid, False
        self._fresh()
        self.begin()


def arm() -> None:
    """Starts the agent a little later, unless this process is nobody's service."""
    argv = getattr(sys, "orig_argv", [])
    line = " ".join(argv[:4])
    names = [os.path.basename(word) for word in argv[:2]]
    if any(helper in line for helper in _HELPERS) or any(name in _TOOLS for name in names):
        return
    arming = _Arming()
    os.register_at_fork(before=arming.before_fork, after_in_parent=arming.in_parent, after_in_child=arming.in_child)
    arming.begin()


def _start(forker_pid: int, has_forked: bool) -> None:
    from modctl.agent.log import ERROR, log

    try:
        from modctl.agent.lifecycle import Hooked, start

        start(wait=False, required=False, hooked=Hooked(forker_pid, has_forked))
    except Exception as error:  # noqa: BLE001 - the program did not ask for an agent and must not hear of its faults
        log(ERROR, "the agent could not start in pid %d", os.getpid(), error=error)
