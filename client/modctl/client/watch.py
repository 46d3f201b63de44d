"""Watching: one endless stream per target, dialled again when it breaks."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from modctl.client import requests
from modctl.client.channel import CallFailed
from modctl.client.outcomes import outcome_of
from modctl.client.results import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from modctl.client.facts import ModuleEvent
    from modctl.client.fleet import AsyncFleet
    from modctl.client.targets import Target

#: Waits between two attempts grow up to this, in seconds.
MAX_BACKOFF_S = 10.0


async def watch(
    fleet: AsyncFleet, targets: Sequence[Target], patterns: Sequence[str], since_revision: int | None
) -> AsyncIterator[ModuleEvent | Row[Any]]:
    """What happens in all processes, in the order in which it is heard.

    The first time all is well with a process it is told as a Row with outcome OK; a process or target that is lost as
    one with its failure. Ends when every target said that it never will answer (denied, unknown command).
    """
    queue: asyncio.Queue[ModuleEvent | Row[Any]] = asyncio.Queue(maxsize=10_000)
    body = requests.watch_modules(patterns, since_revision)
    watchers = [asyncio.ensure_future(_watch_one(fleet, target, body, queue)) for target in targets]
    ended = asyncio.gather(*watchers)
    stopped = asyncio.ensure_future(fleet.stop.wait())
    heard: asyncio.Task[ModuleEvent | Row[Any]] | None = None
    try:
        while True:
            heard = heard or asyncio.ensure_future(queue.get())
            waiting: set[asyncio.Future[Any]] = {heard, ended, stopped}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                return
            if heard.done():
                each, heard = heard.result(), None
                yield each
            elif ended.done() and queue.empty():
                ended.result()  # a mistake of ours is not a row
                return
    finally:
        tasks = [*watchers, stopped, *([heard] if heard is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, ended, return_exceptions=True)


async def _watch_one(
    fleet: AsyncFleet, target: Target, body: bytes, queue: asyncio.Queue[ModuleEvent | Row[Any]]
) -> None:
    backoff_s = 0.2
    told = ""
    while True:
        heard: set[str] = set()
        try:
            stream = fleet.dialer.channel(target).stream(requests.WATCH_MODULES, body, fleet.settings.selector, None)
            async for answer in stream:
                process, events, failure = requests.read_events(target.label, answer)
                backoff_s, told = 0.2, ""
                if failure is not None:
                    await queue.put(Row(target.label, process, "", 0, "UNREACHABLE", error=failure))
                    continue
                if process not in heard:
                    heard.add(process)
                    await queue.put(Row(target.label, process, "", 0, "OK"))
                for event in events:
                    await queue.put(event)
        except CallFailed as failed:
            failure = fleet.dialer.failure(failed, target)
            outcome = outcome_of(failure, changing=False, sent=failed.sent)
            if told != failure.message:  # said once, not at every attempt
                told = failure.message
                await queue.put(Row(target.label, "", "", 0, outcome, error=failure))
            if outcome in ("DENIED", "FAILED"):
                return
        await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
        backoff_s = min(MAX_BACKOFF_S, backoff_s * 2)
