"""Where in a TOML text a key stands: the real reader forgets it, and an error without a line is no help.

`find` walks the text once, by the character, and knows only as much of TOML as is needed not to be fooled: strings of
all four kinds, comments, brackets. It is only ever given text that the real reader has accepted, and nothing depends on
it but the line in a message.
"""

from __future__ import annotations

from typing import Final

#: Where something stands: keys and list positions from the document's top.
Place = tuple["str | int", ...]

_OPEN: Final = "[{"
_CLOSE: Final = "]}"


def find(text: str) -> dict[Place, int]:
    """Every table, key and item of a list that is a key's value, to its line, from 1."""
    return _Walk(text).lines


def line_of(place: Place, lines: dict[Place, int]) -> int:
    """The line of a place, else of the nearest thing around it; 0 where there is none."""
    while place:
        if place in lines:
            return lines[place]
        place = place[:-1]
    return 0


class _Walk:
    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._line = 1
        self._table: Place = ()
        self._counts: dict[Place, int] = {}
        while self._at < len(self._text):
            self._statement()

    def _statement(self) -> None:
        """One line at the top: a header, a key with its value, a comment, or nothing."""
        self._skip(" \t")
        if self._peek() == "[":
            self._header()
        elif self._peek() not in ("", "\n", "#"):
            place = self._table + self._key("=")
            self.lines.setdefault(place, self._line)
            self._step()  # over the =
            self._value(place)
        while self._peek() not in ("", "\n"):  # a comment, or what is left
            self._step()
        self._step()

    def _header(self) -> None:
        line = self._line
        array = self._text.startswith("[[", self._at)
        for _ in range(2 if array else 1):
            self._step()
        place = self._resolved(self._key("]"))
        if array:
            count = self._counts.get(place, 0)
            self._counts[place] = count + 1
            self.lines.setdefault(place, line)
            place = (*place, count)
        self._table = place
        self.lines.setdefault(place, line)

    def _resolved(self, key: Place) -> Place:
        """A header's key with the position of the newest item put after each part that is an array of tables."""
        place: Place = ()
        for position, part in enumerate(key):
            place = (*place, part)
            if place in self._counts and position < len(key) - 1:
                place = (*place, self._counts[place] - 1)
        return place

    def _key(self, end: str) -> Place:
        parts: list[str] = []
        while self._peek() not in ("", "\n", end):
            character = self._peek()
            if character in "\"'":
                parts.append(self._string())
            elif character in ". \t":
                self._step()
            else:
                start = self._at
                while self._peek() not in ("", "\n", end, ".", " ", "\t"):
                    self._step()
                parts.append(self._text[start : self._at])
        return tuple(parts)

    def _value(self, place: Place) -> None:
        """Walks over a value; notes the items where it is a list."""
        self._skip(" \t")
        if self._peek() != "[":
            self._over(stop="\n#")
            return
        self._step()
        position = 0
        while True:
            self._skip(" \t\n")
            if self._peek() == "#":
                while self._peek() not in ("", "\n"):
                    self._step()
                continue
            if self._peek() in ("", "]"):
                self._step()
                return
            self.lines.setdefault((*place, position), self._line)
            self._over(stop=",]")
            if self._peek() == ",":
                self._step()
                position += 1

    def _over(self, stop: str) -> None:
        """Steps over one value, up to a character of `stop` outside strings and brackets."""
        depth = 0
        while (character := self._peek()) and not (depth == 0 and character in stop):
            if character in "\"'":
                self._string()
                continue
            if character == "#":  # a comment inside brackets
                while self._peek() not in ("", "\n"):
                    self._step()
                continue
            if character in _OPEN:
                depth += 1
            elif character in _CLOSE:
                depth -= 1
            self._step()

    def _string(self) -> str:
        """Steps over a string; its text with escapes left as they are: a key with some only misses its line."""
        quote = self._peek()
        long = self._text.startswith(quote * 3, self._at)
        end = quote * 3 if long else quote
        for _ in end:
            self._step()
        start = self._at
        while self._at < len(self._text) and not self._text.startswith(end, self._at):
            if quote == '"' and self._peek() == "\\":
                self._step()
            elif not long and self._peek() == "\n":
                return self._text[start : self._at]
            self._step()
        found = self._text[start : self._at]
        for _ in end:
            self._step()
        while long and self._peek() == quote:  # """" may end with up to two quotes of its own
            self._step()
        return found

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _step(self) -> None:
        if self._peek() == "\n":
            self._line += 1
        self._at += 1

    def _skip(self, characters: str) -> None:
        while self._peek() and self._peek() in characters:
            self._step()
