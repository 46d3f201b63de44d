"""Globs of names: `*` fits anything, dots too; `a.**` fits a and everything below it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

_WILD: Final = "*?["


def fits(glob: str, name: str) -> bool:
    """Whether a name fits."""
    if glob.endswith(".**"):
        return fnmatchcase(name, glob[:-3]) or fnmatchcase(name, glob[:-1])
    return fnmatchcase(name, glob)


def fits_all_below(glob: str, name: str) -> bool:
    """Whether a name fits and with it every name that can be below it.

    A glob that ends in a star fits whatever is longer than what it fits.
    """
    return glob.endswith("*") and fits(glob, name)


def may_fit_below(glob: str, name: str) -> bool:
    """Whether some name below this one may fit: errs on the side of yes."""
    literal = glob
    for character in _WILD:
        literal = literal.partition(character)[0]
    below = f"{name}."
    if literal == glob:
        return glob.startswith(below)
    return literal.startswith(below) or below.startswith(literal)
