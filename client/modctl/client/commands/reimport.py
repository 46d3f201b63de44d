"""`modctl reimport`."""

from __future__ import annotations

from typing import Any

import click
from modctl.client.options import changing, command, flag
from modctl.client.session import Session


@command("reimport", "Load modules afresh from their sources.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@flag(
    "--mode",
    type=click.Choice(["fresh", "patch"]),
    default="fresh",
    show_default=True,
    help="fresh: a new module object. patch: the live objects take the new code.",
)
@flag("--recursive", "-r", is_flag=True, help="Their loaded submodules too.")
@flag("--base-digest", default="", metavar="DIGEST", help="Only where this is what is loaded now.")
@changing
def reimport_command(
    names: tuple[str, ...], mode: str, recursive: bool, base_digest: str, ttl: float | None, **flags: Any
) -> int:
    """Bring in modules' code anew. The old entry stays until the new one has executed, and stays where that fails."""
    from modctl.client.operations import Reimport
    from modctl.client.printers import CHANGE_RESULT

    operations = [Reimport(name, mode, recursive, base_digest, ttl_s=ttl or 0.0) for name in names]
    return Session(flags).change(CHANGE_RESULT, lambda fleet, options: fleet.apply(operations, options=options))
