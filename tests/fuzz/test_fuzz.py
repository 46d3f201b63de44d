"""Any bytes at every place where bytes come in: an answer or a named refusal, never a crash. See targets.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS, World

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Those that cross a socket take a hundred times as long as a function.
EXAMPLES = {"calls": 400, "agents": 150, "audit_lines": 150}


@pytest.fixture(scope="module", autouse=True)
def _world() -> Iterator[None]:
    yield
    World.end()


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.timeout(300)
def test_no_bytes_upset_it(name: str) -> None:
    under_test = TARGETS[name]

    @settings(
        max_examples=EXAMPLES.get(name, 400),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.binary(max_size=400))
    def run(data: bytes) -> None:
        under_test(data)

    run()


@pytest.mark.parametrize("name", ["policies", "change_sets"])
def test_no_text_near_a_good_one_upsets_it(name: str) -> None:
    from fuzz.run import seeds

    under_test = TARGETS[name]

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.sampled_from(seeds(name)), st.integers(0, 2000), st.integers(0, 30), st.binary(max_size=12))
    def run(seed: bytes, start: int, gone: int, put: bytes) -> None:
        start %= len(seed)
        under_test(seed[:start] + put + seed[start + gone :])

    run()
