"""What README and SECURITY.md say of policies is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from modctl.gateway.policy import verbs
from modctl.gateway.policy.callers import Caller, Kind
from modctl.gateway.policy.decide import Asked, Request, decide
from modctl.gateway.policy.model import DEFAULT
from modctl.gateway.policy.parse import parse

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
