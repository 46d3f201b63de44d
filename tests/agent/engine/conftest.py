"""Fixtures of the engine's cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.engine_world import World, interpreters


@pytest.fixture(params=interpreters(), ids=lambda python: Path(python).parts[-3])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A folder and an interpreter."""
    return World(tmp_path, request.param)
