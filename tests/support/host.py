"""A host: a Python process of its own that runs a few lines with an agent in it, and whose every word is kept."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import processes
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TESTS = Path(__file__).resolve().parents[1]
#: The interpreter of the hosts: MODCTL_TEST_PYTHON runs these tests with another one that has nothing installed, while
#: the gateway goes on to run with ours.
PYTHON = os.environ.get("MODCTL_TEST_PYTHON", sys.executable)
OURS = sys.executable == PYTHON


def host_prefix() -> str:
    """sys.prefix of the hosts."""
    if OURS:
        return sys.prefix
    done = subprocess.run([PYTHON, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def host_version() -> tuple[int, int]:
    """Major and minor version of the hosts' Python."""
    if OURS:
        return sys.version_info[:2]
    code = "import sys; print(*sys.version_info[:2])"
    major, minor = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return int(major), int(minor)


PRELUDE = """
import json, os, sys, time
{path}
from support import fake_engine
{install}
def report(value):
    handle = os.open(os.environ["TEST_REPORT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, json.dumps(value).encode() + b"\\n")
    os.close(handle)
"""


class Host:
    """A host that runs; a context manager that ends it and its gateways.

    Args:
        code: what it runs. `report(value)` in it writes a JSON line that `reports()` reads, whatever process calls it.
        state_dir: its MODCTL_STATE_DIR, and what its gateways are known by.
        engine: "fake", or "real" for the product's own.
    """

    def __init__(
        self,
        code: str,
        state_dir: Path,
        *,
        engine: str = "fake",
        python: Sequence[str | Path] = (PYTHON,),
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.state_dir = state_dir
        folder = state_dir.parent
        number = os.urandom(3).hex()
        self._report, self._output = folder / f"report-{number}", folder / f"output-{number}"
        program = folder / f"host_{number}.py"
        install = "fake_engine.install()" if engine == "fake" else ""
        path = f"sys.path.append({str(TESTS)!r})"
        program.write_text(PRELUDE.format(path=path, install=install) + textwrap.dedent(code))
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("MODCTL_", "PYTHON"))}
        if not OURS:
            environ |= {"PYTHONPATH": str(TESTS.parent / "agent"), "MODCTL_PYTHON": sys.executable}
        if host_version() >= (3, 13):
            # It counts threads when the agent's goes on already, and warns of every fork in __main__.
            environ["PYTHONWARNINGS"] = "ignore:This process:DeprecationWarning"
        environ |= {"MODCTL_STATE_DIR": str(state_dir), "TEST_REPORT": str(self._report), **(environment or {})}
        options = {"stdin": subprocess.DEVNULL, "start_new_session": True, **options}
        with self._output.open("wb") as output:
            options = {"stdout": output, "stderr": output, **options}
            self.process = subprocess.Popen([*map(str, python), str(program)], env=environ, **options)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """Everything that the host and its children have printed."""
        return self._output.read_text(errors="replace")

    def reports(self, count: int = 0, within_s: float = 20.0) -> list[Any]:
        """What has been reported, once there are so many."""

        def read() -> list[Any] | None:
            lines = self._report.read_text().splitlines() if self._report.exists() else []
            if len(lines) >= count:
                return [None, *map(json.loads, lines)]
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.output} {lines}"
            return None

        return (until(read, within_s, what=f"{count} reports; {self.output}") or [None])[1:]

    def report(self, number: int = 1) -> Any:
        """The report of that number, the first being 1."""
        return self.reports(number)[number - 1]

    def done(self, code: int = 0, *, quiet: bool = True, within_s: float = 30.0) -> list[Any]:
        """Waits for its end; returns its reports."""
        ended = self.process.wait(within_s)
        assert ended == code, f"ended with {ended}: {self.output}"
        if quiet:
            assert self.output == "", self.output
        return self.reports()

    def gateway_pids(self) -> list[int]:
        """Gateways of its state directory."""
        return processes.mentioning(str(self.state_dir) + "/")

    def __enter__(self) -> Host:  # noqa: PYI034 - typing.Self is of 3.11
        return self

    def __exit__(self, *_: object) -> None:
        for pid in [self.pid, *processes.descendants_of(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        for pid in processes.mentioning(str(self.state_dir.parent) + "/"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
