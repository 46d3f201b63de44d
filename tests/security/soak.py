"""Twenty clients read and change a gunicorn service under load, while gateways and workers are killed.

    python tests/security/soak.py SECONDS [CLIENTS]

Says what happened, and fails where a service request failed for another reason than its worker's death, an outcome has
no explanation, an attempt is not in the audit log exactly twice, or memory has grown.
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

APP = """
import os
from modctl import agent
import greeting
agent.start(service="shop")
def app(environ, start_response):
    body = f"{greeting.TEXT} {os.getpid()}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
WORKERS = 2
#: So long around a kill an answer may be missing.
AROUND_KILL_S = 3.0
VERBS = ("list", "list", "get", "history", "inject", "inject", "evict", "reimport", "undo")
#: Outcomes that are answers, whatever they say.
ANSWERED = frozenset({"OK", "APPLIED", "UNCHANGED", "PLANNED", "REFUSED", "FAILED"})


class Soak:
    """One run.

    Args:
        seconds: how long.
        clients: how many.
    """

    def __init__(self, seconds: float, clients: int = 20) -> None:
        self.until_s = time.monotonic() + seconds
        self.clients = clients
        self.kills: list[tuple[float, str]] = []
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.unexplained: list[str] = []
        self.served = 0
        self.broken = 0
        self.failed: list[str] = []
        self.rss_kib: list[int] = []
        self._lock = threading.Lock()

    def run(self) -> dict[str, Any]:
        """Does it; what happened."""
        from support.services import Service, free_port

        with tempfile.TemporaryDirectory(dir="/tmp", prefix="mc-") as name:
            folder = Path(name)
            state = folder / "state"
            state.mkdir(mode=0o700)
            (folder / "app.py").write_text(APP)
            (folder / "greeting.py").write_text("TEXT = 'hello'\n")
            port = free_port()
            command = [sys.executable, "-m", "gunicorn", "-w", str(WORKERS), "-k", "gthread", "--threads", "4"]
            command += ["-b", f"127.0.0.1:{port}", "--log-level", "warning", "app:app"]
            service = Service(command, state_dir=state, folder=folder, environment={"PYTHONPATH": str(folder)})
            try:
                service.wait_for_agents(WORKERS)
                os.environ["MODCTL_STATE_DIR"] = str(state)
                work = [threading.Thread(target=self._client, args=(number,)) for number in range(self.clients)]
                work += [threading.Thread(target=self._load, args=(port,)) for _ in range(2)]
                work.append(threading.Thread(target=self._killer, args=(service, state)))
                for one in work:
                    one.start()
                for one in work:
                    one.join()
                service.wait_for_agents(WORKERS)
                self._settle()
                return self._report(state)
            finally:
                service.end()

    def _client(self, number: int) -> None:
        from modctl.client import ChangeOptions, Fleet, Inject

        source = random.Random(number)
        with Fleet.connect(timeout_s=10) as fleet:
            while time.monotonic() < self.until_s:
                began_s = time.monotonic()
                verb = source.choice(
                    ["list", "list", "get", "history", "inject", "inject", "evict", "reimport", "undo"]
                )
                options = ChangeOptions(reason=f"soak {number}")
                name = f"soak_{number}"
                if verb == "list":
                    result: Any = fleet.list("greeting*")
                elif verb == "get":
                    result = fleet.get("greeting")
                elif verb == "history":
                    result = fleet.history(limit=3)
                elif verb == "inject":
                    text = f"V = {source.random()}\n"
                    result = fleet.inject(Inject(name, source=text, replace=True), options=options)
                elif verb == "evict":
                    result = fleet.evict(name, options=options)
                elif verb == "reimport":
                    result = fleet.reimport("greeting", options=options)
                else:
                    result = fleet.undo(options=options)
                self._note(verb, began_s, result)
                time.sleep(source.random() * 0.3)

    def _note(self, verb: str, began_s: float, result: Any) -> None:
        with self._lock:
            for row in result.rows:
                self.outcomes[f"{verb} {row.outcome}"] += 1
                if row.outcome not in ANSWERED and not self._near_kill(began_s, time.monotonic()):
                    self.unexplained.append(f"{verb}: {row.outcome}: {row.why}")

    def _near_kill(self, began_s: float, ended_s: float) -> bool:
        return any(began_s - AROUND_KILL_S <= at_s <= ended_s for at_s, _ in self.kills)

    def _load(self, port: int) -> None:
        while time.monotonic() < self.until_s:
            began_s = time.monotonic()
            problem = ""
            for _ in range(2):  # a GET may be asked again; a worker that was killed took it along
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                    connection.request("GET", "/")
                    answer = connection.getresponse()
                    body = answer.read()
                    problem = "" if answer.status == 200 and body.startswith(b"hello") else f"{answer.status} {body!r}"
                    connection.close()
                    break
                except OSError as error:
                    problem = repr(error)
                    with self._lock:
                        self.broken += 1
                except http.client.HTTPException as error:
                    problem = repr(error)
                    with self._lock:
                        self.broken += 1
            with self._lock:
                self.served += 1
                if problem:
                    near = any(began_s - 2 <= at_s and what == "worker" for at_s, what in self.kills)
                    self.failed.append(f"{problem}{' (near a kill)' if near else ''}")
            time.sleep(0.01)

    def _killer(self, service: Any, state: Path) -> None:
        from support import gateways

        source = random.Random(0)
        while time.monotonic() < self.until_s - 4:
            time.sleep(source.uniform(6, 14))
            what = source.choice(["gateway", "gateway", "worker"])
            pids = gateways.pids(state) if what == "gateway" else sorted(service.agent_pids() - {service.pid})
            if pids:
                with self._lock:
                    self.kills.append((time.monotonic(), what))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(source.choice(pids), signal.SIGKILL)
            self._weigh(state)

    def _weigh(self, state: Path) -> None:
        from support import gateways

        for pid in gateways.pids(state):
            with contextlib.suppress(OSError, IndexError):
                status = Path(f"/proc/{pid}/status").read_text()
                self.rss_kib.append(int(status.split("VmRSS:")[1].split()[0]))

    def _settle(self) -> None:
        """One more change: whatever a killed gateway left open is ended before it."""
        from modctl.client import Fleet

        with Fleet.connect(timeout_s=10) as fleet:
            fleet.evict("soak_end")

    def _report(self, state: Path) -> dict[str, Any]:
        lines: collections.Counter[str] = collections.Counter()
        events: collections.Counter[str] = collections.Counter()
        logs = sorted(state.glob("*/audit.jsonl*"))
        for log in logs:
            if log.name.endswith(".lock"):
                continue
            for line in log.read_text().splitlines():
                told = json.loads(line)
                lines[told["id"]] += 1
                events[told["event"]] += 1
        return {
            "kills": dict(collections.Counter(what for _, what in self.kills)),
            "outcomes": dict(sorted(self.outcomes.items())),
            "unexplained": self.unexplained,
            "served": self.served,
            "broken_and_asked_again": self.broken,
            "failed": self.failed,
            "audit": dict(events),
            "not_twice": {one: count for one, count in lines.items() if count != 2},
            "gateway_rss_kib": [min(self.rss_kib, default=0), max(self.rss_kib, default=0)],
        }


if __name__ == "__main__":
    report = Soak(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20).run()
    print(json.dumps(report, indent=1))
    sys.exit(bool(report["unexplained"] or report["failed"] or report["not_twice"]))
