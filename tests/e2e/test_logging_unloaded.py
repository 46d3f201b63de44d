"""A service that does not use logging does not get it from us: at start, in each kind of change, in a fork, at the end.

It would cost 2 MiB, and where it is loaded while another thread forks Python prints into the service's stderr. A finder
in front of all others hears who asks for it, so that a loading is seen even if it is taken back.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support.cli import document, modctl
from support.services import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(240)]

HOST = """
import os, signal, sys, time, traceback

class Hears:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "logging":
            told = "".join(traceback.format_stack())
            with open("asked", "a") as file:
                file.write(f"{os.getpid()}\\n{told}\\n")
        return None

def loaded():
    return sorted(name for name in sys.modules if name.partition(".")[0] == "logging")

assert not loaded(), "this test's host has it anyway"
sys.meta_path.insert(0, Hears)
import billing.tax, billing.shop
from modctl import agent
if sys.argv[1:] == ["control"]:
    sys.modules.pop("logging", None)
    import logging
handle = agent.start(service="shop", required=True)
with agent.shield():
    pass
go = True
def end(*_):
    global go
    go = False
signal.signal(signal.SIGTERM, end)
children = 0
while go:
    time.sleep(0.02)
    if os.path.exists("fork"):
        os.remove("fork")
        children += 1
        if os.fork() == 0:
            while os.path.exists("child"):
                time.sleep(0.02)
            with open("child-said", "w") as file:
                file.write(repr(loaded()))
            os._exit(0)
        with open("forked", "w") as file:
            file.write(str(children))
handle.stop()
with open("said", "w") as file:
    file.write(repr(loaded()))
"""


@pytest.fixture
def folder(short_dir: Path) -> Path:
    folder = short_dir / "app"
    (folder / "billing").mkdir(parents=True)
    (folder / "billing" / "__init__.py").write_text("")
    (folder / "billing" / "tax.py").write_text(
        "import functools\nRATE = 19\n@functools.lru_cache\ndef tax(x): return x * RATE\n"
    )
    (folder / "billing" / "shop.py").write_text("from billing.tax import tax, RATE\nclass Shop:\n    rate = RATE\n")
    (folder / "host.py").write_text(HOST)
    return folder


@pytest.fixture
def service(state_dir: Path, folder: Path) -> Iterator[Service]:
    # Python itself warns of any fork beside a thread from 3.12 on.
    one = Service([sys.executable, "-W", "ignore::DeprecationWarning", "host.py"], state_dir=state_dir, folder=folder)
    one.wait_for_agents(1)
    yield one
    one.end()


def test_logging_stays_unloaded_whatever_is_asked_of_a_service_without_it(
    service: Service, state_dir: Path, folder: Path
) -> None:
    def run(*arguments: str, expect: int | None = 0) -> None:
        modctl(*arguments, state_dir=state_dir, expect=expect)
        assert not (folder / "asked").exists(), (arguments, (folder / "asked").read_text())

    run("list", "--wide")
    run("get", "billing.tax", "--source")
    everybody = ("--all", "--reason", "a test")
    (folder / "billing" / "tax.py").write_text(
        "import functools\nRATE = 7\n@functools.lru_cache\ndef tax(x): return x * RATE + 1\nNEW = [RATE]\n"
    )
    run("reload", "billing.tax", *everybody)
    run("undo", *everybody)
    run("reload", "billing.tax", "--dry-run", *everybody)
    run("reimport", "billing.shop", *everybody)
    (folder / "new.py").write_text("X = 1\n")
    run("inject", "new", "--file", str(folder / "new.py"), *everybody)
    run("inject", "stub", "--attr", "A=1", *everybody)
    run("evict", "new", "stub", *everybody)
    # What goes wrong is what there would be something to say of.
    (folder / "bad.py").write_text("print('loud')\n1 / 0\n")
    run("inject", "bad", "--file", str(folder / "bad.py"), *everybody, expect=3)
    run("evict", "sys", *everybody, expect=3)
    (folder / "billing" / "tax.py").write_text("RATE = 1 / 0\n")
    run("reload", "billing.tax", *everybody, expect=3)
    run("freeze", *everybody)
    run("thaw", *everybody)
    # A fork while code is executed for a change, and a change in the child.
    (folder / "child").touch()
    (folder / "slow.py").write_text("import time\nopen('fork', 'w').close()\ntime.sleep(0.5)\n")
    run("inject", "slow", "--file", str(folder / "slow.py"), *everybody)
    until((folder / "forked").exists, what="the fork")
    service.wait_for_agents(2)
    run("inject", "late", "--attr", "A=1", *everybody)
    assert {row["outcome"] for row in document("agents", state_dir=state_dir)["results"]} == {"OK"}
    (folder / "child").unlink()
    until((folder / "child-said").exists, what="the child's word")
    assert (folder / "child-said").read_text() == "[]"
    assert service.stop() == 0, service.output
    assert (folder / "said").read_text() == "[]", (folder / "said").read_text()
    assert not (folder / "asked").exists()
    assert service.output == "loud\n", "only what its own code says"


def test_the_finder_hears_a_service_that_does_load_it(state_dir: Path, folder: Path) -> None:
    service = Service([sys.executable, "host.py", "control"], state_dir=state_dir, folder=folder)
    try:
        until((folder / "asked").exists, what="logging to be asked for")
    finally:
        service.end()
