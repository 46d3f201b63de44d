"""What was looked at and what was found."""

from __future__ import annotations

from typing import Final, NamedTuple

GOOD: Final = "ok"
#: Works, and will hurt one day.
ODD: Final = "warning"
#: Does not work.
BAD: Final = "problem"
#: Could not be looked at.
UNSEEN: Final = "skipped"


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        level: one of the constants above.
        where: this machine, a target, a file.
        what: one sentence.
        cure: what to do; empty where nothing is to be done.
    """

    level: str
    where: str
    what: str
    cure: str = ""


def good(where: str, what: str) -> Finding:
    """All is well with it."""
    return Finding(GOOD, where, what)


def odd(where: str, what: str, cure: str) -> Finding:
    """It works, and will hurt one day."""
    return Finding(ODD, where, what, cure)


def bad(where: str, what: str, cure: str) -> Finding:
    """It does not work."""
    return Finding(BAD, where, what, cure)


def unseen(where: str, what: str, cure: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(UNSEEN, where, what, cure)
