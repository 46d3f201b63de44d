from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from modctl.agent.identity import Identity, clean_text, command_words, started_at_unix_s
from modctl.agent.settings import resolve


def test_the_id_is_service_host_pid_and_start() -> None:
    identity = Identity(resolve(service="shop", environ={}))
    start = int(identity.started_at_unix_s)
    assert identity.id == f"shop/{os.uname().nodename}/{os.getpid()}@{start}"
    assert Identity(resolve(service="shop", environ={})).id == identity.id


def test_the_start_is_the_kernel_s() -> None:
    code = "from modctl.agent.identity import started_at_unix_s as s; import time; time.sleep(0.3); print(s())"
    before_s = time.time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert before_s - 0.1 <= float(done.stdout) <= before_s + 0.3
    assert started_at_unix_s() <= time.time()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["/usr/bin/python3", "app.py", "--port", "80"], "python3 app.py --port 80"),
        (["python", "app.py", "--token", "abc"], "python app.py --token ***"),
        (["python", "app.py", "--db-password=abc", "x"], "python app.py --db-password=*** x"),
        (["python", "-c", "import this\nprint(1)"], "python -c import this"),
        (["python", *"abcdefgh"], "python a b c d e"),
        (["python", "x" * 500], "python " + "x" * 153),
        (["a\udc80"], "a\\udc80"),
        ([], ""),
    ],
)
def test_the_command_tells_processes_apart_and_keeps_secrets(argv: list[str], words: str) -> None:
    assert command_words(argv) == words


def test_lone_surrogates_become_escapes() -> None:
    assert clean_text("a\udc80b") == "a\\udc80b"
    assert clean_text("größe 🐍") == "größe 🐍"


def test_a_process_has_every_field_that_is_not_the_gateway_s() -> None:
    from modctl.v1 import process_pb2

    fields = Identity(resolve(service="shop", labels={"a": "b"}, environ={})).process(
        role="PROCESS_ROLE_MAIN", revision=3, frozen=True, frozen_reason="x", entries=7
    )
    message = process_pb2.Process(**fields)
    assert set(process_pb2.Process.DESCRIPTOR.fields_by_name) - set(fields) == {"addresses", "insecure", "warnings"}
    assert (message.pid, message.revision, message.labels["a"]) == (os.getpid(), 3, "b")
