"""Many gateways with two real processes each, some dead, hanging, refusing and slow: every row right, every command in
time.

MODCTL_TEST_GATEWAYS says how many; the routine run takes few, `make test` on a large machine 300.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from support import cli, gateways, processes
from support.crew import APP, NEW, OLD
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GATEWAYS = int(os.environ.get("MODCTL_TEST_GATEWAYS", "12"))
PART = max(1, GATEWAYS // 20)
TIMEOUT_S = 4.0
#: A command may take so long: survey, work, and a slow machine.
DEADLINE_S = 45.0

pytestmark = [pytest.mark.timeout(1200), pytest.mark.slow]


class World:
    """The services, and who of them is what.

    Attributes:
        kind_of: target label to dead, hanging (nobody takes the connection), stuck (its processes do not answer),
            refusing, slow or well.
    """

    def __init__(self, folder: Path, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.source = folder / "src"
        self.source.mkdir()
        (folder / "app.py").write_text(APP)
        (folder / "pricing.py").write_text(OLD)
        (self.source / "pricing.py").write_text(NEW)
        environ = {**os.environ, "MODCTL_STATE_DIR": str(state_dir)}
        with open(folder / "log", "wb") as log:
            self.services = []
            for number in range(GATEWAYS):
                command = [sys.executable, "app.py", "1", f"s{number:03}"]
                self.services.append(
                    subprocess.Popen(
                        command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        start_new_session=True,
                    )
                )  # fmt: skip
                if number % 8 == 7:  # all at once would only queue for the processors
                    until(lambda count=number + 1: len(gateways.infos(state_dir)) >= count, 240, what="gateways")
        until(self._all_there, 300, what=f"{GATEWAYS} gateways with two processes each", every_s=1.0)
        infos = sorted(gateways.infos(state_dir), key=lambda info: info["service"])
        self.labels = [f"unix://{info['folder']}/gateway.sock" for info in infos]
        self.gateway_pids = [int(info["pid"]) for info in infos]
        kinds = [kind for kind in ("dead", "hanging", "stuck", "refusing", "slow") for _ in range(PART)]
        self.kind_of = dict(zip(self.labels, [*kinds, *("well",) * (GATEWAYS - len(kinds))], strict=True))

    def _all_there(self) -> bool | None:
        found = cli.modctl("agents", "-o", "name", state_dir=self.state_dir, expect=None, timeout_s=120)
        return len(found.stdout.split()) == 2 * GATEWAYS or None

    def hurt(self) -> None:
        for index, label in enumerate(self.labels):
            kind = self.kind_of[label]
            if kind == "dead":
                os.killpg(self.services[index].pid, signal.SIGKILL)
                os.kill(self.gateway_pids[index], signal.SIGKILL)
            elif kind == "hanging":
                os.kill(self.gateway_pids[index], signal.SIGSTOP)
            elif kind == "stuck":
                os.killpg(self.services[index].pid, signal.SIGSTOP)
            elif kind == "refusing":
                cli.modctl("freeze", "-H", label, "--yes", "--reason", "deploy", state_dir=self.state_dir)

    @contextlib.contextmanager
    def slowed(self) -> Iterator[None]:
        """The slow ones stand still for a while, and then go on."""
        pids = [pid for pid, label in zip(self.gateway_pids, self.labels, strict=True) if self.kind_of[label] == "slow"]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(1.0, lambda: [os.kill(pid, signal.SIGCONT) for pid in pids])
        timer.start()
        try:
            yield
        finally:
            timer.join()

    def run(self, *arguments: str, expect: int) -> dict[str, Any]:
        """A command to all targets; its document."""
        hosts = [word for label in self.labels for word in ("-H", label)]
        began_s = time.monotonic()
        with self.slowed():
            ran = cli.modctl(
                *arguments, *hosts, "--timeout", f"{TIMEOUT_S:g}s", "-o", "json", state_dir=self.state_dir,
                expect=expect, timeout_s=300,
            )  # fmt: skip
        assert time.monotonic() - began_s < DEADLINE_S * max(1, GATEWAYS / 60)
        return ran.document

    def by_kind(self, document: dict[str, Any]) -> dict[str, set[str]]:
        """Kind to the outcomes of its rows. Every target must have rows, and the well ones two."""
        found: dict[str, set[str]] = {}
        rows: dict[str, int] = dict.fromkeys(self.labels, 0)
        for row in document["results"]:
            rows[row["target"]] += 1
            found.setdefault(self.kind_of[row["target"]], set()).add(row["outcome"])
        assert all(rows.values()), f"without a row: {[label for label, count in rows.items() if not count]}"
        assert all(rows[label] == 2 for label, kind in self.kind_of.items() if kind in ("well", "slow", "refusing"))
        return found

    def close(self) -> None:
        for pid in self.gateway_pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for service in self.services:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(service.pid, signal.SIGCONT)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(service.pid, signal.SIGKILL)
            service.wait(10)
        for pid in processes.mentioning(str(self.state_dir)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_every_command_ends_in_time_with_every_target_in_the_right_row(short_dir: Path, state_dir: Path) -> None:
    world = World(short_dir, state_dir)
    try:
        world.hurt()
        silent = {"dead": {"UNREACHABLE"}, "hanging": {"UNREACHABLE"}}
        reads = {**silent, "stuck": {"TIMED_OUT"}, "refusing": {"OK"}, "slow": {"OK"}, "well": {"OK"}}
        # The gateway knows who is there, without asking them.
        assert world.by_kind(world.run("agents", expect=3)) == {**reads, "stuck": {"OK"}}
        assert world.by_kind(world.run("list", "pricing", expect=3)) == reads
        assert world.by_kind(world.run("get", "pricing", expect=3)) == reads
        assert world.by_kind(world.run("history", expect=3)) == reads
        drift = world.run("drift", "pricing", expect=3)
        assert {row["outcome"] for row in drift["failures"]} == {"UNREACHABLE", "TIMED_OUT"}
        assert drift["summary"]["unreachable"] == 2 * PART
        changes = {**silent, "stuck": {"UNKNOWN"}, "refusing": {"REFUSED"}, "slow": {"APPLIED"}, "well": {"APPLIED"}}
        assert world.by_kind(world.run("reimport", "pricing", "--yes", expect=3)) == changes
        assert world.by_kind(world.run("undo", "--yes", expect=3)) == changes
        rejected = world.run("rollout", "start", "pricing", "--from", str(world.source), "--mode", "fresh", expect=3)
        assert rejected["rollout"]["status"] == "REJECTED"
        rollout = world.run(
            "rollout", "start", "pricing", "--from", str(world.source), "--mode", "fresh", "--waves", "30%",
            "--max-failures", str(6 * PART), "--check", "expr:pricing.rate() == 2", expect=3,
        )  # fmt: skip
        assert rollout["rollout"]["status"] == "DONE"
        assert world.by_kind(rollout) == {
            "dead": {"UNREACHABLE"},
            "hanging": {"UNREACHABLE"},
            "stuck": {"TIMED_OUT"},
            "refusing": {"REFUSED"},
            "slow": {"APPLIED"},
            "well": {"APPLIED"},
        }
        cli.modctl("rollout", "undo", state_dir=state_dir, expect=0, timeout_s=300)
        after = world.run("get", "pricing", "--attr", "RATE", expect=3)
        values = {row["attributes"][0]["value"] for row in after["results"] if row["outcome"] == "OK"}
        assert values == {"1"}
    finally:
        world.close()
