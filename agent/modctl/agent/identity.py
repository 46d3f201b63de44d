"""Who this process is: its id and the facts that the gateway lists it with.

The id is service/host/pid@start, the start as the kernel knows it: a pid that is used again gets another id.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from modctl.local.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.agent.settings import Settings

ROLE_MAIN: Final = "PROCESS_ROLE_MAIN"
ROLE_MASTER: Final = "PROCESS_ROLE_MASTER"
ROLE_WORKER: Final = "PROCESS_ROLE_WORKER"

COMMAND_WORDS: Final = 6
COMMAND_CHARS: Final = 160


_starts: dict[int, float] = {}


class Identity:
    """The unchanging facts of one process; taken again after a fork.

    Attributes:
        pid: as this process sees itself, which in a container is not what the host sees.
        id: service/host/pid@start.
    """

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.service = settings.service
        self.host = clean_text(os.uname().nodename)
        # Worked out once: the clock drifts against the kernel's, and a process must not change its id by a second.
        self.started_at_unix_s = _starts.setdefault(self.pid, started_at_unix_s())
        self.id = f"{self.service}/{self.host}/{self.pid}@{int(self.started_at_unix_s)}"
        self._labels = {clean_text(key): clean_text(value) for key, value in settings.labels}
        self._command = command_words(getattr(sys, "orig_argv", []) or sys.argv)

    def process(self, *, role: str, revision: int, frozen: bool, frozen_reason: str, entries: int) -> dict[str, Any]:
        """The fields of modctl.v1.Process that a process knows of itself."""
        version = sys.version_info
        return {
            "id": self.id,
            "service": self.service,
            "host": self.host,
            "pid": self.pid,
            "parent_pid": os.getppid(),
            "started_at_unix_s": self.started_at_unix_s,
            "python": f"{version.major}.{version.minor}.{version.micro}",
            "implementation": sys.implementation.name,
            "modctl_version": VERSION,
            "role": role,
            "labels": self._labels,
            "revision": revision,
            "frozen": frozen,
            "frozen_reason": frozen_reason,
            "entries": entries,
            "command": self._command,
        }


def started_at_unix_s() -> float:
    """When this process started, in seconds since the epoch, by the kernel's account."""
    try:
        with open("/proc/self/stat", "rb") as stream:
            # The command in parentheses may hold anything, spaces and parentheses too.
            fields = stream.read().rpartition(b")")[2].split()
        since_boot_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return round(time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot_s), 2)
    except (OSError, ValueError, IndexError, AttributeError):
        # No /proc: what is left is a time that tells this process from the next with its pid.
        return round(time.time(), 2)


def command_words(argv: Sequence[str]) -> str:
    """The first words of a command line, to tell processes apart; values that look like secrets are left out."""
    words: list[str] = []
    hide_next = False
    for position, word in enumerate(argv[:COMMAND_WORDS]):
        shown = os.path.basename(word) if position == 0 else word.partition("\n")[0]
        name, equals, _ = shown.partition("=")
        secret = name.startswith("-") and any(hint in name.lower() for hint in ("secret", "token", "passw", "key"))
        if hide_next:
            shown = "***"
        elif secret and equals:
            shown = f"{name}=***"
        hide_next = secret and not equals
        words.append(shown)
    return clean_text(" ".join(words))[:COMMAND_CHARS]


def clean_text(text: str) -> str:
    """Text that protobuf takes: lone surrogates written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
