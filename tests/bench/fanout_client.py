"""Lists many endpoints once, with modctl's SDK or a bare loop; says what it took."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time


async def bare(targets: list[str]) -> int:
    import grpc.aio
    from modctl.v1 import module_service_pb2, module_service_pb2_grpc

    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.enable_channelz", 0),
        ("grpc.enable_http_proxy", 0),
    ]
    in_flight = asyncio.Semaphore(64)

    async def one(target: str) -> int:
        async with in_flight, grpc.aio.insecure_channel(target, options=options) as channel:
            stub = module_service_pb2_grpc.ModuleServiceStub(channel)
            total = 0
            async for answer in stub.ListModules(
                module_service_pb2.ListModulesRequest(), metadata=(("modctl-process", "all"),), timeout=60
            ):
                total += len(answer.modules)
            return total

    return sum(await asyncio.gather(*(one(target) for target in targets)))


async def fleet(targets: list[str]) -> int:
    from modctl.client import AsyncFleet

    async with AsyncFleet.connect(*targets) as connected:
        result = await connected.list()
        result.raise_for_failures()
        return sum(len(modules) for _, modules in result)


def main() -> None:
    way, place, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if way == "fleet":
        import modctl.client  # noqa: F401
    import grpc.aio  # noqa: F401 - importing is not what is measured
    from modctl.v1 import module_service_pb2_grpc  # noqa: F401

    targets = [f"unix:{place}/{number}.sock" for number in range(count)]
    started = time.perf_counter()
    entries = asyncio.run((fleet if way == "fleet" else bare)(targets))
    wall_s = time.perf_counter() - started
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({"entries": entries, "wall_s": wall_s, "rss_mib": peak_kib / 1024}) + "\n")


if __name__ == "__main__":
    main()
