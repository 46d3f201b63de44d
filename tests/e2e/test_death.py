"""What dies, and what must go on or end with it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import grpc
import pytest
from support import cli, gateways, processes
from support.services import EXAMPLES, Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(120)]

#: A gateway leaves so long after its last process: its grace, and a margin for a machine with other work.
LEAVES_WITHIN_S = 15.0

#: Three processes, of which the first watches over the others as a prefork server does.
PREFORK = """
import os, signal, sys, time
from modctl import agent
import slow_words

agent.start(service="prefork", required=True)
children = []
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        while True:
            time.sleep(0.05)
    children.append(pid)

def stop(*_):
    for pid in children:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
    os._exit(0)

signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while True:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
    time.sleep(0.05)
"""


@pytest.fixture
def prefork(state_dir: Path, short_dir: Path) -> Iterator[Service]:
    """A parent and two children with agents."""
    (short_dir / "app.py").write_text(PREFORK)
    (short_dir / "slow_words.py").write_text("WORD = 'old'\n")
    service = Service([sys.executable, "app.py"], state_dir=state_dir, folder=short_dir)
    try:
        service.wait_for_agents(3)
        yield service
    finally:
        service.end()


@pytest.fixture
def ticker(state_dir: Path) -> Iterator[Service]:
    command = [sys.executable, EXAMPLES / "ticker" / "ticker.py", "--interval", "0.05"]
    service = Service(command, state_dir=state_dir)
    try:
        service.wait_for_agents(1)
        yield service
    finally:
        service.end()


def no_gateway(state_dir: Path) -> bool:
    return not processes.mentioning(str(state_dir)) and not gateways.infos(state_dir)


def test_a_killed_gateway_is_back_within_a_second_time_after_time(ticker: Service) -> None:
    took_s = []
    for _ in range(3):
        (old,) = gateways.infos(ticker.state_dir)
        os.kill(old["pid"], signal.SIGKILL)
        killed_s = time.monotonic()

        def serves(old_pid: int = old["pid"]) -> bool:
            fresh = [info for info in gateways.infos(ticker.state_dir) if info["pid"] != old_pid]
            if not fresh:
                return False
            with gateways.Gateway(fresh[0]["folder"]) as gateway:
                try:
                    return bool(gateway.process_pids(timeout_s=1.0))
                except grpc.RpcError:
                    return False  # not yet

        until(serves, 10.0, what="a gateway that serves the process")
        took_s.append(time.monotonic() - killed_s)
    print("back after", [f"{one:.2f} s" for one in took_s])
    assert min(took_s) < 1.0
    assert max(took_s) < 3.0  # the machine has other work while tests run
    lines = len(ticker.output.splitlines())
    until(lambda: len(ticker.output.splitlines()) > lines, 5.0, what="the service to go on")


def test_the_gateway_leaves_when_the_service_was_killed(ticker: Service) -> None:
    os.kill(ticker.pid, signal.SIGKILL)
    ticker.process.wait(10)
    until(lambda: no_gateway(ticker.state_dir), LEAVES_WITHIN_S, what="the gateway to leave", every_s=0.2)


def test_the_gateway_leaves_when_the_service_ends_as_it_should(ticker: Service) -> None:
    assert ticker.stop(signal.SIGTERM) == 0
    until(lambda: no_gateway(ticker.state_dir), LEAVES_WITHIN_S, what="the gateway to leave", every_s=0.2)


def test_a_restarted_service_finds_the_gateway_that_its_predecessor_left(ticker: Service) -> None:
    (old,) = gateways.infos(ticker.state_dir)
    os.kill(ticker.pid, signal.SIGKILL)
    ticker.process.wait(10)
    command = [sys.executable, EXAMPLES / "ticker" / "ticker.py"]
    successor = Service(command, state_dir=ticker.state_dir)
    try:
        successor.wait_for_agents(1, within_s=5.0)
        assert successor.agent_pids() == {successor.pid}
        assert [info["pid"] for info in gateways.infos(ticker.state_dir)] == [old["pid"]]
    finally:
        successor.end()


def test_terminating_service_and_gateway_at_once_leaves_nothing(ticker: Service) -> None:
    # As systemd does with a control group.
    (info,) = gateways.infos(ticker.state_dir)
    os.kill(info["pid"], signal.SIGTERM)
    os.kill(ticker.pid, signal.SIGTERM)
    assert ticker.process.wait(10) == 0
    until(lambda: no_gateway(ticker.state_dir), LEAVES_WITHIN_S, what="the gateway to leave", every_s=0.2)


def test_ctrl_c_in_the_services_terminal_ends_all(state_dir: Path) -> None:
    primary, secondary = pty.openpty()
    command = [sys.executable, str(EXAMPLES / "ticker" / "ticker.py"), "--interval", "0.1"]
    process = subprocess.Popen(
        command,
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env={**os.environ, "MODCTL_STATE_DIR": str(state_dir)},
        start_new_session=True,
        # The terminal that Ctrl-C is typed in has to be the service's controlling one.
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
    )
    os.close(secondary)
    drain = threading.Thread(target=_drain, args=(primary,), daemon=True)
    drain.start()
    try:
        until(lambda: gateways.infos(state_dir), 15.0, what="the gateway")
        gateway_pid = gateways.pids(state_dir)[0]
        os.write(primary, b"\x03")
        process.wait(10)
        assert process.returncode == 0
        until(lambda: not processes.alive(gateway_pid), LEAVES_WITHIN_S, what="the gateway to leave", every_s=0.2)
        assert no_gateway(state_dir)
    finally:
        process.kill()
        process.wait(10)
        drain.join(5)
        os.close(primary)


def _drain(terminal: int) -> None:
    """A terminal that nobody reads from fills up and stops who writes to it."""
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass  # EIO: the other side is closed


def in_background(run: Callable[[], cli.Ran]) -> tuple[threading.Thread, list[cli.Ran]]:
    answers: list[cli.Ran] = []
    thread = threading.Thread(target=lambda: answers.append(run()))
    thread.start()
    return thread, answers


def reimport_slowly(service: Service, marker: Path) -> tuple[threading.Thread, list[cli.Ran]]:
    """A change that is in the middle of running the new module in every process when this returns."""
    source = service.state_dir.parent / "slow_words.py"
    # Each process writes a line into a file of its pid when it is there.
    source.write_text(
        "import os, time\n"
        f"with open(f'{marker}/{{os.getpid()}}', 'a') as file:\n"
        "    file.write('executed\\n')\n"
        "time.sleep(2.5)\n"
        "WORD = 'new'\n"
    )
    thread, answers = in_background(
        lambda: cli.modctl(
            "reimport", "slow_words", "--all", "--yes", "-o", "json", state_dir=service.state_dir, expect=None
        )
    )
    return thread, answers


def test_a_worker_killed_in_mid_change_costs_only_its_own_answer(prefork: Service, short_dir: Path) -> None:
    marker = short_dir / "executing"
    marker.mkdir()
    thread, answers = reimport_slowly(prefork, marker)
    until(lambda: len(list(marker.iterdir())) == 3, 15.0, what="all three to execute the module")
    victim = max(prefork.agent_pids() - {prefork.pid})
    os.kill(victim, signal.SIGKILL)
    thread.join(30)
    outcomes = {row["pid"]: row["outcome"] for row in answers[0].document["results"]}
    # Nobody knows what a process had done when it died, and nobody says so.
    assert outcomes.pop(victim) in {"UNKNOWN", "UNREACHABLE"}
    assert set(outcomes.values()) == {"APPLIED"}
    assert len(outcomes) == 2
    assert answers[0].code == 3


def test_a_gateway_killed_in_mid_change_leaves_whole_processes(prefork: Service, short_dir: Path) -> None:
    marker = short_dir / "executing"
    marker.mkdir()
    before = prefork.agent_pids()
    thread, answers = reimport_slowly(prefork, marker)
    until(lambda: len(list(marker.iterdir())) == 3, 15.0, what="all three to execute the module")
    (info,) = gateways.infos(prefork.state_dir)
    os.kill(info["pid"], signal.SIGKILL)
    thread.join(30)
    # The client asks again with the same request id, or says that it does not know; it never says what is not so.
    outcomes = {row["pid"]: row["outcome"] for row in answers[0].document["results"]}
    assert set(outcomes.values()) <= {"APPLIED", "UNKNOWN"}
    assert (answers[0].code == 0) == (set(outcomes.values()) == {"APPLIED"})
    assert prefork.wait_for_agents(3) == before
    # What was under way ends one way or the other, everywhere, and ran once.
    words = until(lambda: _words_of(prefork, before), 10.0, every_s=0.3)
    assert all("new" in words[pid] for pid in before if outcomes.get(pid) == "APPLIED"), (outcomes, words)
    assert all("old" in word or "new" in word for word in words.values())
    assert [file.read_text() for file in marker.iterdir()] == ["executed\n"] * 3


def _words_of(service: Service, pids: set[int]) -> dict[int, str] | None:
    """The live value of slow_words.WORD in each of these; None while one of them does not answer."""
    ran = cli.modctl("get", "slow_words", "--attr", "WORD", "-o", "json", state_dir=service.state_dir, expect=None)
    if not ran.stdout.strip():
        return None
    words = {row["pid"]: json.dumps(row) for row in ran.document["results"] if row["outcome"] == "OK"}
    return words if set(words) == pids else None


def test_a_worker_killed_in_mid_listing_costs_only_its_own_rows(prefork: Service) -> None:
    (info,) = gateways.infos(prefork.state_dir)
    victim = max(prefork.agent_pids() - {prefork.pid})
    survivors = prefork.agent_pids() - {victim}
    stopped = threading.Event()
    seen: list[dict[int, int]] = []

    def list_on() -> None:
        with gateways.Gateway(info["folder"]) as gateway:
            while not stopped.is_set():
                seen.append(gateway.rows())

    thread = threading.Thread(target=list_on)
    thread.start()
    until(lambda: len(seen) > 5, 10.0)
    os.kill(victim, signal.SIGKILL)
    count = len(seen)
    until(lambda: len(seen) > count + 10, 10.0)
    stopped.set()
    thread.join(10)
    assert not thread.is_alive()
    full = seen[0][prefork.pid]
    assert all(rows.get(pid, 0) >= full - 5 for rows in seen for pid in survivors)
    assert victim not in seen[-1]


def test_a_frozen_process_delays_only_its_own_row(prefork: Service) -> None:
    victim = max(prefork.agent_pids() - {prefork.pid})
    os.kill(victim, signal.SIGSTOP)
    try:
        started_s = time.monotonic()
        listing = cli.document("list", "slow_words", "--timeout", "1s", state_dir=prefork.state_dir, expect=3)
        assert time.monotonic() - started_s < 10.0
        outcomes = {row["pid"]: row["outcome"] for row in listing["results"]}
        assert outcomes.pop(victim) == "TIMED_OUT"
        assert list(outcomes.values()) == ["OK", "OK"]
    finally:
        os.kill(victim, signal.SIGCONT)
    until(
        lambda: cli.modctl("list", "slow_words", state_dir=prefork.state_dir, expect=None).code == 0, 10.0, every_s=0.2
    )
