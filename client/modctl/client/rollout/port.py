"""What a rollout needs of a fleet: the seam at which the real one and a simulated one are alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Sighted:
    """A process that is there.

    Args:
        target: the label of the target that it is behind.
        process: its id.
        service: its service's name.
        pid: its pid.
        role: MAIN, MASTER or WORKER.
    """

    target: str
    process: str
    service: str = ""
    pid: int = 0
    role: str = "MAIN"


@dataclass(frozen=True)
class Sighting:
    """Who is there.

    Args:
        processes: every process of the targets that answered.
        silent: label to reason of every target that did not.
    """

    processes: tuple[Sighted, ...]
    silent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What one process says.

    Args:
        process: its id.
        outcome: of surface.md; and PREPARED, and UNSUPPORTED where it does not know two-phase changes.
        why: one sentence where the outcome is not good.
        reason: the constant of a refusal.
        revision: the revision made.
        before: module to the digest that is there before.
        switched_at_unix_s: when the new code was there; 0 where that was not said.
    """

    process: str
    outcome: str
    why: str = ""
    reason: str = ""
    revision: int = 0
    before: Mapping[str, str] = field(default_factory=dict)
    switched_at_unix_s: float = 0.0


@dataclass(frozen=True)
class Made:
    """A revision in a process's history.

    Args:
        revision: its number.
        request_id: the id of the request that made it.
        standing: whether nothing took it back.
    """

    revision: int
    request_id: str
    standing: bool


#: (target's label, process id).
Where = tuple[str, str]


class FleetPort(Protocol):
    """A fleet. No method raises for what a target does: that is an answer, and everybody asked about has one."""

    async def survey(self) -> Sighting:
        """Who is there. The set of targets never changes, that of processes may."""

    async def plan(self, processes: Sequence[Where]) -> list[Answer]:
        """Whether they could take the change: PLANNED, UNCHANGED, or why not. Changes nothing."""

    async def change(self, processes: Sequence[Where], request_id: str) -> list[Answer]:
        """Brings them the change. The same request id is done once."""

    async def prepare(self, processes: Sequence[Where], request_id: str, lease_s: float) -> list[Answer]:
        """Stages the change and holds it until commit, abandon or the lease's end: PREPARED, UNCHANGED, or why not."""

    async def commit(self, processes: Sequence[Where], request_id: str) -> list[Answer]:
        """Makes what was prepared under that id take effect."""

    async def abandon(self, processes: Sequence[Where], request_id: str) -> list[Answer]:
        """Drops what was prepared under that id."""

    async def undo(self, revisions: Mapping[Where, int], request_id: str) -> list[Answer]:
        """Takes these revisions back."""

    async def history(self, processes: Sequence[Where], request_prefix: str) -> dict[str, list[Made]]:
        """The revisions whose request id begins so, newest first, of each process that could be asked."""

    async def evaluate(self, processes: Sequence[Where], expression: str, timeout_s: float) -> list[Answer]:
        """OK where the expression is true in the process, else FAILED and why."""

    async def health(self, processes: Sequence[Where]) -> list[Answer]:
        """OK where the process is there, takes changes, and its gateway says that it serves."""
