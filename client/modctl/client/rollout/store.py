"""The state files of rollouts.

<place>/<id>/plan.json      what is rolled out, where to, and how; written once
             state.json     a RolloutState; replaced atomically, and synced, at each step
             requests/      what the operator asks of a runner at work: pause, abort, promote
             lock           flock: who holds it runs the rollout
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

from modctl.client.rollout.errors import RolloutBusyError, RolloutNotFoundError, RolloutStateError
from modctl.client.rollout.state import RolloutState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: How often, and with which pauses in seconds, the lock is tried.
_LOCK_ATTEMPTS = 4
_LOCK_PAUSE_S = 0.02
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\Z")


def default_place(environ: Mapping[str, str] = os.environ) -> str:
    """Where this user's rollouts are kept: in MODCTL_STATE_DIR where that is set, else in XDG's place for state."""
    if state_dir := environ.get("MODCTL_STATE_DIR"):
        return os.path.join(os.path.abspath(state_dir), "rollouts")
    home = environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(os.path.abspath(home), "modctl", "rollouts")


class RolloutStore:
    """All rollouts of one user.

    Args:
        place: the folder; made when the first rollout is.
    """

    def __init__(self, place: str | None = None) -> None:
        self.place = place or default_place()

    def create(self, plan: Mapping[str, Any], now_unix_s: float | None = None) -> str:
        """Makes a new rollout; returns its id, which sorts by time."""
        now_unix_s = time.time() if now_unix_s is None else now_unix_s
        # The place above may be a MODCTL_STATE_DIR, which nobody uses where it is open to others.
        os.makedirs(os.path.dirname(self.place), mode=0o700, exist_ok=True)
        os.makedirs(self.place, mode=0o700, exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now_unix_s))
        for attempt in range(1000):
            rollout = f"r{stamp}" + (f"-{attempt}" if attempt else "")
            try:
                os.mkdir(os.path.join(self.place, rollout), 0o700)
            except FileExistsError:
                continue
            os.mkdir(self._file(rollout, "requests"), 0o700)
            _write(self._file(rollout, "plan.json"), {"rollout": rollout, **plan})
            return rollout
        raise OSError(f"{self.place}: no free name for a rollout")

    def ids(self) -> list[str]:
        """The ids, newest first."""
        try:
            names = os.listdir(self.place)
        except FileNotFoundError:
            return []
        known = [name for name in names if _ID.match(name) and os.path.exists(self._file(name, "plan.json"))]
        return sorted(known, key=_age, reverse=True)

    def find(self, rollout: str = "") -> str:
        """The id meant: itself, an unambiguous beginning of it, or where empty the newest.

        Raises:
            RolloutNotFoundError: there is none, or several.
        """
        known = self.ids()
        if not rollout:
            if not known:
                raise RolloutNotFoundError("", self.place)
            return known[0]
        if rollout in known:
            return rollout
        found = [each for each in known if each.startswith(rollout)]
        if len(found) != 1:
            raise RolloutNotFoundError(rollout, self.place)
        return found[0]

    def plan(self, rollout: str) -> dict[str, Any]:
        """What was written at `create`.

        Raises:
            RolloutNotFoundError: there is no such rollout.
            RolloutStateError: its file cannot be read.
        """
        return self._read(rollout, "plan.json")

    def load(self, rollout: str) -> RolloutState:
        """How far it is; a rollout that was killed before its first step is at its beginning.

        Raises:
            RolloutNotFoundError: there is no such rollout.
            RolloutStateError: its file cannot be read.
        """
        plan = self.plan(rollout)
        if not os.path.exists(self._file(rollout, "state.json")):
            return RolloutState(rollout, began_at_unix_s=float(plan.get("created_at_unix_s", 0.0)))
        try:
            return RolloutState.from_json(self._read(rollout, "state.json"))
        except ValueError as error:
            raise self._broken(rollout, "state.json", error) from error

    def save(self, state: RolloutState) -> None:
        """Replaces the state; after this it outlives a crash of the machine."""
        _write(self._file(state.rollout, "state.json"), state.to_json())

    @contextlib.contextmanager
    def running(self, rollout: str) -> Iterator[None]:
        """Holds the rollout: nobody else runs it meanwhile.

        Raises:
            RolloutBusyError: somebody does.
        """
        descriptor = os.open(self._file(rollout, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for left in reversed(range(_LOCK_ATTEMPTS)):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    # Who only asks whether somebody runs it holds the lock for a moment.
                    if not left:
                        raise RolloutBusyError(rollout, self.runner_pid(rollout)) from None
                    time.sleep(_LOCK_PAUSE_S)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def runner_pid(self, rollout: str) -> int:
        """Who wrote itself into the lock last; 0 where nobody did."""
        try:
            with open(self._file(rollout, "lock"), encoding="ascii") as file:
                return int(file.read() or 0)
        except (OSError, ValueError):
            return 0

    def is_running(self, rollout: str) -> bool:
        """Whether somebody runs it now. Leaves no trace: who ran it last stays written down."""
        try:
            descriptor = os.open(self._file(rollout, "lock"), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def ask(self, rollout: str, request: str) -> None:
        """Asks the runner for "pause", "abort", "promote" or "promote-all"."""
        _write(os.path.join(self._file(rollout, "requests"), request), {"asked_at_unix_s": time.time()})

    def take_requests(self, rollout: str) -> list[str]:
        """What was asked since the last time."""
        folder = self._file(rollout, "requests")
        taken: list[str] = []
        for name in sorted(os.listdir(folder)):
            if name.startswith("."):
                continue  # being written
            os.unlink(os.path.join(folder, name))
            taken.append(name)
        return taken

    def _file(self, rollout: str, name: str) -> str:
        if not _ID.match(rollout):
            raise RolloutNotFoundError(rollout, self.place)
        return os.path.join(self.place, rollout, name)

    def _read(self, rollout: str, name: str) -> dict[str, Any]:
        try:
            with open(self._file(rollout, name), encoding="utf-8") as file:
                data = json.load(file)
        except FileNotFoundError:
            raise RolloutNotFoundError(rollout, self.place) from None
        except ValueError as error:
            raise self._broken(rollout, name, error) from error
        if not isinstance(data, dict):
            raise self._broken(rollout, name, ValueError("no JSON object"))
        return data

    def _broken(self, rollout: str, name: str, error: ValueError) -> RolloutStateError:
        return RolloutStateError(
            rollout, f"unreadable ({error})", "be used", f"look at {self._file(rollout, name)}, or remove its folder"
        )


def _age(rollout: str) -> tuple[str, int]:
    # r20260101-120000, and r20260101-120000-1 after it.
    stamp, number = rollout[:16], rollout[17:]
    return stamp, int(number) if number.isdigit() else 0


def _write(path: str, data: Mapping[str, Any]) -> None:
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder_descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder_descriptor)
    finally:
        os.close(folder_descriptor)
