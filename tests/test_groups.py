"""Tests that share a service run on one worker: each worker would start it once more."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("shared")
def test_a_worker_says_the_group_of_a_test(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("loadgroup", False):
        pytest.skip("no worker of `--dist loadgroup`")
    assert request.node.nodeid.endswith("@shared")


def test_a_test_without_a_group_has_its_own_name(request: pytest.FixtureRequest) -> None:
    assert "@" not in request.node.nodeid
