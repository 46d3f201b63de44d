"""Thirty popular packages: reloading all of a package with the source that is loaded changes and breaks nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from smokes import SMOKES, Smoke

ASKED = "MODCTL_TEST_PACKAGES"
CACHE = Path(os.environ.get("MODCTL_WHEELS", "/tmp/modctl-wheels"))
ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.skipif(os.environ.get(ASKED) != "1", reason=f"installs thirty packages: {ASKED}=1"),
    pytest.mark.timeout(3000),
]


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that has them all: MODCTL_TEST_PACKAGES_PYTHON, or one made here, once."""
    given = os.environ.get("MODCTL_TEST_PACKAGES_PYTHON")
    if given:
        return given
    home = CACHE / f"thirty-{sys.version_info[0]}.{sys.version_info[1]}"
    if not (home / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, timeout=300)
        names = [smoke.distribution for smoke in SMOKES]
        subprocess.run([home / "bin" / "python", "-m", "pip", "install", "-q", *names], check=True, timeout=2000)
        (home / "complete").touch()
    return str(home / "bin" / "python")


@pytest.mark.parametrize("smoke", SMOKES, ids=lambda each: each.package)
def test_the_source_that_is_loaded_changes_and_breaks_nothing(smoke: Smoke, python: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODCTL_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "agent"), str(ROOT / "proto")])
    command = [python, str(Path(__file__).parent / "again.py"), smoke.package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    print(done.stdout)
    told = json.loads(done.stdout.splitlines()[-1])
    assert all(why.startswith(smoke.stays) for _, why in told["stays"]) if smoke.stays else not told["stays"], told
    assert told["same"]["outcome"] == "OUTCOME_UNCHANGED", told
    moved = told["moved"]
    assert moved["outcome"] == "OUTCOME_APPLIED", told
    assert "0 statements executed" in moved["message"], moved
    assert set(moved["tiers"]) == {"TIER_NOOP"}, moved
    assert not moved["symbols"], moved
    assert not moved["refused"], moved
    assert told["undo"]["outcome"] == "OUTCOME_APPLIED", told
