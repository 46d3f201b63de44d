"""How an agent gets a connection: dial, and where nobody listens start a gateway, one for all that try at once.

A machine of steps that never waits itself, so that a fork can stop the agent's thread at any moment. Which step is next
depends on what the socket says, not on what was done before: whoever finds a listener has found the gateway.
"""

from __future__ import annotations

import _random
import os
import sys
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from modctl.agent import spawn
from modctl.agent.log import INFO, WARNING, log
from modctl.agent.turns import Turn
from modctl.agent.wire import ForeignPeerError, Wire, dial
from modctl.local import places
from modctl.local.version import VERSION

if TYPE_CHECKING:
    from modctl.agent.settings import Settings

#: A retry soon after something went wrong, in seconds: all the processes of a service must not come at one instant.
SOON_S: Final = (0.02, 0.12)
#: So many failures in a row are answered soon, the later ones ever more slowly.
PATIENT_AFTER: Final = 3
LONGEST_PAUSE_S: Final = 60.0
#: How long a silent spawn.lock is respected, and how long a gateway that runs may take until it listens.
SPAWN_BOUND_S: Final = 4.0
#: How long an interpreter that was started may take until it runs the gateway: on a machine that is starved, very long.
SLOWEST_START_S: Final = 120.0
#: Gateways of one user that start at a time: each computes for about 0.4 s, and hundreds at once starve a machine.
STARTS_AT_A_TIME: Final = min(16, max(4, 2 * (os.cpu_count() or 1)))
_START_RESPECTED_S: Final = 10.0
_QUEUED: Final = "other gateways are being started on this machine, so many at a time; this one's turn comes"
#: A gateway that is lost sooner than this after its welcome counts as one that failed.
STEADY_S: Final = 1.0
#: Who waits looks after so many seconds, and ever less often: at an eighth of what it has waited.
_WATCH_S: Final = (0.015, 1.0)

_random_source = _random.Random()


class Dialer:
    """Makes connections for one process.

    Attributes:
        problem: why there is no gateway, in words; None while all is well.
        definite: whether trying again soon is unlikely to help, so that nobody should wait for it.
        queued_at_s: when it last waited for its turn to start one, or for who had it; on the monotonic clock.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.problem: str | None = None
        self.definite = False
        self.queued_at_s = 0.0
        self._failures = 0
        self._told = False
        self._not_before_s = 0.0
        #: Of this instance, and of this user on this machine.
        self._instance = Turn(SPAWN_BOUND_S)
        self._machine = Turn(_START_RESPECTED_S)
        self._wanted_since_s: float | None = None
        self._may_spawn = False
        self._spawned: int | None = None
        self._spawned_until_s: float | None = None
        self._children: set[int] = set()
        self._welcomed_at_s: float | None = None
        self._began_at_s = time()

    def hold_off(self, seconds: float) -> None:
        """Not before so many seconds from now."""
        self._not_before_s = monotonic() + seconds

    def step(self) -> Wire | float:
        """One step: a connection, or seconds to wait before the next step."""
        self.reap()
        now_s = monotonic()
        if now_s < self._not_before_s:
            return self._not_before_s - now_s
        try:
            directory = instance_dir(self._settings)
            return self._connected(dial(os.path.join(directory, places.AGENT_SOCKET)))
        except (FileNotFoundError, ConnectionRefusedError):
            return self._get_a_gateway(directory, now_s)
        except BlockingIOError:
            return self._watch(now_s)  # it listens, and has more waiting than it takes at once
        except ForeignPeerError as error:
            return self.failed(str(error), definite=True)
        except OSError as error:
            return self.failed(_describe(error), definite=True)

    def welcomed(self) -> None:
        """The gateway serves."""
        self._instance.leave_note(0)
        self.abandon()
        self._welcomed_at_s = monotonic()
        if self._told:
            log(INFO, "the gateway serves again")
        self.problem, self.definite, self._told = None, False, False

    def refused(self, message: str) -> float:
        """The gateway wants nothing of us; seconds to wait."""
        return self.failed(f"the gateway refused this process: {message}", definite=True)

    def lost(self, why: str, peer_pid: int) -> float:
        """The connection is over; seconds to wait."""
        if peer_pid > 0 and spawn.is_child(peer_pid):
            self._children.add(peer_pid)
        steady = self._welcomed_at_s is not None and monotonic() - self._welcomed_at_s >= STEADY_S
        self._welcomed_at_s = None
        if steady:
            self._failures = 0
            return self._wait(_between(*SOON_S))
        self._instance.leave_note(self._failures + 1)
        return self.failed(why)

    def abandon(self) -> None:
        """Lets go of everything. In a forked child this leaves the parent's locks alone: it holds the same ones."""
        self._may_spawn = False
        self._wanted_since_s = self._spawned = self._spawned_until_s = None
        self._instance.leave()
        self._machine.leave()

    def _connected(self, wire: Wire) -> Wire:
        # The turns are kept until it has loaded all that it needs, and serves.
        self._may_spawn = False
        self._wanted_since_s = self._spawned = self._spawned_until_s = None
        return wire

    def _get_a_gateway(self, directory: str, now_s: float) -> float:
        if self._wanted_since_s is None:
            self._wanted_since_s = now_s
        self._instance.renew()
        self._machine.renew()
        if self._spawned_until_s is not None:
            return self._watch_over_the_spawned(directory, self._spawned_until_s, now_s)
        if self._may_spawn:
            return self._spawn(directory, now_s)
        if not self._instance.held:
            if not self._instance.take([os.path.join(directory, places.SPAWN_LOCK)], _between(0.0, SPAWN_BOUND_S / 4)):
                self.queued_at_s = now_s
                return self._watch(now_s)
            if pause_s := self._pause_after_others():
                self._instance.leave()
                return self._wait(pause_s)
        if not self._machine.take(_starts(directory), _between(0.0, _START_RESPECTED_S)):
            self.queued_at_s, self.problem = now_s, _QUEUED
            return self._watch(now_s)
        if self.problem == _QUEUED:
            self.problem = None
        # Dial once more first: before the turn was ours another process may have started a gateway.
        self._may_spawn = True
        return 0.0

    def _watch(self, now_s: float) -> float:
        """How long to sleep before looking again, who has waited for long the longer."""
        shortest_s, longest_s = _WATCH_S
        waited_s = 0.0 if self._wanted_since_s is None else now_s - self._wanted_since_s
        return min(longest_s, max(shortest_s, waited_s * _between(0.1, 0.15)))

    def _pause_after_others(self) -> float:
        """How long to leave it be, in seconds: processes of this instance have tried in vain, maybe often.

        Not for who began after that: it may have been started because what was wrong has been mended.
        """
        failures, failed_at_s = self._instance.note()
        if not failures or failed_at_s < self._began_at_s:
            return 0.0
        self._failures = max(self._failures, failures)
        return max(0.0, self._pause() - max(0.0, time() - failed_at_s))

    def _watch_over_the_spawned(self, directory: str, until_s: float, now_s: float) -> float:
        if self._spawned in self._children and until_s - now_s > 0:
            # The interpreter has not come as far as to leave us: it is the machine that is slow.
            return self._watch(now_s)
        if self._spawned is not None:
            self._spawned, self._spawned_until_s = None, now_s + SPAWN_BOUND_S
            return self._watch(now_s)
        if now_s < until_s:
            return self._watch(now_s)
        self._instance.leave_note(self._failures + 1)
        log_file = os.path.join(directory, places.GATEWAY_LOG)
        return self.failed(f"the gateway that was started did not come up; {log_file} says why")

    def _spawn(self, directory: str, now_s: float) -> float:
        found = spawn.interpreters()
        if not found:
            return self.failed(
                "no Python interpreter was found to run the gateway; set MODCTL_PYTHON, or use gateway='thread'",
                definite=True,
            )
        # The next one after each failure: the first may be one without grpc.
        interpreter = found[self._failures % len(found)]
        try:
            self._spawned = spawn.spawn_gateway(interpreter, directory, self._settings.service)
        except OSError as error:
            return self.failed(f"{interpreter} could not be started: {_describe(error)}", definite=True)
        self._children.add(self._spawned)
        self._may_spawn = False
        self._spawned_until_s = now_s + SLOWEST_START_S
        self._wanted_since_s = now_s  # look often again: it is about to listen
        return self._watch(now_s)

    def reap(self) -> None:
        """Waits, without waiting, for what was started."""
        self._children = {pid for pid in self._children if not spawn.reap(pid)}

    def failed(self, problem: str, *, definite: bool = False) -> float:
        """Something went wrong; seconds to wait before the next step."""
        self.abandon()
        self._failures += 1
        self.problem, self.definite = problem, definite or self._failures >= PATIENT_AFTER
        if self.definite and not self._told:
            self._told = True
            log(WARNING, "no gateway: %s; the service goes on without one, and the agent goes on trying", problem)
        return self._wait(self._pause())

    def _pause(self) -> float:
        """How long to wait after so many failures, in seconds."""
        if self._failures <= PATIENT_AFTER:
            return _between(*SOON_S)
        pause_s: float = 0.25 * 2.0 ** min(self._failures - PATIENT_AFTER, 16)
        return min(LONGEST_PAUSE_S, pause_s) * _between(0.5, 1.0)

    def _wait(self, seconds: float) -> float:
        self.hold_off(seconds)
        return seconds

    @property
    def has_children(self) -> bool:
        """Whether a process is still to be waited for."""
        return bool(self._children)


def instance_dir(settings: Settings) -> str:
    """The directory of this service instance, made where it is not there.

    Raises:
        PlaceError, OSError: it cannot be made, or is not safe.
    """
    environ = dict(os.environ)
    if settings.state_dir is not None:
        environ["MODCTL_STATE_DIR"] = settings.state_dir
    base = places.make_base(environ)
    return places.make_private(os.path.join(base, places.instance_name(settings.service, sys.prefix, VERSION)))


def _starts(directory: str) -> list[str]:
    """The files of which a process holds one while its gateway starts, in an order of its own."""
    first = int(_between(0, STARTS_AT_A_TIME))
    numbers = [*range(first, STARTS_AT_A_TIME), *range(first)]
    return [os.path.join(os.path.dirname(directory), places.STARTING.format(number)) for number in numbers]


def _between(low: float, high: float) -> float:
    return low + (high - low) * _random_source.random()


def _describe(error: OSError) -> str:
    if isinstance(error, places.PlaceError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
