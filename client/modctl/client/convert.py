"""From protobuf to what the SDK shows, and back. No message leaves this file and `requests.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.client import results
from modctl.v1 import agent_service_pb2, change_pb2, error_pb2, module_pb2, process_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.v1 import module_service_pb2


def short_names(enum: Any, prefix: str) -> dict[int, str]:
    """Number to short name: MODULE_KIND_SOURCE is SOURCE. Zero, which says nothing, is ""."""
    return {number: "" if number == 0 else name.removeprefix(prefix) for name, number in enum.items()}


KINDS = short_names(module_pb2.ModuleKind, "MODULE_KIND_")
STATES = short_names(module_pb2.ModuleState, "MODULE_STATE_")
ROLES = short_names(process_pb2.ProcessRole, "PROCESS_ROLE_")
OUTCOMES = short_names(change_pb2.Outcome, "OUTCOME_")
ACTIONS = short_names(change_pb2.Action, "ACTION_")
TIERS = short_names(change_pb2.Tier, "TIER_")


def failure(detail: error_pb2.ErrorDetail) -> results.Failure:
    """A process's or a call's ErrorDetail."""
    return results.Failure(
        code=detail.code or "UNKNOWN",
        reason=detail.reason or detail.code or "UNKNOWN",
        message=detail.message or detail.reason or detail.code or "no reason was given",
        metadata=dict(detail.metadata),
    )


def failure_from_bytes(detail: bytes) -> results.Failure | None:
    """The trailer's ErrorDetail; None where there is none that can be read."""
    from google.protobuf.message import DecodeError

    if not detail:
        return None
    try:
        return failure(error_pb2.ErrorDetail.FromString(detail))
    except DecodeError:
        return None  # gRPC's own code and words are told instead


def process(message: process_pb2.Process, identity: str = "") -> results.Process:
    """A process."""
    return results.Process(
        id=message.id,
        service=message.service,
        host=message.host,
        pid=message.pid,
        parent_pid=message.parent_pid,
        started_at_unix_s=message.started_at_unix_s,
        python=message.python,
        implementation=message.implementation,
        modctl_version=message.modctl_version,
        role=ROLES.get(message.role, str(message.role)),
        labels=dict(sorted(message.labels.items())),
        revision=message.revision,
        frozen=message.frozen,
        frozen_reason=message.frozen_reason,
        entries=message.entries,
        command=message.command,
        addresses=tuple(message.addresses),
        insecure=message.insecure,
        warnings=tuple(message.warnings),
        identity=identity,
    )


def processes(answer: bytes, identity: str = "") -> list[results.Process]:
    """A ListProcessesResponse."""
    message = agent_service_pb2.ListProcessesResponse.FromString(answer)
    return [process(each, identity) for each in message.processes]


def identity(answer: bytes) -> str:
    """Who the caller is, of a GetAgentResponse."""
    return agent_service_pb2.GetAgentResponse.FromString(answer).identity


def module(message: module_pb2.Module) -> results.Module:
    """An entry."""
    return results.Module(
        message.name,
        KINDS.get(message.kind, str(message.kind)),
        message.origin,
        message.package,
        message.generation,
        message.digest,
        STATES.get(message.state, str(message.state)),
        message.order,
        message.import_ms if message.HasField("import_ms") else None,
        message.import_self_ms if message.HasField("import_self_ms") else None,
        message.size_bytes if message.HasField("size_bytes") else None,
        message.alias_of,
        message.initializing,
        message.expires_at_unix_s if message.HasField("expires_at_unix_s") else None,
    )


def detail(message: module_service_pb2.GetModuleResponse) -> results.ModuleDetail:
    """Everything about one entry."""
    spec = message.spec
    return results.ModuleDetail(
        module=module(message.module),
        spec=results.ModuleSpec(
            name=spec.name,
            loader=spec.loader,
            origin=spec.origin,
            cached=spec.cached,
            parent=spec.parent,
            submodule_search_locations=tuple(spec.submodule_search_locations),
            has_location=spec.has_location,
        )
        if message.HasField("spec")
        else None,
        importers=tuple(message.importers),
        exports=tuple(results.Export(each.name, each.kind, each.line, each.defined_in) for each in message.exports),
        holders=tuple(_holder(each) for each in message.holders),
        history=tuple(revision(each) for each in message.history),
        source=message.source if message.HasField("source") else None,
        source_error=message.source_error,
        attributes=tuple(
            results.AttributeValue(each.name, each.type, each.value, each.truncated, each.error)
            for each in message.attributes
        ),
    )


def _holder(message: module_pb2.Holder) -> results.Holder:
    return results.Holder(message.holder, message.name, message.kind)


def _optional(message: Any, name: str, make: Callable[[Any], Any]) -> Any:
    return make(getattr(message, name)) if message.HasField(name) else None


def _version(message: change_pb2.Version) -> results.Version:
    return results.Version(message.generation, message.digest)


def _symbols(message: change_pb2.Symbols) -> results.Symbols:
    return results.Symbols(
        tuple(message.changed),
        tuple(message.added),
        tuple(message.removed),
        tuple(message.replaced),
        tuple(message.kept),
    )


def _python_error(message: error_pb2.PythonError) -> results.PythonError:
    return results.PythonError(
        message.type, message.message, message.traceback, message.file, message.line, message.column
    )


def module_change(message: change_pb2.ModuleChange) -> results.ModuleChange:
    """What a change did to one entry."""
    return results.ModuleChange(
        name=message.name,
        action=ACTIONS.get(message.action, str(message.action)),
        tier=TIERS.get(message.tier, str(message.tier)),
        before=_optional(message, "before", _version),
        after=_optional(message, "after", _version),
        symbols=_optional(message, "symbols", _symbols),
        stale=tuple(_holder(each) for each in message.stale),
        refusal=_optional(message, "refusal", lambda each: results.Refusal(each.reason, each.rule, each.hint)),
        error=_optional(message, "error", _python_error),
        import_ms=message.import_ms,
        cached=message.cached,
    )


def change(message: change_pb2.ChangeResult) -> results.ChangeResult:
    """What a change set did to one process."""
    return results.ChangeResult(
        outcome=OUTCOMES.get(message.outcome, str(message.outcome)) or "UNKNOWN",
        revision=message.revision,
        undoable=message.undoable,
        duration_ms=message.duration_ms,
        paused_ms=message.paused_ms,
        modules=tuple(module_change(each) for each in message.modules),
        message=message.message,
        side_effects=tuple(message.side_effects),
        request_id=message.request_id,
    )


def revision(message: change_pb2.Revision) -> results.Revision:
    """A committed change set."""
    return results.Revision(
        number=message.number,
        committed_at_unix_s=message.committed_at_unix_s,
        identity=message.identity,
        reason=message.reason,
        modules=tuple(module_change(each) for each in message.modules),
        undoable=message.undoable,
        undoes=message.undoes,
        undone_by=message.undone_by,
        expires_at_unix_s=message.expires_at_unix_s if message.HasField("expires_at_unix_s") else None,
        request_id=message.request_id,
    )
