"""Runs a command in a terminal of its own, since on a terminal it speaks as it does to people."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

from modctl.client.demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def run(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> tuple[int, str]:
    """The exit code, and all that came to the terminal.

    Raises:
        DemoError: it does not end in that time.
    """
    primary, secondary = pty.openpty()
    try:
        columns = shutil.get_terminal_size((120, 40)).columns
        fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        _newlines_as_they_are(secondary)
        with subprocess.Popen(
            list(command), env=dict(environment), stdin=subprocess.DEVNULL, stdout=secondary, stderr=secondary
        ) as process:
            os.close(secondary)
            secondary = -1
            try:
                seen = _read_all(primary, time.monotonic() + timeout_s)
            except BaseException:
                process.kill()
                raise
            return process.wait(), seen.decode("utf-8", "replace")
    finally:
        os.close(primary)
        if secondary >= 0:
            os.close(secondary)


def _newlines_as_they_are(terminal: int) -> None:
    settings = termios.tcgetattr(terminal)
    settings[1] &= ~termios.ONLCR  # or every line would end in a carriage return
    termios.tcsetattr(terminal, termios.TCSANOW, settings)


def _read_all(primary: int, deadline_s: float) -> bytes:
    seen = b""
    while True:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not select.select([primary], [], [], left_s)[0]:
            raise DemoError("a command does not end; what it has said so far:\n" + seen.decode("utf-8", "replace"))
        try:
            data = os.read(primary, 65536)
        except OSError:
            return seen  # EIO: nobody has the terminal open any more
        if not data:
            return seen
        seen += data
