"""May this caller do that? A pure function of policy, caller and request: no clock, no disk, no process.

A refusal is never just one: everything that stands in the way is said at once, each with the rule that says so and what
to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from modctl.gateway.policy import verbs
from modctl.gateway.policy.callers import Kind, role_in_certificate
from modctl.gateway.policy.globs import fits, fits_all_below, may_fit_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from modctl.gateway.policy.callers import Caller
    from modctl.gateway.policy.model import Context, Policy, Rule

#: Reasons, the strongest first: the first of them that is there is the whole decision's.
REASONS: Final = ("POLICY_BROKEN", "DENIED", "SIGNATURE_REQUIRED", "PROTECTED", "REASON_REQUIRED")
#: Those are for the owner to change; the others are for the caller.
_DENIALS: Final = frozenset({"POLICY_BROKEN", "DENIED", "SIGNATURE_REQUIRED"})


class Asked(NamedTuple):
    """One thing that is asked for.

    Attributes:
        verb: one of verbs.VERBS.
        name: the entry's name; empty where the verb is about none.
        below: everything below the name too.
    """

    verb: str
    name: str = ""
    below: bool = False


class Request(NamedTuple):
    """Everything that a decision looks at besides policy and caller.

    Attributes:
        asked: what is asked for.
        reason: why, in the caller's words.
        overrides: protected names that the caller would touch all the same.
        unsigned: name of what is sent without a signature that counts -> why it does not count.
        labels: the labels of each process that it is about.
    """

    asked: tuple[Asked, ...]
    reason: str = ""
    overrides: frozenset[str] = frozenset()
    unsigned: Mapping[str, str] = {}
    labels: tuple[Mapping[str, str], ...] = ()


class Refusal(NamedTuple):
    """One thing that stands in the way.

    Attributes:
        reason: one of REASONS.
        verb: what was asked for.
        name: of which entry; may be empty.
        rule: what says so.
        cure: what to do about it.
    """

    reason: str
    verb: str
    name: str
    rule: str
    cure: str

    def __str__(self) -> str:
        return f"{self.verb}{' ' if self.name else ''}{self.name}: {self.rule}; {self.cure}"


class Decision(NamedTuple):
    """What it comes to.

    Attributes:
        role: the caller's.
        refusals: everything that stands in the way; empty where it is allowed.
        lifted: names whose computed protection the policy takes away.
    """

    role: str
    refusals: tuple[Refusal, ...]
    lifted: frozenset[str] = frozenset()

    @property
    def allowed(self) -> bool:
        """Whether it may be done."""
        return not self.refusals

    @property
    def reason(self) -> str:
        """The strongest reason against it; empty where there is none."""
        return min((one.reason for one in self.refusals), key=REASONS.index, default="")

    @property
    def denied(self) -> bool:
        """Whether it is the owner's no; otherwise the caller can ask differently."""
        return self.reason in _DENIALS

    @property
    def rule(self) -> str:
        """The rule of the strongest refusal."""
        return self._first().rule if self.refusals else ""

    @property
    def cure(self) -> str:
        """The cure of the strongest refusal."""
        return self._first().cure if self.refusals else ""

    def _first(self) -> Refusal:
        return min(self.refusals, key=lambda one: REASONS.index(one.reason))


def role_of(policy: Policy, caller: Caller) -> str:
    """The role of a caller: what the file says of it exactly, then by glob, then its certificate, then its kind."""
    if not policy.broken:
        for glob, role in policy.identities:
            if glob == caller.identity:
                return role
        for glob, role in policy.identities:
            if fits(glob, caller.identity):
                return role
        if (
            caller.kind is Kind.CERTIFICATE
            and policy.certificate_roles
            and (role := role_in_certificate(caller.identity))
        ):
            return role
    return policy.default_roles[caller.kind]


def decide(policy: Policy, caller: Caller, request: Request) -> Decision:
    """Whether a caller may do what a request asks for."""
    role = role_of(policy, caller)
    judge = _Judge(policy, caller, role)
    contexts = [one for one in policy.contexts if any(_has(labels, one.labels) for labels in request.labels)]
    refusals = list(dict.fromkeys(judge.refusals(request, contexts)))
    lifted = frozenset(
        one.name
        for one in request.asked
        if one.verb in verbs.CHANGES and one.name and any(fits(glob, one.name) for glob in policy.unprotected)
    )
    return Decision(role, tuple(refusals), lifted)


class _Judge:
    """One decision's constants."""

    def __init__(self, policy: Policy, caller: Caller, role: str) -> None:
        self._policy = policy
        self._caller = caller
        self._role = role
        self._may = policy.roles[role]

    def refusals(self, request: Request, contexts: list[Context]) -> Iterator[Refusal]:
        asked = [*request.asked, *(Asked("override", name) for name in sorted(request.overrides))]
        for one in asked:
            if one.verb not in self._may:
                yield self._no_role(one)
            else:
                yield from self._by_rules(one)
        changes = [one for one in request.asked if one.verb in verbs.CHANGES]
        for one in changes:
            yield from self._protected(one, request.overrides)
        if not changes:
            return
        for context in contexts:
            if context.change_roles and self._role not in context.change_roles:
                yield self._not_in(context, changes[0])
        demanding = [context for context in contexts if context.require_reason]
        if (self._policy.require_reason or demanding) and not request.reason.strip():
            rule = "the policy wants a reason" + (f" in {demanding[0].name}" if demanding else "")
            yield Refusal("REASON_REQUIRED", changes[0].verb, changes[0].name, rule, "say why with --reason TEXT")
        signing = [context for context in contexts if context.require_signature]
        if self._policy.require_signature or signing:
            yield from self._unsigned(request, f" in {signing[0].name}" if signing else "")

    def _no_role(self, one: Asked) -> Refusal:
        if self._policy.broken:
            return Refusal(
                "POLICY_BROKEN",
                one.verb,
                one.name,
                f"the policy file cannot be used, so nothing may be changed: {self._policy.broken.splitlines()[0]}",
                f"mend {self._policy.origin}; it is read again by itself",
            )
        able = [name for name, may in self._policy.roles.items() if one.verb in may]
        suggested = able[0] if able else "admin"
        if self._policy.origin:
            cure = f'give the identity another role in {self._policy.origin}: "{self._caller.identity}" = "{suggested}"'
        else:
            cure = (
                f"name a policy file with policy= or MODCTL_POLICY that says: version = 1, [identities] "
                f'"{self._caller.identity}" = "{suggested}"'
            )
        return Refusal(
            "DENIED",
            one.verb,
            one.name,
            f"{self._caller.identity} is {_article(self._role)}, who may not {one.verb}",
            cure,
        )

    def _by_rules(self, one: Asked) -> Iterator[Refusal]:
        if not one.name:
            return
        about = [rule for rule in self._policy.rules if one.verb in rule.verbs and self._concerns(rule)]
        for rule in about:
            if rule.allow:
                continue
            if any(fits(glob, one.name) for glob in rule.names):
                yield self._ruled(one, rule, "the policy denies it")
            elif one.below and any(may_fit_below(glob, one.name) for glob in rule.names):
                yield self._ruled(one, rule, f"the policy denies it for names that may be below {one.name}")
        allowing = [rule for rule in about if rule.allow]
        covers = fits_all_below if one.below else fits
        if allowing and not any(covers(glob, one.name) for rule in allowing for glob in rule.names):
            yield self._ruled(one, allowing[0], "the policy allows it for other names only")

    def _ruled(self, one: Asked, rule: Rule, why: str) -> Refusal:
        because = f": {rule.because}" if rule.because else ""
        cure = "name the modules one by one" if "below" in why else "ask who keeps that file, or choose other names"
        return Refusal("DENIED", one.verb, one.name, f"{why} ({self._policy.origin}:{rule.line}){because}", cure)

    def _concerns(self, rule: Rule) -> bool:
        if rule.roles and self._role not in rule.roles:
            return False
        return not rule.identities or any(fits(glob, self._caller.identity) for glob in rule.identities)

    def _protected(self, one: Asked, overrides: frozenset[str]) -> Iterator[Refusal]:
        # Taking a change back is never held up: it brings back what the protection is for.
        if not one.name or one.name in overrides or one.verb == "undo":
            return
        for glob, because in self._policy.protected:
            below = one.below and may_fit_below(glob, one.name)
            if fits(glob, one.name) or below:
                place = f" (or what is below it, {glob})" if below and not fits(glob, one.name) else ""
                cure = f"an admin can name it for one request: --override {one.name}"
                yield Refusal("PROTECTED", one.verb, one.name, f"protected{place} by the policy: {because}", cure)
                return

    def _not_in(self, context: Context, one: Asked) -> Refusal:
        able = ", ".join(sorted(context.change_roles))
        rule = f"in {context.name} only {able} may change ({self._policy.origin}:{context.line}); this is {self._role}"
        return Refusal("DENIED", one.verb, one.name, rule, f"ask somebody who is {able}")

    def _unsigned(self, request: Request, where: str) -> Iterator[Refusal]:
        for one in request.asked:
            if one.verb == "evaluate":
                rule = f"the policy wants a signature{where}, and an expression is code that has none"
                yield Refusal("SIGNATURE_REQUIRED", one.verb, one.name, rule, "check in another way: --check CMD")
            elif one.verb in verbs.SENDS and one.name in request.unsigned:
                rule = f"the policy wants a signature{where}: {request.unsigned[one.name]}"
                cure = "sign it with `modctl sign`, and send it with --signature"
                yield Refusal("SIGNATURE_REQUIRED", one.verb, one.name, rule, cure)


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())


def _article(role: str) -> str:
    if role == "none":
        return "nobody here"
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"


def first_refusal(decisions: Iterable[Decision]) -> Decision | None:
    """The decision with the strongest refusal; None where all allow."""
    refused = [one for one in decisions if not one.allowed]
    return min(refused, key=lambda one: REASONS.index(one.reason), default=None)
