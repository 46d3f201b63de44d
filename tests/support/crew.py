"""A real service of several processes with a module to roll out, and what each of them really runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from support import cli
from support.services import Service

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: A parent keeps so many children; one that dies is forked anew, as gunicorn does.
APP = """
import os, signal, sys, time
sys.path.insert(0, os.getcwd())
import pricing
from modctl import agent

agent.start(service=sys.argv[2], required=True)

def child():
    while True:
        time.sleep(0.05)

children = set()
def stop(*_):
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    os._exit(0)

signal.signal(signal.SIGTERM, stop)
while True:
    while len(children) < int(sys.argv[1]):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            child()
        children.add(pid)
    try:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        children.discard(pid)
    except ChildProcessError:
        pass
    time.sleep(0.02)
"""
OLD = "RATE = 1\n\n\ndef rate():\n    return RATE\n"
NEW = "RATE = 2\n\n\ndef rate():\n    return RATE\n"


class Crew:
    """One parent and its children, all with agents.

    Args:
        folder: a short one, for the sockets.
        state_dir: of the agents.
        children: how many.
        service: its name.
    """

    def __init__(self, folder: Path, state_dir: Path, children: int = 3, service: str = "crew") -> None:
        self.folder = folder / service
        self.folder.mkdir(exist_ok=True)
        self.new = folder / "new"
        self.new.mkdir(exist_ok=True)
        (self.folder / "app.py").write_text(APP)
        (self.folder / "pricing.py").write_text(OLD)
        (self.new / "pricing.py").write_text(NEW)
        self.state_dir = state_dir
        self.service = Service(
            [sys.executable, "app.py", str(children), service], state_dir=state_dir, folder=self.folder
        )
        self.count = children + 1

    def __enter__(self) -> Crew:  # noqa: PYI034 - typing.Self is of 3.11
        self.service.wait_for_agents(self.count)
        return self

    def __exit__(self, *_: object) -> None:
        self.service.end()

    def rates(self) -> dict[int, str]:
        """Pid to the value that the process really has."""
        found = cli.document("get", "pricing", "--attr", "RATE", state_dir=self.state_dir)
        return {row["pid"]: row["attributes"][0]["value"] for row in found["results"]}

    def modctl(self, *arguments: str | Path, expect: int | None = 0, timeout_s: float = 60.0) -> cli.Ran:
        return cli.modctl(*arguments, state_dir=self.state_dir, expect=expect, timeout_s=timeout_s)

    def start(self, *arguments: str, expect: int | None = 0) -> cli.Ran:
        """`rollout start` of the new version to everybody."""
        return self.modctl(*self.start_arguments(*arguments), expect=expect)

    def start_arguments(self, *arguments: str) -> list[str]:
        return ["rollout", "start", "pricing", "--from", str(self.new), "--mode", "fresh", "--all", *arguments]

    def status(self) -> dict[str, Any]:
        """The newest rollout's document."""
        return self.modctl("rollout", "status", "-o", "json", expect=None).document

    def children(self) -> list[int]:
        return sorted(pid for pid in self.service.agent_pids() if pid != self.service.pid)

    def background(self, arguments: Sequence[str]) -> subprocess.Popen[str]:
        """modctl, left running."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MODCTL_")}
        environ["MODCTL_STATE_DIR"] = str(self.state_dir)
        return subprocess.Popen(
            [*cli.MODCTL, *arguments],
            env=environ,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


#: modctl, killed with SIGKILL at the n-th time that a rollout's state is written: before it, or after it.
KILLED = """
import os, signal, sys
from modctl.client.rollout.store import RolloutStore

save = RolloutStore.save
left = int(os.environ["KILL_AT"])

def maybe_die():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def killed_save(self, state):
    maybe_die()
    save(self, state)
    maybe_die()

RolloutStore.save = killed_save
from modctl.client.cli import main
main()
"""


def killed_at(crew: Crew, moment: int, arguments: Sequence[str]) -> bool:
    """Runs modctl and kills it at that moment; False where it ended before."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MODCTL_")}
    environ |= {"MODCTL_STATE_DIR": str(crew.state_dir), "KILL_AT": str(moment)}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments],
        env=environ,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return done.returncode == -signal.SIGKILL


def state_of(crew: Crew) -> dict[str, Any]:
    """The newest state file, as it is on disk; {} while there is none."""
    files = sorted((crew.state_dir / "rollouts").glob("*/state.json"))
    with contextlib.suppress(IndexError, FileNotFoundError):
        state: dict[str, Any] = json.loads(files[-1].read_text())
        return state
    return {}
