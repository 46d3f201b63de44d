"""Network addresses to listen on: host:port, taken apart and judged. No name is looked up."""

from __future__ import annotations

import _socket
from typing import TYPE_CHECKING

from modctl.agent.errors import ConfigurationError
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_CURE = "Write HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051."


class Address(NamedTuple):
    """One address. `spec` is host:port, an IPv6 host in brackets."""

    spec: str
    host: str
    port: int
    #: Whether only this machine can reach it. A host name other than localhost counts as reachable by others.
    loopback: bool


def parse_listen(value: str | Iterable[str] | None) -> list[Address]:
    """The addresses of one text with commas or of several, without duplicates.

    Raises:
        ConfigurationError: one of them is no address.
    """
    if value is None:
        return []
    specs = value.split(",") if isinstance(value, str) else list(value)
    addresses = [parse_address(spec) for spec in specs]
    return list(dict.fromkeys(addresses))


def parse_address(spec: str) -> Address:
    """One address, taken apart.

    Raises:
        ConfigurationError: it is none.
    """
    if not isinstance(spec, str):
        raise ConfigurationError("listen", spec, "an address is text", _CURE)
    text = spec.strip()
    if text.startswith("unix:"):
        raise ConfigurationError(
            "listen", spec, "the private unix socket is always there", "Leave it out, or set state_dir to move it."
        )
    host, colon, digits = text.rpartition(":")
    if not colon or not host:
        raise ConfigurationError("listen", spec, "it needs a host and a port", _CURE)
    if not (digits.isascii() and digits.isdigit() and int(digits) <= 65535):
        raise ConfigurationError("listen", spec, "the port is no number from 0 to 65535", _CURE)
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if (":" in host) != bracketed or (bracketed and _packed(_socket.AF_INET6, host) is None):
        raise ConfigurationError("listen", spec, "an IPv6 host stands in brackets", _CURE)
    if not bracketed and not _is_host(host):
        raise ConfigurationError("listen", spec, "the host is neither an address nor a name", _CURE)
    port = int(digits)
    return Address(f"[{host}]:{port}" if bracketed else f"{host}:{port}", host, port, _is_loopback(host))


def _is_host(host: str) -> bool:
    if _packed(_socket.AF_INET, host) is not None:
        return True
    labels = host.rstrip(".").split(".")
    if labels[-1].isdigit():  # 300.1.1.1 and 127.1 are mistakes, not names
        return False
    return len(host) <= 253 and all(
        0 < len(label) <= 63 and label.isascii() and label.replace("-", "a").replace("_", "a").isalnum()
        for label in labels
    )


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    packed = _packed(_socket.AF_INET, host)
    if packed is not None:
        return packed[0] == 127
    packed = _packed(_socket.AF_INET6, host)
    if packed is None:
        return False
    if packed[:12] == b"\0" * 10 + b"\xff\xff":
        return packed[12] == 127
    return packed == b"\0" * 15 + b"\1"


def _packed(family: int, host: str) -> bytes | None:
    try:
        return _socket.inet_pton(family, host)
    except (OSError, ValueError):  # ValueError: an embedded NUL
        return None
