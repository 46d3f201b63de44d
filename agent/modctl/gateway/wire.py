"""The little of protobuf's wire format that is written by hand, where messages would be built only to be serialized."""

from __future__ import annotations

_LENGTH_DELIMITED = 2
_VARINT = 0


def varint(value: int) -> bytes:
    """A non-negative number."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a serialized message."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(content)) + content


def number_field(number: int, value: int) -> bytes:
    """A field of a non-negative number or an enum."""
    return varint(number << 3 | _VARINT) + varint(value)
