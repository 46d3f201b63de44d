"""Finding, starting and losing the gateway, with the real one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from modctl.agent import spawn
from modctl.agent.dialer import STARTS_AT_A_TIME
from modctl.local import places
from modctl.local.version import VERSION
from support import processes
from support.host import Host, host_prefix
from support.waiting import until

SERVE = """
from modctl import agent
handle = agent.start(service="shop")
report(handle.addresses)
time.sleep(60)
"""


def instance(state_dir: Path) -> Path:
    return state_dir / places.instance_name("shop", host_prefix(), VERSION)


def test_eight_processes_that_start_at_once_share_one_gateway(state_dir: Path) -> None:
    hosts = [Host(SERVE, state_dir) for _ in range(8)]
    try:
        addresses = {tuple(host.report()) for host in hosts}
        assert len(addresses) == 1
        assert len(hosts[0].gateway_pids()) == 1
        assert [processes.children_of(host.pid) for host in hosts] == [[]] * 8, "no child of a service is left"
    finally:
        for host in hosts:
            host.__exit__()


def test_a_gateway_that_is_killed_is_back_within_a_second(state_dir: Path) -> None:
    code = """
        from modctl import agent
        handle = agent.start(service="shop")
        while True:
            report([time.time(), bool(handle.addresses)])
            time.sleep(0.01)
    """
    with Host(code, state_dir) as host:
        until(lambda: host.reports() and host.reports()[-1][1])
        for _ in range(3):
            (pid,) = host.gateway_pids()
            killed_s = time.time()
            os.kill(pid, signal.SIGKILL)
            until(lambda: not host.reports()[-1][1], every_s=0.005)
            until(lambda: host.reports()[-1][1], every_s=0.01)
            lost_s = min(at for at, served in host.reports() if at > killed_s and not served)
            back_s = min(at for at, served in host.reports() if at > lost_s and served)
            assert back_s - killed_s < 1.5, "1 s, and half of one for a busy machine"
            assert processes.children_of(host.pid) == []
        assert host.output == ""


def test_what_a_killed_gateway_leaves_behind_is_no_hindrance(state_dir: Path) -> None:
    with Host(SERVE, state_dir) as host:
        host.report()
        (pid,) = host.gateway_pids()
        os.kill(host.pid, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not processes.alive(pid))
    assert {"agent.sock", "gateway.sock", "gateway.lock"} <= {file.name for file in instance(state_dir).iterdir()}
    with Host(SERVE, state_dir) as host:
        assert host.report()


def test_a_spawn_lock_that_somebody_keeps_is_waited_for_and_then_passed_over(state_dir: Path) -> None:
    instance(state_dir).mkdir(mode=0o700)
    with (instance(state_dir) / "spawn.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        began_s = time.monotonic()
        code = SERVE.replace('service="shop"', 'service="shop", required=True')
        with Host(code, state_dir) as host:
            assert host.report()
            assert 3.5 < time.monotonic() - began_s < 9


@pytest.mark.slow
def test_who_has_to_have_a_gateway_waits_for_its_turn_and_then_for_the_gateway(state_dir: Path) -> None:
    # As where hundreds of services start at once: its time is for a gateway that does not come, not for a queue.
    places_of = [state_dir / places.STARTING.format(number) for number in range(STARTS_AT_A_TIME)]
    with contextlib.ExitStack() as held:
        for place in places_of:
            fcntl.flock(held.enter_context(place.open("w")), fcntl.LOCK_EX)
        began_s = time.monotonic()
        code = SERVE.replace('service="shop"', 'service="shop", required=True')
        code = "from modctl.agent import lifecycle\nlifecycle.REQUIRED_WAIT_S = 4.0\n" + code
        with Host(code, state_dir) as host:
            while time.monotonic() - began_s < 6.5:
                for place in places_of:
                    os.utime(place)
                time.sleep(0.5)
                assert host.reports() == []
            held.close()
            assert until(host.reports, 60)
            assert host.output == ""


def test_a_directory_that_is_removed_is_made_again(state_dir: Path) -> None:
    with Host(SERVE, state_dir) as host:
        host.report()
        (first,) = host.gateway_pids()
        shutil.rmtree(state_dir)
        os.kill(first, signal.SIGKILL)
        until(lambda: (instance(state_dir) / "gateway.sock").exists())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_is_not_used(state_dir: Path) -> None:
    os.chown(state_dir, 12345, 12345)
    code = """
        from modctl import agent
        try:
            agent.start(service="shop", required=True)
        except agent.errors.GatewayUnavailableError as error:
            report(str(error))
    """
    with Host(code, state_dir) as host:
        (message,) = host.done()
        assert "belongs to uid 12345" in message
        assert list(state_dir.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_nothing_is_said_to_a_gateway_of_somebody_else(state_dir: Path, short_dir: Path) -> None:
    instance(state_dir).mkdir(mode=0o700)
    heard = short_dir / "heard"
    squatter = f"""
import os, socket
listener = socket.socket(socket.AF_UNIX)
listener.bind({str(instance(state_dir) / "agent.sock")!r})
os.setuid(65534)
listener.listen(5)   # the kernel tells dialers who listens
print("ready", flush=True)
sock, _ = listener.accept()
open(1, "wb", 0, closefd=False).write(sock.recv(1000))
"""
    with heard.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", squatter], stdout=output)
    try:
        until(lambda: heard.read_bytes() == b"ready\n")
        code = """
            from modctl import agent
            try:
                agent.start(service="shop", required=True)
            except agent.errors.GatewayUnavailableError as error:
                report(str(error))
        """
        with Host(code, state_dir) as host:
            (message,) = host.done()
            assert "is served by uid 65534" in message
        assert heard.read_bytes() == b"ready\n"
    finally:
        process.kill()
        process.wait()


def test_a_state_directory_that_cannot_be_written_leaves_the_service_alone(short_dir: Path) -> None:
    code = SERVE.replace("time.sleep(60)", "report(len(os.listdir('/proc/self/task')))")
    with Host(code, short_dir / "state", environment={"MODCTL_STATE_DIR": "/proc/modctl"}) as host:
        assert host.done() == [[], 2]


def test_a_path_too_long_for_a_socket_works(short_dir: Path) -> None:
    place = short_dir / ("d" * 90) / ("e" * 90)
    place.mkdir(parents=True, mode=0o700)
    with Host(SERVE, place) as host:
        (address,) = host.report()
        assert len(address) > 200


def test_a_host_that_takes_the_agent_s_descriptors_keeps_its_own_and_is_served_again(state_dir: Path) -> None:
    code = """
        import socket
        from modctl import agent
        handle = agent.start(service="shop")
        runtime = handle._runtime
        taken = [runtime._wire.fd, runtime._waker.read_end.fd, runtime._waker.write_end.fd]
        pairs = []
        for number in taken:
            ours, theirs = socket.socketpair()
            os.dup2(ours.fileno(), number)
            theirs.sendall(b"the host's data")
            pairs.append((number, theirs))
        runtime.wake()
        pid = os.fork()   # a fork too must not write to them
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        deadline = time.monotonic() + 35
        def again():
            return runtime._wire is not None and runtime._wire.fd not in taken and handle.addresses
        while not again() and time.monotonic() < deadline:
            time.sleep(0.05)
        report([runtime._wire.fd not in taken, bool(handle.addresses)])
        for number, theirs in pairs:
            mine = socket.socket(fileno=number)
            report(mine.recv(100).decode())
            theirs.setblocking(False)
            try:
                report(theirs.recv(100).decode())
            except BlockingIOError:
                report("nothing")
    """
    with Host(code, state_dir) as host:
        reports = host.done(within_s=50)
        assert reports[0] == [True, True]
        assert reports[1:] == ["the host's data", "nothing"] * 3


def test_a_killed_service_leaves_no_orphan(state_dir: Path) -> None:
    with Host(SERVE, state_dir) as host:
        host.report()
        (gateway,) = host.gateway_pids()
        os.kill(host.pid, signal.SIGKILL)
        host.process.wait()
        until(lambda: not processes.alive(gateway), within_s=8)


def test_term_to_everybody_ends_the_gateway_with_the_service(state_dir: Path) -> None:
    code = """
        import signal
        from modctl import agent
        def stop(*_):
            time.sleep(0.7)   # a service that needs a while
            report(bool(handle.addresses))
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        handle = agent.start(service="shop")
        report("up")
        while True:
            time.sleep(60)
    """
    with Host(code, state_dir) as host:
        host.report()
        (gateway,) = host.gateway_pids()
        for pid in (gateway, host.pid):
            os.kill(pid, signal.SIGTERM)
        assert host.done() == ["up", True], "it served to the end"
        until(lambda: not processes.alive(gateway), within_s=2)
        time.sleep(0.5)
        assert host.gateway_pids() == []


def test_ctrl_c_in_a_terminal_is_the_service_s_alone(state_dir: Path, short_dir: Path) -> None:
    code = """
        from modctl import agent
        handle = agent.start(service="shop")
        try:
            report("up")
            time.sleep(60)
        except KeyboardInterrupt:
            time.sleep(0.3)
            report(bool(handle.addresses))
    """
    master, terminal = os.openpty()

    with Host(
        code,
        state_dir,
        python=("setsid", "--ctty", "--wait", sys.executable),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=False,
        # A shell that starts this in the background ignores interrupts, and all that it starts inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as host:
        os.close(terminal)
        host.report()
        (gateway,) = host.gateway_pids()
        os.write(master, b"\x03")
        assert host.process.wait(10) == 0
        assert host.reports() == ["up", True]
        until(lambda: not processes.alive(gateway), within_s=8)
        os.close(master)


def test_an_interpreter_is_found_without_the_help_of_sys_executable(monkeypatch: pytest.MonkeyPatch) -> None:
    found = spawn.interpreters({})
    assert found[0] == sys.executable
    for executable in ("/usr/bin/uwsgi", "", None):
        monkeypatch.setattr(sys, "executable", executable)
        first = spawn.interpreters({})[0]
        assert Path(first).parent == Path(sys.prefix) / "bin", "the environment's, not the base's that lacks grpc"
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    assert spawn.interpreters({"VIRTUAL_ENV": str(Path(found[0]).parents[1])})[0].startswith(str(Path(found[0]).parent))
    assert spawn.interpreters({"MODCTL_PYTHON": found[0]}) == [found[0]]
    assert spawn.interpreters({"MODCTL_PYTHON": "/nowhere"}) == []


def test_a_frozen_program_is_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/opt/shop/shop")
    monkeypatch.setattr(sys, "_base_executable", "/opt/shop/shop", raising=False)
    assert spawn.interpreters({}) == []


def test_the_gateway_s_environment_has_little_of_the_host_s() -> None:
    environ = {"PATH": "/bin", "SECRET": "x", "MODCTL_STATE_DIR": "/s", "PYTHONPATH": "/p", "LD_PRELOAD": "/x"}
    passed = spawn.gateway_environment(environ, ["", "relative", "/deps", "/odd:path", Path("/x")])  # type: ignore[list-item]
    assert passed == {"PATH": "/bin", "MODCTL_STATE_DIR": "/s", "MODCTL_GATEWAY_PATH": "/deps"}


def test_the_gateway_holds_none_of_the_host_s_descriptors(state_dir: Path, short_dir: Path) -> None:
    code = """
        handle = os.open(os.path.dirname(os.environ["MODCTL_STATE_DIR"]) + "/held", os.O_CREAT | os.O_RDWR)
        os.set_inheritable(handle, True)
        from modctl import agent
        agent.start(service="shop")
        report("up")
        time.sleep(60)
    """
    with Host(code, state_dir) as host:
        host.report()
        (gateway,) = host.gateway_pids()
        held = [os.readlink(link) for link in Path(f"/proc/{gateway}/fd").iterdir() if link.exists()]
        assert str(short_dir / "held") not in held
        assert os.readlink(f"/proc/{gateway}/cwd") == "/"
        assert os.getsid(gateway) != os.getsid(host.pid)
