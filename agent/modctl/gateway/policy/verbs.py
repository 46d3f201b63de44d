"""What can be asked for, and which role may."""

from __future__ import annotations

from typing import Final

#: Verb to what it covers, in words of the documentation.
VERBS: Final = {
    "agents": "see which processes are there",
    "list": "list entries, watch them",
    "get": "see one entry: spec, importers, exports, holders",
    "source": "read the source that is running (`get --source`, `diff`)",
    "history": "list revisions",
    "import": "load a module from the process's own disk",
    "evict": "remove entries",
    "reimport": "bring a module's code in anew from the process's own disk",
    "reload": "give live objects new code from the process's own disk",
    "undo": "take a revision back",
    "commit": "let take effect what one has prepared, or drop it",
    "confirm": "let a change stand that would take itself back (`--confirm-within`)",
    "freeze": "make processes refuse changes",
    "thaw": "allow changes again",
    "inject": "put code or data that the request carries into a process",
    "send": "reimport or reload with source that the request carries",
    "attributes": "read the values of a module's attributes",
    "evaluate": "run a Python expression in a process (`rollout --check expr:…`)",
    "override": "touch a protected name, named in the request",
    "audit": "read the audit log",
}
#: Verbs that change a process. Frozen, rate limits, required reasons and the audit log are about these.
CHANGES: Final = frozenset(
    {
        "import", "evict", "reimport", "reload", "undo", "commit", "confirm", "freeze", "thaw",
        "inject", "send", "evaluate", "override",
    }
)  # fmt: skip
#: Verbs that bring in bytes from outside: these can be asked to be signed.
SENDS: Final = frozenset({"inject", "send"})
#: Verbs that are about named entries: rules with globs apply to these only.
NAMED: Final = frozenset(
    {"get", "source", "attributes", "import", "evict", "reimport", "reload", "undo", "inject", "send", "override"}
)

VIEWER: Final = frozenset({"agents", "list", "get", "source", "history"})
OPERATOR: Final = VIEWER | {"import", "evict", "reimport", "reload", "undo", "commit", "confirm", "freeze", "thaw"}
ADMIN: Final = frozenset(VERBS)
#: The roles that are always there. A policy file may add others, never change these.
ROLES: Final = {"none": frozenset[str](), "viewer": VIEWER, "operator": OPERATOR, "admin": ADMIN}
