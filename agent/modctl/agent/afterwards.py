"""Something to be done by the main thread as soon as a fork of its own has returned.

Fork hooks are called from C, which prints and forgets what they raise, and which on Python 3.13 counts threads after
the last one. Both need the moment after the fork has returned and before the host's next statement. A pending call is
that moment: the interpreter makes it in the main thread between two instructions, and what it raises rises from there.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


class Place:
    """Where in the host's code the main thread is, just now in a call from there."""

    __slots__ = ("_frame", "_instruction")

    def __init__(self, frame: FrameType | None) -> None:
        self._frame = frame
        self._instruction = frame.f_lasti if frame is not None else -1

    def still_in(self, frame: FrameType | None) -> bool:
        """Whether that call has not returned yet, where the main thread is at this frame now."""
        if frame is self._frame or self._frame is None or self._frame.f_lasti != self._instruction:
            return False
        while frame is not None:
            if frame is self._frame:
                return True
            frame = frame.f_back
        return False


class _Pending:
    """What a pending call asks for its truth, for it must be a C function and PyObject_IsTrue is one that calls us."""

    def __init__(self, work: Callable[[], object], place: Place) -> None:
        self._work = work
        self._place = place

    def __bool__(self) -> bool:
        if self._place.still_in(sys._getframe(1)) and _add(self):
            return False  # some hook was interrupted, ours or another's: the next pending call looks again
        _waiting.discard(self)
        self._work()
        return False  # 0 is a pending call's success


#: Kept alive here: the interpreter holds only an address.
_waiting: Final[set[_Pending]] = set()


def soon(work: Callable[[], object], place: Place) -> bool:
    """Has the main thread do it; False where that cannot be, and nothing will be done.

    Args:
        work: may raise: the exception rises in the main thread from wherever it is, as a signal handler's does.
        place: the call that must have returned.
    """
    pending = _Pending(work, place)
    _waiting.add(pending)
    if _add(pending):
        return True
    _waiting.discard(pending)
    return False


def raise_soon(error: BaseException, place: Place) -> bool:
    """Raises in the main thread; False where that cannot be."""

    def again() -> None:
        raise error

    return soon(again, place)


def _add(pending: _Pending) -> bool:
    try:
        import ctypes

        api = ctypes.pythonapi
        function = ctypes.cast(api.PyObject_IsTrue, ctypes.c_void_p)
        added: int = api.Py_AddPendingCall(function, ctypes.c_void_p(id(pending)))
    except (ImportError, AttributeError):
        return False  # a Python without ctypes, or one that is no CPython
    return added == 0
