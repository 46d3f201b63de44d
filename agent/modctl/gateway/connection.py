"""One agent's connection: frames in, frames out, requests matched with their answers.

The socket is the process's presence: when it closes, everything that waits for the process fails at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from modctl.gateway.errors import NOT_ASKED, CallFailure
from modctl.gateway.messages import parse
from modctl.local import frames

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)

HELLO_S: Final = 2.0
#: Bytes of answers that one call may leave unread before it is given up: others share the connection.
UNREAD_BYTES: Final = 32 * 1024 * 1024
#: Bytes of requests that a process may leave unread before more are refused.
UNSENT_BYTES: Final = 64 * 1024 * 1024
PIECE_BYTES: Final = 256 * 1024
_CREDENTIALS: Final = struct.Struct("3i")
_LAST_ID: Final = 2**32 - 1


class Owner(Protocol):
    """Who is told what happens on connections."""

    def connection_opened(self, connection: AgentConnection) -> None:
        """A peer of the same user is there."""

    def heard(self) -> None:
        """A process has said something."""

    def hello_received(self, connection: AgentConnection, hello: dict[str, Any]) -> None:
        """It says who it is; may raise CallFailure to refuse it."""

    def update_received(self, connection: AgentConnection, update: dict[str, Any]) -> None:
        """It says what has changed."""

    def connection_closed(self, connection: AgentConnection) -> None:
        """It is gone. Called once for every connection_opened."""


class Answers:
    """The frames that answer one request: `async for body in answers`.

    Raises while iterating:
        CallFailure: the agent says so, it left, the time is over, or nobody reads fast enough.
    """

    def __init__(self) -> None:
        self._bodies: deque[bytes] = deque()
        self._unread_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._failure: CallFailure | None = None
        self.ended = False

    def __aiter__(self) -> Answers:
        return self

    async def __anext__(self) -> bytes:
        while not self._bodies:
            if self._failure is not None:
                raise self._failure
            if self.ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        body = self._bodies.popleft()
        self._unread_bytes -= len(body)
        return body

    async def only(self) -> dict[str, Any]:
        """The one object that is the whole answer.

        Raises:
            CallFailure: there is none.
        """
        async for body in self:
            return parse(body)
        raise CallFailure("INTERNAL", "BAD_ANSWER", "the process's answer is empty")

    def deliver(self, body: bytes, *, last: bool) -> bool:
        """Takes a frame in; False where the reader is too far behind."""
        if self.ended:
            return True
        if body or not last:
            self._bodies.append(body)
            self._unread_bytes += len(body)
        self.ended = last
        self._wake()
        return last or self._unread_bytes <= UNREAD_BYTES

    def fail(self, failure: CallFailure) -> None:
        """Ends it after what has been delivered."""
        if not self.ended:
            self.ended = True
            self._failure = failure
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


#: How much is read at once, at most.
READ_BYTES: Final = 256 * 1024


def read_buffer() -> memoryview:
    """What all connections of one loop read into: it reads from one socket at a time.

    With a fresh buffer for each read, as asyncio makes them otherwise, the system maps and unmaps memory for every
    answer of every process.
    """
    return memoryview(bytearray(READ_BYTES))


class AgentConnection(asyncio.BufferedProtocol):
    """The gateway's end of one agent's socket.

    Args:
        owner: who is told what happens.
        buffer: read_buffer() of the loop.
    """

    def __init__(self, owner: Owner, buffer: memoryview) -> None:
        self._owner = owner
        self._buffer = buffer
        self._decoder = frames.Decoder()
        self._transport: asyncio.Transport | None = None
        self._answers: dict[int, Answers] = {}
        self._last_id = 0
        self._outbox: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._paused = False
        self._opened = False
        self._said_hello = False
        self._hello_timer: asyncio.TimerHandle | None = None
        self.peer_pid = 0

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Checks who it is before a byte is sent or read."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.peer_pid, peer_uid, _ = _CREDENTIALS.unpack(peer)
        if peer_uid != os.getuid():
            _log.warning("refused a connection of uid %d (pid %d): not this user", peer_uid, self.peer_pid)
            transport.abort()
            return
        self._opened = True
        self._owner.connection_opened(self)
        self._hello_timer = asyncio.get_running_loop().call_later(HELLO_S, self._close, "no hello in time")

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where to read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Takes bytes apart; a peer that breaks the protocol loses this connection and nothing else."""
        if not self._opened:
            return
        self._owner.heard()
        try:
            for frame in self._decoder.feed(self._buffer[:nbytes]):
                self._take(frame)
        except frames.FrameError as error:
            self._close(str(error))
        except CallFailure as failure:
            self._refuse(failure.message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Fails whatever waits."""
        self._stop_hello_timer()
        self._outbox.clear()
        for answers in list(self._answers.values()):
            answers.fail(
                CallFailure(
                    "UNAVAILABLE",
                    "PROCESS_LEFT",
                    "the process left during the call; whether it had done what was asked is not known",
                )
            )
        self._answers.clear()
        if self._opened:
            self._opened = False
            self._owner.connection_closed(self)

    def pause_writing(self) -> None:
        """The process does not read fast enough."""
        self._paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self._paused = False
        self._pump()

    # -- requests

    @contextlib.contextmanager
    def call(self, body: bytes, deadline_s: float | None = None) -> Iterator[Answers]:
        """Sends a request; gives it up (CANCEL) where the block is left before the last answer.

        Args:
            body: JSON bytes; the same object may be sent to many.
            deadline_s: the event loop's time at which to stop waiting.

        Raises:
            CallFailure: it cannot be sent.
        """
        if self._transport is None or self._transport.is_closing():
            message = "the process left before it was asked; nothing was done"
            raise CallFailure("UNAVAILABLE", "PROCESS_LEFT", message, NOT_ASKED)
        if deadline_s is not None and deadline_s <= asyncio.get_running_loop().time():
            message = "the time was over before the process was asked; nothing was done. Allow more with --timeout"
            raise CallFailure("DEADLINE_EXCEEDED", "DEADLINE", message, NOT_ASKED)
        if len(body) > frames.MAX_BODY_BYTES:
            raise CallFailure(
                "RESOURCE_EXHAUSTED",
                "REQUEST_TOO_LARGE",
                f"the request is {len(body)} bytes for the process, {frames.MAX_BODY_BYTES} are allowed; send less",
            )
        if self._unsent_bytes + len(body) > UNSENT_BYTES:
            raise CallFailure(
                "RESOURCE_EXHAUSTED", "PROCESS_BUSY", "the process does not read what was sent before; try again later"
            )
        request_id = self._fresh_id()
        answers = self._answers[request_id] = Answers()
        timer = None
        if deadline_s is not None:
            timer = asyncio.get_running_loop().call_at(deadline_s, answers.fail, _too_late())
        self._send(request_id, 0, body)
        try:
            yield answers
        finally:
            if timer is not None:
                timer.cancel()
            # A deadline ends the answers but not the request: the agent has not said its last word.
            if self._answers.pop(request_id, None) is not None:
                self._send(request_id, frames.CANCEL, b"{}")

    def welcome(self, facts: dict[str, Any]) -> None:
        """Tells the agent that it is served, and where."""
        self._send(0, 0, json.dumps({"welcome": {"v": frames.PROTOCOL_VERSION, **facts}}).encode())

    def close(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.close()

    # -- inside

    def _take(self, frame: frames.Frame) -> None:
        if frame.request_id == 0:
            self._take_own(parse(frame.body))
            return
        answers = self._answers.get(frame.request_id)
        if answers is None:
            if not self._said_hello:
                raise frames.FrameError("the first frame must be a hello")
            return  # an answer that nobody waits for any more
        last = bool(frame.flags & frames.LAST)
        if last:
            del self._answers[frame.request_id]
        if frame.flags & frames.ERR:
            answers.fail(_failure_of(frame.body))
        elif not answers.deliver(frame.body, last=last):
            answers.fail(
                CallFailure(
                    "RESOURCE_EXHAUSTED", "READER_TOO_SLOW", f"more than {UNREAD_BYTES} bytes of answers were not read"
                )
            )
            # At once: who waits for these answers may be stuck in passing on the last ones.
            del self._answers[frame.request_id]
            self._send(frame.request_id, frames.CANCEL, b"{}")

    def _take_own(self, body: dict[str, Any]) -> None:
        if "hello" in body:
            if self._said_hello:
                raise frames.FrameError("a second hello")
            hello = body["hello"]
            if not isinstance(hello, dict) or hello.get("v") != frames.PROTOCOL_VERSION:
                raise CallFailure(
                    "FAILED_PRECONDITION", "BAD_HELLO", f"a hello of version {frames.PROTOCOL_VERSION} is needed"
                )
            self._said_hello = True
            self._stop_hello_timer()
            self._owner.hello_received(self, hello)
        elif not self._said_hello:
            raise frames.FrameError("the first frame must be a hello")
        elif "update" in body and isinstance(body["update"], dict):
            self._owner.update_received(self, body["update"])
        elif "ping" in body:
            self._send(0, 0, json.dumps({"pong": body["ping"]}).encode())

    def _fresh_id(self) -> int:
        while True:
            self._last_id = self._last_id % _LAST_ID + 1
            if self._last_id not in self._answers:
                return self._last_id

    def _send(self, request_id: int, flags: int, body: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        header = frames.HEADER.pack(len(body), request_id, flags)
        if len(body) <= PIECE_BYTES:
            self._outbox.append(memoryview(header + body))
        else:  # not joined: the same body may be on its way to a hundred processes
            self._outbox.append(memoryview(header))
            self._outbox.append(memoryview(body))
        self._unsent_bytes += len(header) + len(body)
        self._pump()

    def _pump(self) -> None:
        assert self._transport is not None
        while self._outbox and not self._paused:
            piece = self._outbox[0]
            if len(piece) > PIECE_BYTES:
                self._outbox[0] = piece[PIECE_BYTES:]
                piece = piece[:PIECE_BYTES]
            else:
                self._outbox.popleft()
            self._unsent_bytes -= len(piece)
            self._transport.write(piece)

    def _refuse(self, message: str) -> None:
        _log.warning("refused pid %d: %s", self.peer_pid, message)
        self._send(0, 0, json.dumps({"refused": {"message": message}}).encode())
        self.close()

    def _close(self, why: str) -> None:
        _log.warning("closed the connection of pid %d: %s", self.peer_pid, why)
        if self._transport is not None:
            self._transport.abort()

    def _stop_hello_timer(self) -> None:
        if self._hello_timer is not None:
            self._hello_timer.cancel()
            self._hello_timer = None


def _too_late() -> CallFailure:
    return CallFailure(
        "DEADLINE_EXCEEDED",
        "DEADLINE",
        "the process did not answer in time; whether it did what was asked is not known: repeat it with its request id",
    )


def _failure_of(body: bytes) -> CallFailure:
    """What an agent's ERR frame says."""
    try:
        told = parse(body)
    except CallFailure as failure:
        return failure
    metadata = told.get("metadata")
    return CallFailure(
        str(told.get("code") or "INTERNAL"),
        str(told.get("reason") or "INTERNAL"),
        str(told.get("message") or "the process could not answer and did not say why"),
        {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else None,
    )
