"""What can be thrown at a TCP address of a gateway. Each attack goes on until its time is over; plain sockets, no gRPC.

python attacks.py NAME PORT SECONDS [SOURCE]  attacks, from that address of this machine
python attacks.py measure [ROUNDS [S]]   starts a service, attacks it, prints its p99 against that of quiet times
python attacks.py apart [ROUNDS [S]]     the same where attackers and gateway have processors of their own
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: A p99 within this factor of that of quiet times.
UNNOTICED = 1.2
#: Where attacks come from; None is wherever the system says.
SOURCE: tuple[str, int] | None = None
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header, not indexed, not compressed."""

    def text(data: bytes) -> bytes:
        if len(data) < 127:
            return bytes([len(data)]) + data
        rest, more = len(data) - 127, b""
        while rest >= 128:
            more += bytes([rest % 128 | 0x80])
            rest //= 128
        return b"\x7f" + more + bytes([rest]) + data

    return b"\0" + text(name) + text(value)


CALL = (
    literal(b":method", b"POST")
    + literal(b":scheme", b"http")
    + literal(b":path", b"/modctl.v1.ModuleService/ListModules")
    + literal(b":authority", b"x")
    + literal(b"te", b"trailers")
    + literal(b"content-type", b"application/grpc")
)


def dialled(port: int) -> socket.socket:
    """A connection."""
    made = socket.create_connection(("127.0.0.1", port), 5, SOURCE)
    made.settimeout(2)
    return made


def drain(one: socket.socket) -> None:
    """Reads what is there."""
    one.setblocking(False)
    with contextlib.suppress(OSError):
        while one.recv(65536):
            pass
    one.settimeout(2)


def garbage(port: int, until_s: float) -> int:
    """Random bytes, other protocols, a preface and then nonsense."""
    source = random.Random(7)
    count = 0
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError), dialled(port) as one:
            start = source.choice([b"", b"GET / HTTP/1.1\r\n\r\n", PREFACE, PREFACE + SETTINGS, b"\x16\x03\x01"])
            one.sendall(start + source.randbytes(source.choice([1, 100, 5000])))
            one.recv(100)
        count += 1
        time.sleep(0.002)
    return count


def slow_bytes(port: int, until_s: float) -> int:
    """Two hundred connections that say one byte of a good call now and then."""
    call = PREFACE + SETTINGS + frame(1, 4, 1, CALL)
    ones = []
    for _ in range(200):
        with contextlib.suppress(OSError):
            ones.append(dialled(port))
    at = 0
    while time.monotonic() < until_s:
        for one in ones:
            with contextlib.suppress(OSError):
                one.send(call[at % len(call) : at % len(call) + 1])
        at += 1
        time.sleep(0.1)
    for one in ones:
        one.close()
    return len(ones)


def idle(port: int, until_s: float) -> int:
    """A thousand connections that have said hello and say no more."""
    ones = []
    for _ in range(1000):
        with contextlib.suppress(OSError):
            one = dialled(port)
            one.sendall(PREFACE + SETTINGS)
            ones.append(one)
    time.sleep(max(0.0, until_s - time.monotonic()))
    for one in ones:
        one.close()
    return len(ones)


def half_open(port: int, until_s: float) -> int:
    """Three hundred handshakes that were begun and never ended: half a ClientHello each."""
    hello = bytes.fromhex("16030100c8010000c40303") + os.urandom(20)
    ones = []
    for _ in range(300):
        with contextlib.suppress(OSError):
            one = dialled(port)
            one.sendall(hello)
            ones.append(one)
    time.sleep(max(0.0, until_s - time.monotonic()))
    for one in ones:
        one.close()
    return len(ones)


def rapid_reset(port: int, until_s: float) -> int:
    """Streams that are opened and cancelled at once (CVE-2023-44487)."""
    count = 0
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError), dialled(port) as one:
            one.sendall(PREFACE + SETTINGS)
            stream = 1
            while time.monotonic() < until_s and stream < 20_001:
                batch = b""
                for _ in range(50):
                    batch += frame(1, 4, stream, CALL) + frame(3, 0, stream, b"\0\0\0\x08")
                    stream += 2
                    count += 1
                one.sendall(batch)
                drain(one)
                time.sleep(0.005)
    return count


def big_metadata(port: int, until_s: float) -> int:
    """Calls with 64 KiB of headers, and headers that go on for ever in CONTINUATION frames."""
    count = 0
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError), dialled(port) as one:
            one.sendall(PREFACE + SETTINGS)
            block = CALL + literal(b"x", b"y" * 65_000)
            one.sendall(frame(1, 0, 1, block[:16_000]))
            for start in range(16_000, len(block), 16_000):
                one.sendall(frame(9, 0, 1, block[start : start + 16_000]))
            for _ in range(20):
                one.sendall(frame(9, 0, 1, literal(b"z", b"y" * 15_000)))
            one.recv(100)
        count += 1
        time.sleep(0.005)
    return count


ATTACKS: dict[str, Callable[[int, float], int]] = {
    "garbage": garbage,
    "slow_bytes": slow_bytes,
    "idle": idle,
    "half_open": half_open,
    "rapid_reset": rapid_reset,
    "big_metadata": big_metadata,
}

SERVICE = """
import http.server, sys
from modctl import agent
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    def do_GET(self):
        body = str(sum(range(3000))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments): pass
agent.start(service="shop", listen=f"127.0.0.1:{sys.argv[2]}", required=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def wait_for(port: int) -> None:
    """Waits until somebody listens: the agent is there before the service is."""
    give_up_s = time.monotonic() + 30
    while True:
        try:
            dialled(port).close()
        except ConnectionRefusedError:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(0.05)
        else:
            return


def latencies_ms(port: int, seconds: float) -> list[float]:
    """How long each of many requests to the service took, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    found = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        before_s = time.perf_counter()
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        found.append((time.perf_counter() - before_s) * 1000)
        time.sleep(0.001)
    connection.close()
    return found


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return sorted(values)[int(len(values) * 0.99)]


def under_attack(
    name: str, http_port: int, port: int, seconds: float, processors: set[int] | None = None
) -> list[float]:
    """The service's latencies while a process of its own attacks the gateway.

    Args:
        name: the attack.
        http_port: where the service is asked.
        port: what is attacked.
        seconds: how long.
        processors: where the attacker runs; None is anywhere.
    """
    attacker = subprocess.Popen(
        [sys.executable, __file__, name, str(port), str(seconds + 1)], stdout=subprocess.DEVNULL
    )
    try:
        if processors is not None:
            os.sched_setaffinity(attacker.pid, processors)
        time.sleep(0.7)
        return latencies_ms(http_port, seconds)
    finally:
        attacker.kill()
        attacker.wait()


def sink(port: int) -> None:
    """Takes connections and throws away what they say: an attack on this costs what the attacker itself costs."""
    import selectors

    watching = selectors.DefaultSelector()
    server = socket.create_server(("127.0.0.1", port), backlog=1024)
    server.setblocking(False)
    watching.register(server, selectors.EVENT_READ)
    while True:
        for key, _ in watching.select():
            with contextlib.suppress(BlockingIOError):
                if key.fileobj is server:
                    accepted, _ = server.accept()
                    accepted.setblocking(False)
                    accepted.send(frame(4, 0, 0, b""))  # as a server greets: who attacks waits for a word
                    watching.register(accepted, selectors.EVENT_READ)
                    continue
                one = key.fileobj
                assert isinstance(one, socket.socket)
                try:
                    ended = not one.recv(65536)
                except ConnectionError:
                    ended = True
                if ended:
                    watching.unregister(one)
                    one.close()


def bind(pid: int, processors: set[int]) -> None:
    """Has a process, all of its threads and those to come, run on these alone."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), processors)


def measure(rounds: int = 7, seconds: float = 3.0, apart: bool = False) -> bool:
    """Prints a line for each attack; whether the service noticed none of them.

    In each round the service's p99 is taken in quiet, while the gateway is attacked, and while a sink is attacked that
    does nothing: the attacker itself takes processors from the service, and is not ours. Said are the medians over the
    rounds of p99 and of its ratios, each within one round.

    With `apart` the service and who asks it have one processor for themselves, the attacker and the gateway the others:
    then a difference is what the gateway does to the service, not what it takes of the machine.

    On a machine with other work raise all of it above that. `nice` alone does not where the kernel shares processors
    between sessions (/proc/sys/kernel/sched_autogroup_enabled): write it to /proc/PID/autogroup of each session, too.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from support import gateways
    from support.services import Service, free_port

    first, *others = sorted(os.sched_getaffinity(0))
    if apart and not others:
        sys.exit("attackers and gateway need a processor of their own, and there is only one; say measure")
    theirs = set(others) if apart else None
    middle = statistics.median
    unnoticed = True
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="mc-") as folder:
        state = Path(folder) / "state"
        state.mkdir(mode=0o700)
        program = Path(folder) / "host.py"
        program.write_text(SERVICE)
        http_port, port, sink_port = free_port(), free_port(), free_port()
        service = Service([sys.executable, program, str(http_port), str(port)], state_dir=state)
        drain_pipe = subprocess.Popen([sys.executable, __file__, "sink", str(sink_port)])
        try:
            service.wait_for_agents(1, listening=True)
            wait_for(http_port)
            wait_for(sink_port)
            if theirs:
                bind(service.pid, {first})
                bind(os.getpid(), {first})
                bind(drain_pipe.pid, theirs)
                bind(gateways.pids(state)[0], theirs)
            latencies_ms(http_port, 1.0)
            for name in ATTACKS:
                quiet, loud, sunk = [], [], []
                for _ in range(rounds):
                    quiet.append(p99(latencies_ms(http_port, seconds)))
                    loud.append(p99(under_attack(name, http_port, port, seconds, theirs)))
                    sunk.append(p99(under_attack(name, http_port, sink_port, seconds, theirs)))
                    time.sleep(0.5)
                ratio = middle([one / other for one, other in zip(loud, quiet, strict=True)])
                ours = middle([one / other for one, other in zip(loud, sunk, strict=True)])
                noticed = ratio > UNNOTICED
                unnoticed = unnoticed and not noticed
                print(
                    f"{name:13} p99 {middle(loud):6.2f} ms; quiet {middle(quiet):6.2f} ms, ratio {ratio:.2f}; "
                    f"a sink attacked {middle(sunk):6.2f} ms, ratio {ours:.2f}{'  NOTICED' if noticed else ''}",
                    flush=True,
                )
        finally:
            drain_pipe.kill()
            drain_pipe.wait()
            service.end()
    return unnoticed


if __name__ == "__main__":
    if sys.argv[1] in ("measure", "apart"):
        rounds, seconds = int((sys.argv[2:3] or ["7"])[0]), float((sys.argv[3:4] or ["3"])[0])
        sys.exit(not measure(rounds, seconds, apart=sys.argv[1] == "apart"))
    elif sys.argv[1] == "sink":
        sink(int(sys.argv[2]))
    else:
        SOURCE = (sys.argv[4], 0) if sys.argv[4:] else None
        print(ATTACKS[sys.argv[1]](int(sys.argv[2]), time.monotonic() + float(sys.argv[3])))
