"""`modctl confirm`."""

from __future__ import annotations

from typing import Any

import click
from modctl.client.options import command, gating
from modctl.client.session import Session


@command("confirm", "Let a change stand that waits for it.")
@click.argument("revision", type=click.IntRange(min=1), required=False)
@gating
def confirm_command(revision: int | None, **flags: Any) -> int:
    """Let a change stand that was made with --confirm-within; every one that waits, unless a revision is named.

    What is not confirmed in time takes itself back, in each process by itself, whoever is reachable then.
    """
    from modctl.client.printers import CHANGE_RESULT

    reason = flags.get("reason") or ""
    return Session(flags).change(CHANGE_RESULT, lambda fleet, _: fleet.confirm(revision or 0, reason=reason))
