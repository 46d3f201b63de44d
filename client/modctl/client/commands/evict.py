"""`modctl evict`."""

from __future__ import annotations

from typing import Any

import click
from modctl.client.options import changing, command, flag
from modctl.client.session import Session


@command("evict", "Remove modules.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@flag("--recursive", "-r", is_flag=True, help="Their loaded submodules too.")
@flag("--base-digest", default="", metavar="DIGEST", help="Only where this is what is loaded now.")
@changing
def evict_command(names: tuple[str, ...], recursive: bool, base_digest: str, **flags: Any) -> int:
    """Remove entries from sys.modules, and the names that their parents bound to them."""
    from modctl.client.operations import Evict
    from modctl.client.printers import CHANGE_RESULT

    operations = [Evict(name, recursive, base_digest) for name in names]
    return Session(flags).change(CHANGE_RESULT, lambda fleet, options: fleet.apply(operations, options=options))
