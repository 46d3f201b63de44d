"""From protobuf to facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.client import facts, wire
from modctl.v1 import agent_service_pb2, change_pb2, process_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.v1 import error_pb2, module_pb2, module_service_pb2


ROLES = wire.short_names(process_pb2.ProcessRole, "PROCESS_ROLE_")
OUTCOMES = wire.short_names(change_pb2.Outcome, "OUTCOME_")
ACTIONS = wire.short_names(change_pb2.Action, "ACTION_")
TIERS = wire.short_names(change_pb2.Tier, "TIER_")


def process(message: process_pb2.Process, identity: str = "") -> facts.Process:
    """A process."""
    return facts.Process(
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


#: A ListProcessesRequest that wakes no process: whom a change will reach, the gateway knows.
AS_KNOWN = agent_service_pb2.ListProcessesRequest(as_known=True).SerializeToString()


def processes(answer: bytes, identity: str = "") -> list[facts.Process]:
    """A ListProcessesResponse."""
    message = agent_service_pb2.ListProcessesResponse.FromString(answer)
    return [process(each, identity) for each in message.processes]


def identity(answer: bytes) -> str:
    """Who the caller is, of a GetAgentResponse."""
    return agent_service_pb2.GetAgentResponse.FromString(answer).identity


def module(message: module_pb2.Module) -> facts.Module:
    """An entry."""
    return facts.Module(
        message.name,
        wire.KINDS.get(message.kind, str(message.kind)),
        message.origin,
        message.package,
        message.generation,
        message.digest,
        wire.STATES.get(message.state, str(message.state)),
        message.order,
        message.import_ms if message.HasField("import_ms") else None,
        message.import_self_ms if message.HasField("import_self_ms") else None,
        message.size_bytes if message.HasField("size_bytes") else None,
        message.alias_of,
        message.initializing,
        message.expires_at_unix_s if message.HasField("expires_at_unix_s") else None,
    )


def detail(message: module_service_pb2.GetModuleResponse) -> facts.ModuleDetail:
    """Everything about one entry."""
    spec = message.spec
    return facts.ModuleDetail(
        module=module(message.module),
        spec=facts.ModuleSpec(
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
        exports=tuple(facts.Export(each.name, each.kind, each.line, each.defined_in) for each in message.exports),
        holders=tuple(_holder(each) for each in message.holders),
        history=tuple(revision(each) for each in message.history),
        source=message.source if message.HasField("source") else None,
        source_error=message.source_error,
        disk_source=message.disk_source if message.HasField("disk_source") else None,
        attributes=tuple(
            facts.AttributeValue(each.name, each.type, each.value, each.truncated, each.error)
            for each in message.attributes
        ),
        locks=tuple(
            facts.Lock(each.kind, each.what, each.thread, each.task, each.held_s, each.place) for each in message.locks
        ),
    )


def _holder(message: module_pb2.Holder) -> facts.Holder:
    return facts.Holder(message.holder, message.name, message.kind)


def _optional(message: Any, name: str, make: Callable[[Any], Any]) -> Any:
    return make(getattr(message, name)) if message.HasField(name) else None


def _version(message: change_pb2.Version) -> facts.Version:
    return facts.Version(message.generation, message.digest)


def _symbols(message: change_pb2.Symbols) -> facts.Symbols:
    return facts.Symbols(
        tuple(message.changed),
        tuple(message.added),
        tuple(message.removed),
        tuple(message.replaced),
        tuple(message.kept),
    )


def _python_error(message: error_pb2.PythonError) -> facts.PythonError:
    return facts.PythonError(
        message.type, message.message, message.traceback, message.file, message.line, message.column
    )


def module_change(message: change_pb2.ModuleChange) -> facts.ModuleChange:
    """What a change did to one entry."""
    return facts.ModuleChange(
        name=message.name,
        action=ACTIONS.get(message.action, str(message.action)),
        tier=TIERS.get(message.tier, str(message.tier)),
        before=_optional(message, "before", _version),
        after=_optional(message, "after", _version),
        symbols=_optional(message, "symbols", _symbols),
        stale=tuple(_holder(each) for each in message.stale),
        refusal=_optional(message, "refusal", lambda each: facts.Refusal(each.reason, each.rule, each.hint)),
        error=_optional(message, "error", _python_error),
        import_ms=message.import_ms,
        cached=message.cached,
    )


def change(message: change_pb2.ChangeResult) -> facts.ChangeResult:
    """What a change set did to one process."""
    return facts.ChangeResult(
        outcome=OUTCOMES.get(message.outcome, str(message.outcome)) or "UNKNOWN",
        revision=message.revision,
        undoable=message.undoable,
        duration_ms=message.duration_ms,
        paused_ms=message.paused_ms,
        modules=tuple(module_change(each) for each in message.modules),
        message=message.message,
        side_effects=tuple(message.side_effects),
        request_id=message.request_id,
        confirm_by_unix_s=message.confirm_by_unix_s,
        shield_wait_ms=message.shield_wait_ms,
        old_code=tuple(message.old_code),
    )


def revision(message: change_pb2.Revision) -> facts.Revision:
    """A committed change set."""
    return facts.Revision(
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
        confirm_by_unix_s=message.confirm_by_unix_s if message.HasField("confirm_by_unix_s") else None,
    )
