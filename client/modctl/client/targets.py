"""What operators name: addresses, lists and ranges of them.

    svc:50051   svc   10.0.0.7:50051   [::1]:50051   unix:///run/modctl/shop/gateway.sock   /run/x.sock
    svc[01-50]:50051   svc[01-10,15]-[a,b]:50051   a:1,b:2

The range syntax is that of clush and pdsh: leading zeros keep their width. A bracket that holds an IPv6 address is one.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modctl.client.errors import TargetSyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Where an agent listens unless told otherwise.
DEFAULT_PORT = 50051
#: More targets than this from one word are a slip of the pen.
MAX_EXPANSION = 100_000

_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


@dataclass(frozen=True)
class Target:
    """One address to dial.

    Args:
        label: as the operator names it; the `target` of every result.
        host: a name or literal address; "" for a unix socket.
        port: 0 for a unix socket.
        path: of the unix socket, absolute; "" for TCP.
        server_name: the name that the certificate must have, where that is not `host`.
        discovered: found by looking around, not named: silence of it is no failure.
    """

    label: str
    host: str = ""
    port: int = 0
    path: str = ""
    server_name: str = ""
    discovered: bool = False

    @property
    def address(self) -> str:
        """What is dialled, in gRPC's own syntax."""
        if self.path:
            return f"unix:{self.path}"
        if ":" in self.host:
            return f"ipv6:[{self.host}]:{self.port}"
        if is_ipv4(self.host):
            return f"ipv4:{self.host}:{self.port}"
        return f"dns:///{self.host}:{self.port}"

    @property
    def is_name(self) -> bool:
        """Whether the host has to be looked up."""
        return bool(self.host) and ":" not in self.host and not is_ipv4(self.host)

    @property
    def is_loopback(self) -> bool:
        """Whether it stays on this machine, by its name."""
        return bool(self.path) or self.host in ("localhost", "::1") or (is_ipv4(self.host) and self.host[:4] == "127.")


def is_ipv4(host: str) -> bool:
    """Whether it is a literal IPv4 address."""
    parts = host.split(".")
    return len(parts) == 4 and all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts)


def is_ipv6(host: str) -> bool:
    """Whether it is a literal IPv6 address, without brackets; a zone (fe80::1%eth0) is allowed."""
    import socket

    try:
        socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except (OSError, ValueError):
        return False
    return True


def parse_targets(words: Iterable[str]) -> list[Target]:
    """Every target named by the words, each address once, in order.

    Raises:
        TargetSyntaxError: a word is no address.
    """
    found: dict[tuple[str, int, str], Target] = {}
    for word in words:
        for part in split_list(word):
            for text in expand_ranges(part):
                target = parse_target(text)
                found.setdefault((target.host, target.port, target.path), target)
    return list(found.values())


def parse_target(text: str) -> Target:
    """One address without ranges.

    Raises:
        TargetSyntaxError: it is none.
    """
    if text.startswith(("unix:", "/")):
        return _parse_unix(text)
    if "://" in text:
        scheme = text.partition("://")[0]
        raise TargetSyntaxError(text, f"{scheme}:// is not known; write host:port, or unix:///path/of/a.sock")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not is_ipv6(host):
            raise TargetSyntaxError(text, "no IPv6 address in the brackets; write [::1]:50051")
        if rest and not rest.startswith(":"):
            raise TargetSyntaxError(text, "after ] comes :port")
        port = _port(text, rest[1:]) if rest else DEFAULT_PORT
        return Target(label=f"[{host}]:{port}", host=host, port=port)
    if text.count(":") > 1:
        raise TargetSyntaxError(text, "an IPv6 address is written in brackets: [::1]:50051")
    host, colon, port_text = text.partition(":")
    if re.fullmatch(r"[\d.]+", host) and not is_ipv4(host):
        raise TargetSyntaxError(text, f"{host} is no IPv4 address")
    if not _is_host_name(host):
        raise TargetSyntaxError(text, "no host name before the port; write host:port" if not host else "no host name")
    port = _port(text, port_text) if colon else DEFAULT_PORT
    return Target(label=f"{host}:{port}", host=host, port=port)


def _is_host_name(host: str) -> bool:
    """By the rules of DNS; underscores are allowed, as container networks have them."""
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(
        0 < len(label) <= 63 and _HOST_CHARACTERS.issuperset(label) and label[0] != "-" for label in labels
    )


def _parse_unix(text: str) -> Target:
    path = text
    if text.startswith("unix:"):
        path = text[len("unix:") :]
        if path.startswith("//"):
            path = path[2:]
            if not path.startswith("/"):
                raise TargetSyntaxError(text, "three slashes: unix:///absolute/path.sock")
    if not path or "\0" in path:
        raise TargetSyntaxError(text, "no path of a socket")
    import os

    path = os.path.abspath(path)
    if len(os.fsencode(path)) > 107:
        raise TargetSyntaxError(
            text, "longer than the 107 bytes that a unix socket's path may have; make a shorter symlink"
        )
    return Target(label=f"unix://{path}", path=path)


def _port(text: str, port_text: str) -> int:
    if not (port_text.isascii() and port_text.isdigit()) or not 0 < int(port_text) < 65536:
        raise TargetSyntaxError(text, f"the port {port_text!r} is no number from 1 to 65535")
    return int(port_text)


def split_list(word: str) -> Iterator[str]:
    """Splits at commas outside brackets; empty parts are left out.

    Raises:
        TargetSyntaxError: brackets do not match.
    """
    depth = 0
    part: list[str] = []
    for character in word:
        depth += (character == "[") - (character == "]")
        if depth not in (0, 1):
            raise TargetSyntaxError(word, "brackets do not match")
        if character == "," and depth == 0:
            if text := "".join(part).strip():
                yield text
            part = []
        else:
            part.append(character)
    if depth:
        raise TargetSyntaxError(word, "brackets do not match")
    if text := "".join(part).strip():
        yield text


def expand_ranges(text: str) -> list[str]:
    """svc[01-03] → svc01 svc02 svc03. Text without ranges gives itself.

    Raises:
        TargetSyntaxError: a range that runs backwards, is empty, or is far too large.
    """
    pieces = [text] if text.startswith(("unix:", "/")) else re.split(r"(\[[^\[\]]*\])", text)
    choices: list[list[str]] = []
    total = 1
    for index, piece in enumerate(pieces):
        if index % 2 == 0 or is_ipv6(piece[1:-1]):
            choices.append([piece])
            continue
        choices.append(_expand_one(text, piece[1:-1], MAX_EXPANSION // total))
        total *= len(choices[-1])
    return ["".join(parts) for parts in itertools.product(*choices)]


def _expand_one(text: str, inside: str, at_most: int) -> list[str]:
    values: list[str] = []
    for part in inside.split(","):
        if found := re.fullmatch(r"([0-9]+)-([0-9]+)", part):
            first, last = found.groups()
            if int(first) > int(last):
                raise TargetSyntaxError(text, f"the range {part} runs backwards")
            if int(last) - int(first) + 1 + len(values) > at_most:
                raise TargetSyntaxError(text, f"names more than {MAX_EXPANSION} targets")
            width = len(first) if first.startswith("0") else 0
            values += [str(number).zfill(width) for number in range(int(first), int(last) + 1)]
        elif re.fullmatch(r"[A-Za-z0-9_.-]+", part) and not part.startswith("-") and not part.endswith("-"):
            values.append(part)
        else:
            raise TargetSyntaxError(text, f"[{inside}] is no range; write [01-50] or [a,b,c]")
    if len(values) > at_most:
        raise TargetSyntaxError(text, f"names more than {MAX_EXPANSION} targets")
    return values


def read_hosts_file(text: str) -> list[str]:
    """The words of a hosts file: one or more a line, # starts a comment."""
    words: list[str] = []
    for line in text.splitlines():
        words += line.partition("#")[0].split()
    return words
