"""Attribute values as text: plain data is shown, of everything else only its type, and no foreign repr is called."""

from __future__ import annotations

from typing import Any, Final

from modctl.agent.engine.safe import MISSING, clean, is_exactly, module_dict, type_name

MAX_CHARACTERS: Final = 10_000
MAX_DEPTH: Final = 6
MAX_ITEMS: Final = 200
_MAX_INT_BITS: Final = 4_000
_BRACKETS: Final[dict[Any, Any]] = {list: "[]", tuple: "()", set: "{}", frozenset: ("frozenset({", "})")}


class _Cut(Exception):  # noqa: N818 - ends a walk
    """The text is long enough."""


class Writer:
    """Writes one value within bounds."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self.truncated = False

    def write(self, value: object) -> str:
        """The text of a value."""
        try:
            self._value(value, 0)
        except _Cut:
            self.truncated = True
        return clean("".join(self._parts))[:MAX_CHARACTERS]

    def _add(self, part: str) -> None:
        self._parts.append(part)
        self._length += len(part)
        if self._length > MAX_CHARACTERS:
            raise _Cut

    def _value(self, value: Any, depth: int) -> None:
        kind = type(value)
        if value is None or is_exactly(kind, bool, float, complex):
            self._add(repr(value))
        elif kind is int:
            self._add(repr(value) if value.bit_length() <= _MAX_INT_BITS else f"<int of {value.bit_length()} bits>")
        elif is_exactly(kind, str, bytes, bytearray):
            if len(value) > MAX_CHARACTERS:
                self.truncated = True
                value = value[:MAX_CHARACTERS]
            self._add(repr(value))
        elif kind is dict:
            self._items(value, depth)
        elif is_exactly(kind, *_BRACKETS):
            if not value and is_exactly(kind, set, frozenset):
                self._add(f"{kind.__name__}()")
                return
            opening, closing = _BRACKETS[kind]
            self._members(opening, list(value), ",)" if kind is tuple and len(value) == 1 else closing, depth)
        else:
            self._add(f"<{type_name(kind)}>")

    def _members(self, opening: str, members: list[Any], closing: str, depth: int) -> None:
        self._add(opening)
        if depth >= MAX_DEPTH and members:
            self.truncated = True
            self._add("…")
        else:
            for index, member in enumerate(members):
                if index:
                    self._add(", ")
                if index >= MAX_ITEMS:
                    self.truncated = True
                    self._add(f"… {len(members) - index} more")
                    break
                self._value(member, depth + 1)
        self._add(closing)

    def _items(self, value: dict[Any, Any], depth: int) -> None:
        items = list(dict.items(value))
        self._add("{")
        for index, (key, member) in enumerate(items):
            if index:
                self._add(", ")
            if index >= MAX_ITEMS or depth >= MAX_DEPTH:
                self.truncated = True
                self._add(f"… {len(items) - index} more")
                break
            self._value(key, depth + 1)
            self._add(": ")
            self._value(member, depth + 1)
        self._add("}")


def attribute_value(candidate: object, name: str) -> dict[str, Any]:
    """The fields of modctl.v1.AttributeValue for one attribute as it stands in the namespace: no `__getattr__` is
    asked.
    """
    namespace = module_dict(candidate)
    if namespace is None:
        return {"name": clean(name), "error": "the entry is no module and has no namespace"}
    value = namespace.get(name, MISSING)
    if value is MISSING:
        return {"name": clean(name), "error": f"the module has no attribute {clean(name)!r}"}
    writer = Writer()
    shown = writer.write(value)
    return {"name": clean(name), "type": clean(type_name(type(value))), "value": shown, "truncated": writer.truncated}
