"""TCP: who is let in, under which name, and what happens where an address cannot be had."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from modctl.gateway import tokens
from modctl.gateway.addresses import Address, address_of
from modctl.gateway.errors import ListenError
from modctl.gateway.thread import serve_in_thread
from modctl.gateway.tls import identity_of
from modctl.v1 import agent_service_pb2

from gateway.certificates import authority, credentials, issued
from gateway.fake_agent import FakeAgent
from gateway.world import detail_of, stubs, until

if TYPE_CHECKING:
    from pathlib import Path

GET = agent_service_pb2.GetAgentRequest()
ANY_PORT = "127.0.0.1:0"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def identity(api: Any, metadata: Any = ()) -> str:
    return str(api.agents.GetAgent(GET, metadata=metadata, timeout=10).identity)


def refused(api: Any, metadata: Any = ()) -> Any:
    with pytest.raises(grpc.RpcError) as failed:
        api.agents.GetAgent(GET, metadata=metadata, timeout=10)
    return failed.value


def tcp(agent: FakeAgent) -> list[str]:
    return [address for address in agent.welcome()["addresses"] if not address.startswith("unix:")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- the automatic token


def test_nothing_listens_on_a_network_until_it_is_asked_for(agent: Any, instance_dir: Path) -> None:
    assert tcp(agent()) == []
    assert not (instance_dir.parent / "token").exists()


def test_loopback_needs_the_automatic_token(agent: Any, instance_dir: Path) -> None:
    [address] = tcp(agent(listen=[ANY_PORT]))
    file = instance_dir.parent / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text().strip()
    assert len(token) >= 40
    with stubs(address) as api:
        assert identity(api, bearer(token)) == "token:automatic"
        assert identity(api, (("authorization", f"bearer  {token} "),)) == "token:automatic"
        for metadata, reason in [
            ((), "TOKEN_MISSING"),
            ((("authorization", token),), "TOKEN_MISSING"),
            ((("authorization", "Basic abc"),), "TOKEN_MISSING"),
            (bearer("wrong"), "TOKEN_WRONG"),
            (bearer(token[:-1]), "TOKEN_WRONG"),
            (bearer(token + "x"), "TOKEN_WRONG"),
            (bearer(token.swapcase()), "TOKEN_WRONG"),
        ]:
            error = refused(api, metadata)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            assert detail_of(error).reason == reason
            assert token not in error.details()


def test_a_token_that_is_replaced_is_another_at_once(agent: Any, instance_dir: Path) -> None:
    [address] = tcp(agent(listen=[ANY_PORT]))
    file = instance_dir.parent / "token"
    before = file.read_text().strip()
    draft = instance_dir.parent / "draft"
    draft.write_text("another-token-of-some-length\n")
    draft.chmod(0o600)
    draft.rename(file)
    with stubs(address) as api:
        assert identity(api, bearer("another-token-of-some-length")) == "token:automatic"
        assert detail_of(refused(api, bearer(before))).reason == "TOKEN_WRONG"


def test_many_gateways_that_start_at_once_agree_on_one_token(short_dir: Path) -> None:
    short_dir.chmod(0o700)
    program = "import sys; from modctl.gateway import tokens; print(tokens.automatic(sys.argv[1]).place)"
    many = [
        subprocess.Popen([sys.executable, "-c", program, str(short_dir)], stdout=subprocess.DEVNULL) for _ in range(8)
    ]
    assert {one.wait(30) for one in many} == {0}
    assert [file.name for file in short_dir.iterdir()] == ["token"]


@pytest.mark.parametrize("spoilt", ["open", "symlink", "empty", "short", "folder"])
def test_a_token_that_others_could_know_is_not_used(agent: Any, instance_dir: Path, spoilt: str) -> None:
    file = instance_dir.parent / "token"
    match spoilt:
        case "open":
            file.write_text("a-token-of-some-length-1234\n")
            file.chmod(0o644)
        case "symlink":
            (instance_dir.parent / "real").write_text("a-token-of-some-length-1234\n")
            file.symlink_to("real")
        case "empty":
            file.touch(0o600)
        case "short":
            file.write_text("x\n")
            file.chmod(0o600)
        case "folder":
            file.mkdir()
    one = agent(listen=[ANY_PORT])
    assert tcp(one) == []
    assert "token" in one.welcome()["warnings"][0]


# -- TLS


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("pki")
    ca, other = authority(place, "ca"), authority(place, "other-ca")
    return {
        "ca": ca,
        "other_ca": other,
        "server": issued(place, "server", ca, "DNS:localhost", "IP:127.0.0.1"),
        "renewed": issued(place, "renewed", other, "DNS:localhost", "IP:127.0.0.1"),
        "uri": issued(place, "uri", ca, "DNS:ops.example", "URI:spiffe://example/ops"),
        "dns": issued(place, "dns", ca, "DNS:ci.example"),
        "cn": issued(place, "plain", ca),
        "stranger": issued(place, "stranger", other, "URI:spiffe://example/ops"),
    }


def tls(pki: dict[str, Any], *, client_ca: bool = True, server: str = "server") -> dict[str, Any]:
    return {
        "cert": str(pki[server].cert),
        "key": str(pki[server].key),
        "client_ca": str(pki["ca"].cert) if client_ca else None,
    }


def test_with_mutual_tls_the_certificate_s_name_is_the_identity(agent: Any, pki: dict[str, Any]) -> None:
    [address] = tcp(agent(listen=["0.0.0.0:0"], tls=tls(pki)))
    target = address.replace("0.0.0.0", "localhost")
    for client, name in [("uri", "uri:spiffe://example/ops"), ("dns", "dns:ci.example"), ("cn", "cn:plain")]:
        with stubs(target, credentials(pki["ca"], pki[client])) as api:
            assert identity(api) == name


@pytest.mark.parametrize("client", ["stranger", None])
def test_a_wrong_or_no_certificate_is_not_let_in(agent: Any, pki: dict[str, Any], client: str | None) -> None:
    [address] = tcp(agent(listen=["127.0.0.1:0"], tls=tls(pki)))
    with stubs(address, credentials(pki["ca"], pki[client] if client else None)) as api:
        assert refused(api).code() is grpc.StatusCode.UNAVAILABLE
    with stubs(address) as api:  # and plaintext neither
        assert refused(api).code() is grpc.StatusCode.UNAVAILABLE


def test_a_client_that_expects_another_authority_does_not_talk(agent: Any, pki: dict[str, Any]) -> None:
    [address] = tcp(agent(listen=["127.0.0.1:0"], tls=tls(pki)))
    with stubs(address, credentials(pki["other_ca"], pki["uri"])) as api:
        assert refused(api).code() is grpc.StatusCode.UNAVAILABLE


def test_tls_with_a_token_file_names_callers(agent: Any, pki: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(
        "# who may\nci   token-of-the-ci-server-1\nanna token-of-anna-which-is-long\nunnamed-token-1234567\n"
    )
    [address] = tcp(agent(listen=["0.0.0.0:0"], tls=tls(pki, client_ca=False), token_file=str(file)))
    with stubs(address.replace("0.0.0.0", "localhost"), credentials(pki["ca"])) as api:
        assert identity(api, bearer("token-of-the-ci-server-1")) == "token:ci"
        assert identity(api, bearer("token-of-anna-which-is-long")) == "token:anna"
        assert identity(api, bearer("unnamed-token-1234567")) == "token:token"
        assert detail_of(refused(api, bearer("ci"))).reason == "TOKEN_WRONG"
        assert detail_of(refused(api)).reason == "TOKEN_MISSING"


def test_where_both_are_wanted_both_are_needed(agent: Any, pki: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("token-of-the-ci-server-1\n")
    [address] = tcp(agent(listen=["127.0.0.1:0"], tls=tls(pki), token_file=str(file)))
    with stubs(address, credentials(pki["ca"], pki["uri"])) as api:
        assert detail_of(refused(api)).reason == "TOKEN_MISSING"
        assert identity(api, bearer("token-of-the-ci-server-1")) == "uri:spiffe://example/ops"


def test_certificates_are_reloaded_without_a_restart(agent: Any, api: Any, pki: dict[str, Any], tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(pki["server"].cert, cert)
    shutil.copy(pki["server"].key, key)
    [address] = tcp(
        agent(listen=["127.0.0.1:0"], tls={"cert": str(cert), "key": str(key), "client_ca": str(pki["ca"].cert)})
    )
    old, new = credentials(pki["ca"], pki["uri"]), credentials(pki["other_ca"], pki["uri"])

    def talks(believed: grpc.ChannelCredentials) -> bool:
        with stubs(address, believed) as found:
            try:
                return bool(identity(found))
            except grpc.RpcError:
                return False

    assert talks(old)
    cert.write_text("half a file")  # while it is being replaced, and if it stays so
    until(lambda: "not used" in str(api.agents.GetAgent(GET).warnings), 15, 0.1)
    assert talks(old)
    shutil.copy(pki["renewed"].cert, cert)
    shutil.copy(pki["renewed"].key, key)
    until(lambda: talks(new), 15, 0.2)
    assert not talks(old)
    assert not api.agents.GetAgent(GET).warnings


# -- what is not served


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"listen": ["0.0.0.0:0"]}, "anybody on the network"),
        ({"listen": ["[::]:0"]}, "anybody on the network"),
        ({"listen": ["0.0.0.0:0"], "tls": {"cert": "/x", "key": "/y", "client_ca": None}}, "anybody on the network"),
        ({"listen": ["0.0.0.0:0"], "token_file": "/x"}, "in the clear"),
        ({"listen": ["127.0.0.1:0"], "token_file": "/does/not/exist"}, "token file cannot be used"),
        ({"listen": ["127.0.0.1:0"], "tls": {"cert": "/x", "key": "/y", "client_ca": "/z"}}, "certificates cannot be used"),  # noqa: E501
        ({"listen": ["127.0.0.1:0"], "tls": {"cert": "/x"}}, "cert and key are needed"),
        ({"listen": ["127.0.0.1:0"], "tls": "yes"}, "cert and key are needed"),
        ({"listen": ["nonsense"]}, "no address"),
        ({"listen": ["::1:50051"]}, "brackets"),
        ({"listen": ["127.0.0.1:99999"]}, "no address"),
        ({"listen": ["192.0.2.1:5000"], "insecure": True}, "Cannot assign"),
        ({"listen": ["no.such.host.invalid:5000"], "insecure": True}, "cannot be found"),
    ],
)  # fmt: skip
def test_what_is_not_safe_or_not_possible_is_a_warning_and_the_private_socket_serves(
    agent: Any, api: Any, asked: dict[str, Any], problem: str
) -> None:
    one = agent(**asked)
    welcome = one.welcome()
    assert tcp(one) == []
    assert problem in " ".join(welcome["warnings"])
    assert problem in " ".join(api.agents.GetAgent(GET).warnings)
    [process] = api.agents.ListProcesses(agent_service_pb2.ListProcessesRequest()).processes
    assert problem in " ".join(process.warnings)


def test_insecure_is_served_and_said_aloud(agent: Any, api: Any) -> None:
    one = agent(listen=["0.0.0.0:0"], insecure=True)
    [address] = tcp(one)
    with stubs(address.replace("0.0.0.0", "127.0.0.1")) as open_api:
        assert identity(open_api) == "anonymous"
    assert "insecure" in one.welcome()["warnings"][0]
    [process] = api.agents.ListProcesses(agent_service_pb2.ListProcessesRequest()).processes
    assert process.insecure
    assert address in process.addresses


def test_several_processes_share_one_listener(agent: Any) -> None:
    spec = f"127.0.0.1:{free_port()}"
    many = [agent(listen=[spec]) for _ in range(4)]
    assert {tuple(tcp(one)) for one in many} == {(spec,)}
    assert not any(one.welcome()["warnings"] for one in many)


def test_port_0_is_one_real_port_for_all_and_two_specs_are_two(agent: Any) -> None:
    first, second = agent(listen=[ANY_PORT]), agent(listen=[ANY_PORT, "localhost:0"])
    assert tcp(first) == tcp(second)[:1]
    assert len(set(tcp(second))) == 2
    assert not any(address.endswith(":0") for address in tcp(second))


def test_another_s_terms_for_the_same_address_are_a_warning(agent: Any) -> None:
    agent(listen=[ANY_PORT])
    second = agent(listen=[ANY_PORT], insecure=True)
    assert len(tcp(second)) == 1
    assert "asked for first" in second.welcome()["warnings"][0]
    with stubs(tcp(second)[0]) as api:
        assert detail_of(refused(api)).reason == "TOKEN_MISSING", "the first one's terms hold"


def test_a_port_that_is_taken_is_served_once_it_is_free(agent: Any, api: Any) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        spec = f"127.0.0.1:{holder.getsockname()[1]}"
        one = agent(listen=[spec])
        assert tcp(one) == []
        assert "in use" in one.welcome()["warnings"][0]
    until(lambda: tcp(one) == [spec], 15)
    assert one.welcome()["warnings"] == []
    assert list(api.agents.GetAgent(GET).addresses)[1:] == [spec]


def test_two_services_that_want_one_port_both_live(short_dir: Path) -> None:
    spec = f"127.0.0.1:{free_port()}"
    base = short_dir / "b"
    for name in ("one", "two"):
        (base / name).mkdir(parents=True, mode=0o700)
    base.chmod(0o700)
    with (
        serve_in_thread(str(base / "one"), "one"),
        serve_in_thread(str(base / "two"), "two"),
        FakeAgent(base / "one", pid=1, service="one", listen=[spec]) as first,
    ):
        assert tcp(first) == [spec]
        with FakeAgent(base / "two", pid=2, service="two", listen=[spec]) as second:
            assert tcp(second) == [], "no two processes silently share a port"
            assert second.welcome()["warnings"]


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01" + os.urandom(500), os.urandom(5000),
     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(200), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\xff\xff\x01" * 50],  # noqa: E501
    ids=["http/1", "tls", "noise", "preface and noise", "frames of nonsense"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["tcp", "unix"])
def test_garbage_at_the_clients_sockets_ends_nothing(
    agent: Any, api: Any, instance_dir: Path, sent: bytes, where: str
) -> None:
    [address] = tcp(agent(listen=[ANY_PORT]))
    for _ in range(5):
        if where == "tcp":
            peer: socket.socket = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 5)
        else:
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(str(instance_dir / "gateway.sock"))
        with peer:
            peer.sendall(sent)
            peer.settimeout(0.2)
            try:
                while peer.recv(4096):
                    pass
            except OSError:
                pass
    assert identity(api).startswith("uid:")
    with stubs(address) as over_tcp:
        assert detail_of(refused(over_tcp)).reason == "TOKEN_MISSING"


def test_silent_connections_do_not_keep_others_out(agent: Any, instance_dir: Path) -> None:
    [address] = tcp(agent(listen=[ANY_PORT]))
    host, _, port = address.rpartition(":")
    peers = [socket.create_connection((host, int(port)), 5) for _ in range(200)]
    token = (instance_dir.parent / "token").read_text().strip()
    with stubs(address) as api:
        assert identity(api, bearer(token))
    for peer in peers:
        peer.close()


# -- the parts


@pytest.mark.parametrize(
    ("spec", "address", "loopback"),
    [
        ("127.0.0.1:50051", Address("127.0.0.1", 50051), True),
        ("127.8.9.10:1", Address("127.8.9.10", 1), True),
        ("[::1]:0", Address("::1", 0), True),
        ("localhost:1", Address("localhost", 1), True),
        ("LOCALHOST:1", Address("LOCALHOST", 1), True),
        ("0.0.0.0:1", Address("0.0.0.0", 1), False),
        ("[::]:1", Address("::", 1), False),
        ("10.0.0.1:1", Address("10.0.0.1", 1), False),
        ("svc.example:1", Address("svc.example", 1), False),
        ("localhost.evil.example:1", Address("localhost.evil.example", 1), False),
        ("[::ffff:127.0.0.1]:1", Address("::ffff:127.0.0.1", 1), False),
    ],
)
def test_addresses_are_told_apart(spec: str, address: Address, loopback: bool) -> None:
    found = address_of(spec)
    assert found == address
    if spec != "[::ffff:127.0.0.1]:1":  # Pythons differ here; either answer needs credentials
        assert found.loopback is loopback
    assert address_of(str(found)) == found


@pytest.mark.parametrize(
    "spec", ["", ":", "x", "x:", ":1", "x:y", "x:-1", "x:65536", "x:1:2", "[::1]", "[::1]:", "x:¹"]
)
def test_what_is_no_address_is_refused(spec: str) -> None:
    with pytest.raises(ListenError):
        address_of(spec)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no token"),
        ("# only\n", "no token"),
        ("short\n", "16 characters"),
        ("a b c\n", "a line is"),
        ("ci short\n", "16"),
    ],
)
def test_token_files_that_are_none_say_so(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        tokens.parsed(text, "x", "/tokens")


@pytest.mark.parametrize(
    ("context", "name"),
    [
        ({"peer_spiffe_id": [b"spiffe://a/b"], "peer_uri": [b"other"], "peer_dns": [b"d"]}, "uri:spiffe://a/b"),
        ({"peer_uri": [b"https://x"], "peer_dns": [b"d"]}, "uri:https://x"),
        ({"peer_dns": [b"d"], "x509_common_name": [b"c"]}, "dns:d"),
        ({"x509_subject_alternative_name": [b"d", b"spiffe://x"]}, "uri:spiffe://x"),
        ({"x509_subject_alternative_name": [b"d"]}, "dns:d"),
        ({"x509_common_name": [b"c"]}, "cn:c"),
        ({"transport_security_type": [b"ssl"]}, None),
    ],
)
def test_a_certificate_s_name_is_its_most_particular_one(context: Any, name: str | None) -> None:
    assert identity_of(context) == name


def test_tokens_are_compared_in_constant_time_and_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tokens"
    file.write_text("one aaaaaaaaaaaaaaaaaaaa\ntwo bbbbbbbbbbbbbbbbbbbb\n")
    found = tokens.TokenFile(str(file))
    compared: list[bytes] = []
    real = tokens.hmac.compare_digest
    monkeypatch.setattr(tokens.hmac, "compare_digest", lambda a, b: compared.append(b) or real(a, b))
    assert found.name_of("a" * 20) == "one"
    assert compared == [b"a" * 20, b"b" * 20], "a hit does not end it: how long it takes says nothing"


def test_threads_that_ask_at_once_are_all_answered(agent: Any, instance_dir: Path) -> None:
    [address] = tcp(agent(listen=[ANY_PORT]))
    token = (instance_dir.parent / "token").read_text().strip()
    found: list[str] = []
    with stubs(address) as api:
        many = [threading.Thread(target=lambda: found.append(identity(api, bearer(token)))) for _ in range(40)]
        for one in many:
            one.start()
        for one in many:
            one.join()
    assert found == ["token:automatic"] * 40
