"""Every host that Python programs run under: its processes are found, changed, lost and found again; all of it ends."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from support import cli, gateways, processes
from support.services import Service, fetch
from support.waiting import until

from e2e.hosts import HOSTS, Host

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.timeout(180)]


@dataclass
class Running:
    """A host that runs, with all of its agents known."""

    host: Host
    service: Service
    url: str
    #: When it was told to stop and did, on the monotonic clock; its gateway leaves by itself then.
    stopped_s: float | None = None

    @property
    def state_dir(self) -> Path:
        return self.service.state_dir

    def agent_pids(self) -> set[int]:
        return self.service.agent_pids()

    def again(self) -> None:
        """Ends it, whatever state it is in, and starts another."""
        folder = self.state_dir.parent
        self.service.end()
        shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        self.service, self.url = self.host.start(folder)
        self.service.wait_for_agents(self.host.agents)

    def check_its_end(self) -> None:
        """Nothing of it is left, within 15 s of its stop."""
        assert self.stopped_s is not None
        left_s = max(0.0, self.stopped_s + 15.0 - time.monotonic())
        gone = f"the gateway of {self.host.name} to leave"
        until(lambda: not processes.mentioning(str(self.state_dir)), left_s, what=gone, every_s=0.2)
        assert gateways.infos(self.state_dir) == []

    def end(self) -> None:
        self.service.end()
        shutil.rmtree(self.state_dir.parent, ignore_errors=True)

    def worker(self) -> int:
        """A process with an agent that is not the one that was started."""
        return max(self.agent_pids() - {self.service.pid})


@pytest.fixture(scope="module")
def stopped() -> Iterator[list[Running]]:
    """Hosts that have stopped: their gateways are waited for at the end, all together."""
    hosts: list[Running] = []
    yield hosts
    try:
        for host in hosts:
            host.check_its_end()
    finally:
        for host in hosts:
            host.end()


@pytest.fixture(
    scope="module",
    params=[pytest.param(host, id=host.name, marks=pytest.mark.xdist_group(f"host-{host.name}")) for host in HOSTS],
)
def running(request: pytest.FixtureRequest, stopped: list[Running]) -> Iterator[Running]:
    host: Host = request.param
    if host.missing:
        pytest.skip(f"{', '.join(host.missing)} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="mc-", dir="/tmp"))
    service, url = host.start(folder)
    running = Running(host, service, url)
    try:
        service.wait_for_agents(host.agents)
        yield running
    finally:
        if running.stopped_s is None:
            running.end()
        else:
            stopped.append(running)


def test_every_process_that_loaded_the_program_is_listed(running: Running) -> None:
    rows = cli.agents(running.state_dir)
    assert {row["pid"] for row in rows} == running.agent_pids()
    assert {row["service"] for row in rows} == {"host"}
    listing = cli.document("list", "greeting", state_dir=running.state_dir)
    assert listing["summary"]["ok"] == running.host.agents
    assert {row["modules"][0]["name"] for row in listing["results"]} == {"greeting"}


def test_a_change_reaches_every_process_and_is_undone_in_every_process(running: Running) -> None:
    mock = running.state_dir.parent / "mock.py"
    mock.write_text('TEXT = "goodbye"\n')
    arguments = ("inject", "greeting", "--file", mock, "--replace", "--all", "--yes")
    done = cli.document(*arguments, state_dir=running.state_dir)
    assert [row["outcome"] for row in done["results"]] == ["APPLIED"] * running.host.agents
    undone = cli.document("undo", "--all", "--yes", state_dir=running.state_dir)
    assert [row["outcome"] for row in undone["results"]] == ["APPLIED"] * running.host.agents


def test_the_program_goes_on_serving(running: Running) -> None:
    if not running.host.serves:
        pytest.skip("it serves no HTTP")
    until(lambda: fetch(running.url), 10.0, what=f"an answer of {running.url}")
    answers = [fetch(running.url) for _ in range(20)]
    assert all(answer and answer.startswith("hello ") for answer in answers), answers


def test_a_killed_gateway_is_back_with_every_process(running: Running) -> None:
    before = running.agent_pids()
    (info,) = gateways.infos(running.state_dir)
    os.kill(info["pid"], signal.SIGKILL)
    killed_s = time.monotonic()

    def all_back() -> bool:
        fresh = [new for new in gateways.infos(running.state_dir) if new["pid"] != info["pid"]]
        if not fresh:
            return False
        with gateways.Gateway(fresh[0]["folder"]) as gateway:
            try:
                return gateway.process_pids(timeout_s=1.0) == before
            except grpc.RpcError:
                return False  # not serving yet

    until(all_back, 10.0, what="every process behind a new gateway")
    took_s = time.monotonic() - killed_s
    print(f"{running.host.name}: all {len(before)} back {took_s:.2f} s after kill -9 of the gateway")
    # 0.2-0.5 s on an idle machine; the tests share theirs.
    assert took_s < 3.0
    assert {pid for pid in before if processes.alive(pid)} == before, "the loss of a gateway cost a process"


def test_a_killed_worker_is_gone_at_once_and_its_successor_is_found(running: Running) -> None:
    if not running.host.respawns:
        pytest.skip("it has no workers")
    before = running.agent_pids()
    victim = running.worker()
    os.kill(victim, signal.SIGKILL)
    killed_s = time.monotonic()
    until(lambda: victim not in running.agent_pids(), 5.0, what="the dead worker to be gone")
    assert time.monotonic() - killed_s < 2.0
    after = running.service.wait_for_agents(running.host.agents)
    assert len(after - before) == 1
    assert before - {victim} <= after


def test_nothing_is_left_when_the_program_is_told_to_stop(running: Running) -> None:
    # The last of this host: pytest runs a module's tests in order.
    if not running.host.ends_after_loss:
        running.again()
    family = set(running.service.family()) | running.agent_pids()
    running.service.stop(within_s=30.0)
    until(lambda: not any(map(processes.alive, family)), 15.0, what=f"the end of {family}")
    # The gateway stays for its grace, since a restart of the service would want it, then leaves: stopped().
    running.stopped_s = time.monotonic()
