"""Answers of several processes in one message, for callers that take them so."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from modctl.gateway import answering
from modctl.gateway.answering import Answering
from modctl.v1 import module_service_pb2

from gateway.fake_agent import FakeAgent, applied, error, in_batches, last
from gateway.world import EVERYBODY, Stubs, injection, row

if TYPE_CHECKING:
    from collections.abc import Callable

TOGETHER = ((answering.KEY, "1"),)


class Caller:
    """Reads what is sent, as slowly as it likes."""

    def __init__(self, wait_s: float = 0.0) -> None:
        self.messages: list[module_service_pb2.UndoResponse] = []
        self.wait_s = wait_s
        self.busy = False

    async def read(self, data: bytes) -> None:
        assert not self.busy, "one message at a time"
        self.busy = True
        await asyncio.sleep(self.wait_s)
        self.messages.append(module_service_pb2.UndoResponse.FromString(data))
        self.busy = False

    def pids(self) -> list[list[int]]:
        """The processes in each message."""
        return [[each.process.pid for each in (message, *message.more)] for message in self.messages]


def answer(pid: int, text: str = "") -> bytes:
    made = module_service_pb2.UndoResponse(process={"pid": pid}, result={"message": text})  # type: ignore[arg-type]
    return made.SerializeToString()


def run(work: Any) -> Any:
    return asyncio.run(work)


def test_what_comes_at_once_goes_as_one_and_the_last_waits_for_nobody() -> None:
    async def many() -> tuple[Caller, float]:
        caller = Caller()
        sender = Answering(caller.read, 15)
        sender.expect(5)
        began_s = time.monotonic()
        await asyncio.gather(*(sender.write(answer(pid)) for pid in range(5)))
        return caller, time.monotonic() - began_s

    caller, took_s = run(many())
    assert caller.pids() == [[0, 1, 2, 3, 4]]
    assert took_s < answering.GATHER_S


def test_who_is_alone_is_not_kept_and_who_comes_late_comes_apart() -> None:
    async def two() -> Caller:
        caller = Caller()
        sender = Answering(caller.read, 15)
        sender.expect(3)
        await sender.write(answer(1))
        assert caller.pids() == [[1]], "sent although two are still to come"
        await asyncio.gather(sender.write(answer(2)), sender.write(answer(3)))
        return caller

    assert run(two()).pids() == [[1], [2, 3]]


def test_large_answers_do_not_pile_up() -> None:
    async def large() -> Caller:
        caller = Caller()
        sender = Answering(caller.read, 15)
        sender.expect(40)
        await asyncio.gather(*(sender.write(answer(pid, "x" * 60_000)) for pid in range(39)))
        return caller

    caller = run(large())
    assert sorted(pid for each in caller.pids() for pid in each) == list(range(39))
    assert max(message.ByteSize() for message in caller.messages) < answering.GATHER_BYTES + 70_000
    assert len(caller.messages) < 12


def test_nothing_is_lost_beside_a_slow_reader() -> None:
    async def slow() -> Caller:
        caller = Caller(wait_s=0.004)
        sender = Answering(caller.read, 15)
        sender.expect(60)

        async def one(pid: int) -> None:
            await asyncio.sleep(pid * 0.0007)
            await sender.write(answer(pid))

        await asyncio.gather(*map(one, range(60)))
        return caller

    caller = run(slow())
    assert sorted(pid for each in caller.pids() for pid in each) == list(range(60))
    assert len(caller.messages) < 30


def test_a_caller_that_is_gone_is_told_to_who_sends() -> None:
    async def gone(_: bytes) -> None:
        raise ConnectionError("gone")

    async def all_of_them() -> list[Any]:
        sender = Answering(gone, 15)
        sender.expect(3)
        first = await asyncio.gather(*(sender.write(answer(pid)) for pid in range(3)), return_exceptions=True)
        return [type(each) for each in first]

    assert run(all_of_them()).count(ConnectionError) == 1


def test_who_is_given_up_while_it_waits_lets_go_of_what_waited() -> None:
    async def cancelled() -> Caller:
        caller = Caller()
        sender = Answering(caller.read, 15)
        sender.expect(3)
        task = asyncio.ensure_future(sender.write(answer(1)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.gather(sender.write(answer(2)), sender.write(answer(3)))
        return caller

    assert run(cancelled()).pids() == [[2, 3]]


def test_processes_that_change_at_once_answer_together(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    barrier = threading.Barrier(6)

    def change(agent: FakeAgent, request: dict[str, Any]) -> Any:
        barrier.wait(10)  # they answer in the same moment
        return applied(agent, request)

    for pid in range(11, 16):
        agent(pid=pid, handlers={"change": change})
    agent(pid=16, handlers={"change": lambda *_: (barrier.wait(10), error("UNAVAILABLE", "BUSY"))[1]})
    metadata = (("modctl-process", "11,12,13,77,14,15,16"),)
    messages = list(api.modules.InjectModule(injection(source=b"x = 1"), metadata=(*metadata, *TOGETHER)))
    answers = {each.process.pid: each for message in messages for each in (message, *message.more)}
    assert len(answers) == 7
    assert {pid for pid, each in answers.items() if each.result.outcome} == set(range(11, 16))
    assert answers[16].error.reason == "BUSY"
    assert answers[77].error.reason == "PROCESS_NOT_FOUND"
    assert len(messages) < 7


def test_who_does_not_ask_for_it_gets_each_alone(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    for pid in range(11, 16):
        agent(pid=pid, handlers={"change": applied})
    messages = list(api.modules.InjectModule(injection(source=b"x = 1"), metadata=EVERYBODY))
    assert len(messages) == 5
    assert not any(message.more for message in messages)


def test_listings_always_come_alone(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    for pid in (11, 12):
        agent(pid=pid, handlers={"list_modules": lambda agent, _: in_batches([row(f"of_{agent.pid}", kind="BUILTIN")])})
    request = module_service_pb2.ListModulesRequest(view="MODULE_VIEW_BASIC")
    messages = list(api.modules.ListModules(request, metadata=(*EVERYBODY, *TOGETHER)))
    assert {message.process.pid: [module.name for module in message.modules] for message in messages} == {
        11: ["of_11"],
        12: ["of_12"],
    }


def test_a_silent_process_holds_nobody_back(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    release = threading.Event()

    def silent(agent: FakeAgent, request: dict[str, Any]) -> Any:
        release.wait(20)
        return last({"revisions": []})

    for pid in (11, 12):
        agent(pid=pid, handlers={"list_revisions": lambda *_: last({"revisions": []})})
    agent(pid=13, handlers={"list_revisions": silent})
    stream = api.modules.ListRevisions(
        module_service_pb2.ListRevisionsRequest(), metadata=(*EVERYBODY, *TOGETHER), timeout=10
    )
    came: set[int] = set()
    while came != {11, 12}:
        message = next(stream)
        came |= {each.process.pid for each in (message, *message.more)}
    release.set()
    assert [each.process.pid for each in stream] == [13]


def test_a_caller_that_leaves_in_between_harms_nobody(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    for pid in range(11, 31):
        agent(pid=pid, handlers={"list_revisions": lambda *_: last({"revisions": []})})
    request = module_service_pb2.ListRevisionsRequest()
    for _ in range(20):
        stream = api.modules.ListRevisions(request, metadata=(*EVERYBODY, *TOGETHER))
        stream.cancel()
        with pytest.raises(grpc.RpcError):
            list(stream)
    messages = list(api.modules.ListRevisions(request, metadata=(*EVERYBODY, *TOGETHER)))
    assert len([each for message in messages for each in (message, *message.more)]) == 20
