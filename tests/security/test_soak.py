"""A short soak in every run of the suite; `MODCTL_TEST_SOAK_S=3600` makes it the long one."""

from __future__ import annotations

import importlib.util
import os

import pytest

from security.soak import Soak, faults

SECONDS = float(os.environ.get("MODCTL_TEST_SOAK_S", "20"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(int(SECONDS) + 180),
    pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="gunicorn is not installed"),
    pytest.mark.xdist_group("soak"),
]


def test_nothing_is_lost_while_gateways_and_workers_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODCTL_STATE_DIR", "")  # the soak sets it; this brings back what was
    report = Soak(SECONDS).run()
    assert report["kills"], report
    assert not faults(report), report
    assert report["audit"]["attempt"] == report["audit"]["outcome"] > 20
