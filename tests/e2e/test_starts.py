"""How many gateways are started when many processes lose theirs at once: one of each instance, a few at a time."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from modctl.agent.dialer import SPAWN_BOUND_S, STARTS_AT_A_TIME
from support import gateways
from support.services import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(300)]

PROCESSES = 100
#: More by MODCTL_TEST_INSTANCES.
INSTANCES = int(os.environ.get("MODCTL_TEST_INSTANCES", "16"))
APP = """
import os, sys, time
from modctl import agent

agent.start(service=sys.argv[2], wait=False)
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
time.sleep(100_000)
"""


class Started:
    """Services whose gateways are run by an interpreter that keeps a list.

    Attributes:
        slow_s: a file: how long the interpreter takes to start, in seconds, or `broken`.
    """

    def __init__(self, folder: Path, state_dir: Path) -> None:
        self.folder, self.state_dir = folder, state_dir
        self.list = folder / "list"
        self.list.write_text("")
        self.slow_s = folder / "slow"
        self.slow_s.write_text("0")
        self.interpreter = folder / "python3"
        self.interpreter.write_text(
            f"#!/bin/sh\n"
            f'echo "$(date +%s.%N) $*" >> {self.list}\n'
            f"read slow < {self.slow_s}\n"
            f"[ $slow = broken ] && exit 1\n"
            f"sleep $slow\n"
            f'exec {sys.executable} "$@"\n'
        )
        self.interpreter.chmod(0o755)
        (folder / "app.py").write_text(APP)
        self.services: list[Service] = []

    def start(self, count: int, name: str) -> Service:
        command = [sys.executable, "app.py", str(count), name]
        environment = {"MODCTL_PYTHON": str(self.interpreter)}
        service = Service(command, state_dir=self.state_dir, folder=self.folder, environment=environment)
        self.services.append(service)
        return service

    def starts(self) -> list[tuple[float, str]]:
        """When, in seconds since the epoch, and the folder of the instance, oldest first."""
        words = [line.split() for line in self.list.read_text().splitlines()]
        return sorted((float(each[0]), each[each.index("--instance-dir") + 1]) for each in words)

    def end(self) -> None:
        for service in self.services:
            service.end()


@pytest.fixture
def started(short_dir: Path, state_dir: Path) -> Iterator[Started]:
    made = Started(short_dir, state_dir)
    try:
        yield made
    finally:
        made.end()


def kill_gateways(state_dir: Path) -> set[int]:
    pids = set(gateways.pids(state_dir))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


def test_a_hundred_processes_start_one_gateway_when_theirs_is_killed(started: Started) -> None:
    service = started.start(PROCESSES, "many")
    service.wait_for_agents(PROCESSES, 60)
    assert len(started.starts()) == 1
    for _ in range(3):
        before = len(started.starts())
        killed = kill_gateways(started.state_dir)
        until(lambda gone=killed: set(gateways.pids(started.state_dir)) - gone, 30, what="another gateway")
        service.wait_for_agents(PROCESSES, 60)
        assert len(started.starts()) == before + 1


@pytest.mark.slow
def test_an_interpreter_that_takes_long_to_start_is_waited_for_and_not_started_by_everybody(started: Started) -> None:
    # So it is on a machine that is starved: who loses patience there makes it worse.
    started.slow_s.write_text(str(SPAWN_BOUND_S + 2))
    service = started.start(PROCESSES, "many")
    service.wait_for_agents(PROCESSES, 90)
    assert len(started.starts()) == 1


@pytest.mark.slow
def test_gateways_that_never_come_up_are_tried_ever_more_seldom_by_all_together(started: Started) -> None:
    service = started.start(PROCESSES, "many")
    service.wait_for_agents(PROCESSES, 60)
    started.slow_s.write_text("broken")
    before = len(started.starts())
    kill_gateways(started.state_dir)
    until(lambda: len(started.starts()) >= before + 4, 60, what="four more starts", every_s=0.2)
    assert not service.has_ended()
    # 4 s each until it is given up, and pauses of up to half a second, one, two ... after the third.
    at_s = [began_s for began_s, _ in started.starts()[before:]]
    pauses_s = [later_s - began_s for began_s, later_s in pairwise(at_s)]
    print("tried again after", [f"{pause_s:.1f} s" for pause_s in pauses_s])
    assert min(pauses_s) > SPAWN_BOUND_S - 0.5, "not by all together"
    # Who is new does not wait: it may have been started because what was wrong has been mended.
    started.slow_s.write_text("0")
    newcomer = started.start(1, "many")
    newcomer.wait_for_agents(PROCESSES + 1, 60)


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_hundreds_of_services_whose_directory_is_removed_start_a_few_gateways_at_a_time(
    slow: bool, started: Started
) -> None:
    for number in range(INSTANCES):
        started.start(2, f"s{number:03}")
    until(lambda: len(gateways.infos(started.state_dir)) == INSTANCES, 60 + 2 * INSTANCES, what="gateways")
    first = started.starts()
    assert len(first) == INSTANCES
    if slow:
        started.slow_s.write_text("1")  # so that many at a time would be seen
    # At one stroke: the first gateways are back, and in it, while the last of two hundred folders are being removed.
    removed = started.state_dir.with_name("removed")
    started.state_dir.rename(removed)
    shutil.rmtree(removed, ignore_errors=True)

    def back() -> bool:
        infos = gateways.infos(started.state_dir)
        return len(infos) == INSTANCES

    until(back, 60 + 2 * INSTANCES, what="gateways again", every_s=0.1)
    again = started.starts()[len(first) :]
    assert len(again) == INSTANCES, "one of each instance, and none in vain"
    served_s = {info["folder"]: os.stat(f"{info['folder']}/gateway.json").st_mtime for info in
                gateways.infos(started.state_dir)}  # fmt: skip
    spans = [(began_s, served_s[folder]) for began_s, folder in again]
    # A process that has heard from its gateway lets the next one go on: what is left of a start may overlap.
    together = [sum(other <= began_s < ended_s for other, ended_s in spans) for began_s, _ in spans]
    print(f"{INSTANCES} gateways in {max(served_s.values()) - again[0][0]:.1f} s, at a time {max(together)}")
    assert max(together) <= STARTS_AT_A_TIME + 1
