"""The private protocol between an agent and its gateway: frames on a unix stream socket.

A frame is a header (`!IIB`: length of the body in bytes, request id, flags) and a body of UTF-8 JSON. Keys in bodies
are the proto field names of modctl.v1 and enum values are their proto names, so that the gateway makes messages with
`Message(**body)`; keys that start with an underscore are for the gateway itself and never become message fields.

Id 0 is the connection's own: the agent's hello, the gateway's welcome, and pings either way. Every other id belongs to
a request of the gateway. The agent answers with one or more frames of the same id, the last one flagged LAST; a
failure is a frame flagged ERR|LAST whose body is an ErrorDetail. A request of the gateway flagged CANCEL ends that id:
the agent stops and sends nothing more for it.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

HEADER: Final = struct.Struct("!IIB")
#: Bumped when an old peer would misunderstand a new one. Unknown keys are ignored, so new keys need no bump.
PROTOCOL_VERSION: Final = 1
#: Largest body in bytes, either way: a request of 16 MiB grows by a third in base64.
MAX_BODY_BYTES: Final = 24 * 1024 * 1024
#: Rows in one batch of a listing: measured best between time and the service's stalls.
BATCH_ROWS: Final = 500

#: What stands between a request's JSON and the bytes that it refers to by offset and length, as an agent understands
#: that says `"attachments": true` in its hello. JSON has none of it.
ATTACHED: Final = b"\0"
#: Where parse_body() puts them.
ATTACHMENTS: Final = "_attachments"

#: The body is not JSON but bytes to pass on as they are.
RAW: Final = 1
#: No frame of this id follows.
LAST: Final = 2
#: The body is an ErrorDetail.
ERR: Final = 4
#: The gateway gives the request up.
CANCEL: Final = 8


class FrameError(ValueError):
    """A peer sent what is no frame."""


class Frame(NamedTuple):
    """One frame, taken apart."""

    request_id: int
    flags: int
    body: bytes


def encode(request_id: int, flags: int, body: bytes) -> bytes:
    """The bytes of a frame.

    Raises:
        FrameError: the body is larger than MAX_BODY_BYTES.
    """
    if len(body) > MAX_BODY_BYTES:
        raise FrameError(f"a frame's body of {len(body)} bytes is over the limit of {MAX_BODY_BYTES}")
    return HEADER.pack(len(body), request_id, flags) + body


class Decoder:
    """Takes a stream of bytes apart into frames, however it is cut."""

    __slots__ = ("_buffer", "_max_body_bytes")

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._buffer = bytearray()
        self._max_body_bytes = max_body_bytes

    def feed(self, data: bytes | memoryview) -> list[Frame]:
        """The frames that are complete with these bytes.

        Raises:
            FrameError: the header announces more than the limit; the connection is useless from here on.
        """
        buffer = self._buffer
        if buffer:
            buffer += data
        # Most often a frame comes whole and alone: it is taken from where it lies.
        come = buffer or data
        frames: list[Frame] = []
        offset = 0
        while len(come) - offset >= HEADER.size:
            length, request_id, flags = HEADER.unpack_from(come, offset)
            if length > self._max_body_bytes:
                raise FrameError(f"a frame announces {length} bytes, the limit is {self._max_body_bytes}")
            end = offset + HEADER.size + length
            if len(come) < end:
                break
            with memoryview(come) as whole, whole[offset + HEADER.size : end] as part:
                body = bytes(part)
            frames.append(Frame(request_id, flags, body))
            offset = end
        if come is buffer:
            del buffer[:offset]
        else:
            buffer += come[offset:]
        return frames
