"""Who may do what: every transport, identity, role, verb and class of module, each against what is written down here.

The expectations are drawn by hand below and share no code with the decision.
"""

from __future__ import annotations

import itertools

import pytest
from modctl.gateway.policy.callers import Caller, Kind
from modctl.gateway.policy.decide import Asked, Request, decide, role_of
from modctl.gateway.policy.parse import parse

#                 none viewer operator admin
BY_ROLE = """
    agents          -    +      +       +
    list            -    +      +       +
    get             -    +      +       +
    source          -    +      +       +
    history         -    +      +       +
    import          -    -      +       +
    evict           -    -      +       +
    reimport        -    -      +       +
    reload          -    -      +       +
    undo            -    -      +       +
    commit          -    -      +       +
    confirm         -    -      +       +
    freeze          -    -      +       +
    thaw            -    -      +       +
    inject          -    -      -       +
    send            -    -      -       +
    evaluate        -    -      -       +
    attributes      -    -      -       +
    override        -    -      -       +
    audit           -    -      -       +
"""
ROLES = ("none", "viewer", "operator", "admin")
MAY = {
    (line.split()[0], role): mark == "+"
    for line in BY_ROLE.strip().splitlines()
    for role, mark in zip(ROLES, line.split()[1:], strict=True)
}
VERBS = sorted({verb for verb, _ in MAY})
NAMELESS = {"agents", "list", "history", "commit", "confirm", "evaluate", "freeze", "thaw", "audit"}
CHANGING = {"import", "evict", "reimport", "reload", "inject", "send", "override"}

POLICY = """
version = 1
[identities]
"uid:7" = "viewer"
"token:ci" = "none"
"uri:spiffe://corp/*" = "viewer"
"uri:spiffe://corp/root" = "admin"
"dns:*.ops.example.com" = "operator"
[defaults]
user = "admin"
own-token = "operator"
token = "viewer"
certificate = "none"
anonymous = "none"
[[rules]]
deny = ["all"]
names = ["payments.**"]
roles = ["viewer", "operator", "admin"]
because = "settles money"
[[rules]]
allow = ["evict"]
names = ["billing.*", "billing", "ledger", "payments.*"]
[protected]
names = ["ledger"]
"""

#: (what a call comes through, who calls) -> role under POLICY, role without any policy
CALLERS = {
    (Kind.USER, "uid:0"): ("admin", "admin"),
    (Kind.USER, "uid:7"): ("viewer", "admin"),
    (Kind.OWN_TOKEN, "token:automatic"): ("operator", "admin"),
    (Kind.TOKEN, "token:token"): ("viewer", "admin"),
    (Kind.TOKEN, "token:ci"): ("none", "admin"),
    (Kind.CERTIFICATE, "uri:spiffe://corp/root"): ("admin", "operator"),
    (Kind.CERTIFICATE, "uri:spiffe://corp/anna"): ("viewer", "operator"),
    (Kind.CERTIFICATE, "uri:spiffe://other/root"): ("none", "operator"),
    (Kind.CERTIFICATE, "dns:a.ops.example.com"): ("operator", "operator"),
    (Kind.CERTIFICATE, "dns:a.dev.example.com"): ("none", "operator"),
    (Kind.CERTIFICATE, "dns:uid:0"): ("none", "operator"),
    (Kind.CERTIFICATE, "cn:root"): ("none", "operator"),
    (Kind.CERTIFICATE, "uri:modctl://admin/anna"): ("admin", "admin"),
    (Kind.CERTIFICATE, "uri:modctl://viewer/anna"): ("viewer", "viewer"),
    (Kind.CERTIFICATE, "uri:modctl://boss/anna"): ("none", "operator"),
    (Kind.CERTIFICATE, "dns:modctl://admin/anna"): ("none", "operator"),
    (Kind.ANONYMOUS, "anonymous"): ("none", "operator"),
    (Kind.ANONYMOUS, "uri:modctl://admin/anna"): ("none", "operator"),
}

#: class of a module -> its name
CLASSES = {
    "plain": "billing.tax",
    "elsewhere": "shop.views",
    "denied": "payments.cards",
    "denied as a whole": "payments",
    "protected": "ledger",
    "protected and overridden": "ledger",
}


def expected(role: str, verb: str, kind: str, *, policy: bool) -> str:
    """The reason of a refusal; empty where the call is allowed. Written down again, by hand."""
    if not MAY[verb, role]:
        return "DENIED"
    overridden = kind == "protected and overridden" and verb not in NAMELESS
    if overridden and role != "admin":
        return "DENIED"
    if not policy or verb in NAMELESS:
        return ""
    if kind.startswith("denied"):
        return "DENIED"  # of every role that may at all, `none` having been stopped above
    if verb == "evict" and kind == "elsewhere":
        return "DENIED"
    if kind == "protected" and verb in CHANGING:
        return "PROTECTED"
    return ""


CELLS = list(itertools.product(CALLERS, VERBS, CLASSES, (True, False)))


def test_the_table_has_every_cell() -> None:
    assert len(CELLS) == len(CALLERS) * 20 * 6 * 2 > 3000
    assert len(MAY) == 20 * 4


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("module_class", CLASSES)
@pytest.mark.parametrize("policy", [True, False], ids=["policy", "no-policy"])
def test_a_cell_is_what_is_written_down(kind: Kind, verb: str, module_class: str, policy: bool) -> None:
    document = parse(POLICY, "/etc/p.toml") if policy else parse("version = 1", "")
    looked_at = 0
    for (of_kind, identity), roles in CALLERS.items():
        if of_kind is not kind:
            continue
        looked_at += 1
        role = roles[0 if policy else 1]
        caller = Caller(identity, kind)
        assert role_of(document, caller) == role, identity
        name = "" if verb in NAMELESS else CLASSES[module_class]
        overrides = frozenset({name} if module_class == "protected and overridden" and name else ())
        decision = decide(document, caller, Request((Asked(verb, name),), overrides=overrides))
        assert decision.reason == expected(role, verb, module_class, policy=policy), (identity, decision)
        assert decision.allowed == (not decision.reason)
        assert decision.role == role
        for refusal in decision.refusals:
            assert refusal.rule
            assert refusal.cure
    assert looked_at
