"""What keeps a gateway safe, put together: policies, audit logs, the files that freeze, the guard that asks them."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

from modctl.gateway import freezer
from modctl.gateway.audit.records import Place
from modctl.gateway.changes import encoded
from modctl.gateway.errors import CallFailure
from modctl.gateway.freezer import Freezer
from modctl.gateway.guard import Guard, policy_of
from modctl.gateway.policy.files import Policies
from modctl.gateway.trails import Trails

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from modctl.gateway.presence import ConnectedProcess, Presence


class Security:
    """Lives on the gateway's event loop.

    Args:
        instance_dir: the instance's directory.
        service: the service's name.
        presence: who is connected.
        working: the threads that may compute for a while.
    """

    def __init__(self, instance_dir: str, service: str, presence: Presence, working: Executor) -> None:
        self._presence = presence
        self._chilled: dict[str, str] = {}
        self.policies = Policies()
        self.freezer = Freezer(instance_dir)
        self.trails = Trails(instance_dir, Place(instance_dir, service, socket.gethostname(), os.getpid()))
        self.guard = Guard(presence, self.policies, self.trails, self.freezer, working)

    def warnings(self) -> list[str]:
        """What is not well, in words."""
        frost = self.freezer.look()
        frozen = [f"frozen: {frost}; remove the file to thaw"] if frost else []
        return [*frozen, *self.policies.problems(), *self.trails.problems()]

    def joined(self, process: ConnectedProcess) -> None:
        """Reads the policy that a process names: what it says now holds, should it be broken later."""
        self.policies.of([policy_of(process)])

    async def keep_frost(self) -> None:
        """Tells processes what the files say, so that they refuse what does not come through the gateway as well."""
        while True:
            await self.tell_frost()
            await asyncio.sleep(freezer.LOOK_S)

    async def tell_frost(self) -> None:
        """Freezes whoever is not frozen while a file is there; thaws whom it froze once it is gone."""
        frost = await asyncio.get_running_loop().run_in_executor(None, self.freezer.look)
        here = self._presence.all()
        for process in here:
            if frost is not None and not process.facts.frozen:
                if await self._turn(process, {"op": "freeze", "reason": str(frost), "identity": "file"}):
                    self._chilled[process.id] = str(frost)
            elif frost is None and process.id in self._chilled:
                reason = self._chilled.pop(process.id)
                if process.facts.frozen and process.facts.frozen_reason == reason:  # else somebody else froze it
                    await self._turn(process, {"op": "thaw", "reason": "", "identity": "file"})
        for gone in self._chilled.keys() - {process.id for process in here}:
            del self._chilled[gone]

    def stop(self) -> None:
        """Writes what the audit logs are owed. Blocks."""
        self.trails.stop()

    async def _turn(self, process: ConnectedProcess, request: dict[str, Any]) -> bool:
        deadline_s = asyncio.get_running_loop().time() + freezer.LOOK_S
        try:
            with process.connection.call(encoded(request), deadline_s) as answers:
                told = (await answers.only()).get("process")
            if isinstance(told, dict):
                self._presence.take_facts(process, told)
        except CallFailure:
            return False  # busy or gone: it is tried again in a second, and the guard refuses changes meanwhile
        return True
