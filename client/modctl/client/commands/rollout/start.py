"""`modctl rollout start`."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click
from modctl.client.commands.rollout.common import code_of, telling
from modctl.client.options import Duration, changing, command, flag
from modctl.client.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.client.fleet import AsyncFleet
    from modctl.client.operations import Operation
    from modctl.client.rollout.spec import RolloutSpec
    from modctl.client.rollout.state import RolloutState

#: What has to be known again to dial: flags whose values are written into the plan.
_CONNECTION = ("cacert", "cert", "key", "server_name", "token_file", "plaintext", "context")

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
        return code_of(state, dry_run=True)
    session.announce(await fleet.survey())
    store = RolloutStore()
    rollout = store.create(await plan_of(fleet, operations, spec, _connection(flags), options))
    output.note(f"modctl: rollout {rollout}")
    with store.running(rollout):
        runner = Runner(store.load(rollout), spec, port, store, observe=telling(output))
        state = await run_until_stopped(runner, fleet)
    rollouts.show(state, spec, targets, output)
    return code_of(state)


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
