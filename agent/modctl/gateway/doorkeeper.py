"""Hangs up on connections beyond a limit where grpcio cannot: before 1.63 its servers know none.

grpc accepts by itself and tells nobody, so what it has accepted is looked for among our own descriptors (see
own_sockets). Shutting the copy of one down ends the connection for both. The oldest stay. grpc sees an end like any
other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Final

import grpc
from modctl.gateway import own_sockets

if TYPE_CHECKING:
    from concurrent.futures import Executor

#: So often it is looked: whoever comes faster than descriptors last meets the kernel's limit, which grpc bears.
EVERY_S: Final = 0.25
_FIRST_WITH_A_LIMIT: Final = (1, 63)


def is_needed() -> bool:
    """Whether this grpcio knows no limit of connections."""
    numbers = [int(part) for part in grpc.__version__.split(".")[:2] if part.isdigit()]
    return tuple(numbers) < _FIRST_WITH_A_LIMIT


class Doorkeeper:
    """Watches one port of this process.

    Args:
        port: the port that connections come to.
        most: how many may be open.
    """

    def __init__(self, port: int, most: int) -> None:
        self._port = port
        self._most = most
        #: The kernel's numbers of the connections at the last look, in the order in which they were first seen.
        self._seen: list[int] = []

    async def keep(self, executor: Executor | None = None) -> None:
        """Looks again and again, until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(EVERY_S)
            await loop.run_in_executor(executor, self.look)

    def look(self) -> int:
        """Hangs up on the youngest connections beyond the limit; how many those were. Blocks for milliseconds.

        Of those that came since the last look it is not known who was first.
        """
        names = os.listdir("/proc/self/fd")
        if len(names) <= self._most // 2:  # far from the limit: a connection has a descriptor
            return 0
        with contextlib.ExitStack() as copies:
            # By the kernel's number: one of the names may be a copy of another by the time we come to it.
            ours: dict[int, socket.socket] = {}
            for connection in own_sockets.connected(self._port, names):
                ours[os.fstat(connection.fileno()).st_ino] = copies.enter_context(connection)
            # The numbers grow on each processor for itself, a thousand at a time: they tell no order between two.
            seen = [number for number in self._seen if number in ours]
            self._seen = seen + sorted(ours.keys() - set(seen))
            for number in self._seen[self._most :]:
                with contextlib.suppress(OSError):  # the other side was faster
                    ours[number].shutdown(socket.SHUT_RDWR)
        return max(0, len(ours) - self._most)
