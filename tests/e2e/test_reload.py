"""`modctl reload`, `diff` and `undo` against a real service, as an operator types them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MAIN = """
import time, tax, shop
from modctl import agent
agent.start(service="shop")
order = tax.Order()
while True:
    with open("out.tmp", "w") as file: file.write(f"{order.total()} {shop.TEXT}")
    import os; os.replace("out.tmp", "out")
    time.sleep(0.05)
"""
TAX = "RATE = 7\ndef tax(x): return x * RATE\nclass Order:\n    def total(self): return tax(10)\n"
SHOP = 'from tax import tax, RATE\nTEXT = f"{RATE} %"\n'


class Service:
    """A service of two modules and a main loop that writes what it computes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, source in (("main.py", MAIN), ("tax.py", TAX), ("shop.py", SHOP)):
            (folder / name).write_text(source)
        (folder / "state").mkdir(mode=0o700)
        self.environment = {**os.environ, "MODCTL_STATE_DIR": str(folder / "state"), "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen([sys.executable, "main.py"], cwd=folder, env=self.environment)

    def modctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "modctl.client", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def wait_for(self, wanted: str) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            out = self.folder / "out"
            if out.exists() and out.read_text() == wanted:
                return
            time.sleep(0.05)
        raise AssertionError(f"the service says {(self.folder / 'out').read_text()!r}, not {wanted!r}")


@pytest.fixture
def service() -> Iterator[Service]:
    folder = Path(tempfile.mkdtemp(prefix="mc"))  # short: a socket's path has 107 bytes
    running = Service(folder)
    try:
        running.wait_for("70 7 %")
        time.sleep(1.5)  # half a second after start() the agent looks at what was loaded before
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def test_an_edited_file_is_seen_planned_taken_and_undone(service: Service) -> None:
    assert service.modctl("diff", "tax").returncode == 0
    (service.folder / "tax.py").write_text(TAX.replace("RATE = 7", "RATE = 19").replace("tax(10)", "tax(20)"))
    shown = service.modctl("diff", "tax")
    assert shown.returncode == 1
    assert "-RATE = 7" in shown.stdout
    assert "+RATE = 19" in shown.stdout
    planned = json.loads(service.modctl("reload", "tax", "--all", "--dry-run", "-o", "json").stdout)
    assert planned["results"][0]["outcome"] == "PLANNED"
    service.wait_for("70 7 %")
    applied = service.modctl("reload", "--changed", "--all", "-o", "json")
    assert applied.returncode == 0, applied.stderr
    [result] = json.loads(applied.stdout)["results"]
    assert result["outcome"] == "APPLIED"
    assert {module["name"] for module in result["modules"]} == {"tax", "shop"}
    assert result["paused_ms"] < 50
    service.wait_for("380 19 %")
    assert service.modctl("diff", "tax").returncode == 0
    assert service.modctl("undo", "--all").returncode == 0
    service.wait_for("70 7 %")


def test_a_local_tree_is_sent_along_with_a_module_that_is_new(service: Service) -> None:
    tree = service.folder / "tree"
    tree.mkdir()
    (tree / "tax.py").write_text("from rates import rate\n" + TAX.replace("RATE = 7", "RATE = rate()"))
    (tree / "rates.py").write_text("def rate(): return 5\n")
    assert service.modctl("diff", "tax", "--from", "tree").returncode == 1
    applied = service.modctl("reload", "--from", "tree", "--all")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    service.wait_for("50 5 %")
    assert service.modctl("undo", "--all").returncode == 0
    service.wait_for("70 7 %")


def test_what_raises_leaves_the_service_as_it_was(service: Service) -> None:
    (service.folder / "tax.py").write_text(TAX + "X = 1 / 0\n")
    failed = service.modctl("reload", "tax", "--all")
    assert failed.returncode == 3
    assert "ZeroDivisionError" in failed.stdout + failed.stderr
    service.wait_for("70 7 %")
