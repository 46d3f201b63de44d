"""What still runs old code: frames of threads, suspended generators, coroutines and asynchronous generators.

A call that is under way goes on with the code it began with; that is Python's way and a good one. Whoever has to know
that the last of them is over waits here.
"""

from __future__ import annotations

import gc
import sys
import time
from types import AsyncGeneratorType, CodeType, CoroutineType, FunctionType, GeneratorType
from typing import TYPE_CHECKING, Any, Final

from modctl.agent import standby
from modctl.agent.engine.safe import class_dict, is_kind
from modctl.agent.primitives import get_ident, original

if TYPE_CHECKING:
    from collections.abc import Iterable

_sleep: Any = original(time, "sleep")
_LOOK_EVERY_S: Final = 0.05
_MAX_TOLD: Final = 50
_SUSPENDED: Final[dict[type, tuple[str, str, str]]] = {
    GeneratorType: ("gi_code", "gi_frame", "generator"),
    CoroutineType: ("cr_code", "cr_frame", "coroutine"),
    AsyncGeneratorType: ("ag_code", "ag_frame", "asynchronous generator"),
}


def codes_of(values: Iterable[object]) -> dict[int, CodeType]:
    """The code objects of functions and of classes' functions, with those inside them, by id."""
    found: dict[int, CodeType] = {}
    todo: list[Any] = list(values)
    seen: set[int] = set()
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        kind = type(value)
        if kind is CodeType:
            found[id(value)] = value
            todo += [each for each in value.co_consts if type(each) is CodeType]
        elif kind is FunctionType:
            todo.append(value.__code__)
            todo += [cell.cell_contents for cell in value.__closure__ or () if _is_function(cell)]
        elif kind in (staticmethod, classmethod):
            todo.append(value.__func__)
        elif kind is property:
            todo += [value.fget, value.fset, value.fdel]
        elif is_kind(value, type):
            todo += [each for each in class_dict(value).values() if type(each) is not type]
    return found


def old_codes(entries: Iterable[Any], old_modules: Iterable[tuple[str, dict[str, Any]]]) -> dict[int, CodeType]:
    """Code that a change replaced.

    Args:
        entries: of a journal of changes in place.
        old_modules: names and namespaces of modules that have other objects now.
    """
    found = codes_of(each.before for each in entries if type(each.before) is CodeType and each.after is not each.before)
    for name, namespace in old_modules:
        own = [
            value
            for value in list(namespace.values())
            if (type(value) is FunctionType and value.__module__ == name)
            or (is_kind(value, type) and class_dict(value).get("__module__") == name)
        ]
        found.update(codes_of(own))
    return found


def wait(codes: dict[int, CodeType], timeout_s: float) -> list[str]:
    """Waits until nothing runs these; who still does when the time is over, with the line."""
    deadline_s = time.monotonic() + timeout_s
    standby.before_waiting()
    while True:
        found = running(codes)
        if not found or time.monotonic() >= deadline_s:
            return found
        _sleep(min(_LOOK_EVERY_S, max(0.0, deadline_s - time.monotonic())))


def running(codes: dict[int, CodeType]) -> list[str]:
    """Who runs one of these now."""
    if not codes:
        return []
    on_stack: set[int] = set()
    found = on_stacks(codes, on_stack)
    for each in gc.get_objects():
        names = _SUSPENDED.get(type(each))
        if names is None or id(getattr(each, names[0])) not in codes:
            continue
        frame = getattr(each, names[1])
        if frame is not None and id(frame) not in on_stack:
            found.append(_told(frame.f_code, frame.f_lineno, f"a suspended {names[2]}"))
    return found[:_MAX_TOLD]


def on_stacks(codes: dict[int, CodeType], on_stack: set[int] | None = None) -> list[str]:
    """Which threads run one of these now.

    Args:
        codes: the codes, by id.
        on_stack: takes the ids of all frames that were looked at.
    """
    found: list[str] = []
    if not codes:
        return found
    tops = sys._current_frames()
    tops.pop(get_ident(), None)  # ours runs none of it, and a frame that holds itself would keep all that it has
    for ident, top in tops.items():
        frame: Any = top
        while frame is not None:
            if on_stack is not None:
                on_stack.add(id(frame))
            if id(frame.f_code) in codes:
                found.append(_told(frame.f_code, frame.f_lineno, f"thread {_thread_name(ident)}"))
            frame = frame.f_back
    return found


def has_suspended(codes: dict[int, CodeType]) -> bool:
    """Whether a generator or coroutine of one of these waits to go on. Looks at the heap, unless there are none."""
    return bool(codes) and any(
        id(getattr(each, names[0])) in codes and getattr(each, names[1]) is not None
        for each in gc.get_objects()
        if (names := _SUSPENDED.get(type(each))) is not None
    )


def _told(code: CodeType, line: int, where: str) -> str:
    return f"{where}: {getattr(code, 'co_qualname', code.co_name)} at {code.co_filename}:{line}"


def _is_function(cell: Any) -> bool:
    try:
        return type(cell.cell_contents) is FunctionType
    except ValueError:
        return False  # empty


def _thread_name(ident: int) -> str:
    threading = sys.modules.get("threading")
    thread = getattr(threading, "_active", {}).get(ident) if threading is not None else None
    return str(getattr(thread, "_name", "")) or str(ident)
