"""What strangers may cost: a share of one processor, on every machine that modctl does not have for itself.

Whoever reaches an open port can have gRPC take connections apart before anybody is asked who he is; the processors that
this takes, and the quota of a container, are the service's too. So the gateway watches what it costs while nobody known
is served, and where that is too much it takes new connections more seldom, at random: those from addresses at which
somebody was let in are always taken. sshd's MaxStartups does the same by the number of connections; here it is what
they cost, because one can cost as much as a hundred.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from modctl.gateway import turnstile

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.gateway.turnstile import IPAddress

_log = logging.getLogger(__name__)

#: Of one processor, in the long run.
SHARE: Final = 0.02
#: Seconds of a processor beyond that, before anything is done.
BURST_S: Final = 0.05
#: How long connections are taken more seldom, after there was reason to, before they are taken more often again.
HOLD_S: Final = 10.0
EVERY_S: Final = 0.25
#: While nothing listens on a network.
UNTIL_SERVED_S: Final = 1.0
#: At most one connection in two to the power of this is taken.
SELDOMEST: Final = 3
#: So many addresses are remembered at which somebody was let in, those that called last.
KNOWN_ADDRESSES: Final = 32


class Budget:
    """How seldom strangers are to be taken, by what they have cost.

    Args:
        now_s: the monotonic clock.
        cpu_s: what the process has used of processors until then.
    """

    def __init__(self, now_s: float, cpu_s: float) -> None:
        self._at_s = now_s
        self._cpu_s = cpu_s
        self._overdrawn_s = 0.0
        self._until_s = 0.0
        #: One connection in two to the power of this is taken.
        self.level = 0

    def look(self, now_s: float, cpu_s: float, *, known: bool) -> int:
        """The level from now on.

        Args:
            now_s: the monotonic clock.
            cpu_s: what the process has used until then.
            known: whether somebody known was served since the last look; then it is not known who cost what, and
                nobody is blamed.
        """
        used_s = 0.0 if known else cpu_s - self._cpu_s
        earned_s = SHARE * (now_s - self._at_s)
        self._at_s, self._cpu_s = now_s, cpu_s
        self._overdrawn_s = max(0.0, self._overdrawn_s + used_s - earned_s)
        if self._overdrawn_s > BURST_S:
            self.level = min(self.level + 1, SELDOMEST)
            self._overdrawn_s, self._until_s = 0.0, now_s + HOLD_S
        elif self.level and now_s >= self._until_s:
            self.level -= 1
            self._until_s = now_s + HOLD_S
        return self.level


class Strangers:
    """Keeps them within their budget, while keep() runs.

    Args:
        ports: the TCP ports that are served now.
        on_change: called where it says something else than before.
    """

    def __init__(self, ports: Callable[[], list[int]], on_change: Callable[[], None]) -> None:
        self._ports = ports
        self._on_change = on_change
        self._served = False
        self._under_way = 0
        self._known: OrderedDict[str, None] = OrderedDict()
        self._level = 0

    def begin(self, peer: str, *, watches: bool) -> None:
        """A call of somebody known begins.

        Args:
            peer: where it comes from, as gRPC tells it.
            watches: whether it lasts until cancelled; then it says nothing of what is done meanwhile.
        """
        self._served = True
        self._under_way += not watches
        host = peer.rpartition(":")[0]
        if host in self._known:
            self._known.move_to_end(host)
        elif host.startswith("ip"):
            self._known[host] = None
            if len(self._known) > KNOWN_ADDRESSES:
                self._known.popitem(last=False)

    def end(self, *, watches: bool) -> None:
        """It ends."""
        self._served = True
        self._under_way -= not watches

    def heard(self) -> None:
        """A process of the service has said something."""
        self._served = True

    @property
    def addresses(self) -> list[IPAddress]:
        """Where somebody was let in."""
        return [found for host in self._known if (found := _address(host)) is not None]

    @property
    def warnings(self) -> list[str]:
        """What it does at present, in words."""
        if not self._level:
            return []
        told = (
            f"strangers cost more than {SHARE:.0%} of a processor: of new TCP connections from addresses that nobody "
            f"was let in from, one in {1 << self._level} is taken"
        )
        return [told]

    async def keep(self) -> None:
        """Looks again and again, until it is cancelled. For a process that is the gateway's own."""
        loop = asyncio.get_running_loop()
        budget: Budget | None = None
        set_up: tuple[int, list[int], list[IPAddress]] = (0, [], [])
        while True:
            await asyncio.sleep(EVERY_S if budget is not None else UNTIL_SERVED_S)
            if budget is None:
                if self._ports():  # what it costs to start is nobody's
                    budget = Budget(time.monotonic(), time.process_time())
                continue
            known, self._served = self._served or self._under_way > 0, False
            level = budget.look(time.monotonic(), time.process_time(), known=known)
            if level == 0 and self._level == 0:
                continue
            wanted = (level, self._ports(), self.addresses)
            if wanted != set_up:
                set_up = wanted
                await loop.run_in_executor(None, turnstile.turn, *wanted)
            if level != self._level:
                self._level = level
                for warning in self.warnings or ["strangers cost little again; every connection is taken"]:
                    _log.warning("%s", warning)
                self._on_change()


def _address(host: str) -> IPAddress | None:
    """Of `ipv4:127.0.0.1` or `ipv6:%5B::1%5D`, as gRPC names a peer."""
    try:
        found = ipaddress.ip_address(unquote(host).partition(":")[2].strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
