"""`modctl get`."""

from __future__ import annotations

from typing import Any

import click
from modctl.client.options import command, flag, reading
from modctl.client.session import Session


@command("get", "Show everything about one module, its running source too.")
@click.argument("name")
@flag("--source", is_flag=True, help="Print the source that is really running, and nothing else.")
@flag("--attr", multiple=True, metavar="NAME", help="The value of this attribute. Repeats.")
@flag("--deep", is_flag=True, help="Look through the whole heap for holders of old objects: slow.")
@flag("--locks", is_flag=True, help="What a change of the process would have to wait for: shielded work, imports.")
@reading
def get_command(name: str, source: bool, attr: tuple[str, ...], deep: bool, locks: bool, **flags: Any) -> int:
    """Show everything about one entry of sys.modules: origin, users, what it offers, what was done to it.

    Nothing is imported.
    """
    session = Session(flags)
    from modctl.client.printers import MODULE_DETAIL
    from modctl.client.printers.cards import show_sources

    as_text = source and session.output.format in ("table", "wide")
    return session.read(
        MODULE_DETAIL,
        lambda fleet: fleet.get(name, with_source=source, attributes=attr, deep=deep, with_locks=locks),
        show_sources if as_text else None,
    )
