"""Workers that are replaced all the time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support import cli
from support.services import Service, fetch, free_port
from support.waiting import until

from e2e.hosts import WSGI

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.timeout(120)]


def test_workers_recycled_by_max_requests_are_all_found_and_no_request_fails(state_dir: Path, short_dir: Path) -> None:
    pytest.importorskip("gunicorn")
    (short_dir / "app.py").write_text(WSGI)
    (short_dir / "greeting.py").write_text("TEXT = 'hello'\n")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--max-requests", "5"]
    service = Service([*command, "app:app"], state_dir=state_dir, folder=short_dir)
    try:
        service.wait_for_agents(2)
        ever: set[int] = set(service.agent_pids())
        for _ in range(60):
            answer = fetch(f"http://127.0.0.1:{port}/")
            assert answer, service.output[-2000:]
            ever.add(int(answer.split()[1]))
        assert len(ever) > 6, "the workers were to be recycled"
        found = service.wait_for_agents(2)
        assert {row["pid"] for row in cli.agents(state_dir)} == found
        until(lambda: set(service.family()) - {service.pid} == found, 10.0, what="every live worker to be known")
    finally:
        service.end()
