"""The real fleet, as a rollout sees it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from modctl.client import dispatch
from modctl.client.operations import ChangeOptions, Import
from modctl.client.requests import list_revisions
from modctl.client.rollout import calls
from modctl.client.rollout.port import Answer, Made, Sighted, Sighting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modctl.client.fleet import AsyncFleet
    from modctl.client.operations import Operation
    from modctl.client.requests import Request
    from modctl.client.results import Row
    from modctl.client.rollout.port import Where
    from modctl.client.rollout.spec import RolloutSpec
    from modctl.client.targets import Target

#: Ids in one call: they travel in its metadata, of which gRPC takes 8 KiB gladly.
IDS_A_CALL = 64
_UNSUPPORTED = frozenset({"UNIMPLEMENTED"})


class LiveFleet:
    """A FleetPort on an AsyncFleet.

    Args:
        fleet: whose targets they are.
        operations: the change set.
        spec: how it is rolled out.
        options: what else the change carries: protected names that it may touch, signatures.
    """

    def __init__(
        self,
        fleet: AsyncFleet,
        operations: Sequence[Operation],
        spec: RolloutSpec,
        options: ChangeOptions | None = None,
    ) -> None:
        self._fleet = fleet
        self._operations = list(operations)
        self._options = replace(
            options or ChangeOptions(),
            dry_run=False,
            request_id="",
            reason=spec.reason,
            execution_timeout_s=spec.execution_timeout_s,
        )

    async def survey(self) -> Sighting:
        """Who is there."""
        survey = await self._fleet.survey()
        processes = tuple(
            Sighted(target, each.id, each.service, each.pid, each.role)
            for target, those in survey.processes.items()
            for each in those
        )
        silent = {row.target: row.why for row in survey.failed}
        if self._fleet.stop.is_set():
            # Who was not asked any more is not who has no process.
            asked = silent.keys() | survey.processes.keys()
            targets = await self._fleet.resolve()
            silent |= {each.label: "interrupted before it answered" for each in targets if each.label not in asked}
        return Sighting(processes, silent)

    async def plan(self, processes: Sequence[Where]) -> list[Answer]:
        """Whether they could take the change; and what they run now, which a plan knows only of what modctl changed."""
        options = replace(self._options, dry_run=True, request_id="")
        answers, running = await asyncio.gather(
            self._ask(processes, calls.change(self._operations, options), self._change_timeout_s, False),
            self._running(),
        )
        return [
            replace(answer, before={**answer.before, **running.get(answer.process, {})})
            if answer.outcome == "PLANNED"
            else answer
            for answer in answers
        ]

    async def _running(self) -> dict[str, dict[str, str]]:
        """Process to the digests of what is to be changed in it."""
        names = [each.name for each in self._operations if not isinstance(each, Import)]
        if not names:
            return {}
        # A name is a glob that only itself matches: brackets and stars are in none.
        listed = await self._fleet.list(*names)
        # What nobody can say is another version than one that is known.
        return {
            process: {module.name: module.digest or f"unknown ({module.state.lower()})" for module in modules}
            for process, modules in listed
        }

    async def change(self, processes: Sequence[Where], request_id: str) -> list[Answer]:
        """Brings them the change."""
        options = replace(self._options, request_id=request_id)
        return await self._ask(processes, calls.change(self._operations, options), self._change_timeout_s, True)

    async def prepare(self, processes: Sequence[Where], request_id: str, lease_s: float) -> list[Answer]:
        """Stages the change and holds it."""
        options = replace(self._options, request_id=request_id)
        request = calls.prepare(self._operations, options, lease_s)
        return await self._ask(processes, request, self._change_timeout_s, False)

    async def commit(self, processes: Sequence[Where], request_id: str) -> list[Answer]:
        """Makes what was prepared take effect."""
        return await self._ask(processes, calls.commit(request_id, self._options.reason), self._change_timeout_s, True)

    async def abandon(self, processes: Sequence[Where], request_id: str) -> list[Answer]:
        """Drops what was prepared."""
        return await self._ask(
            processes, calls.abandon(request_id, self._options.reason), self._fleet.settings.timeout_s, False
        )

    async def undo(self, revisions: Mapping[Where, int], request_id: str) -> list[Answer]:
        """Takes these revisions back."""
        by_number: dict[int, list[Where]] = {}
        for where, number in revisions.items():
            by_number.setdefault(number, []).append(where)
        options = replace(self._options, request_id=request_id)
        answers = await asyncio.gather(
            *(
                self._ask(those, calls.undo(number, options), self._change_timeout_s, True)
                for number, those in by_number.items()
            )
        )
        return [answer for each in answers for answer in each]

    async def history(self, processes: Sequence[Where], request_prefix: str) -> dict[str, list[Made]]:
        """The rollout's revisions of each process that could be asked."""
        rows = await self._rows(processes, list_revisions(0), self._fleet.settings.timeout_s, False)
        found: dict[str, list[Made]] = {}
        for process, row in rows.items():
            if row is not None and isinstance(row.value, tuple):
                found[process] = [
                    Made(each.number, each.request_id, not each.undone_by)
                    for each in row.value
                    if each.request_id.startswith(request_prefix)
                ]
        return found

    async def evaluate(self, processes: Sequence[Where], expression: str, timeout_s: float) -> list[Answer]:
        """Whether the expression is true in each."""
        return await self._ask(
            processes, calls.evaluate(expression, timeout_s, self._options.reason), timeout_s + 2.0, False
        )

    async def health(self, processes: Sequence[Where]) -> list[Answer]:
        """Whether each is there and takes changes."""
        survey = await self._fleet.survey()
        there = {each.id: each for those in survey.processes.values() for each in those}
        answers: list[Answer] = []
        for _, process in processes:
            found = there.get(process)
            if found is None:
                answers.append(Answer(process, "UNREACHABLE", "it is not there any more"))
            elif found.frozen:
                answers.append(Answer(process, "FAILED", f"it is frozen: {found.frozen_reason}"))
            else:
                answers.append(Answer(process, "OK"))
        return answers

    # How

    @property
    def _change_timeout_s(self) -> float:
        return self._options.execution_timeout_s + dispatch.CHANGE_MARGIN_S

    async def _ask(self, processes: Sequence[Where], request: Request, timeout_s: float, changes: bool) -> list[Answer]:
        rows = await self._rows(processes, request, timeout_s, changes)
        return [_answer(process, rows.get(process)) for _, process in processes]

    async def _rows(
        self, processes: Sequence[Where], request: Request, timeout_s: float, changes: bool
    ) -> dict[str, Row[object] | None]:
        """The row of each process; of those that have none that of their target, or None."""
        targets = {target.label: target for target in await self._fleet.resolve()}
        groups: dict[str, list[str]] = {}
        for target, process in processes:
            groups.setdefault(target, []).append(process)
        chunks = [
            (targets[label], ids[start : start + IDS_A_CALL])
            for label, ids in groups.items()
            for start in range(0, len(ids), IDS_A_CALL)
            if label in targets
        ]
        room = asyncio.Semaphore(self._fleet.settings.fanout)
        found: dict[str, Row[object] | None] = {}

        async def ask(target: Target, ids: list[str]) -> None:
            async with room, self._fleet.speaking_to(target):
                call = dispatch.Call(
                    self._fleet.dialer.channel(target),
                    target,
                    request.method,
                    request.body,
                    ",".join(ids),
                    timeout_s,
                    changes,
                    self._fleet.dialer.failure,
                    frozenset(ids),
                )
                rows = await call.run(lambda: dispatch.OneAnswerEach(request))
            broken = next((row for row in rows if not row.process), None)
            by_process = {row.process: row for row in rows}
            for process in ids:
                found[process] = by_process.get(process, broken)

        await asyncio.gather(*(ask(target, ids) for target, ids in chunks))
        return found


def _answer(process: str, row: Row[object] | None) -> Answer:
    if row is None:
        return Answer(process, "UNKNOWN", "no answer")
    told = row.value
    if row.error is not None or not isinstance(told, calls.Told):
        unsupported = row.error is not None and row.error.code in _UNSUPPORTED
        reason = row.error.reason if row.error is not None else ""
        return Answer(process, "UNSUPPORTED" if unsupported else row.outcome, row.why, reason)
    return Answer(process, told.outcome, told.why, told.reason, told.revision, told.before, told.switched_at_unix_s)
