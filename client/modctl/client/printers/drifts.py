"""Drift, shown: for each module its versions, who runs them, and the public JSON."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from modctl.client.printers import fold
from modctl.client.printers.columns import Column, render
from modctl.client.printers.documents import FORMATS, write_document
from modctl.client.printers.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.drift import ModuleDrift, Place, VersionGroup
    from modctl.client.listing import Modules
    from modctl.client.printers.terminal import Output
    from modctl.client.results import FleetResult


def show(
    drifts: Sequence[ModuleDrift], result: FleetResult[Modules], against: str, output: Output, everything: bool = False
) -> None:
    """Modules with differences; `everything` shows those without, too."""
    from modctl.client.printers.failures import show_failures

    shown = [drift for drift in drifts if everything or drift.differs]
    if output.format in FORMATS:
        _structured(drifts, shown, result, against, output)
        return
    if output.format == "name":
        output.write("".join(f"{drift.name}\n" for drift in shown))
    elif output.width is not None or output.folding:
        output.write("\n".join(_block(drift, against, output) for drift in shown))
    else:
        output.write(_flat(shown, output))
    output.out.flush()
    if not shown:
        output.note(f"modctl: {_modules(len(drifts))} of {fold.processes(len(result.ok))}: no differences ({against})")
    show_failures(result, output)


def _modules(count: int) -> str:
    return fold.count(count, "module")


def _block(drift: ModuleDrift, against: str, output: Output) -> str:
    head = f"{output.style(printable(drift.name), 'bold')}  {printable(drift.service)}"
    loaded = [group for group in drift.groups if group.loaded]
    running = sum(len(group.places) for group in loaded)
    versions = fold.count(len({group.digest for group in loaded}), "version")
    head += f"  {versions} in {fold.processes(running)}"
    if drift.absent:
        head += f", not loaded in {len(drift.absent)}"
    lines = [f"{head}\n"]
    columns = [
        Column("VERSION"),
        Column("PROCESSES", right=True),
        Column("STATE"),
        Column("UP", right=True),
        Column("", styles={"DIFFERS": "yellow", "SUPERSEDED": "red"}),
        Column("WHERE", shrink="end"),
    ]
    rows = [
        (
            _short(group.digest) or ("?" if group.loaded else ""),
            str(len(group.places)),
            _states(group),
            _ages(group),
            _verdict(group),
            _who(group.places),
        )
        for group in drift.groups
    ]
    lines.append(render(columns, rows, output))
    if drift.reference and all(group.digest != drift.reference for group in drift.groups):
        lines.append(f"  {against} has {_short(drift.reference)}, which nobody runs\n")
    return "".join(lines)


def _states(group: VersionGroup) -> str:
    return ",".join(state.lower().replace("_", " ") for state in group.states)


def _verdict(group: VersionGroup) -> str:
    return "SUPERSEDED" if group.superseded else "DIFFERS" if group.differs else ""


def _flat(drifts: Sequence[ModuleDrift], output: Output) -> str:
    """One line for each module and process: what grep and awk want."""
    columns = [Column("MODULE"), Column("VERSION"), Column("STATE"), Column("DIFFERS"), Column("PROCESS")]
    if output.wide:
        columns.append(Column("TARGET"))
    rows = [
        (
            drift.name,
            group.digest if output.wide else _short(group.digest),
            _states(group),
            "yes" if group.differs else "no",
            place.process,
            *((place.target,) if output.wide else ()),
        )
        for drift in drifts
        for group in drift.groups
        for place in group.places
    ]
    return render(columns, rows, output) if rows else ""


def _who(places: Sequence[Place]) -> str:
    targets = list(dict.fromkeys(place.target for place in places if not place.target.startswith("unix:")))
    if targets:
        return fold.fold_names(targets)
    return "pid " + fold.fold_numbers(place.pid for place in places)


def _ages(group: VersionGroup) -> str:
    """How long the processes have been up: the youngest to the oldest."""
    now_unix_s = time.time()
    started = [place.started_at_unix_s for place in group.places if place.started_at_unix_s is not None]
    if not started:
        return ""
    youngest, oldest = _age(now_unix_s - max(started)), _age(now_unix_s - min(started))
    return youngest if youngest == oldest else f"{youngest}-{oldest}"


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _structured(
    drifts: Sequence[ModuleDrift],
    shown: Sequence[ModuleDrift],
    result: FleetResult[Modules],
    against: str,
    output: Output,
) -> None:
    from modctl.client.printers.module_shape import row_head
    from modctl.client.printers.structured import summary

    document = {
        "results": [_shape(drift) for drift in shown],
        "against": against,
        "failures": [row_head(row) for row in result.failed],
        "summary": {
            **summary(result),
            "modules": len(drifts),
            "differing": sum(drift.differs for drift in drifts),
        },
    }
    write_document("Drift", document, output)


def _shape(drift: ModuleDrift) -> dict[str, Any]:
    return {
        "module": drift.name,
        "service": drift.service,
        "differs": drift.differs,
        "reference": drift.reference,
        "groups": [
            {
                "digest": group.digest,
                "states": list(group.states),
                "differs": group.differs,
                "superseded": group.superseded,
                "count": len(group.places),
                "processes": [place.process for place in group.places],
                "targets": list(dict.fromkeys(place.target for place in group.places)),
            }
            for group in drift.groups
        ],
        "absent": [place.process for place in drift.absent],
    }
