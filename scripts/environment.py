"""Makes a virtual environment with modctl installed editable in it; a no-op where it is up to date.

    python3 scripts/environment.py [--directory .venv] [--group test]... [--with 'grpcio==1.60.0']...

Runs on any Python 3.10+ with nothing installed. What is up to date is decided by content, not by time: the environment
holds a stamp of pyproject.toml, the interpreter, the groups and the extra requirements that it was made for.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_GROUPS = ("test", "services", "check")
OLDEST_PYTHON = (3, 10)
#: The first pip that knows `--group` (PEP 735).
PIP_WITH_GROUPS = "pip>=25.1"


class SetupError(Exception):
    """The environment cannot be made; the message says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the environment; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=ROOT / ".venv", help="where (default .venv)")
    parser.add_argument("--group", action="append", help="a dependency group; repeats (default: all)")
    parser.add_argument("--with", action="append", default=[], dest="extra", help="a requirement; repeats")
    options = parser.parse_args(arguments)
    try:
        with only_one_of_us(options.directory):
            make(options.directory, options.group or list(DEFAULT_GROUPS), options.extra)
    except SetupError as error:
        print(f"environment: {error}", file=sys.stderr)
        return 1
    return 0


def make(directory: Path, groups: Sequence[str], extra: Sequence[str]) -> None:
    """Brings the environment up to date.

    Raises:
        SetupError: it cannot be.
    """
    stamp = directory / ".modctl-stamp"
    wanted = stamp_of(groups, extra)
    if stamp.is_file() and stamp.read_text() == wanted and (directory / "bin" / "python").exists():
        return
    if sys.version_info < OLDEST_PYTHON:
        version = ".".join(map(str, sys.version_info[:3]))
        raise SetupError(f"{sys.executable} is Python {version}; say which newer one to use: make PYTHON=python3.12")
    python = directory / "bin" / "python"
    if not works(python):
        print(f"making {directory} with Python {sys.version.split()[0]}", file=sys.stderr)
        run(
            [sys.executable, "-m", "venv", "--clear", str(directory)],
            "on Debian and Ubuntu `apt install python3-venv` brings what `python3 -m venv` needs",
        )
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(
        [*pip, "install", "--upgrade", PIP_WITH_GROUPS],
        "is a package index reachable? pip.conf and PIP_INDEX_URL name it",
    )
    named_groups = [argument for group in groups for argument in ("--group", group)]
    print(f"installing modctl and {', '.join(groups)} into {directory}", file=sys.stderr)
    run([*pip, "install", "--editable", f"{ROOT}[cli]", *named_groups, *extra], "the lines above are pip's")
    stamp.write_text(wanted)


def stamp_of(groups: Sequence[str], extra: Sequence[str]) -> str:
    """What an environment made now would be made from."""
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    return "\n".join(
        [digest, f"python {sys.version_info.major}.{sys.version_info.minor}", *sorted(groups), *sorted(extra)]
    )


def works(python: Path) -> bool:
    """Whether that interpreter of an environment is there, of this version, and can install."""
    if not python.exists():
        return False
    probe = "import sys, pip; print(sys.version_info[:2])"
    answer = subprocess.run([str(python), "-c", probe], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and answer.stdout.strip() == str(tuple(sys.version_info[:2]))


def run(command: Sequence[str], cure: str) -> None:
    """Runs a command in the repository.

    Raises:
        SetupError: it failed.
    """
    # An environment that is active while make runs must not leak into the one that is made.
    environ = {
        name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}
    }
    done = subprocess.run(list(command), cwd=ROOT, env=environ, check=False)
    if done.returncode:
        raise SetupError(f"`{' '.join(command)}` ended with {done.returncode}; {cure}")


@contextlib.contextmanager
def only_one_of_us(directory: Path) -> Iterator[None]:
    """`make -j check test` starts two of us at once; the second waits, then finds the work done."""
    (ROOT / ".tools").mkdir(exist_ok=True)
    with (ROOT / ".tools" / f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    raise SystemExit(main())
