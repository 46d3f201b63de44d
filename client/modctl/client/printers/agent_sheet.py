"""The table of `agents`, `freeze` and `thaw`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from modctl.client.printers.columns import Column
from modctl.client.printers.sheets import Sheet, human_seconds

if TYPE_CHECKING:
    from modctl.client.facts import Process
    from modctl.client.printers.sheets import Cells
    from modctl.client.results import Row


def agent_sheet(wide: bool) -> Sheet:
    """Of `agents`, `freeze` and `thaw`: every process is a line."""
    columns = [
        Column("SERVICE"),
        Column("HOST", shrink="end"),
        Column("PID", right=True),
        Column("ROLE"),
        Column("PYTHON"),
        Column("UPTIME", right=True),
        Column("REV", right=True),
        Column("STATE", styles={"frozen": "cyan", "INSECURE": "red"}),
        Column("IDENTITY", shrink="end"),
    ]
    columns += [Column("ENTRIES", right=True), Column("LABELS"), Column("MODCTL"), Column("COMMAND")] if wide else []
    columns.append(Column("ADDRESS", shrink="start"))

    def rows(row: Row[Any]) -> list[Cells]:
        agent: Process | None = row.value
        if agent is None:
            return []
        state = "INSECURE" if agent.insecure else "frozen" if agent.frozen else ""
        if agent.frozen and agent.insecure:
            state = "INSECURE frozen"
        parts = [
            agent.service,
            agent.host,
            str(agent.pid),
            agent.role.lower(),
            agent.python,
            human_seconds(time.time() - agent.started_at_unix_s) if agent.started_at_unix_s else "",
            str(agent.revision),
            state,
            agent.identity,
        ]
        if wide:
            labels = ",".join(f"{key}={value}" for key, value in agent.labels.items())
            parts += [str(agent.entries), labels, agent.modctl_version, agent.command]
        addresses = [address for address in agent.addresses if not address.startswith("unix:")] or list(agent.addresses)
        parts.append(",".join(agent.addresses if wide else addresses) or row.target)
        return [tuple(parts)]

    def notes(row: Row[Any], _verbose: bool) -> list[str]:
        agent: Process | None = row.value
        if agent is None:
            return []
        reasons = [f"frozen: {agent.frozen_reason}"] if agent.frozen and agent.frozen_reason else []
        return [*reasons, *agent.warnings]

    return Sheet(columns, rows, lambda row: row.process, notes=notes, folds=False)
