"""modctl.v1.AgentService: who is there; freeze and thaw."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from modctl.gateway import validation
from modctl.gateway.changes import encoded
from modctl.gateway.errors import CallFailure
from modctl.gateway.messages import bad_answer
from modctl.gateway.rpc import Call, Method
from modctl.v1 import agent_service_pb2, process_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modctl.gateway.presence import ConnectedProcess, Presence

SERVICE: Final = "modctl.v1.AgentService"
#: How long a process may take to describe itself anew before its last description is shown.
DESCRIBE_S: Final = 0.3


class AgentService:
    """Implements AgentService.

    Args:
        service: the service's name.
        version: modctl's version.
        presence: who is connected.
        warnings: what is not well with the gateway.
        addresses: where it is served.
        complete: adds what only the gateway knows to a process's facts.
    """

    def __init__(
        self,
        service: str,
        version: str,
        presence: Presence,
        warnings: Callable[[], list[str]],
        addresses: Callable[[], list[str]],
        complete: Callable[[Sequence[ConnectedProcess]], list[process_pb2.Process]],
    ) -> None:
        self._service = service
        self._version = version
        self._presence = presence
        self._warnings = warnings
        self._addresses = addresses
        self._complete = complete
        self._started_at_unix_s = time.time()

    def methods(self) -> dict[str, Method]:
        """The service's RPCs."""
        api = agent_service_pb2
        return {
            "GetAgent": Method(api.GetAgentRequest, api.GetAgentResponse, self.get_agent, streams=False),
            "ListProcesses": Method(
                api.ListProcessesRequest, api.ListProcessesResponse, self.list_processes, streams=False
            ),
            "Freeze": Method(api.FreezeRequest, api.FreezeResponse, self.freeze),
            "Thaw": Method(api.ThawRequest, api.ThawResponse, self.thaw),
        }

    async def get_agent(self, call: Call, _: agent_service_pb2.GetAgentRequest) -> None:
        """What this gateway is."""
        answer = agent_service_pb2.GetAgentResponse(
            modctl_version=self._version,
            service=self._service,
            host=socket.gethostname(),
            pid=os.getpid(),
            addresses=self._addresses(),
            python=platform.python_version(),
            started_at_unix_s=self._started_at_unix_s,
            processes=len(self._presence),
            identity=call.identity,
            role=call.role,
            now_unix_s=time.time(),
            warnings=self._warnings(),
        )
        await call.write(answer.SerializeToString())

    async def list_processes(self, call: Call, request: agent_service_pb2.ListProcessesRequest) -> None:
        """Who is there, as they describe themselves now; a process that hangs is shown as it last said it was."""
        here = self._presence.all()
        if request.as_known:  # who only counts whom a change will reach need not wake them all
            known = agent_service_pb2.ListProcessesResponse(processes=self._complete(here))
            await call.write(known.SerializeToString())
            return
        deadline_s = asyncio.get_running_loop().time() + DESCRIBE_S
        if call.deadline_s is not None:
            deadline_s = min(deadline_s, call.deadline_s)
        silent = await asyncio.gather(*(self._describe(process, deadline_s) for process in here))
        still = [(one, silence) for one, silence in zip(here, silent, strict=True) if self._is_here(one)]
        processes = self._complete([one for one, _ in still])
        for facts, (_, silence) in zip(processes, still, strict=True):
            facts.warnings.extend(silence)
        await call.write(agent_service_pb2.ListProcessesResponse(processes=processes).SerializeToString())

    def _is_here(self, process: ConnectedProcess) -> bool:
        return self._presence.of(process.connection) is process

    async def _describe(self, process: ConnectedProcess, deadline_s: float) -> list[str]:
        try:
            with process.connection.call(encoded({"op": "describe"}), deadline_s) as answers:
                self._presence.take_facts(process, (await answers.only()).get("process") or {})
        except CallFailure as failure:
            if failure.reason == "DEADLINE":
                return [f"it did not answer within {DESCRIBE_S} s: busy, stopped or stuck; this is what it last said"]
            if failure.reason != "PROCESS_LEFT":
                return [f"it could not describe itself: {failure.message}"]
        return []

    async def freeze(self, call: Call, request: agent_service_pb2.FreezeRequest) -> None:
        """Makes processes refuse every change."""
        validation.text("reason", request.reason)
        await self._turn(call, {"op": "freeze", "reason": request.reason, "identity": call.identity})

    async def thaw(self, call: Call, _: agent_service_pb2.ThawRequest) -> None:
        """Allows changes again."""
        await self._turn(call, {"op": "thaw", "reason": "", "identity": call.identity})

    async def _turn(self, call: Call, request: dict[str, Any]) -> None:
        body = encoded(request)

        async def each(process: ConnectedProcess) -> None:
            with process.connection.call(body, call.deadline_s) as answers:
                told = (await answers.only()).get("process")
            if not isinstance(told, dict):
                raise bad_answer("a process was expected")
            self._presence.take_facts(process, told)
            await call.write(call.result(process, state=self._complete([process])[0]))

        await call.ask(call.chosen(), each)
