"""`modctl diff`."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

import click
from modctl.client import exits
from modctl.client.options import command, flag, reading
from modctl.client.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modctl.client.facts import ModuleDetail
    from modctl.client.fleet import AsyncFleet
    from modctl.client.printers.terminal import Output
    from modctl.client.results import FleetResult, Row


@command("diff", "Show what running code differs in from other code.")
@click.argument("names", nargs=-1, metavar="[NAME|GLOB]...")
@flag("--from", "folder", type=click.Path(exists=True, file_okay=False), help="Against the sources of this tree.")
@reading
def diff_command(names: tuple[str, ...], folder: str | None, **flags: Any) -> int:
    """Show, as a unified diff, from the source that is really running to what is on each target's disk, or in a tree.

    Exits with 1 where there are differences. `modctl reload --dry-run` says what taking the new code would do.
    """
    texts: dict[str, str] = {}
    if folder is not None:
        from modctl.client.commands.reload import sources_from

        texts = {name: source.decode("utf-8", "replace") for name, source in sources_from(folder, names)}
    elif not names:
        raise click.UsageError("name a module, or say --from DIR")
    session = Session(flags)
    return session.run(lambda fleet: _diff(fleet, session, texts or dict.fromkeys(names, ""), folder))


async def _diff(fleet: AsyncFleet, session: Session, texts: dict[str, str], folder: str | None) -> int:
    results: dict[str, FleetResult[ModuleDetail]] = {}
    for name in texts:
        results[name] = await fleet.get(name, with_source=True, with_disk_source=folder is None)
    found: list[tuple[Row[ModuleDetail], str, str]] = []
    unknown = False
    for name, result in results.items():
        for row in result.ok:
            diff = _of(row, name, texts[name], folder, session.output)
            if diff is None:
                unknown = True
            else:
                found.append((row, name, diff))
    if session.output.format in ("json", "jsonl", "yaml"):
        _structured(found, results, session.output)
    else:
        _text(found, session.output)
    session.output.out.flush()
    failed = [row for result in results.values() for row in result.failed if not _is_absent(row)]
    for row in failed:
        session.output.warn(f"modctl: {row.where}: {row.why}")
    if failed or unknown:
        return exits.SOME_FAILED
    return exits.DIFFERENCES if any(diff for _, _, diff in found) else exits.OK


def _is_absent(row: Row[ModuleDetail]) -> bool:
    """A module of the tree that a process has not loaded is no failure."""
    return row.error is not None and row.error.reason == "MODULE_NOT_FOUND"


def _of(row: Row[ModuleDetail], name: str, text: str, folder: str | None, output: Output) -> str | None:
    """The diff of one process's module; empty where there is none, None where it cannot be made."""
    detail = row.value
    if detail is None:
        return None
    other = text if folder is not None else detail.disk_source
    if detail.source is None or other is None:
        why = detail.source_error if detail.source is None else "its file cannot be read"
        output.warn(f"modctl: {row.where}: {name}: {why or 'no source'}")
        return None
    where = detail.module.origin if folder is None else f"{folder}: {name}"
    lines = difflib.unified_diff(
        detail.source.splitlines(keepends=True), other.splitlines(keepends=True), f"running: {name}", where
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _text(found: Iterable[tuple[Row[ModuleDetail], str, str]], output: Output) -> None:
    """Equal diffs once, with those who have them."""
    from modctl.client.printers import fold
    from modctl.client.printers.terminal import printable

    groups: dict[tuple[str, str], list[Row[ModuleDetail]]] = {}
    for row, name, diff in found:
        if diff:
            groups.setdefault((name, diff if not output.by_host else f"{diff}\0{row.process}"), []).append(row)
    for (_, diff), rows in groups.items():
        who = fold.heading([(row.target, row.service, row.pid) for row in rows])
        output.write(output.style(printable(who), "bold") + "\n")
        for line in diff.partition("\0")[0].splitlines():
            style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
            output.write((output.style(printable(line), style) if style else printable(line)) + "\n")


def _structured(
    found: list[tuple[Row[ModuleDetail], str, str]], results: dict[str, FleetResult[ModuleDetail]], output: Output
) -> None:
    items = [
        {"target": row.target, "process": row.process, "service": row.service, "pid": row.pid, "outcome": "OK"}
        | {"name": name, "differs": bool(diff), "diff": diff}
        for row, name, diff in found
    ]
    rows = [row for result in results.values() for row in result.rows]
    summary = {
        "targets": len({row.target for row in rows}),
        "processes": len({row.process for row in rows if row.process}),
        "differing": sum(bool(diff) for _, _, diff in found),
    }
    if output.format == "jsonl":
        for item in items:
            output.write(json.dumps(item) + "\n")
        output.write(json.dumps({"summary": summary}) + "\n")
        return
    document = {"apiVersion": "modctl/v1", "kind": "Diff", "results": items, "summary": summary}
    if output.format == "yaml":
        import yaml

        output.write(yaml.safe_dump(document, sort_keys=False))
        return
    output.write(json.dumps(document, indent=2) + "\n")
