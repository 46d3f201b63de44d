"""`modctl agents`."""

from __future__ import annotations

from typing import Any

from modctl.client.options import command, reading
from modctl.client.session import Session


@command("agents", "List the processes found.")
@reading
def agents_command(**flags: Any) -> int:
    """List the processes found: where they are, what they run, and who we are to them."""
    from modctl.client.printers import AGENT_LIST

    return Session(flags).read(AGENT_LIST, lambda fleet: fleet.agents())
