"""Waiting for what comes true by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def until(probe: Callable[[], T], within_s: float = 10.0, *, what: str = "", every_s: float = 0.02) -> T:
    """The first true answer of the probe.

    Raises:
        AssertionError: there was none in that time; shows the last answer.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s} s: {what or probe}; last seen: {answer!r}")
        time.sleep(every_s)
