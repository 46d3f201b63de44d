"""Code that a live function can be given when the new function's own cannot: it calls the new function.

Used where free variables differ (a method that newly uses `super()`), where a decorator came or went, and for
functions of the staged namespace that escaped into places that nobody can write to. Identity is kept: who holds the
old one calls the new one.
"""

from __future__ import annotations

import inspect
from types import CodeType, FunctionType
from typing import Any

from modctl.source.codes import kind_flags

_TARGET_CONSTANT = 0x6D6F6463746C  # never folded into anything: it is stored to a variable first
_COROUTINE, _GENERATOR = inspect.CO_COROUTINE, inspect.CO_GENERATOR


class CannotForwardError(Exception):
    """A function's free variables have names that no source can spell."""


def forwarding_code(live: FunctionType, target: Any) -> CodeType:
    """Code with the live function's free variables that calls `target`, which it keeps alive.

    Raises:
        CannotForwardError: the free variables cannot be written in source (type parameters).
    """
    free = live.__code__.co_freevars
    if not all(name.isidentifier() for name in free):
        raise CannotForwardError(f"{live.__qualname__} has free variables {free!r}")
    kind = kind_flags(target.__code__) if type(target) is FunctionType else 0
    call = "target(*args, **kwargs)"
    head, body = "def", f"return {call}"
    if kind & _COROUTINE:
        head, body = "async def", f"return await {call}"
    elif kind & _GENERATOR:
        body = f"return (yield from {call})"
    lines = ["def outer():"]
    if free:
        lines.append(f"    {' = '.join(free)} = None")
    lines.append(f"    {head} forward(*args, **kwargs):")
    if free:
        lines.append(f"        if 0: {', '.join(free)}")  # makes them free variables and compiles to nothing
    lines += [f"        target = {_TARGET_CONSTANT}", f"        {body}"]
    module = compile("\n".join(lines), live.__code__.co_filename, "exec", dont_inherit=True)
    outer = next(const for const in module.co_consts if isinstance(const, CodeType))
    code = next(const for const in outer.co_consts if isinstance(const, CodeType))
    constants = tuple(target if const == _TARGET_CONSTANT and type(const) is int else const for const in code.co_consts)
    names: dict[str, Any] = {"co_qualname": live.__qualname__} if hasattr(code, "co_qualname") else {}
    return code.replace(
        co_consts=constants,
        co_name=live.__code__.co_name,
        co_firstlineno=live.__code__.co_firstlineno,
        **names,
    )


def target_of(function: FunctionType) -> Any:
    """What a forwarding function calls; None where it does not forward."""
    code = function.__code__
    if code.co_names or "target" not in code.co_varnames or not code.co_consts:
        return None
    for const in code.co_consts:
        if type(const) is FunctionType:
            return const
    return None
