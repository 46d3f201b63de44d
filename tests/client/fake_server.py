"""A gateway made of data: says what it is told to say, and remembers what it was asked.

Runs in a thread with a loop of its own, so that synchronous clients and subprocesses can speak to it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from modctl.v1 import (
    agent_service_pb2,
    change_pb2,
    error_pb2,
    module_pb2,
    module_service_pb2,
    process_pb2,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

BATCH = 500


def process(pid: int, service: str = "shop", **fields: Any) -> process_pb2.Process:
    values: dict[str, Any] = {
        "id": f"{service}/web-1/{pid}@1763800000",
        "service": service,
        "host": "web-1",
        "pid": pid,
        "parent_pid": 1,
        "started_at_unix_s": 1763800000.0,
        "python": "3.11.7",
        "implementation": "cpython",
        "modctl_version": "0.1.0",
        "role": "PROCESS_ROLE_MAIN",
        "revision": 0,
        "entries": 3,
        "command": "gunicorn app:app",
        "addresses": ["127.0.0.1:50051"],
    }
    return process_pb2.Process(**{**values, **fields})


def module(name: str, **fields: Any) -> module_pb2.Module:
    values: dict[str, Any] = {
        "name": name,
        "kind": "MODULE_KIND_SOURCE",
        "origin": f"/srv/{name.replace('.', '/')}.py",
        "generation": 1,
        "digest": "sha256:" + name.encode().hex().ljust(64, "0")[:64],
        "state": "MODULE_STATE_CLEAN",
    }
    return module_pb2.Module(**{**values, **fields})


def applied(action: str, *names: str, revision: int = 1) -> change_pb2.ChangeResult:
    return change_pb2.ChangeResult(
        outcome="OUTCOME_APPLIED",
        revision=revision,
        undoable=True,
        duration_ms=1.25,
        paused_ms=0.05,
        modules=[
            change_pb2.ModuleChange(
                name=name,
                action=action,
                before=change_pb2.Version(generation=1, digest="sha256:" + "a" * 64),
                after=change_pb2.Version(generation=2, digest="sha256:" + "b" * 64),
            )
            for name in names
        ],
    )


class Refuse(Exception):
    """Ends a call with a status and, where given, an ErrorDetail."""

    def __init__(self, code: grpc.StatusCode, details: str, reason: str = "", **metadata: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details
        self.detail = (
            error_pb2.ErrorDetail(reason=reason, message=details, code=code.name, metadata=metadata) if reason else None
        )


class FakeServer:
    """What tests set is what it answers; `asked` is what came.

    Args:
        processes: who is behind it.
    """

    def __init__(self, *processes: process_pb2.Process) -> None:
        self.processes = list(processes) or [process(4127)]
        self.modules: dict[int, list[module_pb2.Module]] = defaultdict(
            lambda: [module("billing", package=True), module("billing.tax"), module("json")]
        )
        #: pid → what its change did; a callable is asked with the request, an ErrorDetail is why there is no answer.
        self.results: dict[int, Any] = {}
        #: What a call does before it answers, by method name: may raise Refuse, sleep, or break the connection.
        self.before: dict[str, Callable[[Any], Any]] = {}
        self.asked: list[tuple[str, Any, dict[str, Any]]] = []
        self.revisions: list[change_pb2.Revision] = []
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.address = ""
        self._loop = asyncio.new_event_loop()
        self._server: grpc.aio.Server | None = None
        self._thread: threading.Thread | None = None

    # Running

    def start(self, address: str = "127.0.0.1:0", credentials: Any = None) -> FakeServer:
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
            self._thread.start()
        self.address = self.call(self._start(address, credentials))
        return self

    def stop(self) -> None:
        if self._server is not None:
            self.call(self._server.stop(0))
            self._server = None

    def close(self) -> None:
        self.stop()
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._thread = None
        self._loop.close()

    def call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self, address: str, credentials: Any) -> str:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler("modctl.v1.ModuleService", self._streams()),
                grpc.method_handlers_generic_handler("modctl.v1.AgentService", self._agents()),
            )
        )
        port = (
            server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
        )
        await server.start()
        self._server = server
        return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"

    # Answering

    def _streams(self) -> dict[str, Any]:
        methods = {
            "ListModules": self._list,
            "GetModule": self._get,
            "ImportModules": self._change,
            "InjectModule": self._change,
            "EvictModules": self._change,
            "ReimportModules": self._change,
            "ApplyChanges": self._change,
            "Undo": self._change,
            "ListRevisions": self._history,
            "WatchModules": self._watch,
        }
        return {
            name: self._stream(
                name,
                method,
                getattr(module_service_pb2, f"{name}Request"),
                getattr(module_service_pb2, f"{name}Response"),
            )
            for name, method in methods.items()
        }

    def _agents(self) -> dict[str, Any]:
        handlers = {
            name: self._stream(
                name,
                self._gate,
                getattr(agent_service_pb2, f"{name}Request"),
                getattr(agent_service_pb2, f"{name}Response"),
            )
            for name in ("Freeze", "Thaw")
        }
        for name, method in (("GetAgent", self._agent), ("ListProcesses", self._processes)):
            handlers[name] = self._unary(
                name,
                method,
                getattr(agent_service_pb2, f"{name}Request"),
                getattr(agent_service_pb2, f"{name}Response"),
            )
        return handlers

    def _stream(self, name: str, method: Any, request_type: Any, response_type: Any) -> Any:
        async def handle(request: Any, context: Any) -> AsyncIterator[Any]:
            await self._enter(name, request, context)
            async for answer in method(name, request, response_type, context):
                yield answer

        return grpc.unary_stream_rpc_method_handler(
            handle, request_deserializer=request_type.FromString, response_serializer=response_type.SerializeToString
        )

    def _unary(self, name: str, method: Any, request_type: Any, response_type: Any) -> Any:
        async def handle(request: Any, context: Any) -> Any:
            await self._enter(name, request, context)
            return method(response_type)

        return grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=request_type.FromString, response_serializer=response_type.SerializeToString
        )

    async def _enter(self, name: str, request: Any, context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        self.asked.append((name, request, metadata))
        if name in self.before:
            try:
                outcome = self.before[name](request)
                if asyncio.iscoroutine(outcome):
                    await outcome
            except Refuse as refuse:
                trailers = (
                    [("modctl-error-bin", refuse.detail.SerializeToString())] if refuse.detail is not None else []
                )
                await context.abort(refuse.code, refuse.details, tuple(trailers))

    def _chosen(self, context: Any) -> list[process_pb2.Process]:
        selector = dict(context.invocation_metadata()).get("modctl-process", "")
        if selector == "all":
            return self.processes
        if selector == "any":
            return self.processes[:1]
        wanted = str(selector).split(",")
        return [each for each in self.processes if each.id in wanted or str(each.pid) in wanted]

    def _refs(self, context: Any) -> list[tuple[process_pb2.Process, process_pb2.ProcessRef]]:
        return [
            (each, process_pb2.ProcessRef(id=each.id, service=each.service, pid=each.pid))
            for each in self._chosen(context)
        ]

    def _agent(self, response_type: Any) -> Any:
        return response_type(modctl_version="0.1.0", service="shop", host="web-1", identity="uid:1000")

    def _processes(self, response_type: Any) -> Any:
        return response_type(processes=self.processes)

    async def _list(self, name: str, request: Any, response_type: Any, context: Any) -> AsyncIterator[Any]:
        from fnmatch import fnmatchcase

        for each, ref in self._refs(context):
            rows = [
                row
                for row in self.modules[each.pid]
                if (not request.patterns or any(fnmatchcase(row.name, glob) for glob in request.patterns))
                and (not request.kinds or row.kind in request.kinds)
                and (not request.states or row.state in request.states)
            ]
            error = self.results.get(each.pid)
            if isinstance(error, error_pb2.ErrorDetail):
                yield response_type(process=ref, error=error)
                continue
            for start in range(0, max(1, len(rows)), BATCH):
                yield response_type(process=ref, modules=rows[start : start + BATCH])

    async def _get(self, name: str, request: Any, response_type: Any, context: Any) -> AsyncIterator[Any]:
        for each, ref in self._refs(context):
            found = next((row for row in self.modules[each.pid] if row.name == request.name), None)
            if found is None:
                detail = error_pb2.ErrorDetail(
                    code="NOT_FOUND", reason="MODULE_NOT_FOUND", message=f"{request.name} is not loaded"
                )
                yield response_type(process=ref, error=detail)
                continue
            answer = response_type(
                process=ref,
                module=found,
                spec=module_pb2.ModuleSpec(name=found.name, loader="SourceFileLoader", origin=found.origin),
                importers=["app.views"],
                exports=[module_pb2.Export(name="rate", kind="function", line=3)],
                history=self.revisions,
                attributes=[
                    module_pb2.AttributeValue(name=attribute, type="int", value="19")
                    for attribute in request.attributes
                ],
            )
            if request.with_source:
                answer.source = f"# {found.name}\nRATE = 19\n"
            yield answer

    async def _change(self, name: str, request: Any, response_type: Any, context: Any) -> AsyncIterator[Any]:
        for each, ref in self._refs(context):
            result = self.results.get(each.pid)
            if callable(result):
                result = result(request)
            if isinstance(result, error_pb2.ErrorDetail):
                yield response_type(process=ref, error=result)
            elif result != "silent":
                yield response_type(process=ref, result=result or applied("ACTION_EVICT", "billing.tax"))

    async def _history(self, name: str, request: Any, response_type: Any, context: Any) -> AsyncIterator[Any]:
        for _, ref in self._refs(context):
            yield response_type(process=ref, revisions=self.revisions[: request.limit or None])

    async def _watch(self, name: str, request: Any, response_type: Any, context: Any) -> AsyncIterator[Any]:
        for _, ref in self._refs(context):
            yield response_type(process=ref)
        while True:
            event = await self.events.get()
            for _, ref in self._refs(context)[:1]:
                yield response_type(process=ref, events=[event])

    async def _gate(self, name: str, request: Any, response_type: Any, context: Any) -> AsyncIterator[Any]:
        for each, ref in self._refs(context):
            each.frozen = name == "Freeze"
            each.frozen_reason = getattr(request, "reason", "")
            yield response_type(process=ref, state=each)
