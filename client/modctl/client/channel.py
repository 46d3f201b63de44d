"""The only file that knows gRPC: bytes go out, bytes come in, failures become CallFailed.

Methods are called by their path, without generated stubs: those check the version of grpcio and would bind the client
to one. The channel options are the ones that measured best for fanning out to a thousand targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from modctl.client.credentials import TLS
    from modctl.client.targets import Target

#: Answers carry whole source files: more than gRPC's 4 MiB, and still bounded.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
#: Names the process or processes that a call is about.
PROCESS_KEY = "modctl-process"
#: Says that answers of several processes may come in one message.
TOGETHER_KEY = "modctl-together"
#: The ErrorDetail of a failed call.
ERROR_KEY = "modctl-error-bin"
#: gRPC says so of every attempt that never became a connection: nothing was sent then.
_NEVER_CONNECTED = (
    "failed to connect to all addresses",
    "errors resolving",
    "DNS resolution failed",
    "empty address list",
)


class CallFailed(Exception):  # noqa: N818 - an answer to pass on, not an error of ours
    """A call that did not end well.

    Args:
        code: the gRPC status code's name.
        details: gRPC's words.
        detail: the serialised ErrorDetail of the trailer; b"" where there is none.
    """

    def __init__(self, code: str, details: str, detail: bytes = b"") -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details
        self.detail = detail

    @property
    def sent(self) -> bool:
        """Whether the request may have reached the target."""
        return not any(words in self.details for words in _NEVER_CONNECTED)


@dataclass(frozen=True)
class Security:
    """How a target is dialled; made once for a fleet.

    Args:
        credentials: gRPC's channel credentials; None dials in plain text.
        token: the bearer token; None sends none.
        server_name: the name that the certificate must have; "" takes the host.
    """

    credentials: Any
    token: str | None
    server_name: str


def tls_credentials(tls: TLS) -> Any:
    """gRPC's credentials.

    Raises:
        CredentialsError: a file cannot be read, or does not hold what it should.
    """
    ca, key, cert = tls.read()
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)


class Channel:
    """One connection to one target. It connects with the first call.

    Args:
        target: what to dial.
        security: how.
        connect_timeout_s: bound on connecting, in seconds.
    """

    def __init__(self, target: Target, security: Security, connect_timeout_s: float) -> None:
        options: list[tuple[str, Any]] = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.enable_channelz", 0),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
            # The name is misleading: it is also how long one attempt to connect may take.
            ("grpc.min_reconnect_backoff_ms", max(100, int(connect_timeout_s * 1000))),
            # A gateway that dies is back in half a second: the next attempt is not to be put off.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
        ]
        if target.path:
            options.append(("grpc.default_authority", "localhost"))
        self._metadata: list[tuple[str, str]] = []
        if security.token is not None:
            self._metadata.append(("authorization", f"Bearer {security.token}"))
        if security.credentials is None:
            self._channel = grpc.aio.insecure_channel(target.address, options)
        else:
            server_name = security.server_name or target.server_name
            if server_name:
                options.append(("grpc.ssl_target_name_override", server_name))
            self._channel = grpc.aio.secure_channel(target.address, security.credentials, options)

    async def ask(self, method: str, request: bytes, timeout_s: float | None) -> bytes:
        """One answer.

        Raises:
            CallFailed: there is none.
        """
        try:
            answer: bytes = await self._channel.unary_unary(
                method, request_serializer=None, response_deserializer=None
            )(request, metadata=tuple(self._metadata), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _failed(error) from None
        return answer

    async def stream(
        self, method: str, request: bytes, process: str | None, timeout_s: float | None
    ) -> AsyncIterator[bytes]:
        """Answers as they come.

        Args:
            method: the full path: /modctl.v1.ModuleService/ListModules.
            request: the serialised request.
            process: what PROCESS_KEY says; None leaves it out.
            timeout_s: bound on the whole call, in seconds; None waits for ever.

        Raises:
            CallFailed: the call did not end well; answers may have come before.
        """
        metadata = [*self._metadata, (TOGETHER_KEY, "1")]
        if process is not None:
            metadata.append((PROCESS_KEY, process))
        call = self._channel.unary_stream(method, request_serializer=None, response_deserializer=None)(
            request, metadata=tuple(metadata), timeout=timeout_s
        )
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise _failed(error) from None
        finally:
            call.cancel()

    async def close(self) -> None:
        """Hangs up."""
        await self._channel.close(None)


def _failed(error: grpc.aio.AioRpcError) -> CallFailed:
    trailers: Any = error.trailing_metadata() or ()
    detail = next((value for key, value in trailers if key == ERROR_KEY), b"")
    return CallFailed(error.code().name, error.details() or "", detail if isinstance(detail, bytes) else b"")
