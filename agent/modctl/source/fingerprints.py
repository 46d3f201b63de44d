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
    return _digest(node, masked=False)


def mask(node: ast.AST) -> str:
    """Equal for trees that differ in positions and in bodies of functions only."""
    return _digest(node, masked=True)


def _digest(node: ast.AST, *, masked: bool) -> str:
    parts: list[str] = []
    _write(node, parts, masked)
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _write(value: object, parts: list[str], masked: bool) -> None:
    """Writes a tree out in prefix form; every list and node says how long it is, so that no two trees read alike."""
    if isinstance(value, ast.AST):
        parts.append(type(value).__name__)
        body_left_out = masked and isinstance(value, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for name in value._fields:
            if name in _SKIPPED or (name == "body" and body_left_out):
                continue
            child = getattr(value, name, None)
            if type(child) is str:  # most fields: identifiers
                parts.append(child)
            else:
                _write(child, parts, masked)
    elif type(value) is list:
        parts.append(f"[{len(value)}")
        for item in value:
            _write(item, parts, masked)
    else:
        # repr tells 1, True and 1.0 apart, and 0.0 from -0.0.
        parts.append(f"{type(value).__name__}:{value!r}" if value is not None else "")
