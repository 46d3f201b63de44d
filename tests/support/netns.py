"""Hosts of a network of their own: a namespace each, and one for the operator, joined by a bridge.

Nothing of the machine's own network is touched. What is cut here is cut as a cable is: packets are gone, and nobody is
told.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import cli
from support.crew import APP, NEW, OLD
from support.services import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence

PORT = 50051
DOMAIN = "fleet.test"
OPERATOR = "10.0.0.1"

#: Answers A (web: every host, hN: that one) and SRV (_modctl._tcp); of anything else it says that there is none.
NAME_SERVER = """
import socket, struct, sys
hosts, domain, port = sys.argv[1].split(","), sys.argv[2], int(sys.argv[3])
addresses = {f"h{number}.{domain}": [host] for number, host in enumerate(hosts, 1)} | {f"web.{domain}": hosts}

def encoded(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\\0"

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 53))
print("ready", flush=True)
while True:
    query, sender = sock.recvfrom(4096)
    at, parts = 12, []
    while query[at]:
        parts.append(query[at + 1 : at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    name, kind = ".".join(parts), struct.unpack(">H", query[at + 1 : at + 3])[0]
    records = []
    if kind == 1:
        records = [socket.inet_aton(each) for each in addresses.get(name, [])]
    elif kind == 33 and name == f"_modctl._tcp.{domain}":
        records = [struct.pack(">3H", 0, 0, port) + encoded(f"h{n}.{domain}") for n in range(1, len(hosts) + 1)]
    known = name in addresses or name.startswith("_modctl")
    answer = query[:2] + struct.pack(">5H", 0x8180 if known else 0x8183, 1, len(records), 0, 0)
    answer += query[12 : at + 5]
    for data in records:
        answer += b"\\xc0\\x0c" + struct.pack(">2HIH", kind, 1, 1, len(data)) + data
    sock.sendto(answer, sender)
"""


def why_not() -> str:
    """Why there can be no such hosts here; "" where there can."""
    if os.geteuid() != 0:
        return "namespaces of networks need root"
    if shutil.which("ip") is None:
        return "namespaces of networks need `ip` of iproute2"
    probe = f"mcprobe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"`ip netns add` says {made.stderr.strip()}"
    veth = ["ip", "-n", probe, "link", "add", "name", "mca", "type", "veth", "peer", "name", "mcb"]
    bridge = ["ip", "-n", probe, "link", "add", "name", "mcc", "type", "bridge"]
    try:
        for command in (veth, bridge):
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                return f"`{' '.join(command[3:])}` says {made.stderr.strip()}"
    finally:
        subprocess.run(["ip", "netns", "del", probe], check=False)
    return ""


class Network:
    """An operator and hosts, each with an address, a service of some processes and certificates; a context manager.

    Args:
        folder: a short one, for the sockets.
        hosts: how many.
        processes: how many children each service has beside its parent.
    """

    def __init__(self, folder: Path, hosts: int = 3, children: int = 1) -> None:
        self.folder = folder
        self.children = children
        self.addresses = [f"10.0.0.{10 + number}" for number in range(1, hosts + 1)]
        self.new = folder / "new"
        self.new.mkdir()
        (self.new / "pricing.py").write_text(NEW)
        self._prefix = f"mc{os.getpid()}"
        self._operator = f"{self._prefix}op"
        self._services: list[Service] = []
        self._name_server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Network:  # noqa: PYI034 - typing.Self is of 3.11
        try:
            self._wire()
            self._issue()
            self._services = [self._serve(number) for number in range(1, len(self.addresses) + 1)]
            for service in self._services:
                service.wait_for_agents(self.children + 1, within_s=60)
            until(self._all_reached, 60, what="every host reached from the operator's", every_s=0.3)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for service in self._services:
            service.end()
        if self._name_server is not None:
            self._name_server.kill()
            self._name_server.communicate()
        for name in (self._operator, *map(self._host, range(1, len(self.addresses) + 1))):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        shutil.rmtree(f"/etc/netns/{self._operator}", ignore_errors=True)
        with contextlib.suppress(OSError):
            os.rmdir("/etc/netns")

    # Faults

    def cut(self, number: int) -> None:
        """Nothing reaches the host, and nothing comes from it."""
        self._ip("-n", self._operator, "link", "set", f"p{number}", "down")

    def mend(self, number: int) -> None:
        """The cable is in again."""
        self._ip("-n", self._operator, "link", "set", f"p{number}", "up")
        self._ip("-n", self._host(number), "route", "del", "blackhole", OPERATOR, check=False)

    def silence_command(self, number: int) -> str:
        """A shell's command, after which the host hears the operator, and its answers are lost."""
        return f"ip -n {self._host(number)} route add blackhole {OPERATOR}/32"

    # The operator

    def environment(self) -> dict[str, str]:
        """The operator's, with its certificate."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("MODCTL_")}
        tls = self.folder / "tls"
        return {
            **plain,
            "MODCTL_STATE_DIR": str(self.folder / "operator"),
            "MODCTL_CACERT": str(tls / "ca.pem"),
            "MODCTL_CERT": str(tls / "anna.pem"),
            "MODCTL_KEY": str(tls / "anna.key"),
            "MODCTL_SERVER_NAME": DOMAIN,
            "MODCTL_CONNECT_TIMEOUT": "2s",
            "MODCTL_TIMEOUT": "4s",
        }

    def command(self, arguments: Sequence[str | Path], program: Sequence[str] = cli.MODCTL) -> list[str]:
        """A command line that runs on the operator's host."""
        return ["ip", "netns", "exec", self._operator, *program, *map(str, arguments)]

    def modctl(self, *arguments: str | Path, expect: int | None = 0, program: Sequence[str] = cli.MODCTL) -> cli.Ran:
        """`modctl …` as the operator types it."""
        done = subprocess.run(
            self.command(arguments, program),
            env=self.environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        ran = cli.Ran(done.returncode, done.stdout, done.stderr)
        if expect is not None:
            assert ran.code == expect, f"modctl {' '.join(map(str, arguments))} ended with {ran}"
        return ran

    def start_arguments(self, *arguments: str) -> list[str | Path]:
        """`rollout start` of the new version to every address behind the name."""
        what = ["rollout", "start", "pricing", "--from", self.new, "--mode", "fresh", "-H", f"web.{DOMAIN}:{PORT}"]
        return [*what, "--unit", "target", *arguments]

    def background(self, arguments: Sequence[str | Path]) -> subprocess.Popen[str]:
        """modctl, left running."""
        return subprocess.Popen(
            self.command(arguments),
            env=self.environment(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def state(self) -> dict[str, Any]:
        """The newest rollout's state file; {} while there is none."""
        files = sorted((self.folder / "operator" / "rollouts").glob("*/state.json"))
        with contextlib.suppress(IndexError, FileNotFoundError):
            state: dict[str, Any] = json.loads(files[-1].read_text())
            return state
        return {}

    # The truth

    def rates(self) -> list[set[str]]:
        """What the processes of each host really have, asked over their own sockets and not the network."""
        found = []
        for service in self._services:
            answer = cli.document("get", "pricing", "--attr", "RATE", state_dir=service.state_dir)
            rows = answer["results"]
            assert len(rows) == self.children + 1
            found.append({row["attributes"][0]["value"] for row in rows})
        return found

    # How

    def _host(self, number: int) -> str:
        return f"{self._prefix}h{number}"

    @staticmethod
    def _ip(*arguments: str, check: bool = True) -> None:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"

    def _wire(self) -> None:
        operator = self._operator
        self._ip("netns", "add", operator)
        self._ip("-n", operator, "link", "set", "lo", "up")
        self._ip("-n", operator, "link", "add", "name", "br0", "type", "bridge")
        self._ip("-n", operator, "addr", "add", f"{OPERATOR}/24", "dev", "br0")
        self._ip("-n", operator, "link", "set", "br0", "up")
        for number, address in enumerate(self.addresses, 1):
            host, port = self._host(number), f"p{number}"
            self._ip("netns", "add", host)
            self._ip("-n", host, "link", "set", "lo", "up")
            self._ip("-n", operator, "link", "add", "name", port, "type", "veth", "peer", "name", "e0", "netns", host)
            self._ip("-n", operator, "link", "set", port, "master", "br0", "up")
            self._ip("-n", host, "addr", "add", f"{address}/24", "dev", "e0")
            self._ip("-n", host, "link", "set", "e0", "up")
        names = Path("/etc/netns", operator)
        names.mkdir(parents=True, exist_ok=True)
        (names / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:2\n")
        words = ["-c", NAME_SERVER, ",".join(self.addresses), DOMAIN, str(PORT)]
        self._name_server = subprocess.Popen(self.command(words, [sys.executable]), stdout=subprocess.PIPE)
        assert self._name_server.stdout is not None
        assert self._name_server.stdout.readline() == b"ready\n"

    def _issue(self) -> None:
        tls = self.folder / "tls"
        for arguments in (
            ["init", "--dir", tls],
            ["issue", "shop", "--dir", tls, "--server", DOMAIN],
            ["issue", "anna", "--dir", tls, "--role", "admin"],
        ):
            cli.modctl("tls", *arguments, state_dir=self.folder)
        (self.folder / "policy.toml").write_text('version = 1\n[identities]\n"uri:modctl://admin/anna" = "admin"\n')

    def _serve(self, number: int) -> Service:
        folder = self.folder / f"h{number}"
        folder.mkdir()
        (folder / "state").mkdir(mode=0o700)
        (folder / "app.py").write_text(APP)
        (folder / "pricing.py").write_text(OLD)
        tls = self.folder / "tls"
        return Service(
            ["ip", "netns", "exec", self._host(number), sys.executable, "app.py", str(self.children), "shop"],
            state_dir=folder / "state",
            folder=folder,
            environment={
                "MODCTL_LISTEN": f"0.0.0.0:{PORT}",
                "MODCTL_TLS_CERT": str(tls / "shop.pem"),
                "MODCTL_TLS_KEY": str(tls / "shop.key"),
                "MODCTL_TLS_CLIENT_CA": str(tls / "ca.pem"),
                "MODCTL_POLICY": str(self.folder / "policy.toml"),
                "MODCTL_LABELS": f"host=h{number}",
            },
        )

    def _all_reached(self) -> bool:
        hosts = ",".join(f"{address}:{PORT}" for address in self.addresses)
        found = self.modctl("agents", "-H", hosts, "-o", "name", expect=None)
        return len(found.stdout.split()) == len(self.addresses) * (self.children + 1)
