"""Threads, locks and polls as the operating system has them, whatever the host has patched.

gevent and eventlet replace what `_thread`, `select` and `time` offer by green versions that need a hub in the thread.
The agent's thread is a real one without a hub, so whatever runs on it takes its primitives from here. `_socket`,
`_signal` and `posix` are patched by neither.
"""

from __future__ import annotations

import _thread
import select
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def original(module: Any, attribute: str) -> Any:
    """An attribute of a standard module as it was before any monkey patching."""
    name = module.__name__
    if (gevent := sys.modules.get("gevent.monkey")) is not None:
        return gevent.get_original(name, attribute)
    if (eventlet := sys.modules.get("eventlet.patcher")) is not None:
        return getattr(eventlet.original(name), attribute)
    return getattr(module, attribute)


allocate_lock: Callable[[], _thread.LockType] = original(_thread, "allocate_lock")
get_ident: Callable[[], int] = original(_thread, "get_ident")
get_native_id: Callable[[], int] = original(_thread, "get_native_id")
start_new_thread: Callable[[Callable[..., object], tuple[Any, ...]], int] = original(_thread, "start_new_thread")
poll: Callable[[], select.poll] = original(select, "poll")
POLLIN: int = original(select, "POLLIN")
POLLOUT: int = original(select, "POLLOUT")

# The builtin behind `signal`, which makes enums of everything at 1 MiB and typeshed does not know.
_signal: Any = __import__("_signal")
KILL: int = int(_signal.SIGKILL)
STOP: int = int(_signal.SIGSTOP)
sigmask: Callable[[int, object], set[int]] = _signal.pthread_sigmask
SIG_BLOCK: int = int(_signal.SIG_BLOCK)
SIG_SETMASK: int = int(_signal.SIG_SETMASK)
FAULTS: set[int] = {int(getattr(_signal, name)) for name in ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV")}


def all_signals() -> set[int]:
    """The numbers of all signals."""
    return {int(number) for number in _signal.valid_signals()}


#: All but those of faults, which cannot be put off.
HELD_SIGNALS: set[int] = all_signals() - FAULTS


def set_signal_mask(numbers: set[int]) -> None:
    """Makes the calling thread block these signals and no others."""
    sigmask(SIG_SETMASK, numbers)


def start_deaf_thread(work: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    """Starts a thread that takes no signal from its first instruction on.

    Raises:
        RuntimeError: the system gives no thread.
        whatever the host's handler of a signal raises that comes just now; the thread is started then.
    """
    before = sigmask(SIG_BLOCK, ())
    try:
        sigmask(SIG_BLOCK, HELD_SIGNALS)
        start_new_thread(work, arguments)
    finally:
        sigmask(SIG_SETMASK, before)


def main_thread_mask() -> set[int]:
    """The signals that the host's main thread blocks now; all of them where that cannot be known."""
    try:
        with open("/proc/self/status", "rb") as stream:
            for line in stream:
                if line.startswith(b"SigBlk:"):
                    bits = int(line.split()[1], 16)
                    return {number for number in range(1, 65) if bits >> (number - 1) & 1} & all_signals()
    except (OSError, ValueError):
        pass  # no /proc
    return all_signals()
