"""No secret is left behind: a run with tokens, keys, sources and attribute values, and then a grep of everything."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

import pytest
from support import gateways, processes
from support.cli import Ran, modctl
from support.services import Service, free_port

pytestmark = [pytest.mark.timeout(120)]

TOKEN = "tok-en-5d41402abc4b2a76b9719d911017c592"
WRONG = "wro-ng-7d793037a0760186574b0282f2f435e7"
IN_SOURCE = "hunter2-in-the-source"
IN_ATTRIBUTE = "hunter2-in-an-attribute"
IN_MODULE = "hunter2-in-the-module"
IN_LINE = "hunter2-on-the-command-line"
IN_ENVIRONMENT = "hunter2-in-the-environment"
SECRETS = (TOKEN, WRONG, IN_SOURCE, IN_ATTRIBUTE, IN_MODULE, IN_LINE, IN_ENVIRONMENT)

HOST = """
import sys, time, types
module = types.ModuleType("vault")
class Vault:
    def __repr__(self): raise SystemExit({in_module!r})
module.PASSWORD = {in_module!r}
module.VAULT = Vault()
sys.modules["vault"] = module
from modctl import agent
agent.start(service="shop", listen="127.0.0.1:{port}", token_file={token!r}, required=True)
while True:
    time.sleep(0.05)
"""


def holders(secret: str, folder: Path, apart: set[Path]) -> list[str]:
    """Every file below a folder that has the secret in it, the ones that the test itself wrote left out."""
    found = []
    for place, _, files in os.walk(folder):
        for name in files:
            file = Path(place) / name
            if file not in apart and file.is_file() and secret.encode() in file.read_bytes():
                found.append(str(file))
    return found


class Watch:
    """Reads what /proc shows of every process that a run starts, as long as it runs: the short-lived ones too.

    Args:
        text: what their command lines have in them.
        apart: the service itself, which the test gave secrets to.
    """

    def __init__(self, text: str, apart: set[int]) -> None:
        self.seen: dict[tuple[int, str], bytes] = {}
        self._text = text
        self._apart = apart
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            ours = processes.mentioning(self._text)
            for pid in [*ours, *(child for one in ours for child in processes.descendants_of(one))]:
                if pid in self._apart:
                    continue
                for part in ("cmdline", "environ", "comm"):
                    with contextlib.suppress(OSError):
                        self.seen[pid, part] = Path(f"/proc/{pid}/{part}").read_bytes()

    def end(self) -> dict[tuple[int, str], bytes]:
        """Stops looking; what it saw by process and file."""
        self._over.set()
        self._thread.join()
        return self.seen


def test_a_run_leaves_no_secret_in_files_logs_errors_titles_or_command_lines(state_dir: Path, short_dir: Path) -> None:
    port = free_port()
    token, wrong, source, bad = (short_dir / name for name in ("token", "wrong", "source.py", "bad.py"))
    token.write_text(TOKEN + "\n")
    wrong.write_text(WRONG + "\n")
    source.write_text(f"PASSWORD = {IN_SOURCE!r}\n")
    bad.write_text(f"PASSWORD = {IN_SOURCE!r}\nraise RuntimeError('no')\n")
    program = short_dir / "host.py"
    program.write_text(HOST.format(in_module=IN_MODULE, port=port, token=str(token)))
    key = short_dir / "k.key"
    mine = {token, wrong, source, bad, program, key}
    large = short_dir / "large.py"  # compiled by a process of its own
    large.write_text(f"PASSWORD = {IN_SOURCE!r}\n" + "X = [1, 2, 3]\n" * 20_000)
    mine.add(large)
    command = [sys.executable, program, "--password", IN_LINE, f"--token={IN_LINE}"]
    service = Service(command, state_dir=state_dir, environment={"DATABASE_PASSWORD": IN_ENVIRONMENT})
    ran: list[Ran] = []
    watch = Watch(str(state_dir), {service.pid})

    def run(*arguments: str | Path) -> Ran:
        done = modctl(*arguments, state_dir=state_dir, expect=None)
        ran.append(done)
        return done

    try:
        service.wait_for_agents(1, listening=True)
        target = ("-H", f"127.0.0.1:{port}", "--token-file", token)
        assert run("list", *target).code == 0
        assert run("list", "-H", f"127.0.0.1:{port}", "--token-file", wrong).code == 7
        assert run("inject", "fresh.secret", "--file", bad, *target).code != 0
        assert run("inject", "fresh", "--file", source, *target).code == 0
        assert run("inject", "fresh", "--file", large, "--replace", *target).code == 0
        assert run("inject", "stub", "--attr", f'KEY="{IN_ATTRIBUTE}"', *target).code == 0
        assert run("inject", "fresh", "--file", bad, "--replace", *target).code != 0
        for command in (
            ("agents", "-o", "wide"),
            ("agents", "-o", "json"),
            ("history", "-o", "json"),
            ("history", "--audit"),
        ):
            assert run(*command, *target).code == 0
        assert run("get", "vault", "-o", "json", *target).code == 0  # without --attr no value is shown
        assert run("get", "stub", "-o", "json", *target).code == 0
        assert run("sign", "--new-key", key).code == 0
        run("doctor", "vault", *target)
        run("list", "--token-file", key, *target[:2])
        private = key.read_text().splitlines()[1]
        gateway_pid = gateways.pids(state_dir)[0]
        for pid in (service.pid, gateway_pid):
            line = Path(f"/proc/{pid}/cmdline").read_text()
            assert TOKEN not in line
            assert IN_LINE not in line or pid == service.pid
            assert TOKEN not in Path(f"/proc/{pid}/comm").read_text()
            assert TOKEN not in Path(f"/proc/{pid}/environ").read_text()
        assert processes.command_line(gateway_pid)
    finally:
        shown_by_proc = watch.end()
        service.end()
    assert len({pid for pid, _ in shown_by_proc}) >= 2, "the gateway and its compiler"
    for secret in (*SECRETS, private):
        assert not [place for place, text in shown_by_proc.items() if secret.encode() in text], secret
    for secret in (*SECRETS, private):
        shown = [f"{one.stdout}{one.stderr}" for one in ran if secret in one.stdout + one.stderr]
        assert not shown, (secret, shown[0][-2000:])
        assert secret not in service.output, secret
        assert not holders(secret, short_dir, mine), secret


def test_values_are_shown_to_who_asks_for_them_and_may(state_dir: Path, short_dir: Path) -> None:
    program = short_dir / "host.py"
    token = short_dir / "token"
    token.write_text(TOKEN)
    program.write_text(HOST.format(in_module=IN_MODULE, port=free_port(), token=str(token)))
    policy = short_dir / "p.toml"
    policy.write_text("version = 1\n")
    service = Service([sys.executable, program], state_dir=state_dir, environment={"MODCTL_POLICY": str(policy)})
    try:
        service.wait_for_agents(1)
        ask = ("get", "vault", "--attr", "PASSWORD", "--attr", "VAULT")
        shown = modctl(*ask, "-o", "json", state_dir=state_dir).stdout
        assert IN_MODULE in shown
        assert "SystemExit" not in shown  # a foreign repr was never called
        policy.write_text('version = 1\n[defaults]\nuser = "operator"\n')
        ran = modctl(*ask, state_dir=state_dir, expect=None)
        assert ran.code != 0
        assert IN_MODULE not in ran.stdout + ran.stderr
        assert "attributes" in ran.stderr
    finally:
        service.end()
