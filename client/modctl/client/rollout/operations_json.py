"""Change sets as plain data, so that a rollout's plan outlives the command that began it."""

from __future__ import annotations

import base64
import dataclasses
from typing import TYPE_CHECKING, Any

from modctl.client.errors import UsageError
from modctl.client.operations import ChangeOptions, Evict, Import, Inject, Reimport
from modctl.local.signing import Signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.operations import Operation

_KINDS: dict[str, type[Any]] = {"import": Import, "inject": Inject, "evict": Evict, "reimport": Reimport}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_BYTES = "base64"


def to_json(operations: Sequence[Operation]) -> list[dict[str, Any]]:
    """Each operation as {"kind": …, fields that are not at their default}."""
    return [_one(each) for each in operations]


def from_json(data: Sequence[dict[str, Any]]) -> list[Operation]:
    """The operations.

    Raises:
        UsageError: one of them is none.
    """
    operations: list[Operation] = []
    for each in data:
        kind = _KINDS.get(str(each.get("kind")))
        if kind is None:
            raise UsageError(f"a rollout's plan has an operation {each.get('kind')!r}, which this modctl does not know")
        try:
            operations.append(kind(**_fields(each)))
        except TypeError as error:
            raise UsageError(f"a rollout's plan has an operation that this modctl does not know: {error}") from error
    return operations


def options_to_json(options: ChangeOptions) -> dict[str, Any]:
    """Of a change's options what belongs to the change itself."""
    return {
        "override_protected": list(options.override_protected),
        "signatures": [
            {key: _plain(value, key) for key, value in each._asdict().items()} for each in options.signatures
        ],
    }


def options_from_json(data: dict[str, Any]) -> ChangeOptions:
    """The options.

    Raises:
        TypeError: there is something in them that this modctl does not know.
    """
    return ChangeOptions(
        override_protected=tuple(data.get("override_protected", ())),
        signatures=tuple(
            Signature(**{key: _back(value) for key, value in each.items()}) for each in data.get("signatures", ())
        ),
    )


def _one(operation: Operation) -> dict[str, Any]:
    fields: dict[str, Any] = {"kind": _NAMES[type(operation)]}
    for field in dataclasses.fields(operation):
        value = getattr(operation, field.name)
        if field.default is dataclasses.MISSING or value != field.default:
            fields[field.name] = _plain(value, field.name)
    return fields


def _fields(data: dict[str, Any]) -> dict[str, Any]:
    # What an operator gives as attributes is JSON already, whatever it looks like.
    return {key: value if key == "attributes" else _back(value) for key, value in data.items() if key != "kind"}


def _plain(value: Any, name: str) -> Any:
    if name == "attributes":
        return value
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, tuple):
        return [_plain(each, name) for each in value]
    if hasattr(value, "items"):
        return {key: _plain(each, name) for key, each in value.items()}
    return value


def _back(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {_BYTES} and isinstance(value[_BYTES], str):
            return base64.b64decode(value[_BYTES])
        return {key: _back(each) if isinstance(each, dict) else each for key, each in value.items()}
    return tuple(value) if isinstance(value, list) else value
