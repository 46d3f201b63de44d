"""A fleet that somebody keeps for long: gateways die under it, more than once, and services come late."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from modctl.client import Fleet, returning
from support import gateways
from support.services import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(120)]

HOST = """
import time
from modctl import agent
agent.start(service="kept", required=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def start(state_dir: Path, short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Service]]:
    """Services to be ended after the test; this process looks where they are."""
    monkeypatch.setenv("MODCTL_STATE_DIR", str(state_dir))
    (short_dir / "app.py").write_text(HOST)
    started: list[Service] = []
    yield started
    for service in started:
        service.end()


def _service(state_dir: Path, folder: Path) -> Service:
    service = Service([sys.executable, "app.py"], state_dir=state_dir, folder=folder)
    service.wait_for_agents(1)
    return service


def test_who_found_nobody_finds_who_comes_later(start: list[Service], state_dir: Path, short_dir: Path) -> None:
    with Fleet.connect(timeout_s=10) as fleet:
        assert not fleet.agents().rows
        start.append(_service(state_dir, short_dir))
        assert [row.pid for row in fleet.agents().rows] == [start[0].pid]


def test_every_gateway_that_dies_is_looked_for_again(start: list[Service], state_dir: Path, short_dir: Path) -> None:
    start.append(_service(state_dir, short_dir))
    with Fleet.connect(timeout_s=10) as fleet:
        for _ in range(4):
            [pid] = gateways.pids(state_dir)
            os.kill(pid, signal.SIGKILL)
            # The moment itself may have nobody; what must not be is that nobody is looked for from then on.
            until(lambda: start[0].pid in {row.pid for row in fleet.list("sys").rows}, 20.0, what="it answers again")


def _served() -> set[int]:
    with Fleet.connect(timeout_s=10) as fleet:
        return {row.pid for row in fleet.agents().rows}


def test_who_lost_its_gateway_this_moment_is_not_missing_beside_others(
    start: list[Service], state_dir: Path, short_dir: Path
) -> None:
    start.append(_service(state_dir, short_dir))
    (short_dir / "other.py").write_text(HOST.replace("kept", "other"))
    start.append(Service([sys.executable, "other.py"], state_dir=state_dir, folder=short_dir))
    start[1].wait_for_agents(1)
    both = {service.pid for service in start}
    # Each gateway dies once or twice: one that dies again and again is brought back ever more slowly.
    for number, ask in enumerate((
        lambda fleet: fleet.list("sys"),
        lambda fleet: fleet.inject("pushed", source="X = 1", replace=True),
        lambda fleet: fleet.agents(),
    )):  # fmt: skip
        until(lambda: _served() == both, 20.0, what="both are served")
        os.kill(gateways.pids(state_dir)[number % 2], signal.SIGKILL)
        with Fleet.connect(timeout_s=10) as fleet:
            result = ask(fleet)
        assert {row.pid for row in result.rows} == both, [(row.target, row.pid, row.error) for row in result.rows]
        assert not result.failed, result.failed


def test_a_socket_that_nobody_serves_any_more_is_nobodys_failure(
    start: list[Service], state_dir: Path, short_dir: Path
) -> None:
    start.append(_service(state_dir, short_dir))
    left = state_dir / "left-0123abcd"
    left.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(left / "gateway.sock"))
    with Fleet.connect(timeout_s=10) as fleet:
        for result in (fleet.list("sys"), fleet.inject("pushed", source="X = 1", replace=True)):
            assert [row.pid for row in result.rows] == [start[0].pid]
            assert not result.failed


@pytest.mark.parametrize(("deadline_s", "again"), [(returning.BACK_S / 2, False), (60.0, True)])
def test_nobody_is_looked_for_again_beyond_the_deadline(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, deadline_s: float, again: bool
) -> None:
    """A socket that nobody serves is tried once more, a moment later: where there is a moment."""
    monkeypatch.setenv("MODCTL_STATE_DIR", str(state_dir))
    folder = state_dir / "gone-00000000"
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "gateway.sock"))
    waited_s: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waited_s.append(seconds)
        await real(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with Fleet.connect(timeout_s=10, deadline_s=deadline_s) as fleet:
        assert not fleet.agents().rows
    assert (returning.BACK_S in waited_s) == again
