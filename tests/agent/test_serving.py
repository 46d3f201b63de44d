"""The agent's side of the protocol, against a fake gateway and with a fake engine, in this process."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from modctl.agent.primitives import main_thread_mask
from modctl.agent.runtime import Runtime
from modctl.agent.settings import resolve
from modctl.local.frames import CANCEL, ERR, LAST, encode
from support.fake_engine import BATCHES, FakeEngine
from support.fake_gateway import Connection, FakeGateway
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def gateway(state_dir: Path) -> Iterator[FakeGateway]:
    with FakeGateway(state_dir, "shop") as gateway:
        yield gateway


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def runtime(engine: FakeEngine, gateway: FakeGateway) -> Iterator[Runtime]:
    runtime = Runtime(resolve(service="shop", labels={"zone": "a"}, listen="127.0.0.1:0"), engine)
    runtime.start()
    yield runtime
    assert runtime.stop()


@pytest.fixture
def agent(runtime: Runtime, gateway: FakeGateway) -> Connection:
    assert runtime.wait_served(10)
    return gateway.one()


def test_hello_says_who_it_is_and_what_it_wants(agent: Connection, runtime: Runtime) -> None:
    hello = agent.hello
    assert hello["v"] == 1
    assert hello["process"]["id"] == runtime.identity.id
    assert hello["process"]["role"] == "PROCESS_ROLE_MAIN"
    assert hello["process"]["labels"] == {"zone": "a"}
    assert hello["listen"] == ["127.0.0.1:0"]
    assert (hello["tls"], hello["token_file"], hello["policy"], hello["nats"]) == (None, None, None, None)
    assert hello["insecure"] is False


def test_addresses_come_with_the_welcome_and_change_with_the_next(agent: Connection, runtime: Runtime) -> None:
    assert runtime.addresses[0].startswith("unix://")
    agent.send(0, LAST, json.dumps({"welcome": {"v": 1, "addresses": ["127.0.0.1:41234"]}}).encode())
    until(lambda: runtime.addresses == ("127.0.0.1:41234",))


def test_a_ping_is_answered(agent: Connection) -> None:
    agent.send(0, LAST, b'{"ping": 7, "unknown": true}')
    until(lambda: agent.pongs == [7])


def test_a_listing_comes_in_batches_and_only_the_last_is_flagged(agent: Connection) -> None:
    frames = agent.frames(agent.begin({"op": "list_modules"}))
    assert [frame.body for frame in frames] == BATCHES
    assert [frame.flags for frame in frames] == [0, 0, 0, 0, 0, LAST]


def test_many_listings_at_once_are_all_answered_whole(agent: Connection) -> None:
    ids = [agent.begin({"op": "list_modules"}) for _ in range(40)]
    for request_id in ids:
        assert [frame.body for frame in agent.frames(request_id)] == BATCHES


def test_a_gateway_that_reads_slowly_costs_no_memory_and_loses_nothing(state_dir: Path, engine: FakeEngine) -> None:
    made = []
    batches = engine.answer

    def counting(request: dict[str, object]) -> Iterator[bytes]:
        for body in batches(request):
            made.append(len(body))
            yield body

    engine.answer = counting  # type: ignore[method-assign]
    with FakeGateway(state_dir, "shop") as gateway:
        gateway.die()
        os.unlink(gateway.file)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(gateway.file)
        listener.listen(5)
        runtime = Runtime(resolve(service="shop"), engine)
        runtime.start()
        sock, _ = listener.accept()
        for number in range(1, 51):
            sock.sendall(encode(number, LAST, b'{"op": "list_modules"}'))
        time.sleep(0.5)
        assert sum(made) < 3 * 1024 * 1024, "50 listings of half a megabyte are not to wait in the service's memory"
        connection = Connection(sock)
        threading.Thread(target=connection.run, args=(None,), daemon=True).start()
        for number in range(1, 51):
            connection._frames.setdefault(number, [])
        for number in range(1, 51):
            assert [frame.body for frame in connection.frames(number)] == BATCHES
        assert runtime.stop()
        listener.close()
        sock.close()


def test_describe_gives_the_process_as_it_is_now(agent: Connection, engine: FakeEngine) -> None:
    engine.revision = 5
    (body,) = agent.ask(op="describe")
    assert body["process"]["revision"] == 5


def test_what_may_take_long_runs_beside_the_agent_s_thread(agent: Connection) -> None:
    slow = agent.begin({"op": "change", "sleep_s": 0.5})
    started_s = time.monotonic()
    assert len(agent.ask(op="list_modules")) == 6
    assert agent.ask(op="get_module", name="a")[0]["module"] == {"name": "a"}
    assert time.monotonic() - started_s < 0.4
    assert json.loads(agent.frames(slow)[0].body) == {"outcome": "OUTCOME_APPLIED", "revision": 1}


def test_a_change_is_followed_by_an_update(agent: Connection) -> None:
    agent.ask(op="change")
    until(lambda: agent.updates and agent.updates[-1]["revision"] == 1)
    agent.ask(op="freeze", reason="weekend \udc80")
    until(lambda: agent.updates[-1]["frozen"])
    assert agent.updates[-1]["frozen_reason"] == "weekend \\udc80"
    assert "pid" in agent.updates[0], "a gateway that did not ask for short ones got one"


def test_a_gateway_that_takes_short_updates_gets_no_more_than_what_has_changed(agent: Connection) -> None:
    agent.send(0, LAST, json.dumps({"welcome": {"v": 1, "addresses": [], "short_updates": True}}).encode())
    agent.ask(op="change")
    until(lambda: agent.updates)
    assert agent.updates[-1].keys() == {"revision", "entries"}
    agent.ask(op="freeze", reason="weekend")
    until(lambda: agent.updates[-1].get("frozen"))
    assert agent.updates[-1]["revision"] == 1
    assert "pid" in agent.updates[-1]


def test_faults_and_refusals_are_error_details(agent: Connection) -> None:
    assert agent.error(op="what") == {
        "reason": "UNKNOWN_OP",
        "domain": "modctl.v1",
        "metadata": {"op": "what"},
        "message": "'what' is unknown",
        "code": "UNIMPLEMENTED",
    }
    fault = agent.error(op="fail")
    assert (fault["code"], fault["reason"]) == ("INTERNAL", "INTERNAL")
    assert fault["message"] == "ValueError: a fault with a surrogate \\udc80"
    assert agent.error(op="watch", since_revision=99)["reason"] == "REVISION_GONE"
    assert agent.error(op="huge")["reason"] == "LIMIT"
    exited = agent.error(op="change", exit=True)
    assert exited["message"].startswith("SystemExit")
    assert agent.ask(op="describe"), "and it still answers"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b'{"op": 5}', b"{}", b"\xff", b"[" * 200_000, b'{"op": "change"', b"\0" * 100]
)
def test_a_body_that_is_no_request_is_answered_as_one(agent: Connection, body: bytes) -> None:
    agent._frames[77] = []
    agent.send(77, LAST, body)
    (frame,) = agent.frames(77)
    assert frame.flags == ERR | LAST
    assert json.loads(frame.body)["reason"] == "BAD_REQUEST"
    assert agent.ask(op="describe")


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 64, b"GET / HTTP/1.1\r\n\r\n", encode(0, LAST, b"{"), encode(0, LAST, b"[]")]
)
def test_what_is_no_frame_ends_the_connection_and_a_new_one_is_made(
    agent: Connection, gateway: FakeGateway, garbage: bytes
) -> None:
    agent.sock.sendall(garbage)
    until(lambda: not agent.alive)
    assert gateway.one().ask(op="describe")


def test_frames_cut_into_single_bytes_are_understood(agent: Connection) -> None:
    agent._frames[5] = []
    for byte in encode(5, LAST, b'{"op": "describe"}'):
        agent.sock.sendall(bytes([byte]))
    assert agent.frames(5)


def test_a_watch_tells_until_it_is_cancelled(agent: Connection, engine: FakeEngine) -> None:
    watch = agent.begin({"op": "watch", "patterns": ["*"]})
    frames = agent.frames(watch, 4)
    assert json.loads(frames[0].body) == {"events": []}
    assert json.loads(frames[3].body) == {"events": [{"name": "tick"}]}
    assert {frame.flags for frame in frames} == {0}
    agent.cancel(watch)
    until(lambda: engine.watches[0].closed)
    told = len(agent.frames(watch, 1))
    time.sleep(0.6)
    assert len(agent.frames(watch, 1)) <= told + 1


def test_watches_end_with_their_connection(agent: Connection, engine: FakeEngine, gateway: FakeGateway) -> None:
    agent.frames(agent.begin({"op": "watch", "patterns": []}), 1)
    gateway.die()
    until(lambda: engine.watches[0].closed)


def test_a_change_that_was_given_up_is_done_and_not_answered(agent: Connection, engine: FakeEngine) -> None:
    change = agent.begin({"op": "change", "sleep_s": 0.2})
    agent.cancel(change)
    until(lambda: engine.revision == 1)
    assert agent.ask(op="describe")
    assert agent._frames[change] == []


def test_a_cancel_of_what_is_unknown_is_nothing(agent: Connection) -> None:
    agent.send(12345, CANCEL | LAST, b"")
    agent.cancel(agent.begin({"op": "describe"}))
    assert agent.ask(op="describe")


def test_too_many_changes_at_once_are_refused_and_none_is_lost(agent: Connection, engine: FakeEngine) -> None:
    ids = [agent.begin({"op": "change", "sleep_s": 0.05}) for _ in range(40)]
    answers = [json.loads(agent.frames(request_id)[-1].body) for request_id in ids]
    busy = [one for one in answers if one.get("reason") == "BUSY"]
    assert {one["code"] for one in busy} == {"RESOURCE_EXHAUSTED"}
    assert len(busy) == 40 - engine.revision
    assert engine.revision >= 16


def test_what_was_injected_for_a_time_is_taken_back_when_it_is_due(
    agent: Connection, engine: FakeEngine, runtime: Runtime
) -> None:
    engine.due_s = time.monotonic() + 0.3
    runtime.wake()
    until(lambda: "expire" in engine.log)
    until(lambda: agent.updates and agent.updates[-1]["revision"] == 1)


def test_a_mute_gateway_is_no_gateway(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modctl.agent.runtime.WELCOME_S", 0.2)
    with FakeGateway(state_dir, "shop", mute=True) as gateway:
        runtime = Runtime(resolve(service="shop"), FakeEngine())
        runtime.start()
        assert not runtime.wait_served(0.1)
        until(lambda: len(gateway.connections) >= 3)
        assert "did not say welcome" in (runtime.problem or "")
        assert runtime.stop()


def test_a_gateway_that_refuses_is_asked_ever_more_slowly(state_dir: Path) -> None:
    refusal = {"refused": {"message": "you are not welcome"}}
    with FakeGateway(state_dir, "shop", welcome=refusal) as gateway:
        runtime = Runtime(resolve(service="shop"), FakeEngine())
        runtime.start()
        assert not runtime.wait_served(5)
        assert runtime.problem == "the gateway refused this process: you are not welcome"
        time.sleep(1.5)
        assert len(gateway.connections) < 8
        assert runtime.stop()


def test_the_agent_s_thread_takes_no_signal_and_a_job_s_thread_does(agent: Connection) -> None:
    masks = {}
    for thread in Path("/proc/self/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines() if ":\t" in line)
        masks[status["Name"]] = int(status["SigBlk"].strip(), 16)
    assert masks["modctl-agent"] & (1 << 14), "SIGTERM is blocked"
    assert 15 not in main_thread_mask()


def test_stopping_hangs_up_and_starting_again_dials_again(engine: FakeEngine, gateway: FakeGateway) -> None:
    for _ in range(5):
        runtime = Runtime(resolve(service="shop"), engine)
        runtime.start()
        assert runtime.wait_served(10)
        gateway.one()
        assert runtime.stop()
        assert runtime.stop(), "again is nothing"
        gateway.wait(lambda present: not present)
