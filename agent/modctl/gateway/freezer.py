"""Freezing without the network: a file, or a signal that makes it.

    <instance>/freeze    freezes this service instance; SIGUSR1 to its gateway makes it, SIGUSR2 removes it
    <base>/freeze        freezes every service of this user on this machine

While one of them is there every change is refused, whatever agents say; its first line is the reason. It is looked for
before each change, and each second for the sake of those who look at `modctl agents`.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Final, NamedTuple

_log = logging.getLogger(__name__)

FILE: Final = "freeze"
LOOK_S: Final = 1.0
_REASON_CHARACTERS: Final = 300


class Frost(NamedTuple):
    """Why everything is frozen.

    Attributes:
        place: the file.
        reason: its first line.
    """

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.reason} (by the file {self.place})" if self.reason else f"by the file {self.place}"


class Freezer:
    """Looks for the files.

    Args:
        instance_dir: the instance's directory.
    """

    def __init__(self, instance_dir: str) -> None:
        self._own = os.path.join(instance_dir, FILE)
        self._places = (self._own, os.path.join(os.path.dirname(instance_dir), FILE))

    def look(self) -> Frost | None:
        """Why everything is frozen; None where it is not. What is there and cannot be read freezes too."""
        for place in self._places:
            if os.path.lexists(place):
                return Frost(place, _reason(place))
        return None

    def freeze(self, reason: str) -> None:
        """Makes the instance's file. Never raises: there is nobody to hear it but the log."""
        try:
            fd = os.open(self._own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with open(fd, "w", encoding="utf-8") as file:
                file.write(f"{reason}\n")
        except OSError:
            _log.exception("the file %s that freezes cannot be made", self._own)
        else:
            _log.warning("frozen: %s", reason)

    def thaw(self, reason: str) -> None:
        """Removes the instance's file; the user's own stays. Never raises."""
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._own)
        except OSError:
            _log.exception("the file %s that freezes cannot be removed", self._own)
        else:
            _log.warning("thawed: %s", reason)


def _reason(place: str) -> str:
    try:
        fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        with open(fd, encoding="utf-8", errors="replace") as file:
            return file.readline(_REASON_CHARACTERS).strip()
    except (OSError, ValueError):
        return ""
