"""SRV records, asked of the machine's own name servers. Python has no such call; this is one page of RFC 1035 and 2782.

UDP first; an answer that does not fit is asked for again over TCP.
"""

from __future__ import annotations

import random
import secrets
import socket
import struct
import time
from typing import NamedTuple

_SRV, _IN = 33, 1
_NAME_ERROR = 3
_MAX_HOPS = 64
RESOLV_CONF = "/etc/resolv.conf"


class SrvError(Exception):
    """There is no answer, or a bad one; says why."""


class Record(NamedTuple):
    """Where a service is."""

    priority: int
    weight: int
    port: int
    host: str


def look_up(name: str, timeout_s: float, resolv_conf: str = RESOLV_CONF, port: int = 53) -> list[Record]:
    """Every record of the name, by priority.

    Args:
        name: _service._proto.domain; without a dot at its end the machine's search domains are tried, too.
        timeout_s: bound on all of it, in seconds.
        resolv_conf: where the name servers are written.
        port: theirs.

    Raises:
        SrvError: nobody answers, or the name has no record.
    """
    servers, search = _configuration(resolv_conf)
    give_up_at_s = time.monotonic() + timeout_s
    names = [name] if name.endswith(".") else [name, *(f"{name}.{domain}" for domain in search)]
    problem = "it has no SRV record"
    for full in names:
        for server in servers:
            try:
                records = _ask(server, port, full.rstrip("."), give_up_at_s)
            except (OSError, SrvError) as error:
                problem = f"name server {server}: {error or type(error).__name__}"
                continue
            if records:
                return sorted(records)
            break  # an answer without records is an answer
    raise SrvError(problem)


def _configuration(path: str) -> tuple[list[str], list[str]]:
    servers: list[str] = []
    search: list[str] = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                words = line.partition("#")[0].split()
                if words[:1] == ["nameserver"] and len(words) > 1:
                    servers.append(words[1])
                elif words[:1] in (["search"], ["domain"]):
                    search = words[1:]
    except OSError:
        pass  # a machine without the file asks itself, as resolv.conf(5) says
    return servers or ["127.0.0.1"], search


def _ask(server: str, port: int, name: str, give_up_at_s: float) -> list[Record]:
    number = secrets.randbelow(1 << 16)
    query = struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + _encoded(name) + struct.pack(">2H", _SRV, _IN)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((server, port))
        answer = b""
        while not answer:
            left_s = give_up_at_s - time.monotonic()
            if left_s <= 0:
                raise SrvError("no answer in time")
            sock.settimeout(min(left_s, 2.0 + random.random()))  # noqa: S311 - jitter, no secret
            sock.send(query)
            try:
                received = sock.recv(65535)
            except TimeoutError:
                continue
            if received[:2] == query[:2] and len(received) >= 12:
                answer = received
    if answer[2] & 0x02:
        answer = _over_tcp(server, port, family, query, give_up_at_s)
    return _read(answer, number)


def _over_tcp(server: str, port: int, family: int, query: bytes, give_up_at_s: float) -> bytes:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(max(0.1, give_up_at_s - time.monotonic()))
        sock.connect((server, port))
        sock.sendall(struct.pack(">H", len(query)) + query)
        (length,) = struct.unpack(">H", _exactly(sock, 2))
        return _exactly(sock, length)


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise SrvError("the answer breaks off")
        data += part
    return data


def _encoded(name: str) -> bytes:
    try:
        labels = [label.encode("ascii") for label in name.split(".")]
    except UnicodeEncodeError:
        raise SrvError("the name is not ASCII") from None
    if any(not 0 < len(label) < 64 for label in labels) or sum(len(label) + 1 for label in labels) > 254:
        raise SrvError("it is no DNS name")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _read(answer: bytes, number: int) -> list[Record]:
    try:
        got, flags, questions, answers, _, _ = struct.unpack_from(">6H", answer)
        if got != number or not flags & 0x8000:
            raise SrvError("it is no answer to the question")
        code = flags & 0x0F
        if code == _NAME_ERROR:
            return []
        if code:
            raise SrvError(f"it answers with error {code}")
        at = 12
        for _ in range(questions):
            at = _name(answer, at)[1] + 4
        records: list[Record] = []
        for _ in range(answers):
            at = _name(answer, at)[1]
            kind, kind_class, _, length = struct.unpack_from(">2HIH", answer, at)
            at += 10
            if kind == _SRV and kind_class == _IN:
                priority, weight, port = struct.unpack_from(">3H", answer, at)
                records.append(Record(priority, weight, port, _name(answer, at + 6)[0]))
            at += length
        return records
    except (struct.error, IndexError) as error:
        raise SrvError("the answer is broken") from error


def _name(answer: bytes, at: int) -> tuple[str, int]:
    """The name there, and what comes after it. A name may go on elsewhere, by a pointer."""
    labels: list[str] = []
    after = -1
    for _ in range(_MAX_HOPS):
        length = answer[at]
        if length & 0xC0 == 0xC0:
            after = at + 2 if after < 0 else after
            at = ((length & 0x3F) << 8) | answer[at + 1]
        elif length == 0:
            return ".".join(labels), at + 1 if after < 0 else after
        else:
            labels.append(answer[at + 1 : at + 1 + length].decode("ascii", "replace"))
            at += 1 + length
    raise SrvError("the answer is broken")
