"""What reloads cost the requests of a shielded server: p99 with and without, at full request rate, in turn.

200 reloads of two modules between two versions, `PER_S` a second, as a team that saves files all day would hardly make
them: stretches with reloads and stretches without take turns, so that both see the same machine. Reloads without a
pause between them are tests/e2e/test_shielded_load.py: no request fails and none is mixed then either, but a server
that is reloaded a hundred times a second does little else, and is no measure.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

from support.loaded import HOSTS, MODULE, is_installed, serving

from bench.yardstick import HERE, PYTHON, Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

RELOADS = int(os.environ.get("MODCTL_BENCH_RELOADS", "200"))
PER_S = float(os.environ.get("MODCTL_BENCH_RELOADS_PER_S", "4"))
STRETCH_S = 5.0
CLIENTS = 4
BOUND = 1.5


def figures() -> Iterator[Figure]:
    """One for each kind of server that is installed."""
    for host, (app, command, workers) in HOSTS.items():
        if is_installed(command):
            yield _figure(host, app, command, workers)


def _figure(host: str, app: str, command: list[str], workers: int) -> Figure:
    folder = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp"))
    state_dir = folder / "state"
    state_dir.mkdir(mode=0o700)
    os.environ["MODCTL_STATE_DIR"] = str(state_dir)
    try:
        with serving(app, command, workers, folder, state_dir) as port:
            return _measured(host, port, folder, workers)
    finally:
        del os.environ["MODCTL_STATE_DIR"]
        shutil.rmtree(folder, ignore_errors=True)


def _measured(host: str, port: int, folder: Path, workers: int) -> Figure:
    from modctl.client import Fleet
    from modctl.client.operations import Reimport

    stretches = max(1, round(RELOADS / PER_S / STRETCH_S))
    start_s = time.time() + 2.0
    end_s = start_s + (2 * stretches + 1) * STRETCH_S
    clients = [
        subprocess.Popen(
            [PYTHON, str(HERE / "shield_load.py"), str(port), str(folder / f"load{number}"), str(end_s)],
            stdout=subprocess.PIPE,
        )
        for number in range(CLIENTS)
    ]
    closed_ms: list[float] = []
    made = 0
    spans: list[tuple[float, float]] = []
    with Fleet.connect() as fleet:
        fleet.list("one")
        for stretch in range(stretches):
            began_s = start_s + (2 * stretch + 1) * STRETCH_S
            for number in range(round(STRETCH_S * PER_S)):
                time.sleep(max(0.0, began_s + number / PER_S - time.time()))
                made += 1
                source = MODULE.format(made % 2 + 1)
                result = fleet.apply([Reimport(name, "patch", source=source) for name in ("one", "two")])
                if {row.outcome for row in result.rows} != {"APPLIED"} or len(result.rows) != workers:
                    raise RuntimeError([(row.outcome, row.why) for row in result.rows])
                closed_ms += [getattr(row, "shield_wait_ms", 0.0) or 0.0 for row in result.rows]
            spans.append((began_s, began_s + STRETCH_S))
    told = [json.loads(client.communicate(timeout=120)[0]) for client in clients]
    failed = sum(each["failed"] for each in told)
    answers = {answer for each in told for answer in each["answers"]}
    if failed or not answers <= {"0", "1", "2"}:
        raise RuntimeError(f"{host}: {failed} failed, {[each['failures'] for each in told]}, answered {answers}")
    quiet, busy = _by_stretch(folder, start_s, end_s, spans)
    without_ms, with_ms = _p99_ms(quiet), _p99_ms(busy)
    detail = (
        f"{without_ms:.2f} → {with_ms:.2f} ms, {made} reloads, {len(quiet) + len(busy)} requests, none failed or mixed;"
        f" median {_at(quiet, 0.5):.2f} → {_at(busy, 0.5):.2f} ms, longest {quiet[-1] * 1e3:.0f} → {busy[-1] * 1e3:.0f}"
    )
    return Figure(f"{host}: p99 with {PER_S:g} reloads a second / without", with_ms / without_ms, BOUND, "x", detail)


def _by_stretch(
    folder: Path, start_s: float, end_s: float, spans: list[tuple[float, float]]
) -> tuple[list[float], list[float]]:
    """How long requests took, sorted: those of the stretches without reloads, and with."""
    quiet: list[float] = []
    busy: list[float] = []
    for file in folder.glob("load*"):
        pairs = array("d")
        pairs.frombytes(file.read_bytes())
        for at_s, took_s in zip(pairs[::2], pairs[1::2], strict=True):
            if start_s <= at_s < end_s:
                (busy if any(low <= at_s < high for low, high in spans) else quiet).append(took_s)
    return sorted(quiet), sorted(busy)


def _at(sorted_s: list[float], share: float) -> float:
    return sorted_s[int(len(sorted_s) * share)] * 1e3


def _p99_ms(sorted_s: list[float]) -> float:
    return _at(sorted_s, 0.99)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    for each in figures():
        print(each.line(), flush=True)
