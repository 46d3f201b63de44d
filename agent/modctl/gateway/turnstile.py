"""Takes new TCP connections of this process more seldom, before gRPC hears of them.

gRPC accepts by itself and cannot be told to accept less. But its listening sockets are descriptors of ours, and the
kernel asks a socket's filter (SO_ATTACH_FILTER, classic BPF) about each packet: this one throws away some of those that
open a connection, and nothing else. Whoever opened it tries again by itself, after a second as a rule. A connection
inherits the filter of the socket that accepted it, where it does nothing: no packet in it opens one.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from typing import TYPE_CHECKING, Final

from modctl.gateway import own_sockets

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv6Address

    IPAddress = IPv4Address | IPv6Address

#: An instruction: code, jumps where true and where false, operand. The names are those of linux/filter.h.
Instruction = tuple[int, int, int, int]

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_LD_B_ABS: Final = 0x30
_LD_W_ABS: Final = 0x20
_AND_K: Final = 0x54
_RSH_K: Final = 0x74
_JA: Final = 0x05
_JEQ_K: Final = 0x15
_JGE_K: Final = 0x35
_RET_K: Final = 0x06
#: A packet seen from its transport header; from these offsets on: from its network header, and what the kernel adds.
_NETWORK: Final = 0xFFF00000
_RANDOM: Final = 0xFFFFF000 + 56
_FLAGS: Final = 13
_SYN, _ACK = 0x02, 0x10
_IPV4_SOURCE, _IPV6_SOURCE = 12, 8

_TAKE: Final[Instruction] = (_RET_K, 0, 0, 0xFFFFFFFF)
_DROP: Final[Instruction] = (_RET_K, 0, 0, 0)


def turn(level: int, ports: Iterable[int], known: Iterable[IPAddress]) -> int:
    """Sets how seldom connections are taken at ports that this process listens on; at how many sockets that was done.

    Where the system knows no such filters (it is not Linux, or a sandbox that stands for it) nothing happens. Blocks
    for milliseconds.

    Args:
        level: one connection in two to the power of this is taken; 0 is every one.
        ports: the ports.
        known: addresses from which every connection is taken.
    """
    instructions = b"".join(struct.pack("=HBBI", *each) for each in program(level, known))
    kept = ctypes.create_string_buffer(instructions, len(instructions))
    attached = struct.pack("@HP", len(instructions) // 8, ctypes.addressof(kept))
    done = 0
    with contextlib.suppress(OSError):  # no /proc
        for each in own_sockets.listening(frozenset(ports)):
            with contextlib.suppress(OSError):
                if level:
                    each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
                else:
                    each.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
                done += 1
    return done


def program(level: int, known: Iterable[IPAddress]) -> list[Instruction]:
    """The filter: of packets with SYN and without ACK, from addresses that are not known, one in 2 ** level passes."""
    ipv4: list[Instruction] = []
    ipv6: list[Instruction] = []
    for address in known:
        if address.version == 4:
            ipv4 += [(_LD_W_ABS, 0, 0, _NETWORK + _IPV4_SOURCE), (_JEQ_K, 0, 1, int(address)), _TAKE]
            continue
        words = struct.unpack(">4I", address.packed)
        for number, word in enumerate(words):
            left = 2 * (len(words) - number - 1) + 1  # what is left of this address, the verdict with it
            ipv6 += [(_LD_W_ABS, 0, 0, _NETWORK + _IPV6_SOURCE + 4 * number), (_JEQ_K, 0, left, word)]
        ipv6.append(_TAKE)
    return [
        (_LD_B_ABS, 0, 0, _FLAGS),
        (_AND_K, 0, 0, _SYN | _ACK),
        (_JEQ_K, 1, 0, _SYN),
        _TAKE,
        (_LD_B_ABS, 0, 0, _NETWORK),
        (_RSH_K, 0, 0, 4),
        (_JEQ_K, 1, 0, 4),
        (_JA, 0, 0, len(ipv4) + 1),
        *ipv4,
        (_JA, 0, 0, len(ipv6)),
        *ipv6,
        (_LD_W_ABS, 0, 0, _RANDOM),
        (_JGE_K, 0, 1, (1 << 32) - (1 << (32 - level)) if level else 0),
        _TAKE,
        _DROP,
    ]
