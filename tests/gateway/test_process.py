"""The gateway's process: one per instance, here when needed, gone when not, and nothing of it left."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from modctl.gateway.claim import Claim
from modctl.gateway.errors import ClaimError, TakenError
from modctl.gateway.log import DescriptorLog
from modctl.v1 import agent_service_pb2, module_service_pb2

from gateway.conftest import Processes
from gateway.fake_agent import FakeAgent
from gateway.world import EVERYBODY, gone, row, stubs, until

PROCESSES = agent_service_pb2.ListProcessesRequest()


def address(instance_dir: Path) -> str:
    return f"unix:{instance_dir}/gateway.sock"


def test_of_eight_gateways_one_lives(processes: Processes, instance_dir: Path) -> None:
    started = [processes.gateway(grace_s=30) for _ in range(8)]
    alive = until(
        lambda: [one for one in started if one.poll() is None] if sum(o.poll() is None for o in started) == 1 else 0
    )
    until(lambda: (instance_dir / "gateway.json").exists())
    assert [one.poll() for one in started if one not in alive] == [0] * 7
    info = json.loads((instance_dir / "gateway.json").read_text())
    assert (info["pid"], info["service"]) == (alive[0].pid, "shop")
    with FakeAgent(instance_dir) as agent:
        assert agent.welcome()["gateway_pid"] == alive[0].pid


def test_everything_of_it_is_private(processes: Processes, instance_dir: Path) -> None:
    processes.served(grace_s=30)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in instance_dir.iterdir()}
    assert modes == dict.fromkeys(["agent.sock", "gateway.sock", "gateway.lock", "gateway.json", "gateway.log"], 0o600)


def test_it_listens_before_it_has_imported_grpc(processes: Processes, instance_dir: Path) -> None:
    # An agent that dials meanwhile waits in the backlog and is welcomed: it need not try again.
    processes.gateway(grace_s=30)
    until(lambda: (instance_dir / "agent.sock").exists(), step_s=0.0005)
    with FakeAgent(instance_dir) as agent:
        agent.welcome()


def test_it_leaves_after_the_grace_and_leaves_nothing(processes: Processes, instance_dir: Path) -> None:
    gateway = processes.served(grace_s=0.6)
    agent = FakeAgent(instance_dir)
    agent.welcome()
    time.sleep(1)
    assert gateway.poll() is None, "somebody is connected"
    agent.close()
    started = time.monotonic()
    assert gateway.wait(10) == 0
    assert time.monotonic() - started > 0.4
    assert {file.name for file in instance_dir.iterdir()} == {"gateway.lock", "gateway.log"}


def test_who_comes_within_the_grace_keeps_it(processes: Processes, instance_dir: Path) -> None:
    gateway = processes.served(grace_s=1)
    for _ in range(4):
        with FakeAgent(instance_dir) as agent:
            agent.welcome()
        time.sleep(0.5)
    assert gateway.poll() is None


def test_one_whose_service_died_at_once_goes_away(processes: Processes) -> None:
    gateway = processes.served(grace_s=0.5)
    started = time.monotonic()
    assert gateway.wait(10) == 0
    assert time.monotonic() - started < 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_makes_it_leave_with_the_last_process(
    processes: Processes, instance_dir: Path, number: signal.Signals
) -> None:
    gateway = processes.served(grace_s=30)
    agent = FakeAgent(instance_dir)
    agent.welcome()
    gateway.send_signal(number)
    time.sleep(0.5)
    with stubs(address(instance_dir)) as api:  # it serves on: the service may take long to stop
        assert len(api.agents.ListProcesses(PROCESSES).processes) == 1
    agent.close()
    started = time.monotonic()
    assert gateway.wait(10) == 0
    assert time.monotonic() - started < 2, "without the grace"


def test_a_signal_without_processes_ends_it_at_once(processes: Processes) -> None:
    gateway = processes.served(grace_s=30)
    gateway.terminate()
    assert gateway.wait(5) == 0


def test_it_ends_with_a_call_in_flight(processes: Processes, instance_dir: Path) -> None:
    gateway = processes.served(grace_s=30)
    agent = FakeAgent(instance_dir, handlers={"watch": lambda a, r: iter([(0, {"events": []})])})
    agent.welcome()
    with stubs(address(instance_dir)) as api:
        watch = api.modules.WatchModules(module_service_pb2.WatchModulesRequest(), metadata=EVERYBODY)
        next(watch)
        gateway.terminate()
        agent.close()
        assert gateway.wait(5) == 0
        with pytest.raises(grpc.RpcError):
            list(watch)


def test_killed_with_everything_lying_about_it_is_followed_by_another(processes: Processes, instance_dir: Path) -> None:
    first = processes.served(grace_s=30)
    first.kill()
    first.wait()
    assert (instance_dir / "agent.sock").exists()
    assert (instance_dir / "gateway.json").exists()
    second = processes.gateway(grace_s=30)
    with FakeAgent(instance_dir) as agent:
        assert agent.welcome()["gateway_pid"] == second.pid
        with stubs(address(instance_dir)) as api:
            assert len(api.agents.ListProcesses(PROCESSES).processes) == 1


def test_killed_in_mid_call_the_caller_hears_of_it_at_once(processes: Processes, instance_dir: Path) -> None:
    gateway = processes.served(grace_s=30)
    with (
        FakeAgent(instance_dir, handlers={"get_module": lambda a, r: iter(())}) as agent,
        stubs(address(instance_dir)) as api,
    ):
        agent.welcome()
        call = api.modules.GetModule(module_service_pb2.GetModuleRequest(name="x"), timeout=30)
        until(lambda: agent.seen)
        started = time.monotonic()
        gateway.kill()
        with pytest.raises(grpc.RpcError) as failed:
            list(call)
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - started < 2
        assert agent.closed.wait(2)


def test_a_killed_process_is_missed_at_once(processes: Processes, instance_dir: Path) -> None:
    processes.served(grace_s=30)
    doomed = processes.agent(pid=41, silent=["get_module"])
    processes.agent(pid=42)
    with stubs(address(instance_dir)) as api:
        call = api.modules.GetModule(
            module_service_pb2.GetModuleRequest(name="x"), metadata=(("modctl-process", "41"),), timeout=30
        )
        time.sleep(0.3)
        started = time.monotonic()
        doomed.kill()
        [answer] = call
        assert answer.error.reason == "PROCESS_LEFT"
        assert time.monotonic() - started < 1
        assert [process.pid for process in api.agents.ListProcesses(PROCESSES).processes] == [42]


def test_the_process_that_is_started_leaves_at_once_and_the_gateway_is_nobody_s_child(instance_dir: Path) -> None:
    inherited, kept = os.pipe()
    os.set_inheritable(kept, True)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-I", "-m", "modctl.gateway", "--instance-dir", str(instance_dir), "--service", "s"],
        timeout=20, check=False, close_fds=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert time.monotonic() - started < 5
    os.close(kept)
    pid = 0
    try:
        with FakeAgent(instance_dir) as agent:
            pid = agent.welcome()["gateway_pid"]
            assert os.getsid(pid) == pid, "a session of its own: Ctrl-C in the service's terminal is not for it"
            assert int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) != os.getpid()
            os.set_blocking(inherited, False)
            assert os.read(inherited, 1) == b"", "the host's descriptors are closed: this pipe has no writer left"
            assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (1, 2)} == {str(instance_dir / "gateway.log")}
            assert os.readlink(f"/proc/{pid}/cwd") == "/"
    finally:
        os.close(inherited)
        if pid:
            os.kill(pid, signal.SIGTERM)
            until(lambda: gone(pid))


@pytest.mark.parametrize("arguments", [[], ["--nonsense"], ["--instance-dir", "/does/not/exist", "--service", "s"]])
def test_the_process_that_is_started_exits_0_whatever_happens(arguments: list[str]) -> None:
    # gunicorn's master reaps whatever child it finds, and halts on some exit codes.
    done = subprocess.run(
        [sys.executable, "-I", "-m", "modctl.gateway", *arguments], timeout=20, check=False, stderr=subprocess.DEVNULL
    )
    assert done.returncode == 0


def test_in_the_foreground_it_says_what_is_wrong(short_dir: Path) -> None:
    open_to_all = short_dir / "open"
    open_to_all.mkdir(mode=0o755)
    done = subprocess.run(
        [sys.executable, "-I", "-m", "modctl.gateway", "--foreground", "--instance-dir", str(open_to_all),
         "--service", "s"], timeout=20, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "open to other users" in done.stderr
    assert list(open_to_all.iterdir()) == []


def test_it_leaves_where_its_sockets_are_removed(processes: Processes, instance_dir: Path) -> None:
    gateway = processes.served(grace_s=30)
    with FakeAgent(instance_dir) as agent:
        agent.welcome()
        (instance_dir / "agent.sock").unlink()
        assert gateway.wait(15) == 0, "nobody could find it any more"
        assert agent.closed.wait(2), "and the agent starts another"


def test_what_is_not_its_own_is_not_removed(processes: Processes, instance_dir: Path) -> None:
    gateway = processes.served(grace_s=30)
    for name in ("agent.sock", "gateway.sock", "gateway.json"):
        (instance_dir / name).unlink()
        (instance_dir / name).write_text("another's")
    gateway.terminate()
    assert gateway.wait(10) == 0
    assert [(instance_dir / name).read_text() for name in ("agent.sock", "gateway.sock", "gateway.json")] == [
        "another's"
    ] * 3


def test_a_directory_with_a_long_name_will_do(short_dir: Path) -> None:
    long = short_dir / ("long" * 30) / ("x" * 60)
    long.mkdir(parents=True, mode=0o700)
    long.parent.chmod(0o700)
    found = Processes(long)
    try:
        gateway = found.served(grace_s=30)
        assert (long / "gateway.sock").is_socket()
        fd = os.open(long, os.O_RDONLY)
        place = Path(f"/proc/self/fd/{fd}")
        with FakeAgent(place) as agent:
            assert agent.welcome()["gateway_pid"] == gateway.pid
            with stubs(f"unix:{place}/gateway.sock") as api:
                assert len(api.agents.ListProcesses(PROCESSES).processes) == 1
        os.close(fd)
    finally:
        found.end()


def test_a_lock_that_is_held_is_respected(instance_dir: Path) -> None:
    claim = Claim(str(instance_dir))
    with pytest.raises(TakenError):
        Claim(str(instance_dir))
    claim.release()
    claim.release()
    Claim(str(instance_dir)).release()
    assert {file.name for file in instance_dir.iterdir()} == {"gateway.lock"}


def test_a_lock_that_is_a_symlink_is_refused(instance_dir: Path) -> None:
    (instance_dir / "gateway.lock").symlink_to(instance_dir / "elsewhere")
    with pytest.raises(ClaimError):
        Claim(str(instance_dir))
    assert not (instance_dir / "elsewhere").exists()


def test_no_descriptor_is_leaked_where_a_claim_fails(instance_dir: Path) -> None:
    (instance_dir / "agent.sock").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(ClaimError):
            Claim(str(instance_dir))
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_log_is_turned_over(instance_dir: Path) -> None:
    program = f"""
import logging, sys
from modctl.gateway import log
log.MAX_BYTES = 2000
handler = log.DescriptorLog({str(instance_dir)!r}, max_bytes=2000)
logging.getLogger().addHandler(handler)
for number in range(200):
    logging.error("line %d of many", number)
sys.stderr.write("a cry\\n")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    now, before = instance_dir / "gateway.log", instance_dir / "gateway.log.1"
    assert now.stat().st_size < 2200
    assert before.stat().st_size < 2200
    assert now.read_text().endswith("a cry\n")
    assert "line 199 of many" in now.read_text()
    assert stat.S_IMODE(now.stat().st_mode) == 0o600
    assert DescriptorLog.__doc__


def test_a_host_s_lock_is_not_held_by_its_child_s_gateway(instance_dir: Path, processes: Processes) -> None:
    with open(instance_dir.parent / "host.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.set_inheritable(lock.fileno(), True)
        processes.served(grace_s=30, close_fds=False)
    with open(instance_dir.parent / "host.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where the gateway still has it


def test_clients_that_were_connected_are_no_hindrance_to_a_new_gateway(
    processes: Processes, instance_dir: Path
) -> None:
    listing = {"rows": [row("x", kind="BUILTIN")]}
    first = processes.served(grace_s=30)
    agent = processes.agent(pid=51, **listing)
    request = module_service_pb2.ListModulesRequest(view="MODULE_VIEW_BASIC")
    with stubs(address(instance_dir)) as api:
        assert len(list(api.modules.ListModules(request))) == 1
        first.kill()
        first.wait()
        agent.wait(5)
        with pytest.raises(grpc.RpcError) as failed:
            list(api.modules.ListModules(request))
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        processes.gateway(grace_s=30)
        processes.agent(pid=52, **listing)

        def answered() -> object:
            try:
                return list(api.modules.ListModules(request, wait_for_ready=True, timeout=10))
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                return None

        [answer] = until(answered)  # type: ignore[misc]
        assert answer.process.pid == 52


def test_a_stale_socket_of_a_dead_gateway_is_replaced(instance_dir: Path, processes: Processes) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(instance_dir / "agent.sock"))
    dead.close()
    processes.gateway(grace_s=30)
    with FakeAgent(instance_dir) as agent:
        agent.welcome()
