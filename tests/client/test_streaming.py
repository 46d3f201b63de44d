"""Rows as they come."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from modctl.client import AsyncFleet, Fleet, UsageError

from client.fake_server import FakeServer, process

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def fast_and_slow(serve: Callable[..., FakeServer]) -> tuple[FakeServer, FakeServer]:
    fast, slow = serve(process(1, "fast")), serve(process(2, "slow"))

    async def dawdle(_: object) -> None:
        await asyncio.sleep(1.0)

    slow.before["ListModules"] = dawdle
    slow.before["EvictModules"] = dawdle
    return fast, slow


async def test_who_answers_first_is_told_of_first(fast_and_slow: tuple[FakeServer, FakeServer]) -> None:
    fast, slow = fast_and_slow
    async with AsyncFleet.connect(slow.address, fast.address) as fleet:
        began_s = time.monotonic()
        heard = [(row.service, time.monotonic() - began_s) async for row in fleet.stream(lambda each: each.list())]
        assert [service for service, _ in heard] == ["fast", "slow"]
        assert heard[0][1] < 0.9
        changed = [row.service async for row in fleet.stream(lambda each: each.evict("billing.tax"))]
        assert changed == ["fast", "slow"], "the survey before a change is not told of"


async def test_who_never_answers_is_told_of_at_the_end(fast_and_slow: tuple[FakeServer, FakeServer]) -> None:
    fast, slow = fast_and_slow

    async def forever(_: object) -> None:
        await asyncio.sleep(30)

    slow.before["ListModules"] = forever
    async with AsyncFleet.connect(slow.address, fast.address, "127.0.0.1:1", deadline_s=4) as fleet:
        rows = [row async for row in fleet.stream(lambda each: each.list())]
    assert {(row.target, row.outcome) for row in rows} == {
        (fast.address, "OK"),
        ("127.0.0.1:1", "UNREACHABLE"),
        (slow.address, "TIMED_OUT"),
    }
    assert len(rows) == 3


async def test_a_stream_that_is_left_ends_its_call(fast_and_slow: tuple[FakeServer, FakeServer]) -> None:
    fast, slow = fast_and_slow
    async with AsyncFleet.connect(slow.address, fast.address) as fleet:
        rows = fleet.stream(lambda each: each.list())
        assert (await rows.__anext__()).service == "fast"
        with pytest.raises(UsageError, match="one call at a time"):
            await fleet.stream(lambda each: each.list()).__anext__()
        await rows.aclose()  # type: ignore[attr-defined]
        assert len((await fleet.agents()).rows) == 2


def test_the_same_without_a_loop(fast_and_slow: tuple[FakeServer, FakeServer]) -> None:
    fast, slow = fast_and_slow
    with Fleet.connect(slow.address, fast.address) as fleet:
        assert [row.service for row in fleet.stream(lambda each: each.list())] == ["fast", "slow"]


def test_results_fold_by_what_is_the_same(serve: Callable[..., FakeServer]) -> None:
    servers = [serve(process(pid)) for pid in range(1, 5)]
    servers[2].processes[0].python = "3.13.0"
    with Fleet.connect(*[server.address for server in servers]) as fleet:
        groups = fleet.agents().fold(lambda row: row.value.python if row.value else "")
    assert [(python, len(group), group.targets) for python, group in groups.items()] == [
        ("3.11.7", 3, 3),
        ("3.13.0", 1, 1),
    ]
