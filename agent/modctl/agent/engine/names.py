"""Which names can be names of modules."""

from __future__ import annotations

import keyword
from typing import Final

MAX_NAME_CHARACTERS: Final = 512
MAX_PARTS: Final = 64


def problem_with(name: object) -> str:
    """What is wrong with a name, in words; empty where it is good.

    A name is dotted identifiers, none of them a keyword that `import` could not spell.
    """
    if type(name) is not str:
        return f"a name is text, this is a {type(name).__name__}"
    if not name:
        return "the name is empty"
    if len(name) > MAX_NAME_CHARACTERS:
        return f"the name has {len(name)} characters, the limit is {MAX_NAME_CHARACTERS}"
    parts = name.split(".")
    if len(parts) > MAX_PARTS:
        return f"the name has {len(parts)} parts, the limit is {MAX_PARTS}"
    for part in parts:
        if not part:
            return f"{name!r} has an empty part; write it as package.module"
        if not part.isidentifier():
            return f"{part!r} in {name!r} is not an identifier; give a dotted module name, not a path"
        if keyword.iskeyword(part):
            return f"{part!r} in {name!r} is a keyword, which no import statement can spell"
    return ""


def parent_of(name: str) -> str:
    """The package's name, empty of a top-level name."""
    return name.rpartition(".")[0]


def leaf_of(name: str) -> str:
    """The last part."""
    return name.rpartition(".")[2]
