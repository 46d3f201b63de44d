"""A shop that is changed, and certificates for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support.cli import modctl
from support.services import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOST = """
import sys, time
sys.path.insert(0, {folder!r})
import billing.tax
from modctl import agent
handle = agent.start(service="shop", required=True, {arguments})
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def tls(short_dir: Path) -> Path:
    """A folder with an authority, a service's certificate and three operators'."""
    folder = short_dir / "tls"
    nowhere = short_dir
    modctl("tls", "init", "--dir", folder, state_dir=nowhere)
    modctl("tls", "issue", "shop", "--server", "localhost", "--server", "127.0.0.1", "--dir", folder, state_dir=nowhere)
    for role in ("viewer", "operator", "admin"):
        modctl("tls", "issue", role[0], "--role", role, "--dir", folder, state_dir=nowhere)
    return folder


@pytest.fixture
def start(state_dir: Path, short_dir: Path) -> Iterator[Callable[..., Service]]:
    """Starts a service whose agent gets these arguments, as Python text."""
    package = short_dir / "app" / "billing"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "tax.py").write_text("RATE = 19\n")
    started: list[Service] = []

    def make(arguments: str, **environment: str) -> Service:
        program = short_dir / "host.py"
        program.write_text(HOST.format(folder=str(package.parent), arguments=arguments))
        service = Service([sys.executable, program], state_dir=state_dir, environment=environment)
        started.append(service)
        service.wait_for_agents(1, listening="listen=" in arguments)
        return service

    yield make
    for one in started:
        one.end()
