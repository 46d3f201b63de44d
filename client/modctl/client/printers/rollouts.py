"""Rollouts, shown: their waves as a table, those who failed folded, and the public JSON."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from modctl.client.printers import fold
from modctl.client.printers.columns import Column, render
from modctl.client.printers.documents import FORMATS, write_document
from modctl.client.printers.sheets import clock
from modctl.client.printers.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.printers.terminal import Output
    from modctl.client.rollout.spec import RolloutSpec
    from modctl.client.rollout.state import Entry, RolloutState, Wave

STATUS_STYLES = {
    "RUNNING": "cyan",
    "UNDOING": "yellow",
    "PAUSED": "yellow",
    "DONE": "green",
    "UNDONE": "yellow",
    "STOPPED": "red",
    "MIXED": "red",
    "REJECTED": "red",
}
#: What the public outcome of a phase is; a failure says its own.
_OUTCOMES = {
    "WAITING": "PLANNED",
    "SENDING": "UNKNOWN",
    "CHANGED": "APPLIED",
    "UNCHANGED": "UNCHANGED",
    "UNDOING": "UNKNOWN",
    "UNDONE": "UNCHANGED",
    "UNKNOWN": "UNKNOWN",
    "STUCK": "APPLIED",
    "LEFT": "UNREACHABLE",
    "FAILED": "FAILED",
    "EXCLUDED": "REFUSED",
}
_TOLD = frozenset({"REFUSED", "FAILED", "DENIED", "UNREACHABLE", "TIMED_OUT", "UNKNOWN"})


def outcome_of(entry: Entry) -> str:
    """The process's outcome in the words of every other command."""
    told = entry.failure.partition(":")[0]
    if entry.phase in ("FAILED", "EXCLUDED") and told in _TOLD:
        return told
    if entry.phase == "EXCLUDED" and entry.process == entry.target:
        return "UNREACHABLE"
    return _OUTCOMES[entry.phase]


def document(state: RolloutState, spec: RolloutSpec, targets: int) -> dict[str, Any]:
    """The rollout as the public contract has it."""
    in_wave = {process: wave.name for wave in state.waves for process in wave.processes}
    results = [
        {
            "target": entry.target,
            "process": entry.process if entry.process != entry.target else "",
            "service": entry.service,
            "pid": entry.pid,
            "outcome": outcome_of(entry),
            "phase": entry.phase,
            "wave": in_wave.get(entry.process, ""),
            "revision": entry.revision,
            "joined": entry.joined,
            **({"error": {"message": entry.failure}} if entry.failure else {}),
        }
        for entry in state.entries.values()
    ]
    outcomes = [result["outcome"] for result in results]
    refused, unreachable = outcomes.count("REFUSED"), outcomes.count("UNREACHABLE")
    good = sum(outcome in ("APPLIED", "UNCHANGED", "PLANNED") for outcome in outcomes)
    return {
        "rollout": {
            "id": state.rollout,
            "status": state.status,
            "message": state.message,
            "reason": spec.reason,
            "began_at": timestamp(state.began_at_unix_s),
            "changed_at": timestamp(state.changed_at_unix_s),
            "waves": [_wave(state, wave, index) for index, wave in enumerate(state.waves)],
            "max_failures": str(spec.max_failures),
            "on_failure": spec.on_failure,
        },
        "results": results,
        "summary": {
            "targets": targets,
            "processes": sum(1 for result in results if result["process"]),
            "ok": good,
            "failed": len(results) - good - refused - unreachable,
            "refused": refused,
            "unreachable": unreachable,
        },
    }


def _wave(state: RolloutState, wave: Wave, index: int) -> dict[str, Any]:
    return {
        "name": wave.name,
        "processes": len(wave.processes),
        "state": wave_state(state, wave, index).partition(" ")[0] if not wave.check_failure else "check failed",
        "soak_until": timestamp(wave.soak_until_unix_s),
        "counts": _counts(state, wave),
        "spread_ms": wave.spread_ms,
        "check_failure": wave.check_failure,
    }


def _counts(state: RolloutState, wave: Wave) -> dict[str, int]:
    counts: dict[str, int] = {}
    for process in wave.processes:
        phase = state.entries[process].phase
        counts[phase] = counts.get(phase, 0) + 1
    return counts


def wave_state(state: RolloutState, wave: Wave, index: int, now_unix_s: float | None = None) -> str:
    """One word, or two."""
    if wave.check_failure:
        return "check failed"
    if index > state.wave or (not wave.began_at_unix_s and not wave.checked):
        return "waiting"
    if wave.checked:
        return "done"
    if state.status != "RUNNING":
        return "stopped"
    now_unix_s = time.time() if now_unix_s is None else now_unix_s
    if wave.soak_until_unix_s > now_unix_s:
        return f"soaking {wave.soak_until_unix_s - now_unix_s:.0f}s"
    return "checking" if wave.soak_until_unix_s else "sending"


def timestamp(unix_s: float) -> str:
    """RFC 3339 in UTC; "" for never."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s)) if unix_s else ""


def show(state: RolloutState, spec: RolloutSpec, targets: int, output: Output) -> None:
    """The rollout as the operator wants it."""
    if output.format in FORMATS:
        write_document("Rollout", document(state, spec, targets), output)
        return
    if output.format == "name":
        output.write(f"{state.rollout}\n")
    else:
        output.write(text(state, spec, output))
    output.out.flush()


def text(state: RolloutState, spec: RolloutSpec, output: Output) -> str:
    """For people: status, waves, and whoever failed, folded by what is wrong."""
    status = output.style(state.status, STATUS_STYLES.get(state.status, ""))
    head = f"{output.style(state.rollout, 'bold')}  {status}"
    if spec.reason:
        head += f"  {printable(spec.reason)}"
    lines = [f"{head}\n"]
    if state.message:
        lines.append(output.prose(state.message))
    if state.waves:
        lines.append(_waves(state, output))
    lines += _failures(state, output)
    return "".join(lines)


def _waves(state: RolloutState, output: Output) -> str:
    columns = [
        Column("WAVE"),
        Column("PROCESSES", right=True),
        Column("CHANGED", right=True),
        Column("UNCHANGED", right=True),
        Column("UNDONE", right=True),
        Column("FAILED", right=True),
        Column("LEFT", right=True),
        Column("STATE", styles={"done": "green", "check failed": "red", "waiting": "dim"}),
        Column("SPREAD", right=True),
    ]
    rows = []
    for index, wave in enumerate(state.waves):
        counts = _counts(state, wave)
        changed = counts.get("CHANGED", 0) + counts.get("STUCK", 0)
        failed = counts.get("FAILED", 0) + counts.get("UNKNOWN", 0) + counts.get("SENDING", 0)
        rows.append(
            (
                wave.name,
                str(len(wave.processes)),
                str(changed or ""),
                str(counts.get("UNCHANGED", "")),
                str(counts.get("UNDONE", "")),
                str(failed or ""),
                str(counts.get("LEFT", "")),
                wave_state(state, wave, index),
                f"{wave.spread_ms:.1f} ms" if wave.spread_ms is not None else "",
            )
        )
    return render(columns, rows, output)


def _failures(state: RolloutState, output: Output) -> list[str]:
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in state.failures:
        groups.setdefault((outcome_of(entry), _without_ids(entry)), []).append(entry)
    lines: list[str] = []
    for (outcome, why), entries in sorted(groups.items(), key=lambda group: -len(group[1])):
        who = _who(entries)
        told = output.prose(f"{outcome}  {printable(who)}: {printable(why)}")
        lines.append(told.replace(outcome, output.style(outcome, "red"), 1))
    return lines


def _who(entries: Sequence[Entry]) -> str:
    if all(entry.process == entry.target for entry in entries):
        return fold.fold_names([entry.target for entry in entries])
    return fold.heading([(entry.target, entry.service, entry.pid) for entry in entries])


def _without_ids(entry: Entry) -> str:
    return entry.failure.removeprefix(f"{outcome_of(entry)}: ").replace(entry.process, "it")


def show_history(kept: Sequence[tuple[RolloutState, RolloutSpec, int]], output: Output) -> None:
    """Rollouts, newest first: one line each, or all documents."""
    if output.format in FORMATS:
        documents = [document(*each) for each in kept]
        results = [each["rollout"] | {"summary": each["summary"]} for each in documents]
        write_document("RolloutList", {"results": results, "summary": {"rollouts": len(kept)}}, output)
        return
    if output.format == "name":
        output.write("".join(f"{state.rollout}\n" for state, _, _ in kept))
        return
    columns = [
        Column("ROLLOUT"),
        Column("STATUS", styles=STATUS_STYLES),
        Column("BEGAN"),
        *([Column("TARGETS", right=True)] if output.wide else []),
        Column("PROCESSES", right=True),
        Column("CHANGED", right=True),
        Column("FAILED", right=True),
        Column("REASON", shrink="end"),
    ]
    rows = [
        (
            state.rollout,
            state.status,
            clock(state.began_at_unix_s),
            *([str(targets)] if output.wide else []),
            str(sum(1 for entry in state.entries.values() if entry.process != entry.target)),
            str(len(state.in_phase("CHANGED", "STUCK"))),
            str(len(state.failures)),
            spec.reason,
        )
        for state, spec, targets in kept
    ]
    output.write(render(columns, rows, output))
