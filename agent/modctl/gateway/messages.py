"""From an agent's JSON to messages of modctl.v1."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf import json_format
from modctl.gateway.errors import CallFailure, clean

if TYPE_CHECKING:
    from google.protobuf.message import Message

MessageT = TypeVar("MessageT", bound="Message")


def make(message_class: type[MessageT], body: dict[str, Any]) -> MessageT:
    """A message whose fields are the body's keys.

    Keys that start with an underscore, and keys that this version does not know, are left out.

    Raises:
        CallFailure: the body is no such message even so (BAD_ANSWER).
    """
    try:
        return message_class(**{key: value for key, value in body.items() if not key.startswith("_")})
    except (ValueError, TypeError):  # an unknown key or enum value of a newer agent, or a lone surrogate
        pass
    try:
        known = _known(_cleaned(body), message_class.DESCRIPTOR)
        return json_format.ParseDict(known, message_class(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
        raise bad_answer(f"{message_class.__name__}: {error}") from error


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a frame.

    Raises:
        CallFailure: it is none (BAD_ANSWER).
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_answer(str(error)) from error
    if not isinstance(found, dict):
        raise bad_answer(f"a JSON object was expected, not {type(found).__name__}")
    return found


def bad_answer(problem: str) -> CallFailure:
    """The failure of a process whose answer cannot be understood."""
    return CallFailure("INTERNAL", "BAD_ANSWER", f"the process's answer cannot be understood: {problem}")


def _known(value: Any, message: Any) -> Any:
    """The value without enum values that the message (a Descriptor) has not: protobuf 4 does not pass over them."""
    if not isinstance(value, dict):
        return value
    if message.GetOptions().map_entry:
        of_values = message.fields_by_name["value"].message_type
        return {key: _known(one, of_values) for key, one in value.items()} if of_values is not None else value
    kept = {}
    for key, one in value.items():
        field = message.fields_by_name.get(key) or message.fields_by_camelcase_name.get(key)
        if field is not None and field.enum_type is not None:
            names = field.enum_type.values_by_name
            if isinstance(one, list):
                one = [each for each in one if not isinstance(each, str) or each in names]
            elif isinstance(one, str) and one not in names:
                continue
        elif field is not None and field.message_type is not None:
            inner = field.message_type
            one = [_known(each, inner) for each in one] if isinstance(one, list) else _known(one, inner)
        kept[key] = one
    return kept


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(one) for one in value]
    if isinstance(value, dict):
        return {clean(key): _cleaned(one) for key, one in value.items()}
    return value
