"""`modctl apply`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from modctl.client.options import changing, command, flag
from modctl.client.session import Session


@command("apply", "Do a file of changes as one.")
@flag("--file", "-f", required=True, metavar="FILE|-", help="The change set; - is stdin (JSON or YAML).")
@changing
def apply_command(file: str, **flags: Any) -> int:
    """Do all operations of a change set, in each process all or nothing.

    \b
    reason = "INC-1432"                                  # fix.toml
    [[operations]]
    inject = { name = "billing.tax", file = "tax.py", replace = true, ttl = "2h" }
    [[operations]]
    evict = { name = "billing.cache", recursive = true }
    [[operations]]
    reimport = "billing.rates"
    [[operations]]
    import = "billing.audit"

    TOML, JSON or YAML by the file's ending; files are relative to the change set's.
    """
    from modctl.client.changeset import read_change_set
    from modctl.client.printers import CHANGE_RESULT

    change_set = read_change_set("-", sys.stdin.read()) if file == "-" else read_change_set(file)
    return Session(flags).change(
        CHANGE_RESULT,
        lambda fleet, options: fleet.apply(
            change_set.operations, options=replace(options, reason=options.reason or change_set.reason)
        ),
    )
