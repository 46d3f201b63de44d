"""The README is true: its files are written, its sessions are typed, and what it shows comes out."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import cli, console, processes

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()

pytestmark = [pytest.mark.timeout(300)]


@pytest.fixture
def shell(short_dir: Path, state_dir: Path) -> Iterator[console.Shell]:
    """A shell in an empty folder, with this environment's programs and a state directory of its own."""
    folder = short_dir / "here"
    folder.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MODCTL_")}
    environ |= {
        "MODCTL_STATE_DIR": str(state_dir),
        "PATH": f"{cli.BIN}:{environ['PATH']}",
        "NO_COLOR": "1",
        "HOME": str(short_dir),
    }
    with console.Shell(folder, environ) as shell:
        yield shell
    for pid in [*processes.mentioning(str(short_dir)), *_of_session(shell.session_id)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def typed(shell: console.Shell, step: console.Step) -> list[str]:
    """What comes out, on a machine of the README's name and for its user."""
    return [line.replace(socket.gethostname(), "laptop").replace("…/", "/") for line in shell.run(step.command)]


def _only_looks(step: console.Step) -> bool:
    return step.command.startswith(("modctl agents", "modctl list", "tail"))


def _of_session(session_id: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(ProcessLookupError, ValueError):
            if os.getsid(int(name)) == session_id:
                found.append(int(name))
    return found


def test_every_session_of_the_readme_runs_as_it_is_shown(shell: console.Shell, short_dir: Path) -> None:
    sessions = console.blocks(README, "console")
    assert sessions, "the README shows no session"
    for name, body in console.blocks(README, "python"):
        if name:  # ```python words.py
            file = short_dir / "here" / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(body)
            # Whoever tries this wrote the file some time ago; one of this instant could change unseen in the next.
            os.utime(file, (time.time() - 60, time.time() - 60))
    for _, session in sessions:
        for step in console.steps(session):
            seen = typed(shell, step)
            deadline_s = time.monotonic() + 30.0
            # Whoever types is slower than a shell: what only looks may look again.
            while _only_looks(step) and not console.agrees(step.output, seen) and time.monotonic() < deadline_s:
                time.sleep(0.2)
                seen = typed(shell, step)
            shown = "\n".join(step.output)
            assert console.agrees(step.output, seen), (
                f"$ {step.command}\n--- the README shows\n{shown}\n--- and this came out\n" + "\n".join(seen)
            )


def test_every_make_target_that_the_readme_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))
    assert named
    assert named <= targets


def test_every_link_into_the_repository_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize(
    ("shown", "seen", "agree"),
    [
        (["pid 12  x"], ["pid 4711 x"], True),
        (["a", "…", "c"], ["a", "b", "b", "c"], True),
        (["a", "…", "c"], ["a", "c"], True),
        (["a", "…"], ["a"], True),
        (["a"], ["b"], False),
        (["CLEAN"], ["MODIFIED"], False),
        (["a"], ["a", "b"], False),
        (["pid 4,5 up 12s"], ["pid 4-8,11 up 58s-1m"], True),
        (["up 12s"], ["up 3m5s"], True),
        (["12 ms"], ["12 s"], False),
        (["a; …", "c"], ["a; b", "c"], True),
        (["a; …", "c"], ["a; b", "b", "c"], False),
    ],
)
def test_a_session_that_differs_is_seen(shown: list[str], seen: list[str], agree: bool) -> None:
    assert console.agrees(tuple(shown), seen) is agree
