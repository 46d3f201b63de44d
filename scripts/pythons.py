"""Runs the tests on every supported Python of this machine, and with the oldest grpcio and protobuf that we accept.

    python scripts/pythons.py [pytest arguments]

Each combination has its own environment under .tools/. With no arguments the whole suite runs but for what `make test`
runs already on one Python and what does not depend on the interpreter: packaging.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import interpreters

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED_MINORS = range(10, 14)
#: The oldest grpcio that has a wheel for a Python; pyproject's lower bound where there is one.
OLDEST_GRPCIO = {(3, 10): "1.60.0", (3, 11): "1.60.0", (3, 12): "1.60.0", (3, 13): "1.66.2"}
OLDEST_PROTOBUF = "4.25.0"
DEFAULT_ARGUMENTS = [
    "tests",
    "--ignore=tests/test_packaging.py",
    "--ignore=tests/bench",
    "-q",
    "-n",
    "2",
    "--dist",
    "loadgroup",
]


class Combination(NamedTuple):
    """One environment that the tests run in."""

    name: str
    python: str
    requirements: tuple[str, ...]


def combinations() -> list[Combination]:
    """Every Python found with the newest libraries, and the oldest and newest Python with the oldest ones."""
    found = interpreters.find(SUPPORTED_MINORS)
    newest = [Combination(f"py3{minor}", path, ()) for (_, minor), path in found.items()]
    oldest = (
        [
            Combination(
                f"py3{version[1]}-oldest",
                found[version],
                (f"grpcio=={OLDEST_GRPCIO[version]}", f"protobuf=={OLDEST_PROTOBUF}"),
            )
            for version in sorted({min(found), max(found)})
        ]
        if found
        else []
    )
    return newest + oldest


def run(combination: Combination, arguments: list[str]) -> int:
    """Makes the environment and runs the tests in it; returns the first exit code that is not 0."""
    directory = ROOT / ".tools" / combination.name
    setup = [combination.python, str(ROOT / "scripts" / "environment.py"), "--directory", str(directory)]
    groups = ["--group", "test", "--group", "services"]
    extra = [argument for requirement in combination.requirements for argument in ("--with", requirement)]
    made = subprocess.run([*setup, *groups, *extra], cwd=ROOT, check=False)
    if made.returncode:
        return made.returncode
    return subprocess.run(
        [str(directory / "bin" / "python"), "-m", "pytest", *arguments], cwd=ROOT, check=False
    ).returncode


def main() -> int:
    """Runs all; 0 only where every one passed."""
    arguments = sys.argv[1:] or DEFAULT_ARGUMENTS
    todo = combinations()
    if not todo:
        print("no Python 3.10-3.13 was found on PATH or under pyenv", file=sys.stderr)
        return 1
    results: list[tuple[str, int, float]] = []
    for combination in todo:
        print(f"== {combination.name}: {combination.python} {' '.join(combination.requirements)}", flush=True)
        started_s = time.monotonic()
        results.append((combination.name, run(combination, arguments), time.monotonic() - started_s))
    missing = [f"3.{minor}" for minor in SUPPORTED_MINORS if not any(c.name == f"py3{minor}" for c in todo)]
    for name, code, took_s in results:
        print(f"{name:14} {'passed' if code == 0 else f'FAILED ({code})'} in {took_s:.0f} s")
    if missing:
        print(f"not found on this machine, so not tested: {', '.join(missing)}")
    return 1 if any(code for _, code, _ in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
