"""An engine that changes nothing: what the agent's life is tested with."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from modctl.agent.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = [{"name": f"package{number // 20}.module{number}", "kind": "MODULE_KIND_SOURCE"} for number in range(3000)]
BATCHES = [json.dumps({"modules": ROWS[start : start + 500]}).encode() for start in range(0, 3000, 500)]


class FakeWatch:
    """Tells the seconds."""

    def __init__(self) -> None:
        self.closed = False

    def poll(self) -> list[bytes]:
        return [json.dumps({"events": [{"name": "tick"}]}).encode()]

    def close(self) -> None:
        self.closed = True


class FakeEngine:
    """Answers every op with something that shows it was asked; `log` has the calls of its life."""

    def __init__(self) -> None:
        self.revision = 0
        self.frozen = False
        self.frozen_reason = ""
        self.log: list[str] = []
        self.due_s: float | None = None
        self.watches: list[FakeWatch] = []
        self._change_lock = threading.Lock()

    @property
    def entries(self) -> int:
        return len(sys.modules)

    def start(self) -> None:
        self.log.append("start")

    def stop(self) -> None:
        self.log.append("stop")

    def quiesce(self, timeout_s: float) -> bool:
        got = self._change_lock.acquire(timeout=timeout_s)
        self.log.append(f"quiesce {got}")
        return got

    def resume(self) -> None:
        self.log.append("resume")
        self._change_lock.release()

    def after_fork_in_child(self) -> None:
        self._change_lock = threading.Lock()
        self.log.append("child")

    def answer(self, request: dict[str, Any]) -> Iterator[bytes]:
        operation = request["op"]
        if operation == "list_modules":
            yield from BATCHES
        elif operation == "fork":
            pid = os.fork()
            if pid == 0 and not request.get("return"):
                os._exit(0)
            yield json.dumps({"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}).encode()
        elif operation == "get_module":
            yield json.dumps({"module": {"name": request["name"]}, "thread": threading.get_native_id()}).encode()
        elif operation == "freeze":
            self.frozen, self.frozen_reason = True, str(request.get("reason", ""))
            yield b'{"process": {}}'
        elif operation == "fail":
            raise ValueError("a fault with a surrogate \udc80")
        elif operation == "huge":
            yield b'"' + b"x" * (25 * 1024 * 1024) + b'"'
        else:
            raise RequestError("UNIMPLEMENTED", "UNKNOWN_OP", f"{operation!r} is unknown", {"op": str(operation)})

    def change(self, request: dict[str, Any]) -> bytes:
        with self._change_lock:
            time.sleep(request.get("sleep_s", 0))
            if request.get("exit"):
                sys.exit(3)
            if request.get("fork"):
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                os.waitpid(pid, 0)
            self.revision += 1
            return json.dumps({"outcome": "OUTCOME_APPLIED", "revision": self.revision}).encode()

    def watch(self, patterns: list[str], since_revision: int | None) -> FakeWatch:
        if since_revision == 99:
            raise RequestError("NOT_FOUND", "REVISION_GONE", "it is gone")
        watch = FakeWatch()
        self.watches.append(watch)
        return watch

    def next_expiry_s(self) -> float | None:
        return None if self.due_s is None else self.due_s - time.monotonic()

    def expire(self) -> None:
        self.due_s = None
        self.revision += 1
        self.log.append("expire")


def install() -> None:
    """Makes start() of this process use it."""
    from modctl.agent import lifecycle

    lifecycle.new_engine = lambda settings: FakeEngine()
