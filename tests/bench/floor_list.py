"""The floor of `modctl list`: the same call with bare grpc.aio, printed one line an entry."""

from __future__ import annotations

import asyncio
import sys

import grpc.aio
from modctl.v1 import module_service_pb2, module_service_pb2_grpc


async def main() -> None:
    lines = []
    async with grpc.aio.insecure_channel(sys.argv[1]) as channel:
        stub = module_service_pb2_grpc.ModuleServiceStub(channel)
        call = stub.ListModules(
            module_service_pb2.ListModulesRequest(patterns=sys.argv[2:]), metadata=(("modctl-process", "all"),)
        )
        async for answer in call:
            for row in answer.modules:
                lines.append(f"{row.name} {row.kind} {row.origin} {row.generation} {row.digest} {row.state}")
    sys.stdout.write("\n".join(lines) + "\n")


asyncio.run(main())
