"""Small changes are made on the agent's own thread, and another one takes its place where they take long."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from modctl.agent import standby
from modctl.agent.runtime import Runtime
from modctl.agent.settings import resolve
from support.fake_engine import FakeEngine
from support.fake_gateway import Connection, FakeGateway
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL = {"op": "change", "operations": [{"inject": {"name": "x"}}]}


class SlowEngine(FakeEngine):
    """Waits inside a change until it is told to go on, having said so before, or not."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []
        self.go = threading.Event()

    def change(self, request: dict[str, Any]) -> bytes:
        self.threads.append(threading.get_native_id())
        if request.get("waits"):
            standby.before_waiting()
            standby.before_waiting()
            assert self.go.wait(20)
        return super().change(request)


@pytest.fixture
def gateway(state_dir: Path) -> Iterator[FakeGateway]:
    with FakeGateway(state_dir, "shop") as gateway:
        yield gateway


@pytest.fixture
def engine() -> Iterator[SlowEngine]:
    engine = SlowEngine()
    yield engine
    engine.go.set()


@pytest.fixture
def runtime(engine: SlowEngine, gateway: FakeGateway) -> Iterator[Runtime]:
    runtime = Runtime(resolve(service="shop"), engine)
    runtime.start()
    yield runtime
    engine.go.set()
    assert runtime.stop()
    until(lambda: not runtime._jobs.active)


@pytest.fixture
def agent(runtime: Runtime, gateway: FakeGateway) -> Connection:
    assert runtime.wait_served(10)
    return gateway.one()


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


PLANNED = {"op": "change", "operations": [{"reimport": {"name": "x", "modules": [{"name": "x"}]}}], "planned": {}}


@pytest.mark.parametrize("small", [SMALL, PLANNED], ids=["inject", "in place, planned, with its source"])
def test_a_small_change_is_made_on_the_agent_s_thread(
    agent: Connection, engine: SlowEngine, runtime: Runtime, small: dict[str, Any]
) -> None:
    before = threads()
    for _ in range(20):
        agent.ask(**small)
    assert set(engine.threads) == {runtime._native_id}
    assert threads() == before
    until(lambda: agent.updates and agent.updates[-1]["revision"] == 20)


@pytest.mark.parametrize(
    "request_body",
    [
        {"op": "change", "operations": [{"reimport": {"name": "x"}}]},
        {"op": "change", "operations": [{"inject": {"name": "x"}}, {"inject": {"name": "y"}}]},
        {"op": "prepare", "operations": [{"inject": {"name": "x"}}]},
        {"op": "change", "operations": [{"inject": {"name": "x", "filename": "y" * 140_000}}]},
        {"op": "change", "operations": [{"reimport": {"name": "x"}}], "planned": {}},
        {"op": "change", "operations": [{"reimport": {"name": "x", "modules": [{"name": "x"}]}}]},
        {"op": "change", "operations": [{"reimport": None}], "planned": {}},
        {"op": "change", "operations": ["inject"]},
        {"op": "change", "operations": None},
    ],
)
def test_whatever_is_not_small_is_made_beside_it(
    agent: Connection, engine: SlowEngine, runtime: Runtime, request_body: dict[str, Any]
) -> None:
    agent.frames(agent.begin(request_body))
    assert engine.threads
    assert runtime._native_id not in engine.threads


def test_a_change_that_waits_lets_another_thread_go_on(agent: Connection, engine: SlowEngine, runtime: Runtime) -> None:
    before, first = threads(), runtime._native_id
    slow = agent.begin({**SMALL, "waits": True})
    until(lambda: engine.threads)
    assert len(agent.ask(op="list_modules")) == 6
    agent.ask(op="describe")
    assert engine.threads == [first]
    assert runtime._native_id != first
    assert threads() == before + 1
    engine.go.set()
    assert json.loads(agent.frames(slow)[0].body)["outcome"] == "OUTCOME_APPLIED"
    until(lambda: threads() == before)
    agent.ask(**SMALL)
    assert engine.threads[-1] == runtime._native_id


def test_many_that_wait_are_all_answered(agent: Connection, engine: SlowEngine, runtime: Runtime) -> None:
    before = threads()
    ids = [agent.begin({**SMALL, "waits": True}) for _ in range(10)]
    until(lambda: len(engine.threads) == 10)
    assert len(set(engine.threads)) == 10
    engine.go.set()
    for request_id in ids:
        assert json.loads(agent.frames(request_id)[0].body)["outcome"] == "OUTCOME_APPLIED"
    until(lambda: threads() == before)


def test_who_steps_back_takes_signals_and_who_goes_on_takes_none(
    agent: Connection, engine: SlowEngine, runtime: Runtime
) -> None:
    agent.begin({**SMALL, "waits": True})
    until(lambda: engine.threads)
    agent.ask(op="describe")

    def blocked(native_id: int) -> int:
        with open(f"/proc/self/task/{native_id}/status") as lines:
            return next(int(line.split()[1], 16) for line in lines if line.startswith("SigBlk:"))

    until(lambda: not blocked(engine.threads[0]) & (1 << 14))
    assert blocked(runtime._native_id) & (1 << 14)


def test_stopping_while_a_change_waits_ends_the_loop_at_once(engine: SlowEngine, gateway: FakeGateway) -> None:
    runtime = Runtime(resolve(service="shop"), engine)
    runtime.start()
    assert runtime.wait_served(10)
    gateway.one().begin({**SMALL, "waits": True})
    until(lambda: engine.threads)
    assert runtime.stop()
    engine.go.set()
    until(lambda: engine.revision == 1)
    until(lambda: not runtime._jobs.active)


def test_a_fork_while_a_change_waits_finds_nobody_in_the_child(
    agent: Connection, engine: SlowEngine, runtime: Runtime
) -> None:
    agent.begin({**SMALL, "waits": True})
    until(lambda: engine.threads)
    began_s = time.monotonic()
    assert not runtime.pause(0.2), "the change goes on"
    assert time.monotonic() - began_s < 2
    runtime.resume()
    assert agent.ask(op="describe")
    engine.go.set()
    until(lambda: not runtime._jobs.active)
    assert runtime.pause(2)
    runtime.resume()
    assert agent.ask(op="describe")


def test_where_no_thread_is_to_be_had_the_change_is_made_and_the_loop_waits(
    agent: Connection, engine: SlowEngine, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("modctl.agent.runtime.start_deaf_thread", none_left)
    engine.go.set()
    assert json.loads(agent.ask(**SMALL, waits=True)[0].get("outcome", "") and "1") == 1
    assert engine.threads == [runtime._native_id]
    assert agent.ask(op="describe")


def test_a_connection_that_ends_meanwhile_costs_only_the_answer(
    agent: Connection, engine: SlowEngine, runtime: Runtime, gateway: FakeGateway
) -> None:
    agent.begin({**SMALL, "waits": True})
    until(lambda: engine.threads)
    agent.sock.shutdown(2)
    until(lambda: not agent.alive)
    again = gateway.one()
    engine.go.set()
    until(lambda: engine.revision == 1)
    until(lambda: again.ask(op="describe")[0]["process"]["revision"] == 1)
