"""`modctl rollout status` and `history`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from modctl.client import exits
from modctl.client.commands.rollout.common import kept_rollout, rollout_argument
from modctl.client.options import command, flag, operating
from modctl.client.session import Session

if TYPE_CHECKING:
    from modctl.client.printers.terminal import Output
    from modctl.client.rollout.begin import Kept
    from modctl.client.rollout.state import RolloutState

#: How often `status --watch` looks, in seconds.
_LOOK_EVERY_S = 0.5


@command("status", "Show how far a rollout is.")
@rollout_argument
@flag("--watch", "-w", is_flag=True, help="Go on showing it until it ends.")
@operating
def status_command(rollout: str, watch: bool, **flags: Any) -> int:
    """Show a rollout's waves and whoever failed; without an ID the newest. Exits as the rollout did.

    --watch redraws on a terminal; elsewhere, and with -o json, jsonl or yaml, it prints anew what has changed.
    """
    kept = kept_rollout(rollout)
    picture = _Picture(kept, Session(flags).output)
    while True:
        # In this order: the state of a rollout that nobody runs is its last.
        at_work = kept.store.is_running(kept.rollout)
        state = kept.state()
        if not state.ended and state.status != "PAUSED" and not at_work:
            note = f"nobody runs it: `modctl rollout resume {kept.rollout}` goes on"
            state.message = f"{state.message}; {note}" if state.message else note
        picture.show(state)
        if not watch or not at_work:
            return exits.OK if not state.ended and state.status != "PAUSED" and not state.failures else state.exit_code
        time.sleep(_LOOK_EVERY_S)


class _Picture:
    """What a rollout looks like, shown again when it looks otherwise.

    Args:
        kept: the rollout.
        output: where to.
    """

    def __init__(self, kept: Kept, output: Output) -> None:
        self._kept = kept
        self._output = output
        self._before: object = None
        self._lines = 0

    def show(self, state: RolloutState) -> None:
        """Shows it, unless it is as before."""
        from modctl.client.printers import rollouts

        kept, output = self._kept, self._output
        if output.width is not None and output.format == "table":
            text = rollouts.text(state, kept.spec, output)
            if text != self._before:
                # The picture is drawn over the one before.
                output.write((f"\x1b[{self._lines}A\x1b[J" if self._lines else "") + text)
                output.out.flush()
                self._before, self._lines = text, text.count("\n")
            return
        document = rollouts.document(state, kept.spec, len(kept.targets))
        document["rollout"]["changed_at"] = ""  # that it was written again is no news
        if document != self._before:
            rollouts.show(state, kept.spec, len(kept.targets), output)
            self._before = document


@command("history", "List the rollouts begun from here.")
@operating
def history_command(**flags: Any) -> int:
    """List rollouts, newest first."""
    from modctl.client.printers import rollouts
    from modctl.client.rollout.store import RolloutStore

    output = Session(flags).output
    store = RolloutStore()
    kept = [kept_rollout(rollout) for rollout in store.ids()]
    rollouts.show_history([(each.state(), each.spec, len(each.targets)) for each in kept], output)
    return exits.OK
