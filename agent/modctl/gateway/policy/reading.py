"""Values out of a TOML document: each is checked where it is taken, and every problem is kept with its line.

A policy that is wrong in five places is told so five times, not once a start.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from modctl.gateway.policy import lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
        line: from 1; 0 where it is not about a line.
        where: the key: rules[2].verbs.
        what: one sentence; says the cure.
    """

    line: int
    where: str
    what: str


class PolicyError(ValueError):
    """A policy file that is wrong.

    Args:
        origin: the file.
        problems: all of them, in the order of the file.
    """

    def __init__(self, origin: str, problems: list[Problem]) -> None:
        self.origin = origin
        self.problems = sorted(problems)
        super().__init__("\n".join(self._told(problem) for problem in self.problems))

    def _told(self, problem: Problem) -> str:
        place = f"{self.origin}:{problem.line}" if problem.line else self.origin
        return f"{place}: {problem.where}: {problem.what}" if problem.where else f"{place}: {problem.what}"


def load(text: str) -> dict[str, Any]:
    """The document of a TOML text.

    Raises:
        ValueError: it is none; says line and column.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # the same reader, before it came into the standard library
        import tomli as tomllib
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return document


class Table:
    """One table of the document, taken apart key by key; whatever nobody asked for is a problem in the end.

    Args:
        values: the table.
        place: where it stands.
        book: the line of each place.
        problems: where problems go; shared by all tables of a document.
    """

    def __init__(
        self, values: dict[str, Any], place: lines.Place, book: dict[lines.Place, int], problems: list[Problem]
    ) -> None:
        self._values = values
        self._place = place
        self._book = book
        self._problems = problems
        self._asked: set[str] = set()

    @property
    def line(self) -> int:
        """Where it begins."""
        return lines.line_of(self._place, self._book)

    def wrong(self, key: str | None, what: str, position: int | None = None) -> None:
        """Notes a problem with a key of this table, or with all of it."""
        place = self._place if key is None else (*self._place, key)
        if position is not None:
            place = (*place, position)
        self._problems.append(Problem(lines.line_of(place, self._book), spelled(place), what))

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._values

    def keys(self) -> list[str]:
        """All keys, which thereby are asked for."""
        self._asked.update(self._values)
        return list(self._values)

    def text(self, key: str, default: str = "") -> str:
        """A text that is not empty."""
        value = self._take(key)
        if value is None:
            return default
        if isinstance(value, str) and value.strip():
            return value
        self.wrong(key, f"text is wanted, not {shown(value)}")
        return default

    def word(self, key: str, among: Collection[str], default: str = "") -> str:
        """One of several words."""
        value = self.text(key, default)
        if value != default and value not in among:
            self.wrong(key, f"{value!r} is not known; one of: {', '.join(sorted(among))}")
            return default
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self._take(key)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        self.wrong(key, f"true or false is wanted, not {shown(value)}")
        return default

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self._take(key)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.wrong(key, f"a whole number from {least} to {most} is wanted, not {shown(value)}")
        return default

    def number(self, key: str, default: float, least: float, most: float) -> float:
        """A number within bounds."""
        value = self._take(key)
        if value is None:
            return default
        if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most:
            return float(value)
        self.wrong(key, f"a number from {least:g} to {most:g} is wanted, not {shown(value)}")
        return default

    def texts(self, key: str, among: Collection[str] | None = None) -> tuple[str, ...]:
        """A list of texts, or one text; with `among` each must be one of those."""
        value = self._take(key)
        if value is None:
            return ()
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list):
            self.wrong(key, f"a list of texts is wanted, not {shown(value)}")
            return ()
        found: list[str] = []
        for position, item in enumerate(items):
            if not isinstance(item, str) or not item.strip():
                self.wrong(key, f"text is wanted, not {shown(item)}", position)
            elif among is not None and item not in among:
                self.wrong(key, f"{item!r} is not known; one of: {', '.join(sorted(among))}", position)
            else:
                found.append(item)
        return tuple(found)

    def table(self, key: str) -> Table:
        """A table below this one; an empty one where there is none."""
        value = self._take(key)
        if value is not None and not isinstance(value, dict):
            self.wrong(key, f"a table is wanted: [{spelled((*self._place, key))}]")
        return Table(value if isinstance(value, dict) else {}, (*self._place, key), self._book, self._problems)

    def tables(self, key: str) -> Iterator[Table]:
        """The tables of a list of tables."""
        value = self._take(key)
        if value is None:
            return
        place = (*self._place, key)
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.wrong(key, f"a list of tables is wanted: [[{spelled(place)}]]")
            return
        for position, one in enumerate(value):
            yield Table(one, (*place, position), self._book, self._problems)

    def value(self, key: str) -> Any:
        """A value as it is; None where there is none."""
        return self._take(key)

    def done(self) -> None:
        """Notes every key that nobody asked for: a rule that is misspelt must not be a rule that is missing."""
        for key in self._values:
            if key not in self._asked:
                known = ", ".join(sorted(self._asked)) or "nothing"
                self.wrong(key, f"there is no such key here; known are: {known}")

    def _take(self, key: str) -> Any:
        self._asked.add(key)
        return self._values.get(key)


def spelled(place: lines.Place) -> str:
    """A place as people write it: rules[0].verbs."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """A value in a message: short, and without what may be a secret beyond its beginning."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
