"""modctl.v1.ModuleService, changing: every verb is a change set, prepared once and sent to each process."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, Final

from modctl.gateway import validation
from modctl.gateway.analysis.rounds import Analysis, Offers
from modctl.gateway.changes import Change, encoded, undo_body
from modctl.gateway.errors import NOT_ASKED, CallFailure, ContentRefusedError, clean
from modctl.gateway.messages import make, parse
from modctl.gateway.rpc import Call, Method
from modctl.gateway.sources import Sources
from modctl.v1 import change_pb2, module_service_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Executor

    from modctl.gateway.analysis.rounds import Ask
    from modctl.gateway.presence import ConnectedProcess

#: How long a prepared change is held where nothing is said, and at most, in seconds.
DEFAULT_LEASE_S: Final = 30.0
MAX_LEASE_S: Final = 300.0
#: Reasons for which a process may not say where sources are; then it loads them itself, or says why it does not.
_UNRESOLVED: Final = frozenset({"UNKNOWN_OP", "MODULE_NOT_FOUND"})


class ChangeService:
    """Implements the changing part of ModuleService.

    Args:
        compiling: the thread that unpacks, reads and compiles.
    """

    def __init__(self, compiling: Executor) -> None:
        self._compiling = compiling
        self._sources = Sources()
        self._analysis = Analysis(self._in_thread)

    def methods(self) -> dict[str, Method]:
        """The service's RPCs that change something."""
        api = module_service_pb2
        return {
            "ImportModules": Method(api.ImportModulesRequest, api.ImportModulesResponse, self.import_modules),
            "InjectModule": Method(api.InjectModuleRequest, api.InjectModuleResponse, self.inject_module),
            "EvictModules": Method(api.EvictModulesRequest, api.EvictModulesResponse, self.evict_modules),
            "ReimportModules": Method(api.ReimportModulesRequest, api.ReimportModulesResponse, self.reimport_modules),
            "ApplyChanges": Method(api.ApplyChangesRequest, api.ApplyChangesResponse, self.apply_changes),
            "PrepareChanges": Method(api.PrepareChangesRequest, api.PrepareChangesResponse, self.prepare_changes),
            "Undo": Method(api.UndoRequest, api.UndoResponse, self.undo),
        }

    async def import_modules(self, call: Call, request: module_service_pb2.ImportModulesRequest) -> None:
        """Makes sure that modules are loaded."""
        operation = change_pb2.ImportOperation
        await self._change(
            call, (change_pb2.Operation(import_module=operation(name=name)) for name in request.names), request.options
        )

    async def inject_module(self, call: Call, request: module_service_pb2.InjectModuleRequest) -> None:
        """Puts a made module in."""
        await self._change(call, [change_pb2.Operation(inject=request.operation)], request.options)

    async def evict_modules(self, call: Call, request: module_service_pb2.EvictModulesRequest) -> None:
        """Removes entries."""
        await self._change(call, (change_pb2.Operation(evict=one) for one in request.operations), request.options)

    async def reimport_modules(self, call: Call, request: module_service_pb2.ReimportModulesRequest) -> None:
        """Brings in code anew."""
        await self._change(call, (change_pb2.Operation(reimport=one) for one in request.operations), request.options)

    async def apply_changes(self, call: Call, request: module_service_pb2.ApplyChangesRequest) -> None:
        """Does many operations as one."""
        await self._change(call, request.operations, request.options)

    async def prepare_changes(self, call: Call, request: module_service_pb2.PrepareChangesRequest) -> None:
        """Stages many operations and holds them."""
        lease_s = validation.seconds("lease_s", request.lease_s) or DEFAULT_LEASE_S
        if request.options.dry_run or not request.options.request_id:
            message = "a prepared change has a request_id, which its commit names, and is no dry run"
            raise CallFailure("INVALID_ARGUMENT", "BAD_REQUEST", message)
        await self._change(call, request.operations, request.options, min(lease_s, MAX_LEASE_S))

    async def undo(self, call: Call, request: module_service_pb2.UndoRequest) -> None:
        """Takes a revision back."""
        validation.options(request.options)
        request_id = request.options.request_id or uuid.uuid4().hex
        body = undo_body(request, request_id, call.identity)

        async def each(process: ConnectedProcess) -> None:
            await self._send(call, process, body)

        await call.ask(call.chosen(), each)

    async def _change(
        self,
        call: Call,
        given: Iterable[change_pb2.Operation],
        options: change_pb2.ChangeOptions,
        lease_s: float = 0.0,
    ) -> None:
        operations = list(given)
        validation.options(options)
        validation.operations(operations)
        chosen = call.chosen()
        request_id = options.request_id or uuid.uuid4().hex
        options.request_id = request_id
        try:
            change, ready = await self._in_thread(
                lambda: _prepared(Change(operations, options, call.identity, self._sources, lease_s, call.limits))
            )
        except ContentRefusedError as refused:
            result = _refusal(refused, request_id)

            async def refuse(process: ConnectedProcess) -> None:
                await call.write(call.result(process, result=result))

            await call.ask(chosen, refuse)
            return
        bodies, offers = Bodies(change, ready, self._in_thread), Offers()

        async def each(process: ConnectedProcess) -> None:
            try:
                attached = process.hello.get("attached_code") is True
                body = await bodies.of(await self._resolved(call, process, change), attached=attached)
            except ContentRefusedError as refused:
                await call.write(call.result(process, result=_refusal(refused, request_id)))
                return
            in_place = change.in_place()
            if in_place is None or not process.hello.get("attachments"):  # an older agent plans by itself
                await self._send(call, process, body)
                return
            names, sent = in_place
            told = await self._analysis.change(process.id, body, names, sent, self._asking(call, process), offers)
            await call.write(call.result(process, result=make(change_pb2.ChangeResult, told)))

        await call.ask(chosen, each)

    async def _send(self, call: Call, process: ConnectedProcess, body: bytes) -> None:
        told = await self._asking(call, process)(body)
        await call.write(call.result(process, result=make(change_pb2.ChangeResult, told)))

    @staticmethod
    def _asking(call: Call, process: ConnectedProcess) -> Ask:
        async def ask(body: bytes) -> dict[str, Any]:
            with process.connection.call(body, call.deadline_s) as answers:
                return await answers.only()

        return ask

    async def _resolved(self, call: Call, process: ConnectedProcess, change: Change) -> tuple[bytes, ...]:
        """Where the process would find the sources of what is to be brought in anew: one answer for each reimport."""
        answers: list[bytes] = []
        for name, recursive in change.resolutions():
            body = encoded({"op": "resolve", "names": [name], "recursive": recursive})
            try:
                with process.connection.call(body, call.deadline_s) as frames:
                    answers.append(b"".join([frame async for frame in frames]))
            except CallFailure as failure:
                if failure.reason not in _UNRESOLVED:
                    raise _not_asked(failure) from failure
                answers.append(b"")
        return tuple(answers)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._compiling, work)


class Bodies:
    """What is sent to each process: made once for all processes that find their sources in the same places.

    Args:
        change: what is asked for.
        ready: the one for agents that take attachments, where processes need not say where their sources are; or None.
        in_thread: runs something where it may block.
    """

    def __init__(self, change: Change, ready: bytes | None, in_thread: Callable[[Callable[[], Any]], Any]) -> None:
        self._change = change
        self._ready = ready
        self._in_thread = in_thread
        self._made: dict[tuple[tuple[bytes, ...], bool], asyncio.Future[bytes]] = {}

    async def of(self, resolved: tuple[bytes, ...], *, attached: bool) -> bytes:
        """The request for a process that answered so.

        Args:
            resolved: what it answered.
            attached: whether its agent takes code behind the JSON.

        Raises:
            ContentRefusedError: a file cannot be compiled.
            CallFailure: the answer cannot be understood.
        """
        if self._ready is not None and attached:
            return self._ready
        made = self._made.get((resolved, attached))
        if made is None:
            made = self._made[resolved, attached] = asyncio.ensure_future(self._make(resolved, attached=attached))
        return await asyncio.shield(made)

    async def _make(self, resolved: tuple[bytes, ...], *, attached: bool) -> bytes:
        found = [_modules(answer) for answer in resolved]
        body: bytes = await self._in_thread(lambda: self._change.body(found, attached=attached))
        return body


def _prepared(change: Change) -> tuple[Change, bytes | None]:
    """A change, and what is sent of it where that depends on no process. Compiles: call it in a worker thread."""
    return change, None if change.resolutions() else change.body(attached=True)


def _not_asked(failure: CallFailure) -> CallFailure:
    """The failure of a process that was to say where sources are, before anything was to be done."""
    message = failure.message
    if failure.code in ("DEADLINE_EXCEEDED", "UNAVAILABLE"):
        message = (
            f"the process did not say where its sources are ({failure.reason}), so it was not asked to change "
            "anything: nothing was done"
        )
    return CallFailure(failure.code, failure.reason, message, {**failure.metadata, **NOT_ASKED})


def _modules(answer: bytes) -> list[dict[str, Any]]:
    told = parse(answer).get("modules") if answer else []
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []


def _refusal(refused: ContentRefusedError, request_id: str) -> change_pb2.ChangeResult:
    """The result of a change that no process has heard of."""
    faults = refused.faults
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    first = faults[0]
    why = str(first.error) if first.error is not None else first.rule
    return change_pb2.ChangeResult(
        outcome=change_pb2.OUTCOME_REFUSED,
        request_id=request_id,
        message=clean(f"{first.name}: {why}{more}; nothing was touched"),
        modules=[
            change_pb2.ModuleChange(
                name=fault.name,
                action=fault.action,
                refusal=change_pb2.Refusal(reason=fault.reason, rule=clean(fault.rule), hint=fault.hint),
                error=None if fault.error is None else fault.error.to_message(),
            )
            for fault in faults
        ],
    )
