"""How a call came in decides who it is: each transport through a real channel, under a policy that tells them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from modctl.v1 import agent_service_pb2, change_pb2, module_service_pb2

from gateway.certificates import authority, credentials, issued
from gateway.world import detail_of, stubs, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.fake_agent import FakeAgent

    Agents = Callable[..., FakeAgent]

GET = agent_service_pb2.GetAgentRequest()
TOKEN = "a-token-of-a-file-1234"
POLICY = """
version = 1
[roles.r-user]
extends = "admin"
[roles.r-own]
extends = "viewer"
[roles.r-token]
extends = "operator"
[roles.r-certificate]
extends = "operator"
[roles.r-anonymous]
extends = "viewer"
[defaults]
user = "r-user"
own-token = "r-own"
token = "r-token"
certificate = "r-certificate"
anonymous = "r-anonymous"
"""


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@pytest.fixture
def policy(short_dir: Path) -> str:
    file = short_dir / "policy.toml"
    file.write_text(POLICY)
    return str(file)


@pytest.mark.parametrize("transport", ["unix", "own token", "token file", "certificate", "both", "insecure"])
def test_each_transport_has_the_role_of_its_kind(
    agent: Agents, instance_dir: Path, short_dir: Path, policy: str, transport: str
) -> None:
    tokens = short_dir / "tokens"
    tokens.write_text(f"ci {TOKEN}\n")
    ca = authority(short_dir, "ca")
    server = issued(short_dir, "server", ca, "DNS:localhost", "IP:127.0.0.1")
    client = issued(short_dir, "client", ca, "URI:spiffe://corp/anna")
    tls = {"cert": str(server.cert), "key": str(server.key), "client_ca": str(ca.cert)}
    hellos: dict[str, dict[str, Any]] = {
        "unix": {},
        "own token": {"listen": ["127.0.0.1:0"]},
        "token file": {"listen": ["127.0.0.1:0"], "token_file": str(tokens)},
        "certificate": {"listen": ["127.0.0.1:0"], "tls": tls},
        "both": {"listen": ["127.0.0.1:0"], "tls": tls, "token_file": str(tokens)},
        "insecure": {"listen": ["127.0.0.1:0"], "insecure": True},
    }
    expected = {
        "unix": ("r-user", ""),
        "own token": ("r-own", "token:automatic"),
        "token file": ("r-token", "token:ci"),
        "certificate": ("r-certificate", "uri:spiffe://corp/anna"),
        "both": ("r-certificate", "uri:spiffe://corp/anna"),
        "insecure": ("r-anonymous", "anonymous"),
    }
    there = agent(policy=policy, **hellos[transport])
    addresses = there.welcome()["addresses"]
    address = addresses[0] if transport == "unix" else addresses[1]
    metadata: tuple[tuple[str, str], ...] = ()
    if transport == "own token":
        metadata = bearer((instance_dir.parent / "token").read_text().strip())
    elif transport in ("token file", "both"):
        metadata = bearer(TOKEN)
    secure = credentials(ca, client) if transport in ("certificate", "both") else None
    role, identity = expected[transport]
    with stubs(address, secure) as api:
        answer = api.agents.GetAgent(GET, metadata=metadata, timeout=10)
        assert answer.role == role
        assert answer.identity == identity or (transport == "unix" and answer.identity.startswith("uid:"))
        request = module_service_pb2.EvictModulesRequest(operations=[change_pb2.EvictOperation(name="a")])
        may = role in ("r-user", "r-token", "r-certificate")
        if may:
            list(api.modules.EvictModules(request, metadata=metadata, timeout=10))
        else:
            with pytest.raises(grpc.RpcError) as denied:
                list(api.modules.EvictModules(request, metadata=metadata, timeout=10))
            assert detail_of(denied.value).reason == "DENIED"
            assert role in detail_of(denied.value).message
    assert bool([one for one in there.seen if one["op"] == "change"]) == may
    if may:  # and the process is told who it was
        told = next(one["identity"] for one in there.seen if one["op"] == "change")
        assert told == answer.identity


def test_an_authority_that_is_taken_away_counts_for_connections_that_are_open(
    agent: Agents, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handshake is believed as long as its connection lasts; so no connection lasts long. Here: one second."""
    from modctl.gateway import listener, listeners

    short = (("grpc.max_connection_age_ms", 1_000), ("grpc.max_connection_age_grace_ms", 500))
    monkeypatch.setattr(listener, "_TCP", short)
    monkeypatch.setattr(listeners, "RELOAD_S", 0.1)
    ca, other = authority(short_dir, "ca"), authority(short_dir, "other")
    server = issued(short_dir, "server", ca, "DNS:localhost", "IP:127.0.0.1")
    client = issued(short_dir, "client", ca, "URI:spiffe://corp/anna")
    believed = short_dir / "believed.pem"
    believed.write_bytes(ca.cert.read_bytes())
    tls = {"cert": str(server.cert), "key": str(server.key), "client_ca": str(believed)}
    address = agent(listen=["127.0.0.1:0"], tls=tls).welcome()["addresses"][1]
    with stubs(address, credentials(ca, client)) as api:
        assert api.agents.GetAgent(GET, timeout=10).identity == "uri:spiffe://corp/anna"
        until(lambda: api.agents.GetAgent(GET, timeout=10), 3)
        believed.write_bytes(other.cert.read_bytes())

        def turned_away() -> bool:
            try:
                api.agents.GetAgent(GET, timeout=5)
            except grpc.RpcError as error:
                return error.code() is grpc.StatusCode.UNAVAILABLE
            return False

        until(turned_away, 15, 0.1)
