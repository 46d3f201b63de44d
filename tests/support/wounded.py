"""A fleet of real gateways with two processes each, of which some are dead, hanging, refusing or slow."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from support import cli, gateways, processes
from support.crew import APP, NEW, OLD
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

ROUTINE = 12
GATEWAYS = int(os.environ.get("MODCTL_TEST_GATEWAYS", ROUTINE))
PART = max(1, GATEWAYS // 20)
#: For a process to answer, and to connect: who is well has to be in time on a machine that is full of them.
TIMEOUT_S = 3.2 + GATEWAYS / 15
CONNECT_TIMEOUT_S = 2.0 + GATEWAYS / 100
#: Real fleets have processors of their own; these all have to plan a change on ours.
FANOUT = 12
#: What every command is told to end by.
DEADLINE_S = 40.0 + GATEWAYS
#: Starting Python and printing are beyond a command's deadline; a loaded machine takes its time for them.
AROUND_S = 20.0 + GATEWAYS / 20


class World:
    """The services, and who of them is what.

    Attributes:
        kind_of: target label to dead, hanging (nobody takes the connection), stuck (its processes do not answer),
            refusing, slow or well.
    """

    def __init__(self, folder: Path, state_dir: Path) -> None:
        self.folder = folder
        self.state_dir = state_dir
        self.source = folder / "src"
        self.services: list[subprocess.Popen[bytes]] = []
        self.labels: list[str] = []
        self.gateway_pids: list[int] = []
        self.kind_of: dict[str, str] = {}

    def __enter__(self) -> World:  # noqa: PYI034 - typing.Self is of 3.11
        try:
            self._start()
        except BaseException:
            self.close()  # hundreds of services are nothing to leave behind
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        folder, state_dir = self.folder, self.state_dir
        self.source.mkdir()
        # Hundreds of parents that look after their children fifty times a second would be what is measured.
        (folder / "app.py").write_text(APP.replace("time.sleep(0.02)", "time.sleep(1)").replace("0.05", "5"))
        (folder / "pricing.py").write_text(OLD)
        (self.source / "pricing.py").write_text(NEW)
        ours = {name: value for name, value in os.environ.items() if not name.startswith("MODCTL_")}
        environ = {**ours, "MODCTL_STATE_DIR": str(state_dir)}
        with open(folder / "log", "wb") as log:
            for number in range(GATEWAYS):
                command = [sys.executable, "app.py", "1", f"s{number:03}"]
                self.services.append(
                    subprocess.Popen(
                        command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        start_new_session=True,
                    )
                )  # fmt: skip
                if number % 8 == 7:  # all at once would only queue for the processors
                    until(lambda some=number - 15: len(gateways.infos(state_dir)) >= some, 900, every_s=0.3)
        until(self._all_there, 900, what=f"{GATEWAYS} gateways with two processes each", every_s=1.0)
        infos = sorted(gateways.infos(state_dir), key=lambda info: info["service"])
        self.labels = [f"unix://{info['folder']}/gateway.sock" for info in infos]
        self.gateway_pids = [int(info["pid"]) for info in infos]
        kinds = [kind for kind in ("dead", "hanging", "stuck", "refusing", "slow") for _ in range(PART)]
        services = [pid for service in self.services for pid in (service.pid, *processes.descendants_of(service.pid))]
        for what, pids in (("gateway", self.gateway_pids), ("service process", services)):
            total_mib = sum(map(_pss_mib, pids))
            print(
                f"{len(pids)} x {what}: {total_mib / len(pids):.1f} MiB each (PSS), {total_mib:.0f} in sum", flush=True
            )
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

    def run(
        self,
        *arguments: str,
        expect: int,
        timeout_s: float = TIMEOUT_S,
        deadline_s: float = DEADLINE_S,
        fanout: int = FANOUT,
        kinds: Collection[str] = ("dead", "hanging", "stuck", "refusing", "slow", "well"),
    ) -> dict[str, Any]:
        """A command to all targets of these kinds; its document."""
        hosts = [word for label in self.labels if self.kind_of[label] in kinds for word in ("-H", label)]
        began_s, cpu_before_s = time.monotonic(), _cpu_of_children_s()
        with self.slowed():
            ran = cli.modctl(
                *arguments, *hosts, "--fanout", str(fanout), "--connect-timeout", f"{CONNECT_TIMEOUT_S:g}s",
                "--timeout", f"{timeout_s:g}s", "--deadline", f"{deadline_s:g}s", "-o", "json",
                state_dir=self.state_dir, expect=expect, timeout_s=600 + AROUND_S,
            )  # fmt: skip
        took_s = time.monotonic() - began_s
        told = " ".join(argument for argument in arguments if not argument.startswith("/"))
        print(f"{took_s:7.1f} s  {_cpu_of_children_s() - cpu_before_s:6.2f} s CPU  {told}", flush=True)
        # A rollout is many calls to the fleet, and the deadline is that of each.
        calls = 1 if arguments[0] != "rollout" else 12
        assert took_s < calls * deadline_s + AROUND_S
        return ran.document

    def values_of(self, attribute: str) -> set[str]:
        """What the module's attribute is in those that take changes."""
        # The others are not asked: they would be waited for in vain each time.
        found = self.run("get", "pricing", "--attr", attribute, expect=0, kinds=("slow", "well"))
        return {row["attributes"][0]["value"] for row in found["results"]}

    def each_kind_alone(self) -> None:
        """The exit code of a command to those of one kind only."""
        for kind, code in {"dead": 4, "hanging": 4, "stuck": 8, "refusing": 0, "slow": 0, "well": 0}.items():
            self.run("list", "pricing", expect=code, kinds=(kind,))
        # Who is stuck has not said where its sources are, and was not asked to change anything.
        for kind, code in {"dead": 4, "stuck": 8, "refusing": 3, "slow": 0, "well": 0}.items():
            self.run("reimport", "pricing", "--yes", expect=code, kinds=(kind,))

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


def _pss_mib(pid: int) -> float:
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
