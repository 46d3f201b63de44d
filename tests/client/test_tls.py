"""TLS as it really fails: what gRPC says of it, and what the operator reads."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import grpc
import pytest
from modctl.client import TLS, Fleet, UsageError
from modctl.client.explain import call_failure, connection_failure
from modctl.client.targets import parse_target

from client.fake_server import FakeServer, process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Serve = Callable[..., FakeServer]

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificates with openssl")


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities; of the first a server (127.0.0.1), one of another name, an expired one, and a client."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca", "other-ca"):
        openssl("req", "-x509", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    for name, authority, names, days in (
        ("server", "ca", "IP:127.0.0.1,DNS:localhost", "2"),
        ("misnamed", "ca", "DNS:svc.example.org", "2"),
        ("expired", "ca", "IP:127.0.0.1", "-1"),
        ("client", "ca", "URI:spiffe://corp/anna", "2"),
        ("stranger", "other-ca", "URI:spiffe://corp/eve", "2"),
    ):
        (folder / "names").write_text(f"subjectAltName={names}")
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
            "-CAcreateserial", "-days", days, "-out", f"{name}.pem", "-extfile", "names",
        )  # fmt: skip
    return folder


def server_of(papers: Path, name: str, mutual: bool) -> grpc.ServerCredentials:
    pair = ((papers / f"{name}.key").read_bytes(), (papers / f"{name}.pem").read_bytes())
    return grpc.ssl_server_credentials([pair], (papers / "ca.pem").read_bytes() if mutual else None, mutual)


CASES = {
    "right": ("server", False, {"ca": "ca"}, "OK", ""),
    "mutual": ("server", True, {"ca": "ca", "cert": "client"}, "OK", ""),
    "another name, said": ("misnamed", False, {"ca": "ca", "server_name": "svc.example.org"}, "OK", ""),
    "another authority": ("server", False, {"ca": "other-ca"}, "UNREACHABLE", "name the right one with --cacert"),
    "another name": ("misnamed", False, {"ca": "ca"}, "UNREACHABLE", "say that name with --server-name"),
    "expired": ("expired", False, {"ca": "ca"}, "UNREACHABLE", "has expired or is not valid yet"),
    "no certificate": ("server", True, {"ca": "ca"}, "UNREACHABLE", "wants a client certificate; give --cert"),
    "certificate not believed": (
        "server", True, {"ca": "ca", "cert": "stranger"}, "UNREACHABLE", "does not believe our certificate",
    ),
    "no TLS there": ("", False, {"ca": "ca"}, "UNREACHABLE", "does not speak TLS; if the network is trusted"),
    "plain text to TLS": ("server", False, None, "UNREACHABLE", "it probably wants TLS; name its authority"),
}  # fmt: skip


@needs_openssl
@pytest.mark.parametrize(("server", "mutual", "ours", "outcome", "why"), CASES.values(), ids=CASES)
def test_the_operator_is_told_the_cure(
    papers: Path, serve: Serve, server: str, mutual: bool, ours: dict[str, str] | None, outcome: str, why: str
) -> None:
    there = serve(process(1), credentials=server_of(papers, server, mutual) if server else None)
    tls = None
    if ours is not None:
        cert = ours.get("cert")
        tls = TLS(
            ca=str(papers / f"{ours['ca']}.pem"),
            cert=str(papers / f"{cert}.pem") if cert else None,
            key=str(papers / f"{cert}.key") if cert else None,
            server_name=ours.get("server_name"),
        )
    with Fleet.connect(there.address, tls=tls, plaintext=tls is None) as fleet:
        row = fleet.list().rows[0]
    assert row.outcome == outcome, row.error
    assert why in row.why
    assert bool(row.error) == bool(why)


@needs_openssl
def test_files_that_are_not_what_they_should_be_are_named(papers: Path) -> None:
    for tls, why in (
        (TLS(ca=str(papers / "ca.key")), "--cacert: .*holds no PEM block of a CERTIFICATE"),
        (TLS(cert=str(papers / "client.pem"), key=str(papers / "client.pem")), "--key: .*of a PRIVATE KEY"),
        (TLS(cert=str(papers / "client.pem")), "--key: needed together with --cert"),
        (TLS(ca=str(papers / "nosuch.pem")), "--cacert: .*No such file"),
    ):
        with Fleet.connect("127.0.0.1:1", tls=tls) as fleet, pytest.raises(UsageError, match=why):
            fleet.list()


def test_something_else_that_answers_is_not_taken_for_modctl(serve: Serve) -> None:
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with Fleet.connect(f"127.0.0.1:{listener.getsockname()[1]}") as fleet:
            row = fleet.list().rows[0]
    assert row.outcome == "UNREACHABLE"
    assert "it is not gRPC; check the port" in row.why


def test_a_host_that_swallows_packets_is_given_up_after_the_connect_timeout() -> None:
    import socket
    import time

    with socket.create_server(("127.0.0.1", 0)) as silent:
        began_s = time.monotonic()
        with Fleet.connect(f"127.0.0.1:{silent.getsockname()[1]}", connect_timeout_s=0.5, timeout_s=30) as fleet:
            row = fleet.list().rows[0]
    assert (row.outcome, "--connect-timeout" in row.why) == ("UNREACHABLE", True)
    assert time.monotonic() - began_s < 20  # and not the 30 of a call


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "CANCELLED"])
def test_a_target_that_went_while_it_was_asked_has_lost_the_connection(code: str) -> None:
    failure = call_failure(code, "Received RST_STREAM with error code 2", secure=False)
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "CONNECTION_LOST")
    assert call_failure("INTERNAL", "the gateway failed", secure=False).reason == "INTERNAL"


def test_an_explanation_that_nobody_knows_is_grpcs_own() -> None:
    details = "failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:5: something new"
    failure = connection_failure(details, parse_target("1.2.3.4:5"), False, False)
    assert failure.message == "UNKNOWN: ipv4:1.2.3.4:5: something new"


@pytest.mark.parametrize(
    ("host", "plain"),
    [("127.0.0.1:1", True), ("localhost:1", True), ("[::1]:1", True), ("10.0.0.1:1", False), ("svc:1", False)],
)
def test_plain_text_is_for_this_machine_only(host: str, plain: bool) -> None:
    from modctl.client.dialer import Dialer
    from modctl.client.settings import Settings

    assert Dialer(Settings())._security(parse_target(host)).credentials is None or not plain
    assert (Dialer(Settings())._security(parse_target(host)).credentials is None) == plain
    assert Dialer(Settings(plaintext=True))._security(parse_target(host)).credentials is None
