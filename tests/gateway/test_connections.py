"""The agents' socket: what a connection may and may not do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from modctl.local import frames
from modctl.v1 import agent_service_pb2, module_service_pb2

from gateway.fake_agent import FakeAgent, in_batches, last, silent
from gateway.world import EVERYBODY, FAKE_AGENT, Stubs, row, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIST = module_service_pb2.ListModulesRequest(view="MODULE_VIEW_BASIC")
GET = module_service_pb2.GetModuleRequest(name="x")


def dialled(instance_dir: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    found.settimeout(10)
    found.connect(str(instance_dir / "agent.sock"))
    return found


def read_to_end(peer: socket.socket) -> bytes:
    received = b""
    try:
        while data := peer.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def pids(api: Stubs) -> list[int]:
    return [process.pid for process in api.agents.ListProcesses(agent_service_pb2.ListProcessesRequest()).processes]


def hello(agent: FakeAgent, **changed: Any) -> bytes:
    return frames.encode(0, 0, json.dumps({"hello": {**agent.hello, **changed}}).encode())


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 64,
        pytest.param(os.urandom(4096), id="noise"),
        frames.HEADER.pack(2**31, 0, 0),
        frames.encode(0, 0, b"not json"),
        frames.encode(0, 0, b"[]"),
        frames.encode(0, 0, b'{"hello": 1}'),
        frames.encode(0, 0, b'{"hello": {"v": 99}}'),
        frames.encode(0, 0, b'{"hello": {"v": 1}}'),
        frames.encode(0, 0, b'{"hello": {"v": 1, "process": {"id": "x", "pid": "many"}}}'),
        frames.encode(0, 0, b'{"hello": {"v": 1, "process": {"id": "", "pid": 0}}}'),
        frames.encode(0, 0, b'{"ping": 1}'),
        frames.encode(7, 0, b'{"hello": {}}'),
        frames.encode(0, 0, b"[" * 100_000),
    ],
    ids=lambda sent: repr(sent[:24]),
)
def test_garbage_costs_that_connection_and_nothing_else(
    instance_dir: Path, agent: Callable[..., FakeAgent], api: Stubs, sent: bytes
) -> None:
    agent(pid=11)
    with dialled(instance_dir) as peer:
        peer.sendall(sent)
        received = read_to_end(peer)  # it is closed: this ends
    assert b"welcome" not in received
    assert pids(api) == [11]


def test_a_process_that_says_garbage_later_is_gone(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    agent(pid=11)
    wild = agent(pid=12)
    wild.socket.sendall(frames.HEADER.pack(2**32 - 1, 5, 255))
    until(lambda: pids(api) == [11])


def test_garbage_in_an_answer_is_that_process_s_error(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    def garbage(agent: FakeAgent, request: dict[str, Any]) -> Any:
        yield frames.LAST, b'{"modules": [{"name": 5}]'

    agent(pid=11, handlers={"list_modules": garbage})
    agent(pid=12, handlers={"list_modules": lambda a, r: in_batches([row("y", kind="BUILTIN")])})
    answers = {answer.process.pid: answer for answer in api.modules.ListModules(LIST, metadata=EVERYBODY)}
    assert answers[11].error.reason == "BAD_ANSWER"
    assert answers[12].modules[0].name == "y"


@pytest.mark.parametrize("body", [{"modules": 5}, {"modules": [5]}, {}, {"modules": [{"name": {}}]}, b"\xff\xfe"])
def test_an_answer_of_the_wrong_shape_is_an_error(agent: Callable[..., FakeAgent], api: Stubs, body: Any) -> None:
    agent(handlers={"list_modules": lambda a, r: last(body)})
    [answer] = api.modules.ListModules(LIST)
    assert answer.error.reason == "BAD_ANSWER"


def test_what_a_newer_agent_says_more_is_left_out(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    told = {"name": "x", "kind": "MODULE_KIND_OF_THE_FUTURE", "colour": "green", "order": 3}
    agent(process={"mood": "fine"}, handlers={"list_modules": lambda a, r: in_batches([told])})
    [answer] = api.modules.ListModules(LIST)
    assert [(module.name, module.order, module.kind) for module in answer.modules] == [("x", 3, 0)]


def test_lone_surrogates_do_not_break_a_listing(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    agent(handlers={"list_modules": lambda a, r: in_batches([row("caf\udce9", kind="BUILTIN")])})
    [answer] = api.modules.ListModules(LIST)
    assert answer.modules[0].name == "caf\\udce9"


def test_who_does_not_say_hello_in_time_is_put_out(instance_dir: Path, gateway: Any) -> None:
    with dialled(instance_dir) as peer:
        started = time.monotonic()
        peer.sendall(frames.HEADER.pack(100, 0, 0) + b"{")  # begins, and never ends
        assert read_to_end(peer) == b""
        assert 1.5 < time.monotonic() - started < 5


def test_a_hello_that_comes_in_drops_is_a_hello(instance_dir: Path, gateway: Any, api: Stubs) -> None:
    late = FakeAgent(instance_dir, pid=11, dial=False)
    with dialled(instance_dir) as peer:
        for byte in hello(late):
            peer.sendall(bytes([byte]))
        until(lambda: pids(api) == [11])


def test_a_second_hello_ends_the_connection(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    one = agent(pid=11)
    one.socket.sendall(hello(one))
    until(lambda: not pids(api))


def test_pings_are_answered(agent: Callable[..., FakeAgent]) -> None:
    one = agent()
    one.say(0, 0, {"ping": 42})
    until(lambda: {"pong": 42} in one.own)


def test_a_process_that_comes_again_takes_its_own_place(
    instance_dir: Path, agent: Callable[..., FakeAgent], api: Stubs
) -> None:
    lists = {"list_modules": lambda agent, _: in_batches([row("new", kind="BUILTIN")])}
    before = agent(pid=11)
    agent(pid=11, handlers=lists)
    assert before.closed.wait(5), "the old connection is closed"
    assert pids(api) == [11]
    [answer] = api.modules.ListModules(LIST)
    assert answer.modules[0].name == "new"


def test_another_process_of_the_same_name_is_refused(instance_dir: Path, agent: Callable[..., FakeAgent]) -> None:
    agent(pid=11)  # of this process
    other = subprocess.run(
        [sys.executable, "-c", IMPOSTOR, str(instance_dir)],
        capture_output=True, text=True, timeout=30, check=True,
        env={**os.environ, "PYTHONPATH": str(FAKE_AGENT.parents[1])},
    )  # fmt: skip
    assert "is connected already" in other.stdout


IMPOSTOR = """
import sys
from pathlib import Path
from gateway.fake_agent import FakeAgent
impostor = FakeAgent(Path(sys.argv[1]), pid=11)
impostor.closed.wait(10)
print(impostor.own)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_before_a_byte_is_sent(instance_dir: Path, agent: Callable[..., FakeAgent]) -> None:
    for place in (instance_dir.parent.parent, instance_dir.parent, instance_dir):
        place.chmod(0o755)  # however the modes may be
    (instance_dir / "agent.sock").chmod(0o666)
    agent(pid=11)
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(instance_dir / "agent.sock")],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "nothing"


STRANGER = """
import os, socket, sys
os.setgroups([]), os.setgid(65534), os.setuid(65534)
peer = socket.socket(socket.AF_UNIX)
peer.settimeout(10)
peer.connect(sys.argv[1])
try:
    said = peer.recv(100)
except ConnectionResetError:
    said = b""
print(said or "nothing")
"""


def test_a_process_that_leaves_during_a_call_is_an_answer(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    leaving = agent(pid=11, handlers={"get_module": silent})
    threading.Timer(0.2, leaving.close).start()
    [answer] = api.modules.GetModule(GET, timeout=10)
    assert (answer.error.reason, answer.error.code) == ("PROCESS_LEFT", "UNAVAILABLE")
    assert answer.process.pid == 11


def test_a_deadline_is_an_answer_that_comes_before_it(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    stuck = agent(pid=11, handlers={"get_module": silent})
    agent(pid=12, handlers={"get_module": lambda a, r: last({"module": {"name": "x"}})})
    started = time.monotonic()
    answers = {answer.process.pid: answer for answer in api.modules.GetModule(GET, metadata=EVERYBODY, timeout=1)}
    assert time.monotonic() - started < 1
    assert answers[12].module.name == "x"
    assert (answers[11].error.reason, answers[11].error.code) == ("DEADLINE", "DEADLINE_EXCEEDED")
    until(lambda: stuck.cancelled)


def test_a_call_that_is_cancelled_is_given_up_at_the_process(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    stuck = agent(handlers={"get_module": silent})
    call = api.modules.GetModule(GET)
    until(lambda: stuck.ops() == ["get_module"])
    call.cancel()
    until(lambda: stuck.cancelled)


def test_late_answers_of_a_cancelled_call_are_nobody_s(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    go_on = threading.Event()

    def late(agent: FakeAgent, request: dict[str, Any]) -> Any:
        go_on.wait(10)
        agent.say(1, frames.LAST, {"module": {"name": "late"}})
        yield from last({"module": {"name": "late"}})

    one = agent(handlers={"get_module": late, "list_modules": lambda a, r: in_batches([])})
    call = api.modules.GetModule(GET, timeout=0.3)
    until(lambda: one.seen)
    call.cancel()
    with pytest.raises(grpc.RpcError):
        list(call)
    go_on.set()
    assert [answer.process.pid for answer in api.modules.ListModules(LIST)] == [one.pid]


def test_a_thousand_calls_opened_and_cancelled_leave_nothing(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    one = agent(handlers={"get_module": silent, "list_modules": lambda a, r: in_batches([])})
    for _ in range(1000):
        api.modules.GetModule(GET).cancel()

    def served() -> bool:
        try:
            return [answer.process.pid for answer in api.modules.ListModules(LIST)] == [one.pid]
        except grpc.RpcError as error:  # grpc itself refuses streams in such a storm, for a moment
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False

    until(served)
    until(lambda: one.ops().count("get_module") == len(one.cancelled), 20)


def test_a_thousand_idle_connections_are_put_out_and_the_rest_goes_on(
    instance_dir: Path, agent: Callable[..., FakeAgent], api: Stubs
) -> None:
    agent(pid=11)
    peers = [dialled(instance_dir) for _ in range(1000)]
    assert pids(api) == [11]
    for peer in peers:
        assert read_to_end(peer) == b""
        peer.close()
    assert pids(api) == [11]


def test_a_large_request_arrives_whole_at_each_of_many(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    from gateway.world import injection, package

    many = [agent(pid=20 + number) for number in range(5)]
    blob = os.urandom(3_000_000)
    request = injection(package=package({"__init__.py": "X = 1\n", "data.bin": blob}))
    answers = list(api.modules.InjectModule(request, metadata=EVERYBODY, timeout=60))
    assert {answer.result.outcome for answer in answers} == {3 - 1}, answers  # OUTCOME_APPLIED
    import base64

    for one in many:
        [operation] = one.seen[-1]["operations"]
        assert base64.b64decode(operation["inject"]["data"]["data.bin"]) == blob


def test_a_process_that_does_not_read_fails_alone(
    instance_dir: Path, agent: Callable[..., FakeAgent], api: Stubs
) -> None:
    from gateway.world import injection, package

    deaf = FakeAgent(instance_dir, pid=31, dial=False)
    peer = dialled(instance_dir)
    peer.sendall(hello(deaf))  # and never reads
    agent(pid=32)
    request = injection(package=package({"__init__.py": "", "data.bin": os.urandom(9_000_000)}))
    reasons = set()
    for _ in range(8):
        answers = {one.process.pid: one for one in api.modules.InjectModule(request, metadata=EVERYBODY, timeout=2)}
        assert answers[32].result.outcome, answers[32].error
        reasons.add(answers[31].error.reason)
    peer.close()
    assert reasons == {"DEADLINE", "PROCESS_BUSY"}


def test_an_endless_answer_that_nobody_reads_is_given_up(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    rows = [row(f"m{number}" + "x" * 400, kind="BUILTIN") for number in range(500)]
    body = json.dumps({"modules": rows}).encode()

    def endless(agent: FakeAgent, request: dict[str, Any]) -> Any:
        while True:
            yield 0, body

    flood = agent(pid=11, handlers={"list_modules": endless})
    agent(pid=12)
    call = api.modules.ListModules(LIST, metadata=(("modctl-process", "11"),))
    next(call)
    until(lambda: flood.cancelled, 60)
    assert pids(api) == [11, 12]
    call.cancel()
