"""The shield in frameworks that have units of work of their own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support.engine_world import World

if TYPE_CHECKING:
    from pathlib import Path

GRPC = """
from concurrent import futures
import asyncio, grpc
from modctl.agent import shielding
from modctl.agent.integrations.grpc import aio_interceptor, interceptor

seen = []
def one(request, context):
    seen.append([holder.what for holder in shielding.holders()])
    return request
def many(request, context):
    seen.append(len(shielding._held))
    yield request
def fails(request, context):
    seen.append(len(shielding._held))
    context.abort(grpc.StatusCode.NOT_FOUND, "no")
def handlers(one, many, fails):
    return grpc.method_handlers_generic_handler("t.T", {
        "One": grpc.unary_unary_rpc_method_handler(one),
        "Many": grpc.unary_stream_rpc_method_handler(many),
        "Fails": grpc.unary_unary_rpc_method_handler(fails),
    })
def serve(streams):
    server = grpc.server(futures.ThreadPoolExecutor(2), interceptors=[interceptor(streams=streams)])
    server.add_generic_rpc_handlers((handlers(one, many, fails),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port
def call(port):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert channel.unary_unary("/t.T/One")(b"x", timeout=5) == b"x"
        assert list(channel.unary_stream("/t.T/Many")(b"y", timeout=5)) == [b"y"]
        for method in ("Fails", "Nobody"):
            try:
                channel.unary_unary(f"/t.T/{method}")(b"x", timeout=5)
            except grpc.RpcError as error:
                assert error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED)
for streams in (False, True):
    server, port = serve(streams)
    call(port)
    server.stop(None).wait()
    assert seen == [["/t.T/One"], int(streams), 1], seen
    seen.clear()
async def aio():
    async def aone(request, context):
        return one(request, context)
    async def amany(request, context):
        for each in many(request, context):
            yield each
    async def afails(request, context):
        seen.append(len(shielding._held))
        await context.abort(grpc.StatusCode.NOT_FOUND, "no")
    server = grpc.aio.server(interceptors=[aio_interceptor()])
    server.add_generic_rpc_handlers((handlers(aone, amany, afails),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await asyncio.to_thread(call, port)
    await server.stop(None)
asyncio.run(aio())
assert seen == [["/t.T/One"], 0, 1], seen
assert not shielding._held
"""
CELERY = """
from celery import Celery
from modctl.agent import shielding
from modctl.agent.integrations.celery import shield_tasks

app = Celery("t", broker="memory://", backend="cache+memory://")
app.conf.task_always_eager = True
app.conf.task_eager_propagates = False
seen = []
@app.task(name="one")
def one():
    seen.append([holder.what for holder in shielding.holders()])
@app.task(name="fails")
def fails():
    one.apply()
    1 / 0
shield_tasks()
shield_tasks()
one.delay()
fails.delay()
assert seen == [["task one"], ["task fails", "task one"]], seen
assert not shielding._held
"""


@pytest.mark.parametrize(("package", "code"), [("grpc", GRPC), ("celery", CELERY)])
def test_each_call_and_each_task_is_a_unit_of_work(package: str, code: str, tmp_path: Path) -> None:
    pytest.importorskip(package)
    World(tmp_path, sys.executable).run(code)
