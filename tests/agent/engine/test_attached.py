"""Code that is attached to a request: it comes from where the request says, or the request is refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from modctl.agent.engine.operations import Inject, parse
from modctl.agent.errors import RequestError
from modctl.local.frames import ATTACHMENTS


def parsed(code: Any, attached: bytes | None, data: Any = None) -> Inject:
    module = {"name": "a", "source": "X = 1\n", "code": code}
    request: dict[str, Any] = {"operations": [{"inject": {"name": "a", "modules": [module], "data": data or {}}}]}
    if attached is not None:
        request[ATTACHMENTS] = memoryview(attached)
    [operation] = parse(request).operations
    assert isinstance(operation, Inject)
    return operation


@pytest.mark.parametrize(
    ("code", "attached", "expected"),
    [
        ([2, 3], b"abcdefg", b"cde"),
        ([0, 7], b"abcdefg", b"abcdefg"),
        ([7, 0], b"abcdefg", b""),
        (base64.b64encode(b"xyz").decode(), b"abcdefg", b"xyz"),
        (base64.b64encode(b"xyz").decode(), None, b"xyz"),
        (None, b"abc", b""),
        ("", None, b""),
    ],
)
def test_code_is_taken_from_where_it_is(code: Any, attached: bytes | None, expected: bytes) -> None:
    assert parsed(code, attached).modules[0].code == expected


@pytest.mark.parametrize(
    "code",
    [[0, 8], [-1, 2], [8, 0], [1, -1], [1 << 70, 1], [0, 1 << 70], [0], [0, 1, 2], [0, "1"], [0, 1.0], [True, 1],
     {"0": 1}, 3, 0, False, "no base64"],
)  # fmt: skip
def test_any_other_place_is_refused(code: Any) -> None:
    with pytest.raises(RequestError) as failed:
        parsed(code, b"abcdefg")
    assert failed.value.reason == "BAD_REQUEST"
    if isinstance(code, list):
        with pytest.raises(RequestError):
            parsed(code, None)


def test_data_files_are_never_taken_from_there() -> None:
    """They are signed as they stand in the request; see modctl.agent.trusted."""
    with pytest.raises(RequestError):
        parsed("", b"abcdefg", data={"x.bin": [0, 2]})
