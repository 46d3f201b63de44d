"""`modctl drift`."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import click
from modctl.client import exits
from modctl.client.errors import NoTargetError, UsageError
from modctl.client.options import Duration, command, flag, reading
from modctl.client.session import Session

if TYPE_CHECKING:
    from modctl.client.drift import Reference
    from modctl.client.fleet import AsyncFleet

#: What can be replaced at run time: others have no source to compare.
_KINDS = ("SOURCE", "INJECTED", "BLOCKED")


@command("drift", "Show which processes run which version.")
@click.argument("patterns", nargs=-1, metavar="[NAME|GLOB]...")
@flag(
    "--against",
    default="majority",
    show_default=True,
    metavar="majority|disk|DIR|TARGET",
    help="What most processes of the service run, each process's own disk, a local tree, or what a target runs.",
)
@flag("--watch", "-w", is_flag=True, help="Look again and again, and show what has changed.")
@flag("--interval", type=Duration(), default="2s", show_default=True, help="How often --watch looks.")
@reading
def drift_command(patterns: tuple[str, ...], against: str, watch: bool, interval: float, **flags: Any) -> int:
    """Show which processes run which version of modules: did it take effect everywhere?

    Versions are digests of what is really running, compared within each service. Without --verbose, and unless asked
    for by name, modules without differences are left out. Exits with 1 where there are differences.
    """
    session = Session(flags)
    if watch:
        return session.stream(lambda fleet: _watch(fleet, session, patterns, against, interval))
    return session.run(lambda fleet: _once(fleet, session, patterns, against))


async def _once(fleet: AsyncFleet, session: Session, patterns: tuple[str, ...], against: str) -> int:
    from modctl.client.drift import asked_by_name, compare
    from modctl.client.printers import drifts

    reference = await _reference(fleet, against, patterns)
    result = await fleet.list(*patterns, kinds=_KINDS)
    found = compare(result, reference, patterns)
    shown = [each for each in found if each.differs or session.output.verbose or asked_by_name(each.name, patterns)]
    if result.rows or result.skipped:
        drifts.show(shown, result, against, session.output, everything=True)
    else:
        session.output.warn("modctl: no process was found")
    if any(each.differs for each in found):
        return exits.DIFFERENCES
    return exits.of_result(result)


async def _watch(
    fleet: AsyncFleet, session: Session, patterns: tuple[str, ...], against: str, interval_s: float
) -> int:
    import io
    import time

    code = exits.OK
    before = ""
    real = session.output.out
    while not fleet.stop.is_set():
        session.output.out = text = io.StringIO()
        try:
            code = await _once(fleet, session, patterns, against)
        finally:
            session.output.out = real
        if text.getvalue() != before:
            before = text.getvalue()
            if session.output.format in ("table", "wide"):
                session.output.write(f"{time.strftime('%H:%M:%S')}\n")
            session.output.write(before)
            real.flush()
        try:
            await asyncio.wait_for(fleet.stop.wait(), interval_s)
        except asyncio.TimeoutError:
            continue
    return code


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)


async def _reference(fleet: AsyncFleet, against: str, patterns: tuple[str, ...]) -> Reference:
    from modctl.client import drift

    if against == "majority":
        return drift.Majority()
    if against == "disk":
        return drift.Disk()
    if against == "desired":
        raise UsageError("--against desired: no desired state is kept here; compare with majority, disk, DIR or TARGET")
    if _is_folder(against):
        return drift.of_directory(against)
    from modctl.client.fleet import AsyncFleet
    from modctl.client.targets import parse_targets

    other = AsyncFleet(parse_targets([against]), fleet.settings)
    try:
        result = await other.list(*patterns, kinds=_KINDS)
    finally:
        await other.close()
    if not result.ok:
        why = result.failed[0].why if result.failed else "no process was found there"
        raise NoTargetError(f"--against {against}: {why}")
    return drift.of_listing(result)
