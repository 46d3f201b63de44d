"""What the service pays for having an agent in it."""

from __future__ import annotations

import re
import statistics
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from bench.listing import list_once, loaded_tree
from bench.yardstick import PYTHON, Figure, Program, workplace

if TYPE_CHECKING:
    from collections.abc import Iterator


def imported_us(statement: str) -> int:
    """Microseconds that the modules a statement imports take, summed over -X importtime's own times."""
    done = subprocess.run([PYTHON, "-X", "importtime", "-c", statement], capture_output=True, text=True, check=True)
    bare = subprocess.run([PYTHON, "-X", "importtime", "-c", "pass"], capture_output=True, text=True, check=True)

    def sum_us(text: str) -> int:
        return sum(int(own) for own in re.findall(r"import time:\s+(\d+) \|", text))

    return sum_us(done.stderr) - sum_us(bare.stderr)


def figures() -> Iterator[Figure]:
    """RSS, threads, imports, import time, idle CPU, requests under listings."""
    with workplace():
        added = []
        for _ in range(3):
            with Program("host.py", "--inside", "modctl", "--typical") as service:
                start = service.said()
                time.sleep(0.5)
                now = service.ask("rss")
                added.append((now["rss_kib"] - start["rss_kib_before"]) / 1024)
        yield Figure("RSS added to the service by agent.start()", statistics.median(added), 3, "MiB", "median of 3")
        threads = now["threads"] - start["threads_before"]
        yield Figure("threads added", threads, 1, "", "")
        yield Figure("third-party modules imported", len(start["third_party"]), 0, "", ", ".join(start["third_party"]))
        ours = statistics.median(imported_us("import modctl.agent") for _ in range(9))
        floor = statistics.median(imported_us("import socket, threading, json") for _ in range(9))
        yield Figure(
            "import modctl.agent / import socket, threading, json", ours / floor, 3, "x",
            f"{ours / 1000:.1f} ms / {floor / 1000:.1f} ms",
        )  # fmt: skip
    with workplace(), Program("host.py", "--inside", "modctl") as service:
        service.said()
        time.sleep(2)
        before = service.ask("cpu")["cpu_s"]
        time.sleep(20)
        spent = service.ask("cpu")["cpu_s"] - before
        yield Figure("idle CPU of the service in 20 s", spent / 20 * 100, 0.05, "%", f"{spent * 1000:.1f} ms")
    yield requests_under_listings()


def requests_under_listings() -> Figure:
    """p99 of the service's requests while 3,000 entries are listed 20 times a second, against no agent at all."""
    pairs = []
    with workplace() as place:
        tree = loaded_tree(place)
        with (
            Program("host.py", *tree, "--inside", "modctl") as ours,
            Program("host.py", *tree, "--inside", "nothing") as floor,
        ):
            address = ours.said()["addresses"][0]
            floor.said()
            list_once(address)
            done = threading.Event()
            asked: list[int] = []

            def ask() -> None:
                due = time.perf_counter()
                while not done.is_set():
                    asked.append(list_once(address))
                    due += 0.05
                    time.sleep(max(0.0, due - time.perf_counter()))

            for _ in range(5):
                without = floor.ask("loop 4")
                asked.clear()
                done.clear()
                asker = threading.Thread(target=ask)
                asker.start()
                with_agent = ours.ask("loop 4")
                done.set()
                asker.join()
                pairs.append((with_agent["p99"], without["p99"], len(asked) / 4, with_agent["p999"], without["p999"]))
    ratio = statistics.median(a / b for a, b, *_ in pairs)
    rate = statistics.median(pair[2] for pair in pairs)
    p99, floor_p99 = statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)
    p999, floor_p999 = statistics.median(p[3] for p in pairs), statistics.median(p[4] for p in pairs)
    return Figure(
        "request p99 under 20 listings/s of 3,000 / no agent", ratio, 1.5, "x",
        f"p99 {p99:.2f}/{floor_p99:.2f} ms, p99.9 {p999:.2f}/{floor_p999:.2f} ms, {rate:.0f} listings/s",
    )  # fmt: skip
