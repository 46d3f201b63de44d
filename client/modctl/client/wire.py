"""What every answer needs to be read: the short names of enums, and failures."""

from __future__ import annotations

from typing import Any

from modctl.client.results import Failure
from modctl.v1 import error_pb2, module_pb2


def short_names(enum: Any, prefix: str) -> dict[int, str]:
    """Number to short name: MODULE_KIND_SOURCE is SOURCE. Zero, which says nothing, is ""."""
    return {number: "" if number == 0 else name.removeprefix(prefix) for name, number in enum.items()}


KINDS = short_names(module_pb2.ModuleKind, "MODULE_KIND_")
STATES = short_names(module_pb2.ModuleState, "MODULE_STATE_")


def failure(detail: error_pb2.ErrorDetail) -> Failure:
    """A process's or a call's ErrorDetail."""
    return Failure(
        code=detail.code or "UNKNOWN",
        reason=detail.reason or detail.code or "UNKNOWN",
        message=detail.message or detail.reason or detail.code or "no reason was given",
        metadata=dict(detail.metadata),
    )


def failure_from_bytes(detail: bytes) -> Failure | None:
    """The trailer's ErrorDetail; None where there is none that can be read."""
    from google.protobuf.message import DecodeError

    if not detail:
        return None
    try:
        return failure(error_pb2.ErrorDetail.FromString(detail))
    except DecodeError:
        return None  # gRPC's own code and words are told instead
