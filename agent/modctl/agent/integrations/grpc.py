"""gRPC servers: every call as one unit of work.

    server = grpc.server(pool, interceptors=[modctl.agent.integrations.grpc.interceptor()])
    server = grpc.aio.server(interceptors=[modctl.agent.integrations.grpc.aio_interceptor()])

Calls that stream either way may last for days; of these none is shielded unless `streams=True`, then each as a whole.
"""

from __future__ import annotations

from typing import Any

from modctl.agent.shielding import Shield


def interceptor(*, streams: bool = False) -> Any:
    """A grpc.ServerInterceptor.

    Raises:
        ImportError: there is no grpcio.
    """
    grpc = __import__("grpc")

    class ShieldInterceptor(grpc.ServerInterceptor):  # type: ignore[misc,name-defined]  # imported late, so an Any
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            return _wrapped(grpc, continuation(details), details.method, _around, _around_stream, streams)

    return ShieldInterceptor()


def aio_interceptor(*, streams: bool = False) -> Any:
    """A grpc.aio.ServerInterceptor.

    Raises:
        ImportError: there is no grpcio.
    """
    grpc = __import__("grpc.aio", fromlist=["aio"])

    class ShieldInterceptor(grpc.ServerInterceptor):  # type: ignore[misc,name-defined]  # imported late, so an Any
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = await continuation(details)
            return _wrapped(__import__("grpc"), handler, details.method, _aio_around, _aio_around_stream, streams)

    return ShieldInterceptor()


def _wrapped(grpc: Any, handler: Any, method: str, around: Any, around_stream: Any, streams: bool) -> Any:
    if handler is None:
        return None  # nobody serves this method
    kinds = (
        ("unary_unary", grpc.unary_unary_rpc_method_handler, around),
        ("unary_stream", grpc.unary_stream_rpc_method_handler, around_stream),
        ("stream_unary", grpc.stream_unary_rpc_method_handler, around),
        ("stream_stream", grpc.stream_stream_rpc_method_handler, around_stream),
    )
    for kind, make, wrap in kinds:
        behaviour = getattr(handler, kind, None)
        if behaviour is not None and (streams or kind == "unary_unary"):
            return make(
                wrap(behaviour, method),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
    return handler


def _around(behaviour: Any, method: str) -> Any:
    def shielded(request: Any, context: Any) -> Any:
        with Shield(method):
            return behaviour(request, context)

    return shielded


def _around_stream(behaviour: Any, method: str) -> Any:
    def shielded(request: Any, context: Any) -> Any:
        with Shield(method):
            yield from behaviour(request, context)

    return shielded


def _aio_around(behaviour: Any, method: str) -> Any:
    async def shielded(request: Any, context: Any) -> Any:
        async with Shield(method):
            return await behaviour(request, context)

    return shielded


def _aio_around_stream(behaviour: Any, method: str) -> Any:
    async def shielded(request: Any, context: Any) -> Any:
        async with Shield(method):
            async for response in behaviour(request, context):
                yield response

    return shielded
