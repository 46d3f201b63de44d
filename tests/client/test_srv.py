"""SRV records, from a name server of a few lines."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from modctl.client.finding import srv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def encoded(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def answer(query: bytes, records: list[tuple[int, int, int, str]], flags: int = 0x8180) -> bytes:
    """An answer whose names point back into the question, as real servers compress them."""
    question = query[12:]
    head = query[:2] + struct.pack(">5H", flags, 1, len(records), 0, 0)
    body = b""
    for priority, weight, port, host in records:
        data = struct.pack(">3H", priority, weight, port) + encoded(host)
        body += b"\xc0\x0c" + struct.pack(">2HIH", 33, 1, 60, len(data)) + data
    return head + question + body


def _same_port() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket of one port. The kernel gives one that is free of the one kind; of the other somebody may
    have it, even a connection that goes out.
    """
    for _ in range(100):
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
            continue
        return udp, tcp
    raise AssertionError("no port is free of both kinds")


class NameServer:
    """Answers UDP with what `reply` makes of a query, and TCP with what `reply_tcp` does."""

    def __init__(self, reply: Callable[[bytes], bytes | None]) -> None:
        self.reply = reply
        self.reply_tcp = reply
        self.queries: list[bytes] = []
        self._udp, self._tcp = _same_port()
        self.port = self._udp.getsockname()[1]
        for work in (self._serve, self._serve_tcp):
            threading.Thread(target=work, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                query, sender = self._udp.recvfrom(4096)
            except OSError:
                return
            self.queries.append(query)
            if (told := self.reply(query)) is not None:
                self._udp.sendto(told, sender)

    def _serve_tcp(self) -> None:
        while True:
            try:
                sock, _ = self._tcp.accept()
            except OSError:
                return
            with sock:
                (length,) = struct.unpack(">H", sock.recv(2))
                told = self.reply_tcp(sock.recv(length)) or b""
                sock.sendall(struct.pack(">H", len(told)) + told)

    def close(self) -> None:
        self._udp.close()
        self._tcp.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., NameServer]]:
    started: list[NameServer] = []

    def start(reply: Callable[[bytes], bytes | None]) -> NameServer:
        started.append(NameServer(reply))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def conf(tmp_path: Path) -> str:
    path = tmp_path / "resolv.conf"
    path.write_text("# a comment\nnameserver 127.0.0.1\nsearch corp.example other.example\n")
    return str(path)


def test_records_come_by_priority(serve: Callable[..., NameServer], conf: str) -> None:
    server = serve(lambda query: answer(query, [(20, 1, 50052, "b.svc"), (10, 5, 50051, "a.svc")]))
    found = srv.look_up("_modctl._tcp.svc.", 5, conf, server.port)
    assert [(record.host, record.port) for record in found] == [("a.svc", 50051), ("b.svc", 50052)]
    assert server.queries[0][12:] == encoded("_modctl._tcp.svc") + b"\0\x21\0\x01"


def test_search_domains_are_tried_in_turn(serve: Callable[..., NameServer], conf: str) -> None:
    wanted = encoded("_modctl._tcp.svc.other.example")

    def reply(query: bytes) -> bytes:
        return answer(query, [(0, 0, 1, "x.y")]) if wanted in query else answer(query, [], 0x8183)

    server = serve(reply)
    assert srv.look_up("_modctl._tcp.svc", 5, conf, server.port)[0].host == "x.y"
    assert len(server.queries) == 3


def test_an_answer_that_does_not_fit_is_asked_for_over_tcp(serve: Callable[..., NameServer], conf: str) -> None:
    many = [(0, 0, 50051, f"host-{number}.svc") for number in range(500)]
    server = serve(lambda query: answer(query, [], 0x8380))
    server.reply_tcp = lambda query: answer(query, many)
    assert len(srv.look_up("_m._tcp.svc.", 5, conf, server.port)) == 500


@pytest.mark.parametrize(
    "reply",
    [
        lambda query: answer(query, []),
        lambda query: answer(query, [], 0x8183),
        lambda query: answer(query, [], 0x8182),
        lambda query: query[:2] + b"\x81\x80" + b"\xff" * 40,
        lambda query: query[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0" + b"\xc0\x0c" * 20,
        lambda query: answer(query, [(0, 0, 1, "x")])[:-4],
    ],
    ids=["none", "no-name", "failure", "garbage", "a-name-that-points-at-itself", "cut"],
)
def test_bad_answers_are_errors_and_never_hang(
    serve: Callable[..., NameServer], conf: str, reply: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(srv.SrvError):
        srv.look_up("_m._tcp.svc.", 3, conf, serve(reply).port)


def test_silence_ends_in_time(serve: Callable[..., NameServer], conf: str) -> None:
    with pytest.raises(srv.SrvError, match="in time"):
        srv.look_up("_m._tcp.svc.", 0.3, conf, serve(lambda _: None).port)


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".b", "ü.b", ".".join(["abc"] * 70)])
def test_what_is_no_name_is_not_asked_for(conf: str, name: str) -> None:
    with pytest.raises(srv.SrvError):
        srv.look_up(name + ".", 1, conf)
