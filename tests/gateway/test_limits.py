"""Too much of anything is refused at once, with a reason; and probes work."""

from __future__ import annotations

import importlib.util
import socket
import threading
import time
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2
from modctl.gateway import health, listener, rpc
from modctl.v1 import agent_service_pb2, module_service_pb2

from gateway.fake_agent import FakeAgent, in_batches, last, silent
from gateway.world import EVERYBODY, Stubs, detail_of, injection, row, stubs, until

LIST = module_service_pb2.ListModulesRequest(view="MODULE_VIEW_BASIC")
GET = module_service_pb2.GetModuleRequest(name="x")
WATCH = module_service_pb2.WatchModulesRequest()


def test_a_request_over_16_mib_is_refused(agent: Any, gateway: Any) -> None:
    one = agent()
    with stubs(gateway.addresses[0], **{"grpc.max_send_message_length": -1}) as api:
        with pytest.raises(grpc.RpcError) as failed:
            list(api.modules.InjectModule(injection(archive=b"x" * (17 << 20))))
        assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert one.seen == []
        assert api.agents.GetAgent(agent_service_pb2.GetAgentRequest()).processes == 1


def test_large_metadata_is_refused(agent: Any, api: Stubs) -> None:
    agent()
    with pytest.raises(grpc.RpcError) as failed:
        list(api.modules.ListModules(LIST, metadata=(("modctl-process", "1," * 40_000),)))
    assert failed.value.code() in {
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
    }
    assert len(list(api.modules.ListModules(LIST, timeout=5))) == 1


def test_who_does_not_acknowledge_the_limits_is_hung_up_on(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC holds nobody to a limit of metadata who has not acknowledged it."""
    sooner = tuple((key, 500 if key == "grpc.http2.settings_timeout" else value) for key, value in listener._COMMON)
    assert sooner != listener._COMMON
    monkeypatch.setattr(listener, "_COMMON", sooner)
    address = agent(listen=["127.0.0.1:0"]).welcome()["addresses"][1]
    host, _, port = address.rpartition(":")

    def still_open(greeting: bytes) -> bool:
        with socket.create_connection((host, int(port)), 5) as one:
            one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0" + greeting)
            one.settimeout(2)
            try:
                while one.recv(1000):
                    pass
            except TimeoutError:
                return True
            return False

    assert not still_open(b"")
    assert still_open(b"\0\0\0\x04\x01\0\0\0\0"), "acknowledged"


def test_the_65th_call_is_refused_at_once_and_there_is_room_again_later(agent: Any, api: Stubs) -> None:
    one = agent(handlers={"get_module": silent, "list_modules": lambda a, r: in_batches([])})
    calls = [api.modules.GetModule(GET, timeout=60) for _ in range(rpc.MAX_CALLS)]
    until(lambda: one.ops().count("get_module") == rpc.MAX_CALLS)
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as failed:
        list(api.modules.ListModules(LIST))
    assert time.monotonic() - started < 1
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert detail_of(failed.value).reason == "TOO_MANY_CALLS"
    for call in calls:
        call.cancel()

    def served() -> bool:
        try:
            return len(list(api.modules.ListModules(LIST))) == 1
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            return False

    until(served)


def test_watches_do_not_take_the_places_of_calls(agent: Any, api: Stubs) -> None:
    agent(
        handlers={
            "watch": lambda a, r: iter([(0, {"events": []})]),
            "list_modules": lambda a, r: in_batches([]),
        }
    )
    watches = [api.modules.WatchModules(WATCH) for _ in range(rpc.MAX_WATCHES)]
    for watch in watches:
        next(watch)
    with pytest.raises(grpc.RpcError) as failed:
        next(api.modules.WatchModules(WATCH))
    assert detail_of(failed.value).reason == "TOO_MANY_CALLS"
    assert len(list(api.modules.ListModules(LIST))) == 1
    for watch in watches:
        watch.cancel()


def test_a_deadline_that_has_passed_reaches_nobody(agent: Any, api: Stubs) -> None:
    one = agent()
    with pytest.raises(grpc.RpcError) as failed:
        list(api.modules.InjectModule(injection(source=b""), timeout=0))
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    time.sleep(0.2)
    assert one.seen == []


def test_a_fault_of_ours_is_internal_and_says_nothing_of_its_inside(
    agent: Any, api: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent(pid=11, handlers={"list_modules": lambda a, r: in_batches([row("x", kind="BUILTIN")])})
    agent(pid=12, handlers={"list_modules": lambda a, r: in_batches([row("y", kind="BUILTIN")])})

    def broken(self: Any, body: bytes) -> Any:
        if b'"x"' in body:
            raise ZeroDivisionError("a secret")

    monkeypatch.setattr("modctl.gateway.listing.Batches.known", broken)
    answers = {answer.process.pid: answer for answer in api.modules.ListModules(LIST, metadata=EVERYBODY)}
    assert answers[11].error.reason == "INTERNAL"
    assert "secret" not in answers[11].error.message
    assert answers[12].modules[0].name == "y"


def test_an_unknown_method_is_unimplemented(api: Stubs) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        api.channel.unary_unary("/modctl.v1.ModuleService/Frobnicate")(b"")
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


# -- health


def check(channel: grpc.Channel, service: str = "") -> int:
    call = channel.unary_unary(f"/{health.SERVICE}/Check")
    answer = call(wrappers_pb2.StringValue(value=service).SerializeToString(), timeout=5)
    return int(wrappers_pb2.Int32Value.FromString(answer).value)


def test_health_is_serving_once_a_process_is_there(agent: Any, api: Stubs) -> None:
    assert check(api.channel) == health.NOT_SERVING
    one = agent()
    for service in ("", "modctl.v1.ModuleService", "modctl.v1.AgentService", health.SERVICE):
        assert check(api.channel, service) == health.SERVING
    one.close()
    until(lambda: check(api.channel) == health.NOT_SERVING)


def test_health_of_what_is_not_served_is_not_found(api: Stubs) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        check(api.channel, "nonsense")
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_is_watched(agent: Any, api: Stubs) -> None:
    watch = api.channel.unary_stream(f"/{health.SERVICE}/Watch")(b"", timeout=20)
    statuses = (wrappers_pb2.Int32Value.FromString(answer).value for answer in watch)
    assert next(statuses) == health.NOT_SERVING
    one = agent()
    assert next(statuses) == health.SERVING
    one.close()
    assert next(statuses) == health.NOT_SERVING
    watch.cancel()


def test_a_probe_without_a_token_may_check_and_nothing_else(agent: Any) -> None:
    one = agent(listen=["127.0.0.1:0"])
    with stubs(one.welcome()["addresses"][1]) as api:
        assert check(api.channel) == health.SERVING
        with pytest.raises(grpc.RpcError) as failed:
            next(api.channel.unary_stream(f"/{health.SERVICE}/Watch")(b""))
        assert failed.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.skipif(importlib.util.find_spec("grpc_health") is None, reason="grpcio-health-checking is not installed")
def test_the_official_stubs_understand_it(agent: Any, api: Stubs) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    agent()
    answer = health_pb2_grpc.HealthStub(api.channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


# -- watching


def test_a_watch_tells_events_with_state_as_they_come(agent: Any, api: Stubs, tmp_path: Any) -> None:
    file = tmp_path / "a.py"
    file.write_text("X = 1\n")
    more = threading.Event()

    def watch(agent: FakeAgent, request: dict[str, Any]) -> Any:
        yield 0, {"events": []}
        more.wait(10)
        yield 0, {"events": [{"type": "MODULE_EVENT_TYPE_ADDED", "module": row("a", file), "revision": 3,
                              "seen_at_unix_s": 1.5}]}  # fmt: skip
        yield 0, {"events": [{"type": "MODULE_EVENT_TYPE_REMOVED", "module": {"name": "a", "generation": 2}}]}

    one = agent(handlers={"watch": watch})
    stream = api.modules.WatchModules(module_service_pb2.WatchModulesRequest(patterns=["a*"], since_revision=0))
    assert not next(stream).events
    assert one.seen == [{"op": "watch", "patterns": ["a*"], "since_revision": 0}]
    more.set()
    [added] = next(stream).events
    assert (added.type, added.revision, added.seen_at_unix_s) == (1, 3, 1.5)
    assert (added.module.name, added.module.state, added.module.origin) == ("a", 1, str(file))
    [removed] = next(stream).events
    assert (removed.type, removed.module.generation) == (2, 2)
    stream.cancel()
    until(lambda: one.cancelled)


def test_who_watches_all_hears_of_those_who_go_and_come(agent: Any, api: Stubs) -> None:
    handlers = {"watch": lambda a, r: iter([(0, {"events": []})])}
    first = agent(pid=11, handlers=handlers)
    stream = api.modules.WatchModules(module_service_pb2.WatchModulesRequest(since_revision=7), metadata=EVERYBODY)
    assert next(stream).process.pid == 11
    first.close()
    left = next(stream)
    assert (left.process.pid, left.error.reason) == (11, "PROCESS_LEFT")
    second = agent(pid=12, handlers=handlers)
    assert next(stream).process.pid == 12
    assert "since_revision" not in second.seen[-1], "its revisions are its own"
    stream.cancel()


def test_who_watches_one_process_is_done_when_it_goes(agent: Any, api: Stubs) -> None:
    one = agent(pid=11, handlers={"watch": lambda a, r: iter([(0, {"events": []})])})
    agent(pid=12)
    stream = api.modules.WatchModules(WATCH, metadata=(("modctl-process", "11"),))
    next(stream)
    one.close()
    assert [answer.error.reason for answer in stream] == ["PROCESS_LEFT"]


# -- reading


def test_a_module_s_source_is_read_where_it_is_what_runs(agent: Any, api: Stubs, tmp_path: Any) -> None:
    file = tmp_path / "a.py"
    file.write_bytes("# coding: latin-1\nX = 'é'\r\n".encode("latin-1"))
    told = {"module": row("a", file), "spec": {"name": "a", "origin": str(file)}, "_source_path": str(file)}
    agent(handlers={"get_module": lambda a, r: last(told)})
    request = module_service_pb2.GetModuleRequest(name="a", with_source=True)
    [answer] = api.modules.GetModule(request)
    assert answer.source == "# coding: latin-1\nX = 'é'\n"
    assert (answer.module.state, answer.spec.origin) == (1, str(file))
    assert answer.module.digest.startswith("sha256:")
    [answer] = api.modules.GetModule(GET)
    assert not answer.HasField("source")
    file.write_text("X = 2\n")
    [answer] = api.modules.GetModule(request)
    assert not answer.HasField("source")
    assert "has changed" in answer.source_error
    assert answer.module.state == 2
    file.unlink()
    [answer] = api.modules.GetModule(request)
    assert "cannot be read" in answer.source_error
    assert answer.module.state == 3


def test_source_that_the_process_sends_is_passed_on(agent: Any, api: Stubs) -> None:
    told = {"module": row("a", "/modctl/a.py", kind="INJECTED"), "source": "X = 1\n", "importers": ["b"]}
    agent(handlers={"get_module": lambda a, r: last(told)})
    [answer] = api.modules.GetModule(module_service_pb2.GetModuleRequest(name="a", with_source=True, deep=True))
    assert (answer.source, list(answer.importers)) == ("X = 1\n", ["b"])


def test_history_comes_through_whole(agent: Any, api: Stubs) -> None:
    told = [{"number": 2, "committed_at_unix_s": 5.5, "identity": "uid:0", "reason": "r", "undoable": True, "undoes": 1,
             "modules": [{"name": "a", "action": "ACTION_RESTORE"}], "expires_at_unix_s": 9.0}]  # fmt: skip
    one = agent(handlers={"list_revisions": lambda a, r: last({"revisions": told})})
    [answer] = api.modules.ListRevisions(module_service_pb2.ListRevisionsRequest(limit=5))
    [revision] = answer.revisions
    assert (revision.number, revision.undoes, revision.expires_at_unix_s, revision.modules[0].action) == (2, 1, 9.0, 6)
    assert one.seen[-1]["limit"] == 5
