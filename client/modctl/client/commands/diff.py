"""`modctl diff`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from modctl.client import exits
from modctl.client.options import command, flag, reading
from modctl.client.session import Session

if TYPE_CHECKING:
    from modctl.client.diffs import Against
    from modctl.client.fleet import AsyncFleet


@command("diff", "Show what running code differs in from other code.")
@click.argument("names", nargs=-1, metavar="[NAME|GLOB]...")
@flag("--from", "folder", type=click.Path(exists=True, file_okay=False), help="Against the sources of this tree.")
@flag("--file", "-f", metavar="FILE|-", help="Against what a change set wants to be there.")
@reading
def diff_command(names: tuple[str, ...], folder: str | None, file: str | None, **flags: Any) -> int:
    """Show, as a unified diff, from the source that is really running to what is on each target's disk, in a tree, or
    in a change set.

    Exits with 1 where there are differences. `modctl reload --dry-run` says what taking the new code would do.
    """
    patterns, against = _against(names, folder, file)
    session = Session(flags)
    return session.run(lambda fleet: _diff(fleet, session, patterns, against))


def _against(names: tuple[str, ...], folder: str | None, file: str | None) -> tuple[list[str], Against]:
    from modctl.client.diffs import Against
    from modctl.client.drift import Desired, Wanted, wanted_by

    if file is not None:
        if folder is not None or names:
            raise click.UsageError("--file names its own modules; it goes with no names and no --from")
        from modctl.client.changeset import read_change_set

        change_set = read_change_set("-", sys.stdin.read()) if file == "-" else read_change_set(file)
        wanted = wanted_by(change_set.operations)
        return list(Desired(wanted).patterns), Against(file, wanted)
    if folder is not None:
        from modctl.client.commands.reload import sources_from

        sources = dict(sources_from(folder, names))
        # A module of the tree that a process has not loaded is no difference.
        return list(sources), Against(folder, {name: Wanted(each, needed=False) for name, each in sources.items()})
    if not names:
        raise click.UsageError("name a module, or say --from DIR or --file FILE")
    return list(names), Against()


async def _diff(fleet: AsyncFleet, session: Session, patterns: list[str], against: Against) -> int:
    from modctl.client.diffs import diffs
    from modctl.client.printers.diffs import show

    found, listing = await diffs(fleet, patterns, against)
    show(found, listing, session.output)
    if not listing.rows and not listing.skipped:
        session.output.warn("modctl: no process was found")
    elif listing.ok and not any(each.loaded for each in found):
        session.output.note(f"modctl: no process has loaded {', '.join(patterns)}")
    code = exits.of_result(listing)
    if code == exits.OK and any(each.why for each in found):
        return exits.SOME_FAILED
    return exits.DIFFERENCES if code == exits.OK and any(each.differs for each in found) else code
