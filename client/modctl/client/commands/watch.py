"""`modctl watch`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from modctl.client import exits
from modctl.client.options import command, flag, reading
from modctl.client.session import Session

if TYPE_CHECKING:
    from modctl.client.fleet import AsyncFleet


@command("watch", "Follow changes as they happen.")
@click.argument("patterns", nargs=-1, metavar="[GLOB]...")
@flag("--since-revision", type=click.IntRange(min=0), default=None, help="Tell kept revisions after this one first.")
@reading
def watch_command(patterns: tuple[str, ...], since_revision: int | None, **flags: Any) -> int:
    """Follow changes of the module table as they happen, until Ctrl-C. A target that goes is said, and dialled again.

    -o json and jsonl print one object a line.
    """
    session = Session(flags)
    output = session.output
    if output.format == "yaml":
        raise click.UsageError("watch has no end, and so no YAML document; use -o jsonl")

    async def follow(fleet: AsyncFleet) -> int:
        from modctl.client.printers import shapes
        from modctl.client.printers.events import event_line
        from modctl.client.results import Row

        heard = False
        async for each in fleet.watch(*patterns, since_revision=since_revision):
            if isinstance(each, Row):
                heard = heard or each.good
                if not each.good:
                    output.warn(f"modctl: {each.where}: {each.outcome}: {each.why}")
                elif output.verbose:
                    output.note(f"modctl: {each.where}: watching")
            elif output.format in ("json", "jsonl"):
                output.write(json.dumps(shapes.event(each)) + "\n")
            elif output.format == "name":
                output.write(f"{each.module.name}\n")
            else:
                output.write(event_line(each, output))
            output.out.flush()
        if not await fleet.resolve():
            output.warn("modctl: no agent of yours runs on this machine; name a target with --host")
            return exits.NO_TARGET
        return exits.SOME_FAILED if heard else exits.DENIED

    return session.stream(follow)
