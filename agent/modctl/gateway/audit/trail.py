"""The audit log of one gateway: nothing is changed whose beginning is not on the disk.

The end of a change that was made must be told even where the disk has become full meanwhile: it is kept here, no
further change is begun, and it is written first when there is room again. A gateway that was killed between the two
lines leaves an attempt without an outcome; the next one says so in its place.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from modctl.gateway.audit.log import AuditLog
    from modctl.gateway.audit.records import Place

_log = logging.getLogger(__name__)

#: So many lines are looked through for attempts that were never ended.
LOOK_BACK_LINES: Final = 10_000


class Trail:
    """Begins and ends attempts. All calls block, and are for one thread at a time.

    Args:
        log: where to.
        place: where from.
    """

    def __init__(self, log: AuditLog, place: Place) -> None:
        self._log = log
        self._place = place
        self._owed: list[dict[str, Any]] = []
        self._recovered = False
        #: What is wrong with the log now; empty where all is well.
        self.problem = ""

    def begin(self, line: dict[str, Any]) -> None:
        """Writes the line of an attempt, and before it whatever is owed.

        Raises:
            OSError: it is not on the disk; the attempt must not be made.
        """
        self._write([line])

    def end(self, line: dict[str, Any]) -> None:
        """Writes the line of an outcome; keeps it where that is not possible now. Never raises."""
        self._owed.append(line)
        try:
            self._write([])
        except OSError as error:
            _log.error("an outcome waits to be written to the audit log: %s", error)

    def begin_and_end(self, lines: list[dict[str, Any]]) -> None:
        """Writes both lines of an attempt that is refused. Never raises: a refusal needs no leave of the disk."""
        try:
            self._write(lines)
        except OSError as error:
            _log.error("a refusal is not in the audit log: %s", error)

    def newest(self, limit: int, max_bytes: int) -> list[str]:
        """The newest lines of this instance, newest first: others may share the file.

        Raises:
            OSError: the log cannot be read.
        """
        found: list[str] = []
        ours = f'"instance":{json.dumps(self._place.instance)}'.encode()
        for line in self._log.lines():
            if ours not in line:
                continue
            max_bytes -= len(line)
            if len(found) >= limit or max_bytes < 0:
                break
            found.append(line.decode("utf-8", "replace"))
        return found

    def _write(self, lines: list[dict[str, Any]]) -> None:
        try:
            if not self._recovered:
                self._owed[:0] = self._unended()
                self._recovered = True
            owed = len(self._owed)
            self._log.append([*self._owed, *lines])
            del self._owed[:owed]
        except OSError as error:
            why = error.strerror or str(error)
            self.problem = f"the audit log {self._log.place} cannot be written ({why}); no change is made until it can"
            raise
        self.problem = ""

    def _unended(self) -> list[dict[str, Any]]:
        """Outcomes for attempts of this instance that its last gateway began and never ended."""
        ended: set[str] = set()
        found: list[dict[str, Any]] = []
        for number, line in enumerate(self._log.lines()):
            if number >= LOOK_BACK_LINES:
                break
            try:
                told = json.loads(line)
                instance, event, attempt_id = told["instance"], told["event"], told["id"]
            except (ValueError, KeyError, TypeError):
                continue  # not a line of ours: shown as it is, understood by nobody
            if instance != self._place.instance or self._place.is_ours(str(attempt_id)):
                continue
            if event == "outcome":
                ended.add(attempt_id)
            elif attempt_id not in ended:
                why = "the gateway ended before it heard what came of it"
                found.append(self._place.outcome(attempt_id, [], 0.0, why, "UNKNOWN"))
        found.reverse()
        return found
