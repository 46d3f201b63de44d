"""Real servers of one small application whose every answer tells whether two versions met in it, and load for them."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import sys
import threading
import time
from typing import TYPE_CHECKING

from support.services import Service, fetch, free_port
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MODULE = "VALUE = {0}\ndef get():\n    return {0}\n"
WSGI = """
import time
from modctl import agent
import one, two

agent.start(service="loaded")

def app(environ, start_response):
    first = (one.VALUE, one.get())
    time.sleep(0.001)
    body = ":".join(map(str, {*first, two.VALUE, two.get()})).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    def parts():
        yield body[:1]
        yield body[1:]
    return parts()
"""
ASGI = """
import asyncio
from modctl import agent
from modctl.agent.asgi import ShieldMiddleware
import one, two

agent.start(service="loaded")

async def plain(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    first = (one.VALUE, one.get())
    await asyncio.sleep(0.001)
    body = ":".join(map(str, {*first, two.VALUE, two.get()})).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

app = WRAP(plain)
"""
GUNICORN = [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "--bind", "127.0.0.1:{port}"]
UVICORN_WORKER = "uvicorn.workers.UvicornWorker"
if importlib.util.find_spec("uvicorn.workers") is None:  # pragma: no cover - it depends on what is installed
    UVICORN_WORKER = "uvicorn_worker.UvicornWorker"
HOSTS = {
    "gunicorn-sync": (WSGI, [*GUNICORN, "--workers", "2", "app:app"], 2),
    "gunicorn-gthread": (WSGI, [*GUNICORN, "--workers", "1", "--threads", "4", "app:app"], 1),
    "uvicorn": (
        ASGI.replace("WRAP", "ShieldMiddleware"),
        [sys.executable, "-m", "uvicorn", "--port", "{port}", "--log-level", "warning", "app:app"],
        1,
    ),
    "gunicorn-uvicorn": (
        ASGI.replace("WRAP", "ShieldMiddleware"),
        [*GUNICORN[:3], "--bind", "127.0.0.1:{port}", "--workers", "2", "--worker-class", UVICORN_WORKER, "app:app"],
        2,
    ),
}


def is_installed(command: Sequence[str]) -> bool:
    """Whether there is what such a command runs."""
    worker = UVICORN_WORKER.partition(".")[0] if UVICORN_WORKER in command else command[2]
    return all(importlib.util.find_spec(name) is not None for name in (command[2], worker))


@contextlib.contextmanager
def serving(app: str, command: Sequence[str], workers: int, folder: Path, state_dir: Path) -> Iterator[int]:
    """Runs a server of `app`, with modules `one` and `two` where there are none; its port, once it answers."""
    for name in ("one", "two"):
        if not (folder / f"{name}.py").exists():
            (folder / f"{name}.py").write_text(MODULE.format(0))
    (folder / "app.py").write_text(app)
    (folder / "gunicorn.conf.py").write_text("from modctl.agent.integrations.gunicorn import post_worker_init\n")
    port = free_port()
    service = Service([part.replace("{port}", str(port)) for part in command], state_dir=state_dir, folder=folder)
    try:
        service.wait_for_agents(workers)
        until(lambda: fetch(f"http://127.0.0.1:{port}/"), what="the server to listen")
        yield port
    finally:
        service.end()


class Load:
    """Clients that ask as fast as they are answered, until told to stop."""

    def __init__(self, port: int, clients: int) -> None:
        self._port = port
        self.answers: set[str] = set()
        self.failures: list[str] = []
        self.took_s: list[float] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            connection = connection or http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            began_s = time.perf_counter()
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                body = response.read().decode()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                connection = None
                continue
            self.took_s.append(time.perf_counter() - began_s)
            if response.status != 200 or ":" in body or not body:
                self.failures.append(f"{response.status} {body}")
            self.answers.add(body)
            if response.will_close:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def stop(self) -> None:
        """Waits for the last answers."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def p99_ms(self) -> float:
        """Of the answers' times."""
        return sorted(self.took_s)[int(len(self.took_s) * 0.99)] * 1e3
