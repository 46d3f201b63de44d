"""The one thread with an event loop that all fleets of a program without one share.

grpc.aio has one poller in a process, and every loop that uses it listens to that: with several loops they take each
other's news away, and when the last channel of all is closed the poller goes under the feet of the other loops. So the
threads of a program have one loop between them, begun with the first fleet and ended with the last.
"""

from __future__ import annotations

import asyncio
import os
import threading


class _Background:
    """The thread, and who uses it."""

    def __init__(self) -> None:
        self.users = 1
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="modctl-client", daemon=True)
        self.thread.start()


_lock = threading.Lock()
#: The one that is shared comes first; others are of fleets that are made on its thread, by a callback.
_running: list[_Background] = []


def enter() -> asyncio.AbstractEventLoop:
    """The loop, which runs; each call is to be followed by one of leave()."""
    with _lock:
        for background in _running:
            if background.thread is not threading.current_thread():  # who is on it cannot wait for it
                background.users += 1
                return background.loop
        _running.append(_Background())
        return _running[-1].loop


def leave(loop: asyncio.AbstractEventLoop) -> None:
    """The last one to leave ends it.

    Args:
        loop: what enter() gave.
    """
    with _lock:
        background = next((each for each in _running if each.loop is loop), None)
        if background is None:
            return  # of the process that this one was forked from
        background.users -= 1
        if background.users:
            return
        _running.remove(background)
    loop.call_soon_threadsafe(loop.stop)
    background.thread.join()
    loop.close()


def can_wait_for(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the calling thread may wait for work on a loop: it is another one, and of this process."""
    return any(each.loop is loop and each.thread is not threading.current_thread() for each in _running)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have had it
    _running.clear()  # threads do not come along into a fork


os.register_at_fork(after_in_child=_after_fork_in_child)
