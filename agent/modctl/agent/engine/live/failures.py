"""Why a change is not made.

LiveError
├── RefusedError   a rule forbids it; nothing was run. Says the rule and the cure
└── StagingError   a statement raised while staging; carries where, and what it raised
"""

from __future__ import annotations


class LiveError(Exception):
    """The root of what stops a change of live code."""


class RefusedError(LiveError):
    """A rule forbids the change.

    Args:
        name: the module.
        reason: a constant: OPAQUE_CALL, NO_BASELINE, LIVE_SERVICE, …
        rule: what the rule says, with the place.
        hint: the cure.
    """

    def __init__(self, name: str, reason: str, rule: str, hint: str) -> None:
        super().__init__(f"{name}: {rule}. {hint}")
        self.name, self.reason, self.rule, self.hint = name, reason, rule, hint


class StagingError(LiveError):
    """A statement raised while it was staged; nothing of the live program was touched.

    Args:
        name: the module. line: the statement's first line. raised: what it raised.
    """

    def __init__(self, name: str, line: int, raised: BaseException) -> None:
        super().__init__(f"{name}, line {line}: {type(raised).__name__}: {raised}")
        self.name, self.line, self.raised = name, line, raised
