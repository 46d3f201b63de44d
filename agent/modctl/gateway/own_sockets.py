"""TCP sockets of this process that gRPC has opened and tells nobody of: found among our own descriptors.

/proc has their numbers. What stands behind a number can change at any moment, behind a copy of it (dup) it cannot; and
what is done to a copy is done to the socket.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator


def listening(ports: Container[int]) -> Iterator[socket.socket]:
    """Copies of those that listen on these ports, each closed when the next is asked for."""
    for copy in _copies(os.listdir("/proc/self/fd")):
        with copy, contextlib.suppress(OSError):
            if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and copy.getsockname()[1] in ports:
                yield copy


def connected(port: int, names: list[str]) -> Iterator[socket.socket]:
    """Copies of those that are connections to a port, for the caller to close.

    Args:
        port: the port.
        names: those of /proc/self/fd.
    """
    for copy in _copies(names):
        with contextlib.suppress(OSError):  # not connected any more
            server = copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if not server and copy.getsockname()[1] == port and copy.getpeername():
                yield copy
                continue
        copy.close()


def _copies(names: list[str]) -> Iterator[socket.socket]:
    for name in names:
        try:
            copied = os.dup(int(name))
        except OSError:  # gone meanwhile
            continue
        try:
            copy = socket.socket(fileno=copied)
        except OSError:  # no socket
            os.close(copied)
            continue
        if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.type == socket.SOCK_STREAM:
            yield copy
        else:
            copy.close()
