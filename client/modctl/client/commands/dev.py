"""`modctl dev`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click
from modctl.client import exits
from modctl.client.errors import UsageError
from modctl.client.options import changing, command, flag
from modctl.client.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from modctl.client.dev.saves import Saves
    from modctl.client.fleet import AsyncFleet

#: How long to wait for more changes of one save, in milliseconds: editors write a file in several steps.
_SETTLE_MS = 20
_AT_MOST_MS = 100
#: After so long without a change everything is looked at once, in milliseconds.
_FIRST_LOOK_MS = 300


@command("dev", "Reload what is saved, as it is saved.")
@click.argument("folder", metavar="DIR", type=click.Path())
@flag("--mode", type=click.Choice(["patch", "fresh"]), default="patch", show_default=True, help="As for reimport.")
@changing
def dev_command(folder: str, mode: str, **flags: Any) -> int:
    """Watch a folder of sources; send each saved module to the targets that have it loaded, and let them use it.

    One line a save: what was done, to which symbols, in how many processes, and how long it took. What cannot be
    compiled, or raises, changes nothing and is shown with its place. Ends with Ctrl-C.
    """
    from modctl.client.dev.saves import Saves, root_of

    try:
        import watchfiles  # noqa: F401 - to say so before anything else happens
    except ImportError:
        raise UsageError("modctl dev needs watchfiles; run: pip install 'modctl[dev]'") from None
    root = root_of(folder)
    saves = Saves(root)
    session = Session(flags)
    return session.begin_change(lambda fleet: _watch(fleet, session, saves, mode, flags.get("reason") or "modctl dev"))


async def _watch(fleet: AsyncFleet, session: Session, saves: Saves, mode: str, reason: str) -> int:
    from modctl.client.dev.push import Pusher
    from modctl.client.printers import saves as printer

    output = session.output
    survey = await fleet.survey()
    session.announce(survey)
    output.note(
        f"modctl: watching {len(saves)} modules below {saves.root} for {survey.count} "
        f"process{'' if survey.count == 1 else 'es'}; Ctrl-C ends it"
    )
    pusher = Pusher(fleet, mode, reason)
    async for files in _changes(saves.root, fleet):
        began_s = time.monotonic()
        found = saves.of(files)
        for save in found:
            if save.source is None:
                printer.removed(save, saves.root, output)
        sendable = [save for save in found if save.source is not None]
        if not sendable:
            continue
        asked_for = pusher.mode
        pushed = await pusher.push(sendable, began_s)
        if pusher.mode != asked_for:
            output.note("modctl: the agents cannot change live objects yet: modules are loaded afresh instead")
        printer.show(pushed, saves.root, output)
        if pushed.nobody:
            # It may be starting anew, at another place.
            await fleet.look_again()
    return exits.OK


async def _changes(root: str, fleet: AsyncFleet) -> AsyncIterator[list[str]]:
    import watchfiles
    from modctl.client.dev.saves import interesting
    from modctl.client.local_sources import modules_of

    begun = False
    async for changes in watchfiles.awatch(
        root,
        stop_event=fleet.stop,
        step=_SETTLE_MS,
        debounce=_AT_MOST_MS,
        watch_filter=lambda _, file: interesting(file),
        raise_interrupt=False,
        rust_timeout=_FIRST_LOOK_MS,
        yield_on_timeout=True,
    ):
        if not begun:
            # What was saved before the watch stood is found by looking at everything once.
            begun = True
            yield [file for _, file in modules_of(root)]
        if changes:
            yield [file for _, file in changes]
