"""Policies, limits, frost and the audit log, through real channels to a gateway."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from modctl.gateway import doorkeeper
from modctl.local import signing
from modctl.v1 import agent_service_pb2, change_pb2, module_service_pb2

from gateway.fake_agent import FakeAgent, applied, error, last, silent
from gateway.world import EVERYBODY, Stubs, detail_of, injection, package, stubs, until

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.conftest import Processes

Agents = Callable[..., FakeAgent]
api_ = module_service_pb2
Evict = change_pb2.EvictOperation


def policy(folder: Path, text: str) -> str:
    place = folder / "policy.toml"
    draft = folder / "policy.draft"
    draft.write_text("version = 1\n" + text)
    draft.rename(place)
    return str(place)


def evict(api: Stubs, *names: str, recursive: bool = False, **options: Any) -> Any:
    request = api_.EvictModulesRequest(
        operations=[Evict(name=name, recursive=recursive) for name in names],
        options=change_pb2.ChangeOptions(**options),
    )
    return list(api.modules.EvictModules(request, metadata=EVERYBODY, timeout=10))


def refusal(call: Callable[[], Any]) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return detail_of(caught.value)


def changes_of(agent: FakeAgent) -> list[dict[str, Any]]:
    return [one for one in agent.seen if one.get("op") == "change"]


def trail(instance_dir: Path) -> list[dict[str, Any]]:
    file = instance_dir / "audit.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


# -- who may


def test_without_a_policy_this_user_may_do_everything(api: Stubs, agent: Agents) -> None:
    agent()
    assert evict(api, "a")[0].result.outcome == change_pb2.OUTCOME_APPLIED
    answer = next(api.modules.InjectModule(injection(source=b"X = 1"), timeout=10))
    assert answer.result.outcome == change_pb2.OUTCOME_APPLIED


def test_what_is_refused_never_reaches_a_process(api: Stubs, agent: Agents, short_dir: Path) -> None:
    place = policy(short_dir, f'[identities]\n"uid:{os.getuid()}" = "viewer"')
    there = agent(policy=place)
    detail = refusal(lambda: evict(api, "a", "b"))
    assert (detail.code, detail.reason) == ("PERMISSION_DENIED", "DENIED")
    assert place in detail.message
    assert set(detail.metadata) == {"a", "b"}
    assert changes_of(there) == []
    for call in (
        lambda: list(api.modules.InjectModule(injection(source=b""))),
        lambda: list(api.modules.ImportModules(api_.ImportModulesRequest(names=["a"]))),
        lambda: list(api.modules.Undo(api_.UndoRequest())),
        lambda: list(api.modules.GetModule(api_.GetModuleRequest(name="a", attributes=["X"]))),
        lambda: list(api.agents.Freeze(agent_service_pb2.FreezeRequest())),
        lambda: api.agents.ListAudit(agent_service_pb2.ListAuditRequest()),
    ):
        assert refusal(call).reason == "DENIED"
    assert there.seen == []
    api.agents.ListProcesses(agent_service_pb2.ListProcessesRequest())


def test_who_may_nothing_learns_nothing_of_who_is_here(api: Stubs, agent: Agents, short_dir: Path) -> None:
    place = policy(short_dir, '[defaults]\nuser = "none"')
    agent(policy=place), agent(policy=place)
    detail = refusal(lambda: list(api.modules.ListModules(api_.ListModulesRequest())))
    assert detail.reason == "DENIED"  # and not PROCESS_AMBIGUOUS with the list
    assert "1000" not in str(detail)


def test_a_policy_that_changes_holds_for_the_next_call(api: Stubs, agent: Agents, short_dir: Path) -> None:
    place = policy(short_dir, '[defaults]\nuser = "viewer"')
    agent(policy=place)
    assert refusal(lambda: evict(api, "a")).reason == "DENIED"
    policy(short_dir, "")
    assert evict(api, "a")


def test_a_policy_that_breaks_changes_nothing_and_is_told(api: Stubs, agent: Agents, short_dir: Path) -> None:
    place = policy(short_dir, '[[rules]]\ndeny = ["evict"]\nnames = ["a"]')
    agent(policy=place)
    policy(short_dir, "[rules\n")
    assert refusal(lambda: evict(api, "a")).reason == "DENIED"
    assert evict(api, "b")
    warnings = api.agents.GetAgent(agent_service_pb2.GetAgentRequest()).warnings
    assert any(f"{place}:2" in warning for warning in warnings)


def test_a_policy_that_was_never_right_lets_nobody_change_anything(api: Stubs, agent: Agents, short_dir: Path) -> None:
    agent(policy=policy(short_dir, "x"))
    detail = refusal(lambda: evict(api, "a"))
    assert detail.reason == "POLICY_BROKEN"
    assert "policy.toml:2" in detail.message
    api.agents.ListProcesses(agent_service_pb2.ListProcessesRequest())


def test_the_strictest_of_several_policies_decides(api: Stubs, agent: Agents, short_dir: Path) -> None:
    agent()
    agent(policy=policy(short_dir, '[[rules]]\ndeny = ["evict"]\nnames = ["a"]'))
    assert refusal(lambda: evict(api, "a")).reason == "DENIED"
    only_first = (("modctl-process", "1000"),)
    assert list(api.modules.EvictModules(api_.EvictModulesRequest(operations=[Evict(name="a")]), metadata=only_first))


def test_lifted_names_are_told_to_the_processes(api: Stubs, agent: Agents, short_dir: Path) -> None:
    there = agent(policy=policy(short_dir, '[protected]\nlift = ["numpy.**"]'))
    evict(api, "numpy.linalg", "a", override_protected=["b"])
    assert changes_of(there)[0]["override_protected"] == ["b", "numpy.linalg"]


def test_a_reason_is_wanted_where_the_labels_say_so(api: Stubs, agent: Agents, short_dir: Path) -> None:
    agent(policy=policy(short_dir, '[[contexts]]\nname="prod"\nlabels={ zone = "a" }\nrequire_reason=true'))
    detail = refusal(lambda: evict(api, "a"))
    assert (detail.code, detail.reason) == ("FAILED_PRECONDITION", "REASON_REQUIRED")
    assert "--reason" in detail.message
    assert evict(api, "a", reason="INC-1")


def test_an_undo_is_held_against_the_names_that_it_touches(api: Stubs, agent: Agents, short_dir: Path) -> None:
    place = policy(short_dir, '[[rules]]\ndeny = ["undo"]\nnames = ["pay.*"]')
    history = [
        {"number": 3, "modules": [{"name": "shop"}], "undone_by": 4},
        {"number": 2, "modules": [{"name": "pay.tax"}]},
        {"number": 1, "modules": [{"name": "shop"}]},
    ]
    agent(policy=place, handlers={"list_revisions": lambda *_: last({"revisions": history})})
    assert refusal(lambda: list(api.modules.Undo(api_.UndoRequest()))).reason == "DENIED"
    assert refusal(lambda: list(api.modules.Undo(api_.UndoRequest(revision=2)))).reason == "DENIED"
    assert list(api.modules.Undo(api_.UndoRequest(revision=1)))


# -- signatures


KEY = Ed25519PrivateKey.generate()


def signed(name: str, digest: str, key: Ed25519PrivateKey = KEY) -> change_pb2.Signature:
    at = int(time.time())
    return change_pb2.Signature(
        key="k",
        name=name,
        digest=digest,
        signed_at_unix_s=at,
        signature=key.sign(signing.statement(name, digest, at, 0)),
    )


def signing_policy(folder: Path) -> str:
    import base64

    public = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
    return policy(folder, f'[require]\nsignature = true\n[[keys]]\nname = "k"\npublic = "{public}"')


def test_unsigned_source_is_refused_and_signed_source_is_not(api: Stubs, agent: Agents, short_dir: Path) -> None:
    there = agent(policy=signing_policy(short_dir))
    source = "# -*- coding: latin-1 -*-\r\nX = '\xe4'\r\n"
    digest = signing.text_digest(source.replace("\r\n", "\n"))

    def inject(*signatures: change_pb2.Signature, text: str = source) -> Any:
        request = injection("a", source=text.encode("latin-1"))
        request.options.signatures.extend(signatures)
        return list(api.modules.InjectModule(request, timeout=10))

    assert refusal(inject).reason == "SIGNATURE_REQUIRED"
    assert refusal(lambda: inject(signed("b", digest))).reason == "SIGNATURE_REQUIRED"
    assert refusal(lambda: inject(signed("a", digest), text="X = 1")).reason == "SIGNATURE_REQUIRED"
    other = Ed25519PrivateKey.generate()
    assert refusal(lambda: inject(signed("a", digest, other))).reason == "SIGNATURE_REQUIRED"
    assert changes_of(there) == []
    assert inject(signed("a", digest))[0].result.outcome == change_pb2.OUTCOME_APPLIED
    assert list(api.modules.InjectModule(injection("a", block=True), timeout=10))


def test_a_package_is_signed_as_a_whole(api: Stubs, agent: Agents, short_dir: Path) -> None:
    agent(policy=signing_policy(short_dir))
    files: dict[str, bytes | str] = {"__init__.py": "", "a.py": "A = 1", "sub/b.py": "", "x.json": "{}"}
    modules = [
        signing.Module("p", True, ""),
        signing.Module("p.sub", True, ""),
        signing.Module("p.a", False, "A = 1"),
        signing.Module("p.sub.b", False, ""),
    ]
    good = signed("p", signing.package_digest(modules, {"x.json": b"{}"}))

    def inject(more: dict[str, bytes | str]) -> Any:
        request = injection("p", package=package({**files, **more}))
        request.options.signatures.append(good)
        return list(api.modules.InjectModule(request, timeout=10))

    assert inject({})
    for more in ({"a.py": "A = 2"}, {"x.json": "[]"}, {"y.json": ""}, {"z.py": ""}):
        assert refusal(lambda more=more: inject(more)).reason == "SIGNATURE_REQUIRED"


# -- limits and frost


def test_changes_that_come_too_often_are_told_when_to_come_again(api: Stubs, agent: Agents, short_dir: Path) -> None:
    agent(policy=policy(short_dir, "[limits]\nchanges_per_minute = 60\nchange_burst = 3"))
    for _ in range(3):
        assert evict(api, "a")
    detail = refusal(lambda: evict(api, "a"))
    assert (detail.code, detail.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_CHANGES")
    assert 0 < float(detail.metadata["retry_after_s"]) <= 1
    assert evict(api, "a", dry_run=True)
    time.sleep(float(detail.metadata["retry_after_s"]) + 0.05)
    assert evict(api, "a")


def test_a_request_over_the_policys_size_is_refused(api: Stubs, agent: Agents, short_dir: Path) -> None:
    agent(policy=policy(short_dir, "[limits]\nrequest_bytes = 2048"))
    assert refusal(lambda: list(api.modules.InjectModule(injection(source=b"#" * 3000)))).reason == "REQUEST_TOO_LARGE"
    assert list(api.modules.InjectModule(injection(source=b"#" * 100)))


@pytest.mark.parametrize("place", ["own", "everybody's"])
def test_a_file_freezes_and_its_removal_thaws(api: Stubs, agent: Agents, instance_dir: Path, place: str) -> None:
    frozen: list[str] = []

    def turn(told: FakeAgent, request: dict[str, Any]) -> Any:
        frozen.append(request["op"])
        told.facts.update(frozen=request["op"] == "freeze", frozen_reason=request["reason"])
        return last({"process": told.facts})

    there = agent(handlers={"freeze": turn, "thaw": turn})
    file = (instance_dir if place == "own" else instance_dir.parent) / "freeze"
    file.write_text("INC-7: hands off\nmore\n")
    detail = refusal(lambda: evict(api, "a"))
    assert (detail.code, detail.reason) == ("FAILED_PRECONDITION", "FROZEN")
    assert "INC-7: hands off" in detail.message
    assert str(file) in detail.message
    assert refusal(lambda: list(api.agents.Thaw(agent_service_pb2.ThawRequest()))).reason == "FROZEN"
    assert changes_of(there) == []
    until(lambda: frozen == ["freeze"], 5)
    file.unlink()
    assert evict(api, "a")
    until(lambda: frozen == ["freeze", "thaw"], 5)


def test_what_an_operator_froze_is_not_thawed_by_the_removal_of_a_file(
    api: Stubs, agent: Agents, instance_dir: Path
) -> None:
    there = agent(process={"frozen": True, "frozen_reason": "release"})
    file = instance_dir / "freeze"
    file.touch()
    time.sleep(1.3)
    file.unlink()
    time.sleep(1.3)
    assert not [one for one in there.seen if one["op"] in ("freeze", "thaw")]


def test_a_signal_freezes_and_another_thaws(processes: Processes, instance_dir: Path) -> None:
    gateway = processes.served(grace_s=30)
    processes.agent()
    with stubs(f"unix://{instance_dir}/gateway.sock") as api:
        gateway.send_signal(signal.SIGUSR1)
        until(lambda: (instance_dir / "freeze").exists())
        assert refusal(lambda: evict(api, "a")).reason == "FROZEN"
        gateway.send_signal(signal.SIGUSR2)
        until(lambda: not (instance_dir / "freeze").exists())
        assert evict(api, "a")


# -- the record


def test_every_attempt_is_on_record_twice_with_who_what_and_what_came_of_it(
    api: Stubs, agent: Agents, instance_dir: Path
) -> None:
    agent(), agent()
    evict(api, "a", "b", reason="INC-1", request_id="r1")
    first, second = trail(instance_dir)
    assert (first["event"], second["event"]) == ("attempt", "outcome")
    assert first["id"] == second["id"]
    assert first["who"] == f"uid:{os.getuid()}"
    assert (first["how"], first["role"], first["method"]) == ("user", "admin", "EvictModules")
    assert (first["verbs"], first["names"]) == (["evict"], ["a", "b"])
    assert (first["reason"], first["request_id"], len(first["processes"])) == ("INC-1", "r1", 2)
    assert second["outcome"] == "APPLIED"
    assert {one["process"]: one["outcome"] for one in second["results"]} == dict.fromkeys(first["processes"], "APPLIED")


def test_the_first_line_is_on_disk_before_a_process_hears_of_the_change(
    api: Stubs, agent: Agents, instance_dir: Path
) -> None:
    seen: list[list[str]] = []

    def look(told: FakeAgent, request: dict[str, Any]) -> Any:
        seen.append([line["event"] for line in trail(instance_dir)])
        return applied(told, request)

    agent(handlers={"change": look})
    evict(api, "a")
    assert seen == [["attempt"]]
    assert [line["event"] for line in trail(instance_dir)] == ["attempt", "outcome"]


def test_reads_are_not_on_record_and_refusals_are(api: Stubs, agent: Agents, instance_dir: Path) -> None:
    agent(handlers={"list_revisions": lambda *_: last({"revisions": []})})
    list(api.modules.ListRevisions(api_.ListRevisionsRequest()))
    assert trail(instance_dir) == []
    refusal(lambda: evict(api, "../x"))
    refusal(lambda: list(api.modules.EvictModules(api_.EvictModulesRequest())))
    (instance_dir / "freeze").touch()
    refusal(lambda: evict(api, "a"))
    told = trail(instance_dir)
    assert [line["event"] for line in told] == ["attempt", "outcome"] * (len(told) // 2)
    assert told[-1]["outcome"] == "REFUSED"
    assert "FROZEN" in told[-1]["why"]


def test_a_process_that_leaves_in_mid_change_is_an_unknown_outcome(
    api: Stubs, agent: Agents, instance_dir: Path
) -> None:
    def leave(told: FakeAgent, _: dict[str, Any]) -> Any:
        told.close()
        return iter(())

    agent(handlers={"change": leave})
    assert evict(api, "a")[0].error.reason == "PROCESS_LEFT"
    told = trail(instance_dir)[-1]
    assert (told["event"], told["outcome"]) == ("outcome", "UNKNOWN")


@pytest.mark.parametrize(("leaves", "outcome"), [(False, "TIMED_OUT"), (True, "UNREACHABLE")])
def test_a_process_that_was_not_asked_to_change_anything_has_not_an_unknown_outcome(
    api: Stubs, agent: Agents, instance_dir: Path, leaves: bool, outcome: str
) -> None:
    def resolve(told: FakeAgent, request: dict[str, Any]) -> Any:
        if leaves:
            told.close()
        return silent(told, request)

    one = agent(handlers={"resolve": resolve})
    request = module_service_pb2.ReimportModulesRequest(operations=[change_pb2.ReimportOperation(name="a")])
    [answer] = api.modules.ReimportModules(request, timeout=1)
    assert answer.error.reason == ("PROCESS_LEFT" if leaves else "DEADLINE")
    assert answer.error.metadata["asked"] == "no"
    assert "nothing was done" in answer.error.message
    assert "change" not in one.ops()
    told = trail(instance_dir)[-1]
    assert (told["event"], told["outcome"]) == ("outcome", outcome)
    [result] = told["results"]
    assert "nothing was done" in result["why"]


def test_a_change_that_the_process_did_not_answer_in_time_stays_unknown(
    api: Stubs, agent: Agents, instance_dir: Path
) -> None:
    agent(handlers={"change": silent})
    request = module_service_pb2.EvictModulesRequest(operations=[change_pb2.EvictOperation(name="a")])
    [answer] = api.modules.EvictModules(request, timeout=1)
    assert (answer.error.reason, dict(answer.error.metadata)) == ("DEADLINE", {})
    assert trail(instance_dir)[-1]["outcome"] == "UNKNOWN"


def test_a_caller_that_leaves_in_mid_change_is_an_unknown_outcome(
    api: Stubs, agent: Agents, instance_dir: Path
) -> None:
    there = agent(handlers={"change": lambda *_: iter(())})
    call = api.modules.EvictModules(api_.EvictModulesRequest(operations=[Evict(name="a")]))
    until(lambda: changes_of(there))
    call.cancel()
    until(lambda: len(trail(instance_dir)) == 2, 5)
    assert trail(instance_dir)[-1]["outcome"] == "UNKNOWN"


def test_whoever_may_nothing_cannot_push_the_past_out_of_the_log(
    api: Stubs, agent: Agents, instance_dir: Path, short_dir: Path
) -> None:
    agent(policy=policy(short_dir, '[defaults]\nuser = "viewer"'))
    for _ in range(130):
        refusal(lambda: evict(api, "a"))
    assert 200 <= len(trail(instance_dir)) < 2 * 125
    policy(short_dir, "")
    evict(api, "a")
    assert trail(instance_dir)[-2]["suppressed"] >= 5


def test_a_refusal_of_a_thousand_names_is_a_short_line(
    api: Stubs, agent: Agents, instance_dir: Path, short_dir: Path
) -> None:
    agent(policy=policy(short_dir, '[defaults]\nuser = "viewer"'))
    refusal(lambda: evict(api, *(f"{'x' * 400}{number}" for number in range(1000))))
    first, second = trail(instance_dir)
    assert (len(first["names"]), first["more_names"], second["outcome"]) == (20, 980, "DENIED")
    assert (instance_dir / "audit.jsonl").stat().st_size < 30_000


def test_more_parts_than_a_change_set_may_have_are_refused_before_they_are_looked_at(api: Stubs, agent: Agents) -> None:
    agent()
    many = api_.EvictModulesRequest(operations=[Evict(name="a")] * 200_000)
    began_s = time.monotonic()
    assert refusal(lambda: list(api.modules.EvictModules(many, timeout=20))).reason == "BAD_REQUEST"
    assert time.monotonic() - began_s < 5
    for field in ("override_protected", "signatures"):
        value = ["a"] * 2000 if field == "override_protected" else [change_pb2.Signature()] * 2000
        assert refusal(lambda field=field, value=value: evict(api, "a", **{field: value})).reason == "BAD_REQUEST"


def test_a_process_that_joins_after_the_decision_is_not_changed(api: Stubs, agent: Agents, short_dir: Path) -> None:
    """The decision is about those who were there; here the first one's history is what is waited for meanwhile."""
    place = policy(short_dir, '[[rules]]\ndeny = ["undo"]\nnames = ["pay.*"]')
    later: list[FakeAgent] = []

    def join(*_: Any) -> Any:
        if not later:
            later.append(agent())
        return last({"revisions": [{"number": 1, "modules": [{"name": "shop"}]}]})

    there = agent(policy=place, handlers={"list_revisions": join})
    assert len(list(api.modules.Undo(api_.UndoRequest(), metadata=EVERYBODY, timeout=10))) == 1
    assert len(changes_of(there)) == 1
    assert later
    assert changes_of(later[0]) == []


def test_who_shares_a_log_reads_its_own_lines_only(api: Stubs, agent: Agents, short_dir: Path) -> None:
    shared = short_dir / "shared.jsonl"
    shared.write_text('{"v":1,"event":"attempt","id":"x","instance":"/run/other","names":["secret"]}\n')
    shared.chmod(0o600)
    agent(policy=policy(short_dir, f'[audit]\nfile = "{shared}"'))
    evict(api, "a")
    answer = api.agents.ListAudit(agent_service_pb2.ListAuditRequest())
    assert len(answer.records) == 2
    assert not any("secret" in one for one in answer.records)


def test_no_source_value_or_token_is_in_the_log(api: Stubs, agent: Agents, instance_dir: Path) -> None:
    agent()
    list(api.modules.InjectModule(injection(source=b"PASSWORD = 'hunter2'")))
    attributes = change_pb2.Attributes(json={"KEY": '"hunter2"'})
    list(api.modules.InjectModule(injection(attributes=attributes)))
    assert "hunter2" not in (instance_dir / "audit.jsonl").read_text()
    assert len(trail(instance_dir)[0]["digests"]) == 1


def test_a_log_that_cannot_be_written_stops_changes_and_nothing_else(
    api: Stubs, agent: Agents, instance_dir: Path
) -> None:
    there = agent(handlers={"list_revisions": lambda *_: last({"revisions": []})})
    (instance_dir / "audit.jsonl").mkdir()
    detail = refusal(lambda: evict(api, "a"))
    assert (detail.code, detail.reason) == ("FAILED_PRECONDITION", "AUDIT_UNAVAILABLE")
    assert "audit.jsonl" in detail.message
    assert changes_of(there) == []
    assert list(api.modules.ListRevisions(api_.ListRevisionsRequest()))
    warnings = api.agents.GetAgent(agent_service_pb2.GetAgentRequest()).warnings
    assert any("audit.jsonl" in warning for warning in warnings)
    (instance_dir / "audit.jsonl").rmdir()
    assert evict(api, "a")
    assert api.agents.GetAgent(agent_service_pb2.GetAgentRequest()).warnings == []


def test_the_log_is_turned_over_where_the_policy_says_and_keeps_what_it_says(
    api: Stubs, agent: Agents, short_dir: Path
) -> None:
    place = short_dir / "shop.jsonl"
    agent(policy=policy(short_dir, f"[audit]\nfile = {str(place)!r}\nmax_bytes = 65536\nkeep = 2"))
    parts = [place, *(place.with_name(f"shop.jsonl.{number}") for number in (1, 2, 3))]
    count = 0
    while not parts[2].exists():
        evict(api, *(f"{'x' * 200}_{number}" for number in range(100)), reason=str(count))
        count += 1
        assert count < 100
    assert not parts[3].exists()
    assert max(part.stat().st_size for part in parts[:3]) <= 65536
    told = [json.loads(line) for part in reversed(parts[:3]) for line in part.read_text().splitlines()]
    attempts = [one["id"] for one in told if one["event"] == "attempt"]
    outcomes = [one["id"] for one in told if one["event"] == "outcome"]
    assert len(attempts) == count
    assert attempts == outcomes, "nothing is lost while a log is turned over"
    answer = api.agents.ListAudit(agent_service_pb2.ListAuditRequest(limit=2 * count))
    assert [json.loads(one)["id"] for one in answer.records[1::2]] == attempts[::-1]


def test_the_log_is_told_newest_first(api: Stubs, agent: Agents, instance_dir: Path) -> None:
    agent()
    for name in ("a", "b", "c"):
        evict(api, name)
    answer = api.agents.ListAudit(agent_service_pb2.ListAuditRequest(limit=4))
    told = [json.loads(one) for one in answer.records]
    assert [one["event"] for one in told] == ["outcome", "attempt"] * 2
    assert [one["names"] for one in told[1::2]] == [["c"], ["b"]]
    assert answer.file == str(instance_dir / "audit.jsonl")


def test_a_gateway_that_was_killed_leaves_no_attempt_without_an_outcome(
    processes: Processes, instance_dir: Path
) -> None:
    first = processes.served(grace_s=30)
    hanging = FakeAgent(instance_dir, pid=os.getpid(), handlers={"change": lambda *_: iter(())})
    hanging.welcome()
    with stubs(f"unix://{instance_dir}/gateway.sock") as api:
        request = api_.EvictModulesRequest(operations=[Evict(name="a")])
        call = api.modules.EvictModules(request, metadata=EVERYBODY)
        until(lambda: changes_of(hanging))
        first.kill()
        first.wait()
        call.cancel()
    hanging.close()
    assert [line["event"] for line in trail(instance_dir)] == ["attempt"]
    processes.gateway(grace_s=30)
    until(lambda: (instance_dir / "agent.sock").exists())
    again = FakeAgent(instance_dir, pid=os.getpid())
    again.welcome()
    with stubs(f"unix://{instance_dir}/gateway.sock") as api:
        evict(api, "b")
    again.close()
    told = trail(instance_dir)
    assert [line["event"] for line in told] == ["attempt", "outcome", "attempt", "outcome"]
    assert (told[1]["id"], told[1]["outcome"]) == (told[0]["id"], "UNKNOWN")


def test_an_error_of_a_process_is_on_record(api: Stubs, agent: Agents, instance_dir: Path) -> None:
    agent(handlers={"change": lambda *_: error("RESOURCE_EXHAUSTED", "BUSY")})
    evict(api, "a")
    told = trail(instance_dir)[-1]
    assert told["outcome"] == "REFUSED"
    assert "BUSY" in told["results"][0]["why"]


@pytest.mark.parametrize("by", ["grpc", "doorkeeper"])
def test_connections_beyond_the_limit_are_hung_up_on_and_those_within_go_on(
    api: Stubs, agent: Agents, short_dir: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "grpc" and doorkeeper.is_needed():
        pytest.skip("this grpcio knows no limit of connections; the doorkeeper is tested")
    if by == "doorkeeper":  # any grpcio is an old one then
        monkeypatch.setattr(doorkeeper, "is_needed", lambda: True)
    place = policy(short_dir, "[limits]\nconnections = 4")
    agent(policy=place, listen=["127.0.0.1:0"])
    address = until(lambda: [one for one in _addresses(api) if one.startswith("127.")])[0]
    port = int(address.rpartition(":")[2])
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
    sockets: list[socket.socket] = []
    for _ in range(2):
        for one in [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]:
            one.sendall(preface)
            one.setblocking(False)
            sockets.append(one)
        time.sleep(
            3 * doorkeeper.EVERY_S
        )  # the first four are known: of those that come at once nobody knows who was first
    until(lambda: [_is_open(one) for one in sockets] == [True] * 4 + [False] * 4)
    time.sleep(3 * doorkeeper.EVERY_S)
    assert [_is_open(one) for one in sockets] == [True] * 4 + [False] * 4
    for one in sockets:
        one.close()

    def let_in() -> bool:
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(preface)
            time.sleep(2 * doorkeeper.EVERY_S)
            one.setblocking(False)
            return _is_open(one)

    until(let_in)
    assert list(api.modules.ListModules(module_service_pb2.ListModulesRequest(), timeout=10))  # the private socket


def _addresses(api: Stubs) -> list[str]:
    return list(api.agents.GetAgent(agent_service_pb2.GetAgentRequest()).addresses)


def _is_open(connection: socket.socket) -> bool:
    """Whether the other side has not ended it."""
    try:
        while connection.recv(1000):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@pytest.mark.parametrize("limit", ["source_bytes = 20", "modules = 2"])
def test_what_a_change_brings_is_held_against_the_policys_limits(
    api: Stubs, agent: Agents, short_dir: Path, limit: str
) -> None:
    there = agent(policy=policy(short_dir, f"[limits]\n{limit}"))
    files: dict[str, bytes | str] = {"__init__.py": "", "a.py": "A = 1", "b.py": "B = 1234567890123456789"}
    answer = next(api.modules.InjectModule(injection("p", package=package(files)), timeout=10))
    assert answer.result.outcome == change_pb2.OUTCOME_REFUSED
    assert {one.refusal.reason for one in answer.result.modules} == {"LIMIT"}
    assert changes_of(there) == []
    assert list(api.modules.InjectModule(injection("p", source=b"A = 1"), timeout=10))


def test_calls_beyond_the_policys_limit_are_refused_at_once(api: Stubs, agent: Agents, short_dir: Path) -> None:
    there = agent(
        policy=policy(short_dir, "[limits]\nconcurrent_calls = 2"),
        handlers={"list_revisions": lambda *_: iter(())},
    )
    waiting = [api.modules.ListRevisions(api_.ListRevisionsRequest(), timeout=20) for _ in range(2)]
    until(lambda: sum(one["op"] == "list_revisions" for one in there.seen) == 2)
    began_s = time.monotonic()
    assert refusal(lambda: evict(api, "a")).reason == "TOO_MANY_CALLS"
    assert time.monotonic() - began_s < 2
    for one in waiting:
        one.cancel()
    until(lambda: not _refused(api))


def _refused(api: Stubs) -> bool:
    try:
        evict(api, "a")
    except grpc.RpcError as error:
        return detail_of(error).reason == "TOO_MANY_CALLS"
    return False
