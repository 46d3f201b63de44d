"""The calls that only rollouts make: two-phase changes, and expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.client import change_requests, convert
from modctl.client.requests import MODULE_SERVICE, Request, make
from modctl.v1 import module_service_pb2 as service_pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message
    from modctl.client.operations import ChangeOptions, Operation


class Told:
    """What one process says to a call of a rollout.

    Args:
        outcome: of surface.md; and PREPARED.
        why: one sentence where it is not good.
        reason: the constant of the first refusal.
        revision: the one that was made.
        before: module to the digest that was there.
        switched_at_unix_s: when the new code was there; 0 where it is not.
    """

    __slots__ = ("before", "outcome", "reason", "revision", "switched_at_unix_s", "why")

    def __init__(
        self,
        outcome: str,
        why: str = "",
        reason: str = "",
        revision: int = 0,
        before: dict[str, str] | None = None,
        switched_at_unix_s: float = 0.0,
    ) -> None:
        self.outcome = outcome
        self.why = why
        self.reason = reason
        self.revision = revision
        self.before = before or {}
        self.switched_at_unix_s = switched_at_unix_s


def change(operations: Sequence[Operation], options: ChangeOptions) -> Request:
    """The change itself, by the call of its verb."""
    return _told(change_requests.change(operations, options), dry_run=options.dry_run)


def undo(revision: int, options: ChangeOptions) -> Request:
    """Takes a revision back."""
    return _told(change_requests.undo(revision, options))


def _told(request: Request, dry_run: bool = False) -> Request:
    # A dry run without an answer has changed nothing: nothing about it is unknown.
    changes = request.changes and not dry_run
    value = request.value
    return Request(request.method, request.body, request.response, lambda told: _of_result(value(told), 0.0), changes)


def prepare(operations: Sequence[Operation], options: ChangeOptions, lease_s: float) -> Request:
    """Stages the change and holds it."""
    message = service_pb.PrepareChangesRequest(
        operations=[change_requests.message_of(each) for each in operations],
        options=change_requests.options_of(options),
        lease_s=lease_s,
    )
    return _changing("PrepareChanges", message, service_pb.PrepareChangesResponse, changes=False)


def commit(request_id: str, reason: str) -> Request:
    """Makes what was prepared take effect."""
    message = service_pb.CommitChangesRequest(request_id=request_id, reason=reason)
    return _changing("CommitChanges", message, service_pb.CommitChangesResponse, changes=True)


def abandon(request_id: str, reason: str) -> Request:
    """Drops what was prepared."""
    message = service_pb.AbandonChangesRequest(request_id=request_id, reason=reason)
    response = service_pb.AbandonChangesResponse
    return make(f"{MODULE_SERVICE}AbandonChanges", message, response, lambda _: Told("OK"), changes=False)


def evaluate(expression: str, timeout_s: float, reason: str) -> Request:
    """Says whether an expression is true."""

    def told(message: service_pb.EvaluateExpressionResponse) -> Told:
        if message.HasField("raised"):
            return Told("FAILED", f"{message.raised.type}: {message.raised.message}")
        return Told("OK") if message.truth else Told("FAILED", f"it is {message.value.value or message.value.type}")

    message = service_pb.EvaluateExpressionRequest(expression=expression, timeout_s=timeout_s, reason=reason)
    response = service_pb.EvaluateExpressionResponse
    return make(f"{MODULE_SERVICE}EvaluateExpression", message, response, told, changes=False)


def _changing(method: str, message: Message, response: type[Message], changes: bool) -> Request:
    def value(told: Any) -> Told:  # every response to a change has a result
        return _of_result(convert.change(told.result), told.result.committed_at_unix_s)

    return make(f"{MODULE_SERVICE}{method}", message, response, value, changes=changes)


def _of_result(value: object, switched_at_unix_s: float) -> Told:
    from modctl.client.facts import ChangeResult

    assert isinstance(value, ChangeResult)
    refused = [each.refusal.reason for each in value.modules if each.refusal is not None]
    why = "" if value.outcome in ("APPLIED", "UNCHANGED", "PLANNED", "PREPARED") else value.why
    before = {each.name: each.before.digest for each in value.modules if each.before is not None}
    return Told(value.outcome, why, refused[0] if refused else "", value.revision, before, switched_at_unix_s)
