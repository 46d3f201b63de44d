"""Requests as bytes, and how the answers to each are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.client import wire
from modctl.client.errors import UsageError
from modctl.client.limits import MAX_REQUEST_BYTES
from modctl.v1 import module_pb2
from modctl.v1 import module_service_pb2 as service_pb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message
    from modctl.client.facts import ModuleEvent as Event
    from modctl.client.results import Failure

MODULE_SERVICE = "/modctl.v1.ModuleService/"
AGENT_SERVICE = "/modctl.v1.AgentService/"
GET_AGENT = f"{AGENT_SERVICE}GetAgent"
LIST_PROCESSES = f"{AGENT_SERVICE}ListProcesses"
LIST_MODULES = f"{MODULE_SERVICE}ListModules"
WATCH_MODULES = f"{MODULE_SERVICE}WatchModules"


class Answer:
    """One answer of one process.

    Args:
        process: its (id, service, pid).
        value: what it says.
        error: why it says nothing.
    """

    __slots__ = ("error", "process", "value")

    def __init__(self, process: tuple[str, str, int], value: object, error: Failure | None) -> None:
        self.process = process
        self.value = value
        self.error = error


class Request:
    """One call.

    Args:
        method: its full path.
        body: the serialised request.
        response: the message that it is answered with.
        value: what such a message says, where it says something.
        changes: whether it asks for a change.
    """

    __slots__ = ("body", "changes", "method", "response", "value")

    def __init__(
        self, method: str, body: bytes, response: type[Message], value: Callable[[Any], object], changes: bool
    ) -> None:
        self.method = method
        self.body = body
        self.response = response
        self.value = value
        self.changes = changes

    def read(self, body: bytes) -> list[Answer]:
        """The answers in a message that came: of one process, or of several together."""
        message: Any = self.response.FromString(body)
        return [self._answer(each) for each in (message, *getattr(message, "more", ()))]

    def _answer(self, message: Any) -> Answer:
        process = (message.process.id, message.process.service, message.process.pid)
        if message.HasField("error"):
            return Answer(process, None, wire.failure(message.error))
        return Answer(process, self.value(message), None)


def make(
    method: str, message: Message, response: type[Message], value: Callable[[Any], object], changes: bool
) -> Request:
    """The call; see Request.

    Raises:
        UsageError: it is larger than targets take.
    """
    body = message.SerializeToString()
    if len(body) > MAX_REQUEST_BYTES:
        raise UsageError(
            f"the request has {len(body) / 2**20:.1f} MiB and targets take {MAX_REQUEST_BYTES // 2**20} MiB; send less"
        )
    return Request(method, body, response, value, changes)


def list_modules(
    patterns: Sequence[str], kinds: Sequence[str], states: Sequence[str], basic: bool, with_size: bool
) -> bytes:
    """A ListModulesRequest.

    Raises:
        UsageError: a kind or state that is none.
    """
    return service_pb.ListModulesRequest(
        patterns=list(patterns),
        kinds=[_value(module_pb2.ModuleKind.keys(), "MODULE_KIND_", "kind", kind) for kind in kinds],
        states=[_value(module_pb2.ModuleState.keys(), "MODULE_STATE_", "state", state) for state in states],
        view=module_pb2.MODULE_VIEW_BASIC if basic else module_pb2.MODULE_VIEW_FULL,
        with_size=with_size,
    ).SerializeToString()


def _value(names: Sequence[str], prefix: str, what: str, text: str) -> str:
    """The enum value's full name."""
    known = sorted(name.removeprefix(prefix) for name in names if not name.endswith("_UNSPECIFIED"))
    if text.upper() not in known:
        raise UsageError(f"{what} {text!r} is not known; it is one of {', '.join(known)}")
    return prefix + text.upper()


def get_module(
    name: str,
    with_source: bool,
    attributes: Sequence[str],
    deep: bool,
    with_locks: bool = False,
    with_disk_source: bool = False,
) -> Request:
    """Everything about one entry."""
    from modctl.client import convert

    message = service_pb.GetModuleRequest(
        name=name,
        with_source=with_source,
        attributes=list(attributes),
        deep=deep,
        with_locks=with_locks,
        with_disk_source=with_disk_source,
    )
    return make(f"{MODULE_SERVICE}GetModule", message, service_pb.GetModuleResponse, convert.detail, changes=False)


def list_revisions(limit: int) -> Request:
    """The history, newest first."""
    from modctl.client import convert

    def value(message: service_pb.ListRevisionsResponse) -> object:
        return tuple(convert.revision(each) for each in message.revisions)

    message = service_pb.ListRevisionsRequest(limit=limit)
    return make(f"{MODULE_SERVICE}ListRevisions", message, service_pb.ListRevisionsResponse, value, changes=False)


def watch_modules(patterns: Sequence[str], since_revision: int | None) -> bytes:
    """A WatchModulesRequest."""
    message = service_pb.WatchModulesRequest(patterns=list(patterns))
    if since_revision is not None:
        message.since_revision = since_revision
    return message.SerializeToString()


def read_events(target: str, body: bytes) -> tuple[str, list[Event], Failure | None]:
    """A WatchModulesResponse: the process's id, what happened, and why no more will come."""
    from modctl.client.convert import module
    from modctl.client.facts import ModuleEvent

    message = service_pb.WatchModulesResponse.FromString(body)
    names = wire.short_names(service_pb.ModuleEventType, "MODULE_EVENT_TYPE_")
    events = [
        ModuleEvent(
            target=target,
            process=message.process.id,
            service=message.process.service,
            pid=message.process.pid,
            type=names.get(event.type, str(event.type)),
            module=module(event.module),
            revision=event.revision,
            seen_at_unix_s=event.seen_at_unix_s,
        )
        for event in message.events
    ]
    return message.process.id, events, wire.failure(message.error) if message.HasField("error") else None
