"""Sockets whose numbers the host may take away.

A host that daemonizes closes every descriptor it does not know, and opens its own under the same numbers. To read,
write or close such a number then would hurt the host, so each use first asks the kernel whether it is still our socket.
"""

from __future__ import annotations

import _socket
import os
from typing import Final

#: Linux: an 8-byte number that no other socket of the machine has. Asked without giving up the GIL, unlike fstat.
_SO_COOKIE: Final = 57


class OwnedSocket:
    """A socket and what it takes to recognise it.

    Attributes:
        sock: non-blocking; use it only where `ours()` is true.
        fd: its number, valid or not.
    """

    __slots__ = ("_fingerprint", "fd", "sock")

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self._fingerprint = _fingerprint(sock)

    def ours(self) -> bool:
        """Whether the number still is this socket."""
        return self.sock.fileno() >= 0 and _fingerprint(self.sock) == self._fingerprint

    def close(self) -> None:
        """Closes it if it is still ours, and else forgets the number."""
        if self.sock.fileno() < 0:
            return
        if self.ours():
            self.sock.close()
        else:
            self.sock.detach()


class Waker:
    """Wakes a thread that polls; the bytes say why.

    A forked child inherits it and may keep `write_end` to tell its parent something, see `NOTE_WORKER`.
    """

    WAKE: Final = b"."
    #: A child that was forked is served by the gateway now: who reads this is a master.
    NOTE_WORKER: Final = b"w"

    __slots__ = ("read_end", "write_end")

    def __init__(self) -> None:
        ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
        self.read_end, self.write_end = OwnedSocket(ends[0]), OwnedSocket(ends[1])

    def ours(self) -> bool:
        """Whether both ends are still ours."""
        return self.read_end.ours() and self.write_end.ours()

    def wake(self) -> bool:
        """Makes the poll return; False where the host has closed our descriptors and it cannot be done."""
        return send_note(self.write_end, self.WAKE)

    def drain(self) -> bytes:
        """What has been written since the last time."""
        try:
            return self.read_end.sock.recv(4096) if self.read_end.ours() else b""
        except OSError:
            return b""

    def close(self) -> None:
        """Closes what is ours of it."""
        self.read_end.close()
        self.write_end.close()


def send_note(end: OwnedSocket, note: bytes) -> bool:
    """Writes to a waker's end; False where it is not ours any more or nobody reads it."""
    try:
        if end.ours():
            # MSG_NOSIGNAL: the host may want SIGPIPE for itself.
            end.sock.send(note, _socket.MSG_NOSIGNAL)
            return True
    except BlockingIOError:
        return True  # full of wake-ups that nobody has read yet
    except OSError:
        return False
    return False


def _fingerprint(sock: _socket.socket) -> object:
    try:
        return sock.getsockopt(_socket.SOL_SOCKET, _SO_COOKIE, 8)
    except OSError:
        pass  # a kernel without cookies (gVisor), no socket any more, or no descriptor
    try:
        status = os.fstat(sock.fileno())
    except OSError:
        return None
    return (status.st_dev, status.st_ino)
