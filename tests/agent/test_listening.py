from __future__ import annotations

import pytest
from modctl.agent.errors import ConfigurationError
from modctl.agent.listening import parse_address, parse_listen

GOOD = [
    ("127.0.0.1:50051", "127.0.0.1", 50051, True),
    ("127.8.9.1:0", "127.8.9.1", 0, True),
    ("localhost:1", "localhost", 1, True),
    ("LocalHost:1", "LocalHost", 1, True),
    ("[::1]:50051", "::1", 50051, True),
    ("[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1, True),
    ("0.0.0.0:50051", "0.0.0.0", 50051, False),
    ("[::]:50051", "::", 50051, False),
    ("10.1.2.3:65535", "10.1.2.3", 65535, False),
    ("svc-1.example.org:50051", "svc-1.example.org", 50051, False),
    ("localhost.example.org:1", "localhost.example.org", 1, False),
    ("[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1, False),
    (" 127.0.0.1:1 ", "127.0.0.1", 1, True),
]
BAD = [
    "", ":", "50051", ":50051", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:-1", "127.0.0.1:65536",
    "127.0.0.1:٣", "127.0.0.1:1 2", "::1:50051", "[::1]", "[::g]:1", "[127.0.0.1]:1", "a b:1", "a\0b:1", "-:",
    "300.1.1.1:1", "127.1:80", "http://x:1", "a..b:1", "x" * 300 + ":1",
    "unix:///tmp/a.sock", "*:50051", "[]:1", "1.2.3.4.:1",
]  # fmt: skip


@pytest.mark.parametrize(("spec", "host", "port", "loopback"), GOOD)
def test_an_address_is_taken_apart_and_judged(spec: str, host: str, port: int, loopback: bool) -> None:
    address = parse_address(spec)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)
    assert parse_address(address.spec) == address


@pytest.mark.parametrize("spec", BAD)
def test_what_is_no_address_is_refused_with_the_cure(spec: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Write HOST:PORT|Leave it out"):
        parse_address(spec)


@pytest.mark.parametrize("spec", [5, None, b"127.0.0.1:1"])
def test_what_is_no_text_is_refused(spec: object) -> None:
    with pytest.raises(ConfigurationError, match="an address is text"):
        parse_address(spec)  # type: ignore[arg-type]


def test_several_addresses_come_as_text_or_as_a_list_and_once_each() -> None:
    assert parse_listen(None) == []
    assert [one.spec for one in parse_listen("127.0.0.1:1, [::1]:2,127.0.0.1:1")] == ["127.0.0.1:1", "[::1]:2"]
    assert parse_listen(["127.0.0.1:1", "[::1]:2"]) == parse_listen("127.0.0.1:1,[::1]:2")


def test_a_comma_too_many_is_no_address() -> None:
    with pytest.raises(ConfigurationError):
        parse_listen("127.0.0.1:1,")
