"""The head of every JSON result, and the shape of an entry, made from what came without facts in between."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from modctl.client import wire

if TYPE_CHECKING:
    from modctl.client.results import Row
    from modctl.v1 import module_pb2


def row_head(row: Row[Any]) -> dict[str, Any]:
    """What every result begins with; `error` only where there is one."""
    shape: dict[str, Any] = {
        "target": row.target,
        "process": row.process,
        "service": row.service,
        "pid": row.pid,
        "outcome": row.outcome,
    }
    if row.error is not None:
        shape["error"] = {"code": row.error.code, "reason": row.error.reason, "message": row.error.message}
        if row.error.metadata:
            shape["error"]["metadata"] = dict(row.error.metadata)
    return shape


def module_shape(message: module_pb2.Module) -> dict[str, Any]:
    """An entry: the first eight keys always, the others where they say something."""
    shape: dict[str, Any] = {
        "name": message.name,
        "kind": wire.KINDS.get(message.kind, str(message.kind)),
        "origin": message.origin,
        "package": message.package,
        "generation": message.generation,
        "digest": message.digest,
        "state": wire.STATES.get(message.state, str(message.state)),
        "order": message.order,
    }
    if message.HasField("import_ms"):
        shape["import_ms"] = round(message.import_ms, 3)
    if message.HasField("import_self_ms"):
        shape["import_self_ms"] = round(message.import_self_ms, 3)
    if message.HasField("size_bytes"):
        shape["size_bytes"] = message.size_bytes
    if message.alias_of:
        shape["alias_of"] = message.alias_of
    if message.initializing:
        shape["initializing"] = True
    if message.HasField("expires_at_unix_s"):
        shape["expires_at"] = timestamp(message.expires_at_unix_s)
    return shape


def timestamp(unix_s: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))
    return f"{whole}.{int(unix_s % 1 * 1000):03d}Z"
