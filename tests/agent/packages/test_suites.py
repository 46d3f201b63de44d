"""Packages' own tests, run in the process in which the package was upgraded in place, and in a fresh one.

Recorded on CPython 3.11 (outcomes of the fresh process, and how many differ in the upgraded one): see docs/packages.md.
"""

from __future__ import annotations

import collections
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

LIVE = Path(__file__).parents[1] / "live"
sys.path.insert(0, str(LIVE))
from upgrades import UPGRADES  # noqa: E402 - it stands beside the other test

ASKED = "MODCTL_TEST_PACKAGES"
PYTHON = os.environ.get("MODCTL_TEST_PACKAGES_PYTHON", sys.executable)
CACHE = Path(os.environ.get("MODCTL_WHEELS", "/tmp/modctl-wheels"))
ROOT = Path(__file__).parents[3]
#: distribution: tests that cannot be the same, with the reason. Everything else must be.
SUITES: dict[str, dict[str, str]] = {
    "click": {},
    "jinja2": {},
    "marshmallow": {},
    "flask": {},
}
#: What the tests of some need.
NEEDS = {"marshmallow": ("pytz", "simplejson"), "flask": ("pytest<9",)}
pytestmark = [
    pytest.mark.skipif(os.environ.get(ASKED) != "1", reason=f"installs packages and runs their tests: {ASKED}=1"),
    pytest.mark.timeout(3000),
]


def pip(*arguments: str) -> None:
    done = subprocess.run([PYTHON, "-m", "pip", *arguments], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        pytest.skip(f"the index does not give it: {done.stderr.strip()[-300:]}")


def installed(requirement: str, *more: str) -> Path:
    """A folder with a version and all that it needs."""
    folder = CACHE / f"suite-{requirement.replace('==', '-')}-{Path(PYTHON).parent.parent.name}"
    if not folder.is_dir():
        pip("install", "-q", "--target", str(folder), requirement, *more)
    return folder


def source(requirement: str) -> Path:
    """The unpacked source archive, which has the tests."""
    folder = CACHE / f"sdist-{requirement.replace('==', '-')}"
    if not folder.is_dir():
        pip("download", "-q", "--no-deps", "--no-binary=:all:", "-d", str(folder), requirement)
        with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
            archive.extractall(folder)
    return next(each for each in folder.iterdir() if each.is_dir())


def outcomes(mode: str, distribution: str, site: Path, new: Path, suite: Path, out: Path) -> dict[str, Any]:
    command = [PYTHON, str(Path(__file__).parent / "suite.py"), mode, distribution, *map(str, (site, new, suite, out))]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MODCTL_", "PYTEST_"))}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "agent"), str(ROOT / "proto")])
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False, env=environment)
    assert out.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    (out.parent / f"{mode}.log").write_text(done.stdout + done.stderr)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def without_time(found: dict[str, str]) -> dict[str, str]:
    """Names of tests without the time of day, which some have as a parameter."""
    return {re.sub(r"\d\d:\d\d:\d\d", "TIME", name): outcome for name, outcome in found.items()}


@pytest.mark.parametrize("distribution", SUITES)
def test_a_packages_own_tests_see_no_difference_to_a_fresh_process(distribution: str, tmp_path: Path) -> None:
    upgrade = next(each for each in UPGRADES if each.distribution == distribution)
    assert importlib.util.find_spec("pytest") is not None
    needs = [*(each for each in upgrade.needs if "==" in each), *NEEDS.get(distribution, ())]
    old = installed(f"{distribution}=={upgrade.old}", *needs)
    new = installed(f"{distribution}=={upgrade.new}", *needs)
    suite = source(f"{distribution}=={upgrade.new}")
    site = tmp_path / "site"
    shutil.copytree(old, site)
    live = outcomes("live", distribution, site, new, suite, tmp_path / "live.json")
    fresh = outcomes("fresh", distribution, new, new, suite, tmp_path / "fresh.json")
    mine, theirs = (without_time(each["outcomes"]) for each in (live, fresh))
    differing = {
        test: (theirs.get(test), mine.get(test)) for test in {*mine, *theirs} if mine.get(test) != theirs.get(test)
    }
    counted = dict(collections.Counter(theirs.values()))
    print(json.dumps({"package": distribution, "versions": [upgrade.old, upgrade.new], "fresh": counted,
                      "reloaded": live["reloaded"], "replaced": live["replaced"], "differ": differing}))  # fmt: skip
    assert counted.get("passed", 0) > 100, counted
    unexplained = {test: found for test, found in differing.items() if test not in SUITES[distribution]}
    assert not unexplained, f"of {len(theirs)} tests (fresh, upgraded): {unexplained}"
