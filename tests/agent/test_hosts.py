"""Hosts with habits of their own, and what the agent costs a host that has none."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.host import OURS, Host

if TYPE_CHECKING:
    from pathlib import Path

    from support.fake_gateway import FakeGateway

GEVENT = """
import threading
import gevent, gevent.pool
ticks = []
def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)
gevent.spawn(tick)
gevent.sleep(0.3)
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        deadline = time.monotonic() + 10
        while not handle.addresses and time.monotonic() < deadline:
            gevent.sleep(0.02)
        os._exit(42 if handle.addresses else 1)
    children.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
del ticks[:]
gevent.sleep(2)
longest = max(b - a for a, b in zip(ticks, ticks[1:]))
report([codes, longest, bool(handle.addresses)])
"""


@pytest.mark.parametrize("engine", ["fake", "real"])
@pytest.mark.parametrize("order", ["patched first", "agent first"])
@pytest.mark.skipif(not OURS, reason="the other interpreter has no gevent")
def test_a_gevent_host_is_served_and_its_hub_never_waits(state_dir: Path, order: str, engine: str) -> None:
    pytest.importorskip("gevent")
    patch = "from gevent import monkey; monkey.patch_all()\n"
    start = "from modctl import agent\nhandle = agent.start(service='shop', required=True)\n"
    code = (patch + start if order == "patched first" else start + patch) + GEVENT
    with Host(code, state_dir, engine=engine) as host:
        ((codes, longest_s, served),) = host.done(quiet=False)
        assert codes == [42, 42, 42]
        assert served
        assert longest_s < 0.5
        assert "Traceback" not in host.output


def test_a_host_that_waits_for_signals_by_itself_still_gets_them(state_dir: Path, gateway: FakeGateway) -> None:
    code = """
        import signal
        from modctl import agent
        handle = agent.start(service="shop")
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})   # after the agent's thread was made
        report("ready")
        report(signal.sigwait({signal.SIGTERM}) == signal.SIGTERM)
    """
    with Host(code, state_dir) as host:
        host.report()
        host.process.terminate()
        assert host.done() == ["ready", True]


def test_a_host_that_reaps_all_children_sees_at_most_one_and_that_ended_well(state_dir: Path) -> None:
    code = """
        import signal
        seen = []
        def reap(*_):
            while True:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    return
                if not pid:
                    return
                seen.append(os.waitstatus_to_exitcode(status))
        signal.signal(signal.SIGCHLD, reap)
        from modctl import agent
        handle = agent.start(service="shop", required=True)
        time.sleep(0.5)
        report(seen)
    """
    with Host(code, state_dir) as host:
        (seen,) = host.done()
        assert seen in ([], [0])


def probe(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-Ic", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_importing_the_agent_costs_four_modules_and_no_thread() -> None:
    code = """
import sys, os
before = set(sys.modules)
import modctl.agent
print(len(os.listdir("/proc/self/task")), *sorted(set(sys.modules) - before - {"__future__"}))
"""
    assert probe(code) == ["1", "modctl", "modctl.agent", "modctl.agent.errors"]


def test_importing_the_agent_takes_less_than_three_times_the_yardstick() -> None:
    def cost_s(imports: str) -> float:
        code = f"import time; began = time.perf_counter(); import {imports}; print(time.perf_counter() - began)"
        return min(float(probe(code)[0]) for _ in range(5))

    assert cost_s("modctl.agent") < 3 * cost_s("socket, threading, json")


def test_a_running_agent_is_one_thread_a_few_descriptors_and_the_standard_library(
    state_dir: Path, gateway: FakeGateway
) -> None:
    code = """
        def state():
            status = dict(line.split(":", 1) for line in open("/proc/self/status"))
            counts = [len(os.listdir("/proc/self/" + what)) for what in ("task", "fd")]
            return [int(status["VmRSS"].split()[0]), *counts]
        import socket, threading, subprocess, logging
        before, modules = state(), set(sys.modules)
        from modctl import agent
        handle = agent.start(service="shop")
        time.sleep(0.3)
        after = state()
        own = sorted({name.partition(".")[0] for name in set(sys.modules) - modules} - sys.stdlib_module_names)
        ticks = os.times()
        time.sleep(3)
        later = os.times()
        report([[b - a for a, b in zip(before, after)], own, later.user + later.system - ticks.user - ticks.system])
    """
    with Host(code, state_dir) as host:
        (((rss_kib, threads, descriptors), own, cpu_s),) = host.done()
        assert rss_kib < 3 * 1024
        assert threads == 1
        assert descriptors <= 3
        assert own == ["modctl"]
        # One tick of the clock at most; the difference of two of its floats may be a hair over it.
        assert round(cpu_s, 6) <= 0.01
