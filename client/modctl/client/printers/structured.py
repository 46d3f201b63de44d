"""json, jsonl and yaml: the shapes of the public contract, written as they are made.

A document of a thousand processes is never held as a whole: each item is written and forgotten. Listings that many
processes share are turned into text once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from modctl.client.listing import Batch, Modules
from modctl.client.printers import order
from modctl.client.printers.documents import API_VERSION
from modctl.client.printers.module_shape import module_shape, row_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modctl.client.printers.terminal import Output
    from modctl.client.results import FleetResult, Row


def summary(result: FleetResult[Any]) -> dict[str, int]:
    """How many of what: the four counts add up to the rows."""
    rows = result.rows
    refused = sum(row.outcome == "REFUSED" for row in rows)
    unreachable = sum(row.outcome == "UNREACHABLE" for row in rows)
    good = sum(row.good for row in rows)
    return {
        "targets": result.targets,
        "processes": len({row.process for row in rows if row.process}),
        "ok": good,
        "failed": len(rows) - good - refused - unreachable,
        "refused": refused,
        "unreachable": unreachable,
    }


def write(kind: str, result: FleetResult[Any], output: Output, sort: str = "") -> None:
    """The result in the format that the output asks for: json, jsonl or yaml."""
    {"json": write_json, "jsonl": write_jsonl, "yaml": write_yaml}[output.format](kind, result, output, sort)


def write_json(kind: str, result: FleetResult[Any], output: Output, sort: str = "") -> None:
    """One document; each result on its own line."""
    output.write(f'{{"apiVersion": {json.dumps(API_VERSION)}, "kind": {json.dumps(kind)}, "results": [')
    first = True
    for text in _items(result, sort):
        output.write("\n  " if first else ",\n  ")
        output.write(text)
        first = False
    output.write(f'\n], "summary": {json.dumps(summary(result))}}}\n')


def write_jsonl(kind: str, result: FleetResult[Any], output: Output, sort: str = "") -> None:
    """One line a result, and a last one with the summary."""
    for text in _items(result, sort):
        output.write(f"{text}\n")
    output.write(json.dumps({"apiVersion": API_VERSION, "kind": kind, "summary": summary(result)}) + "\n")


def write_yaml(kind: str, result: FleetResult[Any], output: Output, sort: str = "") -> None:
    """The same document as YAML."""
    import yaml

    document = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "results": [json.loads(text) for text in _items(result, sort)],
        "summary": summary(result),
    }
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    yaml.dump(document, output.out, dumper, sort_keys=False, allow_unicode=False, default_flow_style=False)


def _items(result: FleetResult[Any], sort: str) -> Iterator[str]:
    texts: dict[tuple[int, ...], str] = {}
    for row in result.rows:
        if isinstance(row.value, Modules):
            head = json.dumps(row_head(row))[:-1]
            yield f'{head}, "modules": {_modules(row.value, sort, texts)}}}'
        else:
            yield json.dumps(item(row))


def item(row: Row[Any]) -> dict[str, Any]:
    """One result as plain data, but for listings."""
    from modctl.client.printers import shapes

    return {**row_head(row), **shapes.body(row.value)}


def _modules(modules: Modules, sort: str, texts: dict[tuple[int, ...], str]) -> str:
    key = tuple(id(batch) for batch in modules.batches)
    known = texts.get(key)
    if known is not None:
        return known
    ordered = order.ordered(modules, sort)
    text = json.dumps([module_shape(message) for message in ordered])
    if _shared(modules.batches):
        texts[key] = text
    return text


def _shared(batches: tuple[Batch, ...]) -> bool:
    return bool(batches) and all(batch.shared for batch in batches)
