"""Fixtures of the gateway's tests: one gateway in a thread for most, processes where death is the matter."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from modctl.gateway.thread import ThreadGateway, serve_in_thread

from gateway.fake_agent import FakeAgent
from gateway.world import Stubs, fake_process, gateway_process, stubs, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def instance_dir(short_dir: Path) -> Path:
    """An instance's directory, within a base of its own."""
    place = short_dir / "base" / "shop"
    place.mkdir(parents=True, mode=0o700)
    place.parent.chmod(0o700)
    return place


@pytest.fixture
def gateway(instance_dir: Path) -> Iterator[ThreadGateway]:
    """A gateway in a thread."""
    with serve_in_thread(str(instance_dir), "shop", grace_s=60) as running:
        yield running


@pytest.fixture
def api(gateway: ThreadGateway) -> Iterator[Stubs]:
    """Stubs to it, through its private socket."""
    with stubs(gateway.addresses[0]) as found:
        yield found


@pytest.fixture
def agent(gateway: ThreadGateway, instance_dir: Path) -> Iterator[Callable[..., FakeAgent]]:
    """Makes connected agents; each has another pid unless told."""
    made: list[FakeAgent] = []

    def make(**options: Any) -> FakeAgent:
        options.setdefault("pid", 1000 + len(made))
        found = FakeAgent(instance_dir, **options)
        made.append(found)
        if options.get("dial", True):
            found.welcome()
        return found

    yield make
    for one in made:
        one.close()


@pytest.fixture
def processes(instance_dir: Path) -> Iterator[Processes]:
    """Gateways and agents in processes of their own; all of them are gone afterwards."""
    found = Processes(instance_dir)
    yield found
    found.end()


class Processes:
    """What a test has started."""

    def __init__(self, instance_dir: Path) -> None:
        self.instance_dir = instance_dir
        self._started: list[subprocess.Popen[Any]] = []

    def gateway(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        started = gateway_process(self.instance_dir, *arguments, **options)
        self._started.append(started)
        return started

    def served(self, **options: Any) -> subprocess.Popen[bytes]:
        """A gateway that accepts agents."""
        started = self.gateway(**options)
        until(lambda: (self.instance_dir / "gateway.json").exists() or started.poll() is not None)
        assert started.poll() is None
        return started

    def agent(self, **options: Any) -> subprocess.Popen[str]:
        started = fake_process(self.instance_dir, **options)
        self._started.append(started)
        return started

    def log(self) -> str:
        file = self.instance_dir / "gateway.log"
        return file.read_text() if file.exists() else ""

    def end(self) -> None:
        for one in self._started:
            if one.poll() is None:
                os.kill(one.pid, signal.SIGKILL)
            one.wait()
            if one.stdout is not None:
                one.stdout.close()
