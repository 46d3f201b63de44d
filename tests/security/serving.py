"""The service that attacks are held against, with an agent that listens."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from support.services import Service, free_port

from security.attacks import SERVICE, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def serving(folder: Path, state_dir: Path, **environment: str) -> Iterator[tuple[Service, int, int]]:
    """It, the port of its own, and its gateway's."""
    program = folder / "host.py"
    program.write_text(SERVICE)
    http_port, port = free_port(), free_port()
    service = Service(
        [sys.executable, program, str(http_port), str(port)], state_dir=state_dir, environment=environment
    )
    try:
        service.wait_for_agents(1, listening=True)
        wait_for(http_port)
        yield service, http_port, port
    finally:
        service.end()
