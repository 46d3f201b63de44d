"""Twenty clients read and change a gunicorn service under load, while gateways and workers are killed.

    python tests/security/soak.py SECONDS [CLIENTS]

Says what happened, and fails where a service request failed for another reason than its worker's death, an outcome has
no explanation, an attempt is not in the audit log exactly twice or not as its caller heard it, or memory has grown.

One worker is never killed: it is weighed from beginning to end, and each of its revisions must be on record. In the
last third of each ten minutes no gateway is killed, so that one grows old enough to be weighed.
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import math
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from security.soak_checks import ANSWERED, Change, Record, Weight, growth_of  # noqa: E402 - also run as a program

if TYPE_CHECKING:
    from support.services import Service

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
#: An hour of attempts is more than the log keeps by default.
POLICY = """
version = 1
[audit]
keep = 100
"""
WORKERS = 3
#: So long after a kill, and after a gateway is there again, an answer may be missing.
AROUND_KILL_S = 3.0
#: So long it may take until one is, on a machine that has nothing left for it.
BACK_WITHIN_S = 120.0
#: A request to the service may break only so soon after a worker was killed.
BREAKS_WITHIN_S = 5.0
CYCLE_S = 600.0
CALM_FROM_S = 400.0
VERBS = ("list", "list", "get", "history", "inject", "inject", "evict", "reimport", "undo")
#: What a process may grow by, once it is warm, before it is no longer flat; in a short run it does not become warm.
FLAT_KIB = 8 * 1024
WARMING_KIB = 40 * 1024
WARM_AFTER_S = 300


@dataclass
class Kill:
    """A kill: when, of what, and when a gateway that knows processes was there after it."""

    at_s: float
    what: str
    back_s: float = math.inf


class Soak:
    """One run.

    Args:
        seconds: how long.
        clients: how many.
    """

    def __init__(self, seconds: float, clients: int = 20) -> None:
        self.began_s = time.monotonic()
        self.until_s = self.began_s + seconds
        self.clients = clients
        #: When, what, and from when on a gateway was there again.
        self.kills: list[Kill] = []
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.reasons: collections.Counter[str] = collections.Counter()
        self.unexplained: list[str] = []
        self.changes: list[Change] = []
        self.served = 0
        self.broken = 0
        self.failed: list[str] = []
        self.weights: dict[str, list[Weight]] = collections.defaultdict(list)
        self.errors: list[str] = []
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
            (folder / "policy.toml").write_text(POLICY)
            (folder / "policy.toml").chmod(0o600)
            port = free_port()
            command = [sys.executable, "-m", "gunicorn", "-w", str(WORKERS), "-k", "gthread", "--threads", "4"]
            command += ["-b", f"127.0.0.1:{port}", "--log-level", "warning", "app:app"]
            environment = {"PYTHONPATH": str(folder), "MODCTL_POLICY": str(folder / "policy.toml")}
            service = Service(command, state_dir=state, folder=folder, environment=environment)
            try:
                spared = min(service.wait_for_agents(WORKERS) - {service.pid})
                os.environ["MODCTL_STATE_DIR"] = str(state)
                self._threads(service, state, port, spared)
                service.wait_for_agents(WORKERS)
                return self._report(state, self._settle(spared))
            finally:
                service.end()

    def _threads(self, service: Service, state: Path, port: int, spared: int) -> None:
        work: list[tuple[Any, ...]] = [(self._client, number) for number in range(self.clients)]
        work += [(self._load, port), (self._load, port), (self._killer, service, state, spared)]
        work.append((self._weigher, state, spared))
        threads = [threading.Thread(target=self._guarded, args=one) for one in work]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    def _guarded(self, does: Any, *arguments: Any) -> None:
        """A thread that dies is a result, and no silence."""
        try:
            does(*arguments)
        except BaseException as error:
            with self._lock:
                self.errors.append(f"{does.__name__}{arguments[:1]}: {error!r}")
            raise

    def _client(self, number: int) -> None:
        from modctl.client import ChangeOptions, Fleet, Inject

        source = random.Random(number)
        name = f"soak_{number}"
        with Fleet.connect(timeout_s=10) as fleet:
            while time.monotonic() < self.until_s:
                began_s = time.monotonic()
                verb = source.choice(VERBS)
                request_id = uuid.uuid4().hex
                options = ChangeOptions(reason=f"soak {number}", request_id=request_id)
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
                self._note(verb, request_id, began_s, result)
                time.sleep(source.random() * 0.3)

    def _note(self, verb: str, request_id: str, began_s: float, result: Any) -> None:
        with self._lock:
            near = self._near_kill(began_s, time.monotonic())
            if not result.rows and not near:
                self.unexplained.append(f"{verb}: nobody answered")
            for row in result.rows:
                self.outcomes[f"{verb} {row.outcome}"] += 1
                if row.good:
                    continue
                self.reasons[f"{row.outcome} {row.error.reason if row.error is not None else row.why[:60]}"] += 1
                ours = row.error is not None and row.error.reason in ("INTERNAL", "BAD_ANSWER")
                if ours or (row.outcome not in ANSWERED and not near) or row.why in ("", row.outcome):
                    self.unexplained.append(f"{verb}: {row.outcome}: {row.why}")
            if verb in ("inject", "evict", "reimport", "undo"):
                answers = [row for row in result.rows if row.value is not None]
                results = {row.process: (row.outcome, row.value.revision) for row in answers}
                self.changes.append(Change(request_id, near, results))

    def _near_kill(self, began_s: float, ended_s: float) -> bool:
        """Whether it was asked while a gateway or worker was being missed."""
        return any(one.at_s <= ended_s and began_s <= one.back_s + AROUND_KILL_S for one in self.kills)

    def _load(self, port: int) -> None:
        while time.monotonic() < self.until_s:
            problem = ""
            for _ in range(2):  # a GET may be asked again; a worker that was killed took it along
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                try:
                    connection.request("GET", "/")
                    answer = connection.getresponse()
                    body = answer.read()
                    problem = "" if answer.status == 200 and body.startswith(b"hello") else f"{answer.status} {body!r}"
                    break
                except (OSError, http.client.HTTPException) as error:
                    problem = repr(error)
                    self._note_broken(problem)
                finally:
                    connection.close()
            with self._lock:
                self.served += 1
                if problem:
                    self.failed.append(problem)
            time.sleep(0.01)

    def _note_broken(self, problem: str) -> None:
        now_s = time.monotonic()
        with self._lock:
            self.broken += 1
            if not any(now_s - BREAKS_WITHIN_S <= one.at_s and one.what == "worker" for one in self.kills):
                self.failed.append(f"{problem}, and no worker was killed")

    def _killer(self, service: Service, state: Path, spared: int) -> None:
        from support import gateways

        source = random.Random(0)
        while time.monotonic() < self.until_s - 4:
            time.sleep(min(source.uniform(6, 14), max(0.0, self.until_s - 4 - time.monotonic())))
            calm = (time.monotonic() - self.began_s) % CYCLE_S > CALM_FROM_S
            what = "worker" if calm else source.choice(["gateway", "gateway", "worker"])
            found = gateways.pids(state) if what == "gateway" else service.agent_pids() - {service.pid, spared}
            if found:
                kill = Kill(time.monotonic(), what)
                with self._lock:
                    self.kills.append(kill)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(source.choice(sorted(found)), signal.SIGKILL)
                give_up_s = kill.at_s + BACK_WITHIN_S
                while not service.agent_pids() and time.monotonic() < give_up_s:
                    time.sleep(0.05)
                with self._lock:
                    kill.back_s = time.monotonic()

    def _weigher(self, state: Path, spared: int) -> None:
        from support import gateways

        every_s = min(5.0, (self.until_s - time.monotonic()) / 20)
        while time.monotonic() < self.until_s:
            time.sleep(every_s)
            for what, pid in [("worker", spared), *((f"gateway {pid}", pid) for pid in gateways.pids(state))]:
                with contextlib.suppress(OSError, IndexError):
                    status = Path(f"/proc/{pid}/status").read_text()
                    rss_kib = int(status.split("VmRSS:")[1].split()[0])
                    threads = int(status.split("Threads:")[1].split()[0])
                    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
                    at_s = time.monotonic() - self.began_s
                    self.weights[what].append(Weight(at_s, rss_kib, descriptors, threads))

    def _settle(self, spared: int) -> dict[str, Any]:
        """One more change: whatever a killed gateway left open is ended before it. What the spared worker says."""
        from modctl.client import Fleet

        with Fleet.connect(timeout_s=10) as fleet:
            fleet.evict("soak_end")
            [row] = [row for row in fleet.agents().rows if row.pid == spared]
            [history] = [one for one in fleet.history().rows if one.process == row.process]
        assert row.value is not None
        assert history.value is not None
        requests = {str(revision.number): revision.request_id for revision in history.value}
        return {"process": row.process, "revision": row.value.revision, "requests": requests}

    def _report(self, state: Path, spared: dict[str, Any]) -> dict[str, Any]:
        [folder] = {log.parent for log in state.glob("*/audit.jsonl")}
        files = [folder / "audit.jsonl", *(folder / f"audit.jsonl.{number}" for number in range(1, 101))]
        record = Record.read(file for file in files if file.exists())
        known = record.requests()
        back_s = [kill.back_s - kill.at_s for kill in self.kills if kill.what == "gateway"]
        untold = record.untold_revisions(spared["process"], spared["revision"])
        gateways = [growth_of(weights) for what, weights in self.weights.items() if what != "worker"]
        oldest: dict[str, float] = max(gateways, key=lambda one: one.get("over_s", 0.0), default={})
        return {
            "seconds": round(time.monotonic() - self.began_s),
            "kills": dict(collections.Counter(kill.what for kill in self.kills)),
            "back_s": [round(statistics.median(back_s), 2), round(max(back_s), 2)] if back_s else [],
            "outcomes": dict(sorted(self.outcomes.items())),
            "reasons": dict(self.reasons.most_common()),
            "unexplained": self.unexplained,
            "errors": self.errors,
            "served": self.served,
            "broken_and_asked_again": self.broken,
            "failed": self.failed,
            "audit": {"attempt": len(record.attempts), "outcome": len(record.outcomes), "unknown": record.unheard()},
            "torn": record.torn,
            "not_twice": record.not_twice,
            "unordered": record.unordered,
            "contradictions": record.contradictions(self.changes),
            "spared_revisions": spared["revision"],
            # A gateway that was killed had the answer and not yet the time to write it: then the attempt says UNKNOWN.
            "untold_revisions": untold if len(untold) > record.unheard() else [],
            "untold_requests": [number for number, one in spared["requests"].items() if one not in known],
            "worker_growth": growth_of(self.weights["worker"]),
            "gateway_growth": oldest,
        }


def faults(report: dict[str, Any]) -> list[str]:
    """What of a report must not be; empty where all is well."""
    found = [
        f"{what}: {report[what][:5] if isinstance(report[what], list) else report[what]}"
        for what in (
            *("unexplained", "errors", "failed", "not_twice", "unordered"),
            *("contradictions", "untold_revisions", "untold_requests"),
        )
        if report[what]
    ]
    if report["torn"] > report["kills"].get("gateway", 0):
        found.append(f"torn: {report['torn']}")
    if report["back_s"] and report["back_s"][1] > BACK_WITHIN_S:
        found.append(f"back_s: {report['back_s']}")
    most_kib = FLAT_KIB if report["seconds"] > WARM_AFTER_S else WARMING_KIB
    for what in ("worker_growth", "gateway_growth"):
        grown = report[what]
        if not grown and what == "gateway_growth" and report["seconds"] < WARM_AFTER_S:
            continue  # none of them lived long enough
        if not grown or grown["rss_kib"] > most_kib or grown["descriptors"] > 20 or grown["threads"] > 8:
            found.append(f"{what}: {grown}")
    return found


if __name__ == "__main__":
    outcome = Soak(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20).run()
    print(json.dumps(outcome, indent=1))
    wrong = faults(outcome)
    print(*(wrong or ["all is well"]), sep="\n")
    sys.exit(bool(wrong))
