"""What a listing costs through agent and gateway, against gRPC inside the service."""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING

from bench.yardstick import Figure, Program, in_turn, synthetic_tree, workplace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENTRIES = 3000
_channels: dict[str, object] = {}


def loaded_tree(place: Path) -> tuple[str, ...]:
    """Writes 3,000 modules once; returns the host's arguments to load them."""
    root = place / "tree"
    if not root.exists():
        names = synthetic_tree(root, ENTRIES)
        (root / "names.json").write_text(json.dumps(names))
    return ("--tree", str(root), "--modules", str(ENTRIES))


def list_once(address: str, process: str = "all") -> int:
    """Lists everything and parses it; returns how many entries came."""
    import grpc
    from modctl.v1 import module_service_pb2, module_service_pb2_grpc

    stub = _channels.get(address)
    if stub is None:
        channel = grpc.insecure_channel(address)
        stub = _channels[address] = module_service_pb2_grpc.ModuleServiceStub(channel)
    total = 0
    for answer in stub.ListModules(  # type: ignore[attr-defined]
        module_service_pb2.ListModulesRequest(), metadata=(("modctl-process", process),), timeout=60
    ):
        if answer.error.reason:
            raise RuntimeError(f"{answer.process.id}: {answer.error.message}")
        total += len(answer.modules)
    return total


def timed(address: str, count: int = 5) -> float:
    """Milliseconds of one listing, median of some in a row."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        if list_once(address) < ENTRIES:
            raise RuntimeError("a listing was short")
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def figures() -> Iterator[Figure]:
    """One worker, then eight behind one gateway."""
    with workplace() as place:
        tree = loaded_tree(place)
        with (
            Program("host.py", *tree, "--inside", "modctl") as ours,
            Program("host.py", *tree, "--inside", "grpc", "--address", f"unix:{place}/bare.sock") as bare,
        ):
            address, floor = ours.said()["addresses"][0], bare.said()["addresses"][0]
            time.sleep(2)  # in its first second the agent looks at the files of what was loaded before it
            timed(address), timed(floor)
            mine, theirs, ratio = in_turn(lambda: timed(address), lambda: timed(floor), 15)
            yield Figure(
                "listing 3,000 entries / bare gRPC in the service", ratio, 1.5, "x", f"{mine:.1f} ms / {theirs:.1f} ms"
            )
    with workplace() as place:
        tree = loaded_tree(place)
        one = Program("host.py", *tree, "--inside", "modctl", "--service", "one")
        eight = [Program("host.py", *tree, "--inside", "modctl", "--service", "eight") for _ in range(8)]
        try:
            address = one.said()["addresses"][0]
            answers = [worker.said() for worker in eight]
            address_of_eight = answers[0]["addresses"][0]
            time.sleep(1)
            if list_once(address_of_eight) < 8 * ENTRIES:
                raise RuntimeError("not all eight workers answered")
            timed(address), timed(address_of_eight)
            mine, theirs, ratio = in_turn(lambda: timed(address_of_eight), lambda: timed(address), 9)
            yield Figure("the same from 8 workers / from one", ratio, 4, "x", f"{mine:.1f} ms / {theirs:.1f} ms")
        finally:
            for program in (one, *eight):
                program.close()
