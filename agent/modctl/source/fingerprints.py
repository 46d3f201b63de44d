"""Fingerprints of statements: equal ones behave the same wherever they stand.

`text` covers the whole syntax tree without positions. `mask` leaves out the bodies of functions and lambdas: two
statements of equal mask differ in nothing that runs when the statement runs, so swapping code objects is enough.
"""

from __future__ import annotations

import ast
from hashlib import blake2b

#: Fields that say nothing about what runs.
_SKIPPED = frozenset({"ctx", "type_comment", "type_ignores", "kind"})


def fingerprint(node: ast.AST) -> str:
    """Equal for trees that differ in positions only."""
    parts: list[str] = []
    _write(node, parts, [])
    return _digest(parts)


def fingerprint_and_mask(node: ast.AST) -> tuple[str, str]:
    """The fingerprint, and what is equal for trees that differ in positions and in bodies of functions only."""
    parts: list[str] = []
    bodies: list[tuple[int, int]] = []
    _write(node, parts, bodies)
    text = _digest(parts)
    if not bodies:
        return text, text
    masked: list[str] = []
    end_before = 0
    for begin, end in bodies:
        masked += parts[end_before:begin]
        end_before = end
    return text, _digest(masked + parts[end_before:])


def _digest(parts: list[str]) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _write(value: object, parts: list[str], bodies: list[tuple[int, int]]) -> None:
    """Writes a tree out in prefix form; every list and node says how long it is, so that no two trees read alike.

    Args:
        value: the tree.
        parts: where it is written to.
        bodies: where it is noted which parts are bodies of functions, the outermost only, in order.
    """
    if isinstance(value, ast.AST):
        kind = type(value)
        parts.append(kind.__name__)
        is_function = kind is ast.FunctionDef or kind is ast.AsyncFunctionDef or kind is ast.Lambda
        for name in value._fields:
            if name in _SKIPPED:
                continue
            child = getattr(value, name, None)
            if type(child) is str:  # most fields: identifiers
                parts.append(child)
            elif is_function and name == "body":
                begin = len(parts)
                _write(child, parts, [])
                bodies.append((begin, len(parts)))
            else:
                _write(child, parts, bodies)
    elif type(value) is list:
        parts.append(f"[{len(value)}")
        for item in value:
            _write(item, parts, bodies)
    else:
        # repr tells 1, True and 1.0 apart, and 0.0 from -0.0.
        parts.append(f"{type(value).__name__}:{value!r}" if value is not None else "")
