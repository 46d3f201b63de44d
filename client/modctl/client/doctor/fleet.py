"""The targets: can they be reached, who are we there, what do they warn of, do their clocks and versions agree."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from modctl.client.channel import CallFailed
from modctl.client.doctor.findings import bad, good, odd
from modctl.client.requests import GET_AGENT
from modctl.local.version import VERSION
from modctl.v1 import agent_service_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modctl.client.doctor.findings import Finding
    from modctl.client.facts import Process
    from modctl.client.fleet import AsyncFleet
    from modctl.client.targets import Target

#: Clocks that differ by more make certificates and signatures fail.
SKEW_S: Final = 60.0
#: Gone after a restart of the machine.
_VOLATILE: Final = ("/run/", "/tmp/", "/dev/shm/")  # noqa: S108 - looked at, never written


async def gateway(fleet: AsyncFleet, target: Target) -> list[Finding]:
    """What one target says of itself, and of us."""
    channel = fleet.dialer.channel(target)
    sent_s = time.time()
    try:
        body = await channel.ask(GET_AGENT, b"", fleet.settings.timeout_s)
    except CallFailed as failed:
        failure = fleet.dialer.failure(failed, target)
        return [bad(target.label, f"{failure.reason}: {failure.message}", "see the sentence before")]
    answer = agent_service_pb2.GetAgentResponse.FromString(body)
    found = list(_of_answer(target.label, answer, (sent_s + time.time()) / 2))
    if answer.role == "admin":
        request = agent_service_pb2.ListAuditRequest(limit=1)
        try:
            told = await channel.ask(
                "/modctl.v1.AgentService/ListAudit", request.SerializeToString(), fleet.settings.timeout_s
            )
        except CallFailed:
            return found  # an older gateway
        found += _of_audit(target.label, agent_service_pb2.ListAuditResponse.FromString(told))
    return found


def _of_answer(where: str, answer: agent_service_pb2.GetAgentResponse, now_unix_s: float) -> Iterator[Finding]:
    role = f", {answer.role}" if answer.role else ""
    yield good(where, f"{answer.service}: {answer.processes} processes; we are {answer.identity}{role}")
    for warning in answer.warnings:
        if "policy file" in warning:
            yield bad(where, warning, "correct the lines that it names; the file is read again by itself")
            continue
        cure = "give it TLS and client certificates or a token" if "insecure" in warning else "see the warning itself"
        yield odd(where, warning, cure)
    if answer.modctl_version != VERSION:
        cure = "install the same on both sides; within one minor version they understand each other"
        yield odd(where, f"runs modctl {answer.modctl_version}, this is {VERSION}", cure)
    skew_s = answer.now_unix_s - now_unix_s
    if answer.now_unix_s and abs(skew_s) > SKEW_S:
        ahead = "ahead" if skew_s > 0 else "behind"
        yield bad(where, f"its clock is {abs(skew_s):.0f} s {ahead}", "set both by NTP: certificates depend on it")
    if not answer.processes:
        yield bad(where, "no process is connected to its gateway", "look into gateway.log beside its socket")


def _of_audit(where: str, answer: agent_service_pb2.ListAuditResponse) -> Iterator[Finding]:
    if answer.problem:
        yield bad(where, answer.problem, "make room, or name another file in the policy's [audit]")
    elif answer.file.startswith(_VOLATILE):
        cure = 'name a lasting one in the policy: [audit] file = "/var/log/modctl/audit.jsonl"'
        yield odd(where, f"its audit log {answer.file} does not outlive a restart of the machine", cure)


def processes(found: list[Process]) -> Iterator[Finding]:
    """What is odd about processes that should be alike."""
    for process in found:
        if process.frozen:
            yield odd(process.id, f"frozen: {process.frozen_reason or 'no reason given'}", "modctl thaw -H …")
        for warning in process.warnings:
            yield odd(process.id, warning, "see the warning itself")
    by_service: dict[str, list[Process]] = {}
    for process in found:
        by_service.setdefault(process.service, []).append(process)
    for service, members in by_service.items():
        for what, versions in (
            ("Python", {one.python for one in members}),
            ("modctl", {one.modctl_version for one in members}),
        ):
            if len(versions) > 1:
                shown = ", ".join(sorted(versions))
                yield odd(service, f"its processes run different {what}: {shown}", "finish the deployment")
        masters = [one for one in members if one.role == "MASTER"]
        parents = {one.parent_pid for one in members}
        for master in masters:
            if master.pid not in parents:
                yield odd(
                    master.id, "has forked workers, and none of them is connected", "run `modctl doctor` on its host"
                )
