"""Finds what to dial: the gateways of this user on this machine, and every address of a DNS name."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from modctl.client.targets import Target
from modctl.local import places

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence

#: The state of a listening socket in /proc/net/tcp.
_LISTENING = "0A"


def local_targets(environ: Mapping[str, str] = os.environ) -> list[Target]:
    """One target for each gateway socket of this user. Whether somebody listens is seen when it is dialled."""
    found: list[Target] = []
    for base in places.existing_bases(environ):
        for instance in sorted(os.listdir(base)):
            path = os.path.join(base, instance, places.GATEWAY_SOCKET)
            if os.path.exists(path):
                found.append(Target(label=f"unix://{path}", path=path, discovered=True))
    return list({os.path.realpath(target.path): target for target in found}.values())


def local_token(port: int, environ: Mapping[str, str] = os.environ) -> str | None:
    """The token of this user's gateway that serves a loopback port; None where no gateway of this user does.

    The token is shown only to a port that a gateway of ours says is its own, and only while every listener there is
    this user's: a gateway that was killed leaves its file behind, and anybody may take its port.
    """
    if not _is_ours(port):
        return None
    for base in places.existing_bases(environ):
        for instance in os.listdir(base):
            if port in _served_ports(os.path.join(base, instance, places.GATEWAY_INFO)):
                try:
                    with open(os.path.join(base, places.TOKEN), encoding="utf-8") as file:
                        return file.read().strip() or None
                except OSError:
                    break  # a gateway that serves TLS only has made no token
    return None


def _is_ours(port: int) -> bool:
    """Whether somebody listens on the port, and nobody but this user. The kernel says whose a socket is."""
    owners: set[int] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except OSError:
            continue  # no IPv6 here; with neither table nobody is known, and nothing is shown
        owners |= {int(row[7]) for row in rows if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port}
    return owners == {os.getuid()}


def _served_ports(path: str) -> set[int]:
    try:
        with open(path, encoding="utf-8") as file:
            info = json.load(file)
        addresses = info.get("addresses", [])
        return {int(address.rpartition(":")[2]) for address in addresses if not address.startswith("unix:")}
    except (OSError, ValueError, AttributeError, TypeError):
        return set()  # being written, or no gateway's file: then it says nothing


async def resolve(targets: Sequence[Target], loop: asyncio.AbstractEventLoop) -> list[Target]:
    """Every address behind the names.

    A name with one address (of each family) is left to gRPC, which tries both families. A name with several stands
    for as many targets: a channel on the name would reach only one of them. Of a name with both families the IPv4
    addresses are taken, since the same replicas usually have both. A name that is unknown is kept, so that dialling it
    makes its row.
    """
    import asyncio

    # getaddrinfo runs in the loop's thread pool, which bounds how many look-ups run at once.
    answers = await asyncio.gather(*(_look_up(target, loop) for target in targets))
    unique: dict[tuple[str, int, str], Target] = {}
    for answer in answers:
        for target in answer:
            unique.setdefault((target.host, target.port, target.path), target)
    return list(unique.values())


async def _look_up(target: Target, loop: asyncio.AbstractEventLoop) -> list[Target]:
    if not target.is_name:
        return [target]
    try:
        answers = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return [target]
    found: dict[int, dict[str, None]] = {socket.AF_INET: {}, socket.AF_INET6: {}}
    for family, _, _, _, address in answers:
        if family in found:
            found[family][str(address[0])] = None
    addresses = list(found[socket.AF_INET] or found[socket.AF_INET6])
    if len(found[socket.AF_INET]) <= 1 and len(found[socket.AF_INET6]) <= 1:
        return [target]
    return [
        replace(
            target,
            label=f"[{address}]:{target.port}" if ":" in address else f"{address}:{target.port}",
            host=address,
            server_name=target.server_name or target.host,
        )
        for address in sorted(addresses, key=_address_order)
    ]


def _address_order(address: str) -> tuple[int, bytes]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.inet_pton(family, address.partition("%")[0]))
