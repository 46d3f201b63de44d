"""Real packages, loaded and in use, taken to their next version in place. Needs the index for their wheels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from upgrades import UPGRADES, Upgrade

CACHE = Path(os.environ.get("MODCTL_WHEELS", "/tmp/modctl-wheels"))
pytestmark = pytest.mark.slow


def unpacked(requirement: str) -> Path:
    """The folder of a wheel of the index, unpacked once."""
    folder = CACHE / requirement.replace("==", "-")
    if not folder.is_dir():
        wheels = CACHE / "wheels" / requirement
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary=:all:",
            "-d",
            str(wheels),
            requirement,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        if done.returncode:
            pytest.skip(f"the index has no {requirement} to give: {done.stderr.strip()[-200:]}")
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
    return folder


def run(mode: str, upgrade: Upgrade, tmp_path: Path) -> dict[str, Any]:
    old = unpacked(f"{upgrade.distribution}=={upgrade.old}")
    new = old if mode == "same" else unpacked(f"{upgrade.distribution}=={upgrade.new}")
    out = tmp_path / f"{mode}.json"
    needs = [str(unpacked(each)) for each in upgrade.needs]
    script = Path(__file__).parent / "upgraded.py"
    command = [sys.executable, str(script), mode, upgrade.distribution, str(old), str(new), str(out), *needs]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}  # attrs writes hashes of names into its methods
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(out.read_text())
    return result


@pytest.mark.parametrize("upgrade", UPGRADES, ids=lambda each: each.distribution)
def test_a_package_in_use_becomes_its_next_version(upgrade: Upgrade, tmp_path: Path) -> None:
    live = run("live", upgrade, tmp_path)
    fresh = run("fresh", upgrade, tmp_path)
    mine, theirs = live["structure"], fresh["structure"]
    differing = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
    assert len(differing) <= 12, f"{len(differing)} names differ from a fresh process: {differing[:20]}"
    print(upgrade.distribution, "differs in", differing)


@pytest.mark.parametrize("upgrade", UPGRADES, ids=lambda each: each.distribution)
def test_the_same_version_again_runs_nothing(upgrade: Upgrade, tmp_path: Path) -> None:
    same = run("same", upgrade, tmp_path)
    assert same["executed"] == 0
    assert same["operations"] == 0
