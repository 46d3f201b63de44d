"""`modctl reload`."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click
from modctl.client.options import changing, command, flag
from modctl.client.session import Session

if TYPE_CHECKING:
    from modctl.client.operations import Reimport


@command("reload", "Let the running program use new code.")
@click.argument("names", nargs=-1, metavar="[NAME|GLOB]...")
@flag("--from", "folder", type=click.Path(exists=True, file_okay=False), help="Send the sources of this tree along.")
@flag("--changed", is_flag=True, help="Every module whose file is not what is loaded.")
@flag(
    "--not-transactional",
    is_flag=True,
    help="Changed statements may call into live objects of which nothing can be put back if the change fails.",
)
@flag(
    "--services",
    type=click.Choice(["refuse", "keep", "rerun"]),
    default="refuse",
    show_default=True,
    help="What becomes of live objects that own threads, sockets or locks and would be made again.",
)
@changing
def reload_command(names: tuple[str, ...], folder: str | None, changed: bool, **flags: Any) -> int:
    """Let the running program use new code: who holds a function, class or instance has the new version afterwards.

    Without --from the sources are those on each target's disk. A pattern takes the loaded modules that match it and
    whose file is not what is loaded; with --from, the modules of the tree that match it. All of it is one change: all
    or nothing.
    """
    from modctl.client.printers import CHANGE_RESULT

    operations = _operations(names, folder, changed=changed)
    return Session(flags).change(CHANGE_RESULT, lambda fleet, options: fleet.apply(operations, options=options))


def _operations(names: tuple[str, ...], folder: str | None, *, changed: bool) -> list[Reimport]:
    from modctl.client.operations import Reimport

    if folder is not None:
        if changed:
            raise click.UsageError("--changed looks at each target's disk; it does not go with --from")
        return [Reimport(name, "patch", source=source) for name, source in sources_from(folder, names)]
    if changed:
        return [Reimport(name, "patch") for name in names or ("*",)]
    if not names:
        raise click.UsageError("name a module, or say --changed or --from DIR")
    return [Reimport(name, "patch") for name in names]


def sources_from(folder: str, names: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """(name, source) of the modules of a tree that are named or match; all of them without names.

    Raises:
        UsageError: a name or pattern that is not in the tree. SourceError: a file cannot be read.
    """
    from modctl.client.local_sources import modules_of, source_of

    there = [name for name, _ in modules_of(folder)]
    chosen: dict[str, None] = {}
    for wanted in names or ("*",):
        found = [name for name in there if name == wanted or fnmatchcase(name, wanted)]
        if not found:
            raise click.UsageError(f"{folder} has no module {wanted}")
        chosen.update(dict.fromkeys(found))
    return [(name, source_of(folder, name)) for name in chosen]
