"""The example script of a rollout, on the real shop."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support import cli
from support.services import EXAMPLES, Service, free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)


def roll_out(file: Path, state_dir: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "MODCTL_STATE_DIR": str(state_dir)}
    return subprocess.run(
        [sys.executable, EXAMPLES / "rollout.py", file],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def rates(state_dir: Path) -> set[str]:
    found = cli.document("get", "billing.tax", "--attr", "RATE_PERCENT", state_dir=state_dir)
    return {row["attributes"][0]["value"] for row in found["results"]}


def test_the_example_brings_new_code_to_every_worker_and_takes_bad_code_back(state_dir: Path, short_dir: Path) -> None:
    pytest.importorskip("gunicorn")
    source = (EXAMPLES / "shop" / "billing" / "tax.py").read_text()
    good, bad = short_dir / "good.py", short_dir / "bad.py"
    good.write_text(source.replace("RATE_PERCENT = 20", "RATE_PERCENT = 21"))
    bad.write_text(source.replace("RATE_PERCENT = 20", "RATE_PERCENT = 12"))
    command = [cli.BIN / "gunicorn", "-c", "gunicorn.conf.py", "-b", f"127.0.0.1:{free_port()}", "-w", "2", "wsgi:app"]
    service = Service(command, state_dir=state_dir, folder=EXAMPLES / "shop")
    try:
        service.wait_for_agents(2)
        aborted = roll_out(bad, state_dir)
        assert aborted.returncode == 5, aborted
        assert "UNDONE" in aborted.stdout
        assert rates(state_dir) == {"20"}
        done = roll_out(good, state_dir)
        assert done.returncode == 0, done
        assert rates(state_dir) == {"21"}
        assert cli.modctl("drift", "billing.tax", state_dir=state_dir).code == 0
    finally:
        service.end()
