"""What `get` shows of one entry: a card instead of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.client.printers.columns import render
from modctl.client.printers.revision_sheet import revision_sheet
from modctl.client.printers.sheets import STATE_STYLES, human_bytes
from modctl.client.printers.tables import heading
from modctl.client.printers.terminal import printable
from modctl.client.results import Row

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from modctl.client.facts import ModuleDetail
    from modctl.client.printers.terminal import Output
    from modctl.client.results import FleetResult

#: How many importers, exports and holders are shown without -v.
FEW = 12


def show_cards(result: FleetResult[ModuleDetail], output: Output) -> None:
    """One card for each different answer; one for each process where they are not to be folded."""
    rows = [row for row in result.rows if row.value is not None]
    seen: set[str] = set()
    for position, group in enumerate(_groups(rows, _key, output)):
        detail = group[0].value
        assert detail is not None
        differs = output.folding and group[0].service in seen
        who = heading(group, output, len("  DIFFERS") if differs else 0)
        seen.add(group[0].service)
        mark = "  " + output.style("DIFFERS", "yellow") if differs else ""
        output.write(("\n" if position else "") + output.style(printable(who), "bold") + mark + "\n")
        output.write(card(detail, output))


def show_sources(result: FleetResult[ModuleDetail], output: Output) -> None:
    """The source that is running; by itself where all have the same, so that it can be piped into a file."""
    rows = [row for row in result.rows if row.value is not None]
    for row in rows:
        if row.value is not None and row.value.source is None:
            output.warn(f"modctl: {row.where}: no source: {row.value.source_error or 'not to be had'}")
    with_source = [row for row in rows if row.value is not None and row.value.source is not None]
    groups = _groups(with_source, lambda row: row.value.source if row.value else None, output, always=True)
    for group in groups:
        detail = group[0].value
        assert detail is not None
        if len(groups) > 1:
            who = heading(group, output, len("# ==>  <=="))
            output.write(f"# ==> {printable(who)} <==\n")
        text = detail.source or ""
        output.write(text if text.endswith("\n") or not text else text + "\n")


def _groups(
    rows: Sequence[Row[ModuleDetail]], key: Any, output: Output, always: bool = False
) -> list[list[Row[ModuleDetail]]]:
    groups: dict[Hashable, list[Row[ModuleDetail]]] = {}
    for row in rows:
        folded = not output.by_host and (always or output.folding)
        groups.setdefault((row.service if not always else "", key(row)) if folded else row.process, []).append(row)
    return sorted(groups.values(), key=lambda group: -len(group))


def _key(row: Row[ModuleDetail]) -> Hashable:
    value = row.value
    assert value is not None
    entry = value.module
    return (
        (entry.name, entry.kind, entry.origin, entry.generation, entry.digest, entry.state, entry.alias_of),
        value.spec,
        value.importers,
        value.exports,
        value.holders,
        tuple((each.number, each.identity, each.reason, each.undone_by) for each in value.history),
        value.source,
        value.attributes,
        value.locks,
    )


def card(detail: ModuleDetail, output: Output) -> str:
    """The card as text."""
    entry = detail.module
    facts: list[tuple[str, str]] = [
        ("name", entry.name),
        ("kind", entry.kind + (" package" if entry.package else "")),
        ("state", output.style(entry.state, STATE_STYLES.get(entry.state, ""))),
        ("origin", entry.origin),
        ("digest", entry.digest),
        ("generation", str(entry.generation)),
        ("alias of", entry.alias_of),
        ("size", "" if entry.size_bytes is None else f"about {human_bytes(entry.size_bytes)}"),
        ("imported in", "" if entry.import_ms is None else f"{entry.import_ms:.1f} ms"),
    ]
    if detail.spec is not None:
        facts += [
            ("loader", detail.spec.loader),
            ("cached", detail.spec.cached),
            ("parent", detail.spec.parent),
            ("searches", ", ".join(detail.spec.submodule_search_locations)),
        ]
    facts.append(("importers", _some(detail.importers, output)))
    facts.append(("exports", _some([f"{each.name} ({each.kind})" for each in detail.exports], output)))
    lines = [
        f"  {output.style(label.ljust(11), 'dim')} {value if label == 'state' else printable(value)}\n"
        for label, value in facts
        if value
    ]
    if entry.initializing:
        lines.append("  its first import is still running\n")
    stale = output.style("stale".ljust(11), "yellow")
    lines += [
        f"  {stale} {printable(f'{holder.holder} holds the old {holder.name}')}\n"
        for holder in (detail.holders if output.verbose else detail.holders[:FEW])
    ]
    for lock in detail.locks:
        who = f" by {f'task {lock.task}' if lock.task else f'thread {lock.thread}'}" if lock.thread else ""
        since = f" for {lock.held_s:.1f} s" if lock.kind == "SHIELD" else ""
        place = f" at {lock.place}" if lock.place else ""
        text = f"{lock.kind.lower()} {lock.what}".rstrip() + who + since + place
        lines.append(f"  {output.style('held'.ljust(11), 'yellow')} {printable(text)}\n")
    for value in detail.attributes:
        text = (value.error and f"not to be had: {value.error}") or value.value + ("…" if value.truncated else "")
        of = f"  {output.style(printable(value.type), 'dim')}" if value.type else ""
        lines.append(f"  {printable(value.name)} = {printable(text)}{of}\n")
    if detail.history:
        sheet = revision_sheet(output.wide)
        table = render(sheet.columns, sheet.rows(Row("", "", "", 0, "OK", detail.history)), output)
        lines += [f"  {line}\n" for line in table.splitlines()]
    return "".join(lines)


def _some(names: Sequence[str], output: Output) -> str:
    shown = names if output.verbose or output.wide else names[:FEW]
    more = f" and {len(names) - len(shown)} more (-v shows all)" if len(names) > len(shown) else ""
    return ", ".join(shown) + more
