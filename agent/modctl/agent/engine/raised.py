"""An exception of a user's module as data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.safe import clean, text, type_name

if TYPE_CHECKING:
    from types import TracebackType

MAX_MESSAGE_CHARACTERS: Final = 4_000
MAX_TRACEBACK_CHARACTERS: Final = 32_000
_OWN_FOLDER: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep


def python_error(error: BaseException) -> dict[str, Any]:
    """The fields of modctl.v1.PythonError. Runs the exception's `__str__`: call it where users' code may run."""
    import traceback

    message = _message(error)
    fields: dict[str, Any] = {"type": clean(type_name(type(error))), "message": message}
    try:
        error = error.with_traceback(_without_our_frames(error.__traceback__))
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        fields["traceback"] = _cut(clean("".join(lines)), MAX_TRACEBACK_CHARACTERS)
    except BaseException as failure:  # noqa: BLE001 - formatting asks the foreign exception for its text
        fields["traceback"] = f"the traceback cannot be shown: {type_name(type(failure))}"
    if isinstance(error, SyntaxError):
        fields["file"] = clean(text(error.filename))
        for field, value in (("line", error.lineno), ("column", error.offset)):
            if type(value) is int and value > 0:
                fields[field] = value
    return fields


def _message(error: BaseException) -> str:
    try:
        return _cut(clean(text(str(error))), MAX_MESSAGE_CHARACTERS)
    except BaseException as failure:  # noqa: BLE001 - str() of a foreign exception may raise anything
        return f"its text cannot be had: {type_name(type(failure))} in __str__"


def _cut(value: str, limit: int) -> str:
    return value if len(value) <= limit else value[: limit // 2] + "\n…\n" + value[-limit // 2 :]


def _without_our_frames(found: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that is neither ours nor the import system's."""
    first = found
    while first is not None:
        filename = first.tb_frame.f_code.co_filename
        if not filename.startswith((_OWN_FOLDER, "<frozen importlib")):
            return first
        first = first.tb_next
    return found
