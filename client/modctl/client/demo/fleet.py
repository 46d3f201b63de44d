"""The demo's fleet: the examples, copied to a temporary folder and run there.

What is there is used: with Flask and gunicorn a web shop, with FastAPI and uvicorn an order service, and always a
daemon of plain threads, which needs nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

from modctl.client.demo.errors import DemoError
from modctl.client.demo.guide import document, until
from modctl.client.demo.service import DemoService

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHOP_WORKERS: Final = 3
ORDERS_WORKERS: Final = 2

#: Ends the services by their process groups, then the gateways, which would wait for others, then the folder.
_STOP_SCRIPT: Final = """\
#!/bin/sh
groups="{groups}"
for group in $groups; do kill -s TERM -- "-$group" 2>/dev/null; done
for tick in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    living=
    for group in $groups; do kill -s 0 -- "-$group" 2>/dev/null && living=1; done
    [ -z "$living" ] && break
    sleep 0.3
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
for info in {folder}/state/*/gateway.json; do
    pid=$(sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p' "$info" 2>/dev/null) && [ -n "$pid" ] && kill "$pid" 2>/dev/null
done
sleep 1
rm -rf {folder}
"""


class DemoFleet:
    """A folder with services in it.

    Args:
        outlives_us: for `--keep`: the services stay when the demo ends.

    Raises:
        DemoError: the examples are not there, or the temporary folder cannot be made.
    """

    def __init__(self, *, outlives_us: bool) -> None:
        examples = examples_folder()
        # Short, because unix sockets live in it and a socket's path has 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="modctl-demo-", dir="/tmp"))
        self.state_dir = self.folder / "state"
        self._outlives_us = outlives_us
        self._ports: dict[str, int] = {}
        for name in ("shop", "orders", "ticker"):
            shutil.copytree(examples / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.md"))
        self.services: dict[str, DemoService] = {}
        if _available("flask", "gunicorn"):
            self._add_shop()
        if _available("fastapi", "uvicorn"):
            self._add_orders()
        self._add_ticker()

    @property
    def environment(self) -> dict[str, str]:
        """What `modctl` runs with to see this fleet and nothing else."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MODCTL_")}
        return {**kept, "MODCTL_STATE_DIR": str(self.state_dir), "COLUMNS": os.environ.get("COLUMNS", "120")}

    def describe(self) -> list[str]:
        """Each service in words."""
        words = {
            "shop": f"a Flask shop (gunicorn, {SHOP_WORKERS} workers)",
            "orders": f"an order service (FastAPI, uvicorn, {ORDERS_WORKERS} workers)",
            "ticker": "a plain threading daemon",
        }
        return [words[name] for name in self.services]

    def start(self) -> None:
        """Starts all and waits until all of their processes can be reached.

        Raises:
            DemoError: one does not come up.
        """
        for service in self.services.values():
            service.start()
        for service in self.services.values():
            service.wait(self._answers(service.name))
        deadline_s = time.monotonic() + 20.0
        wanted = {name: service.processes for name, service in self.services.items()}
        while (seen := self.processes()) != wanted:
            for service in self.services.values():
                service.check_alive()
            if time.monotonic() > deadline_s:
                raise DemoError(f"agents of {wanted} were to be found, {seen} were")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends all and takes the folder away; safe to call at any time, and again."""
        for service in self.services.values():
            service.ask_to_stop()
        for service in self.services.values():
            service.make_stopped()
        self._end_gateways()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_gateways(self) -> None:
        """A gateway whose processes have gone leaves at once when told to; by itself it would wait for another one."""
        pids: list[int] = []
        for info in self.state_dir.glob("*/gateway.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):  # it has left by itself meanwhile
                pids.append(int(json.loads(info.read_text())["pid"]))
                os.kill(pids[-1], signal.SIGTERM)
        until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), within_s=10.0)

    def processes(self) -> dict[str, int]:
        """Service name to how many of its processes modctl finds."""
        found: dict[str, int] = {}
        for agent in document("agents", environment=self.environment).get("results", []):
            if agent.get("outcome") == "OK":
                found[agent["service"]] = found.get(agent["service"], 0) + 1
        return found

    def address(self, name: str) -> str:
        """Where a service's gateway listens: what `--host` takes."""
        return f"127.0.0.1:{self._ports[name]}"

    def url(self, name: str, path: str) -> str:
        """Where a service answers HTTP."""
        return f"http://127.0.0.1:{self._ports[name + '/http']}{path}"

    def fetch(self, name: str, path: str) -> str:
        """The body of an HTTP answer, on a connection of its own so that any worker may take it.

        Raises:
            DemoError: the service does not answer 200.
        """
        try:
            with urllib.request.urlopen(self.url(name, path), timeout=10) as answer:  # noqa: S310 - loopback
                body: bytes = answer.read()
        except OSError as error:
            log = self.services[name].log_tail()
            raise DemoError(f"GET {self.url(name, path)} failed: {error}\n{log}") from error
        return body.decode()

    def instructions(self) -> str:
        """How to use and how to stop what was left running; writes the script that stops it."""
        stop = self.folder / "stop"
        groups = " ".join(str(service.pid) for service in self.services.values())
        stop.write_text(_STOP_SCRIPT.format(folder=shlex.quote(str(self.folder)), groups=groups))
        stop.chmod(0o700)
        lines = [f"export MODCTL_STATE_DIR={shlex.quote(str(self.state_dir))}", "modctl agents"]
        lines += [
            f"modctl list --host {self.address(name)}     # {name}, in {self.folder / name}" for name in self.services
        ]
        lines += [f"curl '{self.url('shop', '/price?sku=tea')}'"] if "shop" in self.services else []
        return "\n".join(["Use them:", *(f"  {line}" for line in lines), "Stop them:", f"  {stop}"])

    def _answers(self, name: str) -> Callable[[], bool]:
        if name + "/http" not in self._ports:
            return lambda: bool(self.services[name].log_tail(1).strip())

        def answers() -> bool:
            try:
                with urllib.request.urlopen(self.url(name, "/health"), timeout=2) as answer:  # noqa: S310 - loopback
                    return bool(answer.status == 200)
            except OSError:
                return False  # not yet; DemoService.wait bounds how long this may go on

        return answers

    def _add_shop(self) -> None:
        http = self._port("shop/http")
        command = (sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "wsgi:app")
        environ = {"SHOP_BIND": f"127.0.0.1:{http}", "SHOP_WORKERS": str(SHOP_WORKERS)}
        self._add("shop", command, SHOP_WORKERS, environ)

    def _add_orders(self) -> None:
        http = self._port("orders/http")
        command = (sys.executable, "-m", "uvicorn", "--port", str(http), "--workers", str(ORDERS_WORKERS), "main:app")
        self._add("orders", command, ORDERS_WORKERS)

    def _add_ticker(self) -> None:
        self._add("ticker", (sys.executable, "ticker.py", "--interval", "0.2"), 1)

    def _add(self, name: str, command: tuple[str, ...], processes: int, extra: Mapping[str, str] | None = None) -> None:
        listen = {"MODCTL_LISTEN": f"127.0.0.1:{self._port(name)}", "PYTHONUNBUFFERED": "1"}
        self.services[name] = DemoService(
            name,
            command,
            str(self.folder / name),
            {**self.environment, **listen, **(extra or {})},
            str(self.folder / f"{name}.log"),
            processes=processes,
            outlives_us=self._outlives_us,
        )

    def _port(self, use: str) -> int:
        """A free port, the same for the same use; found by binding it, so that a running service's is never taken."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        return self._ports.setdefault(use, port)


def examples_folder() -> Path:
    """The examples: beside this file in an installed wheel, at the root in a clone.

    Raises:
        DemoError: there are none.
    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "examples", *(parent / "examples" for parent in here.parents[3:5])):
        if (folder / "ticker" / "ticker.py").is_file():
            return folder
    raise DemoError(f"the examples are not there, neither in {here.parent} nor in a clone around it; reinstall modctl")


def _available(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)
