"""modctl.v1.AgentService.ListAudit: the audit log, for whoever may read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modctl.gateway.errors import CallFailure
from modctl.gateway.guard import policy_of
from modctl.gateway.rpc import Call, Method
from modctl.v1 import agent_service_pb2

if TYPE_CHECKING:
    from modctl.gateway.policy.files import Policies
    from modctl.gateway.presence import Presence
    from modctl.gateway.trails import Trails

DEFAULT_RECORDS: Final = 1_000
MAX_BYTES: Final = 8 * 1024 * 1024


class AuditService:
    """Implements ListAudit.

    Args:
        presence: who is connected: their policies say where the logs are.
        policies: the policy files in force.
        trails: the logs.
    """

    def __init__(self, presence: Presence, policies: Policies, trails: Trails) -> None:
        self._presence = presence
        self._policies = policies
        self._trails = trails

    def methods(self) -> dict[str, Method]:
        """The service's RPC."""
        api = agent_service_pb2
        return {"ListAudit": Method(api.ListAuditRequest, api.ListAuditResponse, self.list_audit, streams=False)}

    async def list_audit(self, call: Call, request: agent_service_pb2.ListAuditRequest) -> None:
        """The newest records, newest first."""
        places = [policy_of(process) for process in self._presence.all()]
        audits = tuple(dict.fromkeys(policy.audit for policy in self._policies.of(places))) or None
        try:
            found = await self._trails.newest(audits, request.limit or DEFAULT_RECORDS, MAX_BYTES)
        except OSError as error:
            raise CallFailure(
                "FAILED_PRECONDITION", "AUDIT_UNAVAILABLE", f"the audit log cannot be read: {error}"
            ) from error
        answer = agent_service_pb2.ListAuditResponse(
            records=found, file=", ".join(self._trails.files(audits)), problem="; ".join(self._trails.problems())
        )
        await call.write(answer.SerializeToString())
