"""One call from start to end: who calls, is there room, what is asked, of whom, and how its failure is told.

Requests and answers cross grpc as bytes: what cannot be parsed is answered as every other bad request, and an answer
that is ready as bytes is not parsed to be serialized again. Handlers are registered without generated service code,
which would tie the gateway to the grpcio that it was generated with.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from modctl.gateway import answering, reflection, wire
from modctl.gateway.answering import Answering
from modctl.gateway.errors import CallFailure
from modctl.gateway.policy.model import DEFAULT
from modctl.gateway.routing import KEY, Chosen, choose, not_found, ref_of
from modctl.gateway.telemetry import texts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from modctl.gateway.guard import Guard
    from modctl.gateway.listener import Listener
    from modctl.gateway.policy.callers import Caller
    from modctl.gateway.presence import ConnectedProcess, Presence
    from modctl.gateway.strangers import Strangers
    from modctl.gateway.telemetry import Telemetry

_log = logging.getLogger(__name__)

MAX_CALLS: Final = 64
MAX_WATCHES: Final = 64
#: A call without a deadline of its own is bounded all the same; watches are not.
DEFAULT_DEADLINE_S: Final = 300.0
#: So long before the caller's deadline the answer must leave, to get there: seconds, and part of the whole.
MARGIN_S: Final = 0.25
MARGIN_PART: Final = 0.1
TRAILER: Final = "modctl-error-bin"

Context = grpc.aio.ServicerContext[Any, Any]


class Method(NamedTuple):
    """One RPC.

    Attributes:
        request: the message that it takes.
        response: the message that it answers with.
        handle: does it.
        streams: whether the response is a stream.
        watches: whether it lasts until cancelled.
        open: whether anybody may call it: health checks only.
        guarded: whether the policies have a say, beside the address that asks who calls.
    """

    request: type[Message]
    response: type[Message]
    handle: Callable[[Call, Any], Awaitable[None]]
    streams: bool = True
    watches: bool = False
    open: bool = False
    guarded: bool = True


class Call:
    """What a handler knows of its call.

    Attributes:
        identity: who calls.
        deadline_s: the event loop's time by which processes must have answered; None for a watch.
    """

    def __init__(self, method: Method, context: Context, presence: Presence, identity: str) -> None:
        self._method = method
        self._context = context
        self._presence = presence
        self._answering = Answering(context.write, _further(method, context))
        self.answer: bytes | None = None
        #: The last answer that was made, in bytes and as a message: whoever hears it need not parse it again.
        self._made: tuple[bytes, Any] = (b"", None)
        self._chosen: Chosen | None = None
        #: Hears every answer of a change, parsed: the audit log.
        self.on_answer: Callable[[Message], None] | None = None
        self.identity = identity
        #: Hears every process's answer to a change, as a message: telemetry.
        self.on_change: Callable[[str, Any], None] | None = None
        #: What the caller is to the policy; the guard says it.
        self.role = ""
        #: How much the call may bring; the guard says it.
        self.limits = DEFAULT.limits
        self.deadline_s = _deadline_s(context, watches=method.watches)

    @property
    def watches(self) -> bool:
        """Whether it lasts until cancelled."""
        return self._method.watches

    def chosen(self) -> Chosen:
        """The processes that the call is about: the same whenever it is asked, `any` too.

        Raises:
            CallFailure: there is none, or it does not say which.
        """
        if self._chosen is None:
            metadata = self._context.invocation_metadata() or ()
            self._chosen = choose([_text(value) for key, value in metadata if key == KEY], self._presence.all())
        return self._chosen

    async def write(self, answer: bytes) -> None:
        """Sends one answer; waits while the caller does not read."""
        if self.on_answer is not None:
            made, message = self._made
            self.on_answer(message if made is answer else self._method.response.FromString(answer))
        if not self._method.streams:
            self.answer = answer
            return
        await self._answering.write(answer)

    def failed(self, process: ConnectedProcess, failure: CallFailure) -> bytes:
        """The answer of a process that has none."""
        return process.prefix + self._error(failure)

    def result(self, process: ConnectedProcess, **fields: Any) -> bytes:
        """The answer of a process: the response's fields but `process`."""
        if self.on_change is not None and (changed := fields.get("result")) is not None:
            self.on_change(process.id, changed)
        message = self._method.response(process=process.ref, **fields)
        answer: bytes = message.SerializeToString()
        self._made = (answer, message)
        return answer

    async def ask(self, chosen: Chosen, each: Callable[[ConnectedProcess], Awaitable[None]]) -> None:
        """Does something with every process at once. A failure of one is its answer; the others go on."""
        self._answering.expect(len(chosen.missing) + len(chosen.processes))
        if len(chosen.processes) == 1 and not chosen.missing:
            await self.ask_one(chosen.processes[0], each)
            return
        tasks = [asyncio.ensure_future(self._miss(name)) for name in chosen.missing]
        tasks += [asyncio.ensure_future(self.ask_one(process, each)) for process in chosen.processes]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def ask_one(self, process: ConnectedProcess, each: Callable[[ConnectedProcess], Awaitable[None]]) -> None:
        """Does something with one process; its failure is its answer."""
        try:
            await each(process)
        except CallFailure as failure:
            await self.write(self.failed(process, failure))
        except grpc.aio.BaseError:
            raise
        except Exception as error:  # a fault of ours with one process is no reason to fail the others
            if self._context.done():
                raise
            _log.exception("answering for %s", process.id)
            await self.write(self.failed(process, internal(error)))

    async def _miss(self, name: str) -> None:
        failure = not_found([name], self._presence.all())
        await self.write(wire.field(1, ref_of(name).SerializeToString()) + self._error(failure))

    def _error(self, failure: CallFailure) -> bytes:
        number = self._method.response.DESCRIPTOR.fields_by_name["error"].number
        return wire.field(number, failure.to_message().SerializeToString())


class Admission:
    """How many calls run at once: more are refused at once, never queued."""

    def __init__(self) -> None:
        self._running = {False: 0, True: 0}

    def enter(self, *, watches: bool) -> None:
        """Takes a place.

        Raises:
            CallFailure: there is none.
        """
        most = MAX_WATCHES if watches else MAX_CALLS
        if self._running[watches] >= most:
            what = "watches" if watches else "calls"
            raise CallFailure(
                "RESOURCE_EXHAUSTED",
                "TOO_MANY_CALLS",
                f"{most} {what} run already; try again in a moment",
                {"limit": str(most)},
            )
        self._running[watches] += 1

    def leave(self, *, watches: bool) -> None:
        """Gives it back."""
        self._running[watches] -= 1


class Endpoint:
    """Everything that is served, for any number of listeners.

    Args:
        services: full service name to its methods by name.
        presence: who is connected.
        guard: says who may do what, and keeps the record.
        strangers: hears who is none.
    """

    def __init__(
        self,
        services: dict[str, dict[str, Method]],
        presence: Presence,
        guard: Guard,
        telemetry: Telemetry,
        strangers: Strangers,
    ) -> None:
        self._services = services
        self._telemetry = telemetry
        self._presence = presence
        self._guard = guard
        self._strangers = strangers
        self._admission = Admission()

    def handlers(self, listener: Listener) -> Sequence[grpc.GenericRpcHandler[Any, Any]]:
        """The handlers of one listener: they know through which address a call came."""
        return [
            grpc.method_handlers_generic_handler(
                service, {name: self._handler(listener, name, method) for name, method in methods.items()}
            )
            for service, methods in self._services.items()
        ]

    def add_reflection(self, listener: Listener, server: grpc.aio.Server) -> None:
        """Offers reflection where the package for it is installed and the listener allows it."""
        if listener.reflects:
            reflection.add(self._services, server)

    def _handler(self, listener: Listener, name: str, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        async def behave(data: bytes, context: Context) -> bytes | None:
            try:
                return await self._serve(listener, name, method, data, context)
            except CallFailure as failure:
                found = failure
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told that it is ours
                if context.done() or isinstance(error, grpc.aio.BaseError):
                    return None  # the caller is gone: writing to it is what failed
                _log.exception("a call failed")
                found = internal(error)
            await abort(context, found)
            return None

        if method.streams:
            return grpc.unary_stream_rpc_method_handler(behave)
        return grpc.unary_unary_rpc_method_handler(behave)

    async def _serve(
        self, listener: Listener, name: str, method: Method, data: bytes, context: Context
    ) -> bytes | None:
        caller = None if method.open else listener.caller(context)
        if caller is None:  # a health check, of anybody
            return await self._admitted(None, name, method, data, context)
        self._strangers.begin(caller.address, watches=method.watches)
        try:
            return await self._admitted(caller, name, method, data, context)
        finally:
            self._strangers.end(watches=method.watches)

    async def _admitted(
        self, caller: Caller | None, name: str, method: Method, data: bytes, context: Context
    ) -> bytes | None:
        self._admission.enter(watches=method.watches)
        try:
            call = Call(method, context, self._presence, caller.identity if caller else "anonymous")
            try:
                request = method.request.FromString(data)
            except DecodeError as error:
                message = f"the request is no {method.request.DESCRIPTOR.full_name}"
                raise CallFailure("INVALID_ARGUMENT", "BAD_REQUEST", message) from error
            told = self._telemetry.call(name, call.identity, lambda: texts(context.invocation_metadata()))
            with told as span:
                call.on_change = functools.partial(self._telemetry.changed, span)
                if caller is None or not method.guarded:
                    await method.handle(call, request)
                    return call.answer
                async with self._guard.admitted(call, caller, name, request, len(data)):
                    await method.handle(call, request)
            return call.answer
        finally:
            self._admission.leave(watches=method.watches)


async def abort(context: Context, failure: CallFailure) -> None:
    """Ends a call with a status and the detail beside it."""
    detail = failure.to_message()
    code = getattr(grpc.StatusCode, failure.code, grpc.StatusCode.INTERNAL)
    await context.abort(code, detail.message, ((TRAILER, detail.SerializeToString()),))


def internal(error: Exception) -> CallFailure:
    """The failure that is nobody's but ours."""
    return CallFailure(
        "INTERNAL", "INTERNAL", f"the gateway failed ({type(error).__name__}); gateway.log of the service says where"
    )


def _deadline_s(context: Context, *, watches: bool) -> float | None:
    if watches:
        return None
    left_s = context.time_remaining()
    if left_s is None or left_s > 365 * 86_400:
        left_s = DEFAULT_DEADLINE_S
    return asyncio.get_running_loop().time() + left_s - min(MARGIN_S, left_s * MARGIN_PART)


def _further(method: Method, context: Context) -> int:
    """The number of the field in which a response holds further ones; 0 where the caller does not take them so."""
    field = method.response.DESCRIPTOR.fields_by_name.get(answering.MORE)
    together = field is not None and any(key == answering.KEY for key, _ in context.invocation_metadata() or ())
    return field.number if field is not None and together else 0


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
