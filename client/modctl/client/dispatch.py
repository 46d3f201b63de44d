"""Asks many targets at once and gathers what each of their processes says. Knows calls, not what they mean.

Two promises are kept here: a target that fails becomes rows and never an exception; and a change whose answer is lost
is asked for again with the same request id, which the process does once, and is UNKNOWN where even that stays silent.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modctl.client.channel import CallFailed
from modctl.client.outcomes import outcome_of
from modctl.client.results import Failure, Row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from modctl.client.channel import Channel
    from modctl.client.facts import Process
    from modctl.client.ports import Gatherer, Observer
    from modctl.client.requests import Answer, Request
    from modctl.client.targets import Target

#: How long to wait before each further attempt, in seconds: a gateway that dies is back within about half a second.
RETRY_AFTER_S = (0.4, 0.6, 1.0)
#: What a change is given beyond the bound on its execution, in seconds, for the way there and back.
CHANGE_MARGIN_S = 5.0


class OneAnswerEach:
    """For calls in which every process answers once.

    Args:
        request: what they are asked.
        dry_run: whether it asks what a change would do: who does not answer has changed nothing.
    """

    def __init__(self, request: Request, dry_run: bool = False) -> None:
        self._request = request
        self._dry_run = dry_run
        self._answers: dict[str, Answer] = {}
        #: Processes whose answer is to a second asking, or one after it.
        self._again: set[str] = set()

    def add(self, body: bytes, again: bool = False) -> None:
        """Takes in what came: one process's answer, or those of several."""
        for answer in self._request.read(body):
            before = self._answers.get(answer.process[0])
            # Asked twice, a process may have gone in between: what it said is what it did.
            if before is None or before.error is not None or answer.error is None:
                self._answers[answer.process[0]] = answer
                if again:
                    self._again.add(answer.process[0])

    def processes(self) -> set[str]:
        """The ids of those that answered."""
        return set(self._answers)

    def rows(self, target: Target, lost: tuple[str, Failure] | None) -> list[Row[Any]]:
        """One row for each process that answered, and one for the target where the call broke off."""
        rows: list[Row[Any]] = []
        for answer in sorted(self._answers.values(), key=lambda each: (each.process[1], each.process[2])):
            process, service, pid = answer.process
            value, error = answer.value, answer.error
            if error is not None:
                again = process in self._again
                outcome = outcome_of(error, self._request.changes, sent=not self._dry_run, again=again)
                if again and outcome == "UNKNOWN":
                    error = _after_another(error)
                rows.append(Row(target.label, process, service, pid, outcome, error=error))
            else:
                outcome = getattr(value, "outcome", "APPLIED" if self._request.changes else "OK")
                rows.append(Row(target.label, process, service, pid, outcome, value))
        if lost is not None:
            rows.append(Row(target.label, "", "", 0, lost[0], error=lost[1]))
        return rows


def _after_another(failure: Failure) -> Failure:
    """The failure of a repeated change, of which nobody knows what became the first time."""
    message = f"the answer was lost; when it was asked for again: {failure.message}"
    return replace(failure, message=message, metadata={})


class Call:
    """One call to one target, with its second chances.

    Args:
        channel: to the target.
        target: who.
        method: the full path.
        body: the request.
        process: the value of `modctl-process`.
        timeout_s: bound on each attempt, in seconds.
        changes: whether it asks for a change.
        failure_of: what a failed call means.
        expected: the ids of the processes that should answer, where that is known.
    """

    def __init__(
        self,
        channel: Channel,
        target: Target,
        method: str,
        body: bytes,
        process: str | None,
        timeout_s: float,
        changes: bool,
        failure_of: Callable[[CallFailed, Target], Failure],
        expected: frozenset[str] = frozenset(),
    ) -> None:
        self._expected = expected
        self._channel = channel
        self._target = target
        self._method = method
        self._body = body
        self._process = process
        self._timeout_s = timeout_s
        self._changes = changes
        self._failure_of = failure_of

    async def run(self, make: Callable[[], Gatherer]) -> list[Row[Any]]:
        """The rows of the target's processes."""
        sent = lost_before = False
        seen: set[str] = set()
        give_up_at_s = time.monotonic() + self._timeout_s
        gatherer = make()
        for pause_s in (*RETRY_AFTER_S, None):
            again_in_time = pause_s is not None and time.monotonic() + pause_s < give_up_at_s
            lost: tuple[str, Failure] | None = None
            try:
                async for body in self._channel.stream(
                    self._method, self._body, self._process, max(0.001, give_up_at_s - time.monotonic())
                ):
                    gatherer.add(body, lost_before)
            except CallFailed as failed:
                sent = sent or failed.sent
                failure = self._failure_of(failed, self._target)
                # A broken connection is worth another try: a read harms nobody, a change carries its id. A target that
                # never was reached is not.
                again = failed.code == "UNAVAILABLE" and sent
                outcome = outcome_of(failure, self._changes, sent, lost_before)
                told = _after_another(failure) if lost_before and self._changes and outcome == "UNKNOWN" else failure
                lost = outcome, told
            else:
                # The gateway came back before all of its processes did.
                again = bool(seen - gatherer.processes())
            if not (again and again_in_time):
                return gatherer.rows(self._target, lost)
            lost_before = sent
            seen |= gatherer.processes() | self._expected
            if not self._changes:
                gatherer = make()  # half a listing and a whole one are not to be mixed
            await asyncio.sleep(pause_s or 0.0)
        raise AssertionError("the last attempt returns")


def name_the_silent(rows: list[Row[Any]], target: Target, expected: Sequence[Process]) -> list[Row[Any]]:
    """A row for each process that was there before a change and has no row now; takes the place of the target's own.

    Args:
        rows: what came.
        target: who was asked.
        expected: the processes that were there before.
    """
    answered = {row.process for row in rows}
    silent = [process for process in expected if process.id not in answered]
    broken = [row for row in rows if not row.process]
    if not silent:
        return [row for row in rows if row.process] if answered - {""} else rows
    if broken:
        outcome, error = broken[0].outcome, broken[0].error
    else:
        # It ended between being counted and being asked, or while it was asked: what it did went with it.
        outcome = "UNKNOWN"
        error = Failure(
            "UNAVAILABLE",
            "PROCESS_LEFT",
            "the process was there before the change and has not answered; it has ended, or lost its gateway",
        )
    named: list[Row[Any]] = [
        Row(target.label, process.id, process.service, process.pid, outcome, error=error) for process in silent
    ]
    return [row for row in rows if row.process] + named


async def fan_out(
    targets: Sequence[Target],
    ask: Callable[[Target], Awaitable[list[Row[Any]]]],
    limit: int,
    stop: asyncio.Event,
    wait_after_stop: bool,
    observer: Observer | None,
    deadline_s: float | None,
) -> tuple[list[Row[Any]], list[Target], list[Target], list[Target]]:
    """Asks every target, `limit` of them at once.

    Args:
        targets: whom.
        ask: makes the rows of one target; never raises for what the target does.
        limit: how many are in flight.
        stop: once set, nobody else is asked.
        wait_after_stop: whether those in flight are waited for then: a change is, a read is not.
        observer: told of progress.
        deadline_s: when to give up, by time.monotonic(); None never.

    Returns:
        The rows in the order of the targets; the targets without an answer because of `stop`; those cut off by the
        deadline while they were asked; those that it left no time to ask.
    """
    gathered: dict[int, list[Row[Any]]] = {}
    waiting = iter(enumerate(targets))
    begun: set[int] = set()

    async def work() -> None:
        for index, target in waiting:
            if stop.is_set():
                return
            begun.add(index)
            rows = await ask(target)
            gathered[index] = rows
            if observer is not None:
                observer.answered(rows)

    if observer is not None:
        observer.begin(len(targets))
    workers = {asyncio.ensure_future(work()) for _ in range(min(limit, len(targets)))}
    stopped = asyncio.ensure_future(stop.wait())
    running = set(workers)
    late = False
    try:
        while running:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            others = set() if stopped.done() else {stopped}
            done, _ = await asyncio.wait(running | others, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            running -= done
            for worker in done & workers:
                worker.result()  # a mistake of ours is not a row
            if not done:
                late = True
                break
            if stopped in done and not wait_after_stop:
                break
    finally:
        for task in (*workers, stopped):
            task.cancel()
        await asyncio.gather(*workers, stopped, return_exceptions=True)
        if observer is not None:
            observer.end()
    rows = [row for index in sorted(gathered) for row in gathered[index]]
    silent = [index for index in range(len(targets)) if index not in gathered]
    if not late:
        return rows, [targets[index] for index in silent], [], []
    cut = [targets[index] for index in silent if index in begun]
    return rows, [], cut, [targets[index] for index in silent if index not in begun]
