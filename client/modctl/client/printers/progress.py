"""How far a command is: one line on stderr, only on a terminal, only with many targets, only when it lasts."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING, Any

from modctl.client.printers import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.results import Row

#: With fewer targets there is nothing to see.
MANY_TARGETS = 4
#: What is done sooner is not shown.
PATIENCE_S = 0.4
_REDRAW_S = 0.1


class ProgressLine:
    """Redraws itself as answers come.

    Args:
        stream: a terminal.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._targets = self._done = self._processes = self._failed = 0
        self._began_s = self._drawn_s = 0.0
        self._visible = False

    def begin(self, targets: int) -> None:
        """So many targets will be asked."""
        self._targets, self._done, self._processes, self._failed = targets, 0, 0, 0
        self._began_s = time.monotonic()
        self._drawn_s = self._began_s

    def answered(self, rows: Sequence[Row[Any]]) -> None:
        """One more target is done."""
        self._done += 1
        self._processes += sum(1 for row in rows if row.process)
        self._failed += sum(1 for row in rows if not row.good)
        now_s = time.monotonic()
        if self._targets < MANY_TARGETS or now_s - self._began_s < PATIENCE_S or now_s - self._drawn_s < _REDRAW_S:
            return
        self._drawn_s = now_s
        self._visible = True
        failed = f", {self._failed} failed" if self._failed else ""
        self._stream.write(
            f"\r\x1b[K{self._done}/{self._targets} targets, {fold.processes(self._processes)}{failed}, "
            f"{now_s - self._began_s:.1f} s"
        )
        self._stream.flush()

    def end(self) -> None:
        """Takes the line away."""
        if self._visible:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._visible = False
