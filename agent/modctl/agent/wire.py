"""The connection to the gateway: frames in and out over a non-blocking socket. The only file that speaks frames."""

from __future__ import annotations

import _socket
import json
import os
import struct
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.descriptors import OwnedSocket
from modctl.local.frames import (
    ATTACHED,
    ATTACHMENTS,
    CANCEL,
    ERR,
    LAST,
    MAX_BODY_BYTES,
    PROTOCOL_VERSION,
    Decoder,
    FrameError,
    encode,
)

if TYPE_CHECKING:
    from modctl.local.frames import Frame

__all__ = ["CANCEL", "ERR", "LAST", "PROTOCOL_VERSION", "ForeignPeerError", "Wire", "WireClosedError", "dial"]

#: A listing of 3,000 entries, half a megabyte, goes in two or three sends: each one lets the GIL go and must get it
#: back, one send of everything makes fewer but longer stalls of the host.
SEND_BYTES: Final = 256 * 1024
_RECEIVE_BYTES: Final = 64 * 1024
_SUN_PATH_BYTES: Final = 107
_CREDENTIALS: Final = struct.Struct("3i")


class WireClosedError(OSError):
    """The connection is over: the peer left, sent what is no frame, or the host took our descriptor."""


class ForeignPeerError(OSError):
    """Another user's process listens where our gateway should; nothing was sent to it."""


def dial(file: str) -> Wire:
    """Connects to the gateway's socket without waiting.

    Raises:
        FileNotFoundError, ConnectionRefusedError: nobody listens.
        BlockingIOError: it listens but has too many waiting.
        ForeignPeerError: somebody else listens.
        OSError: anything else.
    """
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
    try:
        _connect(sock, file)
        credentials = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(credentials)
        if uid != os.geteuid():
            raise ForeignPeerError(f"{file} is served by uid {uid}, not by uid {os.geteuid()}: not used")
        # Best effort, the system's limit stands above it: fewer partial sends.
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, 2 * SEND_BYTES)
    except BaseException:
        sock.close()
        raise
    return Wire(sock, pid)


def _connect(sock: _socket.socket, file: str) -> None:
    if len(os.fsencode(file)) <= _SUN_PATH_BYTES:
        sock.connect(file)
        return
    # Too long for an address: go by the directory's descriptor.
    directory = os.open(os.path.dirname(file), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{directory}/{os.path.basename(file)}")
    finally:
        os.close(directory)


class Wire:
    """One connection.

    Attributes:
        peer_pid: the gateway's process id as this pid namespace sees it; 0 where it does not.
        fd: the descriptor to poll.
    """

    def __init__(self, sock: _socket.socket, peer_pid: int) -> None:
        self.peer_pid = peer_pid
        self._owned = OwnedSocket(sock)
        self.fd = self._owned.fd
        self._decoder = Decoder()
        self._queue: list[bytes] = []
        self._sending = memoryview(b"")
        self.pending_bytes = 0

    def receive(self) -> list[Frame]:
        """The frames that have come; an empty list where there is only a part of one.

        Raises:
            WireClosedError: see there.
        """
        if not self._owned.ours():
            raise WireClosedError("the host has closed the agent's descriptor")
        try:
            data = self._owned.sock.recv(_RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise WireClosedError(f"the gateway's connection broke: {error.strerror}") from error
        if not data:
            raise WireClosedError("the gateway has left")
        try:
            return self._decoder.feed(data)
        except FrameError as error:
            raise WireClosedError(f"the gateway sent what is no frame: {error}") from error

    def queue(self, request_id: int, flags: int, body: bytes) -> None:
        """Puts a frame into the next send; one that is too large becomes an error of its request."""
        if len(body) > MAX_BODY_BYTES:
            body = error_body("RESOURCE_EXHAUSTED", "LIMIT", f"the answer of {len(body)} bytes is over the limit", {})
            flags = ERR | LAST
        data = encode(request_id, flags, body)
        self._queue.append(data)
        self.pending_bytes += len(data)

    def tell(self, fields: dict[str, Any]) -> None:
        """Queues a frame of the connection's own (id 0)."""
        self.queue(0, LAST, json_body(fields))

    def flush(self) -> bool:
        """Sends what the socket takes; True when nothing is left.

        Raises:
            WireClosedError: see there.
        """
        while self.pending_bytes:
            if not self._sending:
                self._sending = memoryview(b"".join(self._queue))
                self._queue.clear()
            if not self._owned.ours():
                raise WireClosedError("the host has closed the agent's descriptor")
            try:
                sent = self._owned.sock.send(self._sending, _socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                raise WireClosedError(f"the gateway's connection broke: {error.strerror}") from error
            self._sending = self._sending[sent:]
            self.pending_bytes -= sent
        return True

    def close(self) -> None:
        """Closes this process's end; a forked child calls it too, and the parent's connection stays."""
        self._owned.close()


def json_body(fields: dict[str, Any]) -> bytes:
    """JSON bytes; non-ASCII is escaped, so that a lone surrogate cannot make them invalid UTF-8."""
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def error_body(code: str, reason: str, message: str, metadata: dict[str, str]) -> bytes:
    """The body of an ERR frame: a modctl.v1.ErrorDetail."""
    message = message.encode("utf-8", "backslashreplace").decode("utf-8")
    detail = {"reason": reason, "domain": "modctl.v1", "metadata": metadata, "message": message, "code": code}
    return json_body(detail)


def parse_body(body: bytes) -> dict[str, Any]:
    """A body's JSON object; what is attached to it is under ATTACHMENTS.

    Raises:
        ValueError: it is none.
    """
    end = body.find(ATTACHED)
    try:
        fields = json.loads(body if end < 0 else body[:end])
    except RecursionError as error:
        raise ValueError("the body is nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError("the body is no JSON object")
    if end >= 0:
        fields[ATTACHMENTS] = memoryview(body)[end + 1 :]
    return fields
