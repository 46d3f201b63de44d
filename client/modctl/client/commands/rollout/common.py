"""What the commands of `modctl rollout` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from modctl.client import exits

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.client.printers.terminal import Output
    from modctl.client.rollout.begin import Kept
    from modctl.client.rollout.state import RolloutState

#: The rollout that a command is about.
rollout_argument = click.argument("rollout", required=False, default="", metavar="[ID]")


def kept_rollout(rollout: str) -> Kept:
    """The rollout of that id, or beginning of an id; without one the newest."""
    from modctl.client.rollout.begin import Kept
    from modctl.client.rollout.store import RolloutStore

    return Kept(RolloutStore(), rollout)


def code_of(state: RolloutState, dry_run: bool = False) -> int:
    """What to exit with; the special codes are for when it ended before anybody was changed."""
    if dry_run and state.status == "PLANNED":
        return exits.SOME_FAILED if state.failures else exits.OK
    if state.status == "REJECTED":
        from modctl.client.printers.rollouts import outcome_of

        if not state.entries:
            return exits.NO_TARGET
        outcomes = {outcome_of(entry) for entry in state.entries.values()}
        if len(outcomes) == 1:
            return {"UNREACHABLE": exits.NONE_REACHABLE, "DENIED": exits.DENIED}.get(outcomes.pop(), exits.SOME_FAILED)
    return state.exit_code


def telling(output: Output) -> Callable[[object, RolloutState], None]:
    """Says each step on stderr as it begins."""
    from modctl.client.printers.steps import sentence

    told = ""

    def tell(step: object, state: RolloutState) -> None:
        nonlocal told
        text = sentence(step, state)
        if text and text != told:
            told = text
            output.note(f"modctl: {text}")

    return tell
