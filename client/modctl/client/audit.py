"""The audit logs of targets: `modctl history --audit`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modctl.client.channel import CallFailed
from modctl.client.outcomes import outcome_of
from modctl.client.requests import AGENT_SERVICE
from modctl.client.results import FleetResult, Row
from modctl.v1 import agent_service_pb2

if TYPE_CHECKING:
    from modctl.client.fleet import AsyncFleet
    from modctl.client.printers.terminal import Output
    from modctl.client.targets import Target


@dataclass(frozen=True)
class AuditLog:
    """The newest records of one gateway's audit log.

    Args:
        records: newest first, as they stand in the file.
        file: where it is, on the target's machine.
        problem: why it cannot be written now; "" where all is well.
    """

    records: tuple[dict[str, Any], ...]
    file: str
    problem: str


async def audit(fleet: AsyncFleet, limit: int = 0) -> FleetResult[AuditLog]:
    """The audit logs, one row for each target.

    Args:
        fleet: whose.
        limit: at most so many records of each, newest first; 0 is what targets send by themselves.
    """

    async def ask(target: Target) -> list[Row[AuditLog]]:
        request = agent_service_pb2.ListAuditRequest(limit=limit)
        try:
            body = await fleet.dialer.channel(target).ask(
                f"{AGENT_SERVICE}ListAudit", request.SerializeToString(), fleet.settings.timeout_s
            )
        except CallFailed as failed:
            failure = fleet.dialer.failure(failed, target)
            outcome = outcome_of(failure, changing=False, sent=failed.sent)
            return [Row(target.label, "", "", 0, outcome, error=failure)]
        answer = agent_service_pb2.ListAuditResponse.FromString(body)
        log = AuditLog(tuple(_record(one) for one in answer.records), answer.file, answer.problem)
        return [Row(target.label, "", "", 0, "OK", log)]

    return await fleet._fan_out(ask, changes=False)


def show(result: FleetResult[AuditLog], output: Output) -> None:
    """Prints audit logs: each attempt with what came of it."""
    if output.format in ("json", "jsonl", "yaml"):
        _show_data(result, output)
        return
    for row in result.ok:
        assert row.value is not None
        output.write(output.style(f"{row.target}  {row.value.file}", "bold") + "\n")
        if row.value.problem:
            output.warn(f"modctl: {row.target}: {row.value.problem}")
        for line in _lines(row.value.records):
            output.write(f"  {line}\n")


def _show_data(result: FleetResult[AuditLog], output: Output) -> None:
    from modctl.client.printers.documents import write_document
    from modctl.client.printers.module_shape import row_head
    from modctl.client.printers.structured import summary

    results = [
        {**row_head(row), **({"file": row.value.file, "records": list(row.value.records)} if row.value else {})}
        for row in result.rows
    ]
    write_document("AuditLog", {"results": results, "summary": summary(result)}, output)


def _lines(records: tuple[dict[str, Any], ...]) -> list[str]:
    """One line for each attempt, newest first."""
    from modctl.client.printers.terminal import printable

    outcomes = {str(one.get("id")): one for one in records if one.get("event") == "outcome"}
    lines = []
    for one in records:
        if one.get("event") != "attempt":
            continue
        ended = outcomes.get(str(one.get("id")), {})
        names = [str(name) for name in one.get("names") or ()]
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        parts = [
            str(one.get("at", ""))[:19].replace("T", " "),
            f"{ended.get('outcome') or 'RUNNING':<9}",
            str(one.get("who", "")),
            "+".join(str(verb) for verb in one.get("verbs") or ()) + (" (dry run)" if one.get("dry_run") else ""),
            shown,
            str(one.get("reason") or ""),
            str(ended.get("why") or ""),
        ]
        lines.append(printable("  ".join(part for part in parts if part)))
    return lines


def _record(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {"event": "unreadable", "text": text}
    return found if isinstance(found, dict) else {"event": "unreadable", "text": text}
