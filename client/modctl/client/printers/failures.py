"""Those who did not answer, on stderr: folded by what is wrong with them, most first, the unreachable last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.client.printers import fold
from modctl.client.printers.sheets import OUTCOME_STYLES
from modctl.client.printers.terminal import printable

if TYPE_CHECKING:
    from modctl.client.printers.terminal import Output
    from modctl.client.results import FleetResult, Row


def show_failures(result: FleetResult[Any], output: Output) -> None:
    """Every row without a value."""
    groups: dict[tuple[str, str], list[Row[Any]]] = {}
    for row in result.rows:
        if row.value is None:
            key = (row.outcome, row.why) if output.folding or not output.by_host else (row.outcome, row.where)
            groups.setdefault(key, []).append(row)
    for (outcome, _), rows in sorted(groups.items(), key=lambda item: (item[0][0] == "UNREACHABLE", -len(item[1]))):
        processes = [row for row in rows if row.process]
        if processes:
            who = fold.heading([(row.target, row.service, row.pid) for row in rows])
        else:
            who = fold.fold_names([row.target for row in rows])
        mark = output.style(outcome, OUTCOME_STYLES.get(outcome, ""))
        output.warn(f"modctl: {printable(who)}: {mark}: {printable(rows[0].why)}")
    if result.skipped:
        names = fold.fold_names(list(result.skipped))
        output.warn(f"modctl: interrupted; without an answer: {fold.count(len(result.skipped), 'target')}: {names}")
