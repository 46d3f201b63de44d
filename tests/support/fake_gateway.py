"""A gateway of a few lines: accepts agents, welcomes them and asks them things. No gRPC."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from modctl.local import places
from modctl.local.frames import CANCEL, ERR, LAST, Decoder, Frame, encode
from modctl.local.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Connection:
    """One agent's connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        pid, self.peer_uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        self.peer_pid = pid
        self.hello: dict[str, Any] = {}
        self.updates: list[dict[str, Any]] = []
        self.pongs: list[Any] = []
        self.alive = True
        self._frames: dict[int, list[Frame]] = {}
        self._arrived = threading.Condition()
        self._next_id = 1

    @property
    def process(self) -> dict[str, Any]:
        process: dict[str, Any] = self.updates[-1] if self.updates else self.hello["process"]
        return process

    def send(self, request_id: int, flags: int, body: bytes) -> None:
        self.sock.sendall(encode(request_id, flags, body))

    def begin(self, request: dict[str, Any]) -> int:
        request_id, self._next_id = self._next_id, self._next_id + 1
        self._frames[request_id] = []
        self.send(request_id, LAST, json.dumps(request).encode())
        return request_id

    def cancel(self, request_id: int) -> None:
        self.send(request_id, CANCEL | LAST, b"")

    def frames(self, request_id: int, count: int | None = None, timeout_s: float = 10.0) -> list[Frame]:
        """So many frames of an answer; without a count, all of it."""

        def done() -> bool:
            frames = self._frames[request_id]
            enough = len(frames) >= count if count is not None else bool(frames) and bool(frames[-1].flags & LAST)
            return enough or not self.alive

        with self._arrived:
            assert self._arrived.wait_for(done, timeout_s), f"{len(self._frames[request_id])} frames"
            return list(self._frames[request_id])

    def ask(self, timeout_s: float = 10.0, **request: Any) -> list[dict[str, Any]]:
        """The bodies of a whole answer."""
        frames = self.frames(self.begin(request), timeout_s=timeout_s)
        assert frames, "the connection ended before the answer began"
        assert frames[-1].flags & LAST, "the connection ended before the answer did"
        return [json.loads(frame.body) for frame in frames]

    def error(self, **request: Any) -> dict[str, Any]:
        """The ErrorDetail of a refused request."""
        frame = self.frames(self.begin(request))[-1]
        assert frame.flags == ERR | LAST, frame
        detail: dict[str, Any] = json.loads(frame.body)
        return detail

    def run(self, welcome: dict[str, Any] | None) -> None:
        decoder = Decoder()
        try:
            while data := self.sock.recv(1 << 16):
                for frame in decoder.feed(data):
                    self._take(frame, welcome)
        except OSError:
            pass
        finally:
            with self._arrived:
                self.alive = False
                self._arrived.notify_all()
            self.sock.close()

    def _take(self, frame: Frame, welcome: dict[str, Any] | None) -> None:
        with self._arrived:
            if frame.request_id:
                self._frames.setdefault(frame.request_id, []).append(frame)
            else:
                body = json.loads(frame.body)
                if "hello" in body:
                    self.hello = body["hello"]
                    if welcome is not None:
                        self.send(0, LAST, json.dumps(welcome).encode())
                elif "update" in body:
                    self.updates.append(body["update"].get("process") or body["update"])
                elif "pong" in body:
                    self.pongs.append(body["pong"])
            self._arrived.notify_all()


class FakeGateway:
    """Listens where the agents of a service dial; a context manager.

    Args:
        welcome: what it says to a hello; None: nothing.
    """

    def __init__(
        self,
        state_dir: Path,
        service: str,
        prefix: str = sys.prefix,
        welcome: dict[str, Any] | None = None,
        mute: bool = False,
    ) -> None:
        places.make_private(str(state_dir))
        self.directory = places.make_private(os.path.join(state_dir, places.instance_name(service, prefix, VERSION)))
        self.file = os.path.join(self.directory, places.AGENT_SOCKET)
        self.connections: list[Connection] = []
        default = {
            "welcome": {"v": 1, "gateway_pid": os.getpid(), "addresses": [f"unix://{self.directory}/gateway.sock"]}
        }
        self._welcome = None if mute else welcome or default
        self.start()

    def start(self) -> None:
        if os.path.exists(self.file):
            os.unlink(self.file)
        self._listener = socket.socket(socket.AF_UNIX)
        handle = os.open(self.directory, os.O_PATH)
        self._listener.bind(f"/proc/self/fd/{handle}/{places.AGENT_SOCKET}")
        os.close(handle)
        self._listener.listen(100)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            connection = Connection(sock)
            self.connections.append(connection)
            threading.Thread(target=connection.run, args=(self._welcome,), daemon=True).start()

    def die(self) -> None:
        """As kill -9 leaves it: the sockets closed by the kernel, the file still there."""
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for connection in self.connections:
            if connection.alive:
                with contextlib.suppress(OSError):  # its agent has left this moment, and its thread closed it
                    connection.sock.shutdown(socket.SHUT_RDWR)
        self.connections = []

    def present(self) -> list[Connection]:
        return [connection for connection in list(self.connections) if connection.alive and connection.hello]

    def wait(self, condition: Callable[[list[Connection]], bool], timeout_s: float = 10.0) -> list[Connection]:
        deadline_s = time.monotonic() + timeout_s
        while not condition(self.present()):
            assert time.monotonic() < deadline_s, [one.hello for one in self.connections]
            time.sleep(0.005)
        return self.present()

    def one(self) -> Connection:
        return self.wait(lambda present: len(present) == 1)[0]

    def __enter__(self) -> FakeGateway:  # noqa: PYI034 - typing.Self is of 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
