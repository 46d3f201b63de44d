"""Where processors are short, the service's own processes come first: the gateway is there to serve operators."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

#: A third of the share of a process that has the usual priority.
NICE: Final = 5


def give_way(*, own_session: bool) -> None:
    """Lowers the priority of every thread that there is; those that these start inherit it.

    Args:
        own_session: whether nobody else lives in this process's session. The kernel may give sessions equal shares
            whatever their processes' priorities are (sched_autogroup): then the session's is lowered.
    """
    for tid in os.listdir("/proc/self/task"):
        with suppress(OSError):  # it has ended; or it is lower than that already and may not be raised
            os.setpriority(os.PRIO_PROCESS, int(tid), max(NICE, os.getpriority(os.PRIO_PROCESS, int(tid))))
    if own_session:
        with suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as file:
            file.write(str(NICE))
