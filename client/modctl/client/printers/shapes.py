"""Results as plain data, in the shapes of the public JSON contract."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from modctl.client.facts import ChangeResult, Module, ModuleChange, ModuleDetail, ModuleEvent, Process, Revision
from modctl.client.printers.module_shape import timestamp


def body(value: object) -> dict[str, Any]:
    """What the value adds to the result."""
    if value is None:
        return {}
    if isinstance(value, ChangeResult):
        return change(value)
    if isinstance(value, ModuleDetail):
        return detail(value)
    if isinstance(value, Process):
        return process(value)
    if isinstance(value, tuple):
        return {"revisions": [revision(each) for each in value]}
    raise AssertionError(f"no shape for {type(value).__name__}")


def module(value: Module) -> dict[str, Any]:
    """An entry: the first eight keys always, the others where they say something."""
    shape = _plain(value)
    for key in ("import_ms", "import_self_ms", "size_bytes"):
        if shape[key] is None:
            del shape[key]
        elif key != "size_bytes":
            shape[key] = round(shape[key], 3)
    expires = shape.pop("expires_at_unix_s")
    for key in ("alias_of", "initializing"):
        if not shape[key]:
            del shape[key]
    return shape if expires is None else {**shape, "expires_at": timestamp(expires)}


def detail(value: ModuleDetail) -> dict[str, Any]:
    """Everything about one entry."""
    shape: dict[str, Any] = {
        "module": module(value.module),
        "spec": None if value.spec is None else _plain(value.spec),
        "importers": list(value.importers),
        "exports": [_plain(each) for each in value.exports],
        "holders": [_plain(each) for each in value.holders],
        "history": [revision(each) for each in value.history],
    }
    if value.source is not None:
        shape["source"] = value.source
    if value.source_error:
        shape["source_error"] = value.source_error
    if value.attributes:
        shape["attributes"] = [_plain(each) for each in value.attributes]
    if value.locks:
        shape["locks"] = [_plain(each) for each in value.locks]
    return shape


def change(value: ChangeResult) -> dict[str, Any]:
    """What a change set did to one process. The outcome stands in the head."""
    shape: dict[str, Any] = {
        "revision": value.revision,
        "undoable": value.undoable,
        "duration_ms": round(value.duration_ms, 3),
        "paused_ms": round(value.paused_ms, 3),
        "modules": [module_change(each) for each in value.modules],
        "request_id": value.request_id,
    }
    if value.message:
        shape["message"] = value.message
    if value.side_effects:
        shape["side_effects"] = list(value.side_effects)
    if value.shield_wait_ms:
        shape["shield_wait_ms"] = round(value.shield_wait_ms, 3)
    if value.confirm_by_unix_s:
        shape["confirm_by"] = timestamp(value.confirm_by_unix_s)
    if value.old_code:
        shape["old_code"] = list(value.old_code)
    return shape


def module_change(value: ModuleChange) -> dict[str, Any]:
    """What a change did to one entry; what it has nothing to say about is left out."""
    shape: dict[str, Any] = {"name": value.name, "action": value.action, "tier": value.tier or None}
    shape["before"] = None if value.before is None else _plain(value.before)
    shape["after"] = None if value.after is None else _plain(value.after)
    if value.symbols is not None:
        shape["symbols"] = _plain(value.symbols)
    if value.stale:
        shape["stale"] = [_plain(each) for each in value.stale]
    if value.refusal is not None:
        shape["refusal"] = _plain(value.refusal)
    if value.error is not None:
        shape["error"] = {key: part for key, part in _plain(value.error).items() if part or key in ("type", "message")}
    if value.action == "IMPORT":
        shape["cached"] = value.cached
        shape["import_ms"] = round(value.import_ms, 3)
    elif value.import_ms:
        shape["import_ms"] = round(value.import_ms, 3)
    return shape


def process(value: Process) -> dict[str, Any]:
    """One agent; what stands in the head is left out."""
    shape = _plain(value)
    for key in ("id", "service", "pid"):
        del shape[key]
    shape["uptime_s"] = round(max(0.0, time.time() - value.started_at_unix_s), 1)
    return shape


def revision(value: Revision) -> dict[str, Any]:
    """A committed change set. 0 in `undoes` and `undone_by` means: none."""
    shape: dict[str, Any] = {
        "revision": value.number,
        "committed_at": timestamp(value.committed_at_unix_s),
        "identity": value.identity,
        "reason": value.reason,
        "modules": [module_change(each) for each in value.modules],
        "undoable": value.undoable,
        "undoes": value.undoes,
        "undone_by": value.undone_by,
        "request_id": value.request_id,
    }
    if value.expires_at_unix_s is not None:
        shape["expires_at"] = timestamp(value.expires_at_unix_s)
    if value.confirm_by_unix_s is not None:
        shape["confirm_by"] = timestamp(value.confirm_by_unix_s)
    return shape


def event(value: ModuleEvent) -> dict[str, Any]:
    """One change of a module table."""
    return {
        "target": value.target,
        "process": value.process,
        "service": value.service,
        "pid": value.pid,
        "type": value.type,
        "seen_at": timestamp(value.seen_at_unix_s),
        "revision": value.revision,
        "module": module(value.module),
    }


def _plain(value: Any) -> dict[str, Any]:
    """A flat dataclass as a dict."""
    shape: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        shape[field.name] = list(part) if isinstance(part, tuple) else dict(part) if isinstance(part, dict) else part
    return shape
