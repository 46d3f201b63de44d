"""The hosts that Python programs really run under, as data: how each is started and what must be found in it."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.services import Service, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WSGI = """
import os
from modctl import agent
import greeting

agent.start(service="host")

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{greeting.TEXT} {os.getpid()}".encode()]
"""

ASGI = """
import os
from modctl import agent
import greeting

agent.start(service="host")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{greeting.TEXT} {os.getpid()}".encode()})
"""

CELERY = """
import os
import greeting
from celery import Celery
from modctl import agent

agent.start(service="host")
app = Celery("app", broker="memory://")
app.conf.update(worker_hijack_root_logger=False)
"""

FORKING = """
import multiprocessing, os, signal, time
import greeting
from modctl import agent

def work():
    while True:
        time.sleep(0.05)

def main():
    agent.start(service="host")
    context = multiprocessing.get_context("fork")
    workers = []
    def stop(*_):
        for worker in workers:
            worker.terminate()
        os._exit(0)
    while True:
        workers = [worker for worker in workers if worker.is_alive()]
        while len(workers) < 3:
            worker = context.Process(target=work)
            worker.start()
            workers.append(worker)
        signal.signal(signal.SIGTERM, stop)
        time.sleep(0.1)

main()
"""

GEVENT_SERVER = """
from gevent import monkey
monkey.patch_all()
import os, signal, sys
import gevent
from gevent.pywsgi import WSGIServer
from modctl import agent
import greeting

agent.start(service="host")

def app(environ, start_response):
    gevent.sleep(0.001)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{greeting.TEXT} {os.getpid()}".encode()]

server = WSGIServer(("127.0.0.1", int(sys.argv[1])), app, log=None)
gevent.signal_handler(signal.SIGTERM, lambda: os._exit(0))
server.serve_forever()
"""

GRPC_SERVER = """
import os, signal, sys, threading
from concurrent import futures
import grpc
from modctl import agent
import greeting
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The host's own gRPC: a server, and a channel to itself that is used for every request.
class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)

server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Echo()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
channel = grpc.insecure_channel(f"127.0.0.1:{port}")
echo = channel.unary_unary("/host.Echo/Echo")

agent.start(service="host")

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        answer = echo(greeting.TEXT.encode(), timeout=5)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer + f" {os.getpid()}".encode())
    def log_message(self, *_):
        pass

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Host:
    """One way to run a program.

    Args:
        name: for the test's id.
        program: app.py.
        command: arguments of the interpreter; {port} and {folder} are filled in.
        agents: how many processes have an agent: workers, and a master that has loaded the program.
        needs: modules that have to be installed.
        serves: whether it answers HTTP.
        respawns: whether it starts a new worker where one has died.
        ends_after_loss: whether it still ends in order when one of its workers was killed.
    """

    name: str
    program: str
    command: tuple[str, ...]
    agents: int
    needs: tuple[str, ...] = ()
    serves: bool = True
    respawns: bool = True
    ends_after_loss: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """What it needs and is not installed."""
        return [module for module in self.needs if importlib.util.find_spec(module) is None]

    def start(self, folder: Path, interpreter: str = sys.executable) -> tuple[Service, str]:
        """Starts it in a folder; the service, and the URL that it answers at."""
        (folder / "app.py").write_text(self.program)
        (folder / "greeting.py").write_text('TEXT = "hello"\n')
        (folder / "state").mkdir(mode=0o700)
        port = free_port()
        command = [argument.format(port=port, folder=folder) for argument in self.command]
        service = Service(
            [interpreter, *command], state_dir=folder / "state", folder=folder, environment=self.environment
        )
        return service, f"http://127.0.0.1:{port}/"


GUNICORN = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "3", "--graceful-timeout", "3", "app:app")


def gunicorn(name: str, program: str, *options: str, agents: int, needs: tuple[str, ...] = ()) -> Host:
    return Host(name, program, (*GUNICORN, *options), agents, ("gunicorn", *needs))


UVICORN_WORKER = ("--worker-class", "uvicorn.workers.UvicornWorker")

HOSTS = [
    gunicorn("gunicorn-sync", WSGI, agents=3),
    gunicorn("gunicorn-sync-preload", WSGI, "--preload", agents=4),
    gunicorn("gunicorn-gthread", WSGI, "--threads", "4", agents=3),
    gunicorn("gunicorn-gthread-preload", WSGI, "--threads", "4", "--preload", agents=4),
    gunicorn("gunicorn-uvicorn", ASGI, *UVICORN_WORKER, agents=3, needs=("uvicorn",)),
    gunicorn("gunicorn-uvicorn-preload", ASGI, *UVICORN_WORKER, "--preload", agents=4, needs=("uvicorn",)),
    gunicorn("gunicorn-gevent", WSGI, "--worker-class", "gevent", agents=3, needs=("gevent",)),
    Host(
        "uvicorn-workers",
        ASGI,
        ("-m", "uvicorn", "--port", "{port}", "--workers", "3", "app:app"),
        agents=3,
        needs=("uvicorn",),
    ),
    Host(
        "celery-prefork",
        CELERY,
        ("-m", "celery", "--app", "app", "worker", "--concurrency", "2", "--without-gossip", "--without-mingle"),
        agents=3,
        needs=("celery",),
        serves=False,
        ends_after_loss=False,  # after one of its children was killed; with or without an agent
    ),
    Host("multiprocessing-fork", FORKING, ("app.py",), agents=4, serves=False),
    Host("gevent-patched", GEVENT_SERVER, ("app.py", "{port}"), agents=1, needs=("gevent",), respawns=False),
    Host("own-grpc", GRPC_SERVER, ("app.py", "{port}"), agents=1, respawns=False),
]
