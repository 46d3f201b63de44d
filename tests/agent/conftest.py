"""Fixtures of the agent's life."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.fake_gateway import FakeGateway
from support.host import host_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def gateway(state_dir: Path) -> Iterator[FakeGateway]:
    """A fake gateway of the hosts' service `shop`."""
    with FakeGateway(state_dir, "shop", host_prefix()) as gateway:
        yield gateway
