"""One service of the demo: a process with its children, its log and its end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from typing import IO, TYPE_CHECKING, Final

from modctl.client.demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PR_SET_PDEATHSIG: Final = 1
_STOP_WITHIN_S: Final = 8.0
_START_WITHIN_S: Final = 30.0


class DemoService:
    """One service, in a session and process group of its own.

    Args:
        name: its service name.
        command: what runs it.
        folder: where it runs.
        environment: all of its environment.
        log: the file for what it prints.
        processes: how many processes with an agent it has when it serves.
        outlives_us: it stays when the demo ends; else the kernel ends it even if the demo is killed.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: str,
        environment: Mapping[str, str],
        log: str,
        *,
        processes: int,
        outlives_us: bool,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.folder = folder
        self.environment = dict(environment)
        self.log = log
        self.processes = processes
        self._outlives_us = outlives_us
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; does not wait until it serves.

        Raises:
            DemoError: it cannot be started.
        """
        with open(self.log, "ab") as log:
            try:
                self._process = self._spawn(log)
            except OSError as error:
                raise DemoError(f"{self.name} cannot be started: {error}") from error

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        libc = ctypes.CDLL(None, use_errno=True)

        def end_with_the_demo() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

        return subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=None if self._outlives_us else end_with_the_demo,
        )

    @property
    def pid(self) -> int:
        """Of the process that was started: its children share its process group."""
        if self._process is None:
            raise DemoError(f"{self.name} is not started")
        return self._process.pid

    def wait(self, serves: Callable[[], bool]) -> None:
        """Waits until it serves.

        Raises:
            DemoError: it ended or took too long; shows the end of its log.
        """
        deadline_s = time.monotonic() + _START_WITHIN_S
        while not serves():
            self.check_alive()
            if time.monotonic() > deadline_s:
                raise DemoError(f"{self.name} does not serve after {_START_WITHIN_S:.0f} s:\n{self.log_tail()}")
            time.sleep(0.05)

    def check_alive(self) -> None:
        """Raises where it has ended.

        Raises:
            DemoError: it has; shows the end of its log.
        """
        code = self._process.poll() if self._process else None
        if code is not None:
            raise DemoError(f"{self.name} has ended with {code}:\n{self.log_tail()}")

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of what it printed."""
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except FileNotFoundError:
            return "(it printed nothing)"

    def ask_to_stop(self) -> None:
        """SIGTERM to it and its children."""
        self._signal(signal.SIGTERM)

    def make_stopped(self) -> None:
        """Waits for the end of it and its children, then kills what is left."""
        if self._process is None:
            return
        deadline_s = time.monotonic() + _STOP_WITHIN_S
        while self._group_lives() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _group_lives(self) -> bool:
        if self._process is None:
            return False
        self._process.poll()  # reaps it, so that its process group can be empty
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _signal(self, number: int) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # all of it has ended, which is what is wanted
            os.killpg(self._process.pid, number)
