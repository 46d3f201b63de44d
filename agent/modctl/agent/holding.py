"""Keeps the host's signal handlers out of fork hooks.

Python calls fork hooks from C and prints and forgets what they raise, so what a handler raises (Ctrl-C, `sys.exit` on
TERM) while a hook runs would be lost, and the service would not stop. The signals are blocked before our hooks and let
through by a hook that is a C function called from C: no Python instruction follows in which a handler could run, so it
runs where it would have run without us, at the host's next instruction.
"""

from __future__ import annotations

import ctypes
import os
from functools import partial
from typing import Any, Final

from modctl.agent.primitives import SIG_BLOCK, SIG_SETMASK

#: sizeof(sigset_t) of glibc and musl.
_SET_BYTES: Final = 128


class SignalRelease:
    """The last hook of a fork. Made inside a fork's first hook, it registers itself behind all others.

    Raises:
        AttributeError, OSError: this Python's C library cannot be called.
    """

    def __init__(self) -> None:
        # PyDLL keeps the GIL: no other thread comes between arming the release and the release.
        self._library: Any = ctypes.PyDLL(None)
        sigmask = self._library.pthread_sigmask
        sigmask.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self._how = ctypes.c_int()
        self._mask = ctypes.create_string_buffer(_SET_BYTES)
        self.arm(None)
        release = partial(sigmask, self._how, self._mask, None)
        os.register_at_fork(after_in_parent=release, after_in_child=release)

    def arm(self, mask: set[int] | None) -> None:
        """Says what the hook, which follows at once in the same thread, is to do.

        Args:
            mask: the signals to block and no others; None leaves them as they are.
        """
        self._library.sigemptyset(self._mask)
        for number in mask or ():
            self._library.sigaddset(self._mask, int(number))
        self._how.value = SIG_BLOCK if mask is None else SIG_SETMASK
