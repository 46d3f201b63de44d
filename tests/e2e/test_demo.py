"""`modctl demo`: it does what it says, and leaves nothing behind however it ends."""

from __future__ import annotations

import glob
import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support import processes
from support.cli import MODCTL
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("demo"), pytest.mark.slow]


class Demo:
    """A demo that runs."""

    def __init__(self, *arguments: str, log: Path) -> None:
        self.log = log
        self._known = set(glob.glob("/tmp/modctl-demo-*"))
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [*MODCTL, "demo", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=_hears_ctrl_c,
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def folder(self) -> str:
        """Its temporary folder, once it is there."""
        new = until(lambda: set(glob.glob("/tmp/modctl-demo-*")) - self._known, 20.0, what="the demo's folder")
        return new.pop()

    def service_pid(self, name: str) -> int:
        """The first process of a service, once it runs."""
        folder = self.folder()

        def of_service() -> list[int]:
            found = []
            for entry in os.listdir("/proc"):
                if entry.isdigit() and processes.alive(int(entry)):
                    try:
                        if os.readlink(f"/proc/{entry}/cwd") == f"{folder}/{name}":
                            found.append(int(entry))
                    except OSError:
                        continue
            return sorted(found)

        return until(of_service, 20.0, what=f"a process of {name}")[0]

    def wait_for(self, text: str, within_s: float = 60.0) -> None:
        until(lambda: text in self.output or self.process.poll() is not None, within_s, what=f"{text!r}")
        assert text in self.output, self.output


def _hears_ctrl_c() -> None:
    """Who runs the tests in the background of a shell has it ignored, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def living_in(folder: str) -> list[int]:
    """Processes that work in the folder or name it in their arguments."""
    found = processes.mentioning(folder)
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{entry}/cwd").startswith(folder) and processes.alive(int(entry)):
                found.append(int(entry))
        except OSError:
            continue
    return found


def nothing_left(folder: str) -> bool:
    return not os.path.exists(folder) and not living_in(folder)


@pytest.fixture
def log(short_dir: Path) -> Path:
    return short_dir / "demo.log"


def test_the_demo_does_what_it_says_and_leaves_nothing(log: Path) -> None:
    demo = Demo("--fast", log=log)
    folder = demo.folder()
    assert demo.process.wait(150) == 0, demo.output
    shown = demo.output
    for verb in ("agents", "list", "get", "inject", "undo", "reimport", "history", "import", "evict"):
        assert f"$ modctl {verb}" in shown
    assert '"gross_cents":450' in shown
    assert nothing_left(folder)


def test_ctrl_c_in_the_middle_leaves_nothing(log: Path) -> None:
    demo = Demo("--fast", log=log)
    folder = demo.folder()
    demo.wait_for("$ modctl agents")
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 130, demo.output
    assert nothing_left(folder)


def test_a_closed_terminal_in_the_middle_leaves_nothing(log: Path) -> None:
    demo = Demo("--fast", log=log)
    folder = demo.folder()
    demo.wait_for("Starting")
    time.sleep(0.5)  # in the middle of the services' start
    demo.process.send_signal(signal.SIGHUP)
    demo.process.wait(60)
    assert nothing_left(folder)


def test_a_service_that_is_killed_ends_the_demo_with_the_reason_and_leaves_nothing(log: Path) -> None:
    demo = Demo("--fast", log=log)
    folder = demo.folder()
    demo.wait_for("$ modctl agents")
    os.kill(demo.service_pid("ticker"), signal.SIGKILL)
    assert demo.process.wait(120) == 1, demo.output
    assert "The demo stopped here" in demo.output
    assert nothing_left(folder)


def test_kill_nine_of_the_demo_ends_its_services(log: Path) -> None:
    demo = Demo("--fast", log=log)
    folder = demo.folder()
    demo.wait_for("$ modctl agents")
    demo.process.kill()
    demo.process.wait(10)
    # The folder stays, since nobody is left to take it away; no process does.
    until(lambda: not processes.mentioning(folder), 30.0, what="the gateways to leave", every_s=0.3)
    subprocess.run(["rm", "-rf", folder], check=True)


def test_keep_leaves_the_fleet_running_until_it_is_stopped(log: Path) -> None:
    demo = Demo("--fast", "--keep", log=log)
    folder = demo.folder()
    assert demo.process.wait(150) == 0, demo.output
    state_dir = re.search(r"export MODCTL_STATE_DIR=(\S+)", demo.output)
    assert state_dir, demo.output
    try:
        done = subprocess.run(
            [*MODCTL, "list", "quotes", "-o", "name"],
            env={**os.environ, "MODCTL_STATE_DIR": state_dir[1]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "quotes" in done.stdout
    finally:
        subprocess.run([f"{folder}/stop"], check=True, timeout=60)
    try:
        until(lambda: nothing_left(folder), 30.0, what="nothing to be left", every_s=0.3)
    finally:
        for pid in living_in(folder):
            os.kill(pid, signal.SIGKILL)
