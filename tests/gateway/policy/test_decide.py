"""Decisions: all refusals at once, names below names, reasons, signatures, contexts, broken files."""

from __future__ import annotations

import pytest
from modctl.gateway.policy import globs
from modctl.gateway.policy.callers import Caller, Kind
from modctl.gateway.policy.decide import Asked, Decision, Request, decide
from modctl.gateway.policy.model import DEFAULT, broken
from modctl.gateway.policy.parse import parse

ADMIN = Caller("uid:0", Kind.USER)
KEY = "A" * 43 + "="


def decided(text: str, *asked: Asked, caller: Caller = ADMIN, **of_request: object) -> Decision:
    return decide(parse(f"version = 1\n{text}", "/p.toml"), caller, Request(tuple(asked), **of_request))  # type: ignore[arg-type]


def test_all_refusals_come_in_one_answer() -> None:
    decision = decided(
        '[require]\nreason = true\n[protected]\nnames = ["b"]\n[[rules]]\ndeny = ["evict"]\nnames = ["a"]',
        Asked("evict", "a"),
        Asked("evict", "b"),
    )
    assert [(one.reason, one.name) for one in decision.refusals] == [
        ("DENIED", "a"),
        ("PROTECTED", "b"),
        ("REASON_REQUIRED", "a"),
    ]
    assert decision.reason == "DENIED"


def test_a_refusal_names_the_file_the_line_and_the_owners_words() -> None:
    decision = decided('[[rules]]\ndeny = ["evict"]\nnames = ["a"]\nbecause = "ask #money"', Asked("evict", "a"))
    assert "/p.toml:2" in decision.rule
    assert "ask #money" in decision.rule


def test_a_role_that_may_not_is_told_which_line_would_let_it() -> None:
    decision = decide(DEFAULT, Caller("uri:x://anna", Kind.CERTIFICATE), Request((Asked("inject", "a"),)))
    assert '"uri:x://anna" = "admin"' in decision.cure
    assert "MODCTL_POLICY" in decision.cure


@pytest.mark.parametrize(
    ("glob", "name", "fits", "all_below", "maybe_below"),
    [
        ("a", "a", True, False, False),
        ("a.b", "a", False, False, True),
        ("a.**", "a", True, True, True),
        ("a.**", "a.b.c", True, True, True),
        ("a.**", "ab", False, False, False),
        ("a.*", "a", False, False, True),
        ("a*", "a", True, True, True),
        ("*", "a", True, True, True),
        ("*.secret", "a", False, False, True),
        ("b.*", "a", False, False, False),
        ("ab.*", "a", False, False, False),
        ("a.b*", "a.b.c", True, True, True),
    ],
)
def test_globs_of_names(glob: str, name: str, fits: bool, all_below: bool, maybe_below: bool) -> None:
    assert globs.fits(glob, name) is fits
    assert globs.fits_all_below(glob, name) is all_below
    assert globs.may_fit_below(glob, name) is maybe_below


def test_a_denied_name_stops_whatever_would_take_it_along() -> None:
    rules = '[[rules]]\ndeny = ["evict"]\nnames = ["a.secret"]'
    assert decided(rules, Asked("evict", "a")).allowed
    assert decided(rules, Asked("evict", "a", below=True)).reason == "DENIED"
    assert decided(rules, Asked("evict", "b", below=True)).allowed


def test_an_allowed_name_allows_what_is_below_it_only_where_the_rule_says_so() -> None:
    assert decided('[[rules]]\nallow = ["evict"]\nnames = ["a"]', Asked("evict", "a", below=True)).reason == "DENIED"
    assert decided('[[rules]]\nallow = ["evict"]\nnames = ["a.**"]', Asked("evict", "a", below=True)).allowed


def test_a_protected_name_stops_whatever_would_take_it_along_and_an_undo_never() -> None:
    rules = '[protected]\nnames = ["a.core"]'
    assert decided(rules, Asked("evict", "a", below=True)).reason == "PROTECTED"
    assert decided(rules, Asked("undo", "a.core")).allowed


def test_an_override_is_for_the_names_that_it_names() -> None:
    rules = '[protected]\nnames = ["a", "b"]'
    decision = decided(rules, Asked("evict", "a"), Asked("evict", "b"), overrides=frozenset({"a"}))
    assert [one.name for one in decision.refusals] == ["b"]


def test_lifted_names_are_told_to_the_process() -> None:
    decision = decided('[protected]\nlift = ["numpy.**"]', Asked("reimport", "numpy.linalg"), Asked("evict", "sys"))
    assert decision.lifted == {"numpy.linalg"}


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_an_empty_reason_is_none(reason: str) -> None:
    assert decided("[require]\nreason = true", Asked("evict", "a"), reason=reason).reason == "REASON_REQUIRED"
    assert decided("[require]\nreason = true", Asked("evict", "a"), reason="INC-1").allowed
    assert decided("[require]\nreason = true", Asked("list"), reason=reason).allowed


def test_what_is_sent_must_be_signed_where_the_policy_says_so() -> None:
    rules = f'[require]\nsignature = true\n[[keys]]\nname = "k"\npublic = "{KEY}"'
    bad = decided(rules, Asked("inject", "a"), unsigned={"a": "it has none"})
    assert bad.reason == "SIGNATURE_REQUIRED"
    assert "it has none" in bad.rule
    assert decided(rules, Asked("inject", "a")).allowed
    assert decided(rules, Asked("evict", "a")).allowed
    assert decided(rules, Asked("evaluate")).reason == "SIGNATURE_REQUIRED"
    assert decided("", Asked("evaluate")).allowed


def test_a_context_demands_more_of_processes_with_its_labels_only() -> None:
    rules = (
        '[[contexts]]\nname = "production"\nlabels = { env = "prod" }\nrequire_reason = true\nchange_roles = ["admin"]'
    )
    operator = Caller("uri:modctl://operator/o", Kind.CERTIFICATE)
    prod, test = {"env": "prod", "zone": "a"}, {"env": "test"}
    assert decided(rules, Asked("evict", "a"), labels=(test,)).allowed
    assert decided(rules, Asked("evict", "a"), labels=(test, prod)).reason == "REASON_REQUIRED"
    assert decided(rules, Asked("evict", "a"), labels=(prod,), reason="x").allowed
    assert decided(rules, Asked("evict", "a"), labels=(prod,), reason="x", caller=operator).reason == "DENIED"
    assert decided(rules, Asked("list"), labels=(prod,), caller=operator).allowed


def test_under_a_broken_file_its_own_user_may_look_and_nobody_may_change() -> None:
    policy = broken("/p.toml", "/p.toml:3: nonsense")
    assert decide(policy, ADMIN, Request((Asked("list"),))).allowed
    refused = decide(policy, ADMIN, Request((Asked("evict", "a"),)))
    assert refused.reason == "POLICY_BROKEN"
    assert "/p.toml:3" in refused.rule
    for kind in (Kind.TOKEN, Kind.CERTIFICATE, Kind.ANONYMOUS):
        assert not decide(policy, Caller("uri:modctl://admin/a", kind), Request((Asked("list"),))).allowed
