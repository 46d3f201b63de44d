"""How often changes may come: a leaky bucket for each identity."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Identities that are remembered; whoever was quiet longest is forgotten first, and his bucket was empty by then.
MAX_IDENTITIES: Final = 10_000


class Buckets:
    """One bucket for each identity. Every request pours one in; it leaks at a steady rate; a full one refuses.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def pour(self, identity: str, per_minute: float, burst: int) -> float:
        """Takes one in: 0 where it fits, else the seconds after which it would.

        Args:
            identity: whose bucket.
            per_minute: how much leaks; 0 is no limit at all.
            burst: how much the bucket holds.
        """
        if per_minute <= 0:
            return 0.0
        now_s = self._clock()
        level, seen_s = self._levels.get(identity, (0.0, now_s))
        level = max(0.0, level - (now_s - seen_s) * per_minute / 60)
        over = level + 1 - burst
        if over > 1e-9:
            self._keep(identity, level, now_s)
            return over * 60 / per_minute
        self._keep(identity, level + 1, now_s)
        return 0.0

    def _keep(self, identity: str, level: float, now_s: float) -> None:
        self._levels[identity] = (level, now_s)
        self._levels.move_to_end(identity)
        if len(self._levels) > MAX_IDENTITIES:
            self._levels.popitem(last=False)
