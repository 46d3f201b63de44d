"""One attempt to change something, as the audit log has it: its two lines and what is heard between them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from modctl.gateway.audit import records
from modctl.gateway.errors import CallFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message
    from modctl.gateway.policy.callers import Caller
    from modctl.gateway.policy.decide import Asked
    from modctl.gateway.policy.model import Policy
    from modctl.gateway.presence import ConnectedProcess
    from modctl.gateway.trails import Trails


class Attempt:
    """One change on its way.

    Args:
        trails: the logs.
        caller: who asks.
        method: the RPC's name.
        asked: what for.
        request: the message.
        about: the processes that it is about.
        policies: under which; they say which logs.

    Attributes:
        role: the caller's; known once it has been decided.
        signed_by: name to the key whose signature counts.
    """

    def __init__(
        self,
        trails: Trails,
        caller: Caller,
        method: str,
        asked: Sequence[Asked],
        request: Message,
        about: Sequence[ConnectedProcess],
        policies: Sequence[Policy],
    ) -> None:
        self._trails = trails
        self._places = tuple(dict.fromkeys(policy.audit for policy in policies)) or None
        self._id = trails.place.fresh_id()
        self._facts = (caller, method, asked, request)
        self._processes = {process.id: process for process in about}
        self._results: dict[str, dict[str, Any]] = {}
        self._began_s = time.monotonic()
        self.role = ""
        self.signed_by: dict[str, str] = {}

    async def begin(self, suppressed: int) -> None:
        """Writes the first line.

        Raises:
            CallFailure: it cannot be written; nothing may be done.
        """
        try:
            await self._trails.begin(self._places, self._line(suppressed))
        except OSError as error:
            raise CallFailure(
                "FAILED_PRECONDITION",
                "AUDIT_UNAVAILABLE",
                f"the audit log cannot be written ({error.filename or 'its file'}: {error.strerror or error}), and "
                "nothing is changed that is not on record; make room, or name another file in the policy's [audit]",
            ) from error

    def heard(self, answer: Message) -> None:
        """Takes in one process's answer."""
        told = records.result_of(answer)
        self._results[told["process"]] = told

    async def end(self, failure: CallFailure | None) -> None:
        """Writes the second line. Never raises."""
        await asyncio.shield(self._trails.end(self._places, self._outcome(failure, "")))

    def end_aside(self, why: str) -> None:
        """The same where the call is cut and cannot wait."""
        self._trails.end_aside(self._places, self._outcome(None, f"the call was cut ({why})"))

    async def refuse(self, failure: CallFailure, suppressed: int) -> None:
        """Writes both lines of what is not let in. Never raises."""
        why = f"{failure.reason}: {failure.message}"
        outcome = records.outcome_of_failure(failure, sent=False)
        lines = [
            records.shortened(self._line(suppressed)),
            self._trails.place.outcome(self._id, [], self._spent_ms(), why, outcome),
        ]
        await self._trails.refuse(self._places, lines)

    def _line(self, suppressed: int) -> dict[str, Any]:
        caller, method, asked, request = self._facts
        return self._trails.place.attempt(
            self._id, caller, self.role, method, asked, request, self._processes, self.signed_by, suppressed
        )

    def _outcome(self, failure: CallFailure | None, why: str) -> dict[str, Any]:
        if failure is not None:
            why = f"{failure.reason}: {failure.message}"
            missing = records.outcome_of_failure(failure, sent=False)
        else:
            missing = "UNKNOWN"
        for process in self._processes:
            self._results.setdefault(records.cut(process), {"process": records.cut(process), "outcome": missing})
        results = list(self._results.values())
        outcome = missing if failure is not None and not results else ""
        return self._trails.place.outcome(self._id, results, self._spent_ms(), why, outcome)

    def _spent_ms(self) -> float:
        return (time.monotonic() - self._began_s) * 1000
