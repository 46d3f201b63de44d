"""What the gateway's process may take from the machine that it shares with the service, whatever arrives.

gRPC bounds a call's metadata, but only once the other side has acknowledged that bound: until then each connection may
fill 16 MiB, before anybody has asked who it is, and a thousand of them a machine. So the process has a bound of its
own. Beyond it the gateway ends, and the agents start the next one within a second; where the kernel itself runs out of
memory, the gateway is the first to go.

It gives way on the processors too: woken by a frame or a packet it waits for the end of what runs, a few milliseconds
at most, instead of interrupting it. That is kind to the service, and cheaper: answers of many processes that come
meanwhile are read in one turn, and the processes keep their caches.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
from typing import Final

_log = logging.getLogger("modctl.gateway")

#: What it may have of its own, written to or not: twenty times what hundreds of processes need.
MEMORY_BYTES: Final = 2 * 1024 * 1024 * 1024
#: Stacks of threads count, used or not: where they are larger than usual, so many of them are allowed for.
_THREADS: Final = 64
_USUAL_STACK_BYTES: Final = 8 * 1024 * 1024
#: By how much more readily than the service it is killed where memory runs out: half of the kernel's scale.
FIRST_TO_GO: Final = 500
_MOST_READILY: Final = 1000
#: The allocator keeps what was freed. Above so much in memory it is asked for it, so often in seconds.
TRIM_ABOVE_BYTES: Final = 256 * 1024 * 1024
TRIM_EVERY_S: Final = 5.0


def bound() -> None:
    """Bounds memory, puts itself before the service where memory runs out, gives way on the processors, and leaves no
    core files, which have tokens in them. What the system does not know or allow stays as it is. Threads that are
    started later have it from here.
    """
    _give_way()
    _limit(resource.RLIMIT_DATA, MEMORY_BYTES + _THREADS * max(0, _stack_bytes() - _USUAL_STACK_BYTES))
    _limit(resource.RLIMIT_CORE, 0)
    with contextlib.suppress(OSError, ValueError), open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
        score = min(_MOST_READILY, int(file.read()) + FIRST_TO_GO)
        file.seek(0)
        file.write(str(score))


def _give_way() -> None:
    """SCHED_BATCH, also from a real-time policy of the service's; what gives way more already stays."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux, or not allowed here
        if os.sched_getscheduler(0) != os.SCHED_IDLE:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _stack_bytes() -> int:
    """How large a thread's stack is: what the service was started with goes for it and all that it starts."""
    soft = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return 0 if soft == resource.RLIM_INFINITY else soft


def _limit(what: int, most: int) -> None:
    """Lowers a limit; one that is lower already stays."""
    soft, hard = (most if at == resource.RLIM_INFINITY else min(at, most) for at in resource.getrlimit(what))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(what, (soft, hard))


async def keep_small() -> None:
    """Gives back what was freed after much was in use; goes on until it is cancelled."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # not glibc
        return
    while True:
        await asyncio.sleep(TRIM_EVERY_S)
        before = resident_bytes()
        if before > TRIM_ABOVE_BYTES:
            await asyncio.get_running_loop().run_in_executor(None, trim, 0)
            if (after := resident_bytes()) < before // 2:
                _log.info("%d MiB were in memory, %d are", before >> 20, after >> 20)


def resident_bytes() -> int:
    """How much of this process is in memory; 0 where that is not told."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0
