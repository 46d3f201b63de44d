"""What a fleet costs its operator: many endpoints listed and folded, a hundred processes changed, a wave, `dev`."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench.pushing import changed_source
from bench.yardstick import Figure, Program, in_turn, workplace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Smaller machines can take smaller numbers; the promises are about these.
ENDPOINTS = int(os.environ.get("MODCTL_BENCH_ENDPOINTS", "1000"))
MANY_ENDPOINTS = int(os.environ.get("MODCTL_BENCH_MANY_ENDPOINTS", "5000"))
PROCESSES = int(os.environ.get("MODCTL_BENCH_PROCESSES", "100"))
WAVE = PROCESSES // 2
SERVERS = 8
SAVES = 15


def figures() -> Iterator[Figure]:
    """Each part starts and ends what it needs."""
    yield from _listing()
    yield from _many_endpoints()
    yield from _processes()
    yield from _dev()


def _endpoints(place: Path, count: int) -> list[Program]:
    share = count // SERVERS
    servers = [Program("endpoints.py", str(place), str(n * share), str(share)) for n in range(SERVERS)]
    for server in servers:
        server.said()
    return servers


def _listing() -> Iterator[Figure]:
    with workplace() as place:
        servers = _endpoints(place, ENDPOINTS)
        try:

            def client(way: str) -> float:
                with Program("fleet_client.py", way, str(place), str(ENDPOINTS)) as program:
                    return float(program.said()["wall_s"])

            ours, floor, ratio = in_turn(lambda: client("folded"), lambda: client("bare"), 5)
            yield Figure(
                f"list of {ENDPOINTS:,} endpoints, folded / bare loop counting bytes",
                ratio,
                1.3,
                "x",
                f"{ours:.2f} s / {floor:.2f} s",
            )
        finally:
            for server in servers:
                server.close()


def _many_endpoints() -> Iterator[Figure]:
    with workplace() as place:
        servers = _endpoints(place, MANY_ENDPOINTS)
        try:
            with Program("fleet_client.py", "folded", str(place), str(MANY_ENDPOINTS)) as program:
                said = program.said()
            yield Figure(
                f"client's peak RSS, {MANY_ENDPOINTS:,} endpoints",
                said["rss_mib"],
                250,
                "MiB",
                f"{said['wall_s']:.1f} s",
            )
        finally:
            for server in servers:
                server.close()


async def _echo(addresses: list[str]) -> None:
    """The floor: each process asked after the other, as a loop over hosts does it."""
    import grpc.aio
    from modctl.v1 import module_service_pb2

    request = module_service_pb2.InjectModuleRequest()
    for address in addresses:
        async with grpc.aio.insecure_channel(address) as channel:
            call = channel.unary_unary(
                "/bench.Floor/Push",
                request_serializer=module_service_pb2.InjectModuleRequest.SerializeToString,
                response_deserializer=module_service_pb2.InjectModuleResponse.FromString,
            )
            await call(request, timeout=60)


def _processes() -> Iterator[Figure]:
    with workplace() as place:
        ours = [Program("host.py", "--inside", "modctl", "--service", "push") for _ in range(PROCESSES)]
        floor = [Program("floor_push.py", f"unix:{place}/{n}.sock") for n in range(PROCESSES)]
        try:
            address = [program.said() for program in ours][-1]["addresses"][0]
            addresses = [program.said()["address"] for program in floor]
            yield from _reload(address, addresses)
            yield from _wave(address)
        finally:
            for program in (*ours, *floor):
                program.close()


def _reload(address: str, addresses: list[str]) -> Iterator[Figure]:
    from modctl.client import Fleet, Reimport

    version = 0
    mode = "patch"

    def source() -> bytes:
        nonlocal version
        version += 1
        return changed_source(version)

    with Fleet.connect(address, timeout_s=60) as fleet:
        fleet.inject("pushed", source=source(), replace=True).raise_for_failures()
        if fleet.apply([Reimport("pushed", mode, source=source())]).failed:
            mode = "fresh"  # where live objects cannot be changed, fresh ones are the measure

        def reload() -> float:
            new = source()
            started = time.perf_counter()
            result = fleet.apply([Reimport("pushed", mode, source=new)])
            result.raise_for_failures()
            if len(result) != PROCESSES:
                raise RuntimeError(f"{len(result)} of {PROCESSES} processes answered")
            return (time.perf_counter() - started) * 1000

        def echo() -> float:
            started = time.perf_counter()
            asyncio.run(_echo(addresses))
            return (time.perf_counter() - started) * 1000

        reload(), echo()
        mine, theirs, ratio = in_turn(reload, echo, 7)
    yield Figure(
        f"reload ({mode}) of a module in {PROCESSES} processes / sequential echoes",
        ratio,
        1.0,
        "x",
        f"{mine:.0f} ms / {theirs:.0f} ms",
    )


def _wave(address: str) -> Iterator[Figure]:
    spreads, commits = asyncio.run(_waves(address))
    yield Figure(
        f"two-phase wave of {WAVE} processes: first to last switched",
        statistics.median(spreads),
        50,
        "ms",
        f"commit call {statistics.median(commits):.0f} ms",
    )


async def _waves(address: str) -> tuple[list[float], list[float]]:
    from modctl.client import AsyncFleet, Inject
    from modctl.client.rollout.fleet_port import LiveFleet
    from modctl.client.rollout.spec import RolloutSpec

    spreads: list[float] = []
    commits: list[float] = []
    async with AsyncFleet.connect(address, timeout_s=60) as fleet:
        for number in range(7):
            change = Inject("pushed", source=changed_source(1000 + number), replace=True)
            port = LiveFleet(fleet, [change], RolloutSpec(execution_timeout_s=60))
            there = (await port.survey()).processes
            wave = [(each.target, each.process) for each in there[:WAVE]]
            prepared = await port.prepare(wave, f"bench.{number}", 60)
            if {answer.outcome for answer in prepared} != {"PREPARED"}:
                raise RuntimeError(prepared[0])
            started = time.perf_counter()
            answers = await port.commit(wave, f"bench.{number}")
            commits.append((time.perf_counter() - started) * 1000)
            moments = [answer.switched_at_unix_s for answer in answers if answer.outcome == "APPLIED"]
            if len(moments) != WAVE:
                raise RuntimeError(f"{len(moments)} of {WAVE} processes switched")
            spreads.append((max(moments) - min(moments)) * 1000)
    return spreads, commits


def _dev() -> Iterator[Figure]:
    with workplace() as place:
        sources = place / "src"
        sources.mkdir()
        file = sources / "watched.py"
        file.write_text("VERSION = 0\n")
        with Program("dev_host.py", str(sources)) as host:
            host.said()
            command = [sys.executable, "-m", "modctl.client", "dev", str(sources), "--all"]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as dev:
                try:
                    assert dev.stderr is not None
                    while "watching" not in dev.stderr.readline():
                        pass
                    time.sleep(0.5)
                    took_ms = []
                    for version in range(1, SAVES + 1):
                        saved_at_unix_s = time.time()
                        file.write_text(f"VERSION = {version}\n")
                        said = host.said()
                        if said["version"] != version:
                            raise RuntimeError(f"version {said['version']} came, not {version}")
                        took_ms.append((said["at_unix_s"] - saved_at_unix_s) * 1000)
                        time.sleep(0.2)
                finally:
                    dev.terminate()
            yield Figure(
                "dev: file saved to new code live, median",
                statistics.median(took_ms),
                150,
                "ms",
                f"worst {max(took_ms):.0f} ms",
            )
