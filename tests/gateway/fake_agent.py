"""An agent that is none: it speaks the private protocol and answers what it is told to. Standard library and frames.

As a program (`python fake_agent.py INSTANCE_DIR [JSON]`) it stands for a process of its own: it can be killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from modctl.local import frames, places
from typing_extensions import Self

Answer = Iterator[tuple[int, Any]]
Handler = Callable[["FakeAgent", dict[str, Any]], Answer]


def last(body: Any) -> Answer:
    """One answer that is the whole."""
    yield frames.LAST, body


def error(code: str, reason: str, message: str = "no") -> Answer:
    """An ErrorDetail."""
    yield frames.ERR | frames.LAST, {"code": code, "reason": reason, "message": message}


def in_batches(rows: list[dict[str, Any]]) -> Answer:
    """Rows of a listing as agents send them."""
    for start in range(0, max(len(rows), 1), frames.BATCH_ROWS):
        flags = frames.LAST if start + frames.BATCH_ROWS >= len(rows) else 0
        yield flags, {"modules": rows[start : start + frames.BATCH_ROWS]}


def applied(agent: FakeAgent, request: dict[str, Any]) -> Answer:
    agent.revision += 1
    yield (
        frames.LAST,
        {
            "outcome": "OUTCOME_APPLIED",
            "revision": agent.revision,
            "undoable": True,
            "request_id": request["request_id"],
            "modules": [{"name": "x", "action": "ACTION_INJECT", "after": {"generation": 1}}],
        },
    )


class FakeAgent:
    """Dials, says hello, answers.

    Attributes:
        seen: the requests that came, as objects.
        own: the frames of id 0 that came.
        cancelled: ids that were given up.
    """

    def __init__(
        self,
        instance_dir: Path,
        *,
        pid: int | None = None,
        service: str = "shop",
        handlers: dict[str, Handler] | None = None,
        dial: bool = True,
        process: dict[str, Any] | None = None,
        **hello: Any,
    ) -> None:
        self.pid = os.getpid() if pid is None else pid
        self.id = f"{service}/host/{self.pid}@1763800000"
        self.revision = 0
        self.facts: dict[str, Any] = {
            "id": self.id,
            "service": service,
            "host": "host",
            "pid": self.pid,
            "python": "3.11.7",
            "implementation": "cpython",
            "role": "PROCESS_ROLE_MAIN",
            "labels": {"zone": "a"},
            "entries": 3,
            **(process or {}),
        }
        self.hello = {"v": frames.PROTOCOL_VERSION, "process": self.facts, "listen": [], "tls": None, **hello}
        self.handlers: dict[str, Handler] = {
            "describe": lambda agent, _: last({"process": agent.facts}),
            "change": applied,
            **(handlers or {}),
        }
        self.seen: list[dict[str, Any]] = []
        self.own: list[dict[str, Any]] = []
        self.cancelled: set[int] = set()
        self.closed = threading.Event()
        self._lock = threading.Lock()
        self._place = str(instance_dir / places.AGENT_SOCKET)
        if dial:
            self.dial()

    def dial(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        give_up = time.monotonic() + 10
        while True:
            try:
                self.socket.connect(self._place)
                break
            except OSError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
        self.say(0, 0, {"hello": self.hello})
        threading.Thread(target=self._read, daemon=True).start()

    def say(self, request_id: int, flags: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with self._lock:
            self.socket.sendall(frames.encode(request_id, flags, data))

    def welcome(self, timeout_s: float = 10) -> dict[str, Any]:
        """The newest welcome."""
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up:
            found = [body["welcome"] for body in self.own if "welcome" in body]
            if found:
                return found[-1]  # type: ignore[no-any-return]
            time.sleep(0.005)
        raise TimeoutError(f"no welcome: {self.own}")

    def ops(self) -> list[str]:
        return [request["op"] for request in self.seen]

    def close(self) -> None:
        if not hasattr(self, "socket"):
            return  # it never dialled
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _read(self) -> None:
        decoder = frames.Decoder()
        try:
            while data := self.socket.recv(1 << 18):
                for frame in decoder.feed(data):
                    self._take(frame)
        except OSError:
            pass
        finally:
            self.closed.set()

    def _take(self, frame: frames.Frame) -> None:
        if frame.flags & frames.CANCEL:
            self.cancelled.add(frame.request_id)
            return
        told, _, attached = frame.body.partition(frames.ATTACHED)
        body = json.loads(told)
        if frame.request_id == 0:
            self.own.append(body)
            return
        self.seen.append({**body, frames.ATTACHMENTS: attached} if attached else body)
        threading.Thread(target=self._answer, args=(frame.request_id, body), daemon=True).start()

    def _answer(self, request_id: int, request: dict[str, Any]) -> None:
        handler = self.handlers.get(request["op"])
        answers = error("UNIMPLEMENTED", "UNKNOWN_OP") if handler is None else handler(self, request)
        try:
            for flags, body in answers:
                if request_id in self.cancelled:
                    return
                self.say(request_id, flags, body)
        except OSError:
            self.closed.set()


def silent(agent: FakeAgent, request: dict[str, Any]) -> Answer:
    """Never answers."""
    yield from ()


def main() -> None:
    options = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    quiet = dict.fromkeys(options.pop("silent", ()), silent)
    rows = options.pop("rows", [])
    listing: dict[str, Handler] = {"list_modules": lambda agent, request: in_batches(rows)}
    agent = FakeAgent(Path(sys.argv[1]), handlers={**listing, **quiet}, **options)
    print(json.dumps(agent.welcome()), flush=True)
    agent.closed.wait()


if __name__ == "__main__":
    main()
