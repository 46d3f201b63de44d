"""The SDK against a gateway made of data."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from modctl.client import (
    AmbiguousProcessError,
    AsyncFleet,
    ChangeOptions,
    Client,
    DeniedError,
    Evict,
    Fleet,
    Import,
    Inject,
    ProcessFailedError,
    RefusedError,
    Reimport,
    Token,
    UncertainError,
    UnreachableError,
    UsageError,
    exits,
)
from modctl.client.results import Row
from modctl.v1 import change_pb2, error_pb2, module_service_pb2

from client.fake_server import FakeServer, Refuse, applied, module, process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Serve = Callable[..., FakeServer]

FIRST, SECOND, THIRD = (f"shop/web-1/{pid}@1763800000" for pid in (4127, 4128, 4129))


def outcomes(result: Any) -> dict[str, str]:
    return {row.where: row.outcome for row in result.rows}


# Reading


def test_a_listing_gives_the_modules_of_each_process(shop: FakeServer) -> None:
    with Fleet.connect(shop.address) as fleet:
        listed = {name: modules.names() for name, modules in fleet.list("billing*")}
    assert listed == {name: ["billing", "billing.tax"] for name in (FIRST, SECOND, THIRD)}


def test_a_listing_of_many_batches_is_one_sequence(serve: Serve) -> None:
    server = serve(process(1), process(2))
    server.modules[1] = [module(f"m{n:04}") for n in range(1203)]
    server.modules[2] = []
    with Fleet.connect(server.address) as fleet:
        result = fleet.list()
    first, second = (row.value for row in result.rows)
    assert first is not None
    assert second is not None
    assert (len(first), len(second), list(second)) == (1203, 0, [])
    assert [first[0].name, first[499].name, first[500].name, first[-1].name] == ["m0000", "m0499", "m0500", "m1202"]
    assert [each.name for each in first] == [f"m{n:04}" for n in range(1203)]
    assert [each.name for each in first[498:502]] == ["m0498", "m0499", "m0500", "m0501"]
    assert first.find("m0777") == first[777]
    assert first.find("nosuch") is None
    with pytest.raises(IndexError):
        first[1203]


def test_results_are_frozen_dataclasses_and_never_protobuf(shop: FakeServer) -> None:
    with Fleet.connect(shop.address) as fleet:
        entry = fleet.list("json").rows[0].value[0]  # type: ignore[index]
    assert (entry.kind, entry.state, entry.import_ms, entry.origin) == ("SOURCE", "CLEAN", None, "/srv/json.py")
    with pytest.raises(AttributeError):
        entry.name = "other"


def test_filters_are_sent_as_the_api_names_them(shop: FakeServer) -> None:
    with Fleet.connect(shop.address) as fleet:
        fleet.list("a*", "b", kinds=["source"], states=["MODIFIED"], basic=True, with_size=True)
        with pytest.raises(UsageError, match="kind 'SORCE' is not known; it is one of BLOCKED, BUILTIN"):
            fleet.list(kinds=["SORCE"])
    name, request, metadata = shop.asked[-1]
    assert (name, list(request.patterns), list(request.kinds), list(request.states)) == (
        "ListModules",
        ["a*", "b"],
        [1],
        [2],
    )
    assert (request.view, request.with_size, metadata["modctl-process"]) == (1, True, "all")


def test_everything_about_one_entry(shop: FakeServer) -> None:
    shop.modules[4129] = []
    with Fleet.connect(shop.address) as fleet:
        result = fleet.get("billing.tax", with_source=True, attributes=["RATE"])
    detail = result[FIRST].value
    assert detail is not None
    assert (detail.source, detail.attributes[0].value) == ("# billing.tax\nRATE = 19\n", "19")
    assert outcomes(result) == {FIRST: "OK", SECOND: "OK", THIRD: "FAILED"}
    assert result[THIRD].error is not None
    assert result[THIRD].error.reason == "MODULE_NOT_FOUND"


@pytest.mark.parametrize(
    ("selection", "sent", "asked"),
    [
        ("all", "all", [4127, 4128, 4129]),
        ("any", "any", [4127]),
        (4128, "4128", [4128]),
        ([4128, THIRD], f"4128,{THIRD}", [4128, 4129]),
    ],
)
def test_processes_are_chosen_by_the_target(shop: FakeServer, selection: Any, sent: str, asked: list[int]) -> None:
    with Fleet.connect(shop.address, process=selection) as fleet:
        result = fleet.list()
        agents = fleet.agents()
    assert [row.pid for row in result.rows] == asked
    assert [row.pid for row in agents.rows] == (asked if selection != "any" else [4127, 4128, 4129])
    assert shop.asked[0][2]["modctl-process"] == sent


def test_agents_say_who_the_caller_is(shop: FakeServer) -> None:
    with Fleet.connect(shop.address) as fleet:
        agents = [agent for _, agent in fleet.agents()]
    assert {(agent.identity, agent.role, agent.python) for agent in agents} == {("uid:1000", "MAIN", "3.11.7")}


# One target down is a row


def test_a_target_that_is_down_is_a_row_and_the_others_answer(shop: FakeServer) -> None:
    with Fleet.connect(shop.address, "127.0.0.1:1", "nosuchhost.invalid:1") as fleet:
        result = fleet.list()
    assert outcomes(result) == {
        FIRST: "OK",
        SECOND: "OK",
        THIRD: "OK",
        "127.0.0.1:1": "UNREACHABLE",
        "nosuchhost.invalid:1": "UNREACHABLE",
    }
    assert len(result.ok) == 3
    assert "unknown to DNS" in result["nosuchhost.invalid:1"].why or "no TLS" in result["nosuchhost.invalid:1"].why
    with pytest.raises(UnreachableError, match="connection refused: nobody listens there"):
        result.raise_for_failures()


def test_a_process_that_fails_does_not_take_the_others_along(shop: FakeServer) -> None:
    shop.results[4128] = error_pb2.ErrorDetail(code="UNAVAILABLE", reason="PROCESS_LEFT", message="it ended")
    with Fleet.connect(shop.address) as fleet:
        result = fleet.list()
    assert outcomes(result) == {FIRST: "OK", SECOND: "UNREACHABLE", THIRD: "OK"}


def test_a_slow_target_is_timed_out_and_the_others_answer(shop: FakeServer, serve: Serve) -> None:
    slow = serve(process(1, "slow"))
    slow.before["ListModules"] = lambda _: asyncio.sleep(300)
    with Fleet.connect(shop.address, slow.address, timeout_s=3) as fleet:
        result = fleet.list()
    assert [row.outcome for row in result.rows] == ["OK", "OK", "OK", "TIMED_OUT"]


class Stopwatch:
    """The time, which can be put forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


class Hearing:
    """An observer that hears who answers."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard

    def begin(self, targets: int) -> None: ...

    def answered(self, rows: Sequence[Row[Any]]) -> None:
        self._heard()

    def end(self) -> None: ...


async def test_the_deadline_ends_the_whole_command(
    shop: FakeServer, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = serve(process(1, "slow"))
    slow.before["ListModules"] = lambda _: asyncio.sleep(300)
    clock = Stopwatch()
    monkeypatch.setattr("modctl.client.dispatch.time", clock)
    monkeypatch.setattr("modctl.client.fleet.time", clock)
    async with AsyncFleet.connect(slow.address, shop.address, timeout_s=3600, deadline_s=1800) as fleet:
        # The half hour is over as soon as the other one has answered.
        fleet.observer = Hearing(lambda: setattr(clock, "ahead_s", 1801.0))
        result = await fleet.list()
    assert {row.target: row.outcome for row in result.rows} == {slow.address: "TIMED_OUT", shop.address: "OK"}
    assert [row.error.reason for row in result.failed if row.error is not None] == ["DEADLINE"]


def test_a_deadline_that_leaves_no_time_to_ask_says_that_nothing_was_done(shop: FakeServer, serve: Serve) -> None:
    slow = serve(process(1, "slow"))
    slow.before["EvictModules"] = lambda _: asyncio.sleep(300)
    with Fleet.connect(slow.address, shop.address, timeout_s=300, deadline_s=2, fanout=1) as fleet:
        result = fleet.evict("a")
    assert {row.target: row.outcome for row in result.rows} == {slow.address: "UNKNOWN", shop.address: "TIMED_OUT"}
    never = result[shop.address]
    assert "nothing was done" in never.why
    assert not any(name == "EvictModules" for name, *_ in shop.asked)
    assert exits.of_result(result) == exits.DEADLINE


def test_a_deadline_is_kept_where_nobody_answers(serve: Serve) -> None:
    slow = serve(process(1, "slow"))
    slow.before["ListModules"] = lambda _: asyncio.sleep(300)
    began_s = time.monotonic()
    with Fleet.connect(slow.address, timeout_s=300, deadline_s=0.4) as fleet:
        result = fleet.list()
    assert 0.4 <= time.monotonic() - began_s < 60
    assert [row.outcome for row in result.rows] == ["TIMED_OUT"]


async def test_calls_side_by_side_do_not_hang_up_on_each_other(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modctl.client.fleet.KEPT_CHANNELS", 1)
    servers = [serve(process(1, "one")), serve(process(2, "two"))]
    for server in servers:
        server.before["ListModules"] = lambda _: asyncio.sleep(1)
    async with AsyncFleet.connect(*[server.address for server in servers]) as fleet:
        listed, histories = await asyncio.gather(fleet.list(), fleet.history())
        assert [row.outcome for row in [*listed.rows, *histories.rows]] == ["OK"] * 4
        assert not fleet.dialer._channels, "there are too many to stay connected to all"


def test_half_a_listing_is_none(shop: FakeServer) -> None:
    async def breaks_off(name: str, request: Any, response_type: Any, context: Any) -> Any:
        yield response_type(process={"id": FIRST, "service": "shop", "pid": 4127}, modules=[module("a")])
        await context.abort(grpc.StatusCode.INTERNAL, "a mistake")

    shop.stop()
    shop._list = breaks_off  # type: ignore[method-assign]
    shop.start()
    with Fleet.connect(shop.address) as fleet:
        result = fleet.list()
    assert [(row.process, row.outcome, row.value) for row in result.rows] == [(FIRST, "FAILED", None)]


def test_a_read_that_lost_its_connection_is_asked_again(shop: FakeServer) -> None:
    lost = iter([True])

    def lose(_: Any) -> None:
        if next(lost, False):
            raise Refuse(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    shop.before["ListModules"] = lose
    with Fleet.connect(shop.address) as fleet:
        result = fleet.list()
    assert [row.outcome for row in result.rows] == ["OK"] * 3
    assert [name for name, _, _ in shop.asked] == ["ListModules"] * 2


def test_a_change_outlives_the_death_of_its_gateway(serve: Serve, short_dir: Path) -> None:
    address = f"unix:{short_dir}/g.sock"
    server = serve(process(1), process(2), address=address)
    died = threading.Event()

    async def die(_: Any) -> None:
        if not died.is_set():
            died.set()
            assert server._server is not None
            await server._server.stop(0)

    def come_back() -> None:
        died.wait(60)
        time.sleep(0.8)
        server.start(address)

    server.before["EvictModules"] = die
    back = threading.Thread(target=come_back)
    back.start()
    with Fleet.connect(address) as fleet:
        result = fleet.evict("a")
    back.join()
    assert [row.outcome for row in result.rows] == ["APPLIED", "APPLIED"], result.rows
    assert len({request.options.request_id for name, request, _ in server.asked if name == "EvictModules"}) == 1


def test_no_more_than_the_fanout_is_in_flight(serve: Serve) -> None:
    in_flight, most = 0, 0
    lock = threading.Lock()

    async def count(_: Any) -> None:
        nonlocal in_flight, most
        with lock:
            in_flight += 1
            most = max(most, in_flight)
        await asyncio.sleep(0.05)
        with lock:
            in_flight -= 1

    servers = [serve(process(number)) for number in range(1, 13)]
    for server in servers:
        server.before["ListModules"] = count
    with Fleet.connect(*(server.address for server in servers), fanout=3) as fleet:
        result = fleet.list()
    assert [row.pid for row in result.rows] == list(range(1, 13)), "rows are in the order of the targets"
    assert most == 3


def test_one_connection_serves_all_processes_of_a_target(shop: FakeServer) -> None:
    with Fleet.connect(shop.address) as fleet:
        fleet.list()
    assert [name for name, _, _ in shop.asked] == ["ListModules"]


# Changing


def test_a_change_goes_to_every_process_with_one_call_and_one_id(shop: FakeServer) -> None:
    with Fleet.connect(shop.address) as fleet:
        result = fleet.evict("billing.tax", recursive=True, options=ChangeOptions(reason="INC-1"))
    assert outcomes(result) == dict.fromkeys((FIRST, SECOND, THIRD), "APPLIED")
    names = [name for name, _, _ in shop.asked]
    assert names == ["ListProcesses", "EvictModules"]
    request = shop.asked[-1][1]
    assert (request.operations[0].name, request.operations[0].recursive, request.options.reason) == (
        "billing.tax",
        True,
        "INC-1",
    )
    assert len(request.options.request_id) == 32


VERBS: dict[str, tuple[list[Any], str]] = {
    "imports": ([Import("a"), Import("b")], "ImportModules"),
    "one injection": ([Inject("a", source="x = 1")], "InjectModule"),
    "two injections": ([Inject("a", source="x = 1"), Inject("b", block=True)], "ApplyChanges"),
    "evictions": ([Evict("a"), Evict("b")], "EvictModules"),
    "reimports": ([Reimport("a"), Reimport("b", "patch")], "ReimportModules"),
    "a mixture": ([Evict("a"), Import("b")], "ApplyChanges"),
}


@pytest.mark.parametrize(("operations", "method"), VERBS.values(), ids=VERBS)
def test_a_change_set_of_one_verb_uses_that_verbs_call(shop: FakeServer, operations: list[Any], method: str) -> None:
    with Fleet.connect(shop.address) as fleet:
        fleet.apply(operations)
    assert shop.asked[-1][0] == method


def test_every_content_of_an_injection_arrives(shop: FakeServer) -> None:
    contents: dict[str, Any] = {
        "source": "é = 1",
        "package": {"__init__.py": b"", "data/x.json": b"{}"},
        "archive": b"PK",
        "attributes": {"RATE": 0.19, "ON": True, "NAME": 'a"b'},
        "alias_of": "other",
        "block": True,
    }
    with Fleet.connect(shop.address) as fleet:
        for key, value in contents.items():
            fleet.inject(Inject("m", **{key: value}, replace=True, ttl_s=60, base_digest="sha256:aa"))
    sent = [request.operation for name, request, _ in shop.asked if name == "InjectModule"]
    assert [operation.WhichOneof("content") for operation in sent] == list(contents)
    assert sent[0].source == "é = 1".encode()
    assert [(file.path, file.content) for file in sent[1].package.files] == [
        ("__init__.py", b""),
        ("data/x.json", b"{}"),
    ]
    assert dict(sent[3].attributes.json) == {"RATE": "0.19", "ON": "true", "NAME": '"a\\"b"'}
    assert {(operation.replace, operation.ttl_s, operation.base_digest) for operation in sent} == {
        (True, 60.0, "sha256:aa")
    }


def test_what_a_change_carries_can_be_named_one_by_one(shop: FakeServer) -> None:
    with Fleet.connect(shop.address) as fleet:
        fleet.inject("stub", attributes={"RATE": 0}, replace=True, ttl_s=60, reason="INC-2", dry_run=True)
        stub = shop.asked[-1][1].operation
        assert (stub.name, dict(stub.attributes.json), stub.replace, stub.ttl_s) == ("stub", {"RATE": "0"}, True, 60.0)
        assert (shop.asked[-1][1].options.reason, shop.asked[-1][1].options.dry_run) == ("INC-2", True)
        fleet.reload("billing.tax", reason="INC-1432", options=ChangeOptions(expect_revision=3))
        assert (shop.asked[-1][1].options.reason, shop.asked[-1][1].options.expect_revision) == ("INC-1432", 3)
        with pytest.raises(UsageError, match="unknown option raeson"):
            fleet.evict("billing.tax", raeson="x")  # type: ignore[call-arg]
        with pytest.raises(UsageError, match="nothing to inject"):
            fleet.inject("stub")


@pytest.mark.parametrize("content", [{}, {"source": "", "block": True}, {"block": False}])
def test_an_injection_has_just_one_content(content: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="give just one of"):
        Inject("m", **content)


def test_a_request_that_is_too_large_is_not_sent(shop: FakeServer) -> None:
    with Fleet.connect(shop.address) as fleet, pytest.raises(UsageError, match="targets take 16 MiB"):
        fleet.inject(Inject("m", archive=bytes(17 * 2**20)))
    assert shop.asked == []


def test_the_processes_outcomes_are_theirs(shop: FakeServer) -> None:
    refusal = change_pb2.Refusal(reason="PROTECTED", rule="builtin", hint="leave it")
    shop.results = {
        4127: change_pb2.ChangeResult(
            outcome="OUTCOME_REFUSED", modules=[change_pb2.ModuleChange(name="sys", refusal=refusal)]
        ),
        4128: change_pb2.ChangeResult(
            outcome="OUTCOME_FAILED",
            modules=[change_pb2.ModuleChange(name="sys", error=error_pb2.PythonError(type="ValueError", message="no"))],
        ),
    }
    with Fleet.connect(shop.address) as fleet:
        result = fleet.evict("sys")
    assert outcomes(result) == {FIRST: "REFUSED", SECOND: "FAILED", THIRD: "APPLIED"}
    assert result[FIRST].why == "sys: PROTECTED: leave it"
    assert result[SECOND].why == "sys: ValueError: no"
    with pytest.raises(ProcessFailedError) as failure:
        result.raise_for_failures()
    assert type(failure.value) is ProcessFailedError
    with pytest.raises(RefusedError):
        result.only(lambda row: row.outcome == "REFUSED").raise_for_failures()


STATUSES = [
    (grpc.StatusCode.PERMISSION_DENIED, "DENIED"),
    (grpc.StatusCode.UNAUTHENTICATED, "DENIED"),
    (grpc.StatusCode.INVALID_ARGUMENT, "REFUSED"),
    (grpc.StatusCode.FAILED_PRECONDITION, "REFUSED"),
    (grpc.StatusCode.ABORTED, "REFUSED"),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "REFUSED"),
    (grpc.StatusCode.UNIMPLEMENTED, "REFUSED"),
    (grpc.StatusCode.INTERNAL, "UNKNOWN"),
    (grpc.StatusCode.CANCELLED, "UNKNOWN"),
]


@pytest.mark.parametrize(("status", "outcome"), STATUSES, ids=lambda value: getattr(value, "name", value))
def test_a_change_that_is_turned_down_as_a_whole_is(shop: FakeServer, status: grpc.StatusCode, outcome: str) -> None:
    def turn_down(_: Any) -> None:
        raise Refuse(status, "because", reason="BECAUSE")

    shop.before["EvictModules"] = turn_down
    with Fleet.connect(shop.address) as fleet:
        result = fleet.evict("a")
    assert outcomes(result) == dict.fromkeys((FIRST, SECOND, THIRD), outcome)
    assert {row.why for row in result.rows} == {"because"}


def test_a_lost_answer_is_asked_for_again_with_the_same_id(shop: FakeServer) -> None:
    lost = iter([True])

    def lose(_: Any) -> None:
        if next(lost, False):
            raise Refuse(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    shop.before["EvictModules"] = lose
    with Fleet.connect(shop.address) as fleet:
        result = fleet.evict("a")
    assert outcomes(result) == dict.fromkeys((FIRST, SECOND, THIRD), "APPLIED")
    ids = [request.options.request_id for name, request, _ in shop.asked if name == "EvictModules"]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_processes_that_come_back_late_after_a_lost_answer_are_waited_for(shop: FakeServer) -> None:
    calls = 0

    def lose(_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            shop.processes.pop()
            raise Refuse(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        if calls == 3:
            shop.processes.append(process(4129))

    shop.before["EvictModules"] = lose
    with Fleet.connect(shop.address) as fleet:
        result = fleet.evict("a")
    assert outcomes(result) == dict.fromkeys((FIRST, SECOND, THIRD), "APPLIED")


def test_a_change_that_was_sent_and_never_answered_is_unknown(shop: FakeServer) -> None:
    shop.before["EvictModules"] = lambda _: (_ for _ in ()).throw(Refuse(grpc.StatusCode.UNAVAILABLE, "Socket closed"))
    with Fleet.connect(shop.address) as fleet:
        result = fleet.evict("a")
    assert outcomes(result) == dict.fromkeys((FIRST, SECOND, THIRD), "UNKNOWN")
    with pytest.raises(UncertainError):
        result.raise_for_failures()


@pytest.mark.parametrize(
    ("code", "outcome"), [("DEADLINE_EXCEEDED", "TIMED_OUT"), ("UNAVAILABLE", "UNREACHABLE")], ids=str
)
def test_a_process_that_was_not_asked_has_done_nothing(shop: FakeServer, code: str, outcome: str) -> None:
    never = error_pb2.ErrorDetail(code=code, reason="BECAUSE", message="nothing was done", metadata={"asked": "no"})
    shop.results[4128] = never
    with Fleet.connect(shop.address) as fleet:
        result = fleet.evict("a")
    assert outcomes(result) == {FIRST: "APPLIED", SECOND: outcome, THIRD: "APPLIED"}
    shop.results[4128] = error_pb2.ErrorDetail(code=code, reason="BECAUSE", message="who knows")
    with Fleet.connect(shop.address) as fleet:
        result = fleet.evict("a")
    assert outcomes(result) == {FIRST: "APPLIED", SECOND: "UNKNOWN", THIRD: "APPLIED"}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ({"code": "DEADLINE_EXCEEDED", "reason": "DEADLINE", "metadata": {"asked": "no"}}, "UNKNOWN"),
        ({"code": "RESOURCE_EXHAUSTED", "reason": "PROCESS_BUSY"}, "UNKNOWN"),
        ({"code": "NOT_FOUND", "reason": "PROCESS_NOT_FOUND"}, "UNKNOWN"),
        ({"code": "FAILED_PRECONDITION", "reason": "AUDIT_UNAVAILABLE"}, "UNKNOWN"),
        ({"code": "INVALID_ARGUMENT", "reason": "BAD_REQUEST"}, "REFUSED"),
        ({"code": "PERMISSION_DENIED", "reason": "DENIED"}, "DENIED"),
    ],
    ids=lambda value: value["reason"] if isinstance(value, dict) else value,
)
@pytest.mark.parametrize("whole", [False, True], ids=["a process", "the call"])
def test_what_is_said_when_a_lost_answer_is_asked_for_again_is_not_said_of_the_first_time(
    shop: FakeServer, error: dict[str, Any], outcome: str, whole: bool
) -> None:
    lost = iter([True])

    def lose(_: Any) -> None:
        if next(lost, False):
            raise Refuse(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        if whole:
            raise Refuse(grpc.StatusCode[error["code"]], "a pity", reason=error["reason"])

    shop.before["EvictModules"] = lose
    shop.results[4128] = error_pb2.ErrorDetail(message="a pity", **error)
    with Fleet.connect(shop.address) as fleet:
        result = fleet.evict("a")
    [row] = [row for row in result.rows if row.process == SECOND]
    assert row.outcome == outcome
    assert ("the answer was lost" in row.why) is (outcome == "UNKNOWN")
    assert "a pity" in row.why


def test_a_process_that_stays_silent_about_a_change_is_named(shop: FakeServer) -> None:
    shop.results[4128] = "silent"
    with Fleet.connect(shop.address) as fleet:
        result = fleet.evict("a")
    assert outcomes(result) == {FIRST: "APPLIED", SECOND: "UNKNOWN", THIRD: "APPLIED"}


def test_a_process_that_ends_in_the_middle_of_a_change_is_unknown(shop: FakeServer) -> None:
    shop.results[4128] = error_pb2.ErrorDetail(code="UNAVAILABLE", reason="PROCESS_LEFT", message="it ended")
    with Fleet.connect(shop.address) as fleet:
        result = fleet.evict("a")
    assert outcomes(result) == {FIRST: "APPLIED", SECOND: "UNKNOWN", THIRD: "APPLIED"}


def test_a_dry_run_that_breaks_is_no_unknown_change(shop: FakeServer) -> None:
    shop.before["EvictModules"] = lambda _: asyncio.sleep(60)
    with Fleet.connect(shop.address) as fleet:
        options = ChangeOptions(dry_run=True, execution_timeout_s=0.1)
        import modctl.client.dispatch as dispatch

        before, dispatch.CHANGE_MARGIN_S = dispatch.CHANGE_MARGIN_S, 0.2
        try:
            result = fleet.evict("a", options=options)
        finally:
            dispatch.CHANGE_MARGIN_S = before
    assert outcomes(result) == dict.fromkeys((FIRST, SECOND, THIRD), "TIMED_OUT")


def test_a_process_that_is_silent_in_a_dry_run_is_no_unknown_change(shop: FakeServer) -> None:
    shop.results[4128] = error_pb2.ErrorDetail(code="DEADLINE_EXCEEDED", reason="TIMED_OUT", message="no answer")
    shop.results[4129] = error_pb2.ErrorDetail(code="FAILED_PRECONDITION", reason="FROZEN", message="deploy")
    with Fleet.connect(shop.address) as fleet:
        planned = fleet.evict("a", dry_run=True)
        changed = fleet.evict("a")
    assert outcomes(planned) == {FIRST: "APPLIED", SECOND: "TIMED_OUT", THIRD: "REFUSED"}  # the first is a fake
    assert outcomes(changed) == {FIRST: "APPLIED", SECOND: "UNKNOWN", THIRD: "REFUSED"}


def test_a_target_that_is_down_is_not_sent_the_change(shop: FakeServer) -> None:
    with Fleet.connect(shop.address, "127.0.0.1:1") as fleet:
        result = fleet.evict("a")
    assert outcomes(result) == {FIRST: "APPLIED", SECOND: "APPLIED", THIRD: "APPLIED", "127.0.0.1:1": "UNREACHABLE"}


def test_what_is_asked_before_a_change_can_stop_it(shop: FakeServer) -> None:
    def stop(survey: Any) -> None:
        assert survey.count == 3
        raise UsageError("no")

    async def work() -> None:
        async with AsyncFleet.connect(shop.address) as fleet:
            fleet.before_change = stop
            with pytest.raises(UsageError):
                await fleet.evict("a")

    asyncio.run(work())
    assert [name for name, _, _ in shop.asked] == ["ListProcesses"]


def test_undo_history_freeze_and_thaw(shop: FakeServer) -> None:
    shop.revisions = [
        change_pb2.Revision(
            number=2, committed_at_unix_s=1763800001.5, identity="uid:1", undoes=1, expires_at_unix_s=5
        ),
        change_pb2.Revision(number=1, reason="why", undone_by=2),
    ]
    with Fleet.connect(shop.address, process=4127) as fleet:
        fleet.undo(7)
        newest = fleet.history(limit=1)[FIRST].value
        frozen = fleet.freeze("a release")[FIRST].value
        thawed = fleet.thaw()[FIRST].value
    assert shop.asked[1][1].revision == 7
    assert newest is not None
    assert [(each.number, each.undoes, each.expires_at_unix_s) for each in newest] == [(2, 1, 5.0)]
    assert frozen is not None
    assert (frozen.frozen, frozen.frozen_reason) == (True, "a release")
    assert thawed is not None
    assert not thawed.frozen


def test_watching_tells_what_happens_and_who_is_lost(shop: FakeServer) -> None:
    event = module_service_pb2.ModuleEvent(
        type="MODULE_EVENT_TYPE_REPLACED", module=module("billing.tax", generation=2), revision=3
    )

    async def work() -> list[Any]:
        told: list[Any] = []
        async with AsyncFleet.connect(shop.address, "127.0.0.1:1") as fleet:
            async for each in fleet.watch("billing.*"):
                told.append(each)
                if len(told) == 4:
                    shop.call(shop.events.put(event))
                if len(told) == 5:
                    break
        return told

    told = asyncio.run(asyncio.wait_for(work(), 60))
    rows = [each for each in told if not hasattr(each, "type")]
    assert sorted(row.outcome for row in rows) == ["OK", "OK", "OK", "UNREACHABLE"]
    assert [(each.type, each.module.name, each.revision) for each in told if hasattr(each, "type")] == [
        ("REPLACED", "billing.tax", 3)
    ]


def test_watching_again_after_the_target_came_back(serve: Serve, short_dir: Path) -> None:
    address = f"unix:{short_dir}/w.sock"
    server = serve(process(1), address=address)

    async def work() -> list[Row[Any]]:
        heard: list[Row[Any]] = []
        async with AsyncFleet.connect(address) as fleet:
            async for each in fleet.watch():
                assert isinstance(each, Row)
                heard.append(each)
                if len(heard) == 1:
                    await asyncio.get_running_loop().run_in_executor(None, server.stop)
                    await asyncio.sleep(0.1)
                    await asyncio.get_running_loop().run_in_executor(None, server.start, address)
                if len(heard) > 1 and each.outcome == "OK":
                    break
        return heard

    first, *lost, last = asyncio.run(asyncio.wait_for(work(), 60))
    assert (first.outcome, last.outcome) == ("OK", "OK")
    assert {row.outcome for row in lost} == {"UNREACHABLE"}
    # Dialled again before the target is back it fails in another way (broken, then nobody there): each is said once.
    said = [row.error.message for row in lost if row.error is not None]
    assert len(set(said)) == len(said) == len(lost)


# One process


def test_a_client_gives_the_one_answer(serve: Serve) -> None:
    server = serve(process(1))
    with Client.connect(server.address) as client:
        assert client.list("json").names() == ["json"]
        assert client.evict("json").outcome == "APPLIED"
        assert client.agent().pid == 1


def test_a_client_refuses_several_processes_and_changes_none(shop: FakeServer) -> None:
    with Client.connect(shop.address) as client:
        with pytest.raises(AmbiguousProcessError, match="name one with process="):
            client.list()
        with pytest.raises(UsageError, match="3 processes are there"):
            client.evict("json")
    assert "EvictModules" not in [name for name, _, _ in shop.asked]
    with Client.connect(shop.address, process=4128) as client:
        assert client.evict("json").outcome == "APPLIED"


def test_a_client_raises_what_went_wrong(serve: Serve) -> None:
    server = serve(process(1))
    server.results[1] = change_pb2.ChangeResult(outcome="OUTCOME_REFUSED", message="not now")
    with Client.connect(server.address) as client, pytest.raises(RefusedError, match="not now"):
        client.evict("a")
    with Client.connect("127.0.0.1:1") as client, pytest.raises(ConnectionError):
        client.list()


def test_a_fleet_that_is_closed_says_so(shop: FakeServer) -> None:
    fleet = Fleet.connect(shop.address)
    fleet.close()
    fleet.close()
    with pytest.raises(UsageError, match="closed; connect again"):
        fleet.list()


def test_a_fleet_works_where_a_loop_runs_already(shop: FakeServer) -> None:
    async def inside_a_loop() -> int:
        with Fleet.connect(shop.address) as fleet:
            return len(fleet.list().rows)

    assert asyncio.run(inside_a_loop()) == 3


def test_all_fleets_of_threads_share_one_loop_that_ends_with_the_last(shop: FakeServer) -> None:
    def named() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "modctl-client"]

    assert not named()
    outcomes: list[int] = []

    def ask() -> None:
        for _ in range(5):
            with Fleet.connect(shop.address) as fleet:
                outcomes.append(len(fleet.list().rows))

    with Fleet.connect(shop.address) as kept:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes == [3] * 40
        assert len(named()) == 1
        assert len(kept.list().rows) == 3
    assert not named()


def test_a_fleet_that_is_made_in_a_callback_of_another_has_a_loop_of_its_own(shop: FakeServer) -> None:
    told: list[Any] = []
    with Fleet.connect(shop.address) as outer:

        def called(_: object) -> None:
            with Fleet.connect(shop.address) as inner:
                told.append(len(inner.list().rows))
            try:
                outer.list()
            except UsageError as error:
                told.append(str(error))

        outer._core.on_rows = called
        outer.agents()
    assert told[0] == 3
    assert "callback of a fleet" in told[1]


def test_a_fleet_from_before_a_fork_says_so_and_a_new_one_can_be_made(shop: FakeServer) -> None:
    code = f"""
import os
from modctl.client import Fleet, UsageError
before = Fleet.connect({shop.address!r})
pid = os.fork()
if pid == 0:
    try:
        before.list()
    except UsageError as error:
        assert "before a fork" in str(error)
    before.close()
    with Fleet.connect({shop.address!r}) as fleet:
        assert len(fleet.list().rows) == 3
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert len(before.list().rows) == 3
before.close()
"""
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def test_the_two_fleets_have_the_same_verbs() -> None:
    public = {name for name in vars(AsyncFleet) if not name.startswith("_")}
    # What is no verb but what verbs are made of, inside a loop.
    plumbing = {"connect", "close", "only", "speaking_to"}
    assert public - plumbing <= {name for name in dir(Fleet) if not name.startswith("_")}


# Who we are


def test_a_token_is_sent_and_a_wrong_one_is_denied(serve: Serve) -> None:
    server = serve(process(1))

    def check(_: Any) -> None:
        if server.asked[-1][2].get("authorization") != "Bearer s3cret":
            raise Refuse(grpc.StatusCode.UNAUTHENTICATED, "no token", reason="TOKEN_MISSING")

    server.before["ListModules"] = check
    with Client.connect(server.address, token=Token("s3cret")) as client:
        assert client.list().names()
    with Client.connect(server.address, token=Token("other")) as client, pytest.raises(DeniedError, match="no token"):
        client.list()


def test_a_token_never_shows_itself() -> None:
    assert "s3cret" not in repr(Token("s3cret"))


def test_answers_keep_what_a_process_did_even_if_it_is_gone_when_asked_again() -> None:
    from modctl.client.change_requests import change
    from modctl.client.dispatch import OneAnswerEach
    from modctl.client.targets import parse_target

    request = change([Evict("a")], ChangeOptions())
    gatherer = OneAnswerEach(request)
    ref = {"id": FIRST, "service": "shop", "pid": 4127}
    done = module_service_pb2.EvictModulesResponse(process=ref, result=applied("ACTION_EVICT", "a"))
    gone = module_service_pb2.EvictModulesResponse(
        process=ref, error=error_pb2.ErrorDetail(code="UNAVAILABLE", reason="PROCESS_LEFT")
    )
    for answer in (gone, done, gone):
        gatherer.add(answer.SerializeToString())
    assert [row.outcome for row in gatherer.rows(parse_target("a:1"), None)] == ["APPLIED"]
