"""What a rollout does next: a pure function of its state and of the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from modctl.client.rollout.spec import RolloutSpec
    from modctl.client.rollout.state import RolloutState

#: How often everybody who still has the change is asked to undo it.
UNDO_ROUNDS: Final = 3
#: How many waves are added for processes that keep joining.
SWEEPS: Final = 3


@dataclass(frozen=True)
class Preflight:
    """Ask who is there, and each of them whether it could take the change."""


@dataclass(frozen=True)
class Plan:
    """Ask those that joined whether they could take the change."""

    processes: tuple[str, ...]


@dataclass(frozen=True)
class Reconcile:
    """Ask everybody what they have."""


@dataclass(frozen=True)
class Send:
    """Bring the change to these processes."""

    processes: tuple[str, ...]


@dataclass(frozen=True)
class Soak:
    """Wait."""

    until_unix_s: float


@dataclass(frozen=True)
class Look:
    """See who is still there after the soak, and who came."""


@dataclass(frozen=True)
class Check:
    """Run the checks for the wave that is under way."""


@dataclass(frozen=True)
class Advance:
    """The wave is through: begin the next one."""


@dataclass(frozen=True)
class Sweep:
    """Add a wave for processes that joined."""

    processes: tuple[str, ...]


@dataclass(frozen=True)
class Undo:
    """Take the change back from these, one wave after the other."""

    waves: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Abort:
    """More went wrong than was allowed."""

    why: str


@dataclass(frozen=True)
class End:
    """Nothing is left to do."""

    status: str
    why: str


Step = Preflight | Plan | Reconcile | Send | Soak | Look | Check | Advance | Sweep | Undo | Abort | End


def allowed_failures(state: RolloutState, spec: RolloutSpec) -> int:
    """How many failures there may be; one more aborts."""
    return spec.max_failures.of(state.frozen_total)


def decide(state: RolloutState, spec: RolloutSpec, now_unix_s: float) -> Step | None:
    """The next step; None where the rollout has ended or waits for its operator."""
    if state.ended or state.status == "PAUSED":
        return None
    if state.status == "PREFLIGHT":
        return Preflight()
    if state.reconcile or state.in_phase("SENDING", "UNDOING"):
        return Reconcile()
    return _undoing(state) if state.status == "UNDOING" else _running(state, spec, now_unix_s)


def _running(state: RolloutState, spec: RolloutSpec, now_unix_s: float) -> Step:
    failures = state.failures
    allowed = allowed_failures(state, spec)
    if len(failures) > allowed:
        shown = failures[-1]
        return Abort(
            f"{len(failures)} failed, and {allowed} may (--max-failures {spec.max_failures}); "
            f"the last: {shown.process}: {shown.failure}"
        )
    wave = state.waves[state.wave]
    if wave.check_failure:
        return Abort(f"{wave.name}: {wave.check_failure}")
    if waiting := due(state):
        return Send(tuple(waiting))
    if now_unix_s < wave.soak_until_unix_s and not state.promoted:
        return Soak(wave.soak_until_unix_s)
    if not wave.looked:
        return Look()
    if not wave.checked:
        return Check()
    if state.wave + 1 < len(state.waves):
        return Advance()
    joined = [entry for entry in state.in_phase("WAITING") if entry.joined]
    unplanned = tuple(entry.process for entry in joined if not entry.planned)
    if unplanned and state.sweeps < SWEEPS:
        return Plan(unplanned)
    if joined and state.sweeps < SWEEPS:
        return Sweep(tuple(entry.process for entry in joined))
    return End("DONE", _done(state, len(joined)))


def due(state: RolloutState) -> list[str]:
    """Who is to be sent the change now: of the wave that is under way, and of earlier ones whoever is tried again."""
    begun = state.waves[: state.wave + 1]
    return [each for wave in begun for each in wave.processes if state.entries[each].phase == "WAITING"]


def _done(state: RolloutState, late: int) -> str:
    has_it = len(state.in_phase("CHANGED", "UNCHANGED"))
    text = f"{has_it} of {len(state.entries)} have it"
    if state.failures:
        text += f", {len(state.failures)} failed"
    left = len(state.in_phase("LEFT"))
    if left:
        text += f", {left} ended"
    if late:
        text += f", {late} joined too late and run what they loaded"
    return text


def _undoing(state: RolloutState) -> Step:
    left = {entry.process for entry in state.in_phase("CHANGED", "STUCK")}
    if left and state.undo_rounds < UNDO_ROUNDS:
        newest_first = [
            tuple(each for each in reversed(wave.processes) if each in left) for wave in reversed(state.waves)
        ]
        in_waves = {each for wave in newest_first for each in wave}
        # Who inherited the change from a process that forked is in no wave, and is the newest of all.
        others = tuple(sorted(left - in_waves))
        return Undo(tuple(wave for wave in [others, *newest_first] if wave))
    unknown = len(state.in_phase("UNKNOWN"))
    if left or unknown:
        what = [f"{len(left)} could not be undone"] if left else []
        what += [f"{unknown} cannot be asked"] if unknown else []
        return End("MIXED", f"{' and '.join(what)}; `modctl rollout undo {state.rollout}` tries again")
    undone = len(state.in_phase("UNDONE"))
    return End("UNDONE", f"{undone} undone, nobody runs the new version" if undone else "nobody was changed")
