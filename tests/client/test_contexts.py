"""Contexts: the file, its order with flags and environment, and what protects."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from modctl.client import contexts, contexts_file
from modctl.client.errors import UsageError
from support import cli

from client.fake_server import FakeServer, process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config" / "config.toml"
    monkeypatch.setenv("MODCTL_CONFIG", str(path))
    return path


def modctl(*arguments: str, expect: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command line with the test's own configuration."""
    done = subprocess.run(
        [*cli.MODCTL, *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == expect, done
    return done


def test_contexts_are_added_used_listed_and_removed(config: Path) -> None:
    modctl("context", "add", "prod", "-H", "svc[01-50]:50051", "--selector", "zone=a", "--protected", "--timeout", "3s")
    modctl("context", "add", "dev", "-H", "localhost:1", "--use")
    listed = modctl("context", "list").stdout.splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [["*", "dev", "localhost:1"], ["-", "prod", "svc[01-50]:50051"]]
    assert "protected" in listed[2]
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    loaded = contexts.load()
    assert loaded.context("prod").values["hosts"] == ("svc[01-50]:50051",)
    assert loaded.context("prod").protected
    modctl("context", "use", "prod")
    modctl("context", "remove", "prod")
    assert contexts.load().current == ""
    modctl("context", "remove", "prod", expect=2)
    assert config.with_suffix(".toml.bak").exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nonsense", "is no TOML"),
        ("[contexts.a]\nhost = ['x']", "contexts.a.host: is not known"),
        ("[contexts.a]\nhosts = 3", "contexts.a.hosts: is 3"),
        ("[contexts.a]\nhosts = [1]", "is no list of texts"),
        ("[contexts.a]\nprotected = 'yes'", "protected"),
        ("[contexts.a]\nfanout = true", "fanout"),
        ("current = 'b'\n[contexts.a]", "there is no context 'b'"),
        ("[contexts.'a b']", "a name has letters"),
        ("other = 1", "other: is not known"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_key(config: Path, text: str, problem: str) -> None:
    config.parent.mkdir()
    config.write_text(text)
    with pytest.raises(UsageError, match=problem):
        contexts.load()
    assert problem.split(":")[0] in modctl("list", expect=2).stderr


def test_files_of_a_context_lie_beside_it(config: Path) -> None:
    config.parent.mkdir()
    config.write_text("[contexts.a]\ncacert = 'ca.pem'\ntoken_file = '/etc/token'")
    values = contexts.load().context("a").values
    assert values["cacert"] == str(config.parent / "ca.pem")
    assert values["token_file"] == "/etc/token"


def test_every_value_survives_writing(config: Path) -> None:
    values = {
        "hosts": ("a:1", "[::1]:2"),
        "selector": 'k in ("x\\y", ü)',
        "fanout": 7,
        "protected": True,
        "timeout": 2.5,
    }
    contexts_file.add("odd.name-1", values)
    assert dict(contexts.load().context("odd.name-1").values) == values


@pytest.fixture
def two(serve: Callable[..., FakeServer]) -> tuple[FakeServer, FakeServer]:
    return serve(process(1, "one")), serve(process(2, "two"))


def changes(server: FakeServer) -> list[str]:
    """What was asked of it that is no read, dry runs left out."""
    return [name for name, request, _ in server.asked if name == "EvictModules" and not request.options.dry_run]


def services(done: subprocess.CompletedProcess[str]) -> set[str]:
    return {row["service"] for row in json.loads(done.stdout)["results"]}


def test_a_read_without_a_target_asks_the_current_context(two: tuple[FakeServer, FakeServer]) -> None:
    one, other = two
    contexts_file.add("first", {"hosts": (one.address,)})
    contexts_file.add("second", {"hosts": (other.address,)})
    assert services(modctl("agents", "-o", "json")) == {"one"}
    assert services(modctl("agents", "-o", "json", "--context", "second")) == {"two"}
    assert services(modctl("agents", "-o", "json", MODCTL_CONTEXT="second")) == {"two"}
    assert services(modctl("agents", "-o", "json", "-H", other.address)) == {"two"}
    assert services(modctl("agents", "-o", "json", MODCTL_HOST=other.address)) == {"two"}
    assert "nowhere" in modctl("agents", "--context", "nowhere", expect=2).stderr


def test_groups_are_targets(two: tuple[FakeServer, FakeServer], config: Path) -> None:
    one, other = two
    config.parent.mkdir()
    config.write_text(f"[groups]\nboth = ['{one.address}', '{other.address}']\n")
    assert services(modctl("agents", "-o", "json", "--group", "both")) == {"one", "two"}
    assert services(modctl("agents", "-o", "json", "--group", "both", "--exclude", one.address)) == {"two"}
    assert len(services(modctl("agents", "-o", "json", "--group", "both", "--pick", "1"))) == 1
    modctl("agents", "--group", "none", expect=2)


def test_what_a_command_prints_are_targets(two: tuple[FakeServer, FakeServer]) -> None:
    one, other = two
    found = modctl("agents", "-o", "json", "--discover", f"exec:echo {one.address} '# no'; echo {other.address}")
    assert services(found) == {"one", "two"}
    # It takes its time between them.
    found = modctl("agents", "-o", "json", "--discover", f"exec:echo {one.address}; sleep 0.5; echo {other.address}")
    assert services(found) == {"one", "two"}
    modctl("agents", "--discover", "exec:yes | head -c 5000000", expect=2)
    modctl("agents", "--discover", "exec:exit 3", expect=9)
    modctl("agents", "--discover", "exec:true", expect=9)
    modctl("agents", "--discover", "ftp://x", expect=2)


def test_a_change_wants_its_target_named_though_a_context_is_current(two: tuple[FakeServer, FakeServer]) -> None:
    contexts_file.add("first", {"hosts": (two[0].address,)})
    assert "--context first or --all" in modctl("evict", "m", expect=2).stderr
    modctl("evict", "m", "--context", "first")
    modctl("evict", "m", "--all")
    modctl("evict", "m", "-H", two[1].address)


def test_a_protected_context_wants_yes(two: tuple[FakeServer, FakeServer]) -> None:
    contexts_file.add("prod", {"hosts": (two[0].address,), "protected": True})
    refused = modctl("evict", "m", "--context", "prod", expect=2)
    assert "protected context prod" in refused.stderr
    assert "--yes" in refused.stderr
    assert not changes(two[0])
    modctl("evict", "m", "--context", "prod", "--dry-run")
    modctl("list", "--context", "prod")
    done = modctl("evict", "m", "--context", "prod", "--yes")
    assert "protected context prod" in done.stderr
    assert changes(two[0])
