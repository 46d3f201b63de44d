"""A fleet without processes: what a rollout sees of one, with every fault that a network and a service can have.

Faults are drawn one a decision, so that a random stream of them drives every way a rollout can go.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modctl.client.rollout.port import Answer, Made, Sighted, Sighting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from modctl.client.rollout.port import Where
    from modctl.client.rollout.state import RolloutState

OLD, NEW = "sha256:old", "sha256:new"


class Killed(BaseException):
    """kill -9 of the command line. Not an Exception: nothing of ours may catch it."""


@dataclass
class SimRevision:
    number: int
    request_id: str
    standing: bool = True


@dataclass
class SimProcess:
    target: str
    id: str
    version: str = OLD
    alive: bool = True
    revisions: list[SimRevision] = field(default_factory=list)
    prepared: set[str] = field(default_factory=set)
    role: str = "WORKER"


class FakeClock:
    """A clock that nobody waits for."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def now_unix_s(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeKeeper:
    """Keeps states as the JSON that a file would hold."""

    def __init__(self) -> None:
        self.kept: dict[str, object] = {}
        self.requests: list[str] = []
        self.saves = 0
        self.on_save: Callable[[int], None] = lambda _number: None

    def save(self, state: RolloutState) -> None:
        self.saves += 1
        self.on_save(self.saves * 2)  # killed before it was written
        self.kept = state.to_json()
        self.on_save(self.saves * 2 + 1)  # killed after it was written

    def take_requests(self, rollout: str) -> list[str]:
        taken, self.requests = self.requests, []
        return taken


class SimFleet:
    """Targets with processes, as a FleetPort.

    Args:
        shape: target to how many processes it has.
        fault: called with what is about to happen, and to whom; returns the fault's name, "" for none.
        two_phase: whether the processes know two-phase changes.
    """

    def __init__(
        self, shape: Mapping[str, int], fault: Callable[[str, str], str] | None = None, two_phase: bool = True
    ) -> None:
        self.fault = fault or (lambda _what, _whom: "")
        self.two_phase = two_phase
        self._pids = itertools.count(100)
        self.processes: list[SimProcess] = []
        self.targets = list(shape)
        self.trace: list[tuple[str, tuple[str, ...]]] = []
        self.before_change: Callable[[str, Sequence[Where]], None] = lambda _kind, _processes: None
        self.after_call: Callable[[str], None] = lambda _kind: None
        self.disk = OLD
        #: Who was ever told of.
        self.seen: set[str] = set()
        #: Who did once not say what it has.
        self.unasked: set[str] = set()
        for target, count in shape.items():
            for _ in range(count):
                self.spawn(target)

    def spawn(self, target: str) -> SimProcess:
        pid = next(self._pids)
        process = SimProcess(target, f"shop/{target}/{pid}@1", version=self.disk)
        self.processes.append(process)
        return process

    def living(self) -> list[SimProcess]:
        return [each for each in self.processes if each.alive]

    def versions(self) -> set[str]:
        return {each.version for each in self.living()}

    def find(self, process: str) -> SimProcess | None:
        return next((each for each in self.processes if each.id == process and each.alive), None)

    def restart(self, process: SimProcess) -> None:
        process.alive = False
        self.spawn(process.target)

    def fork(self, process: SimProcess) -> None:
        """A child has its parent's code and history."""
        child = self.spawn(process.target)
        child.version = process.version
        child.revisions = [SimRevision(each.number, each.request_id, each.standing) for each in process.revisions]

    # FleetPort

    async def survey(self) -> Sighting:
        silent = {target: "connection refused" for target in self.targets if self.fault("survey", target) == "silent"}
        there = [
            Sighted(each.target, each.id, "shop", int(each.id.split("/")[2].split("@")[0]), each.role)
            for each in self.living()
            if each.target not in silent
        ]
        self.seen.update(each.process for each in there)
        self._done("survey", [])
        return Sighting(tuple(there), silent)

    async def plan(self, processes: Sequence[Where]) -> list[Answer]:
        answers = []
        for _, process in processes:
            found = self.find(process)
            fault = self.fault("plan", process)
            if found is None or fault == "silent":
                answers.append(Answer(process, "UNREACHABLE", "gone"))
            elif fault in ("refuse", "fail"):
                answers.append(Answer(process, "REFUSED", "frozen", "FROZEN"))
            elif found.version == NEW:
                answers.append(Answer(process, "UNCHANGED"))
            else:
                answers.append(Answer(process, "PLANNED", before={"app": found.version}))
        self._done("plan", processes)
        return answers

    async def change(self, processes: Sequence[Where], request_id: str) -> list[Answer]:
        self.before_change("change", processes)
        answers = [self._change("change", process, request_id) for _, process in processes]
        self._done("change", processes)
        return answers

    async def prepare(self, processes: Sequence[Where], request_id: str, lease_s: float) -> list[Answer]:
        answers = []
        for _, process in processes:
            found = self.find(process)
            fault = self.fault("prepare", process)
            if not self.two_phase:
                answers.append(Answer(process, "UNSUPPORTED"))
            elif found is None or fault == "silent":
                answers.append(Answer(process, "UNREACHABLE", "gone"))
            elif fault in ("refuse", "fail"):
                answers.append(Answer(process, "REFUSED", "frozen", "FROZEN"))
            elif fault == "lost_before":
                answers.append(Answer(process, "UNKNOWN", "no answer"))
            elif found.version == NEW:
                answers.append(Answer(process, "UNCHANGED"))
            else:
                found.prepared.add(request_id)
                if fault == "restart":
                    self.restart(found)
                answers.append(
                    Answer(process, "UNKNOWN", "no answer")
                    if fault == "lost_after"
                    else Answer(process, "PREPARED", before={"app": found.version})
                )
        self._done("prepare", processes)
        return answers

    async def commit(self, processes: Sequence[Where], request_id: str) -> list[Answer]:
        self.before_change("commit", processes)
        answers = []
        for _, process in processes:
            found = self.find(process)
            if found is not None and request_id not in found.prepared:
                answers.append(Answer(process, "REFUSED", "the lease ran out", "NOT_PREPARED"))
            else:
                answers.append(self._change("commit", process, request_id))
        self._done("commit", processes)
        return answers

    async def abandon(self, processes: Sequence[Where], request_id: str) -> list[Answer]:
        for _, process in processes:
            if (found := self.find(process)) is not None:
                found.prepared.discard(request_id)
        self._done("abandon", processes)
        return [Answer(process, "OK") for _, process in processes]

    async def undo(self, revisions: Mapping[Where, int], request_id: str) -> list[Answer]:
        answers = []
        for (_, process), number in revisions.items():
            found = self.find(process)
            fault = self.fault("undo", process)
            if found is None:
                answers.append(Answer(process, "UNREACHABLE", "gone"))
                continue
            if fault == "fork":
                self.fork(found)
            if fault == "lost_before":
                answers.append(Answer(process, "UNKNOWN", "no answer"))
                continue
            if fault in ("refuse", "fail", "silent"):
                answers.append(Answer(process, "REFUSED", "frozen", "FROZEN"))
                continue
            for revision in found.revisions:
                if revision.number == number and revision.standing:
                    revision.standing = False
                    found.version = OLD
            if fault == "restart":
                self.restart(found)
            lost = fault in ("lost_after", "restart")
            answers.append(Answer(process, "UNKNOWN", "no answer") if lost else Answer(process, "APPLIED"))
        self._done("undo", list(revisions))
        return answers

    async def history(self, processes: Sequence[Where], request_prefix: str) -> dict[str, list[Made]]:
        found = {}
        for _, process in processes:
            each = self.find(process)
            silent = self.fault("history", process) == "silent"
            if silent:
                self.unasked.add(process)
            if each is not None and not silent:
                found[process] = [
                    Made(one.number, one.request_id, one.standing)
                    for one in reversed(each.revisions)
                    if one.request_id.startswith(request_prefix)
                ]
        self._done("history", processes)
        return found

    async def evaluate(self, processes: Sequence[Where], expression: str, timeout_s: float) -> list[Answer]:
        answers = [
            Answer(process, "FAILED", "False") if self.fault("check", process) else Answer(process, "OK")
            for _, process in processes
        ]
        self._done("evaluate", processes)
        return answers

    async def health(self, processes: Sequence[Where]) -> list[Answer]:
        return await self.evaluate(processes, "", 1)

    def _change(self, what: str, process: str, request_id: str) -> Answer:
        found = self.find(process)
        fault = self.fault(what, process)
        if found is None:
            return Answer(process, "UNREACHABLE", "it ended")
        done = next((each for each in found.revisions if each.request_id == request_id), None)
        if done is not None:
            return Answer(process, "APPLIED", revision=done.number)  # the same id is done once
        if fault == "silent":
            return Answer(process, "UNREACHABLE", "connection refused")
        if fault == "refuse":
            return Answer(process, "REFUSED", "frozen", "FROZEN")
        if fault == "fail":
            return Answer(process, "FAILED", "app: ValueError: no")
        if fault == "lost_before":
            return Answer(process, "UNKNOWN", "the connection broke")
        found.prepared.discard(request_id)
        if found.version == NEW:
            return Answer(process, "UNCHANGED")
        found.version = NEW
        found.revisions.append(SimRevision(len(found.revisions) + 1, request_id))
        if fault == "restart":
            self.restart(found)
            return Answer(process, "UNKNOWN", "the connection broke")
        if fault == "fork":
            self.fork(found)
        if fault == "crash":
            found.alive = False
            return Answer(process, "APPLIED", revision=len(found.revisions))
        if fault == "lost_after":
            return Answer(process, "UNKNOWN", "the connection broke")
        return Answer(process, "APPLIED", revision=len(found.revisions))

    def _done(self, kind: str, processes: Sequence[Where]) -> None:
        self.trace.append((kind, tuple(process for _, process in processes)))
        self.after_call(kind)
