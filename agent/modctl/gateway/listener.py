"""One address that is served: a grpc server of its own, so that every call is known to have come through it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
from modctl.gateway import doorkeeper, tls, tokens
from modctl.gateway.addresses import Address, address_of, check_free
from modctl.gateway.doorkeeper import Doorkeeper
from modctl.gateway.errors import CallFailure, ListenError
from modctl.gateway.policy.callers import Caller, Kind
from modctl.gateway.policy.files import PolicyFile
from modctl.gateway.policy.model import DEFAULT

if TYPE_CHECKING:
    from modctl.gateway.rpc import Endpoint

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
#: Over the gateway's own limit, which answers with a reason: this one only bounds what waits before that.
MAX_GRPC_CALLS: Final = 512
_COMMON: Final = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_concurrent_streams", 256),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Limits hold once the other side has acknowledged them; who does not is hung up on.
    ("grpc.http2.settings_timeout", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)
_TCP: Final = (
    ("grpc.max_connection_age_ms", 10 * 60_000),
    ("grpc.max_connection_age_grace_ms", 5 * 60_000),
    ("grpc.max_connection_idle_ms", 15 * 60_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)
STOP_S: Final = 0.5


class Listener:
    """A served address.

    Attributes:
        address: where it is served, with the port that it really has.
        port: that port; 0 where it is no TCP address, or not yet served.
        insecure: whether anybody who reaches the address is let in.
    """

    def __init__(self, bound: str, credentials: grpc.ServerCredentials | None, endpoint: Endpoint) -> None:
        self._bound = bound
        self._credentials = credentials
        self._endpoint = endpoint
        self._server: grpc.aio.Server | None = None
        self.address = ""
        self.port = 0
        self.insecure = False
        #: Connections at once, more are hung up on; 0 is no limit.
        self.max_connections = 0
        self._doorkeeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serves from now on.

        Raises:
            ListenError: the address cannot be bound.
        """
        options = _COMMON if self._bound.startswith("unix:") else (*_COMMON, *_TCP)
        if self.max_connections and not doorkeeper.is_needed():
            options = (*options, ("grpc.max_allowed_incoming_connections", self.max_connections))
        server = grpc.aio.server(options=options, maximum_concurrent_rpcs=MAX_GRPC_CALLS)
        server.add_generic_rpc_handlers(self._endpoint.handlers(self))
        self._endpoint.add_reflection(self, server)
        try:
            if self._credentials is None:
                port = server.add_insecure_port(self._bound)
            else:
                port = server.add_secure_port(self._bound, self._credentials)
        except RuntimeError as error:
            await server.stop(None)
            raise ListenError(self._bound, str(error), "free it, or choose another; it is tried again") from error
        if not port:
            await server.stop(None)
            raise ListenError(self._bound, "it cannot be bound", "free it, or choose another; it is tried again")
        self.address, self.port = self._named(port), port
        await server.start()
        self._server = server
        if self.max_connections and doorkeeper.is_needed():
            self._doorkeeper = asyncio.ensure_future(Doorkeeper(port, self.max_connections).keep())

    async def stop(self) -> None:
        """Serves no longer; calls in flight are cut after STOP_S."""
        if self._doorkeeper is not None:
            self._doorkeeper.cancel()
            self._doorkeeper = None
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(STOP_S)

    def caller(self, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
        """Who calls, and how that is known. Checked for each call.

        Raises:
            CallFailure: UNAUTHENTICATED.
        """
        identity = self.identify(context)
        return Caller(identity, self._kind, context.peer())

    def identify(self, context: grpc.aio.ServicerContext[Any, Any]) -> str:
        """Who calls.

        Raises:
            CallFailure: UNAUTHENTICATED.
        """
        raise NotImplementedError

    @property
    def _kind(self) -> Kind:
        raise NotImplementedError

    def reload(self) -> None:
        """Looks whether what it serves with has changed on disk. Blocks for a moment."""

    @property
    def warnings(self) -> list[str]:
        """What is not well with it, in words."""
        return []

    @property
    def reflects(self) -> bool:
        """Whether reflection may be offered: it has no way to ask for a token."""
        return False

    def _named(self, port: int) -> str:
        raise NotImplementedError


class LocalListener(Listener):
    """The instance's private unix socket: only this user can open it, so whoever calls is this user."""

    def __init__(self, place: str, bound: str, endpoint: Endpoint) -> None:
        super().__init__(f"unix:{bound}", None, endpoint)
        self._place = place

    def identify(self, context: grpc.aio.ServicerContext[Any, Any]) -> str:  # noqa: ARG002
        """This user."""
        return f"uid:{os.getuid()}"

    @property
    def _kind(self) -> Kind:
        return Kind.USER

    @property
    def reflects(self) -> bool:
        """It is this user's."""
        return True

    def _named(self, port: int) -> str:  # noqa: ARG002 - a unix socket has none
        return f"unix://{self._place}"


class NetworkListener(Listener):
    """A TCP address and what a caller must show there."""

    def __init__(
        self,
        address: Address,
        endpoint: Endpoint,
        certificates: tls.Certificates | None,
        tokens_wanted: tokens.TokenFile | None,
        *,
        client_certificates: bool,
    ) -> None:
        super().__init__(str(address), certificates.credentials() if certificates else None, endpoint)
        self._host = address.host
        self._certificates = certificates
        self._tokens = tokens_wanted
        self._client_certificates = client_certificates
        self.insecure = tokens_wanted is None and not client_certificates

    def identify(self, context: grpc.aio.ServicerContext[Any, Any]) -> str:
        """The token's name, or the certificate's; `anonymous` only where the owner said insecure."""
        identity = "anonymous"
        if self._client_certificates:
            found = tls.identity_of({key: list(values) for key, values in context.auth_context().items()})
            if found is None:
                raise CallFailure(
                    "UNAUTHENTICATED",
                    "CERTIFICATE_NAMELESS",
                    "the client's certificate has neither a URI, a DNS name nor a common name; issue one that has",
                )
            identity = found
        if self._tokens is not None:
            name = self._token_name(context)
            identity = identity if self._client_certificates else f"token:{name}"
        return identity

    @property
    def _kind(self) -> Kind:
        if self._client_certificates:
            return Kind.CERTIFICATE
        if self._tokens is not None:
            return Kind.OWN_TOKEN if self._tokens.private else Kind.TOKEN
        return Kind.ANONYMOUS

    def _token_name(self, context: grpc.aio.ServicerContext[Any, Any]) -> str:
        assert self._tokens is not None
        metadata = context.invocation_metadata() or ()
        given = tokens.bearer([str(value) for key, value in metadata if key == "authorization"])
        if given is None:
            raise CallFailure(
                "UNAUTHENTICATED",
                "TOKEN_MISSING",
                "this address needs a token, in the metadata `authorization: Bearer ...`; the CLI takes --token-file",
            )
        name = self._tokens.name_of(given)
        if name is None:
            raise CallFailure("UNAUTHENTICATED", "TOKEN_WRONG", "the token is not one that this gateway knows")
        return name

    def reload(self) -> None:
        """Takes new certificates; tokens are looked up for each call."""
        if self._certificates is not None:
            self._certificates.reload()

    @property
    def warnings(self) -> list[str]:
        """Insecurity, and certificates that could not be reloaded."""
        found = []
        if self.insecure:
            found.append(f"{self.address} lets in everybody who reaches it (insecure)")
        if self._certificates is not None and self._certificates.problem:
            found.append(self._certificates.problem)
        return found

    @property
    def reflects(self) -> bool:
        """Where certificates alone decide."""
        return self._client_certificates and self._tokens is None

    def _named(self, port: int) -> str:
        return str(Address(self._host, port))


class Demand:
    """What a hello asks for at one address.

    Args:
        spec: the address as the service wrote it.
        hello: the rest of what it asks for.

    Raises:
        ListenError: it cannot be understood.
    """

    def __init__(self, spec: str, hello: dict[str, Any]) -> None:
        self.spec = spec
        self.address = address_of(spec)
        self.files = tls.files_from(hello.get("tls"))
        self.token_file = str(hello.get("token_file") or "")
        self.insecure = hello.get("insecure") is True
        self.policy = str(hello.get("policy") or "")

    @property
    def terms(self) -> tuple[object, ...]:
        """Under which terms it is to be served: two services that share an address must agree."""
        return self.files, self.token_file, self.insecure

    def listener(self, endpoint: Endpoint, base: str) -> NetworkListener:
        """Opens nothing yet, but reads all files. Blocks.

        Args:
            endpoint: what is to be served.
            base: where the user's automatic token lies.

        Raises:
            ListenError: the address may not be served so, or a file cannot be used.
        """
        check_free(self.address)
        spec = str(self.address)
        client_certificates = self.files is not None and bool(self.files.client_ca)
        wanted: tokens.TokenFile | None = None
        if self.token_file:
            if self.files is None and not self.address.loopback and not self.insecure:
                raise ListenError(spec, "a token would be sent in the clear", "add TLS, or say insecure=True")
            wanted = tokens.TokenFile(self.token_file)
            try:
                wanted.load()
            except (OSError, ValueError) as error:
                raise ListenError(spec, f"its token file cannot be used ({error})", "see to the file") from error
        elif not client_certificates and not self.insecure:
            if not self.address.loopback:
                cure = "give TLS with client_ca, or TLS with token_file, or say insecure=True"
                raise ListenError(spec, "anybody on the network could change this service's code", cure)
            wanted = tokens.automatic(base)
        certificates = tls.Certificates(self.files, spec) if self.files else None
        listener = NetworkListener(
            self.address, endpoint, certificates, wanted, client_certificates=client_certificates
        )
        policy = PolicyFile(self.policy).look() if self.policy else DEFAULT
        listener.max_connections = policy.limits.connections
        return listener


async def open_demand(demand: Demand, endpoint: Endpoint, base: str) -> NetworkListener:
    """Serves what is asked for.

    Raises:
        ListenError: it cannot be served.
    """
    listener = await asyncio.get_running_loop().run_in_executor(None, demand.listener, endpoint, base)
    await listener.start()
    return listener
