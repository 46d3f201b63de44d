"""An exception of a user's module as data."""

from __future__ import annotations

import os
from typing import Any, Final

from modctl.agent.engine.safe import clean, text, type_name

MAX_MESSAGE_CHARACTERS: Final = 4_000
MAX_TRACEBACK_CHARACTERS: Final = 32_000
_OWN_FOLDER: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep


def python_error(error: BaseException) -> dict[str, Any]:
    """The fields of modctl.v1.PythonError. Runs the exception's `__str__`: call it where users' code may run."""
    fields: dict[str, Any] = {"type": clean(type_name(type(error))), "message": _message(error)}
    try:
        fields["traceback"] = _cut(clean(_formatted(error)), MAX_TRACEBACK_CHARACTERS)
    except BaseException as failure:  # noqa: BLE001 - formatting asks foreign exceptions for their text
        fields["traceback"] = f"the traceback cannot be shown: {type_name(type(failure))}"
    if isinstance(error, SyntaxError):
        fields["file"] = clean(text(error.filename))
        numbers = {"line": error.lineno, "column": error.offset}
        fields.update({field: number for field, number in numbers.items() if type(number) is int and number > 0})
    return fields


def _formatted(error: BaseException) -> str:
    """The traceback as Python prints it, without frames that are ours or the import system's."""
    import traceback

    told = traceback.TracebackException.from_exception(error)
    waiting: list[Any] = [told]
    while waiting:
        each = waiting.pop()
        if each is None:
            continue
        kept = [frame for frame in each.stack if not frame.filename.startswith((_OWN_FOLDER, "<frozen importlib"))]
        each.stack = traceback.StackSummary.from_list(kept)
        waiting += [each.__cause__, each.__context__, *(getattr(each, "exceptions", None) or ())]
    return "".join(told.format())


def _message(error: BaseException) -> str:
    try:
        return _cut(clean(text(str(error))), MAX_MESSAGE_CHARACTERS)
    except BaseException as failure:  # noqa: BLE001 - str() of a foreign exception may raise anything
        return f"its text cannot be had: {type_name(type(failure))} in __str__"


def _cut(value: str, limit: int) -> str:
    return value if len(value) <= limit else value[: limit // 2] + "\n…\n" + value[-limit // 2 :]
