"""`modctl list`."""

from __future__ import annotations

from typing import Any

import click
from modctl.client.options import command, flag, reading
from modctl.client.session import Session

_KINDS = ("source", "bytecode", "extension", "builtin", "frozen", "namespace", "injected", "blocked", "other")
_CHANGED = ("MODIFIED", "MISSING", "INJECTED", "PATCHED", "BLOCKED")


@command("list", "List the modules that processes really have loaded.")
@click.argument("patterns", nargs=-1, metavar="[GLOB]...")
@flag("--kind", multiple=True, type=click.Choice(_KINDS, case_sensitive=False), help="Only these kinds. Repeats.")
@flag("--changed", is_flag=True, help="Only what differs from disk, or was changed by modctl.")
@flag("--injected", is_flag=True, help="Only what modctl put there.")
@flag(
    "--sort",
    type=click.Choice(["name", "size", "import-time", "order"]),
    default="name",
    show_default=True,
    help="size is measured on request only: slow, approximate.",
)
@flag("--wide", is_flag=True, help="The same as -o wide.")
@reading
def list_command(
    patterns: tuple[str, ...], kind: tuple[str, ...], changed: bool, injected: bool, sort: str, wide: bool, **flags: Any
) -> int:
    """List the entries of sys.modules of running processes.

    GLOB is matched with whole names: 'billing.*'. Quote it, so that the shell leaves it alone.
    """
    if wide and flags["output"] == "table":
        flags["output"] = "wide"
    kinds = [each.upper() for each in kind] + (["INJECTED", "BLOCKED"] if injected else [])
    session = Session(flags)
    from modctl.client.printers import MODULE_LIST

    return session.read(
        MODULE_LIST,
        lambda fleet: fleet.list(*patterns, kinds=kinds, states=_CHANGED if changed else (), with_size=sort == "size"),
        sort=sort,
        with_size=sort == "size",
    )
