"""What the client raises.

    ClientError
    ├── UsageError (ValueError)            what was asked for cannot be; nothing was sent
    │   ├── TargetSyntaxError              an address that is none
    │   ├── ChangeSetError                 a change-set file that is wrong, with file and key
    │   ├── SourceError                    a file or package that cannot be sent
    │   └── CredentialsError               certificates, keys or a token that cannot be used
    ├── NoTargetError (LookupError)        nothing to speak to
    ├── DeclinedError                      the operator was asked and said no; nothing was sent
    └── ProcessFailedError                 one process failed: Client and raise_for_failures()
        ├── UnreachableError (ConnectionError)
        ├── DeadlineError (TimeoutError)
        ├── DeniedError (PermissionError)
        ├── RefusedError                   nothing was touched
        ├── AmbiguousProcessError          several processes where one was meant
        └── UncertainError                 a change was sent and no answer came

A target that fails never raises out of a fleet call: it is a row. `raise_for_failures()` and `Client` raise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.results import Row


class ClientError(Exception):
    """The root of everything that modctl.client raises by itself."""


class UsageError(ClientError, ValueError):
    """What was asked for cannot be; nothing was sent."""


class TargetSyntaxError(UsageError):
    """An address that is none.

    Args:
        target: what was written.
        problem: what is wrong with it; says the cure.
    """

    def __init__(self, target: str, problem: str) -> None:
        super().__init__(f"target {target!r}: {problem}")
        self.target = target


class ChangeSetError(UsageError):
    """A change-set file that is wrong.

    Args:
        file: the file's name as it was given.
        key: where in it: operations[2].inject.file; empty where the file as a whole is meant.
        problem: what is wrong; says the cure.
    """

    def __init__(self, file: str, key: str, problem: str) -> None:
        super().__init__(f"{file}: {key}: {problem}" if key else f"{file}: {problem}")
        self.file = file
        self.key = key


class SourceError(UsageError):
    """A file, directory or archive that cannot be sent.

    Args:
        file: its name.
        problem: what is wrong; says the cure.
    """

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(f"{file}: {problem}")
        self.file = file


class CredentialsError(UsageError):
    """Certificates, keys or a token that cannot be used.

    Args:
        setting: the flag that named it.
        problem: what is wrong; says the cure.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting


class NoTargetError(ClientError, LookupError):
    """There is nothing to speak to."""


class DeclinedError(ClientError):
    """The operator was asked and said no; nothing was sent."""


class ProcessFailedError(ClientError):
    """One or more processes failed.

    Args:
        rows: the rows that failed; one for `Client`.
    """

    def __init__(self, rows: Sequence[Row[object]]) -> None:
        shown = [f"{row.where}: {row.outcome}: {row.why}" for row in rows[:5]]
        if len(rows) > len(shown):
            shown.append(f"and {len(rows) - len(shown)} more")
        super().__init__("; ".join(shown))
        self.rows = tuple(rows)

    @staticmethod
    def of(rows: Sequence[Row[object]]) -> ProcessFailedError:
        """The narrowest error that says what all these rows have in common."""
        if all(row.error is not None and row.error.reason == "PROCESS_AMBIGUOUS" for row in rows):
            return AmbiguousProcessError(rows)
        kinds = {_BY_OUTCOME.get(row.outcome, ProcessFailedError) for row in rows}
        return kinds.pop()(rows) if len(kinds) == 1 else ProcessFailedError(rows)


class UnreachableError(ProcessFailedError, ConnectionError):
    """No connection could be had; nothing was sent."""


class DeadlineError(ProcessFailedError, TimeoutError):
    """No answer came in time."""


class DeniedError(ProcessFailedError, PermissionError):
    """Who asked may not."""


class RefusedError(ProcessFailedError):
    """Policy or a precondition forbids it; nothing was touched."""


class AmbiguousProcessError(ProcessFailedError):
    """Several processes are behind the target and one was meant."""


class UncertainError(ProcessFailedError):
    """A change was sent and no answer came: it may be there or not. `list` or `history` tells."""


_BY_OUTCOME: dict[str, type[ProcessFailedError]] = {
    "UNREACHABLE": UnreachableError,
    "TIMED_OUT": DeadlineError,
    "DENIED": DeniedError,
    "REFUSED": RefusedError,
    "UNKNOWN": UncertainError,
}
