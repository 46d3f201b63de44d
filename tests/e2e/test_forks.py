"""A program that forks two hundred children while modctl asks it questions without pause."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from support import gateways
from support.services import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORKS = 200
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

#: Forks `count` children, eight at a time, and says how each of them ended.
PARENT = """
import json, os, sys, time
from pathlib import Path
from modctl import agent

kind, count, seen = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
agent.start(service="forks", required=True)
while not (seen / "go").exists():
    time.sleep(0.02)

def child():
    if kind == "idle":
        time.sleep(0.02)
        return 0
    # It has to be found within 15 s, while the others come and go.
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if (seen / str(os.getpid())).exists():
            return 0
        time.sleep(0.02)
    return 7

ends, living, longest_fork_s = {}, set(), 0.0
started = time.monotonic()
while len(ends) < count:
    if len(living) < 8 and len(ends) + len(living) < count:
        before = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os._exit(child())
        longest_fork_s = max(longest_fork_s, time.monotonic() - before)
        living.add(pid)
        continue
    pid, status = os.waitpid(-1, 0)
    if pid in living:
        living.discard(pid)
        ends[pid] = os.waitstatus_to_exitcode(status)
took_s = time.monotonic() - started
print(json.dumps({"ends": sorted(ends.values()), "longest_fork_s": longest_fork_s, "took_s": took_s}), flush=True)
while (seen / "go").exists():
    time.sleep(0.02)
"""


class Load:
    """Listings of everything and of the parent, without pause, from two threads."""

    def __init__(self, folder: str, parent: int, seen: Path) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._parent = parent
        self._seen = seen
        self._stopped = threading.Event()
        self._folder = folder
        self._threads = [threading.Thread(target=self._listings), threading.Thread(target=self._presence)]

    def __enter__(self) -> Load:  # noqa: PYI034 - typing.Self is of 3.11
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(20)

    def _listings(self) -> None:
        with gateways.Gateway(self._folder) as gateway:
            while not self._stopped.is_set():
                try:
                    assert gateway.rows(str(self._parent)).get(self._parent, 0) > 50
                    self.answered += 1
                except (grpc.RpcError, AssertionError) as error:
                    self.failed.append(repr(error))

    def _presence(self) -> None:
        with gateways.Gateway(self._folder) as gateway:
            while not self._stopped.is_set():
                try:
                    for pid in gateway.process_pids():
                        (self._seen / str(pid)).touch()
                except grpc.RpcError as error:
                    self.failed.append(repr(error))
                time.sleep(0.02)


@pytest.fixture
def seen(short_dir: Path) -> Iterator[Path]:
    place = short_dir / "seen"
    place.mkdir()
    return place


@pytest.mark.parametrize("kind", ["idle", "served"])
def test_two_hundred_forks_under_load_cost_no_child_and_no_answer(
    kind: str, state_dir: Path, short_dir: Path, seen: Path
) -> None:
    program = short_dir / "parent.py"
    program.write_text(PARENT)
    service = Service([sys.executable, program, kind, str(FORKS), seen], state_dir=state_dir)
    try:
        service.wait_for_agents(1)
        (info,) = gateways.infos(state_dir)
        with Load(info["folder"], service.pid, seen) as load:
            until(lambda: load.answered > 3, 10.0)
            (seen / "go").touch()
            report = until(lambda: _report(service), 200.0, what="the report of the parent", every_s=0.2)
            # The parent is served after it as before.
            answered = load.answered
            until(lambda: load.answered > answered + 3, 10.0, what="answers after the forks")
        print(
            f"{kind}: {report['took_s']:.1f} s, longest fork {report['longest_fork_s'] * 1000:.0f} ms, "
            f"{load.answered} listings answered"
        )
        assert report["ends"] == [0] * FORKS
        assert load.failed == []
        # The hook before a fork may wait for work in flight, but within bounds.
        assert report["longest_fork_s"] < 2.0
        until(lambda: service.agent_pids() == {service.pid}, 5.0, what="only the parent to be left")
    finally:
        service.end()


def _report(service: Service) -> dict[str, Any] | None:
    assert not service.has_ended(), service.output
    lines = [line for line in service.output.splitlines() if line.startswith("{")]
    return json.loads(lines[0]) if lines else None
