"""Runs in a process of its own: a package's own tests, after an upgrade in place or in a fresh process.

    python suite.py live|fresh DISTRIBUTION SITE NEW SUITE OUT

SITE holds the old version and what it needs (of `fresh`: the new one), NEW is the unpacked wheel of the new version,
SUITE the unpacked source archive of it. `live` loads and uses the old version, puts the files of the new one in their
place, as `pip install --upgrade` does, reloads what is loaded, and runs the tests in the same process.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import textwrap
import warnings
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "live"))
from upgrades import UPGRADES  # noqa: E402 - it stands beside the other test


class Recorder:
    """A plugin of pytest: what became of each test."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.outcomes[report.nodeid] = "no collection"


def upgrade_in_place(engine: Any, package: str, site: str, new: str) -> dict[str, Any]:
    """The files first, then what is loaded."""
    shutil.rmtree(os.path.join(site, package))
    shutil.copytree(os.path.join(new, package), os.path.join(site, package))
    for name in os.listdir(new):
        if name.endswith(".dist-info"):
            for other in os.listdir(site):
                if other.endswith(".dist-info") and other.split("-")[0].lower() == name.split("-")[0].lower():
                    shutil.rmtree(os.path.join(site, other))
            shutil.copytree(os.path.join(new, name), os.path.join(site, name), dirs_exist_ok=True)
    importlib.invalidate_caches()
    mode = "REIMPORT_MODE_PATCH"
    operations = [{"reimport": {"name": package, "mode": mode}}, {"reimport": {"name": f"{package}.*", "mode": mode}}]
    result: dict[str, Any] = json.loads(engine.change({"op": "change", "operations": operations, "timeout_s": 300}))
    assert result["outcome"] == "OUTCOME_APPLIED", result
    return result


def main() -> None:
    mode, distribution, site, new, suite, out = sys.argv[1:]
    upgrade = next(each for each in UPGRADES if each.distribution == distribution)
    sys.path.insert(0, site)
    told: dict[str, Any] = {}
    if mode == "live":
        from modctl.agent.engine import Engine

        engine = Engine()
        engine.start()
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(textwrap.dedent(upgrade.use), names)
        if mode == "live":
            exec(upgrade.holds(new=False), names)
            result = upgrade_in_place(engine, upgrade.package, site, new)
            told["reloaded"] = len(result["modules"])
            told["replaced"] = {m["name"]: m["symbols"]["replaced"] for m in result["modules"]
                                if m.get("symbols", {}).get("replaced")}  # fmt: skip
            exec(upgrade.holds(new=True), names)
    import pytest

    os.chdir(suite)
    recorder = Recorder()
    arguments = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-p",
        "no:xdist",
        "-p",
        "no:timeout",
        "--tb=short",
        "--continue-on-collection-errors",
    ]
    if mode == "live":
        from pathlib import Path

        top = sys.modules[upgrade.package]
        assert top.__file__ is not None
        assert Path(top.__file__).is_relative_to(site)
    pytest.main([*arguments, "-W", "default", "tests"], plugins=[recorder])
    told["outcomes"] = recorder.outcomes
    with open(out, "w") as file:
        json.dump(told, file)
    os._exit(0)


if __name__ == "__main__":
    main()
