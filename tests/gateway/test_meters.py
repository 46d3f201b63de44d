"""Prometheus' text and OpenTelemetry's spans of a gateway, from a real service."""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import cli
from support.services import Service, fetch, free_port
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("prometheus_client")
pytest.importorskip("opentelemetry.sdk")

APP = """
import sys, time
sys.path.insert(0, "")
import words
from modctl import agent
agent.start(service="counted", required=True)
while True:
    time.sleep(0.1)
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def service(state_dir: Path, short_dir: Path, port: int) -> Iterator[Service]:
    (short_dir / "app.py").write_text(APP)
    (short_dir / "words.py").write_text("WORD = 1\n")
    environment = {"MODCTL_METRICS": f"127.0.0.1:{port}", "OTEL_TRACES_EXPORTER": "console"}
    service = Service([sys.executable, "app.py"], state_dir=state_dir, folder=short_dir, environment=environment)
    try:
        service.wait_for_agents(1)
        yield service
    finally:
        service.end()


def samples(port: int) -> dict[str, float]:
    text = until(lambda: fetch(f"http://127.0.0.1:{port}/metrics"), 10, what="metrics")
    assert text is not None
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_what_is_changed_is_counted_by_outcome_and_timed(
    service: Service, state_dir: Path, short_dir: Path, port: int
) -> None:
    before = samples(port)
    assert before['modctl_processes{service="counted"}'] == 1
    assert before['modctl_frozen_processes{service="counted"}'] == 0
    assert before[f'modctl_revision{{pid="{service.pid}",service="counted"}}'] == 0
    (short_dir / "words.py").write_text("WORD = 2\n")
    cli.modctl("reimport", "words", "--all", state_dir=state_dir)
    cli.modctl("evict", "sys", "--all", state_dir=state_dir, expect=3)
    cli.modctl("freeze", "--all", state_dir=state_dir)
    after = samples(port)
    assert after['modctl_changes_total{outcome="APPLIED",service="counted"}'] == 1
    assert after['modctl_changes_total{outcome="REFUSED",service="counted"}'] == 1
    assert after['modctl_change_seconds_count{outcome="APPLIED",service="counted"}'] == 1
    assert 0 < after['modctl_change_seconds_sum{outcome="APPLIED",service="counted"}'] < 10
    assert after['modctl_pause_seconds_count{service="counted"}'] == 1
    assert after['modctl_frozen_processes{service="counted"}'] == 1
    assert after[f'modctl_revision{{pid="{service.pid}",service="counted"}}'] == 1
    assert after['modctl_calls_total{method="ReimportModules"}'] == 1


@pytest.mark.parametrize(("path", "status"), [("/", 404), ("/metrics/x", 404)])
def test_nothing_else_is_served(service: Service, port: int, path: str, status: int) -> None:
    samples(port)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5)
    assert error.value.code == status
    error.value.close()


def test_a_call_is_a_span_and_each_answer_to_a_change_an_event_of_it(service: Service, state_dir: Path) -> None:
    cli.modctl("reimport", "words", "--all", state_dir=state_dir)
    pids = [int(json.loads(file.read_text())["pid"]) for file in state_dir.glob("*/gateway.json")]
    assert len(pids) == 1
    service.stop()  # the gateway leaves after its last process, and sends what it has

    def told() -> str | None:
        text = "".join(file.read_text() for file in state_dir.glob("*/gateway.log"))
        return text if '"modctl.ReimportModules"' in text else None

    text = until(told, 30, what="the span") or ""
    span = text[text.index('"modctl.ReimportModules"') :]
    assert '"modctl.outcome": "APPLIED"' in span
    assert '"enduser.id": "uid:' in text


def test_the_dashboard_asks_for_what_is_served(service: Service, state_dir: Path, port: int) -> None:
    cli.modctl("reimport", "words", "--all", state_dir=state_dir)
    served = {name.partition("{")[0] for name in samples(port)}
    dashboard = json.loads((Path(__file__).parents[2] / "docs" / "grafana-dashboard.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"modctl_[a-z_]+", target["expr"])
    }
    assert asked
    assert asked <= served
