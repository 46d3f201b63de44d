"""What README and SECURITY.md say of policies is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from modctl.gateway.policy import verbs
from modctl.gateway.policy.callers import Caller, Kind
from modctl.gateway.policy.decide import Asked, Request, decide
from modctl.gateway.policy.model import DEFAULT
from modctl.gateway.policy.parse import parse
from support.cli import BIN
from support.services import Service, free_port

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "SECURITY.md")


def toml_blocks(name: str) -> list[str]:
    found = re.findall(r"```toml\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    return [text.replace('public = "…"', f'public = "{"A" * 43}="') for text in found]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_policy_that_is_shown_is_one(name: str) -> None:
    blocks = toml_blocks(name)
    assert blocks
    for text in blocks:
        parse(text, name)


def test_the_readmes_policy_does_what_it_says() -> None:
    policy = parse(toml_blocks("README.md")[0], "p")

    def reason(identity: str, verb: str, name: str = "") -> str:
        request = Request((Asked(verb, name),), reason="INC-1")
        return decide(policy, Caller(identity, Kind.CERTIFICATE), request).reason

    anna, other = "uri:modctl://operator/anna", "uri:spiffe://corp/x"
    assert reason(anna, "inject", "billing.tax") == ""
    assert reason(anna, "inject", "payments.cards") == "DENIED"
    assert reason(other, "list") == ""
    assert reason(other, "evict", "billing.tax") == "DENIED"


def test_what_a_certificate_may_without_a_policy_is_what_is_written() -> None:
    caller = Caller("dns:anna.example.com", Kind.CERTIFICATE)
    may = {
        verb
        for verb in verbs.VERBS
        if decide(DEFAULT, caller, Request((Asked(verb, "a" if verb in verbs.NAMED else ""),))).allowed
    }
    assert may == verbs.OPERATOR
    assert not may & verbs.SENDS


def test_every_verb_is_in_the_documentation() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    paragraph = text.partition("Verbs of a viewer: ")[2].partition("\n\n")[0]
    listed = [set(words.split()) for words in re.findall(r"`([a-z ]+)`", paragraph)]
    assert listed[0] == verbs.VIEWER
    assert listed[0] | listed[1] == verbs.OPERATOR
    assert listed[0] | listed[1] | listed[2] == verbs.ADMIN


SECURITY = (ROOT / "README.md").read_text().partition("## Security\n")[2].partition("\n## ")[0]


def test_the_readmes_chapter_fits_on_one_screen() -> None:
    assert SECURITY.count("\n") <= 60
    assert re.findall(r"^\*\*(\d)\.", SECURITY, re.MULTILINE) == ["1", "2", "3"]


@pytest.mark.timeout(180)
def test_the_readmes_three_steps_lead_from_a_laptop_to_production(short_dir: Path, state_dir: Path) -> None:
    port = free_port()
    here = short_dir / "here"
    here.mkdir()

    def made_local(text: str) -> str:
        """The README's text for this machine."""
        for name, ours in (
            ("shop.internal", "localhost"),
            ("0.0.0.0", "127.0.0.1"),
            ("50051", str(port)),
            ("/etc/modctl", str(short_dir)),
            ("/var/log/modctl", str(short_dir)),
        ):
            assert name in SECURITY
            text = text.replace(name, ours)
        return text

    def typed(text: str, expect: int = 0) -> str:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MODCTL_")}
        environ |= {"PATH": f"{BIN}:{environ['PATH']}", "HOME": str(short_dir), "XDG_CONFIG_HOME": str(short_dir)}
        ran = subprocess.run(
            ["bash", "-ec", text],
            cwd=here,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ran.returncode == expect, (text, ran.stdout, ran.stderr)
        return ran.stdout + ran.stderr

    first, second = (made_local(one) for one in re.findall(r"```sh\n(.*?)```", SECURITY, re.DOTALL))
    [start] = (made_local(one) for one in re.findall(r"```python\n(.*?)```", SECURITY, re.DOTALL))
    [policy] = (made_local(one) for one in re.findall(r"```toml\n(.*?)```", SECURITY, re.DOTALL))
    typed(first)
    (short_dir / "policy.toml").write_text(policy)
    (here / "tax.py").write_text("RATE = 19\n")
    (here / "shop.py").write_text(
        f"import time\nimport tax\nfrom modctl import agent\n{start}\nwhile True: time.sleep(0.05)\n"
    )
    service = Service([sys.executable, "shop.py"], state_dir=state_dir, folder=here)
    try:
        service.wait_for_agents(1, listening=True)
        assert "uri:modctl://operator/anna" in typed(second)
        change = "modctl reimport tax --context prod --yes"
        assert "reason" in typed(change, 3)
        assert "APPLIED" in typed(f"{change} --reason INC-1")
        assert "settles money" in typed("modctl inject payments.cards --block --context prod --yes --reason INC-1", 7)
        assert "APPLIED" in typed("modctl inject mock --block --context prod --yes --reason INC-1")
        typed("modctl tls issue bob --role operator")
        bob = "--cert modctl-tls/bob.pem --key modctl-tls/bob.key"
        assert "APPLIED" in typed(f"{change} --reason INC-2 {bob}")
        assert "operator" in typed(f"modctl inject mock --attr X=1 --replace --context prod --yes --reason x {bob}", 7)
        typed("modctl doctor")
        log = (short_dir / "shop.jsonl").read_text()
        assert log.count('"event":"attempt"') == log.count('"event":"outcome"') == 6
        assert "uri:modctl://operator/anna" in typed("modctl history --audit")
    finally:
        service.end()
