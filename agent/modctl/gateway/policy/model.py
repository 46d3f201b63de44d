"""A policy as data, and the one that holds where there is no file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from modctl.gateway.policy import verbs
from modctl.gateway.policy.callers import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What callers may without a file. Whoever is this very user could attach a debugger as well; a token is a secret made
#: for modctl alone; a certificate comes from an authority that may serve other ends too, and so may not send code.
DEFAULT_ROLES: Final[Mapping[Kind, str]] = {
    Kind.USER: "admin",
    Kind.OWN_TOKEN: "admin",
    Kind.TOKEN: "admin",
    Kind.CERTIFICATE: "operator",
    Kind.ANONYMOUS: "operator",
}


@dataclass(frozen=True)
class Rule:
    """Allows or denies verbs on names.

    Args:
        allow: whether it allows; a rule that denies beats all that allow.
        verbs: which.
        names: globs of module names; one that ends in `.**` means the name before it and all below it.
        roles: of these roles only; empty means all.
        identities: globs of these identities only; empty means all.
        because: the owner's words, shown to who is refused.
        line: where it stands in the file.
    """

    allow: bool
    verbs: frozenset[str]
    names: tuple[str, ...]
    roles: frozenset[str] = frozenset()
    identities: tuple[str, ...] = ()
    because: str = ""
    line: int = 0


@dataclass(frozen=True)
class Context:
    """What holds for processes with certain labels: production, say.

    Args:
        name: how refusals call it.
        labels: what a process's labels must have, every one.
        require_reason: changes say why.
        require_signature: source that is sent is signed.
        change_roles: only these roles may change; empty means whoever may elsewhere.
        line: where it stands in the file.
    """

    name: str
    labels: Mapping[str, str]
    require_reason: bool = False
    require_signature: bool = False
    change_roles: frozenset[str] = frozenset()
    line: int = 0


@dataclass(frozen=True)
class SigningKey:
    """A public key whose signatures count.

    Args:
        name: how the audit log calls it.
        public: its 32 bytes.
        not_after_unix_s: signatures made later do not count; None is for ever.
        line: where it stands in the file.
    """

    name: str
    public: bytes
    not_after_unix_s: float | None = None
    line: int = 0


@dataclass(frozen=True)
class Limits:
    """How much and how often. All may be lowered and raised by the file, within what the protocol carries."""

    #: Bytes of one request.
    request_bytes: int = 16 * 1024 * 1024
    #: Bytes of one module's source.
    source_bytes: int = 4 * 1024 * 1024
    #: Modules in one change set.
    modules: int = 1000
    #: Calls at once, all callers together.
    concurrent_calls: int = 64
    #: Connections at once to one network address; 0 is no limit but the system's. Taken when the address is opened.
    connections: int = 2048
    #: Change requests per minute of one identity, dry runs not counted; 0 is no limit.
    changes_per_minute: float = 0.0
    #: How many may come at once before the rate counts.
    change_burst: int = 20


@dataclass(frozen=True)
class Audit:
    """Where the audit log is and how large it may grow.

    Args:
        file: its absolute path; empty is audit.jsonl in the instance's directory.
        max_bytes: it is turned over beyond this.
        keep: how many turned-over files stay.
    """

    file: str = ""
    max_bytes: int = 16 * 1024 * 1024
    keep: int = 8


@dataclass(frozen=True)
class Policy:
    """Everything that a policy file can say.

    Args:
        origin: the file's path; empty where there is none.
        roles: name to verbs.
        identities: (glob, role) in the order of the file.
        default_roles: kind of caller to role, for whoever no identity matches.
        certificate_roles: whether a certificate that says its own role (modctl://ROLE/NAME) is believed.
        rules: in the order of the file.
        protected: (glob, because): names protected beside those that the process computes.
        unprotected: globs of names whose computed protection the owner lifts.
        require_reason: changes say why.
        require_signature: source that is sent is signed.
        keys: whose signatures count.
        contexts: what holds for some processes only.
        broken: what is wrong with the file, where it could not be read at all: then nothing may be changed.
    """

    origin: str = ""
    roles: Mapping[str, frozenset[str]] = field(default_factory=lambda: dict(verbs.ROLES))
    identities: tuple[tuple[str, str], ...] = ()
    default_roles: Mapping[Kind, str] = field(default_factory=lambda: dict(DEFAULT_ROLES))
    certificate_roles: bool = True
    rules: tuple[Rule, ...] = ()
    protected: tuple[tuple[str, str], ...] = ()
    unprotected: tuple[str, ...] = ()
    require_reason: bool = False
    require_signature: bool = False
    keys: tuple[SigningKey, ...] = ()
    contexts: tuple[Context, ...] = ()
    limits: Limits = field(default_factory=Limits)
    audit: Audit = field(default_factory=Audit)
    broken: str = ""


#: What holds without a file.
DEFAULT: Final = Policy()


def broken(origin: str, problem: str) -> Policy:
    """What holds where a file is named and cannot be understood: its own user may look, nobody may change."""
    return Policy(
        origin=origin,
        default_roles={kind: "viewer" if kind in (Kind.USER, Kind.OWN_TOKEN) else "none" for kind in Kind},
        broken=problem,
    )
