"""What the gateway takes from the machine has a bound, and the service never pays for it."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from modctl.gateway import footprint
from support import gateways
from support.cli import modctl
from support.services import Service, free_port
from support.waiting import until

from security.attacks import CALL, PREFACE, SERVICE, SETTINGS, dialled, frame, latencies_ms, literal
from security.serving import serving

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

MIB = 1 << 20
PIECE = frame(9, 0, 1, literal(b"z", b"y" * 15_000))


@pytest.fixture
def served(short_dir: Path, state_dir: Path) -> Iterator[tuple[Service, int, int]]:
    with serving(short_dir, state_dir) as made:
        yield made


def fill(connections: int, port: int) -> list[socket.socket]:
    """Headers that never end, on connections that do not acknowledge what the gateway allows; 14 MiB on each."""
    opened = [dialled(port) for _ in range(connections)]
    with contextlib.suppress(OSError):
        for one in opened:
            one.sendall(PREFACE + SETTINGS + frame(1, 0, 1, CALL))
        for _ in range(14 * MIB // len(PIECE)):
            for one in opened:
                one.sendall(PIECE)
    return opened


def resident_mib(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() // MIB


def score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_a_gateway_has_bounds_and_goes_before_the_service(served: tuple[Service, int, int]) -> None:
    service, _, _ = served
    [pid] = gateways.pids(service.state_dir)
    most = min(footprint.MEMORY_BYTES, resource.prlimit(service.pid, resource.RLIMIT_DATA)[1] % (1 << 64))
    assert resource.prlimit(pid, resource.RLIMIT_DATA) == (most, most)
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    assert score(pid) == min(1000, score(service.pid) + footprint.FIRST_TO_GO) > score(service.pid)


def test_no_thread_of_a_gateway_interrupts_the_service(served: tuple[Service, int, int]) -> None:
    service, _, _ = served
    [pid] = gateways.pids(service.state_dir)
    assert modctl("list", state_dir=service.state_dir).code == 0  # whatever threads a call brings are there
    policies = {os.sched_getscheduler(int(thread)) for thread in os.listdir(f"/proc/{pid}/task")}
    assert policies == {os.SCHED_BATCH}
    assert os.sched_getscheduler(service.pid) == os.SCHED_OTHER, "the service's own is as it was"


def test_a_gateway_gives_way_as_much_as_its_service(short_dir: Path, state_dir: Path) -> None:
    program = short_dir / "host.py"
    program.write_text("import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n" + SERVICE)
    service = Service([sys.executable, program, str(free_port()), str(free_port())], state_dir=state_dir)
    try:
        service.wait_for_agents(1, listening=True)
        [pid] = gateways.pids(state_dir)
        assert {os.sched_getscheduler(int(thread)) for thread in os.listdir(f"/proc/{pid}/task")} == {os.SCHED_IDLE}
    finally:
        service.end()


def test_a_service_with_large_stacks_has_a_gateway_all_the_same(short_dir: Path, state_dir: Path) -> None:
    """Half a GiB for each thread: two dozen of them are beyond the bound, though nothing of it is used."""
    if resource.getrlimit(resource.RLIMIT_STACK)[1] != resource.RLIM_INFINITY:
        pytest.skip("stacks may not be made larger here")
    program = short_dir / "host.py"
    program.write_text(SERVICE)
    started = f"ulimit -s {512 * 1024} && exec {sys.executable} {program} {free_port()} {free_port()}"
    service = Service(["sh", "-c", started], state_dir=state_dir)
    try:
        service.wait_for_agents(1, listening=True)
        [pid] = gateways.pids(state_dir)
        assert resource.prlimit(pid, resource.RLIMIT_DATA)[0] > footprint.MEMORY_BYTES
        for _ in range(3):
            modctl("list", "sys", state_dir=state_dir)
        assert gateways.pids(state_dir) == [pid]
    finally:
        service.end()


def test_one_that_is_filled_ends_and_the_next_one_serves(served: tuple[Service, int, int]) -> None:
    """Three hundred MiB instead of two thousand: the machine that tests it has others on it."""
    service, http_port, port = served
    [before] = gateways.pids(service.state_dir)
    resource.prlimit(before, resource.RLIMIT_DATA, (300 * MIB, 300 * MIB))
    opened: list[socket.socket] = []
    filling = threading.Thread(target=lambda: opened.extend(fill(40, port)))
    filling.start()
    assert latencies_ms(http_port, 4.0), "each of them was answered, or this would have raised"
    filling.join()
    for one in opened:
        one.close()
    until(lambda: before not in gateways.pids(service.state_dir), 20, what="its end")
    service.wait_for_agents(1, listening=True)
    assert service.agent_pids() == {service.pid}
    modctl("list", "sys", "-H", f"127.0.0.1:{port}", state_dir=service.state_dir)
    assert service.output == ""


def test_what_was_filled_is_given_back(served: tuple[Service, int, int]) -> None:
    service, _, port = served
    [pid] = gateways.pids(service.state_dir)
    opened = fill(30, port)
    filled = resident_mib(pid)
    assert filled > 256, "it takes what has not been refused"
    for one in opened:
        one.close()
    until(lambda: resident_mib(pid) < filled // 2, 30, what="memory back", every_s=0.2)
    assert gateways.pids(service.state_dir) == [pid]
