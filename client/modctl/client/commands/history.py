"""`modctl history`."""

from __future__ import annotations

from typing import Any

import click
from modctl.client.options import command, flag, reading
from modctl.client.session import Session


@command("history", "Show what was changed, by whom, and why.")
@flag("--limit", type=click.IntRange(min=0), default=0, help="At most so many of each process, newest first; 0 is all.")
@flag("--audit", is_flag=True, help="The audit logs instead: every attempt, refused ones too.")
@reading
def history_command(limit: int, audit: bool, **flags: Any) -> int:
    """Show the revisions of processes, newest first: number, time, who, what and why.

    With --audit, what the gateways have on record: every attempt to change something and what came of it.
    """
    if audit:
        from modctl.client import audit as audits

        return Session(flags).read("AuditLog", lambda fleet: audits.audit(fleet, limit), audits.show)
    from modctl.client.printers import REVISION_LIST

    return Session(flags).read(REVISION_LIST, lambda fleet: fleet.history(limit=limit))
