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

from modctl.agent.primitives import FAULTS, SIG_BLOCK, SIG_SETMASK

#: sizeof(sigset_t) of glibc and musl.
_SET_BYTES: Final = 128


class SignalHold:
    """The main thread's signals during its forks. Make it inside a fork's first hook: it registers the last.

    Raises:
        AttributeError, OSError: this Python's C library cannot be called.
    """

    def __init__(self) -> None:
        # PyDLL keeps the GIL: no other thread comes between arming the release and the release.
        library: Any = ctypes.PyDLL(None)
        self._sigmask = library.pthread_sigmask
        self._sigmask.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self._held = ctypes.create_string_buffer(_SET_BYTES)
        library.sigfillset(self._held)
        for number in FAULTS:
            library.sigdelset(self._held, number)
        self._nothing = ctypes.create_string_buffer(_SET_BYTES)
        self._before = ctypes.create_string_buffer(_SET_BYTES)
        self._holding = False
        #: What the last hook does: blocks nothing more, or sets the mask of before.
        self._how = ctypes.c_int(SIG_BLOCK)
        self._mask = ctypes.create_string_buffer(_SET_BYTES)
        release = partial(self._sigmask, self._how, self._mask, None)
        os.register_at_fork(after_in_parent=release, after_in_child=release)

    def hold(self) -> None:
        """Blocks all but the signals of faults in the calling thread, which must be the main one."""
        self._sigmask(SIG_BLOCK, self._nothing, self._before)
        self._holding = True
        self._sigmask(SIG_BLOCK, self._held, None)

    def arm(self, *, main_thread: bool) -> None:
        """Says what the last hook, which follows at once in the same thread, is to do."""
        if main_thread and self._holding:
            self._holding = False
            self._mask.raw = self._before.raw
            self._how.value = SIG_SETMASK
        else:
            self._mask.raw = self._nothing.raw
            self._how.value = SIG_BLOCK
