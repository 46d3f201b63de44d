"""What operators type and see: roles in certificates, the audit log, the doctor, why a target says no."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.cli import document, modctl
from support.services import Service, free_port

from security.certified import flags, served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.timeout(180)]


def test_a_certificate_says_who_somebody_is_and_what_they_may(
    start: Callable[..., Service], tls: Path, state_dir: Path, short_dir: Path
) -> None:
    port = free_port()
    start(served(tls, port))
    source = short_dir / "tax.py"
    source.write_text("RATE = 7\n")
    inject = ("inject", "billing.tax", "--file", source, "--replace", "--reason", "INC-1")
    for who, code in (("v", 7), ("o", 7), ("a", 0)):
        modctl("list", "billing.tax", *flags(tls, who, port), state_dir=state_dir)
        ran = modctl(*inject, *flags(tls, who, port), state_dir=state_dir, expect=code)
        assert code == 0 or "who may not inject" in ran.stderr
    modctl("undo", *flags(tls, "v", port), state_dir=state_dir, expect=7)
    modctl("undo", *flags(tls, "o", port), state_dir=state_dir)
    history = document("history", *flags(tls, "v", port), state_dir=state_dir)["results"][0]["revisions"]
    assert [one["identity"] for one in history] == ["uri:modctl://operator/o", "uri:modctl://admin/a"]

    modctl("history", "--audit", *flags(tls, "v", port), state_dir=state_dir, expect=7)
    told = document("history", "--audit", *flags(tls, "a", port), state_dir=state_dir)["results"][0]["records"]
    attempts = [one for one in told if one["event"] == "attempt"]
    outcomes = {one["id"]: one["outcome"] for one in told if one["event"] == "outcome"}
    assert len(told) == 2 * len(attempts)
    assert [outcomes[one["id"]] for one in reversed(attempts)] == ["DENIED", "DENIED", "APPLIED", "DENIED", "APPLIED"]
    assert attempts[-3]["reason"] == "INC-1"


WRONG = {
    "no certificate": (["--cacert", "ca.pem"], "wants a client certificate"),
    "wrong CA": (["--cacert", "other/ca.pem", "--cert", "a.pem", "--key", "a.key"], "--cacert"),
    "a certificate of another CA": (["--cacert", "ca.pem", "--cert", "other/x.pem", "--key", "other/x.key"], "--cert"),
    "expired": (["--cacert", "ca.pem", "--cert", "old.pem", "--key", "old.key"], "expired"),
    "another name": (
        ["--cacert", "ca.pem", "--cert", "a.pem", "--key", "a.key", "--server-name", "elsewhere"],
        "--server-name",
    ),
    "no TLS": (["--plaintext"], "TLS"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_target_that_says_no_is_explained(
    start: Callable[..., Service], tls: Path, state_dir: Path, short_dir: Path, case: str
) -> None:
    if case == "a certificate of another CA" or case == "wrong CA":
        modctl("tls", "init", "--dir", tls / "other", state_dir=short_dir)
        modctl("tls", "issue", "x", "--role", "admin", "--dir", tls / "other", state_dir=short_dir)
    if case == "expired":
        expire(tls)
    port = free_port()
    start(served(tls, port))
    arguments, words = WRONG[case]
    given = [str(tls / one) if one.endswith((".pem", ".key")) else one for one in arguments]
    ran = modctl("list", *given, "-H", f"localhost:{port}", state_dir=state_dir, expect=4)
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


def expire(tls: Path) -> None:
    """Issues a certificate that ended yesterday."""
    import datetime as dt

    from modctl.client import authority

    x509, hashes, serialization, ec = authority._cryptography()
    ca_cert, ca_key = authority._load(str(tls), x509, serialization)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old")])
    now = dt.datetime.now(dt.timezone.utc)
    builder = authority._builder(x509, subject, ca_cert.subject, key.public_key(), 1)
    builder._not_valid_before = (now - dt.timedelta(days=9)).replace(tzinfo=None)
    builder._not_valid_after = (now - dt.timedelta(days=1)).replace(tzinfo=None)
    authority._write(str(tls), "old", key, builder.sign(ca_key, hashes.SHA256()), serialization)


def test_a_token_that_is_wrong_or_missing_is_explained(
    start: Callable[..., Service], tls: Path, state_dir: Path, short_dir: Path
) -> None:
    token, wrong = short_dir / "token", short_dir / "wrong"
    token.write_text("correct-horse-battery-staple\n")
    wrong.write_text("incorrect-horse-battery-staple\n")
    port = free_port()
    start(f'listen="127.0.0.1:{port}", token_file={str(token)!r}')
    target = ("-H", f"127.0.0.1:{port}")
    modctl("list", *target, "--token-file", token, state_dir=state_dir)
    for given in (("--token-file", wrong), ()):
        ran = modctl("list", *target, *given, state_dir=state_dir, expect=7)
        assert "token" in ran.stderr
        assert "horse" not in ran.stderr


def test_certificates_are_taken_anew_without_a_restart(
    start: Callable[..., Service], tls: Path, state_dir: Path
) -> None:
    port = free_port()
    service = start(served(tls, port))
    modctl("list", "billing", *flags(tls, "a", port), state_dir=state_dir)
    before = {name: (tls / name).read_bytes() for name in ("ca.pem", "a.pem", "a.key")}
    for file in tls.iterdir():
        file.unlink()
    modctl("tls", "init", "--dir", tls, "--ca-name", "the next", state_dir=state_dir)
    modctl("tls", "issue", "shop", "--server", "localhost", "--dir", tls, state_dir=state_dir)
    modctl("tls", "issue", "a", "--role", "admin", "--dir", tls, state_dir=state_dir)
    give_up = time.monotonic() + 15
    while modctl("list", "billing", *flags(tls, "a", port), state_dir=state_dir, expect=None).code != 0:
        assert time.monotonic() < give_up
        time.sleep(0.2)
    for name, content in before.items():
        (tls / f"old-{name}").write_bytes(content)
    old = ["--cacert", tls / "ca.pem", "--cert", tls / "old-a.pem", "--key", tls / "old-a.key"]
    modctl("list", *map(str, old), "-H", f"localhost:{port}", state_dir=state_dir, expect=4)
    assert not service.has_ended()


def test_nothing_that_tls_makes_is_written_over_or_open(tls: Path, short_dir: Path) -> None:
    for key in tls.glob("*.key"):
        assert key.stat().st_mode & 0o777 == 0o600
    modctl("tls", "init", "--dir", tls, state_dir=short_dir, expect=2)
    modctl("tls", "issue", "a", "--role", "admin", "--dir", tls, state_dir=short_dir, expect=2)
    for name in ("../x", "ca", "", "a/b"):
        modctl("tls", "issue", name, "--role", "admin", "--dir", tls, state_dir=short_dir, expect=2)
    modctl("tls", "issue", "z", "--dir", tls, state_dir=short_dir, expect=2)


def findings(*arguments: Any, state_dir: Path, expect: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = document("doctor", *arguments, state_dir=state_dir, expect=expect)["results"]
    return found


def test_the_doctor_finds_nothing_where_all_is_well_and_says_what_is_protected(
    start: Callable[..., Service], tls: Path, state_dir: Path
) -> None:
    port = free_port()
    start(served(tls, port))
    found = findings("sys", "billing.tax", *flags(tls, "a", port), state_dir=state_dir, expect=0)
    told = {one["what"]: one for one in found}
    assert any("billing.tax can be reimported" in what for what in told)
    assert any("sys is protected" in what for what in told)
    assert any("we are uri:modctl://admin/a, admin" in what for what in told)
    assert all(one["cure"] for one in found if one["level"] in ("warning", "problem"))


def test_the_doctor_finds_the_usual_mistakes(start: Callable[..., Service], tls: Path, state_dir: Path) -> None:
    expire(tls)
    port = free_port()
    start(served(tls, port))
    (state_dir / "dead-1").mkdir(mode=0o700)
    import socket

    with socket.socket(socket.AF_UNIX) as squatter:
        squatter.bind(str(state_dir / "dead-1" / "gateway.sock"))
    (next(state_dir.glob("shop-*")) / "freeze").write_text("holiday\n")
    (state_dir / "token").write_text("x" * 40)
    (state_dir / "token").chmod(0o644)
    target = ["-H", f"localhost:{port}"]
    ca = ["--cacert", str(tls / "ca.pem")]
    cases = {
        "expired on": [*ca, "--cert", str(tls / "old.pem"), "--key", str(tls / "old.key"), *target],
        "does not go with": [*ca, "--cert", str(tls / "a.pem"), "--key", str(tls / "o.key"), *target],
        "is for localhost, 127.0.0.1": [*flags(tls, "a", port), "--server-name", "elsewhere"],
        "holds no certificate": ["--cacert", str(tls / "a.pem"), *target],
    }
    for words, arguments in cases.items():
        found = findings(*arguments, state_dir=state_dir, expect=1)
        mine = [one for one in found if words in one["what"]]
        assert mine, (words, found)
        assert mine[0]["level"] == "problem"
        assert mine[0]["cure"]
    found = findings(*flags(tls, "a", port), state_dir=state_dir, expect=1)
    told = "\n".join(one["what"] for one in found)
    assert "nobody listens" in told
    assert "frozen: holiday" in told
    assert "other users can read the token" in told


def test_the_doctor_finds_a_directory_that_somebody_else_made(short_dir: Path) -> None:
    place = short_dir / "state"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    found = findings(state_dir=place, expect=1)
    assert any("open to other users" in one["what"] and one["level"] == "problem" for one in found)


def test_the_doctor_finds_workers_without_an_agent(state_dir: Path, short_dir: Path) -> None:
    program = short_dir / "host.py"
    program.write_text(
        "import ctypes, os, time\nfrom modctl import agent\nagent.start(service='shop', required=True)\n"
        "# As uWSGI forks: without Python's hooks.\n"
        "pid = ctypes.CDLL(None).fork()\nprint(pid, flush=True)\nwhile True:\n    time.sleep(0.05)\n"
    )
    service = Service([sys.executable, program], state_dir=state_dir)
    try:
        service.wait_for_agents(1)
        give_up = time.monotonic() + 10
        while len(service.family()) < 2:
            assert time.monotonic() < give_up
            time.sleep(0.05)
        found = findings(state_dir=state_dir, expect=1)
        mine = [one for one in found if "have no agent" in one["what"]]
        assert mine
        assert "py-call-osafterfork" in mine[0]["cure"]
    finally:
        service.end()


def test_the_audit_log_is_shown_for_people_and_for_programs(start: Callable[..., Service], state_dir: Path) -> None:
    start("")
    modctl("evict", "sys", "--all", "--reason", "\x1b[31mred", state_dir=state_dir, expect=3)
    ran = modctl("history", "--audit", state_dir=state_dir)
    assert "REFUSED" in ran.stdout
    assert f"uid:{os.getuid()}" in ran.stdout
    assert "\x1b" not in ran.stdout
    lines = modctl("history", "--audit", "-o", "jsonl", state_dir=state_dir).stdout.splitlines()
    assert [json.loads(line)["summary"]["ok"] for line in lines[-1:]] == [1]
