"""Functions that become another kind of function: plain, generator, coroutine.

From 3.13 on Python warns where a function is given code of another kind. It is meant for who does so by mistake; here
it is what was asked for, and is told in the answer. A service that makes errors of warnings must get its change all
the same, and one that shows them must not see one of ours.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from modctl.source.codes import kind_flags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_WARNS: Final = sys.version_info >= (3, 13)


def change(steps: Iterable[tuple[Callable[..., object], tuple[Any, ...]]]) -> bool:
    """Whether one of these calls gives a function code of another kind, and Python would warn of it."""
    return _WARNS and any(
        function is setattr
        and arguments[1] == "__code__"
        and type(arguments[0]) is FunctionType
        and kind_flags(arguments[0].__code__) != kind_flags(arguments[2])
        for function, arguments in steps
    )


@contextmanager
def without_warning() -> Iterator[None]:
    """While this lasts, no DeprecationWarning is shown or raised. To be held for no longer than some assignments."""
    import _warnings

    module = sys.modules.get("warnings")
    filters = getattr(module, "filters", None)
    if type(filters) is not list:
        filters = _warnings.filters
    ours = ("ignore", None, DeprecationWarning, None, 0)
    mutated = getattr(_warnings, "_filters_mutated", lambda: None)
    filters.insert(0, ours)
    mutated()  # what was decided by the old ones is not to be looked up
    try:
        yield
    finally:
        for place, each in enumerate(filters):
            if each is ours:
                del filters[place]
                break
        mutated()
