"""The agent's voice: the logger `modctl.agent`, fetched when there is something to say.

logging is not imported for it: where the host has not loaded it there is no handler that could hear, a service without
it saves 2 MiB, and loading it while another thread forks makes Python print that a lock was not acquired (its hook for
after the fork is then registered after those for before have run). Where the host has configured no handler nothing is
written at all, because a library that prints to a daemon's stderr may hurt it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging

ERROR: Final = 40
WARNING: Final = 30
INFO: Final = 20
DEBUG: Final = 10

_loggers: list[logging.Logger] = []


def log(level: int, message: str, *args: object, error: BaseException | None = None) -> None:
    """One record under `modctl.agent`; with an error also its traceback. Never raises."""
    try:
        if not _loggers:
            logging = sys.modules.get("logging")
            if logging is None:
                return
            logger = logging.getLogger("modctl.agent")
            # Keeps logging's handler of last resort, which prints, from being asked.
            logger.addHandler(logging.NullHandler())
            _loggers.append(logger)
        _loggers[0].log(level, message, *args, exc_info=error)
    except Exception:  # noqa: BLE001 - a handler of the host's that fails has told its own story; ours is not worth a crash
        return
