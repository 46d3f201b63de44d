"""Glob patterns of names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def matcher(patterns: Sequence[str]) -> Callable[[str], bool] | None:
    """Whether a name fits one of the patterns (`*`, `?`, `[…]`, case counts); None where there are none and all names
    fit.
    """
    if not patterns or "*" in patterns:
        return None
    import fnmatch
    import re

    exact = frozenset(pattern for pattern in patterns if not any(sign in pattern for sign in "*?["))
    globs = [pattern for pattern in patterns if pattern not in exact]
    if not globs:
        return exact.__contains__
    fits = re.compile("|".join(fnmatch.translate(pattern) for pattern in globs)).match
    return lambda name: name in exact or fits(name) is not None
