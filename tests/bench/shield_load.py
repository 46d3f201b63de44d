"""One client of a server: asks as fast as it is answered. `python shield_load.py PORT FILE UNTIL_UNIX_S`.

Writes pairs of doubles: when it asked, in seconds since the epoch, and how long it waited. Then prints, as JSON, what
was answered and what failed.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from array import array

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def connect(port: int) -> socket.socket:
    """A connection that sends at once."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def ask(sock: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of one answer."""
    sock.sendall(REQUEST)
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise ConnectionError("no whole answer")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    found = LENGTH.search(head)
    length = int(found.group(1)) if found else 0
    while len(body) < length:
        body += sock.recv(65536) or b""
    return head, body


def main(port: int, file: str, until_s: float) -> None:
    """Asks until that time."""
    took = array("d")
    answers: set[str] = set()
    failures: list[str] = []
    sock: socket.socket | None = None
    while time.time() < until_s:
        began_s, clock_s = time.time(), time.perf_counter()
        try:
            sock = sock or connect(port)
            head, body = ask(sock)
        except OSError as error:
            failures.append(repr(error))
            sock = None
            continue
        took.extend((began_s, time.perf_counter() - clock_s))
        text = body.decode()
        if b" 200 " not in head[:20] or ":" in text or not text:
            failures.append(f"{head[:20]!r} {text}")
        answers.add(text)
        if b"connection: close" in head.lower():
            sock.close()
            sock = None
    with open(file, "wb") as out:
        took.tofile(out)
    print(json.dumps({"answers": sorted(answers), "failures": failures[:10], "failed": len(failures)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
