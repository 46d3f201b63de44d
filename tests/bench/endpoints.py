"""Many gateways' endpoints in one process: each lists 3,000 entries, one in fifty has another version of one."""

from __future__ import annotations

import asyncio
import json
import sys

import grpc
import grpc.aio
from modctl.v1 import module_service_pb2, process_pb2

ENTRIES, BATCH = 3000, 500


def batches(version: int) -> list[bytes]:
    rows = [
        {
            "name": f"package_{n // 25:03}.module_{n:04}",
            "kind": "MODULE_KIND_SOURCE",
            "origin": f"/srv/app/lib/python3.11/site-packages/package_{n // 25:03}/module_{n:04}.py",
            "generation": 1,
            "digest": f"sha256:{(n * 7919 + (version if n == 17 else 0)):064x}",
            "state": "MODULE_STATE_CLEAN",
            "order": n,
        }
        for n in range(ENTRIES)
    ]
    return [
        module_service_pb2.ListModulesResponse(modules=rows[start : start + BATCH]).SerializeToString()
        for start in range(0, ENTRIES, BATCH)
    ]


async def main() -> None:
    place, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    usual, odd = batches(1), batches(2)
    servers = []
    for number in range(first, first + count):
        reference = process_pb2.ProcessRef(id=f"fleet/host-{number}/{number}@1763800000", service="fleet", pid=number)
        prefix = module_service_pb2.ListModulesResponse(process=reference).SerializeToString()
        answers = [prefix + batch for batch in (odd if number % 50 == 7 else usual)]

        async def list_modules(request: object, context: object, answers: list[bytes] = answers) -> object:
            for answer in answers:
                yield answer

        server = grpc.aio.server()
        handler = grpc.unary_stream_rpc_method_handler(list_modules)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("modctl.v1.ModuleService", {"ListModules": handler}),)
        )
        server.add_insecure_port(f"unix:{place}/{number}.sock")
        await server.start()
        servers.append(server)
    sys.stdout.write(json.dumps({"ready": count}) + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await asyncio.gather(*(server.stop(0) for server in servers))


asyncio.run(main())
