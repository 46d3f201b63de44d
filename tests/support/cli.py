"""The product's own command line, run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODCTL = (sys.executable, "-c", "import sys; from modctl.client.cli import main; sys.exit(main())")
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout."""
        parsed: dict[str, Any] = json.loads(self.stdout)
        return parsed


def modctl(*arguments: str | Path, state_dir: Path, expect: int | None = 0, timeout_s: float = 60.0) -> Ran:
    """Runs `modctl …` with only that state directory.

    Args:
        expect: the exit code that it must have; None accepts any.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MODCTL_")}
    environ["MODCTL_STATE_DIR"] = str(state_dir)
    done = subprocess.run(
        [*MODCTL, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environ,
        stdin=subprocess.DEVNULL,
        timeout=timeout_s,
        check=False,
    )
    ran = Ran(done.returncode, done.stdout, done.stderr)
    if expect is not None:
        assert ran.code == expect, f"modctl {' '.join(map(str, arguments))} ended with {ran}"
    return ran


def document(*arguments: str | Path, state_dir: Path, expect: int | None = 0) -> dict[str, Any]:
    """The JSON document of a command."""
    return modctl(*arguments, "-o", "json", state_dir=state_dir, expect=expect).document


def agents(state_dir: Path) -> list[dict[str, Any]]:
    """The processes that answer, one row each; none where there is nobody."""
    ran = modctl("agents", "-o", "json", state_dir=state_dir, expect=None)
    if not ran.stdout.strip():
        return []
    rows: list[dict[str, Any]] = ran.document["results"]
    return [row for row in rows if row["outcome"] == "OK"]
