"""json, jsonl and yaml of documents that are small enough to be made as a whole: drift, diffs, rollouts, contexts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modctl.client.printers.terminal import Output

API_VERSION: Final = "modctl/v1"
FORMATS: Final = frozenset({"json", "jsonl", "yaml"})


def write_document(kind: str, document: Mapping[str, Any], output: Output) -> None:
    """Writes it in the output's format: as one, or of jsonl one line a result and the rest as the last line.

    Args:
        kind: of the public contract.
        document: `results`, a list, among whatever else there is.
        output: where to; its format is one of FORMATS.
    """
    whole = {"apiVersion": API_VERSION, "kind": kind, **document}
    if output.format == "json":
        output.write(json.dumps(whole, indent=1) + "\n")
    elif output.format == "yaml":
        import yaml

        yaml.safe_dump(whole, output.out, sort_keys=False)
    else:
        rest = {key: value for key, value in whole.items() if key != "results"}
        output.write("".join(f"{json.dumps(each)}\n" for each in [*document["results"], rest]))
    output.out.flush()
