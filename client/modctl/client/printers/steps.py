"""What a rollout does, a sentence a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modctl.client.printers import fold
from modctl.client.rollout import decide

if TYPE_CHECKING:
    from modctl.client.rollout.state import RolloutState


def sentence(step: object, state: RolloutState) -> str:
    """What begins now; "" where nothing is to be said."""
    wave = state.waves[state.wave].name if state.waves else ""
    if isinstance(step, decide.Preflight):
        return "preflight: asking everybody whether they could take the change"
    if isinstance(step, decide.Plan):
        return f"preflight of {fold.processes(len(step.processes))} that joined"
    if isinstance(step, decide.Send):
        return f"{wave}: {fold.processes(len(step.processes))}"
    if isinstance(step, decide.Soak):
        return f"{wave}: soaking"
    if isinstance(step, decide.Check):
        return f"{wave}: checking"
    if isinstance(step, decide.Sweep):
        return f"{fold.processes(len(step.processes))} joined since it began"
    if isinstance(step, decide.Reconcile):
        return "asking everybody what they have"
    if isinstance(step, decide.Abort):
        return f"aborting: {step.why}"
    if isinstance(step, decide.Undo):
        return f"undoing {fold.processes(sum(len(each) for each in step.waves))}"
    return ""
