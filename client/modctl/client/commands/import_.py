"""`modctl import`."""

from __future__ import annotations

from typing import Any

import click
from modctl.client.options import changing, command
from modctl.client.session import Session


@command("import", "Make sure that modules are loaded.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@changing
def import_command(names: tuple[str, ...], **flags: Any) -> int:
    """Make sure that modules are loaded; says of each whether it was there already, or how long it took."""
    from modctl.client.printers import CHANGE_RESULT

    return Session(flags).change(CHANGE_RESULT, lambda fleet, options: fleet.import_modules(*names, options=options))
