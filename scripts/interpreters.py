"""Finds the Pythons of this machine: on PATH as python3.X, under pyenv, and the one that runs this."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def find(minors: Iterable[int]) -> dict[tuple[int, int], str]:
    """One interpreter for each of the wanted 3.X that is there: version to its absolute path, oldest first."""
    found: dict[tuple[int, int], str] = {}
    for minor in sorted(minors):
        for path in _candidates(minor):
            if _version_of(path) == (3, minor):
                found[3, minor] = path
                break
    return found


def _candidates(minor: int) -> Iterator[str]:
    if sys.version_info[:2] == (3, minor):
        yield sys.executable
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from sorted(map(str, versions.glob(f"3.{minor}.*/bin/python")), reverse=True)
    if on_path := shutil.which(f"python3.{minor}"):
        yield on_path


@functools.cache
def _version_of(path: str) -> tuple[int, int] | None:
    """None for what does not run: a pyenv shim of a version that is not installed answers only that it is not there."""
    probe = "import sys; print(sys.version_info[0], sys.version_info[1])"
    try:
        answer = subprocess.run([path, "-c", probe], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    numbers = answer.stdout.split()
    return (int(numbers[0]), int(numbers[1])) if answer.returncode == 0 and len(numbers) == 2 else None
