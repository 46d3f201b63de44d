"""Which processes a call is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from modctl.gateway.errors import CallFailure
from modctl.gateway.routing import choose
from modctl.v1 import agent_service_pb2, module_service_pb2, process_pb2

from gateway.fake_agent import FakeAgent, in_batches, last
from gateway.world import EVERYBODY, Stubs, detail_of, row, until

if TYPE_CHECKING:
    from collections.abc import Callable

LIST = module_service_pb2.ListModulesRequest(view="MODULE_VIEW_BASIC")


@dataclass
class Here:
    """As much of a process as choosing needs."""

    id: str
    pid: int
    facts: process_pb2.Process = field(default_factory=process_pb2.Process)


MASTER = Here("shop/h/10@1", 10, process_pb2.Process(role="PROCESS_ROLE_MASTER"))
FIRST = Here("shop/h/11@1", 11, process_pb2.Process(role="PROCESS_ROLE_WORKER"))
SECOND = Here("shop/h/12@1", 12, process_pb2.Process(role="PROCESS_ROLE_WORKER"))
STRANGE = Here("sh,öp/h/13@1", 13)
ALL = [MASTER, FIRST, SECOND, STRANGE]


@pytest.mark.parametrize(
    ("asked", "here", "chosen", "missing"),
    [
        ([], [FIRST], [FIRST], []),
        (["", " , "], [FIRST], [FIRST], []),
        (["all"], ALL, ALL, []),
        (["11"], ALL, [FIRST], []),
        (["shop/h/12@1"], ALL, [SECOND], []),
        (["12, 11"], ALL, [SECOND, FIRST], []),
        (["12", "11"], ALL, [SECOND, FIRST], []),
        (["11,11,shop/h/11@1"], ALL, [FIRST], []),
        (["11,all"], ALL, ALL, []),
        (["11,99"], ALL, [FIRST], ["99"]),
        (["sh%2C%C3%B6p/h/13@1"], ALL, [STRANGE], []),
        (["any"], [FIRST], [FIRST], []),
        (["any"], [MASTER, FIRST], [FIRST], []),
        (["any"], [MASTER], [MASTER], []),
    ],
)  # fmt: skip
def test_a_call_is_about_whom_it_names(asked: list[str], here: Any, chosen: Any, missing: list[str]) -> None:
    found = choose(asked, here)
    assert found.processes == chosen
    assert found.missing == missing


@pytest.mark.parametrize(
    ("asked", "here", "code", "reason"),
    [
        ([], [], "UNAVAILABLE", "NO_PROCESS"),
        (["all"], [], "UNAVAILABLE", "NO_PROCESS"),
        (["any"], [], "UNAVAILABLE", "NO_PROCESS"),
        (["11"], [], "UNAVAILABLE", "NO_PROCESS"),
        ([], ALL, "FAILED_PRECONDITION", "PROCESS_AMBIGUOUS"),
        (["99"], ALL, "NOT_FOUND", "PROCESS_NOT_FOUND"),
        (["99999999999999999999"], ALL, "NOT_FOUND", "PROCESS_NOT_FOUND"),
        (["¹¹"], ALL, "NOT_FOUND", "PROCESS_NOT_FOUND"),
        (["shop/h/11"], ALL, "NOT_FOUND", "PROCESS_NOT_FOUND"),
        (["-11"], ALL, "NOT_FOUND", "PROCESS_NOT_FOUND"),
        (["1," * 20_000], ALL, "INVALID_ARGUMENT", "BAD_REQUEST"),
    ],
)
def test_a_call_that_names_nobody_says_why(asked: list[str], here: Any, code: str, reason: str) -> None:
    with pytest.raises(CallFailure) as failed:
        choose(asked, here)
    assert (failed.value.code, failed.value.reason) == (code, reason)


def test_an_ambiguous_call_is_told_the_processes(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    agent(pid=11), agent(pid=12, process={"role": "PROCESS_ROLE_WORKER"})
    with pytest.raises(grpc.RpcError) as failed:
        list(api.modules.ListModules(LIST))
    assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    detail = detail_of(failed.value)
    assert detail.reason == "PROCESS_AMBIGUOUS"
    assert dict(detail.metadata) == {"shop/host/11@1763800000": "main", "shop/host/12@1763800000": "worker"}
    assert "2 processes" in failed.value.details()


def test_hundreds_of_processes_do_not_burst_the_trailer(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    for pid in range(150):
        agent(pid=5000 + pid)
    with pytest.raises(grpc.RpcError) as failed:
        list(api.modules.ListModules(LIST))
    detail = detail_of(failed.value)
    assert detail.reason == "PROCESS_AMBIGUOUS"
    assert int(detail.metadata["more"]) + len(detail.metadata) - 1 == 150
    assert detail.ByteSize() < 4096 + 64


def test_every_process_answers_and_a_missing_one_is_an_answer_too(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    lists = {"list_modules": lambda agent, _: in_batches([row(f"of_{agent.pid}", kind="BUILTIN")])}
    agent(pid=11, handlers=lists), agent(pid=12, handlers=lists)
    answers = list(api.modules.ListModules(LIST, metadata=(("modctl-process", "12,77,11"),)))
    named = {answer.process.pid: answer for answer in answers}
    assert set(named) == {11, 12, 77}
    assert [module.name for module in named[12].modules] == ["of_12"]
    assert named[12].process.id == "shop/host/12@1763800000"
    assert named[12].process.service == "shop"
    assert named[77].error.reason == "PROCESS_NOT_FOUND"
    assert named[77].error.code == "NOT_FOUND"


def test_answers_come_as_they_are_ready(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    agent(pid=11, handlers={"list_modules": lambda agent, _: iter(())})  # never
    agent(pid=12, handlers={"list_modules": lambda agent, _: in_batches([])})
    call = api.modules.ListModules(LIST, metadata=EVERYBODY)
    assert next(call).process.pid == 12
    call.cancel()


def test_a_failing_process_is_an_answer_and_the_others_go_on(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    def broken(agent: FakeAgent, request: dict[str, Any]) -> Any:
        yield 4 | 2, {"code": "NOT_FOUND", "reason": "MODULE_NOT_FOUND", "message": "no x", "metadata": {"name": "x"}}

    agent(pid=11, handlers={"get_module": broken})
    agent(pid=12, handlers={"get_module": lambda a, r: last({"module": {"name": "x", "kind": "MODULE_KIND_BUILTIN"}})})
    request = module_service_pb2.GetModuleRequest(name="x")
    named = {answer.process.pid: answer for answer in api.modules.GetModule(request, metadata=EVERYBODY)}
    assert (named[11].error.reason, named[11].error.metadata["name"]) == ("MODULE_NOT_FOUND", "x")
    assert named[12].module.name == "x"
    assert not named[12].HasField("error")


def test_nobody_connected_is_unavailable(api: Stubs) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        list(api.modules.ListModules(LIST, metadata=EVERYBODY))
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert detail_of(failed.value).reason == "NO_PROCESS"


def test_processes_are_listed_by_pid_and_as_they_are_now(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    second = agent(pid=12, process={"entries": 3})
    agent(pid=11)
    second.facts = {**second.facts, "entries": 999}  # what it says when it is asked
    found = api.agents.ListProcesses(agent_service_pb2.ListProcessesRequest()).processes
    assert [process.pid for process in found] == [11, 12]
    assert found[1].entries == 999
    assert dict(found[1].labels) == {"zone": "a"}


def test_a_process_that_hangs_is_listed_as_it_last_said_it_was(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    agent(pid=11, handlers={"describe": lambda agent, _: iter(())}, process={"revision": 7})
    found = api.agents.ListProcesses(agent_service_pb2.ListProcessesRequest()).processes
    assert [(process.pid, process.revision) for process in found] == [(11, 7)]
    assert "did not answer" in found[0].warnings[0]


def test_who_asks_for_what_is_known_wakes_nobody(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    asked = []

    def describe(agent: FakeAgent, _: Any) -> Any:
        asked.append(agent)
        return iter(())

    agent(pid=12, handlers={"describe": describe}, process={"revision": 7})
    agent(pid=11, handlers={"describe": describe})
    found = api.agents.ListProcesses(agent_service_pb2.ListProcessesRequest(as_known=True)).processes
    assert [(process.pid, process.revision) for process in found] == [(11, 0), (12, 7)]
    assert not any(process.warnings for process in found)
    assert not asked


def test_an_update_is_seen(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    one = agent(pid=11, handlers={"describe": lambda agent, _: iter(())})
    one.say(0, 0, {"update": {"process": {**one.facts, "frozen": True, "role": "PROCESS_ROLE_MASTER", "pid": 4}}})

    def updated() -> Any:
        found = api.agents.ListProcesses(agent_service_pb2.ListProcessesRequest()).processes[0]
        return found if found.frozen else None

    process = until(updated)
    assert process.role == process_pb2.PROCESS_ROLE_MASTER
    assert process.pid == 11, "who a process is never changes"


def test_a_short_update_is_seen_and_changes_nothing_else(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    one = agent(pid=11, handlers={"describe": lambda agent, _: iter(())}, process={"revision": 7, "entries": 3})
    before = api.agents.ListProcesses(agent_service_pb2.ListProcessesRequest()).processes[0]
    one.say(0, 0, {"update": {"revision": -1, "entries": "many"}})
    one.say(0, 0, {"update": {"revision": 8, "entries": 5}})

    def updated() -> Any:
        found = api.agents.ListProcesses(agent_service_pb2.ListProcessesRequest()).processes[0]
        return found if found.revision != 7 else None

    process = until(updated)
    assert (process.revision, process.entries) == (8, 5)
    before.revision, before.entries = 8, 5
    assert process == before


def test_the_gateway_says_what_it_is(agent: Callable[..., FakeAgent], api: Stubs, gateway: Any) -> None:
    agent(pid=11)
    found = api.agents.GetAgent(agent_service_pb2.GetAgentRequest())
    assert found.service == "shop"
    assert found.processes == 1
    assert list(found.addresses) == gateway.addresses
    assert found.identity.startswith("uid:")


def test_freezing_is_told_per_process_with_who_did_it(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    def freeze(agent: FakeAgent, request: dict[str, Any]) -> Any:
        return last(
            {"process": {**agent.facts, "frozen": request["op"] == "freeze", "frozen_reason": request["reason"]}}
        )

    one = agent(pid=11, handlers={"freeze": freeze, "thaw": freeze})
    [frozen] = api.agents.Freeze(agent_service_pb2.FreezeRequest(reason="audit"))
    assert (frozen.state.frozen, frozen.state.frozen_reason) == (True, "audit")
    assert frozen.state.addresses, "the gateway adds what only it knows"
    assert one.seen[-1]["identity"].startswith("uid:")
    [thawed] = api.agents.Thaw(agent_service_pb2.ThawRequest())
    assert not thawed.state.frozen
