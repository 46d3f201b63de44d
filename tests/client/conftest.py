"""Servers of the tests: in threads of their own, gone with the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from client.fake_server import FakeServer, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modctl.v1 import process_pb2

    Serve = Callable[..., FakeServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers: serve(process(1), process(2), address="unix:/…")."""
    started: list[FakeServer] = []

    def start(*processes: process_pb2.Process, address: str = "127.0.0.1:0", credentials: object = None) -> FakeServer:
        server = FakeServer(*processes)
        started.append(server)
        return server.start(address, credentials)

    yield start
    for server in started:
        server.close()


@pytest.fixture
def shop(serve: Serve) -> FakeServer:
    """One target with three processes."""
    return serve(process(4127), process(4128), process(4129))
