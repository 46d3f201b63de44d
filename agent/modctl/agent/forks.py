"""What happens to the agent when its process forks.

Before: a change in flight is waited for (bounded), further ones are held back, and the agent's thread ends, so that the
fork finds no lock held and no second thread. After, in the parent: the thread goes on with the same connection. In the
child: everything of the parent's is let go, and the child dials for itself a little later.

Hooks cannot be unregistered, so they are registered once and look for who is current.
"""

from __future__ import annotations

import os
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.log import ERROR, INFO, WARNING, log
from modctl.agent.primitives import HELD_SIGNALS, SIG_BLOCK, allocate_lock, get_ident, set_signal_mask, sigmask

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.agent.holding import SignalRelease
    from modctl.agent.runtime import Runtime

#: How long a fork waits at most, for a change in flight and then for the agent's thread.
BOUND_S: Final = 1.0
#: How a shell tells of a program that SIGINT ended.
_INTERRUPTED: Final = 130


class Forks:
    """The hooks of one process, and how many threads are forking."""

    def __init__(self) -> None:
        self._current: Runtime | None = None
        self._registered = False
        self._release: SignalRelease | None = None
        self._releasable = True
        self._reset()

    def _reset(self) -> None:
        self._lock = allocate_lock()
        #: Threads between their two hooks.
        self._forking: set[int] = set()
        self._quiesced: Runtime | None = None
        self._paused: Runtime | None = None
        #: What each of them blocked before.
        self._masks: dict[int, set[int]] = {}

    def follow(self, runtime: Runtime | None) -> None:
        """From now on forks concern this one; None: nobody."""
        self._current = runtime
        if runtime is not None and not self._registered:
            self._registered = True
            os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)
        if runtime is not None and "uwsgi" in sys.modules:
            _chain_uwsgi(sys.modules["uwsgi"], self._in_child)

    def _before(self) -> None:
        if self._current is None:
            return
        if self._releasable:
            # Nothing before this: what a signal handler of the host's raises in here is lost until it is held.
            self._masks[get_ident()] = sigmask(SIG_BLOCK, ())
            sigmask(SIG_BLOCK, HELD_SIGNALS)
            if self._release is None:
                _guarded(self._make_release, "hold signals during a fork")
        runtime = self._current
        if runtime.pid != os.getpid():
            return
        with self._lock:
            first = not self._forking
            self._forking.add(get_ident())
        # Code that the agent itself runs may fork: then there is nothing to wait for but ourselves.
        if first and not runtime.busy_here():
            _guarded(lambda: self._quiesce(runtime), "prepare for a fork")

    def _quiesce(self, runtime: Runtime) -> None:
        deadline_s = monotonic() + BOUND_S
        self._paused = runtime
        if runtime.engine.quiesce(BOUND_S):
            self._quiesced = runtime
            deadline_s = monotonic() + BOUND_S  # it may just have been loaded, and the thread have had no time yet
        runtime.pause(deadline_s - monotonic())

    def _in_parent(self) -> None:
        with self._lock:
            self._forking.discard(get_ident())
            last = not self._forking
        if last and (self._quiesced is not None or self._paused is not None):
            _guarded(self._go_on, "go on after a fork")
        self._arm_release(self._masks.pop(get_ident(), None))

    def _go_on(self) -> None:
        quiesced, self._quiesced = self._quiesced, None
        if quiesced is not None:
            quiesced.engine.resume()
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.resume()

    def _in_child(self) -> None:
        mask = self._masks.get(get_ident())
        self._reset()
        runtime = self._current
        # Maybe called a second time: uWSGI has hooks of its own.
        if runtime is not None and runtime.pid != os.getpid():
            _guarded(lambda: self._start_in_child(runtime), "start in a forked child")
        self._arm_release(mask)

    def _start_in_child(self, runtime: Runtime) -> None:
        if runtime.settings.gateway == "thread":
            self._current = None
            log(WARNING, "gateway='thread' does not survive a fork: pid %d has no agent", os.getpid())
        else:
            runtime.reborn()

    def _make_release(self) -> None:
        try:
            # Here and not earlier: ctypes costs a service that never forks half a MiB.
            from modctl.agent.holding import SignalRelease

            self._release = SignalRelease()
        except (ImportError, AttributeError, OSError) as error:
            self._releasable = False
            log(INFO, "signals cannot be held during forks: %r", error)

    def _arm_release(self, mask: set[int] | None) -> None:
        if self._release is not None:
            self._release.arm(mask)
        elif mask is not None:
            set_signal_mask(mask)


def _guarded(work: Callable[[], object], purpose: str) -> None:
    """Runs a part of a hook: the host's fork goes on whatever it raises."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - Python would print it
        log(ERROR, "the agent could not %s", purpose, error=error)


def _chain_uwsgi(uwsgi: Any, hook: Callable[[], None]) -> None:
    """uWSGI forks in C and calls none of Python's hooks by default, but this one.

    It prints what a hook raises and goes on, and sets its own signal handlers after it: a worker that is told to end
    while our hook runs would not hear of it again. So it ends.
    """

    def ours() -> None:
        try:
            hook()
        except (KeyboardInterrupt, SystemExit):
            os._exit(_INTERRUPTED)

    ours.of_modctl = True  # type: ignore[attr-defined]  # a mark, so that it is not chained twice
    try:
        # Setting the hook is what this module does when it is imported, so it must have been before we set ours.
        decorators = __import__("uwsgidecorators")
    except Exception:  # noqa: BLE001 - it is optional, and asks uWSGI for things that may not be there
        decorators = None
    if decorators is not None and isinstance(getattr(decorators, "postfork_chain", None), list):
        if not any(getattr(each, "of_modctl", False) for each in decorators.postfork_chain):
            decorators.postfork_chain.append(ours)
        return
    previous = getattr(uwsgi, "post_fork_hook", None)
    if getattr(previous, "of_modctl", False):
        return

    def chained() -> None:
        ours()
        if callable(previous):
            previous()

    chained.of_modctl = True  # type: ignore[attr-defined]  # the same mark
    uwsgi.post_fork_hook = chained


FORKS: Final = Forks()
