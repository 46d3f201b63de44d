"""Adapters that other packages bring."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from support.engine_world import World

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "bus.py": """
class Bus:
    def __init__(self):
        self.handlers = {}
    def on(self, topic):
        def take(function):
            if topic in self.handlers:
                raise KeyError(topic)
            self.handlers[topic] = function
            return function
        return take
    def send(self, topic):
        return self.handlers[topic]()
bus = Bus()
""",
    "app.py": "from bus import bus\n\n@bus.on('a')\ndef a():\n    return 1\n",
    "bus_modctl.py": """
from modctl.agent.engine.live.adapters import Adapter
adapter = Adapter(["bus.Bus"], ["handlers"])
""",
    "bus-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: bus\nVersion: 1.0\n",
    "bus-1.0.dist-info/entry_points.txt": "[modctl.adapters]\nbus = bus_modctl:adapter\nbad = nothing_there:adapter\n",
}
CASE = """
import app
from bus import bus
text = open("app.py").read()

def to(source):
    module = {"name": "app", "source": source, "digest": "sha256:" + "0" * 64}
    return change({"reimport": {"name": "app", "mode": "REIMPORT_MODE_PATCH", "modules": [module]}})

held = bus.handlers["a"]
result = to(text.replace("'a'", "'b'"))
"""


def test_a_package_brings_an_adapter_for_its_own_objects(tmp_path: Path) -> None:
    World(tmp_path, sys.executable).run(
        CASE
        + """
assert result["outcome"] == "OUTCOME_APPLIED", result
assert list(bus.handlers) == ["b"] and bus.handlers["b"] is held and bus.send("b") == 1
applied(undo())
assert list(bus.handlers) == ["a"] and bus.handlers["a"] is held
assert to(text.replace("'a'", "'b'") + "1 / 0\\n")["outcome"] == "OUTCOME_FAILED"
assert list(bus.handlers) == ["a"] and bus.handlers["a"] is held
""",
        FILES,
    )


def test_without_an_adapter_the_call_is_refused_with_the_reason(tmp_path: Path) -> None:
    files = {name: text for name, text in FILES.items() if "entry_points" not in name}
    World(tmp_path, sys.executable).run(
        CASE
        + """
assert result["outcome"] == "OUTCOME_REFUSED", result
assert result["modules"][0]["refusal"]["reason"] == "OPAQUE_CALL"
assert list(bus.handlers) == ["a"]
""",
        files,
    )
