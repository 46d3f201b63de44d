"""What can be proven about the files of modules that were loaded before the agent watched."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import inventory, table
from modctl.agent.engine.generations import Generations, Stat, reference_to
from modctl.agent.engine.live import keeping
from modctl.agent.engine.safe import MISSING, module_dict, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.agent.beginning import Beginning, Starter

#: The kernel counts a process's start in hundredths of a second; the clocks that we compare differ by less than this.
_UNCERTAINTY_S: Final = 0.05
_MAX_ANCESTORS: Final = 16
#: Of /proc/PID/stat, from the state on: where code, stack and data begin. The kernel draws them at exec() and a fork
#: inherits them; 0 where it does not tell.
_PLACES: Final = (23, 25, 42)
#: Loaded modules are looked at so long after start(), so many at once, with such pauses: the last loaded first, which
#: are mostly the program's own. What is edited before it was looked at has no proven baseline.
SURVEY_DELAY_S: Final = 0.05
SURVEY_ENTRIES: Final = 400
SURVEY_PAUSE_S: Final = 0.05


class Origins:
    """Records the stat of files of modules that were loaded before anybody watched.

    A file whose ctime is older than the interpreter is the one that was loaded: nothing, not even `touch -d`, sets a
    ctime back. One that was changed later may have been loaded before or after the change; it is recorded as first
    seen, without proof. One that was written after the agent had started, but was loaded before, has certainly changed.
    """

    def __init__(self, generations: Generations) -> None:
        self._generations = generations
        self._begun = False
        self._agent_started_s = time.time()
        self._interpreter_started_s: float | None = None
        self._there_at_start: frozenset[Any] = frozenset()
        self._unsurveyed: list[tuple[str, Any]] | None = None
        self._survey_due_s: float | None = None

    def begin_survey(self, beginning: Beginning, starters: Sequence[Starter]) -> None:
        """Modules that are loaded now are looked at soon, some at a time, before their files have had much time to
        change; those in whose code start() is called, at once: they are what is edited first.

        Args:
            beginning: when start() was called.
            starters: the modules that called it.
        """
        if not self._begun:
            self._begun = True
            self._agent_started_s = beginning.at_s
            self._there_at_start = frozenset(key for key in beginning.keys if type(key) is str)
            for starter in starters:
                name = text(dict.get(starter.namespace, "__name__"))
                candidate = table.get(name) if name else MISSING
                if module_dict(candidate) is not starter.namespace:
                    continue
                facts = inventory.facts_of(name, candidate)
                if facts.file:
                    self.note(name, candidate, facts.origin, starter if starter.path == facts.origin else None)
            self._survey_due_s = time.monotonic() + SURVEY_DELAY_S

    def next_survey_s(self) -> float | None:
        """Seconds until survey() has something to do; None where it has nothing more."""
        return None if self._survey_due_s is None else max(0.0, self._survey_due_s - time.monotonic())

    def survey(self) -> None:
        """Looks at some more files, where that is due."""
        if self.next_survey_s() != 0.0:
            return
        if self._unsurveyed is None:
            # Weakly: a module that the program drops meanwhile must not be kept by our list.
            entries = reversed(table.entries())
            self._unsurveyed = [(key, reference_to(value)) for key, value in entries if type(key) is str]
        for name, reference in self._unsurveyed[:SURVEY_ENTRIES]:
            candidate = reference()
            facts = inventory.facts_of(name, candidate)
            if facts.file:
                self.note(name, candidate, facts.origin)
        self._unsurveyed = self._unsurveyed[SURVEY_ENTRIES:]
        self._survey_due_s = time.monotonic() + SURVEY_PAUSE_S if self._unsurveyed else None

    def note(self, name: str, candidate: object, origin: str, starter: Starter | None = None) -> None:
        """Looks at the file of a module of which nothing is known yet, or takes what was seen of it."""
        loaded = self._generations.loaded(candidate)
        if loaded is not None and (loaded.stat is not None or loaded.state or loaded.digest):
            return
        loaded = self._generations.remember(candidate)
        try:
            if starter is not None and starter.found is not None:
                found, packed = starter.found, keeping.pack(origin, starter.data)
            else:
                found, packed = keeping.look(origin)
        except (OSError, ValueError):
            loaded.state = ""  # the gateway looks for itself and says MISSING
            return
        loaded.stat = Stat(found.st_mtime_ns, found.st_size, found.st_ino)
        loaded.proven = found.st_ctime < self.interpreter_started_s() - _UNCERTAINTY_S
        written_since = found.st_ctime > self._agent_started_s + _UNCERTAINTY_S
        if written_since and name in self._there_at_start:
            if found.st_mtime > self._agent_started_s + _UNCERTAINTY_S:
                packed = None
                loaded.stat = Stat(0, 0, 0)  # equal to no file's: MODIFIED
            else:
                # Moved here, or given another mode or owner: content and time say nothing about what was loaded.
                loaded.stat, loaded.state = None, "MODULE_STATE_UNKNOWN"
        self._generations.keep(loaded, packed)

    def interpreter_started_s(self) -> float:
        """When the oldest process began that could have loaded this process's modules: seconds since the epoch.

        A forked worker has its parent's modules, and its own start is too late; so its ancestors with the same
        executable count too, up to the one that was started and not forked. Too early a time only proves less. 0.0,
        which proves nothing, where /proc cannot be read.
        """
        if self._interpreter_started_s is None:
            try:
                self._interpreter_started_s = _oldest_start_s()
            except (OSError, ValueError, IndexError):
                self._interpreter_started_s = 0.0
        return self._interpreter_started_s


def _oldest_start_s() -> float:
    with open("/proc/uptime", "rb") as file:
        booted_s = time.time() - float(file.read().split()[0])
    ticks = os.sysconf("SC_CLK_TCK")
    pid = os.getpid()
    executable = os.readlink("/proc/self/exe")
    oldest = float("inf")
    own_places: set[bytes] = set()
    for _ in range(_MAX_ANCESTORS):
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        places = {fields[index] for index in _PLACES}
        if places != own_places and own_places and b"0" not in places | own_places:
            break  # this one was started by it and not forked from it: nothing that it had loaded is in here
        own_places = own_places or places
        oldest = min(oldest, booted_s + int(fields[19]) / ticks)
        pid = int(fields[1])
        try:
            if pid <= 1 or os.readlink(f"/proc/{pid}/exe") != executable:
                break
        except OSError:
            break  # somebody else's process: it is no interpreter that we came from by a mere fork
    return oldest
