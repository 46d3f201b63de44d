"""What a service keeps of plans that its gateway made."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import gc, sys
from modctl import agent
from modctl.client import Fleet, Reimport

def source(number):
    functions = [f"def f{n}(a):\\n    return a + {number}\\n" for n in range(20)]
    classes = [f"class C{n}:\\n    limit = {number}\\n    def m(self):\\n        return {number}\\n" for n in range(3)]
    return f"VERSION = {number}\\n" + "\\n".join(functions + classes)

walks = []
objects, referrers = gc.get_objects, gc.get_referrers
gc.get_objects = lambda *a: walks.append("objects") or objects(*a)
gc.get_referrers = lambda *a: walks.append("referrers") or referrers(*a)
handle = agent.start(service="shop", gateway="thread", required=True)
with Fleet.connect(handle.addresses[0]) as fleet:
    if sys.argv[1] == "injected":
        fleet.inject("shop", source=source(0)).raise_for_failures()
    else:
        with open("shop.py", "w") as file:
            file.write(source(0))
        sys.path.insert(0, "")
    import shop
    for number in range(1, 9):
        walks.clear()
        fleet.apply([Reimport("shop", "patch", source=source(number))]).raise_for_failures()
        assert (shop.VERSION, shop.f7(1), shop.C1().m()) == (number, number + 1, number)
        if number > 2:
            assert not walks, (number, walks)
handle.stop()
"""


@pytest.mark.parametrize("how", ["injected", "from disk"])
def test_code_that_nobody_else_holds_is_looked_for_nowhere(tmp_path: Path, state_dir: Path, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), how],
        cwd=tmp_path,
        env={**os.environ, "MODCTL_STATE_DIR": str(state_dir)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
