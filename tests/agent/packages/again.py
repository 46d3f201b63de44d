"""Runs in a process of its own, in an environment that has the packages: loads one, uses it, and reloads all of it.

    python again.py PACKAGE

First exactly the source that is loaded; then the same with a line above it, so that every function gets new code; then
back. What was made before is used before and after each, and new objects are made. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
import warnings
from types import ModuleType
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from modctl.agent.engine import Engine
from smokes import SMOKES

PATCH = "REIMPORT_MODE_PATCH"


def change(engine: Engine, *operations: dict[str, Any]) -> dict[str, Any]:
    request = {"op": "change", "operations": list(operations), "timeout_s": 300}
    result: dict[str, Any] = json.loads(engine.change(request))
    return result


def main() -> None:
    smoke = next(each for each in SMOKES if each.package == sys.argv[1])
    warnings.simplefilter("ignore")
    engine = Engine()
    engine.start()
    use, check = textwrap.dedent(smoke.use), textwrap.dedent(smoke.check)
    names = namespace("smoke")
    exec(use, names)
    exec(check, names)
    told: dict[str, Any] = {"package": smoke.package}
    loaded = {
        name: module
        for name, module in sys.modules.items()
        if name == smoke.package or name.startswith(f"{smoke.package}.")
    }
    told["modules"] = len(loaded)
    # What is loaded, as it is on disk.
    same = change(engine, {"reimport": {"name": smoke.package, "mode": PATCH, "recursive": True}})
    told["stays"] = refusals(same)
    refused = {name for name, _ in told["stays"]}
    if refused:  # once more, without those
        left = [name for name in loaded if name not in refused and is_source(loaded[name])]
        same = change(engine, *({"reimport": {"name": name, "mode": PATCH}} for name in left))
    told["same"] = {"outcome": same["outcome"], "refused": refusals(same)}
    exec(check, names)
    # The same statements, a line further down.
    moved = []
    for name, module in loaded.items():
        if not is_source(module) or name in refused or module.__dict__.get("__name__") != name:
            continue
        path = module.__dict__["__file__"]
        with open(path, encoding="utf-8") as file:
            moved.append({"name": name, "source": "# a line\n" + file.read(), "filename": path})
    began_s = time.process_time()
    result = change(engine, *({"reimport": {"name": m["name"], "mode": PATCH, "modules": [m]}} for m in moved))
    cpu_s = time.process_time() - began_s
    tiers: dict[str, int] = {}
    for module in result["modules"]:
        tiers[module.get("tier", "")] = tiers.get(module.get("tier", ""), 0) + 1
    told["moved"] = {
        "sent": len(moved), "outcome": result["outcome"], "tiers": tiers, "message": result.get("message", ""),
        "refused": refusals(result), "paused_ms": result.get("paused_ms", 0), "cpu_s": round(cpu_s, 2),
        "notes": result.get("side_effects", [])[:5],
        "errors": [m["error"] for m in result["modules"] if "error" in m],
        "symbols": {m["name"]: m["symbols"] for m in result["modules"] if m.get("symbols")},
    }  # fmt: skip
    exec(check, names)
    again = namespace("smoke_again")
    exec(use, again)
    exec(check, again)
    if result["outcome"] == "OUTCOME_APPLIED":
        back = change(engine, {"undo": {"revision": result["revision"]}})
        told["undo"] = {"outcome": back["outcome"], "message": back.get("message", "")}
        exec(check, names)
        exec(check, again)
    print(json.dumps(told), flush=True)
    os._exit(0)  # some leave threads behind


def is_source(module: ModuleType) -> bool:
    """Whether a module comes from a file of Python."""
    return str(module.__dict__.get("__file__") or "").endswith(".py")


def namespace(name: str) -> dict[str, Any]:
    """Of a module of its own: classes look up theirs by its name."""
    sys.modules[name] = module = ModuleType(name)
    return module.__dict__


def refusals(result: dict[str, Any]) -> list[tuple[str, str]]:
    """(module, reason and rule) of what was refused."""
    return [
        (each["name"], f"{each['refusal']['reason']}: {each['refusal'].get('rule', '')}")
        for each in result["modules"]
        if "refusal" in each
    ]


if __name__ == "__main__":
    main()
