"""The way of answers to the caller: one message each, or those of several processes together where it takes them so.

A message costs both ends a turn of their loops and of gRPC's, and more than what most answers take to be made. Those
that come within a moment of each other therefore share one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from modctl.gateway import wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: Says in a call's metadata that answers may come together.
KEY: Final = "modctl-together"
#: The field of a response that holds further ones.
MORE: Final = "more"
#: How long an answer waits for others, at most, in seconds.
GATHER_S: Final = 0.01
#: How many bytes of answers share a message, at most.
GATHER_BYTES: Final = 256 * 1024


class Answering:
    """Sends the answers of one call.

    Args:
        send: sends one message; waits while the caller does not read.
        more: the number of the field in which a message holds further ones; 0 where each comes alone.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]], more: int) -> None:
        self._send = send
        self._more = more
        self._sending = asyncio.Lock()
        self._expected = 0
        #: What answers join that come now.
        self._open: _Batch | None = None

    def expect(self, count: int) -> None:
        """So many answers are to come: the last of them waits for nobody."""
        self._expected += count

    async def write(self, answer: bytes) -> None:
        """Sends an answer, or leaves it to whoever sends those that it joins.

        Raises what sending raises, to the one who sends.
        """
        self._expected -= 1
        batch = self._open
        if batch is not None and batch.bytes + len(answer) > GATHER_BYTES:
            self._close(batch)
            batch = None
        if batch is not None:
            batch.add(answer)
            if self._expected <= 0:
                self._close(batch)
            return
        if not self._more or self._expected <= 0 or len(answer) > GATHER_BYTES:
            await self._send_one(answer)
            return
        batch = self._open = _Batch(answer)
        timer = asyncio.get_running_loop().call_later(GATHER_S, self._close, batch)
        try:
            await batch.closed
        finally:
            timer.cancel()
            self._close(batch)
        await self._send_one(batch.message(self._more))

    def _close(self, batch: _Batch) -> None:
        """Nothing more joins it; who waits for that goes on."""
        if self._open is batch:
            self._open = None
        if not batch.closed.done():
            batch.closed.set_result(None)

    async def _send_one(self, message: bytes) -> None:
        async with self._sending:
            await self._send(message)


class _Batch:
    """Answers that will share a message."""

    def __init__(self, first: bytes) -> None:
        self._first = first
        self._others: list[bytes] = []
        self.bytes = len(first)
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, answer: bytes) -> None:
        """One more."""
        self._others.append(answer)
        self.bytes += len(answer)

    def message(self, more: int) -> bytes:
        """All of them."""
        return self._first + b"".join(wire.field(more, each) for each in self._others)
