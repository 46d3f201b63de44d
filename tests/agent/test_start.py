"""start() and its handle, each case in a process of its own, with the real gateway where it says so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.host import OURS, PYTHON, Host
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path


def test_start_waits_until_the_gateway_serves_and_stop_ends_it(state_dir: Path) -> None:
    code = """
        from modctl import agent
        handle = agent.start(service="shop")
        report([handle.addresses, handle.process, handle.revision, repr(handle)])
        handle.stop()
        handle.stop()
        report([handle.addresses, handle.revision, len(os.listdir("/proc/self/task"))])
    """
    with Host(code, state_dir) as host:
        (addresses, process, revision, text), after = host.done()
        assert addresses == [f"unix://{next(state_dir.glob('shop-*'))}/gateway.sock"]
        assert process.startswith(f"shop/{os.uname().nodename}/{host.pid}@")
        assert revision == 0
        assert process in text
        assert after == [[], 0, 1]
        assert host.gateway_pids(), "it stays for its grace"


def test_a_context_manager_stops_at_the_end(state_dir: Path) -> None:
    code = """
        from modctl import agent
        with agent.start(service="shop") as handle:
            report(handle.running)
        report(handle.running)
    """
    with Host(code, state_dir) as host:
        assert host.done() == [True, False]


def test_starting_twice_is_the_same_handle_or_a_clear_error(state_dir: Path) -> None:
    code = """
        from modctl import agent
        first = agent.start(service="shop", labels={"a": "b"})
        report(agent.start(service="shop", labels={"a": "b"}) is first)
        report(agent.start(service="shop", labels={"a": "b"}, wait=False) is first)
        try:
            agent.start(service="mall")
        except agent.errors.AlreadyStartedError as error:
            report([error.differing, isinstance(error, RuntimeError), str(error)])
        first.stop()
        second = agent.start(service="mall")
        report([second is first, second.process.split("/")[0]])
        report(fake_engine.FakeEngine is type(second._runtime.engine))
    """
    with Host(code, state_dir) as host:
        same, still_same, (differing, is_runtime_error, message), (again, service), fake = host.done()
        assert same
        assert still_same
        assert differing == ["service", "labels"]
        assert is_runtime_error
        assert "other values of service, labels" in message
        assert not again
        assert service == "mall"
        assert fake


def test_many_threads_that_start_at_once_get_one_agent(state_dir: Path) -> None:
    code = """
        import threading
        from modctl import agent
        handles = []
        threads = [threading.Thread(target=lambda: handles.append(agent.start(service="shop"))) for _ in range(20)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        time.sleep(0.2)  # joined threads leave the kernel's list a little later
        report([len(handles), len(set(map(id, handles))), len(os.listdir("/proc/self/task"))])
    """
    with Host(code, state_dir) as host:
        assert host.done() == [[20, 1, 2]]


def test_the_engine_is_started_and_stopped_with_the_agent(state_dir: Path) -> None:
    code = """
        from modctl import agent
        handle = agent.start(service="shop")
        engine = handle._runtime.engine
        handle.stop()
        report(engine.log)
    """
    with Host(code, state_dir) as host:
        assert host.done() == [["start", "stop"]]


@pytest.mark.parametrize("way", ["argument", "variable"])
def test_a_bad_configuration_raises_before_anything_is_done(state_dir: Path, way: str) -> None:
    argument = 'listen="0.0.0.0:50051"' if way == "argument" else ""
    environment = {"MODCTL_LISTEN": "0.0.0.0:50051"} if way == "variable" else {}
    code = f"""
        from modctl import agent
        try:
            agent.start({argument})
        except agent.errors.ConfigurationError as error:
            report(str(error))
        report([len(os.listdir("/proc/self/task")), os.listdir({str(state_dir)!r})])
    """
    with Host(code, state_dir, environment=environment) as host:
        message, state = host.done()
        assert "needs TLS" in message
        assert state == [1, []]


def test_the_kill_switch_starts_nothing_and_logs_one_line(state_dir: Path) -> None:
    code = """
        import logging
        records = []
        handler = logging.Handler()
        handler.emit = lambda record: records.append([record.name, record.getMessage()])
        logging.getLogger().addHandler(handler)
        logging.getLogger().setLevel(logging.DEBUG)
        from modctl import agent
        with agent.start(service="shop", required=True) as handle:
            report([handle.addresses, handle.running, handle.revision, handle.process.split("/")[0]])
        report([records, os.listdir(os.environ["MODCTL_STATE_DIR"]), len(os.listdir("/proc/self/task"))])
    """
    with Host(code, state_dir, environment={"MODCTL_DISABLE": "1"}) as host:
        first, (records, files, threads) = host.done()
        assert first == [[], False, 0, "shop"]
        assert len(records) == 1
        assert records[0][0] == "modctl.agent"
        assert "MODCTL_DISABLE" in records[0][1]
        assert (files, threads) == ([], 1)


NO_GATEWAY = """
    import logging
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append([record.levelname, record.getMessage()])
    logging.getLogger("modctl.agent").addHandler(handler)
    from modctl import agent
    began = time.monotonic()
    try:
        handle = agent.start(service="shop", required={required})
        report([handle.addresses, time.monotonic() - began])
        time.sleep(1.0)
    except agent.errors.GatewayUnavailableError as error:
        report(str(error))
    report(records)
"""


def test_where_no_gateway_can_be_had_the_service_starts_anyway_and_logs_once(state_dir: Path) -> None:
    environment = {"MODCTL_PYTHON": "/nowhere/python"}
    with Host(NO_GATEWAY.format(required=False), state_dir, environment=environment) as host:
        (addresses, waited_s), records = host.done()
        assert addresses == []
        assert waited_s < 1.0, "what is certain is not waited for"
        assert len(records) == 1
        assert records[0][0] == "WARNING"
        assert "set MODCTL_PYTHON" in records[0][1]


def test_required_raises_where_no_gateway_can_be_had(state_dir: Path) -> None:
    environment = {"MODCTL_PYTHON": "/nowhere/python"}
    with Host(NO_GATEWAY.format(required=True), state_dir, environment=environment) as host:
        message, _ = host.done()
        assert "set MODCTL_PYTHON" in message


def test_a_gateway_that_dies_at_once_is_not_started_at_full_speed(state_dir: Path, short_dir: Path) -> None:
    counter = short_dir / "starts"
    fake = short_dir / "python3"
    fake.write_text(f"#!/bin/sh\necho x >> {counter}\nexit 0\n")
    fake.chmod(0o700)
    code = """
        from modctl import agent
        handle = agent.start(service="shop")
        report(handle.addresses)
        time.sleep(6)
        report(os.times().user + os.times().system)
    """
    with Host(code, state_dir, environment={"MODCTL_PYTHON": str(fake)}) as host:
        _, cpu_s = host.done()
        assert 1 <= len(counter.read_text().split()) <= 4
        assert cpu_s < 1.5


def test_without_waiting_start_returns_at_once(state_dir: Path) -> None:
    code = """
        from modctl import agent
        import modctl.agent.lifecycle, modctl.agent.runtime
        began = time.perf_counter()
        handle = agent.start(service="shop", wait=False)
        report(time.perf_counter() - began)
        while not handle.addresses:
            time.sleep(0.01)
    """
    with Host(code, state_dir) as host:
        (took_s,) = host.done()
        assert took_s < 0.05


@pytest.mark.skipif(not OURS, reason="the other interpreter has no grpc")
def test_the_gateway_in_a_thread_needs_no_other_process(state_dir: Path) -> None:
    code = """
        from modctl import agent
        handle = agent.start(service="shop", gateway="thread")
        report([len(handle.addresses), "grpc" in sys.modules])
        handle.stop()
    """
    with Host(code, state_dir) as host:
        assert host.done() == [[1, True]]
        assert host.gateway_pids() == []


def test_nothing_is_ever_printed_whatever_happens(state_dir: Path) -> None:
    code = """
        from modctl import agent
        handle = agent.start(service="shop")
        handle._runtime.engine.next_expiry_s = lambda: 1 / 0  # a fault of ours in the agent's thread
        handle._runtime.wake()
        time.sleep(0.5)
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        os.waitpid(pid, 0)
        report("done")
    """
    with Host(code, state_dir) as host:
        assert host.done(quiet=True) == ["done"]


def test_a_process_that_ends_leaves_no_gateway(state_dir: Path) -> None:
    code = """
        from modctl import agent
        agent.start(service="shop")
        time.sleep(0.2)
    """
    with Host(code, state_dir) as host:
        host.done()
        until(lambda: not host.gateway_pids(), within_s=8)
        assert not list(state_dir.glob("*/*.sock"))


def test_it_works_on_this_python_with_the_real_engine(state_dir: Path) -> None:
    code = """
        from modctl import agent
        handle = agent.start(service="shop", required=True)
        report([handle.revision, handle.addresses != ()])
    """
    with Host(code, state_dir, engine="real", python=(PYTHON,)) as host:
        assert host.done() == [[0, True]]
