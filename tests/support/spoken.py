"""A service that says what its code is, for changes that have to be confirmed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from support import cli, gateways
from support.services import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Its module `words` has a TEXT and a say(), and perhaps lines() that are held while they run.
SERVICE = """
import os, time
from modctl import agent
agent.start(service="confirm", required=True)
import words
held = words.say
if hasattr(words, "lines"):
    lines = words.lines()
    next(lines)
while True:
    with open("said.new", "w") as file:
        file.write(f"{words.TEXT} {held()}")
    os.replace("said.new", "said")
    time.sleep(0.02)
"""


@contextlib.contextmanager
def speaking(folder: Path, state_dir: Path, old: str, new: str) -> Iterator[Service]:
    """The service with the old words loaded, and the new ones in the file."""
    (folder / "words.py").write_text(old)
    (folder / "service.py").write_text(SERVICE)
    started = Service([sys.executable, "service.py"], state_dir=state_dir, folder=folder)
    try:
        started.wait_for_agents(1)
        until((folder / "said").exists, 30, what="the service to have loaded its words")
        (folder / "words.py").write_text(new)
        yield started
    finally:
        started.end()


def said(folder: Path) -> str:
    """What it says now: the TEXT, and what say() says."""
    return (folder / "said").read_text()


def revisions(state_dir: Path) -> list[dict[str, object]]:
    """Its history, newest first."""
    found: list[dict[str, object]] = cli.document("history", state_dir=state_dir)["results"][0]["revisions"]
    return found


def kill_gateway(state_dir: Path) -> None:
    """Kills its gateway."""
    pids = gateways.pids(state_dir)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
