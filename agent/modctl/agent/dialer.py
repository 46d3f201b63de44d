"""How an agent gets a connection: dial, and where nobody listens start a gateway, one for all that try at once.

A machine of steps that never waits itself, so that a fork can stop the agent's thread at any moment. Which step is next
depends on what the socket says, not on what was done before: whoever finds a listener has found the gateway.
"""

from __future__ import annotations

import _random
import errno
import fcntl
import os
import sys
from time import monotonic
from typing import TYPE_CHECKING, Final

from modctl.agent import spawn
from modctl.agent.log import INFO, WARNING, log
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
#: How long spawn.lock is respected, and how long a gateway that was started may take until it listens.
SPAWN_BOUND_S: Final = 4.0
#: A gateway that is lost sooner than this after its welcome counts as one that failed.
STEADY_S: Final = 1.0
_WATCH_S: Final = 0.015

_random_source = _random.Random()


class Dialer:
    """Makes connections for one process.

    Attributes:
        problem: why there is no gateway, in words; None while all is well.
        definite: whether trying again soon is unlikely to help, so that nobody should wait for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.problem: str | None = None
        self.definite = False
        self._failures = 0
        self._told = False
        self._not_before_s = 0.0
        self._lock_fd: int | None = None
        self._lock_wanted_since_s: float | None = None
        self._may_spawn = False
        self._spawned_until_s: float | None = None
        self._children: set[int] = set()
        self._welcomed_at_s: float | None = None

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
            return _WATCH_S  # it listens, and has more waiting than it takes at once
        except ForeignPeerError as error:
            return self.failed(str(error), definite=True)
        except OSError as error:
            return self.failed(_describe(error), definite=True)

    def welcomed(self) -> None:
        """The gateway serves."""
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
        return self.failed(why)

    def abandon(self) -> None:
        """Lets go of everything. In a forked child this leaves the parent's lock alone: it holds the same one."""
        self._may_spawn = False
        self._lock_wanted_since_s = None
        if self._lock_fd is not None:
            try:
                os.close(self._lock_fd)
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise
            self._lock_fd = None

    def _connected(self, wire: Wire) -> Wire:
        self._spawned_until_s = None
        self.abandon()
        return wire

    def _get_a_gateway(self, directory: str, now_s: float) -> float:
        if self._spawned_until_s is not None:
            if now_s < self._spawned_until_s:
                return _WATCH_S
            self._spawned_until_s = None
            self.abandon()
            log_file = os.path.join(directory, places.GATEWAY_LOG)
            return self.failed(f"the gateway that was started did not come up; {log_file} says why")
        if not self._may_spawn:
            if not self._lock(os.path.join(directory, places.SPAWN_LOCK), now_s):
                return _WATCH_S
            # Dial once more first: before the lock was ours another process may have started a gateway.
            self._may_spawn = True
            return 0.0
        return self._spawn(directory, now_s)

    def _lock(self, file: str, now_s: float) -> bool:
        """Takes spawn.lock; also true when it was held by others for too long, for it is economy and no more."""
        if self._lock_wanted_since_s is None:
            self._lock_wanted_since_s = now_s
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return now_s - self._lock_wanted_since_s >= SPAWN_BOUND_S
        except BaseException:
            os.close(handle)
            raise
        self._lock_fd = handle
        return True

    def _spawn(self, directory: str, now_s: float) -> float:
        found = spawn.interpreters()
        if not found:
            self.abandon()
            return self.failed(
                "no Python interpreter was found to run the gateway; set MODCTL_PYTHON, or use gateway='thread'",
                definite=True,
            )
        # The next one after each failure: the first may be one without grpc.
        interpreter = found[self._failures % len(found)]
        try:
            self._children.add(spawn.spawn_gateway(interpreter, directory, self._settings.service))
        except OSError as error:
            self.abandon()
            return self.failed(f"{interpreter} could not be started: {_describe(error)}", definite=True)
        self._may_spawn = False
        self._spawned_until_s = now_s + SPAWN_BOUND_S
        return _WATCH_S

    def reap(self) -> None:
        """Waits, without waiting, for what was started."""
        self._children = {pid for pid in self._children if not spawn.reap(pid)}

    def failed(self, problem: str, *, definite: bool = False) -> float:
        """Something went wrong; seconds to wait before the next step."""
        self._failures += 1
        self.problem, self.definite = problem, definite or self._failures >= PATIENT_AFTER
        if self.definite and not self._told:
            self._told = True
            log(WARNING, "no gateway: %s; the service goes on without one, and the agent goes on trying", problem)
        if self._failures <= PATIENT_AFTER:
            return self._wait(_between(*SOON_S))
        pause_s = min(LONGEST_PAUSE_S, 0.25 * 2 ** (self._failures - PATIENT_AFTER))
        return self._wait(pause_s * _between(0.75, 1.0))

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


def _between(low: float, high: float) -> float:
    return low + (high - low) * _random_source.random()


def _describe(error: OSError) -> str:
    if isinstance(error, places.PlaceError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
