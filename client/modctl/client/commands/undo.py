"""`modctl undo`."""

from __future__ import annotations

from typing import Any

import click
from modctl.client.options import changing, command
from modctl.client.session import Session


@command("undo", "Take a revision back.")
@click.argument("revision", type=click.IntRange(min=1), required=False)
@changing
def undo_command(revision: int | None, **flags: Any) -> int:
    """Take a revision back, the newest that stands unless one is named. That makes a new revision.

    Revisions are numbered in each process by itself; `modctl history` lists them.
    """
    from modctl.client.printers import CHANGE_RESULT

    return Session(flags).change(CHANGE_RESULT, lambda fleet, options: fleet.undo(revision or 0, options=options))
