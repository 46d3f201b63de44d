"""Real packages, loaded and in use, taken to their next version in place. Needs the index for their wheels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from more_upgrades import MORE
from upgrades import UPGRADES, Upgrade

CACHE = Path(os.environ.get("MODCTL_WHEELS", "/tmp/modctl-wheels"))
#: Whether to take all packages, with all that they need; and the interpreter that runs them.
MANY = os.environ.get("MODCTL_TEST_PACKAGES") == "1"
PYTHON = os.environ.get("MODCTL_TEST_PACKAGES_PYTHON", sys.executable)
ROOT = Path(__file__).parents[3]
PACKAGES = [*UPGRADES, *(MORE if MANY else [])]
#: Attributes of classes that differ between any two processes, and why.
RUN_TIME = {
    "sqlalchemy": (
        "_generated_*_traversal",  # functions made of a class's lists when they are first used, and taken off with them
        "_sa_instrumented",  # the address of a function
    ),
    "sympy": ("_count", "_base_dummy_index"),  # of Dummy: how many there are, and where a random number began
}
pytestmark = pytest.mark.slow


def unpacked(requirement: str) -> Path:
    """The folder of a wheel of the index, unpacked once. With a `*` before it: with all that it needs."""
    everything = requirement[0] == "*"
    requirement = requirement.lstrip("*")
    tag = "" if sys.executable == PYTHON and not everything else "-" + subprocess.check_output(
        [PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True
    ).strip()  # fmt: skip
    folder = CACHE / (requirement.replace("==", "-") + tag + ("-all" if everything else ""))
    if everything and not folder.is_dir():
        command = [PYTHON, "-m", "pip", "install", "-q", "--only-binary=:all:", "--target", str(folder), requirement]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
        if done.returncode:
            pytest.skip(f"the index has no {requirement} to give: {done.stderr.strip()[-200:]}")
    if not folder.is_dir():
        wheels = CACHE / "wheels" / (requirement + tag)
        command = [
            PYTHON,
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
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
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
    command = [PYTHON, str(script), mode, upgrade.distribution, str(old), str(new), str(out), *needs]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}  # attrs writes hashes of names into its methods
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "agent"), str(ROOT / "proto")])
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600 if MANY else 100, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def told_of(package: str, structure: Any) -> Any:
    """A structure without what differs between any two processes."""
    if not isinstance(structure, list) or structure[:1] != ["class"] or len(structure) != 3:
        return structure
    kind, bases, attributes = structure
    if not isinstance(attributes, dict):
        return structure
    if "method_descriptor" in attributes.values():
        return [kind, bases]  # written in C: it stays what it was, and the new version's wheel has compiled another
    patterns = RUN_TIME.get(package, ())
    kept = {k: v for k, v in attributes.items() if not any(fnmatchcase(k, pattern) for pattern in patterns)}
    return [kind, bases, kept]


@pytest.mark.parametrize("upgrade", PACKAGES, ids=lambda each: each.distribution)
def test_a_package_in_use_becomes_its_next_version(upgrade: Upgrade, tmp_path: Path) -> None:
    live = run("live", upgrade, tmp_path)
    fresh = run("fresh", upgrade, tmp_path)
    mine, theirs = live["structure"], fresh["structure"]
    both = {*live["loaded"]} & {*fresh["loaded"]}  # some load parts of themselves when they are first asked for
    once = {*live["loaded"]} ^ {*fresh["loaded"]}
    names = [name for name in {*mine, *theirs} if name.rpartition(".")[0] in both and name not in once]
    package = upgrade.distribution
    differing = sorted(name for name in names if told_of(package, mine.get(name)) != told_of(package, theirs.get(name)))
    told = {key: value for key, value in live.items() if key not in ("structure", "notes", "loaded")}
    print(
        json.dumps(
            {"package": upgrade.distribution, "versions": [upgrade.old, upgrade.new], **told, "differs": differing}
        )
    )
    limit = 12 if upgrade in UPGRADES else 40
    assert len(differing) <= limit, f"{len(differing)} names differ from a fresh process: {differing[:20]}"


@pytest.mark.parametrize("upgrade", PACKAGES, ids=lambda each: each.distribution)
def test_the_same_version_again_runs_nothing(upgrade: Upgrade, tmp_path: Path) -> None:
    same = run("same", upgrade, tmp_path)
    assert same["executed"] == 0
    assert same["operations"] == 0
