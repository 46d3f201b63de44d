"""Requests as bytes, and how the answers to each are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from modctl.client import convert, results
from modctl.client.errors import UsageError
from modctl.client.operations import MAX_REQUEST_BYTES, Evict, Import, Inject, Reimport
from modctl.v1 import agent_service_pb2 as agent_pb
from modctl.v1 import change_pb2, module_pb2
from modctl.v1 import module_service_pb2 as service_pb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message
    from modctl.client.operations import ChangeOptions, Operation

_MODULE_SERVICE = "/modctl.v1.ModuleService/"
_AGENT_SERVICE = "/modctl.v1.AgentService/"
GET_AGENT = f"{_AGENT_SERVICE}GetAgent"
LIST_PROCESSES = f"{_AGENT_SERVICE}ListProcesses"
LIST_MODULES = f"{_MODULE_SERVICE}ListModules"
WATCH_MODULES = f"{_MODULE_SERVICE}WatchModules"


class Answer(NamedTuple):
    """One answer of one process: its (id, service, pid), and a value or the reason why there is none."""

    process: tuple[str, str, int]
    value: object
    error: results.Failure | None


class Request(NamedTuple):
    """One call: where to, what, and how its answers are read."""

    method: str
    body: bytes
    read: Callable[[bytes], Answer]
    changes: bool


def _request(method: str, message: Message, read: Callable[[bytes], Answer], changes: bool) -> Request:
    body = message.SerializeToString()
    if len(body) > MAX_REQUEST_BYTES:
        raise UsageError(
            f"the request has {len(body) / 2**20:.1f} MiB and targets take {MAX_REQUEST_BYTES // 2**20} MiB; send less"
        )
    return Request(method, body, read, changes)


def _read(message: Message, value: Callable[[], object]) -> Answer:
    process = message.process  # type: ignore[attr-defined]
    if message.HasField("error"):
        return Answer((process.id, process.service, process.pid), None, convert.failure(message.error))  # type: ignore[attr-defined]
    return Answer((process.id, process.service, process.pid), value(), None)


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


def get_module(name: str, with_source: bool, attributes: Sequence[str], deep: bool) -> Request:
    """Everything about one entry."""

    def read(body: bytes) -> Answer:
        message = service_pb.GetModuleResponse.FromString(body)
        return _read(message, lambda: convert.detail(message))

    message = service_pb.GetModuleRequest(name=name, with_source=with_source, attributes=list(attributes), deep=deep)
    return _request(f"{_MODULE_SERVICE}GetModule", message, read, changes=False)


def list_revisions(limit: int) -> Request:
    """The history, newest first."""

    def read(body: bytes) -> Answer:
        message = service_pb.ListRevisionsResponse.FromString(body)
        return _read(message, lambda: tuple(convert.revision(each) for each in message.revisions))

    return _request(
        f"{_MODULE_SERVICE}ListRevisions", service_pb.ListRevisionsRequest(limit=limit), read, changes=False
    )


def watch_modules(patterns: Sequence[str], since_revision: int | None) -> bytes:
    """A WatchModulesRequest."""
    message = service_pb.WatchModulesRequest(patterns=list(patterns))
    if since_revision is not None:
        message.since_revision = since_revision
    return message.SerializeToString()


def read_events(target: str, body: bytes) -> tuple[str, list[results.ModuleEvent], results.Failure | None]:
    """A WatchModulesResponse: the process's id, what happened, and why no more will come."""
    message = service_pb.WatchModulesResponse.FromString(body)
    names = convert.short_names(service_pb.ModuleEventType, "MODULE_EVENT_TYPE_")
    events = [
        results.ModuleEvent(
            target=target,
            process=message.process.id,
            service=message.process.service,
            pid=message.process.pid,
            type=names.get(event.type, str(event.type)),
            module=convert.module(event.module),
            revision=event.revision,
            seen_at_unix_s=event.seen_at_unix_s,
        )
        for event in message.events
    ]
    return message.process.id, events, convert.failure(message.error) if message.HasField("error") else None


def freeze(reason: str) -> Request:
    """Makes processes refuse every change."""

    def read(body: bytes) -> Answer:
        message = agent_pb.FreezeResponse.FromString(body)
        return _read(message, lambda: convert.process(message.state))

    return _request(f"{_AGENT_SERVICE}Freeze", agent_pb.FreezeRequest(reason=reason), read, changes=True)


def thaw() -> Request:
    """Allows changes again."""

    def read(body: bytes) -> Answer:
        message = agent_pb.ThawResponse.FromString(body)
        return _read(message, lambda: convert.process(message.state))

    return _request(f"{_AGENT_SERVICE}Thaw", agent_pb.ThawRequest(), read, changes=True)


def undo(revision: int, options: ChangeOptions) -> Request:
    """Takes a revision back; 0 is the newest that stands."""

    def read(body: bytes) -> Answer:
        message = service_pb.UndoResponse.FromString(body)
        return _read(message, lambda: convert.change(message.result))

    return _request(
        f"{_MODULE_SERVICE}Undo",
        service_pb.UndoRequest(revision=revision, options=_options(options)),
        read,
        changes=True,
    )


def change(operations: Sequence[Operation], options: ChangeOptions) -> Request:
    """A change set. Where all of it is one verb, that verb's own call is used: roles are given verb by verb.

    Raises:
        UsageError: there is nothing in it, or too much.
    """
    if not operations:
        raise UsageError("nothing to do: the change set has no operations")
    kinds = {type(operation) for operation in operations}
    if kinds == {Import}:
        names = [operation.name for operation in operations]
        imports = service_pb.ImportModulesRequest(names=names, options=_options(options))
        return _changing("ImportModules", imports, service_pb.ImportModulesResponse)
    if kinds == {Inject} and len(operations) == 1:
        inject = service_pb.InjectModuleRequest(operation=_message(operations[0]).inject, options=_options(options))
        return _changing("InjectModule", inject, service_pb.InjectModuleResponse)
    messages = [_message(operation) for operation in operations]
    if kinds == {Evict}:
        evict = service_pb.EvictModulesRequest(operations=[each.evict for each in messages], options=_options(options))
        return _changing("EvictModules", evict, service_pb.EvictModulesResponse)
    if kinds == {Reimport}:
        reimport = service_pb.ReimportModulesRequest(
            operations=[each.reimport for each in messages], options=_options(options)
        )
        return _changing("ReimportModules", reimport, service_pb.ReimportModulesResponse)
    apply = service_pb.ApplyChangesRequest(operations=messages, options=_options(options))
    return _changing("ApplyChanges", apply, service_pb.ApplyChangesResponse)


def _changing(method: str, message: Message, response: type[Message]) -> Request:
    def read(body: bytes) -> Answer:
        answer = response.FromString(body)
        return _read(answer, lambda: convert.change(answer.result))  # type: ignore[attr-defined]

    return _request(_MODULE_SERVICE + method, message, read, changes=True)


def _options(options: ChangeOptions) -> change_pb2.ChangeOptions:
    message = change_pb2.ChangeOptions(
        request_id=options.request_id,
        dry_run=options.dry_run,
        reason=options.reason,
        timeout_s=options.execution_timeout_s,
        override_protected=list(options.override_protected),
    )
    if options.expect_revision is not None:
        message.expect_revision = options.expect_revision
    return message


def _message(operation: Operation) -> change_pb2.Operation:
    if isinstance(operation, Import):
        return change_pb2.Operation(import_module=change_pb2.ImportOperation(name=operation.name))
    if isinstance(operation, Evict):
        return change_pb2.Operation(
            evict=change_pb2.EvictOperation(
                name=operation.name, recursive=operation.recursive, base_digest=operation.base_digest
            )
        )
    if isinstance(operation, Reimport):
        reimport = change_pb2.ReimportOperation(
            name=operation.name,
            mode=change_pb2.REIMPORT_MODE_PATCH if operation.mode == "patch" else change_pb2.REIMPORT_MODE_FRESH,
            recursive=operation.recursive,
            base_digest=operation.base_digest,
            ttl_s=operation.ttl_s,
        )
        if operation.source is not None:
            reimport.source = _bytes(operation.source)
        return change_pb2.Operation(reimport=reimport)
    return change_pb2.Operation(inject=_inject(operation))


def _inject(operation: Inject) -> change_pb2.InjectOperation:
    message = change_pb2.InjectOperation(
        name=operation.name,
        replace=operation.replace,
        ttl_s=operation.ttl_s,
        base_digest=operation.base_digest,
        filename=operation.filename,
    )
    if operation.source is not None:
        message.source = _bytes(operation.source)
    elif operation.package is not None:
        files = [change_pb2.PackageFile(path=path, content=content) for path, content in operation.package.items()]
        message.package.CopyFrom(change_pb2.PackageFiles(files=files))
    elif operation.archive is not None:
        message.archive = operation.archive
    elif operation.attributes is not None:
        try:
            attributes = {key: json.dumps(value) for key, value in operation.attributes.items()}
        except (TypeError, ValueError) as error:
            raise UsageError(f"inject {operation.name}: an attribute's value is not JSON: {error}") from error
        message.attributes.CopyFrom(change_pb2.Attributes(json=attributes))
    elif operation.alias_of is not None:
        message.alias_of = operation.alias_of
    else:
        message.block = True
    return message


def _bytes(source: str | bytes) -> bytes:
    return source.encode("utf-8") if isinstance(source, str) else source
