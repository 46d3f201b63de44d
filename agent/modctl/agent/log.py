"""The agent's voice: the logger `modctl.agent`, fetched when there is something to say.

logging is not imported before that: a service without it saves 2 MiB. Where the host has configured no handler nothing
is written at all, because a library that prints to a daemon's stderr may hurt it.
"""

from __future__ import annotations

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
            import logging

            logger = logging.getLogger("modctl.agent")
            # Keeps logging's handler of last resort, which prints, from being asked.
            logger.addHandler(logging.NullHandler())
            _loggers.append(logger)
        _loggers[0].log(level, message, *args, exc_info=error)
    except Exception:  # noqa: BLE001 - a handler of the host's that fails has told its own story; ours is not worth a crash
        return
