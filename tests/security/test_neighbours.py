"""A hostile neighbour on the same machine: another uid who makes directories first, squats sockets, plays a part.

Needs root, to become other users; every attack really runs as one.
"""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from modctl.agent.wire import ForeignPeerError, dial
from support import gateways
from support.cli import modctl
from support.services import Service, free_port
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="only root can become the neighbour"),
    pytest.mark.timeout(120),
]

NEIGHBOUR = 64_123
VICTIM = 64_456

HOST = """
import sys, time
from modctl import agent
handle = agent.start(service="shop")
print("started", flush=True)
while True:
    time.sleep(0.05)
"""


def dropped(code: str, uid: int = NEIGHBOUR) -> str:
    """Python that becomes another user and then does something.

    That user may not be able to read our Python: everything is imported before.
    """
    return (
        "import encodings.ascii, encodings.idna, importlib, json, logging, os, pkgutil, signal, socket, struct, sys\n"
        "import time\n"
        "import modctl.agent, modctl.client.discover, modctl.local.places\n"
        "for found in pkgutil.walk_packages(modctl.agent.__path__, 'modctl.agent.'):\n"
        "    if not found.name.endswith(('__main__', 'sitecustomize')): importlib.import_module(found.name)\n"
        f"os.setgroups([]); os.setgid({uid}); os.setuid({uid})\n{code}"
    )


def as_neighbour(code: str, *arguments: str | Path, uid: int = NEIGHBOUR, timeout_s: float = 30) -> str:
    """Runs Python as another user; what it prints."""
    ran = subprocess.run(
        [sys.executable, "-c", dropped(code, uid), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return ran.stdout + ran.stderr


@pytest.fixture
def public_dir(short_dir: Path) -> Path:
    """A folder like /tmp: everybody may make files in it."""
    short_dir.chmod(0o711)
    place = short_dir / "tmp"
    place.mkdir()
    place.chmod(0o1777)
    return place


@pytest.fixture
def service(short_dir: Path) -> Iterator[Service]:
    """A service of ours with a private state directory in a folder that everybody can enter."""
    short_dir.chmod(0o711)
    state = short_dir / "state"
    state.mkdir(mode=0o700)
    program = short_dir / "host.py"
    program.write_text(HOST)
    found = Service([sys.executable, program], state_dir=state)
    try:
        found.wait_for_agents(1)
        yield found
    finally:
        found.end()


def test_a_neighbour_reaches_neither_socket_nor_token_nor_log(service: Service) -> None:
    folder = next(service.state_dir.glob("shop-*"))
    told = as_neighbour(
        "import socket\n"
        "for name in ('agent.sock', 'gateway.sock'):\n"
        "    with socket.socket(socket.AF_UNIX) as one:\n"
        "        try:\n"
        "            one.connect(os.path.join(sys.argv[1], name)); print('REACHED', name)\n"
        "        except PermissionError as error: print('refused')\n"
        "for name in ('gateway.json', 'gateway.log', 'audit.jsonl', '../token'):\n"
        "    try:\n"
        "        open(os.path.join(sys.argv[1], name)).read(); print('READ', name)\n"
        "    except PermissionError: print('refused')\n",
        folder,
    )
    assert told.split() == ["refused"] * 6
    for place, _, files in os.walk(service.state_dir):
        assert stat.S_IMODE(os.stat(place).st_mode) == 0o700
        for file in files:
            assert not os.lstat(os.path.join(place, file)).st_mode & 0o077


@pytest.mark.parametrize("trick", ["directory", "open directory", "symlink", "file", "socket in it"])
def test_a_directory_that_a_neighbour_made_first_is_refused_and_the_service_goes_on(
    public_dir: Path, trick: str
) -> None:
    """The last candidate is a name in /tmp that everybody can guess; here TMPDIR is that /tmp."""
    place = public_dir / f"modctl-{VICTIM}"
    makes = {
        "directory": "os.mkdir(p, 0o700)",
        "open directory": "os.mkdir(p, 0o777); os.chmod(p, 0o777)",
        "symlink": "os.mkdir(p + '-real', 0o777); os.chmod(p + '-real', 0o777); os.symlink(p + '-real', p)",
        "file": "open(p, 'w').close()",
        "socket in it": (
            "import socket; os.mkdir(p, 0o777); os.chmod(p, 0o777); s = socket.socket(socket.AF_UNIX); "
            "s.bind(p + '/agent.sock'); os.chmod(p + '/agent.sock', 0o777)"
        ),
    }
    assert as_neighbour(f"p = sys.argv[1]; {makes[trick]}", place) == ""
    told = as_neighbour(
        "from modctl.local import places\n"
        "for name in ('XDG_RUNTIME_DIR', 'MODCTL_STATE_DIR'): os.environ.pop(name, None)\n"
        "os.environ['TMPDIR'] = sys.argv[1]\n"
        "tried = places.base_candidates()\n"
        "print(sys.argv[2] in tried, sys.argv[2] in places.existing_bases())\n"
        "try:\n    places.make_private(sys.argv[2]); print('TAKEN')\n"
        "except places.PlaceError as error: print('refused', error)\n",
        public_dir,
        place,
        uid=VICTIM,
    )
    assert told.startswith("True False\nrefused")
    assert "MODCTL_STATE_DIR" in told

    state = place if trick != "file" else place / "x"
    ran = as_neighbour(
        "os.environ['MODCTL_STATE_DIR'] = sys.argv[1]\n"
        "logging.basicConfig(stream=sys.stdout, level=logging.INFO, format='%(message)s')\n"
        "from modctl import agent\n"
        "with agent.start(service='shop', wait=False) as handle:\n"
        "    time.sleep(1.0); print(handle.addresses)\n",
        state,
        uid=VICTIM,
    )
    assert "()" in ran.splitlines()  # no gateway could be had, and the service goes on
    assert "no directory for modctl's sockets can be used" in ran
    assert {"directory": f"belongs to uid {NEIGHBOUR}", "symlink": "not a directory"}.get(trick, "") in ran


def test_a_squatted_socket_gets_nothing_of_a_service(short_dir: Path) -> None:
    """Whoever holds the other end has another uid: not a byte is sent to it."""
    short_dir.chmod(0o711)
    state = short_dir / "state"
    state.mkdir(mode=0o755)
    code = (
        "import socket, time\n"
        "early = sys.argv[1] + '.early'; s = socket.socket(socket.AF_UNIX); s.bind(early); os.chmod(early, 0o777)\n"
        "s.listen(5); os.rename(early, sys.argv[1])\n"  # who sees it can dial it
        "s.settimeout(6); heard = b''; dialled = 0\n"
        "try:\n"
        "    while True:\n"
        "        c, _ = s.accept(); dialled += 1; c.settimeout(0.5)\n"
        "        try: heard += c.recv(1000)\n"
        "        except OSError: pass\n"
        "        c.close()\n"
        "except OSError: pass\n"
        "print('dialled', dialled > 0, 'heard', heard)\n"
    )
    spoils = short_dir / "spoils"
    spoils.mkdir(mode=0o777)
    spoils.chmod(0o777)
    squatter = subprocess.Popen(
        [sys.executable, "-c", dropped(code), str(spoils / "agent.sock")], stdout=subprocess.PIPE, text=True
    )
    try:
        until(lambda: (spoils / "agent.sock").exists(), 10, what="the squatter")
        with pytest.raises(ForeignPeerError, match=str(NEIGHBOUR)):
            dial(str(spoils / "agent.sock"))
        told, _ = squatter.communicate(timeout=20)
    finally:
        squatter.kill()
        squatter.wait()
    assert told.split() == ["dialled", "True", "heard", "b''"]


def test_a_fake_agent_of_another_user_is_not_let_in(service: Service) -> None:
    """Even where the neighbour could reach the socket: the directory is opened for this test."""
    folder = next(service.state_dir.glob("shop-*"))
    for place in (service.state_dir, folder):
        place.chmod(0o711)
    (folder / "agent.sock").chmod(0o777)
    told = as_neighbour(
        "import json, socket, struct\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1])\n"
        "process = {'id': 'shop/x/7@7', 'pid': 7, 'service': 'shop'}\n"
        "body = json.dumps({'hello': {'v': 1, 'process': process}}).encode()\n"
        "try:\n"
        "    s.sendall(struct.pack('!IIB', len(body), 0, 0) + body)\n"
        "    print('heard', s.recv(1000))\n"
        "except OSError: print('hung up')\n",
        folder / "agent.sock",
    )
    assert told.strip() in ("heard b''", "hung up")
    assert service.agent_pids() == {service.pid}
    assert f"uid {NEIGHBOUR}" in (folder / "gateway.log").read_text()


def test_a_fake_gateway_of_another_user_is_not_looked_at_by_the_client(public_dir: Path) -> None:
    """`modctl list` without a target looks only into directories that are private and ours."""
    place = public_dir / f"modctl-{VICTIM}"
    assert (
        as_neighbour(
            "import socket\np = sys.argv[1]\nos.makedirs(p + '/shop-1', 0o777); os.chmod(p, 0o777)\n"
            "s = socket.socket(socket.AF_UNIX); s.bind(p + '/shop-1/gateway.sock')\n"
            "os.chmod(p + '/shop-1/gateway.sock', 0o777)\nopen(p + '/token', 'w').write('x' * 40)\n",
            place,
        )
        == ""
    )
    told = as_neighbour(
        "os.environ['TMPDIR'] = sys.argv[1]\nos.environ.pop('XDG_RUNTIME_DIR', None)\n"
        "from modctl.client import discover\n"
        "print([t.path for t in discover.local_targets()], discover.local_token(50051))\n",
        public_dir,
        uid=VICTIM,
    )
    assert told.strip() == "[] None"


def test_a_token_is_never_shown_to_a_port_that_somebody_else_has_taken(short_dir: Path) -> None:
    """The service's port is free for a moment; a neighbour takes it and waits for operators."""
    short_dir.chmod(0o711)
    state = short_dir / "state"
    state.mkdir(mode=0o700)
    port = free_port()
    program = short_dir / "host.py"
    program.write_text(HOST.replace('service="shop"', f'service="shop", listen="127.0.0.1:{port}"'))
    service = Service([sys.executable, program], state_dir=state)
    try:
        service.wait_for_agents(1, listening=True)
        modctl("list", "sys", "-H", f"127.0.0.1:{port}", state_dir=state)
        token = (state / "token").read_text().strip()
        service.end()
        until(lambda: not gateways.infos(state) or _free(port), 15, what="the port")
        code = (
            "import socket\ns = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
            "s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(5); s.settimeout(15); print('up', flush=True)\n"
            "c, _ = s.accept(); c.settimeout(3); c.sendall(b'\\0\\0\\0\\4\\0\\0\\0\\0\\0'); heard = b''\n"
            "try:\n"
            "    while True:\n"
            "        more = c.recv(4096)\n"
            "        if not more: break\n"
            "        heard += more\n"
            "except OSError: pass\n"
            "print(heard.hex())\n"
        )
        taker = subprocess.Popen([sys.executable, "-c", dropped(code), str(port)], stdout=subprocess.PIPE, text=True)
        try:
            assert taker.stdout is not None
            assert taker.stdout.readline() == "up\n"
            modctl("list", "sys", "-H", f"127.0.0.1:{port}", "--timeout", "2s", state_dir=state, expect=None)
            told, _ = taker.communicate(timeout=25)
        finally:
            taker.kill()
            taker.wait()
        heard = bytes.fromhex(told.strip())
        assert heard  # the client did dial
        assert token.encode() not in heard
        assert b"authorization" not in heard.lower()
    finally:
        service.end()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_a_policy_or_audit_log_that_is_a_trap_is_refused(short_dir: Path, service: Service) -> None:
    """A neighbour who may write into a folder of logs plants a link to a file of ours."""
    folder = next(service.state_dir.glob("shop-*"))
    victim = short_dir / "precious"
    victim.write_text("precious")
    (folder / "audit.jsonl").unlink(missing_ok=True)
    (folder / "audit.jsonl").symlink_to(victim)
    ran = modctl("evict", "this", "--all", state_dir=service.state_dir, expect=3)
    assert "audit log cannot be written" in ran.stderr
    assert victim.read_text() == "precious"


def test_another_user_cannot_signal_freeze_or_end_the_gateway(service: Service) -> None:
    pid = gateways.pids(service.state_dir)[0]
    told = as_neighbour(
        "import signal\n"
        "for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL):\n"
        "    try:\n        os.kill(int(sys.argv[1]), number); print('SENT')\n"
        "    except PermissionError: print('refused')\n",
        str(pid),
    )
    assert told.split() == ["refused"] * 3
    assert gateways.pids(service.state_dir) == [pid]
