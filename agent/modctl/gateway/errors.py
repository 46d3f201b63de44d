"""What goes wrong in the gateway.

GatewayError
├── ClaimError (OSError)     the instance's directory or sockets cannot be had
│   └── TakenError           another gateway has the instance
├── CallFailure              a call, or one process's part of it, has no answer: becomes an ErrorDetail
├── ListenError (OSError)    an address cannot be served, or not safely
├── SourceError (ValueError)   source cannot be decoded or compiled
└── ContentRefusedError      what a request carries cannot be used: each process's result is a refusal

Archives that are not safe are modctl.local.archives.ArchiveError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modctl.v1 import error_pb2

DOMAIN: Final = "modctl.v1"
#: Metadata of a failure that came before the process was asked: whatever its code says elsewhere, nothing was done.
NOT_ASKED: Final = {"asked": "no"}
#: What an ErrorDetail may weigh in a trailer, in bytes: HTTP/2 metadata is limited to 8 KiB by default.
DETAIL_BYTES: Final = 4096
MESSAGE_CHARACTERS: Final = 1024


class GatewayError(Exception):
    """The root of everything that modctl.gateway raises by itself."""


class ClaimError(GatewayError, OSError):
    """The instance's directory or sockets cannot be had."""


class TakenError(ClaimError):
    """Another gateway has the instance."""

    def __init__(self, instance_dir: str) -> None:
        super().__init__(f"another gateway serves {instance_dir}")


class ListenError(GatewayError, OSError):
    """An address cannot be served, or not safely; says the cure."""

    def __init__(self, address: str, problem: str, cure: str) -> None:
        super().__init__(f"{address} is not served: {problem}; {cure}")
        self.address = address


class SourceError(GatewayError, ValueError):
    """Source cannot be decoded or compiled.

    Args:
        type_name: the exception's type as Python names it: SyntaxError.
        message: what it says.
        traceback: as Python would print it.
        file: the file's name.
        line: from 1; 0 where it is not known.
        column: from 1; 0 where it is not known.
    """

    def __init__(
        self, type_name: str, message: str, file: str, line: int = 0, column: int = 0, traceback: str = ""
    ) -> None:
        super().__init__(f"{file}:{line}: {type_name}: {message}")
        self.type_name = type_name
        self.message = message
        self.file = file
        self.line = max(line, 0)
        self.column = max(column, 0)
        self.traceback = traceback or f"{type_name}: {message}"

    def to_message(self) -> error_pb2.PythonError:
        """As modctl.v1 says it."""
        from modctl.v1 import error_pb2

        return error_pb2.PythonError(
            type=clean(self.type_name),
            message=clean(self.message),
            traceback=clean(self.traceback),
            file=clean(self.file),
            line=self.line,
            column=self.column,
        )


class Fault(NamedTuple):
    """One entry's reason to be refused."""

    name: str
    action: str
    reason: str
    rule: str
    hint: str
    error: SourceError | None = None


class ContentRefusedError(GatewayError):
    """What a request carries cannot be used; nothing was sent to any process."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.name}: {fault.reason}: {fault.rule}" for fault in faults))
        self.faults = list(faults)


class CallFailure(GatewayError):  # noqa: N818 - what is told is the call's failure, not an error of the gateway
    """A call, or one process's part of it, has no answer.

    Args:
        code: a gRPC status code's name: NOT_FOUND.
        reason: a constant: PROCESS_NOT_FOUND.
        message: one sentence for people; says the cure where there is one.
        metadata: facts that the reason has.
    """

    def __init__(self, code: str, reason: str, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})

    def to_message(self) -> error_pb2.ErrorDetail:
        """As modctl.v1 says it; never larger than a trailer may be."""
        from modctl.v1 import error_pb2

        detail = error_pb2.ErrorDetail(
            reason=clean(self.reason),
            domain=DOMAIN,
            message=clean(self.message)[:MESSAGE_CHARACTERS],
            code=clean(self.code),
        )
        left = len(self.metadata)
        for key, value in self.metadata.items():
            room = DETAIL_BYTES - detail.ByteSize() - 32
            if len(key) + 4 * len(value) > room and len(key) + len(value.encode("utf-8", "replace")) > room:
                detail.metadata["more"] = str(left)
                break
            detail.metadata[clean(key)] = clean(value)
            left -= 1
        return detail


def clean(text: str) -> str:
    """Text that protobuf accepts: lone surrogates are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def bad_request(field: str, problem: str) -> CallFailure:
    """The failure of a request that nobody can serve."""
    return CallFailure("INVALID_ARGUMENT", "BAD_REQUEST", f"{field}: {problem}", {"field": field})
