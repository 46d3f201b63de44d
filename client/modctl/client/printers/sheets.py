"""What each kind of answer looks like as a table: columns, one process's rows, and what makes two answers the same."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from modctl.client.printers.columns import Column
    from modctl.client.results import Row

    Cells = tuple[str, ...]

STATE_STYLES = {
    "MODIFIED": "yellow",
    "MISSING": "red",
    "INJECTED": "cyan",
    "PATCHED": "cyan",
    "BLOCKED": "red",
    "UNKNOWN": "dim",
}
OUTCOME_STYLES = {
    "OK": "green",
    "APPLIED": "green",
    "UNCHANGED": "dim",
    "PLANNED": "cyan",
    "REFUSED": "yellow",
    "FAILED": "red",
    "DENIED": "red",
    "UNREACHABLE": "red",
    "TIMED_OUT": "red",
    "UNKNOWN": "red",
}


class Sheet:
    """How one kind of answer is tabulated.

    Args:
        columns: of the table.
        rows: one process's lines.
        key: equal for answers that fold into one block; leaves out pids, times and ages.
        title: what the heading of a block says besides who.
        notes: lines below the table.
        folds: whether identical answers become one block; otherwise every process is one line of one table.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        rows: Callable[[Row[Any]], list[Cells]],
        key: Callable[[Row[Any]], Hashable],
        title: Callable[[Sequence[Row[Any]]], str] = lambda _rows: "",
        notes: Callable[[Row[Any], bool], list[str]] = lambda _row, _verbose: [],
        folds: bool = True,
    ) -> None:
        self.columns = columns
        self.rows = rows
        self.key = key
        self.title = title
        self.notes = notes
        self.folds = folds


def short_digest(digest: str) -> str:
    """sha256:<64 hex> as its first twelve."""
    algorithm, colon, value = digest.partition(":")
    return value[:12] if colon and algorithm == "sha256" else digest[:12]


def human_bytes(size_bytes: int) -> str:
    """1536 → 1.5K."""
    size = float(size_bytes)
    for unit in ("B", "K", "M", "G"):
        if size < 1000 or unit == "G":
            return f"{size:.0f}{unit}" if unit == "B" or size >= 100 else f"{size:.1f}{unit}"
        size /= 1024
    raise AssertionError("the last unit returns")


def human_seconds(seconds: float) -> str:
    """The two largest units: 3d4h, 5m2s."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, length)
        if number or (parts and len(parts) < 2) or (unit == "s" and not parts):
            parts.append(f"{number}{unit}" if number or not parts else "")
        if len(parts) == 2:
            break
    return "".join(parts)


def clock(unix_s: float) -> str:
    """Local time: what the operator's own clock shows."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))


def milliseconds(value: float | None) -> str:
    """Three digits are enough; "" for None."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
