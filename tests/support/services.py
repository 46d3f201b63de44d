"""Real services, started for a test and gone after it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from support import gateways, processes
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def free_port() -> int:
    """A TCP port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """One service: a session of its own, a log, and the state directory that its agents use.

    Args:
        command: what runs it.
        state_dir: its MODCTL_STATE_DIR.
        folder: where it runs; the log is written beside the state directory.
        environment: what is added to ours.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        state_dir: Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.state_dir = state_dir
        self.log = state_dir.parent / f"service-{os.urandom(3).hex()}.log"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MODCTL_")}
        environ |= {"MODCTL_STATE_DIR": str(state_dir), "PYTHONUNBUFFERED": "1", **(environment or {})}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(argument) for argument in command],
                cwd=folder or state_dir.parent,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._seen: set[int] = set()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def family(self) -> list[int]:
        """Live pids of it and all its descendants."""
        return [pid for pid in [self.pid, *processes.descendants_of(self.pid)] if processes.alive(pid)]

    def agent_pids(self) -> set[int]:
        """Pids of the processes that its gateways know; empty while none answers."""
        found: set[int] = set()
        for info in gateways.infos(self.state_dir):
            with gateways.Gateway(info["folder"]) as gateway, contextlib.suppress(grpc.RpcError):
                found |= gateway.process_pids(timeout_s=2.0)
        self._seen |= found
        return found

    def wait_for_agents(self, count: int, within_s: float = 30.0, *, listening: bool = False) -> set[int]:
        """Waits until exactly so many processes have an agent that the gateway knows; returns their pids.

        Args:
            count: how many.
            within_s: bound on the wait, in seconds.
            listening: wait for the listeners that they asked for as well.
        """

        def found() -> set[int] | None:
            assert not self.has_ended(), f"the service ended with {self.process.returncode}:\n{self.output[-4000:]}"
            pids = self.agent_pids()
            return pids if len(pids) == count else None

        try:
            known = until(found, within_s, what=f"{count} processes with an agent", every_s=0.1) or set()
            if listening:
                until(lambda: gateways.are_served(self.state_dir), within_s, what="their listeners")
            return known
        except AssertionError as error:
            tree = {pid: processes.command_line(pid) for pid in self.family()}
            raise AssertionError(f"{error}\nknown: {self.agent_pids()}\n{tree}\n{self.output[-4000:]}") from None

    def stop(self, number: int = signal.SIGTERM, within_s: float = 20.0) -> int:
        """Signals its first process and waits for its end; returns its exit code."""
        if not self.has_ended():
            self.process.send_signal(number)
        return self.process.wait(within_s)

    def end(self) -> None:
        """Ends all of it and its gateways, whatever state they are in."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(10)
        for pid in processes.mentioning(str(self.state_dir)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def fetch(url: str, timeout_s: float = 10.0) -> str | None:
    """The body of a 200 answer; None where there is none yet."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            body: bytes = answer.read()
            return body.decode()
    except (OSError, urllib.error.URLError):
        return None
