"""Processes chosen by their labels."""

from __future__ import annotations

import pytest
from modctl.local.selectors import SelectorError, matches, parse

LABELS = {"zone": "a", "tier": "web", "canary": ""}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("zone=a", True),
        ("zone==a", True),
        ("zone = a , tier=web", True),
        ("zone=b", False),
        ("zone!=b", True),
        ("zone!=a", False),
        ("nowhere!=a", True),
        ("zone in (a, b)", True),
        ("zone in (b,c)", False),
        ("zone notin (b,c)", True),
        ("zone notin (a)", False),
        ("nowhere notin (a)", True),
        ("canary", True),
        ("!canary", False),
        ("!nowhere", True),
        ("nowhere", False),
        ("canary=", True),
        ("service=shop,host=web-1,role=worker", True),
        ("role=master", False),
        ("tier in (web),zone in (a),!old", True),
    ],
)
def test_each_term_must_hold(selector: str, expected: bool) -> None:
    assert matches(parse(selector), LABELS, "shop", "web-1", "WORKER") is expected


def test_a_label_given_at_start_goes_before_what_is_known() -> None:
    assert matches(parse("service=mine"), {"service": "mine"}, "shop", "h", "MAIN")


@pytest.mark.parametrize(
    "selector",
    ["", "  ", ",", "zone=a,", "=a", "zone in a", "zone in (a", "zone in (a))", "a b", "a=b=c", "!", "x" * 5000],
)
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(SelectorError, match="selector"):
        parse(selector)
