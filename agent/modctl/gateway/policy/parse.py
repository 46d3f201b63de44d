"""From the text of a policy file to a policy. The whole format is what this file reads.

version = 1                              # must be there

[identities]                             # glob of an identity -> role; an exact one wins, then the first that fits
"uri:spiffe://corp/ops/*" = "operator"
"uid:1000" = "admin"

[defaults]                               # whoever fits nothing above
user = "admin"                           #   this very user, through the private unix socket
own-token = "admin"                      #   the token that modctl made for this user
token = "none"                           #   the token of token_file
certificate = "viewer"                   #   a client certificate
anonymous = "none"                       #   nobody knows: insecure=True

[roles.deployer]                         # a role of your own
extends = "viewer"
verbs = ["reload", "send"]

[[rules]]                                # deny beats allow; a verb with an allow rule is allowed there only
deny = ["evict", "reimport"]
names = ["payments.**"]                  #   `a.**` is a and all below it; `*` fits dots too
roles = ["operator"]                     #   optional, and identities = [globs]
because = "settles money; ask #payments"

[protected]
names = ["billing.ledger"]               # refused like the standard library's core, unless overridden by name
lift = ["numpy.**"]                      # computed protection that you take away, at your own risk
because = "..."

[require]
reason = true                            # changes need --reason
signature = true                         # source that is sent needs a signature by a key below

[[keys]]
name = "release-2026"
public = "<base64 of 32 bytes, as `modctl sign --new-key` shows it>"
not_after = 2027-01-31T00:00:00Z         # signatures made later do not count: how keys are rotated out

[[contexts]]                             # more for some processes
name = "production"
labels = { env = "prod" }
require_reason = true
require_signature = true
change_roles = ["admin"]

[limits]                                 # see model.Limits
[audit]                                  # see model.Audit
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import os
import re
from typing import Any, Final

from modctl.gateway.policy import lines, verbs
from modctl.gateway.policy.callers import Kind
from modctl.gateway.policy.model import (
    DEFAULT_ROLES,
    Audit,
    Context,
    Limits,
    Policy,
    Rule,
    SigningKey,
)
from modctl.gateway.policy.reading import PolicyError, Problem, Table, load

MAX_BYTES: Final = 1024 * 1024
_LINE_IN_MESSAGE: Final = re.compile(r"\(at line (\d+), column (\d+)\)")
_MIB: Final = 1024 * 1024
_KEY_BYTES: Final = 32


def parse(text: str, origin: str) -> Policy:
    """The policy of a TOML text.

    Args:
        text: the file's content.
        origin: the file's path, for messages.

    Raises:
        PolicyError: it is wrong; says everything that is, with its line.
    """
    try:
        document = load(text)
    except ValueError as error:
        found = _LINE_IN_MESSAGE.search(str(error))
        line = int(found[1]) if found else text.count("\n") + 1 if "end of document" in str(error) else 0
        raise PolicyError(origin, [Problem(line, "", f"no TOML: {error}")]) from None
    problems: list[Problem] = []
    policy = _policy(Table(document, (), lines.find(text), problems), origin)
    if problems:
        raise PolicyError(origin, problems)
    return policy


def _policy(top: Table, origin: str) -> Policy:
    version = top.value("version")
    if version != 1 or isinstance(version, bool):
        top.wrong("version", "say `version = 1` at the top: the version of this format")
    roles = _roles(top.table("roles"))
    identities = _identities(top.table("identities"), roles)
    protected = top.table("protected")
    because = protected.text("because", "the policy protects it")
    require = top.table("require")
    defaults = top.table("defaults")
    policy = Policy(
        origin=origin,
        roles=roles,
        identities=identities,
        default_roles=_defaults(defaults, roles),
        certificate_roles=defaults.flag("certificate-roles", default=True),
        rules=tuple(_rule(table, roles) for table in top.tables("rules")),
        protected=tuple((glob, because) for glob in protected.texts("names")),
        unprotected=protected.texts("lift"),
        require_reason=require.flag("reason"),
        require_signature=require.flag("signature"),
        keys=_keys(top),
        contexts=tuple(_context(table, roles) for table in top.tables("contexts")),
        limits=_limits(top.table("limits")),
        audit=_audit(top.table("audit")),
    )
    if (policy.require_signature or any(one.require_signature for one in policy.contexts)) and not policy.keys:
        top.wrong("keys", "a signature is required and no key is listed: nothing could ever be sent; add [[keys]]")
    for table in (protected, require, defaults):
        table.done()
    top.done()
    return policy


def _roles(table: Table) -> dict[str, frozenset[str]]:
    """The roles that are always there and the file's own, which may extend those written above them."""
    roles = dict(verbs.ROLES)
    for name in table.keys():  # noqa: SIM118 - this marks them as asked for
        one = table.table(name)
        if name in verbs.ROLES:
            one.wrong(None, f"{name!r} is always there and never changes; take another name")
            continue
        base = one.word("extends", roles, "none")
        roles[name] = (roles[base] | set(one.texts("verbs", verbs.VERBS))) - set(one.texts("without", verbs.VERBS))
        one.done()
    return roles


def _identities(table: Table, roles: dict[str, frozenset[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((glob, role) for glob in table.keys() if (role := table.word(glob, roles)))  # noqa: SIM118


def _defaults(table: Table, roles: dict[str, frozenset[str]]) -> dict[Kind, str]:
    return {kind: table.word(kind.value, roles, DEFAULT_ROLES[kind]) for kind in Kind}


def _rule(table: Table, roles: dict[str, frozenset[str]]) -> Rule:
    allow, deny = table.has("allow"), table.has("deny")
    chosen = table.texts("allow", _RULED), table.texts("deny", _RULED)
    if allow == deny:
        table.wrong(None, "a rule has either `allow` or `deny`, a list of verbs")
    names = table.texts("names")
    if not table.has("names"):
        table.wrong(None, 'a rule has `names`, a list of globs; ["*"] is every name')
    rule = Rule(
        allow=allow,
        verbs=_widened(frozenset(chosen[0] or chosen[1])),
        names=names,
        roles=frozenset(table.texts("roles", roles)),
        identities=table.texts("identities"),
        because=table.text("because"),
        line=table.line,
    )
    table.done()
    return rule


#: What a rule may be about: verbs with names, and words for several of them.
_RULED: Final = verbs.NAMED | {"changes", "all"}


def _widened(chosen: frozenset[str]) -> frozenset[str]:
    widened = chosen - {"changes", "all"}
    if "changes" in chosen:
        widened |= verbs.CHANGES & verbs.NAMED
    if "all" in chosen:
        widened |= verbs.NAMED
    return widened


def _context(table: Table, roles: dict[str, frozenset[str]]) -> Context:
    name = table.text("name")
    if not name:
        table.wrong(None, "a context has a `name`: refusals call it so")
    labels = table.table("labels")
    wanted = {key: labels.text(key) for key in labels.keys()}  # noqa: SIM118
    if not wanted:
        table.wrong(None, 'a context has `labels`: { env = "prod" }; what holds everywhere belongs to [require]')
    context = Context(
        name=name,
        labels=wanted,
        require_reason=table.flag("require_reason"),
        require_signature=table.flag("require_signature"),
        change_roles=frozenset(table.texts("change_roles", roles)),
        line=table.line,
    )
    table.done()
    return context


def _keys(top: Table) -> tuple[SigningKey, ...]:
    found: list[SigningKey] = []
    for table in top.tables("keys"):
        name = table.text("name")
        if not name or any(key.name == name for key in found):
            table.wrong("name" if name else None, "every key has a `name` of its own: the audit log says it")
        public = _public(table)
        until = _time(table, "not_after")
        if public:
            found.append(SigningKey(name, public, until, table.line))
        table.done()
    return tuple(found)


def _public(table: Table) -> bytes:
    text = table.text("public")
    try:
        public = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        public = b""
    if len(public) != _KEY_BYTES:
        table.wrong(
            "public" if table.has("public") else None, "`public` is base64 of an Ed25519 public key, 32 bytes of it"
        )
        return b""
    return public


def _time(table: Table, key: str) -> float | None:
    value: Any = table.value(key)
    if value is None:
        return None
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.timestamp()
    table.wrong(key, "a time with its zone is wanted: 2027-01-31T00:00:00Z")
    return None


def _limits(table: Table) -> Limits:
    usual = Limits()
    limits = Limits(
        request_bytes=table.whole("request_bytes", usual.request_bytes, 1024, 16 * _MIB),
        source_bytes=table.whole("source_bytes", usual.source_bytes, 1, 4 * _MIB),
        modules=table.whole("modules", usual.modules, 1, 1000),
        concurrent_calls=table.whole("concurrent_calls", usual.concurrent_calls, 1, 64),
        connections=table.whole("connections", usual.connections, 0, 100_000),
        changes_per_minute=table.number("changes_per_minute", usual.changes_per_minute, 0, 1_000_000),
        change_burst=table.whole("change_burst", usual.change_burst, 1, 1_000_000),
    )
    table.done()
    return limits


def _audit(table: Table) -> Audit:
    usual = Audit()
    file = table.text("file", usual.file)
    if file and not os.path.isabs(file):
        table.wrong("file", "an absolute path is wanted: the gateway's working directory is /")
    audit = Audit(
        file=file,
        max_bytes=table.whole("max_bytes", usual.max_bytes, 64 * 1024, 1024 * _MIB),
        keep=table.whole("keep", usual.keep, 1, 1000),
    )
    table.done()
    return audit
