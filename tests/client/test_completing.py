"""What the Tab key offers: from files that are here, while nobody is dialled."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from modctl.client.completing import MAX_NAMES, cache_file, remember
from modctl.client.rollout import RolloutStore
from support import cli

from client.test_drift import fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("billing", "billing.tax", "billing.tax.rates", "billing.cache", "json", "json.decoder")


class Home:
    """A user's files, and listeners that nobody should come to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        place = folder / "state" / "shop-1"
        place.mkdir(parents=True)
        for each in (folder / "state", place):
            each.chmod(0o700)
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(place / "gateway.sock"))
        self.unix.listen()
        self.label = f"unix://{place}/gateway.sock"
        (folder / "modctl").mkdir()
        (folder / "modctl" / "config.toml").write_text(
            f'[contexts.prod]\nhosts = ["127.0.0.1:{self.port}", "svc[01-50].prod:50051"]\n'
            '[contexts.preview]\nhosts = []\n[groups]\nweb = ["web[1-9]:50051"]\n'
        )
        (folder / "modctl" / "names.json").write_text(json.dumps(dict.fromkeys(NAMES, time.time())))
        self.rollout = RolloutStore(str(folder / "state" / "rollouts")).create({})
        plain = {name: value for name, value in os.environ.items() if not name.startswith("MODCTL_")}
        self.environment = {
            **plain,
            "MODCTL_STATE_DIR": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder),
            "XDG_CACHE_HOME": str(folder),
        }

    def offered(self, words: str) -> set[str]:
        """What Tab offers after these words, the last of which is not finished."""
        environment = {
            **self.environment,
            "_MODCTL_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        done = subprocess.run([*cli.MODCTL], env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""
        return {line.partition(",")[2] for line in done.stdout.splitlines()} - {""}

    def visitors(self) -> int:
        """How many have connected."""
        count = 0
        for listener in (self.tcp, self.unix):
            listener.setblocking(False)
            try:
                listener.accept()
                count += 1
            except BlockingIOError:
                pass
        return count

    def close(self) -> None:
        self.tcp.close()
        self.unix.close()


@pytest.fixture
def home(short_dir: Path) -> Iterator[Home]:
    home = Home(short_dir)
    yield home
    home.close()


def test_names_contexts_groups_hosts_and_rollouts_are_offered_and_nobody_is_dialled(home: Home) -> None:
    expected = {
        "modctl get bill": {"billing", "billing.cache", "billing.tax"},
        "modctl get billing.t": {"billing.tax", "billing.tax.rates"},
        "modctl drift js": {"json", "json.decoder"},
        "modctl list --context pr": {"prod", "preview"},
        "modctl list --group w": {"web"},
        "modctl list -H svc": {"svc[01-50].prod:50051"},
        "modctl list -H 127": {f"127.0.0.1:{home.port}"},
        "modctl list -H unix": {home.label},
        "modctl rollout status r": {home.rollout},
        "modctl rollout st": {"start", "status"},
        "modctl inject zzz": set(),
    }
    assert {words: home.offered(words) for words in expected} == expected
    assert home.visitors() == 0


def test_a_broken_configuration_or_cache_offers_nothing_and_says_nothing(home: Home) -> None:
    (home.folder / "modctl" / "config.toml").write_text("[[[")
    (home.folder / "modctl" / "names.json").write_text("{")
    assert home.offered("modctl get bill") == set()
    assert home.offered("modctl list --context p") == set()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_real_shell_knows_what_to_do_with_the_script(home: Home, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    place = home.folder / "bin"
    place.mkdir()
    (place / "modctl").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{cli.MODCTL[2]}" "$@"\n')
    (place / "modctl").chmod(0o755)
    if shell == "bash":
        ask = (
            'eval "$(modctl completion bash)"; COMP_WORDS=(modctl get bill); COMP_CWORD=2; '
            '_modctl_completion modctl bill get; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        flags = ["--norc", "--noprofile"]
    else:
        # Its own way of offering needs a line editor: what the script hands to it is looked at instead.
        ask = (
            "autoload -U compinit; compinit -u -D; compadd() { print -l -- ${(P)@[-1]} }; "
            "_describe() { print -l -- ${(P)@[-1]} }; words=(modctl get bill); CURRENT=3; "
            'eval "$(modctl completion zsh)"; _modctl_completion'
        )
        flags = ["-f"]
    environment = {**home.environment, "PATH": f"{place}:{os.environ['PATH']}", "HOME": str(home.folder)}
    done = subprocess.run(
        [shell, *flags, "-c", ask], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert {"billing", "billing.cache", "billing.tax"} <= set(done.stdout.split()), (done.stdout, done.stderr)


def test_the_cache_keeps_the_newest_names_and_forgets_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "modctl" / "names.json"
    assert cache_file(os.environ) == str(path)
    path.parent.mkdir()
    path.write_text(json.dumps({"old": 1.0, "young": time.time()}))
    remember(fleet(("a:1", {"new": "aaaa"})), str(path))
    assert json.loads(path.read_text()).keys() == {"new", "young"}
    remember(fleet(("a:1", {f"m{number}": "aaaa" for number in range(MAX_NAMES + 5)})), str(path))
    assert len(json.loads(path.read_text())) == MAX_NAMES
    path.parent.chmod(0o500)  # a home that cannot be written is no reason to fail
    try:
        remember(fleet(("a:1", {"other": "aaaa"})), str(path / "not" / "there"))
    finally:
        path.parent.chmod(0o700)
