"""What the doctor finds, where no service has to be ill for it."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from modctl.client.doctor import certificates, fleet, machine
from modctl.client.doctor.findings import BAD, GOOD, ODD, Finding
from modctl.client.facts import Process
from modctl.local.version import VERSION
from modctl.v1 import agent_service_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PROCESS = Process(
    id="shop/a/1@1",
    service="shop",
    host="a",
    pid=1,
    parent_pid=0,
    started_at_unix_s=0.0,
    python="3.11.7",
    implementation="cpython",
    modctl_version=VERSION,
    role="MAIN",
    labels={},
    revision=0,
    frozen=False,
    frozen_reason="",
    entries=3,
    command="",
    addresses=(),
    insecure=False,
    warnings=(),
)


def answer(**fields: object) -> agent_service_pb2.GetAgentResponse:
    facts = {"service": "shop", "processes": 1, "identity": "uid:1", "role": "admin", "modctl_version": VERSION}
    return agent_service_pb2.GetAgentResponse(**{**facts, **fields})  # type: ignore[arg-type]


def told(found: Iterable[Finding], level: str) -> list[str]:
    kept = [one for one in found if one.level == level]
    assert all(one.cure for one in kept) or level == GOOD
    return [one.what for one in kept]


@pytest.mark.parametrize(("skew_s", "words"), [(120.0, "120 s ahead"), (-3600.0, "3600 s behind"), (5.0, "")])
def test_a_clock_that_differs(skew_s: float, words: str) -> None:
    now = time.time()
    found = told(fleet._of_answer("t", answer(now_unix_s=now + skew_s), now), BAD)
    assert found == ([f"its clock is {words}"] if words else [])


def test_a_gateway_of_another_version_or_without_a_process_and_its_own_warnings() -> None:
    found = list(fleet._of_answer("t", answer(modctl_version="0.0.1", processes=0, warnings=["insecure"]), 0.0))
    assert len(told(found, ODD)) == 2
    assert told(found, BAD) == ["no process is connected to its gateway"]


def test_an_audit_log_that_cannot_be_written_or_does_not_last() -> None:
    answers = agent_service_pb2.ListAuditResponse
    assert told(fleet._of_audit("t", answers(file="/run/x/audit.jsonl")), ODD)
    assert told(fleet._of_audit("t", answers(file="/var/log/x.jsonl", problem="full")), BAD) == ["full"]
    assert list(fleet._of_audit("t", answers(file="/var/log/x.jsonl"))) == []


def test_processes_that_should_be_alike_and_are_not() -> None:
    assert list(fleet.processes([PROCESS, replace(PROCESS, id="b", pid=2)])) == []
    found = told(fleet.processes([PROCESS, replace(PROCESS, python="3.12.1", frozen=True, warnings=("w",))]), ODD)
    assert len(found) == 3
    assert any("different Python" in one for one in found)
    master = replace(PROCESS, role="MASTER", pid=7)
    assert told(fleet.processes([master]), ODD)
    assert told(fleet.processes([master, replace(PROCESS, parent_pid=7)]), ODD) == []


def test_the_packages_here_are_new_enough() -> None:
    assert told(machine.packages(), BAD) == []


def test_the_kill_switch_is_told(state_dir: Path) -> None:
    environ = {"MODCTL_STATE_DIR": str(state_dir), "MODCTL_DISABLE": "1"}
    assert any("MODCTL_DISABLE" in one for one in told(machine.directories(environ), ODD))


def test_a_port_that_speaks_no_tls_is_told(short_dir: Path) -> None:
    import threading

    from modctl.client.credentials import TLS
    from modctl.client.targets import parse_targets

    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_plainly() -> None:
            connection, _ = server.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        threading.Thread(target=answer_plainly, daemon=True).start()
        target = parse_targets([f"127.0.0.1:{server.getsockname()[1]}"])[0]
        found = list(certificates.server(target, TLS()))
    assert told(found, BAD)[0].startswith("no TLS handshake")


def test_wildcards_fit_one_level() -> None:
    assert certificates._fits("*.example.com", "a.example.com")
    assert not certificates._fits("*.example.com", "a.b.example.com")
    assert certificates._fits("::1", "[::1]")
