"""Diffs, shown: equal ones once, with those who have them; and the public JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.client.printers.documents import FORMATS, write_document
from modctl.client.printers.module_shape import row_head
from modctl.client.printers.structured import summary
from modctl.client.printers.tables import heading
from modctl.client.printers.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.diffs import Diff
    from modctl.client.listing import Modules
    from modctl.client.printers.terminal import Output
    from modctl.client.results import FleetResult

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def show(found: Sequence[Diff], listing: FleetResult[Modules], output: Output) -> None:
    """What differs, and on stderr who cannot be compared and why."""
    from modctl.client.printers.failures import show_failures

    if output.format in FORMATS:
        _structured(found, listing, output)
    elif output.format == "name":
        output.write("".join(f"{name}\n" for name in dict.fromkeys(each.name for each in found if each.differs)))
    else:
        _text(found, output)
    output.out.flush()
    for each in found:
        if each.why:
            output.warn(f"modctl: {each.row.where}: {each.name}: {printable(each.why)}")
    show_failures(listing, output)


def _text(found: Sequence[Diff], output: Output) -> None:
    groups: dict[tuple[str, str, str], list[Diff]] = {}
    for each in found:
        if each.differs:
            groups.setdefault((each.name, each.text, each.row.process if output.by_host else ""), []).append(each)
    for (name, text, _), those in groups.items():
        who = heading([each.row for each in those], output)
        output.write(output.style(printable(who), "bold") + "\n")
        if not text:
            output.write(f"{printable(name)}: {'to be taken away' if those[0].loaded else 'not loaded'}\n")
        for line in text.splitlines():
            output.write(output.style(printable(line), _STYLES.get(line[:1], "")) + "\n")


def _structured(found: Sequence[Diff], listing: FleetResult[Modules], output: Output) -> None:
    items = [_shape(each) for each in found]
    items += [row_head(row) for row in listing.failed]
    counts = {**summary(listing), "differing": sum(each.differs for each in found)}
    write_document("Diff", {"results": items, "summary": counts}, output)


def _shape(each: Diff) -> dict[str, Any]:
    shape = {
        **row_head(each.row),
        "name": each.name,
        "loaded": each.loaded,
        "differs": each.differs,
        "diff": each.text,
    }
    if each.why:
        shape |= {"outcome": "FAILED", "error": {"message": each.why}}
    return shape
