"""gateway.log: descriptors 1 and 2, so that grpc's own lines and the interpreter's last words are in it too."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Final

from modctl.local import places

MAX_BYTES: Final = 1024 * 1024
FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class DescriptorLog(logging.Handler):
    """Writes to descriptor 2 and turns the file over once it is too large: gateway.log, gateway.log.1.

    Args:
        instance_dir: where gateway.log lies.
        max_bytes: how large it may grow.
    """

    def __init__(self, instance_dir: str, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(FORMAT))
        self._place = os.path.join(instance_dir, places.GATEWAY_LOG)
        self._max_bytes = max_bytes
        self.take_over()

    def take_over(self) -> None:
        """Makes the file standard output and standard error of this process; input is empty."""
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            log_fd = os.open(self._place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:  # no room, or read-only: better no log than no gateway
            log_fd = os.dup(nothing)
        os.dup2(nothing, 0)
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        for fd in (nothing, log_fd):
            if fd > 2:
                os.close(fd)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line; never raises."""
        try:
            text = self.format(record) + "\n"
            os.write(2, text.encode("utf-8", "backslashreplace"))
            self.turn_over()
        except Exception:  # noqa: BLE001 - logging's own contract: a handler reports, it does not raise
            self.handleError(record)

    def turn_over(self) -> None:
        """Starts a new file where the old one has its size; what others wrote to it counts too."""
        with contextlib.suppress(OSError):
            if os.fstat(2).st_size <= self._max_bytes:
                return
            os.rename(self._place, f"{self._place}.1")
            self.take_over()


def to_file(instance_dir: str) -> DescriptorLog:
    """Sends everything that is logged, printed or cried out by this process to gateway.log."""
    sys.stdout.flush()
    handler = DescriptorLog(instance_dir)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    return handler
