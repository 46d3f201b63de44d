"""What is found without being named: sockets, addresses of names, tokens."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from modctl.client.discover import local_targets, local_token, resolve
from modctl.client.targets import parse_targets

if TYPE_CHECKING:
    from pathlib import Path

V4, V6 = socket.AF_INET, socket.AF_INET6
NAMES: dict[str, list[tuple[int, str]]] = {
    "one": [(V4, "10.0.0.1")],
    "both": [(V4, "10.0.0.1"), (V6, "fd00::1")],
    "three": [(V4, "10.0.0.10"), (V4, "10.0.0.9"), (V4, "10.0.0.10")],
    "three6": [(V6, "fd00::2"), (V6, "fd00::1")],
    "dual": [(V4, "10.0.0.1"), (V4, "10.0.0.2"), (V6, "fd00::1"), (V6, "fd00::2")],
}


class FakeLoop:
    async def getaddrinfo(self, host: str, port: int, type: int) -> list[Any]:  # noqa: A002
        if host not in NAMES:
            raise socket.gaierror("unknown")
        return [(family, type, 6, "", (address, port)) for family, address in NAMES[host]]


@pytest.mark.parametrize(
    ("named", "dialled"),
    [
        (["one:1"], {"one:1": "dns:///one:1"}),
        (["both:1"], {"both:1": "dns:///both:1"}),
        (["three:1"], {"10.0.0.9:1": "ipv4:10.0.0.9:1", "10.0.0.10:1": "ipv4:10.0.0.10:1"}),
        (["three6:1"], {"[fd00::1]:1": "ipv6:[fd00::1]:1", "[fd00::2]:1": "ipv6:[fd00::2]:1"}),
        (["dual:1"], {"10.0.0.1:1": "ipv4:10.0.0.1:1", "10.0.0.2:1": "ipv4:10.0.0.2:1"}),
        (["unknown:1"], {"unknown:1": "dns:///unknown:1"}),
        (["10.0.0.9:1", "three:1"], {"10.0.0.9:1": "ipv4:10.0.0.9:1", "10.0.0.10:1": "ipv4:10.0.0.10:1"}),
        (["unix:///x"], {"unix:///x": "unix:/x"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_name_with_several_addresses_is_all_of_them(named: list[str], dialled: dict[str, str]) -> None:
    targets = asyncio.run(resolve(parse_targets(named), FakeLoop()))  # type: ignore[arg-type]
    assert {target.label: target.address for target in targets} == dialled


def test_the_certificate_of_an_address_is_that_of_its_name() -> None:
    targets = asyncio.run(resolve(parse_targets(["three:1"]), FakeLoop()))  # type: ignore[arg-type]
    assert {target.server_name for target in targets} == {"three"}


def test_every_gateway_socket_of_this_user_is_found_once(state_dir: Path) -> None:
    for name in ("b-1", "a-1"):
        (state_dir / name).mkdir()
        (state_dir / name / "gateway.sock").touch()
    (state_dir / "no-socket").mkdir()
    (state_dir / "token").touch()
    found = [target for target in local_targets() if str(state_dir) in target.path]
    assert [(target.label, target.discovered) for target in found] == [
        (f"unix://{state_dir}/a-1/gateway.sock", True),
        (f"unix://{state_dir}/b-1/gateway.sock", True),
    ]


def test_a_directory_that_is_open_to_others_is_not_looked_into(state_dir: Path) -> None:
    (state_dir / "a-1").mkdir()
    (state_dir / "a-1" / "gateway.sock").touch()
    state_dir.chmod(0o777)
    assert not [target for target in local_targets() if str(state_dir) in target.path]


def test_our_token_is_shown_only_to_a_port_that_is_a_gateways_of_ours(state_dir: Path) -> None:
    (state_dir / "token").write_text("s3cret\n")
    (state_dir / "a-1").mkdir()
    servers = [socket.create_server((host, 0)) for host in ("127.0.0.1", "", "127.0.0.1")]
    ports = [each.getsockname()[1] for each in servers]
    addresses = [f"unix://{state_dir}/a-1/gateway.sock", f"127.0.0.1:{ports[0]}", f"0.0.0.0:{ports[1]}"]
    (state_dir / "a-1" / "gateway.json").write_text(json.dumps({"addresses": addresses}))
    assert [local_token(port) for port in ports] == ["s3cret", "s3cret", None]
    for each in servers:
        each.close()
    # A gateway that was killed leaves its file behind; whoever listens there next must not get the token.
    assert [local_token(port) for port in ports] == [None, None, None]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"addresses": 7}', '{"addresses": [7, "x"]}'])
def test_a_gateways_file_that_is_half_written_says_nothing(state_dir: Path, text: str) -> None:
    (state_dir / "token").write_text("s3cret\n")
    (state_dir / "a-1").mkdir()
    (state_dir / "a-1" / "gateway.json").write_text(text)
    assert local_token(4711) is None
