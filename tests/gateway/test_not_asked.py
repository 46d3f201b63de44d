"""What is said of a process that could not even be asked: that nothing was done."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import pytest
from modctl.gateway.audit import records
from modctl.gateway.connection import AgentConnection, read_buffer
from modctl.gateway.errors import CallFailure
from modctl.v1 import error_pb2, module_service_pb2


class Owner:
    """Nobody who is told anything."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


async def connected() -> tuple[AgentConnection, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    _, connection = await loop.connect_accepted_socket(lambda: AgentConnection(Owner(), read_buffer()), ours)
    assert connection.peer_pid == os.getpid()
    return connection, theirs


async def test_nobody_is_asked_after_the_deadline_and_it_is_said_that_nothing_was_done() -> None:
    connection, peer = await connected()
    now_s = asyncio.get_running_loop().time()
    with peer, pytest.raises(CallFailure) as failed, connection.call(b'{"op":"change"}', now_s):
        raise AssertionError("it was asked")
    assert (failed.value.code, failed.value.reason, failed.value.metadata) == (
        "DEADLINE_EXCEEDED", "DEADLINE", {"asked": "no"},
    )  # fmt: skip
    assert "nothing was done" in failed.value.message
    connection.close()


async def test_a_process_that_left_before_it_was_asked_has_done_nothing() -> None:
    connection, peer = await connected()
    with peer:
        connection.close()
        await asyncio.sleep(0)
        with pytest.raises(CallFailure) as failed, connection.call(b'{"op":"change"}'):
            raise AssertionError("it was asked")
        assert (failed.value.code, failed.value.reason, failed.value.metadata) == (
            "UNAVAILABLE", "PROCESS_LEFT", {"asked": "no"},
        )  # fmt: skip
        peer.setblocking(True)
        assert peer.recv(100) == b"", "not a byte came"


@pytest.mark.parametrize(
    ("code", "asked", "outcome"),
    [
        ("DEADLINE_EXCEEDED", "", "UNKNOWN"),
        ("DEADLINE_EXCEEDED", "no", "TIMED_OUT"),
        ("UNAVAILABLE", "", "UNKNOWN"),
        ("UNAVAILABLE", "no", "UNREACHABLE"),
        ("INTERNAL", "no", "UNKNOWN"),
        ("PERMISSION_DENIED", "no", "DENIED"),
        ("INVALID_ARGUMENT", "", "REFUSED"),
    ],
)
def test_the_audit_log_tells_them_apart(code: str, asked: str, outcome: str) -> None:
    answer = module_service_pb2.EvictModulesResponse(error=error_pb2.ErrorDetail(code=code, reason="R", message="why"))
    if asked:
        answer.error.metadata["asked"] = asked
    assert records.result_of(answer)["outcome"] == outcome
