"""`modctl rollout`: a change set in waves."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click
from modctl.client import exits
from modctl.client.options import Duration, ModctlCommand, changing, command, flag, operating
from modctl.client.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.client.fleet import AsyncFleet
    from modctl.client.operations import Operation
    from modctl.client.printers.terminal import Output
    from modctl.client.rollout.begin import Kept
    from modctl.client.rollout.runner import Runner
    from modctl.client.rollout.spec import RolloutSpec
    from modctl.client.rollout.state import RolloutState

#: What has to be known again to dial: flags whose values are written into the plan.
_CONNECTION = ("cacert", "cert", "key", "server_name", "token_file", "plaintext", "context")
#: How often `status --watch` looks, in seconds.
_LOOK_EVERY_S = 0.5


class _Group(click.Group):
    """Its commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)


@click.group(
    "rollout",
    cls=_Group,
    short_help="Bring a change to a fleet in waves.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
def rollout_command() -> None:
    """Bring a change to a fleet in waves, with checks between them and a way back.

    \b
    modctl rollout start billing.tax --from src --host 'svc[01-50]:50051' \\
        --canary 1 --waves 10%,50% --soak 30s --check 'curl -fsS http://lb/health' --max-failures 1
    """


_SPEC = [
    flag("--canary", default="1", show_default=True, metavar="N|P%", help="Who comes first, alone; 0 for none."),
    flag("--waves", default="", metavar="A,B", help="How many shall have it after each wave: 10%,50%. Then everybody."),
    flag("--soak", type=Duration(), default=None, help="Wait so long after each wave before it is checked."),
    flag(
        "--check",
        multiple=True,
        metavar="CMD|expr:EXPR|health",
        help="Has to hold after each wave: a command here, an expression in each process of the wave, or health.",
    ),
    flag("--check-timeout", type=Duration(), default="30s", show_default=True, help="Bound on each check."),
    flag(
        "--max-failures",
        default="0",
        show_default=True,
        metavar="N|P%",
        help="Abort when failures EXCEED this: 0 aborts at the first, 1 at the second.",
    ),
    flag(
        "--on-failure",
        type=click.Choice(["undo", "pause", "stop"]),
        default="undo",
        show_default=True,
        help="undo: everything changed goes back. pause: wait for resume, promote or abort. stop: leave it.",
    ),
    flag(
        "--unit",
        type=click.Choice(["process", "target"]),
        default="process",
        show_default=True,
        help="What is counted.",
    ),
    flag("--allow-mixed", is_flag=True, help="Begin though processes run different versions of it."),
    flag("--one-phase", is_flag=True, help="Do not prepare a wave everywhere before it is committed anywhere."),
    flag("--lease", type=Duration(), default="30s", show_default=True, help="How long a prepared process holds."),
]


def _spec_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    for each in reversed(_SPEC):
        function = each(function)
    return function


@command("start", "Begin a rollout.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@flag("--file", "-f", metavar="FILE|-", help="A change set, as for `modctl apply`; instead of names.")
@flag("--from", "from_dir", metavar="DIR", help="Send the modules' sources from here.")
@flag("--mode", type=click.Choice(["patch", "fresh"]), default="patch", show_default=True, help="As for reimport.")
@_spec_flags
@changing
def start_command(names: tuple[str, ...], file: str | None, from_dir: str | None, mode: str, **flags: Any) -> int:
    """Bring modules' new code, or a change set, to all targets in waves.

    The set of targets is looked up once. First everybody is asked whether they could take the change (a wrong base
    digest or mixed versions stop here); then the canary, the waves, and everybody. Each wave is prepared everywhere
    before it is committed anywhere, soaks, and is checked. Failures above --max-failures abort.

    Exit codes: 0 everybody has it, 3 some failed (within --max-failures) or the preflight said no, 5 aborted and
    undone, 6 aborted with a mixed state left.
    """
    operations, reason = _operations(names, file, from_dir, mode)
    spec = _spec(flags, flags.get("reason") or reason)
    session = Session(flags)
    return session.begin_change(lambda fleet: _start(fleet, operations, spec, session, flags))


def _operations(
    names: tuple[str, ...], file: str | None, from_dir: str | None, mode: str
) -> tuple[list[Operation], str]:
    from modctl.client.operations import Reimport

    if bool(names) == bool(file):
        raise click.UsageError("name modules, or a change set with --file, and not both")
    if file:
        from modctl.client.changeset import read_change_set

        if from_dir:
            raise click.UsageError("--from goes with names; a change set names its own files")
        change_set = read_change_set("-", sys.stdin.read()) if file == "-" else read_change_set(file)
        return list(change_set.operations), change_set.reason
    if from_dir is None:
        return [Reimport(name, mode) for name in names], ""
    from modctl.client.local_sources import source_of

    return [Reimport(name, mode, source=source_of(from_dir, name)) for name in names], ""


def _spec(flags: dict[str, Any], reason: str) -> RolloutSpec:
    from modctl.client.rollout.spec import Limit, RolloutSpec, parse_waves

    return RolloutSpec(
        canary=Limit.parse(flags["canary"], "canary"),
        waves=parse_waves(flags["waves"]),
        soak_s=flags["soak"] or 0.0,
        checks=flags["check"],
        check_timeout_s=flags["check_timeout"],
        max_failures=Limit.parse(flags["max_failures"], "max-failures"),
        on_failure=flags["on_failure"],
        allow_mixed=flags["allow_mixed"],
        two_phase=not flags["one_phase"],
        lease_s=flags["lease"],
        unit=flags["unit"],
        reason=reason,
        execution_timeout_s=flags["timeout"],
    )


async def _start(
    fleet: AsyncFleet, operations: list[Operation], spec: RolloutSpec, session: Session, flags: dict[str, Any]
) -> int:
    from modctl.client.printers import rollouts
    from modctl.client.rollout.begin import plan_of, run_until_stopped
    from modctl.client.rollout.fleet_port import LiveFleet
    from modctl.client.rollout.runner import Runner
    from modctl.client.rollout.state import RolloutState
    from modctl.client.rollout.store import RolloutStore

    output = session.output
    targets = len(await fleet.resolve())
    options = session.change_options()
    port = LiveFleet(fleet, operations, spec, options)
    if flags["dry_run"]:
        runner = Runner(RolloutState("dry-run", began_at_unix_s=time.time()), spec, port, _Nowhere())
        state = await runner.preflight_only()
        if state.status == "RUNNING":
            state.status = "PLANNED"
        rollouts.show(state, spec, targets, output)
        return _code(state, dry_run=True)
    session.announce(await fleet.survey())
    store = RolloutStore()
    rollout = store.create(await plan_of(fleet, operations, spec, _connection(flags), options))
    output.note(f"modctl: rollout {rollout}")
    with store.running(rollout):
        runner = Runner(store.load(rollout), spec, port, store, observe=_telling(output))
        state = await run_until_stopped(runner, fleet)
    rollouts.show(state, spec, targets, output)
    return _code(state)


class _Nowhere:
    """Keeps nothing: for dry runs."""

    def save(self, state: RolloutState) -> None:
        """Does nothing."""

    def take_requests(self, rollout: str) -> list[str]:  # noqa: ARG002 - a Keeper's signature
        """There are none."""
        return []


def _connection(flags: dict[str, Any]) -> dict[str, Any]:
    files = ("cacert", "cert", "key", "token_file")
    return {
        name: os.path.abspath(flags[name]) if name in files else flags[name] for name in _CONNECTION if flags.get(name)
    }


def _code(state: RolloutState, dry_run: bool = False) -> int:
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


def _telling(output: Output) -> Callable[[object, RolloutState], None]:
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


# Those that work on the state file

_ROLLOUT = click.argument("rollout", required=False, default="", metavar="[ID]")


def _kept(rollout: str) -> Kept:
    from modctl.client.rollout.begin import Kept
    from modctl.client.rollout.store import RolloutStore

    return Kept(RolloutStore(), rollout)


@command("status", "Show how far a rollout is.")
@_ROLLOUT
@flag("--watch", "-w", is_flag=True, help="Go on showing it until it ends.")
@operating
def status_command(rollout: str, watch: bool, **flags: Any) -> int:
    """Show a rollout's waves and whoever failed; without an ID the newest. Exits as the rollout did."""
    from modctl.client.printers import rollouts

    kept = _kept(rollout)
    output = Session(flags).output
    drawn = 0
    before = ""
    while True:
        state = kept.state()
        at_work = kept.store.is_running(kept.rollout)
        if not state.ended and state.status != "PAUSED" and not at_work:
            note = f"nobody runs it: `modctl rollout resume {kept.rollout}` goes on"
            state.message = f"{state.message}; {note}" if state.message else note
        if not watch or output.format not in ("table", "wide"):
            rollouts.show(state, kept.spec, len(kept.targets), output)
        else:
            text = rollouts.text(state, kept.spec, output)
            if text != before:
                # On a terminal the picture is drawn over the one before.
                again = f"\x1b[{drawn}A\x1b[J" if drawn and output.width is not None else ""
                output.write(again + text)
                output.out.flush()
                before, drawn = text, text.count("\n")
        if not watch or not at_work:
            return exits.OK if not state.ended and state.status != "PAUSED" and not state.failures else state.exit_code
        time.sleep(_LOOK_EVERY_S)


@command("history", "List the rollouts begun from here.")
@operating
def history_command(**flags: Any) -> int:
    """List rollouts, newest first."""
    from modctl.client.printers import rollouts
    from modctl.client.rollout.store import RolloutStore

    output = Session(flags).output
    store = RolloutStore()
    kept = [_kept(rollout) for rollout in store.ids()]
    rollouts.show_history([(each.state(), each.spec, len(each.targets)) for each in kept], output)
    return exits.OK


@command("pause", "Pause a rollout after the step that is under way.")
@_ROLLOUT
@operating
def pause_command(rollout: str, **flags: Any) -> int:
    """Pause a rollout; `resume` goes on."""
    return _tell_or_do(rollout, flags, "pause", None)


@command("resume", "Go on with a rollout that was paused, stopped or killed.")
@_ROLLOUT
@operating
def resume_command(rollout: str, **flags: Any) -> int:
    """Go on. The processes are asked first what they have; what failed is tried again."""
    return _tell_or_do(rollout, flags, "", lambda runner: runner.take_up())


@command("promote", "Pass over the rest of a soak, or a check that failed.")
@_ROLLOUT
@flag("--full", is_flag=True, help="All soaks of the rollout.")
@operating
def promote_command(rollout: str, full: bool, **flags: Any) -> int:
    """Pass over the rest of this wave's soak; of a rollout that waits because a check failed, pass over that check."""
    request = "promote-all" if full else "promote"
    return _tell_or_do(rollout, flags, request, lambda runner: runner.promote(full))


@command("abort", "Stop a rollout and take everything back.")
@_ROLLOUT
@operating
def abort_command(rollout: str, **flags: Any) -> int:
    """Stop a rollout and undo what it has changed, newest first."""
    return _asked_for(_tell_or_do(rollout, flags, "abort", lambda runner: runner.undo("aborted by its operator")))


@command("undo", "Take back a rollout that has ended.")
@_ROLLOUT
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

    kept = _kept(rollout)
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

    runner = kept.runner(fleet, _telling(output))
    kept.store.take_requests(kept.rollout)  # what was asked of a runner that is gone
    prepare(runner)
    state = await run_until_stopped(runner, fleet)
    rollouts.show(state, kept.spec, len(kept.targets), output)
    return _code(state)


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


for _command in (
    start_command,
    status_command,
    pause_command,
    resume_command,
    promote_command,
    abort_command,
    undo_command,
    history_command,
):
    assert isinstance(_command, ModctlCommand)
    rollout_command.add_command(_command)
