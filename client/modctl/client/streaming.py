"""Rows as they come: for programs that do not want to wait for the slowest target."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from modctl.client.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from modctl.client.fleet import AsyncFleet
    from modctl.client.results import FleetResult, Row

ValueT = TypeVar("ValueT")


async def rows_as_they_come(
    fleet: AsyncFleet, call: Callable[[AsyncFleet], Awaitable[FleetResult[ValueT]]]
) -> AsyncIterator[Row[ValueT]]:
    """Every row of one call, each once: as its target answers, and at the end those who never did.

    Args:
        fleet: whom.
        call: makes the call on the fleet that it is given.

    Raises:
        UsageError: another stream of this fleet has not ended.
    """
    if fleet.on_rows is not None:
        raise UsageError("a fleet streams one call at a time; end the other stream first, or connect another fleet")
    queue: asyncio.Queue[Sequence[Row[Any]] | None] = asyncio.Queue()
    fleet.on_rows = queue.put_nowait
    told: set[int] = set()
    kept: list[Row[Any]] = []  # so that no id is given anew
    task = asyncio.ensure_future(call(fleet))
    task.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while (rows := await queue.get()) is not None:
            for row in rows:
                told.add(id(row))
                kept.append(row)
                yield row
        for row in (await task).rows:
            if id(row) not in told:
                yield row
    finally:
        fleet.on_rows = None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
