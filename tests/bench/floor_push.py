"""The floor of a push: a process with a grpc.aio server that executes the source it is sent, as simply as can be."""

from __future__ import annotations

import asyncio
import json
import sys
import types

import grpc
import grpc.aio
from modctl.v1 import module_service_pb2


async def push(request: module_service_pb2.InjectModuleRequest, context: object) -> object:
    module = types.ModuleType(request.operation.name)
    exec(compile(request.operation.source, "<pushed>", "exec"), module.__dict__)
    sys.modules[request.operation.name] = module
    return module_service_pb2.InjectModuleResponse()


async def main() -> None:
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        push,
        request_deserializer=module_service_pb2.InjectModuleRequest.FromString,
        response_serializer=module_service_pb2.InjectModuleResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Floor", {"Push": handler}),))
    server.add_insecure_port(sys.argv[1])
    await server.start()
    sys.stdout.write(json.dumps({"address": sys.argv[1]}) + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


asyncio.run(main())
