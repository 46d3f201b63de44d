"""`modctl dev` on a real service: saves, mistakes, and a service that starts anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from support import cli
from support.services import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("watchfiles")
pytestmark = pytest.mark.timeout(120)

APP = """
import sys, time
sys.path.insert(0, "src")
import shop.tax
from modctl import agent
agent.start(service="dev", required=True)
while True:
    time.sleep(0.05)
"""


class Dev:
    """`modctl dev`, and the lines that it says."""

    def __init__(self, sources: Path, state_dir: Path) -> None:
        environ = {**os.environ, "MODCTL_STATE_DIR": str(state_dir), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [*cli.MODCTL, "dev", str(sources), "--all"],
            env=environ,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def says(self, words: str, after: int = 0) -> str:
        """Waits for a line with the words, of those after the first so many."""
        found = until(
            lambda: next((line for line in self.lines[after:] if words in line), None),
            30,
            what=f"{words!r} in {self.lines}",
        )
        return found or ""


@pytest.fixture
def service(state_dir: Path, short_dir: Path) -> Iterator[Service]:
    sources = short_dir / "src" / "shop"
    sources.mkdir(parents=True)
    (sources / "__init__.py").write_text("")
    (sources / "tax.py").write_text("RATE = 1\n\n\ndef tax():\n    return RATE\n")
    (short_dir / "app.py").write_text(APP)
    service = Service([sys.executable, "app.py"], state_dir=state_dir, folder=short_dir)
    try:
        service.wait_for_agents(1)
        yield service
    finally:
        service.end()


def rate(state_dir: Path) -> str:
    row = cli.document("get", "shop.tax", "--attr", "RATE", state_dir=state_dir)["results"][0]
    value: str = row["attributes"][0]["value"]
    return value


def test_what_is_saved_is_what_runs_and_mistakes_change_nothing(
    service: Service, state_dir: Path, short_dir: Path
) -> None:
    sources = short_dir / "src"
    file = sources / "shop" / "tax.py"
    dev = Dev(sources / "shop", state_dir)
    try:
        dev.says("watching 2 modules")
        file.write_text("RATE = 2\n\n\ndef tax():\n    return RATE + 1\n")
        line = dev.says("APPLIED")
        assert "shop/tax.py" in line
        assert "~tax" in line or "~shop.tax" in line or "~RATE" in line
        assert "1 process" in line
        assert " ms" in line
        seen = len(dev.lines)
        file.write_text("RATE = 3\n\n\ndef tax(:\n    return RATE\n")
        assert f"{file}:4:" in dev.says("SyntaxError", seen)
        file.write_text("RATE = 3\nraise ValueError('not yet')\n")
        dev.says("ValueError: not yet", seen)
        assert any('tax.py", line 2' in line for line in dev.lines[seen:])
        (sources / "shop" / "unused.py").write_text("X = 1\n")
        dev.says("not loaded", seen)
        seen = len(dev.lines)
        file.write_text("RATE = 4\n\n\ndef tax():\n    return RATE\n")
        dev.says("APPLIED", seen)
        service.stop(signal.SIGKILL)
        until(lambda: not cli.agents(state_dir), 20, what="the service is gone")
        again = Service([sys.executable, "app.py"], state_dir=state_dir, folder=short_dir)
        try:
            again.wait_for_agents(1)
            assert rate(state_dir) == "4", "it starts with what was saved"
            seen = len(dev.lines)
            file.write_text("RATE = 5\n\n\ndef tax():\n    return RATE * 2\n")
            dev.says("APPLIED", seen)
        finally:
            again.end()
        dev.process.send_signal(signal.SIGINT)
        assert dev.process.wait(15) == 130
    finally:
        dev.close()


def test_it_wants_a_target_and_a_folder(state_dir: Path, tmp_path: Path) -> None:
    cli.modctl("dev", tmp_path, state_dir=state_dir, expect=2)
    assert "no such folder" in cli.modctl("dev", tmp_path / "none", "--all", state_dir=state_dir, expect=2).stderr
