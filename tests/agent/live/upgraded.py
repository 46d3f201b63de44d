"""Runs in a process of its own: upgrades one package in place, checks it, and writes its structure; or a fresh one's.

python upgraded.py live|same|fresh DISTRIBUTION OLD_FOLDER NEW_FOLDER OUT [PATH...]
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import textwrap
import warnings
from types import FunctionType, ModuleType
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from more_upgrades import MORE
from upgrades import UPGRADES


def sources(folder: str, package: str) -> dict[str, tuple[str, str, bool]]:
    """Name to (text, file, whether a package) of every module of an unpacked wheel."""
    found: dict[str, tuple[str, str, bool]] = {}
    for place, _, files in os.walk(os.path.join(folder, *package.split("."))):
        for file in files:
            if not file.endswith(".py") or file == "__main__.py":
                continue
            path = os.path.join(place, file)
            name = os.path.relpath(path, folder)[:-3].replace(os.sep, ".")
            is_package = name.endswith(".__init__")
            with open(path, encoding="utf-8") as opened:
                found[name.removesuffix(".__init__")] = (opened.read(), path, is_package)
    return found


def structure(package: str, names: list[str]) -> dict[str, Any]:
    """What two processes on the same version must agree on."""
    from modctl.source.codes import shape

    def told(value: Any, depth: int = 0) -> Any:
        while isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if isinstance(value, property):
            return ["property", *(told(part) for part in (value.fget, value.fset, value.fdel))]
        if type(value) is FunctionType:
            return ["function", value.__qualname__, shape(value.__code__)]
        if isinstance(value, type):
            if not value.__module__.startswith(package) or depth:
                return ["class", value.__module__, value.__qualname__]
            skipped = {
                "__dict__",
                "__weakref__",
                "__firstlineno__",
                "__static_attributes__",
                "_abc_impl",
                "__abstractmethods__",
            }
            attributes = {k: told(v, 1) for k, v in sorted(value.__dict__.items()) if k not in skipped}
            return ["class", [f"{b.__module__}.{b.__qualname__}" for b in value.__bases__], attributes]
        if isinstance(value, ModuleType):
            return ["module", value.__name__]
        if isinstance(value, (int, str, float, bytes, bool, type(None))):
            return repr(value)
        if isinstance(value, (tuple, list)) and depth < 3:
            return [type(value).__name__, *(told(item, depth + 1) for item in value)]
        return type(value).__qualname__

    skipped = {
        "__builtins__",
        "__cached__",
        "__file__",
        "__loader__",
        "__path__",
        "__spec__",
        "__warningregistry__",
        "__annotations__",
    }
    return {
        f"{name}.{key}": told(value)
        for name in names
        if name in sys.modules
        for key, value in sys.modules[name].__dict__.items()
        if key not in skipped
    }


def main() -> None:
    mode, distribution, old, new, out, *paths = sys.argv[1:]
    upgrade = next(each for each in [*UPGRADES, *MORE] if each.distribution == distribution)
    warnings.simplefilter("ignore")
    sys.path[0:0] = [new if mode == "fresh" else old, *paths]
    sys.modules["smoke"] = smoke = ModuleType("smoke")
    names = smoke.__dict__
    exec(textwrap.dedent(upgrade.use), names)
    for name in sources(old, upgrade.package) if len(upgrade.needs) != 1 or upgrade.needs[0][0] != "*" else ():
        try:
            importlib.import_module(name)
        except Exception:
            continue  # needs something that is not there
    if mode == "live":
        exec(upgrade.holds(new=False), names)
    result: dict[str, Any] = {}
    brought = sources(new, upgrade.package)
    if mode != "fresh":
        from modctl.agent.engine.live.opaque import Policy
        from modctl.agent.engine.live.reload import Reloader

        reloader = Reloader()
        for name, (text, _, _) in sources(old, upgrade.package).items():
            if type(sys.modules.get(name)) is ModuleType:
                reloader.baselines.record(sys.modules[name], text)
        # Some put an object of a class of their own in the place of their module: a pattern passes those over.
        odd = [name for name in brought if name in sys.modules and type(sys.modules[name]) is not ModuleType]
        result["odd"] = odd
        texts = {name: text + ("\n# the same\n" if mode == "same" else "") for name, (text, _, _) in brought.items()}
        done = reloader.reload(
            {name: text for name, text in texts.items() if name in sys.modules and name not in odd},
            Policy(timeout_s=300.0),  # other work on the machine is nobody's fault
            {name: each for name, each in brought.items() if name not in sys.modules},
        )
        report = done.report
        result["executed"], result["operations"], result["notes"] = report.executed, report.operations, report.notes
        result["tiers"] = sorted(each.tier for each in report.modules.values() if each.own)
        result["followed"] = sum(not each.own for each in report.modules.values())
        result["replaced"] = sorted(f"{n}.{s}" for n, each in report.modules.items() for s in each.replaced)
        result["paused_ms"], result["modules"] = round(report.paused_ms, 2), len(texts)
    if mode == "live":
        exec(upgrade.holds(new=True), names)
    result["loaded"] = [name for name in brought if name in sys.modules]
    result["structure"] = structure(upgrade.package, sorted(brought))
    with open(out, "w") as file:
        json.dump(result, file)
    if mode == "live":
        assert done.journal is not None
        done.journal.undo()
        exec(upgrade.holds(new=False), names)


if __name__ == "__main__":
    main()
