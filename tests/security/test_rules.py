"""Rules at work in a real service: overrides by name, a full disk, an open door that is shown, frost."""

from __future__ import annotations

import json
import os
import resource
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from modctl.client import TLS, ChangeOptions, Fleet
from modctl.v1 import change_pb2, module_service_pb2
from support import gateways
from support.cli import document, modctl
from support.services import free_port
from support.waiting import until

from security.certified import flags, served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.services import Service

pytestmark = [pytest.mark.timeout(180)]


def test_protection_is_overridden_by_an_admin_by_name_and_for_one_request(
    start: Callable[..., Service], tls: Path, state_dir: Path, short_dir: Path
) -> None:
    policy = short_dir / "policy.toml"
    policy.write_text('version = 1\n[protected]\nnames = ["billing.tax"]\n')
    port = free_port()
    start(f"{served(tls, port)}, policy={str(policy)!r}")
    # One that the policy protects, and one that the process does.
    for name in ("billing.tax", "importlib"):
        code = 3
        reimport = ("reimport", name, "--dry-run")
        for who in ("o", "a") if name == "importlib" else ("a",):
            ran = modctl(*reimport, *flags(tls, who, port), state_dir=state_dir, expect=code)
            assert "protected" in (ran.stdout + ran.stderr).lower()
            assert "REFUSED" in ran.stdout + ran.stderr
            assert "--override" in ran.stdout + ran.stderr, "the cure"
        ran = modctl(*reimport, "--override", name, *flags(tls, "o", port), state_dir=state_dir, expect=7)
        assert "override" in ran.stderr
        ran = modctl(*reimport, "--override", "billing", *flags(tls, "a", port), state_dir=state_dir, expect=code)
        assert "protected" in (ran.stdout + ran.stderr).lower(), "it is for the names that it names"
        modctl(*reimport, "--override", name, *flags(tls, "a", port), state_dir=state_dir)
        modctl(*reimport, *flags(tls, "a", port), state_dir=state_dir, expect=code)
    told = document("history", "--audit", *flags(tls, "a", port), state_dir=state_dir)["results"][0]["records"]
    overrides = [(one["who"], one["overrides"]) for one in told if one["event"] == "attempt" and one["overrides"]]
    assert ("uri:modctl://admin/a", ["billing.tax"]) in overrides
    assert ("uri:modctl://operator/o", ["importlib"]) in overrides


def test_a_request_id_is_nobody_else_s_and_no_other_request_s(
    start: Callable[..., Service], tls: Path, state_dir: Path
) -> None:
    port = free_port()
    start(served(tls, port))

    def fleet(who: str) -> Fleet:
        files = {"ca": tls / "ca.pem", "cert": tls / f"{who}.pem", "key": tls / f"{who}.key"}
        tls_files = TLS(**{what: str(file) for what, file in files.items()})
        return Fleet.connect(f"localhost:{port}", tls=tls_files, connect_timeout_s=30, timeout_s=60)

    with fleet("o") as operator, fleet("a") as admin:
        options = ChangeOptions(request_id="one", reason="mine")
        [first] = operator.reimport("billing.tax", options=options).rows
        [again] = operator.reimport("billing.tax", options=options).rows
        assert (first.outcome, again.value) == ("APPLIED", first.value)
        asked = [
            operator.reimport("billing", options=options),
            operator.reimport("billing.tax", options=replace(options, dry_run=True)),
            operator.undo(options=options),
            admin.reimport("billing.tax", options=options),
        ]
        for rows in asked:
            [row] = rows.rows
            assert row.outcome == "REFUSED"
            assert row.error is not None
            assert row.error.reason == "REQUEST_ID_REUSED"
            assert "nothing was done" in row.why
            assert row.value is None, "nobody hears another's answer"
        [history] = admin.history().rows
        assert history.value is not None
        assert [revision.number for revision in history.value] == [1]
        told = document("history", "--audit", *flags(tls, "a", port), state_dir=state_dir)["results"][0]["records"]
        ends = [one["results"][0]["outcome"] for one in told if one["event"] == "outcome"]
        assert sorted(ends) == ["APPLIED", "APPLIED", "REFUSED", "REFUSED", "REFUSED", "REFUSED"], ends


def test_all_that_is_protected_is_told_in_one_answer(start: Callable[..., Service], state_dir: Path) -> None:
    start("")
    protected = ("sys", "builtins", "modctl.agent.errors")
    ran = modctl("evict", *protected, "__main__", "--all", state_dir=state_dir, expect=3)
    lines = {line.split()[2]: line for line in ran.stdout.splitlines()[1:]}
    assert set(lines) == {*protected, "__main__"}
    for name in protected:
        assert "PROTECTED" in lines[name], ran.stdout
        assert "--override" in lines[name] or name == "modctl.agent.errors", ran.stdout
    assert "the running program itself" in lines["__main__"]


def test_an_open_door_is_shown_to_everybody_who_looks(start: Callable[..., Service], state_dir: Path) -> None:
    port = free_port()
    start(f'listen="127.0.0.1:{port}", insecure=True')
    target = ("-H", f"127.0.0.1:{port}")
    assert "INSECURE" in modctl("agents", "-o", "wide", *target, state_dir=state_dir).stdout
    found = document("doctor", *target, state_dir=state_dir, expect=None)["results"]
    assert any("insecure" in one["what"] and one["level"] == "warning" and one["cure"] for one in found)
    ran = modctl("inject", "x", "--block", *target, state_dir=state_dir, expect=7)
    assert "anonymous" in ran.stderr


def test_a_full_disk_stops_changes_says_so_and_stops_nothing_else(
    start: Callable[..., Service], state_dir: Path
) -> None:
    service = start("")
    modctl("reimport", "billing.tax", "--all", "--reason", "before", state_dir=state_dir)
    [info] = gateways.infos(state_dir)
    log = next(state_dir.glob("shop-*")) / "audit.jsonl"
    unlimited = resource.prlimit(info["pid"], resource.RLIMIT_FSIZE)
    # No file of the gateway may grow beyond this: its writes fail as they do where there is no room.
    resource.prlimit(info["pid"], resource.RLIMIT_FSIZE, (log.stat().st_size + 100, unlimited[1]))
    try:
        for _ in range(2):
            ran = modctl("reimport", "billing.tax", "--all", "--reason", "full", state_dir=state_dir, expect=None)
            assert ran.code != 0
            assert "the audit log cannot be written" in ran.stdout + ran.stderr
            assert "make room" in ran.stdout + ran.stderr
        modctl("list", "billing.*", state_dir=state_dir)
        modctl("get", "billing.tax", "--source", state_dir=state_dir)
        assert len(document("history", state_dir=state_dir)["results"][0]["revisions"]) == 1
        assert len(document("history", "--audit", state_dir=state_dir)["results"][0]["records"]) == 2
        found = document("doctor", state_dir=state_dir, expect=1)["results"]
        assert any("audit log" in one["what"] and one["level"] == "problem" for one in found)
        assert service.agent_pids() == {service.pid}
        assert gateways.pids(state_dir) == [info["pid"]]
    finally:
        resource.prlimit(info["pid"], resource.RLIMIT_FSIZE, unlimited)
    modctl("reimport", "billing.tax", "--all", "--reason", "after", state_dir=state_dir)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["reason"] for one in events if one["event"] == "attempt"] == ["before", "after"]
    assert all(one["cure"] for one in found if one["level"] == "problem")


def test_the_doctor_tells_of_a_policy_that_is_broken_and_of_a_port_that_is_taken(
    start: Callable[..., Service], state_dir: Path, short_dir: Path
) -> None:
    import socket

    policy = short_dir / "policy.toml"
    policy.write_text('version = 1\n[require]\nreason = "always"\n')
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        start(f'listen="127.0.0.1:{port}", policy={str(policy)!r}')

        def findings() -> list[dict[str, Any]] | None:
            results = document("doctor", state_dir=state_dir, expect=None)["results"]
            found = [one for one in results if one["level"] in ("warning", "problem")]
            return found if any(f"127.0.0.1:{port}" in one["what"] for one in found) else None

        found = until(findings, 20, what="a word of the port")
        there = document("doctor", "-H", f"127.0.0.1:{port}", state_dir=state_dir, expect=1)["results"]
    assert any(one["level"] == "problem" and one["cure"] for one in there), "nobody of ours listens there"
    told = "\n".join(one["what"] for one in found)
    assert any(f"{policy}:3" in one["what"] and one["level"] == "problem" and one["cure"] for one in found)
    assert f"127.0.0.1:{port}" in told
    assert "free" in told, "the cure"
    ran = modctl("evict", "billing.tax", "--all", state_dir=state_dir, expect=7)
    assert "policy" in ran.stderr
    modctl("list", "billing", state_dir=state_dir)


def test_a_service_is_frozen_and_thawed_by_command_file_and_signal(
    start: Callable[..., Service], state_dir: Path
) -> None:
    import signal

    service = start("")
    [info] = gateways.infos(state_dir)
    folder = next(state_dir.glob("shop-*"))

    def trial() -> str:
        """What comes of a change that is tried: bare gRPC, since a command takes its time."""
        request = module_service_pb2.EvictModulesRequest(
            operations=[change_pb2.EvictOperation(name="billing.tax")],
            options=change_pb2.ChangeOptions(dry_run=True),
        )
        with gateways.Gateway(folder) as gateway:
            try:
                [answer] = gateway.modules.EvictModules(request, timeout=30)
            except grpc.RpcError as error:
                return str(error.details())
        refusals = [f"{module.refusal.reason}: {module.refusal.hint}" for module in answer.result.modules]
        return change_pb2.Outcome.Name(answer.result.outcome) + "; ".join(refusals) + answer.result.message

    assert "PLANNED" in trial()
    ways: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "command": (
            lambda: modctl("freeze", "--all", "--reason", "holiday", state_dir=state_dir),
            lambda: modctl("thaw", "--all", state_dir=state_dir),
        ),
        "file": (lambda: (folder / "freeze").write_text("holiday\n"), lambda: (folder / "freeze").unlink()),
        "file for all": (
            lambda: (state_dir / "freeze").write_text("holiday\n"),
            lambda: (state_dir / "freeze").unlink(),
        ),
        "signal": (lambda: os.kill(info["pid"], signal.SIGUSR1), lambda: os.kill(info["pid"], signal.SIGUSR2)),
    }
    for way, (freeze, thaw) in ways.items():
        freeze()
        until(lambda: "frozen" in trial().lower(), 30, what=f"frost by {way}")
        assert ("holiday" in trial()) == (way != "signal"), way
        # Changes are refused at once; the processes, which say so to whoever asks, are told a moment later.
        until(
            lambda: [one for one in document("agents", state_dir=state_dir)["results"] if one["frozen"]],
            30,
            what=f"{way} shown by `modctl agents`",
        )
        ran = modctl("evict", "billing.tax", "--all", state_dir=state_dir, expect=3)
        assert "frozen" in (ran.stdout + ran.stderr).lower()
        thaw()
        until(lambda: "PLANNED" in trial(), 30, what=f"thaw by {way}")
    assert not service.has_ended()
