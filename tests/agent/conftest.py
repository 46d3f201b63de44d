"""Fixtures of the agent's life."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.fake_gateway import FakeGateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def gateway(state_dir: Path) -> Iterator[FakeGateway]:
    """A fake gateway of the service `shop`."""
    with FakeGateway(state_dir, "shop") as gateway:
        yield gateway
