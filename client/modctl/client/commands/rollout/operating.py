"""`modctl rollout pause`, `resume`, `promote`, `abort` and `undo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.client import exits
from modctl.client.commands.rollout.common import code_of, kept_rollout, rollout_argument, telling
from modctl.client.options import command, flag, operating
from modctl.client.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.client.fleet import AsyncFleet
    from modctl.client.printers.terminal import Output
    from modctl.client.rollout.begin import Kept
    from modctl.client.rollout.runner import Runner


@command("pause", "Pause a rollout after the step that is under way.")
@rollout_argument
@operating
def pause_command(rollout: str, **flags: Any) -> int:
    """Pause a rollout; `resume` goes on."""
    return _tell_or_do(rollout, flags, "pause", None)


@command("resume", "Go on with a rollout that was paused, stopped or killed.")
@rollout_argument
@operating
def resume_command(rollout: str, **flags: Any) -> int:
    """Go on. The processes are asked first what they have; what failed is tried again."""
    return _tell_or_do(rollout, flags, "", lambda runner: runner.take_up())


@command("promote", "Pass over the rest of a soak, or a check that failed.")
@rollout_argument
@flag("--full", is_flag=True, help="All soaks of the rollout.")
@operating
def promote_command(rollout: str, full: bool, **flags: Any) -> int:
    """Pass over the rest of this wave's soak; of a rollout that waits because a check failed, pass over that check."""
    request = "promote-all" if full else "promote"
    return _tell_or_do(rollout, flags, request, lambda runner: runner.promote(full))


@command("abort", "Stop a rollout and take everything back.")
@rollout_argument
@operating
def abort_command(rollout: str, **flags: Any) -> int:
    """Stop a rollout and undo what it has changed, newest first."""
    return _asked_for(_tell_or_do(rollout, flags, "abort", lambda runner: runner.undo("aborted by its operator")))


@command("undo", "Take back a rollout that has ended.")
@rollout_argument
@operating
def undo_command(rollout: str, **flags: Any) -> int:
    """Undo everything that a rollout has changed, newest first; what cannot be undone is named; then try again."""
    return _asked_for(_tell_or_do(rollout, flags, "", lambda runner: runner.undo("undone by its operator")))


def _asked_for(code: int) -> int:
    """That all was undone is success where the operator asked for it."""
    return exits.OK if code == exits.ROLLED_BACK else code


def _tell_or_do(rollout: str, flags: dict[str, Any], request: str, prepare: Callable[[Runner], None] | None) -> int:
    """Tells whoever runs the rollout; where nobody does, does it here."""
    from modctl.client.rollout.errors import RolloutBusyError

    kept = kept_rollout(rollout)
    session = _KeptSession(flags, kept)
    try:
        with kept.store.running(kept.rollout):
            if prepare is None:
                return _pause(kept, session.output)
            return session.stream(lambda fleet: _go_on(kept, fleet, session.output, prepare))
    except RolloutBusyError as busy:
        if not request:
            raise
        kept.store.ask(kept.rollout, request)
        session.output.note(f"modctl: {kept.rollout}: told pid {busy.pid} to {request}")
        return exits.OK


def _pause(kept: Kept, output: Output) -> int:
    state = kept.state()
    if state.ended:
        output.warn(f"modctl: rollout {kept.rollout} has ended: {state.status}")
        return exits.SOME_FAILED
    state.status, state.message = "PAUSED", "paused by its operator"
    kept.store.save(state)
    return exits.OK


async def _go_on(kept: Kept, fleet: AsyncFleet, output: Output, prepare: Callable[[Runner], None]) -> int:
    from modctl.client.printers import rollouts
    from modctl.client.rollout.begin import run_until_stopped

    runner = kept.runner(fleet, telling(output))
    kept.store.take_requests(kept.rollout)  # what was asked of a runner that is gone
    prepare(runner)
    state = await run_until_stopped(runner, fleet)
    rollouts.show(state, kept.spec, len(kept.targets), output)
    return code_of(state)


class _KeptSession(Session):
    """A session whose fleet is the one that a rollout froze, dialled as it was then unless the flags say otherwise.

    Args:
        flags: as the command got them.
        kept: the rollout.
    """

    def __init__(self, flags: dict[str, Any], kept: Kept) -> None:
        whom = {"host": (), "hosts_file": None, "exclude": (), "process": "all"}
        known = {name: value for name, value in kept.connection.items() if not flags.get(name)}
        super().__init__({**whom, **flags, **known})
        self._kept = kept

    def fleet(self) -> AsyncFleet:
        """The rollout's."""
        fleet = self._kept.fleet(self.settings())
        self.show_progress(fleet)
        return fleet
