"""A uWSGI for this interpreter: it comes as source only, so it is compiled once and kept under .tools."""

from __future__ import annotations

import fcntl
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import processes

if TYPE_CHECKING:
    from support.services import Service

TOOLS = Path(__file__).resolve().parents[2] / ".tools"


def binary() -> str:
    """Path of uwsgi; skips the test, saying why, where it cannot be had."""
    folder = TOOLS / f"uwsgi-{sys.implementation.cache_tag}"
    program = folder / "bin" / "uwsgi"
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if program.exists():
            return str(program)
        if shutil.which("cc") is None and shutil.which("gcc") is None:
            pytest.skip("uWSGI has to be compiled and there is no C compiler")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [*pip, "--target", str(folder), "uwsgi>=2.0.26"], capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode or not program.exists():
            shutil.rmtree(folder, ignore_errors=True)
            pytest.skip(f"uWSGI cannot be compiled here: {done.stderr.strip().splitlines()[-1:]}")
    return str(program)


def workers_hear(service: Service, count: int) -> bool:
    """Whether there are so many workers, and each has come to where it hears signals.

    uWSGI loses those that come earlier, with or without an agent: the worker stays, and so does its master. SIGHUP is
    one that workers catch and Python does not.
    """
    workers = [pid for pid in service.family() if pid != service.pid and "uwsgi" in processes.command_line(pid)]
    return len(workers) == count and all(_catches(pid, signal.SIGHUP) for pid in workers)


def _catches(pid: int, number: signal.Signals) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    [caught] = [line.split()[1] for line in lines if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (number - 1) & 1)
