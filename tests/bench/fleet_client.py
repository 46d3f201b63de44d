"""Lists many endpoints once: folded as a terminal would show it, or only its bytes counted. Says what it cost."""

from __future__ import annotations

import asyncio
import io
import json
import resource
import sys
import time


async def bare(targets: list[str]) -> int:
    """The floor: the bytes of all answers, unread."""
    import grpc.aio

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
            call = channel.unary_stream("/modctl.v1.ModuleService/ListModules")
            total = 0
            async for answer in call(b"", metadata=(("modctl-process", "all"),), timeout=60):
                total += len(answer)
            return total

    return sum(await asyncio.gather(*(one(target) for target in targets)))


async def folded(targets: list[str]) -> int:
    """What `modctl list` does at a terminal."""
    from modctl.client import AsyncFleet, printers
    from modctl.client.printers.terminal import Output

    out = io.StringIO()
    async with AsyncFleet.connect(*targets) as connected:
        result = await connected.list()
    result.raise_for_failures()
    printers.show(printers.MODULE_LIST, result, Output(width=120, folding=True, out=out, err=out))
    return len(out.getvalue())


def main() -> None:
    way, place, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    import grpc.aio  # noqa: F401 - importing is not what is measured
    import modctl.client.fleet
    import modctl.client.printers.tables  # noqa: F401
    from modctl.v1 import module_service_pb2  # noqa: F401

    targets = [f"unix:{place}/{number}.sock" for number in range(count)]
    started = time.perf_counter()
    size = asyncio.run((folded if way == "folded" else bare)(targets))
    wall_s = time.perf_counter() - started
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({"size": size, "wall_s": wall_s, "rss_mib": peak_kib / 1024}) + "\n")


if __name__ == "__main__":
    main()
