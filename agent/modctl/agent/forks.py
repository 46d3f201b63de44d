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

from modctl.agent.log import ERROR, WARNING, log
from modctl.agent.primitives import allocate_lock, get_ident

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.agent.runtime import Runtime

#: How long a fork waits for the agent at most.
BOUND_S: Final = 1.0


class Forks:
    """The hooks of one process, and how many threads are forking."""

    def __init__(self) -> None:
        self._current: Runtime | None = None
        self._registered = False
        self._reset()

    def _reset(self) -> None:
        self._lock = allocate_lock()
        #: Threads between their two hooks.
        self._forking: set[int] = set()
        self._quiesced: Runtime | None = None
        self._paused: Runtime | None = None

    def follow(self, runtime: Runtime | None) -> None:
        """From now on forks concern this one; None: nobody."""
        self._current = runtime
        if runtime is not None and not self._registered:
            self._registered = True
            os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)
        if runtime is not None and "uwsgi" in sys.modules:
            _chain_uwsgi(sys.modules["uwsgi"], self._in_child)

    def _before(self) -> None:
        ident = get_ident()
        with self._lock:
            first = not self._forking
            self._forking.add(ident)
        runtime = self._current
        if not first or runtime is None or runtime.pid != os.getpid():
            return
        try:
            if runtime.busy_here():
                return  # code that the agent itself runs forks: nothing to wait for but ourselves
            deadline_s = monotonic() + BOUND_S
            if runtime.engine.quiesce(BOUND_S):
                self._quiesced = runtime
            self._paused = runtime
            runtime.pause(deadline_s - monotonic())
        except Exception as error:  # noqa: BLE001 - the host's fork must go on; Python would print what a hook raises
            log(ERROR, "the agent could not prepare for a fork", error=error)

    def _in_parent(self) -> None:
        with self._lock:
            self._forking.discard(get_ident())
            if self._forking:
                return
            quiesced, paused = self._quiesced, self._paused
            self._quiesced = self._paused = None
        try:
            if quiesced is not None:
                quiesced.engine.resume()
            if paused is not None:
                paused.resume()
        except Exception as error:  # noqa: BLE001 - as above
            log(ERROR, "the agent could not go on after a fork", error=error)

    def _in_child(self) -> None:
        self._reset()
        runtime = self._current
        if runtime is None or runtime.pid == os.getpid():
            return  # nobody, or called a second time: uWSGI has hooks of its own
        try:
            if runtime.settings.gateway == "thread":
                self._current = None
                log(WARNING, "gateway='thread' does not survive a fork: pid %d has no agent", os.getpid())
            else:
                runtime.reborn()
        except Exception as error:  # noqa: BLE001 - as above
            log(ERROR, "the agent could not start in a forked child", error=error)


def _chain_uwsgi(uwsgi: Any, hook: Callable[[], None]) -> None:
    """uWSGI forks in C and calls none of Python's hooks by default, but this one."""
    try:
        # Setting the hook is what this module does when it is imported, so it must have been before we set ours.
        decorators = __import__("uwsgidecorators")
    except Exception:  # noqa: BLE001 - it is optional, and asks uWSGI for things that may not be there
        decorators = None
    if decorators is not None and isinstance(getattr(decorators, "postfork_chain", None), list):
        if hook not in decorators.postfork_chain:
            decorators.postfork_chain.append(hook)
        return
    previous = getattr(uwsgi, "post_fork_hook", None)
    if getattr(previous, "of_modctl", False):
        return

    def chained() -> None:
        hook()
        if callable(previous):
            previous()

    chained.of_modctl = True  # type: ignore[attr-defined]
    uwsgi.post_fork_hook = chained


FORKS: Final = Forks()
