"""What the output may look like: who reads it, how wide it is, whether it has colours."""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMATS = ("table", "wide", "json", "jsonl", "yaml", "name")
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
#: The same where the terminal has 256 colours: these can be read on black as on white. The first sixteen are whatever
#: the terminal makes of them, and many make a yellow that nobody sees on white.
PALETTE = {"red": 160, "green": 28, "yellow": 130, "cyan": 30}
_DEEP_STYLES = {**_STYLES, **{name: f"38;5;{number}" for name, number in PALETTE.items()}}


class Output:
    """Where and how to print.

    Args:
        format: one of FORMATS.
        by_host: no folding: every process by itself.
        headers: whether tables have them.
        colour: whether to colour.
        deep: whether the terminal has 256 colours.
        width: columns of the terminal; None where nothing is to be cut.
        folding: whether identical answers become one block.
        quiet: nothing on stderr but errors.
        verbose: more of everything.
        out: data.
        err: messages.
    """

    def __init__(
        self,
        format: str = "table",  # noqa: A002 - the flag's own word
        by_host: bool = False,
        headers: bool = True,
        colour: bool = False,
        width: int | None = None,
        folding: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        out: IO[str] | None = None,
        err: IO[str] | None = None,
        deep: bool = False,
    ) -> None:
        self.format = format
        self.by_host = by_host
        self.headers = headers
        self.colour = colour
        self._styles = _DEEP_STYLES if deep else _STYLES
        self.width = width
        self.folding = folding
        self.quiet = quiet
        self.verbose = verbose
        self.out = out or sys.stdout
        self.err = err or sys.stderr

    @property
    def wide(self) -> bool:
        """Whether every column is wanted, uncut."""
        return self.format == "wide"

    def style(self, text: str, style: str) -> str:
        """The text in a style: bold, dim or a colour."""
        return f"\x1b[{self._styles[style]}m{text}\x1b[0m" if self.colour and style and text else text

    def prose(self, text: str, indent: str = "  ") -> str:
        """A sentence as indented lines that end between words; one line where nothing is to be cut."""
        text = printable(text)
        if self.width is None or display_width(indent + text) <= self.width:
            return f"{indent}{text}\n"
        import textwrap

        lines = textwrap.wrap(
            text, self.width, initial_indent=indent, subsequent_indent=indent, break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
        return "".join(f"{line}\n" for line in lines)

    def write(self, text: str) -> None:
        """Data, on stdout."""
        self.out.write(text)

    def note(self, text: str) -> None:
        """A message, on stderr; nothing where the operator wants quiet."""
        if not self.quiet:
            self.err.write(f"{text}\n")
            self.err.flush()

    def warn(self, text: str) -> None:
        """A message that is never kept back, on stderr."""
        self.err.write(f"{text}\n")
        self.err.flush()


def make_output(
    format: str,  # noqa: A002 - the flag's own word
    by_host: bool,
    no_headers: bool,
    color: str,
    quiet: bool,
    verbose: bool,
    environ: Mapping[str, str] = os.environ,
) -> Output:
    """What the flags, the terminal and the environment say together. NO_COLOR: see no-color.org."""
    on_terminal = sys.stdout.isatty()
    colour = color == "always" or (
        color == "auto" and on_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    )
    return Output(
        format=format,
        by_host=by_host,
        headers=not no_headers,
        colour=colour,
        width=terminal_width(environ) if on_terminal and format != "wide" else None,
        folding=on_terminal and not by_host,
        quiet=quiet,
        verbose=verbose,
        out=sys.stdout,
        err=sys.stderr,
        deep="256color" in environ.get("TERM", "") or environ.get("COLORTERM", "") in ("truecolor", "24bit"),
    )


def terminal_width(environ: Mapping[str, str] = os.environ) -> int:
    """COLUMNS where it is set, else what the terminal says, else 80."""
    columns = environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return max(40, int(columns))
    try:
        return max(40, os.get_terminal_size(sys.stdout.fileno()).columns or 80)
    except (OSError, ValueError):
        return 80


def printable(text: str) -> str:
    """Text of somebody else's, safe to show: control characters would speak to the terminal.

    A tab is a blank; everything else that does not print is shown as Python would write it.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else " " if character == "\t" else ascii(character)[1:-1]
        for character in text
    )


def display_width(text: str) -> int:
    """How many columns the text takes: East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
