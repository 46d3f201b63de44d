"""The audit logs of this gateway, one for each place that a policy names, with a thread that waits for their disk."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from modctl.gateway.audit.log import AuditLog
from modctl.gateway.audit.trail import Trail
from modctl.gateway.policy.model import Audit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modctl.gateway.audit.records import Place

#: The log's name in the instance's directory, where no policy names another.
FILE: Final = "audit.jsonl"


class Trails:
    """Every method but `end_aside` is for the event loop, and waits.

    Args:
        instance_dir: where the log lies if no policy says otherwise.
        place: what lines say of where they come from.
    """

    def __init__(self, instance_dir: str, place: Place) -> None:
        self.place = place
        self._default = os.path.join(instance_dir, FILE)
        self._trails: dict[Audit, Trail] = {}
        self._writing = ThreadPoolExecutor(1, "modctl-audit")

    async def begin(self, audits: Sequence[Audit] | None, line: dict[str, Any]) -> None:
        """Writes the line of an attempt to each log.

        Raises:
            OSError: it is not on the disk.
        """
        for trail in self._of(audits):
            await self._on_thread(partial(trail.begin, line))

    async def end(self, audits: Sequence[Audit] | None, line: dict[str, Any]) -> None:
        """Writes the line of an outcome; kept where that is not possible now. Never raises."""
        for trail in self._of(audits):
            await self._on_thread(partial(trail.end, line))

    def end_aside(self, audits: Sequence[Audit] | None, line: dict[str, Any]) -> None:
        """The same without waiting."""
        for trail in self._of(audits):
            self._writing.submit(trail.end, line)

    async def refuse(self, audits: Sequence[Audit] | None, lines: list[dict[str, Any]]) -> None:
        """Writes both lines of a refusal. Never raises."""
        for trail in self._of(audits):
            await self._on_thread(partial(trail.begin_and_end, lines))

    async def newest(self, audits: Sequence[Audit] | None, limit: int, max_bytes: int) -> list[str]:
        """The newest lines, newest first.

        Raises:
            OSError: a log cannot be read.
        """
        found: list[str] = []
        for trail in self._of(audits):
            found += await self._on_thread(partial(trail.newest, limit, max_bytes))
        return found[:limit]

    def files(self, audits: Sequence[Audit] | None) -> list[str]:
        """Where the logs are."""
        return [audit.file or self._default for audit in (audits or (Audit(),))]

    def problems(self) -> list[str]:
        """What is wrong with the logs, in words."""
        return [trail.problem for trail in self._trails.values() if trail.problem]

    def stop(self) -> None:
        """Writes what is under way, then takes no more."""
        self._writing.shutdown(wait=True)

    def _of(self, audits: Sequence[Audit] | None) -> list[Trail]:
        return [self._one(audit) for audit in (audits or (Audit(),))]

    def _one(self, audit: Audit) -> Trail:
        trail = self._trails.get(audit)
        if trail is None:
            log = AuditLog(audit.file or self._default, audit.max_bytes, audit.keep)
            trail = self._trails[audit] = Trail(log, self.place)
        return trail

    async def _on_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._writing, work)
