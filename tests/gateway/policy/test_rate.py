"""How often changes may come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modctl.gateway.policy import rate


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_is_let_in_and_the_next_is_told_how_long_to_wait() -> None:
    clock = Clock()
    buckets = rate.Buckets(clock)
    assert [buckets.pour("a", 60, 3) for _ in range(3)] == [0, 0, 0]
    assert buckets.pour("a", 60, 3) == pytest.approx(1.0)
    clock.now_s += 0.5
    assert buckets.pour("a", 60, 3) == pytest.approx(0.5)
    clock.now_s += 0.5
    assert buckets.pour("a", 60, 3) == 0


def test_one_identity_does_not_pay_for_another() -> None:
    buckets = rate.Buckets(Clock())
    assert buckets.pour("a", 1, 1) == 0
    assert buckets.pour("a", 1, 1) > 0
    assert buckets.pour("b", 1, 1) == 0


def test_no_rate_is_no_limit() -> None:
    buckets = rate.Buckets(Clock())
    assert all(buckets.pour("a", 0, 1) == 0 for _ in range(1000))


def test_a_million_identities_do_not_fill_the_memory() -> None:
    buckets = rate.Buckets(Clock())
    for number in range(rate.MAX_IDENTITIES + 500):
        buckets.pour(str(number), 1, 1)
    assert len(buckets._levels) == rate.MAX_IDENTITIES


@given(st.lists(st.floats(0, 10), max_size=60), st.floats(1, 600), st.integers(1, 10))
def test_never_more_than_burst_and_rate_together(waits: list[float], per_minute: float, burst: int) -> None:
    clock = Clock()
    buckets = rate.Buckets(clock)
    began_s = clock.now_s
    let_in = 0
    for wait_s in waits:
        clock.now_s += wait_s
        if buckets.pour("a", per_minute, burst) == 0:
            let_in += 1
        assert let_in <= burst + (clock.now_s - began_s) * per_minute / 60 + 1e-6
