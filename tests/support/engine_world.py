"""A process of its own with an engine in it, for one case: a tree of files and a piece of Python that asserts."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: `all`: every interpreter of 3.10 to 3.13 under ~/.pyenv; else the one that runs the tests.
PYTHONS = "MODCTL_TEST_PYTHONS"
TIMEOUT_S = 60.0

PRELUDE = '''
import ast, importlib, json, os, sys, threading, time  # ast: tracebacks of 3.11 load it when first formatted
sys.path.insert(0, os.getcwd())
from modctl.agent.engine import Engine
from modctl.agent.errors import RequestError

engine = Engine()
engine.start()


def write(path, text):
    """Writes a source file, always with a new modification time."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def change(*operations, **options):
    return json.loads(engine.change({"op": "change", "operations": list(operations), **options}))


def applied(*operations, **options):
    result = change(*operations, **options)
    assert result["outcome"] == "OUTCOME_APPLIED", result
    return result


def refused(*operations, **options):
    """The reasons, by name, of a change that must be refused."""
    result = change(*operations, **options)
    assert result["outcome"] == "OUTCOME_REFUSED", result
    return {each["name"]: each["refusal"]["reason"] for each in result["modules"]}


def failed(*operations, **options):
    """The error of a change that must fail."""
    result = change(*operations, **options)
    assert result["outcome"] == "OUTCOME_FAILED", result
    return next(each["error"] for each in result["modules"] if "error" in each)


def inject(name, source, **fields):
    return {"inject": {"name": name, "modules": [{"name": name, "source": source}], **fields}}


def evict(name, **fields):
    return {"evict": {"name": name, **fields}}


def reimport(name, **fields):
    return {"reimport": {"name": name, **fields}}


def load(name):
    return {"import": {"name": name}}


def undo(number=0):
    return {"undo": {"revision": number}}


def answer(op, **fields):
    return [json.loads(body) for body in engine.answer({"op": op, **fields})]


def rows(*patterns, **fields):
    return {
        row["name"]: row
        for body in answer("list_modules", patterns=list(patterns), **fields)
        for row in body["modules"]
    }


def get(name, **fields):
    return answer("get_module", name=name, **fields)[0]


def table():
    return {name: module for name, module in sys.modules.items() if not name.startswith("modctl")}


failed(load("no.such.thing"))  # so that what the engine loads for itself is there before a case looks
refused(evict("no_such_thing"))
'''


def interpreters() -> list[str]:
    """The Pythons to test."""
    if os.environ.get(PYTHONS) != "all":
        return [sys.executable]
    found = sorted(Path.home().glob(".pyenv/versions/3.1[0-3]*/bin/python"))
    return [str(each) for each in found] or [sys.executable]


class World:
    """A folder with files, in which pieces of Python are run.

    Args:
        folder: an empty one.
        python: the interpreter.
    """

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        self.python = python

    def tree(self, files: dict[str, str]) -> None:
        """Writes files by their paths."""
        for path, text in files.items():
            place = self.folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(textwrap.dedent(text), encoding="utf-8")

    def run(
        self,
        code: str,
        files: dict[str, str] | None = None,
        arguments: tuple[str, ...] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> str:
        """Runs a case in a process of its own; it must end with status 0. Returns what it printed."""
        self.tree(files or {})
        case = self.folder / "case_.py"
        case.write_text(PRELUDE + "\n" + textwrap.dedent(code), encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MODCTL_", "PYTHON"))}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "agent"), str(ROOT / "proto")])
        ended = subprocess.run(
            [self.python, *arguments, str(case)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert ended.returncode == 0, f"status {ended.returncode}\n{ended.stdout[-4000:]}\n{ended.stderr[-8000:]}"
        return ended.stdout
