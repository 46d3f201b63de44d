"""What it costs to bring one changed module to a hundred processes of a host."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from bench.yardstick import Figure, Program, in_turn, workplace

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESSES = 100


def changed_source(number: int) -> bytes:
    """A module of 20 functions and 3 classes; each number is another version."""
    functions = "\n\n".join(
        f"def function_{n}(first, second={n}):\n"
        f"    '''Says what {n} makes of it.'''\n"
        f"    total = first * {number} + second\n"
        f"    for step in range({n}):\n        total += step if step % 2 else -step\n    return total"
        for n in range(20)
    )
    classes = "\n\n".join(
        f"class Class{n}:\n    '''The {n}th.'''\n\n    limit = {number}\n\n"
        f"    def __init__(self, value):\n        self.value = value\n\n"
        f"    def twice(self):\n        return self.value * 2 + self.limit\n"
        for n in range(3)
    )
    return f"'''Version {number}.'''\n\nVERSION = {number}\n\n{functions}\n\n{classes}\n".encode()


async def push_bare(addresses: list[str], source: bytes) -> None:
    """The floor: one call to each process that carries the source."""
    import grpc.aio
    from modctl.v1 import change_pb2, module_service_pb2

    in_flight = asyncio.Semaphore(64)
    request = module_service_pb2.InjectModuleRequest(
        operation=change_pb2.InjectOperation(name="pushed", source=source, replace=True)
    )

    async def one(address: str) -> None:
        async with in_flight, grpc.aio.insecure_channel(address) as channel:
            call = channel.unary_unary(
                "/bench.Floor/Push",
                request_serializer=module_service_pb2.InjectModuleRequest.SerializeToString,
                response_deserializer=module_service_pb2.InjectModuleResponse.FromString,
            )
            await call(request, timeout=60)

    await asyncio.gather(*(one(address) for address in addresses))


def figures() -> Iterator[Figure]:
    """Pushes of ever new versions, in turn with the floor."""
    from modctl.client import Fleet

    with workplace() as place:
        ours = [Program("host.py", "--inside", "modctl", "--service", "push") for _ in range(PROCESSES)]
        floor = [Program("floor_push.py", f"unix:{place}/{n}.sock") for n in range(PROCESSES)]
        try:
            answers = [program.said() for program in ours]
            address = answers[0]["addresses"][0]
            addresses = [program.said()["address"] for program in floor]
            version = 0

            def push() -> float:
                nonlocal version
                version += 1
                started = time.perf_counter()
                with Fleet.connect(address) as fleet:
                    result = fleet.inject("pushed", source=changed_source(version), replace=True)
                    result.raise_for_failures()
                    if len(result) != PROCESSES:
                        raise RuntimeError(f"{len(result)} of {PROCESSES} processes answered")
                return (time.perf_counter() - started) * 1000

            def push_floor() -> float:
                nonlocal version
                version += 1
                started = time.perf_counter()
                asyncio.run(push_bare(addresses, changed_source(version)))
                return (time.perf_counter() - started) * 1000

            push(), push_floor()
            mine, theirs, ratio = in_turn(push, push_floor, 7)
            yield Figure(
                "push to 100 processes / 100 bare grpc.aio calls", ratio, 0.6, "x", f"{mine:.0f} ms / {theirs:.0f} ms"
            )
        finally:
            for program in (*ours, *floor):
                program.close()
