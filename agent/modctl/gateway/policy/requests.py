"""What a message of modctl.v1 asks for, in the words of `verbs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.gateway.policy.decide import Asked
from modctl.v1 import agent_service_pb2, change_pb2, module_service_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from google.protobuf.message import Message

_modules = module_service_pb2
_agents = agent_service_pb2


def asked_by(request: Message) -> tuple[Asked, ...]:
    """Everything that a request asks for. An undo's names are not in it: only the processes know them.

    Raises:
        LookupError: nobody has said what this message asks for; it must be refused.
    """
    found = _ASKING.get(type(request))
    if found is None:
        raise LookupError(f"no rule says who may send a {request.DESCRIPTOR.full_name}")
    return tuple(dict.fromkeys(found(request)))


def options_of(request: Message) -> change_pb2.ChangeOptions | None:
    """The options of a change; None of what is no change set."""
    return getattr(request, "options", None)


def operations_of(request: Any) -> list[change_pb2.Operation]:
    """The operations of a request that changes; empty of every other and of an undo."""
    if isinstance(request, _modules.ImportModulesRequest):
        operation = change_pb2.ImportOperation
        return [change_pb2.Operation(import_module=operation(name=name)) for name in request.names]
    if isinstance(request, _modules.InjectModuleRequest):
        return [change_pb2.Operation(inject=request.operation)]
    if isinstance(request, _modules.EvictModulesRequest):
        return [change_pb2.Operation(evict=one) for one in request.operations]
    if isinstance(request, _modules.ReimportModulesRequest):
        return [change_pb2.Operation(reimport=one) for one in request.operations]
    if isinstance(request, (_modules.ApplyChangesRequest, _modules.PrepareChangesRequest)):
        return list(request.operations)
    return []


def _changes(request: Any) -> Iterator[Asked]:
    for operation in operations_of(request):
        yield _operation(operation)


def _operation(operation: change_pb2.Operation) -> Asked:
    which = operation.WhichOneof("operation")
    if which == "import_module":
        return Asked("import", operation.import_module.name)
    if which == "evict":
        return Asked("evict", operation.evict.name, operation.evict.recursive)
    if which == "reimport":
        reimport = operation.reimport
        live = reimport.mode == change_pb2.REIMPORT_MODE_PATCH
        verb = "send" if reimport.HasField("source") else "reload" if live else "reimport"
        return Asked(verb, reimport.name, reimport.recursive)
    # What is none of them is refused by the validation; until then it counts as the most that there is.
    inject = operation.inject
    return Asked("inject", inject.name, inject.WhichOneof("content") in ("package", "archive"))


def _get(request: module_service_pb2.GetModuleRequest) -> Iterator[Asked]:
    yield Asked("get", request.name)
    if request.with_source or request.with_disk_source:
        yield Asked("source", request.name)
    if request.attributes:
        yield Asked("attributes", request.name)


def _only(verb: str) -> Callable[[Any], Iterable[Asked]]:
    return lambda _: (Asked(verb),)


_ASKING: dict[type[Message], Callable[[Any], Iterable[Asked]]] = {
    _modules.ListModulesRequest: _only("list"),
    _modules.WatchModulesRequest: _only("list"),
    _modules.GetModuleRequest: _get,
    _modules.ListRevisionsRequest: _only("history"),
    _modules.ImportModulesRequest: _changes,
    _modules.InjectModuleRequest: _changes,
    _modules.EvictModulesRequest: _changes,
    _modules.ReimportModulesRequest: _changes,
    _modules.ApplyChangesRequest: _changes,
    _modules.PrepareChangesRequest: _changes,
    _modules.CommitChangesRequest: _only("commit"),
    _modules.AbandonChangesRequest: _only("commit"),
    _modules.ConfirmChangesRequest: _only("confirm"),
    _modules.EvaluateExpressionRequest: _only("evaluate"),
    _modules.UndoRequest: _only("undo"),
    _agents.GetAgentRequest: _only("agents"),
    _agents.ListProcessesRequest: _only("agents"),
    _agents.FreezeRequest: _only("freeze"),
    _agents.ThawRequest: _only("thaw"),
    _agents.ListAuditRequest: _only("audit"),
}
