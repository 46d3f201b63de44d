"""`modctl freeze` and `modctl thaw`."""

from __future__ import annotations

from typing import Any

from modctl.client.options import command, gating
from modctl.client.session import Session


@command("freeze", "Make processes refuse every change.")
@gating
def freeze_command(**flags: Any) -> int:
    """Make processes refuse every change until they are thawed. --reason is shown to who is refused.

    Without a network: a file `freeze` beside the gateway's socket (its first line is the reason), or
    `kill -USR1` to the gateway; the file's removal or `kill -USR2` thaws.
    """
    from modctl.client.printers import AGENT_LIST

    return Session(flags).change(AGENT_LIST, lambda fleet, options: fleet.freeze(options.reason))


@command("thaw", "Let frozen processes be changed again.")
@gating
def thaw_command(**flags: Any) -> int:
    """Let frozen processes be changed again."""
    from modctl.client.printers import AGENT_LIST

    return Session(flags).change(AGENT_LIST, lambda fleet, _: fleet.thaw())
