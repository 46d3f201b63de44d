"""Whether a module's code does nothing that could wait, loop or run anybody's code.

Such code only makes functions and classes without bases and binds them and constants to names: it needs no thread of
its own to be executed within a time limit. The bytecode says so at a glance; the syntax tree would cost more to make
than is saved. Whatever is not known here is not straight.
"""

from __future__ import annotations

from opcode import opmap
from types import CodeType
from typing import Final

_EXTENDED: Final = opmap["EXTENDED_ARG"]
_BUILD_CLASS: Final = opmap["LOAD_BUILD_CLASS"]
_LOAD_NAME: Final = opmap["LOAD_NAME"]
_LOAD_CONST: Final = opmap["LOAD_CONST"]
_LIST_EXTEND: Final = opmap["LIST_EXTEND"]
_BUILD_MAP: Final = opmap["BUILD_MAP"]
#: Python 3.10 has one, 3.11 two for each call.
_CALLS: Final = frozenset(opmap[name] for name in ("CALL_FUNCTION", "PRECALL", "CALL") if name in opmap)
_CALL: Final = opmap.get("CALL", opmap.get("CALL_FUNCTION", -1))
#: `class Name:` is a call with the body and the name; a base or a keyword would be one more.
_CLASS_ARGUMENTS: Final = 2
_STRAIGHT: Final = frozenset(
    opmap[name]
    for name in (
        *("CACHE", "RESUME", "NOP", "EXTENDED_ARG", "PUSH_NULL", "POP_TOP", "COPY", "DUP_TOP", "MAKE_CELL"),
        *("LOAD_CONST", "LOAD_NAME", "STORE_NAME", "LOAD_CLOSURE", "LOAD_FAST", "RETURN_VALUE", "RETURN_CONST"),
        *("MAKE_FUNCTION", "SET_FUNCTION_ATTRIBUTE", "LOAD_BUILD_CLASS", "PRECALL", "CALL", "CALL_FUNCTION"),
        *("BUILD_TUPLE", "BUILD_LIST", "LIST_EXTEND", "BUILD_MAP", "BUILD_CONST_KEY_MAP"),
    )
    if name in opmap
)


def is_straight(code: CodeType) -> bool:
    """Whether executing a module's code can neither wait nor loop nor run anybody's code; False where that is not sure.

    Args:
        code: a module's, of this interpreter's version.
    """
    return _is_straight(code, in_class=False)


def _is_straight(code: CodeType, *, in_class: bool) -> bool:
    raw = code.co_code
    if not _STRAIGHT.issuperset(raw[::2]):
        return False
    bodies: list[CodeType] = []
    classes = calls = before = 0
    is_body = False
    for at in range(0, len(raw), 2):
        operation, argument = raw[at], raw[at + 1]
        if operation in _CALLS:
            if argument != _CLASS_ARGUMENTS or before == _EXTENDED:
                return False
            calls += operation == _CALL
        elif operation == _BUILD_CLASS:
            classes += 1
            is_body = True
        elif operation == _LIST_EXTEND and before != _LOAD_CONST:
            return False  # it iterates over whatever that is
        elif operation == _BUILD_MAP and argument:
            return False  # it hashes whatever that is
        elif operation == _LOAD_NAME and in_class and (before == _EXTENDED or code.co_names[argument] != "__name__"):
            return False  # what a class has in it is asked for `__set_name__`
        elif operation == _LOAD_CONST and is_body and type(code.co_consts[argument]) is CodeType:
            if before == _EXTENDED:
                return False
            bodies.append(code.co_consts[argument])
            is_body = False
        before = operation
    return classes == calls == len(bodies) and all(_is_straight(body, in_class=True) for body in bodies)
