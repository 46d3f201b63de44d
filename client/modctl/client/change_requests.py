"""Requests that change something, as bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from modctl.client import convert
from modctl.client.errors import UsageError
from modctl.client.operations import Evict, Import, Inject, Reimport
from modctl.client.requests import AGENT_SERVICE, MODULE_SERVICE, Request, make
from modctl.v1 import agent_service_pb2 as agent_pb
from modctl.v1 import change_pb2
from modctl.v1 import module_service_pb2 as service_pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message
    from modctl.client.operations import ChangeOptions, Operation


def freeze(reason: str) -> Request:
    """Makes processes refuse every change."""

    return make(f"{AGENT_SERVICE}Freeze", agent_pb.FreezeRequest(reason=reason), agent_pb.FreezeResponse, _state, True)


def thaw() -> Request:
    """Allows changes again."""

    return make(f"{AGENT_SERVICE}Thaw", agent_pb.ThawRequest(), agent_pb.ThawResponse, _state, True)


def undo(revision: int, options: ChangeOptions) -> Request:
    """Takes a revision back; 0 is the newest that stands."""

    request = service_pb.UndoRequest(revision=revision, options=options_of(options))
    return _changing("Undo", request, service_pb.UndoResponse)


def confirm(revision: int, reason: str) -> Request:
    """Lets a change stand that takes itself back unless it is confirmed; 0 is every one that waits."""

    request = service_pb.ConfirmChangesRequest(revision=revision, reason=reason)
    return _changing("ConfirmChanges", request, service_pb.ConfirmChangesResponse)


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
        imports = service_pb.ImportModulesRequest(names=names, options=options_of(options))
        return _changing("ImportModules", imports, service_pb.ImportModulesResponse)
    if kinds == {Inject} and len(operations) == 1:
        inject = service_pb.InjectModuleRequest(operation=message_of(operations[0]).inject, options=options_of(options))
        return _changing("InjectModule", inject, service_pb.InjectModuleResponse)
    messages = [message_of(operation) for operation in operations]
    if kinds == {Evict}:
        evict = service_pb.EvictModulesRequest(
            operations=[each.evict for each in messages], options=options_of(options)
        )
        return _changing("EvictModules", evict, service_pb.EvictModulesResponse)
    if kinds == {Reimport}:
        reimport = service_pb.ReimportModulesRequest(
            operations=[each.reimport for each in messages], options=options_of(options)
        )
        return _changing("ReimportModules", reimport, service_pb.ReimportModulesResponse)
    apply = service_pb.ApplyChangesRequest(operations=messages, options=options_of(options))
    return _changing("ApplyChanges", apply, service_pb.ApplyChangesResponse)


def _changing(method: str, message: Message, response: type[Message]) -> Request:
    return make(MODULE_SERVICE + method, message, response, lambda told: convert.change(told.result), changes=True)


def _state(told: agent_pb.FreezeResponse | agent_pb.ThawResponse) -> object:
    return convert.process(told.state)


def options_of(options: ChangeOptions) -> change_pb2.ChangeOptions:
    """What every change can carry, as a message."""
    message = change_pb2.ChangeOptions(
        request_id=options.request_id,
        dry_run=options.dry_run,
        reason=options.reason,
        timeout_s=options.execution_timeout_s,
        override_protected=list(options.override_protected),
        signatures=[change_pb2.Signature(**one._asdict()) for one in options.signatures],
        confirm_within_s=options.confirm_within_s,
        ttl_s=options.ttl_s,
        shield_wait_s=options.shield_wait_s,
        not_transactional=options.not_transactional,
        wait_drained_s=options.wait_drained_s,
    )
    if options.services != "refuse":
        message.services = change_pb2.LiveServices.Value(  # type: ignore[assignment]  # the stub wants the enum's type
            f"LIVE_SERVICES_{options.services.upper()}"
        )
    if options.expect_revision is not None:
        message.expect_revision = options.expect_revision
    return message


def message_of(operation: Operation) -> change_pb2.Operation:
    """One operation, as a message."""
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
