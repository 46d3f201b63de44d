"""modctl.v1.ModuleService: the second half of two-phase changes, confirmations, and expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modctl.gateway import validation
from modctl.gateway.changes import encoded
from modctl.gateway.errors import CallFailure
from modctl.gateway.messages import make
from modctl.gateway.rpc import Call, Method
from modctl.v1 import change_pb2, error_pb2, module_pb2, module_service_pb2

if TYPE_CHECKING:
    from modctl.gateway.presence import ConnectedProcess

MAX_REQUEST_ID_CHARACTERS: Final = 200


class PhaseService:
    """Implements CommitChanges, AbandonChanges, ConfirmChanges and EvaluateExpression."""

    def methods(self) -> dict[str, Method]:
        """The RPCs."""
        api = module_service_pb2
        return {
            "CommitChanges": Method(api.CommitChangesRequest, api.CommitChangesResponse, self.commit_changes),
            "AbandonChanges": Method(api.AbandonChangesRequest, api.AbandonChangesResponse, self.abandon_changes),
            "ConfirmChanges": Method(api.ConfirmChangesRequest, api.ConfirmChangesResponse, self.confirm_changes),
            "EvaluateExpression": Method(
                api.EvaluateExpressionRequest, api.EvaluateExpressionResponse, self.evaluate_expression
            ),
        }

    async def commit_changes(self, call: Call, request: module_service_pb2.CommitChangesRequest) -> None:
        """Lets take effect what was prepared."""
        # One body for all: the first and the last process are to switch within milliseconds of each other.
        body = encoded({"op": "commit", "request_id": _request_id(request), "identity": call.identity})

        async def each(process: ConnectedProcess) -> None:
            told = await _only(call, process, body)
            await call.write(call.result(process, result=make(change_pb2.ChangeResult, told)))

        await call.ask(call.chosen(), each)

    async def abandon_changes(self, call: Call, request: module_service_pb2.AbandonChangesRequest) -> None:
        """Drops what was prepared."""
        body = encoded({"op": "abandon", "request_id": _request_id(request), "identity": call.identity})

        async def each(process: ConnectedProcess) -> None:
            told = await _only(call, process, body)
            await call.write(call.result(process, dropped=told.get("dropped") is True))

        await call.ask(call.chosen(), each)

    async def confirm_changes(self, call: Call, request: module_service_pb2.ConfirmChangesRequest) -> None:
        """Lets stand what would take itself back."""
        body = encoded({"op": "confirm", "revision": request.revision, "identity": call.identity})

        async def each(process: ConnectedProcess) -> None:
            told = await _only(call, process, body)
            await call.write(call.result(process, result=make(change_pb2.ChangeResult, told)))

        await call.ask(call.chosen(), each)

    async def evaluate_expression(self, call: Call, request: module_service_pb2.EvaluateExpressionRequest) -> None:
        """Says what an expression gives."""
        expression = validation.text("expression", request.expression, 20_000)
        timeout_s = validation.seconds("timeout_s", request.timeout_s)
        body = encoded({"op": "evaluate", "expression": expression, "timeout_s": timeout_s, "identity": call.identity})

        async def each(process: ConnectedProcess) -> None:
            told = await _only(call, process, body)
            fields: dict[str, Any] = {"truth": told.get("truth") is True}
            if isinstance(told.get("value"), dict):
                fields["value"] = make(module_pb2.AttributeValue, told["value"])
            if isinstance(told.get("raised"), dict):
                fields["raised"] = make(error_pb2.PythonError, told["raised"])
            await call.write(call.result(process, **fields))

        await call.ask(call.chosen(), each)


async def _only(call: Call, process: ConnectedProcess, body: bytes) -> dict[str, Any]:
    with process.connection.call(body, call.deadline_s) as answers:
        told: dict[str, Any] = await answers.only()
        return told


def _request_id(request: Any) -> str:
    request_id: str = request.request_id
    if not request_id or len(request_id) > MAX_REQUEST_ID_CHARACTERS:
        raise CallFailure("INVALID_ARGUMENT", "BAD_REQUEST", "request_id is empty, or longer than 200 characters")
    return request_id
