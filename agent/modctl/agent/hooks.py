"""What a program has to say about changes of its modules.

A module may have, at its top level:

* `__modctl_before__(plan)`: called with a Plan before the change; what it raises vetoes it.
* `__modctl_after__(old_namespace)`: the new version's, called after the change with a copy of the namespace as it was;
  it may hand state over, and what it raises takes the whole change back.
* `__modctl_keep__ = ("NAME", …)`: names that keep their live value in a reload.

And the program as a whole `agent.on_change(callback)`. All of them run on a thread of their own with a time limit;
those after a change run before any shielded unit of work goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

BEFORE: Final = "__modctl_before__"
AFTER: Final = "__modctl_after__"
#: What one hook may take, in seconds.
HOOK_TIMEOUT_S: Final = 5.0

_Callback = TypeVar("_Callback", bound="Callable[[Plan], object]")


class Plan(NamedTuple):
    """A change that is about to be made, or has been.

    Attributes:
        phase: "before" or "after".
        names: the entries of sys.modules that it is about.
        modules: entry by entry, as in the `modules` of a ChangeResult.
        identity: who asked.
        reason: why.
        request_id: the request's.
        takes_back: whether it is an undo or an expiry. An expiry is not to be vetoed: what hooks raise is logged.
    """

    phase: str
    names: tuple[str, ...]
    modules: tuple[dict[str, Any], ...]
    identity: str
    reason: str
    request_id: str
    takes_back: bool


_callbacks: list[Callable[[Plan], object]] = []


def on_change(callback: _Callback) -> _Callback:
    """Has a callback called before and after every change; usable as a decorator.

    What it raises before the change vetoes it; what it raises after takes it back.
    """
    if callback not in _callbacks:
        _callbacks.append(callback)
    return callback


def off_change(callback: Callable[[Plan], object]) -> None:
    """Undoes on_change()."""
    if callback in _callbacks:
        _callbacks.remove(callback)


def callbacks() -> list[Callable[[Plan], object]]:
    """Those to call, in order."""
    return list(_callbacks)
