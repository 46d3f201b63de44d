"""`modctl reload`."""

from __future__ import annotations

from typing import Any

import click
from modctl.client.options import changing, command
from modctl.client.session import Session


@command("reload", "Let the running program use new code.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@changing
def reload_command(names: tuple[str, ...], **flags: Any) -> int:
    """Let the live objects of modules take the code of their sources: reimport --mode patch.

    Agents that cannot do this yet refuse it as UNSUPPORTED and touch nothing; use reimport with those.
    """
    from modctl.client.printers import CHANGE_RESULT

    return Session(flags).change(CHANGE_RESULT, lambda fleet, options: fleet.reload(*names, options=options))
