"""Addresses to listen on: host:port, [v6]:port, localhost:port."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final, NamedTuple

from modctl.gateway.errors import ListenError

_CURE: Final = "write host:port, as 127.0.0.1:50051 or [::1]:50051"


class Address(NamedTuple):
    """Where to listen.

    Attributes:
        host: a name or a literal, without brackets.
        port: 0 for any.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"


def address_of(spec: str) -> Address:
    """Takes a listen specification apart.

    Raises:
        ListenError: it is none.
    """
    host, colon, port = spec.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ListenError(repr(spec), "an IPv6 address needs brackets", _CURE)
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ListenError(repr(spec), "it is no address to listen on", _CURE)
    return Address(host, int(port))


def check_free(address: Address) -> None:
    """Tries to bind, which says why it cannot; grpc would write it to standard error and not say it.

    Raises:
        ListenError: it cannot be bound.
    """
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except OSError as error:
        raise ListenError(str(address), f"the host cannot be found ({error})", _CURE) from error
    for family, kind, protocol, _, place in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(place)
                probe.listen(1)
            except OSError as error:
                cure = "free the port, or choose another; it is tried again by itself"
                raise ListenError(str(address), error.strerror or str(error), cure) from error
