"""Documents whose shell sessions are run: what a page shows is what happens.

A fenced block of language `console` is a session. Lines that start with `$ ` are typed, the others are what has to come
out. A line of `…` stands for any lines, and a `…` at the end of one for the rest of it. What differs from run to run is
made equal before it is compared: numbers, digests, times, temporary paths, and how wide columns are.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BLOCK = re.compile(r"^```(?P<language>\w*)(?P<rest>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
#: What is not the same in two runs, and what it becomes.
_VOLATILE = (
    (re.compile(r"sha256:[0-9a-f…]+"), "DIGEST"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{7,64}\b"), "HEX"),
    (re.compile(r"\b\d+[smhd](\d+[smhd])?(-\d+[smhd])?\b"), "AGE"),  # 12s, 3m5s, 58s-1m
    (re.compile(r"(unix://)?/[\w./-]+"), "PATH"),
    (re.compile(r"\d+(\.\d+)*"), "N"),
    (re.compile(r"\bN([,-]N)+\b"), "N"),  # 4127,4130-4132: how many runs there are is chance
    (re.compile(r"[─━═╌-]{2,}"), "RULE"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass(frozen=True)
class Step:
    """One command of a session and what the page says comes out of it."""

    command: str
    output: tuple[str, ...]


def blocks(page: str, language: str) -> list[tuple[str, str]]:
    """The fenced blocks of a language: what follows the language on the fence, and the body."""
    found = _BLOCK.finditer(page)
    return [(match["rest"].strip(), match["body"]) for match in found if match["language"] == language]


def steps(session: str) -> list[Step]:
    """The commands of a session."""
    found: list[Step] = []
    for line in session.splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:], ()))
        elif found:
            found[-1] = Step(found[-1].command, (*found[-1].output, line))
    return found


def plain(line: str) -> str:
    """A line without what differs from run to run."""
    for pattern, word in _VOLATILE:
        line = pattern.sub(word, line)
    return line.strip()


def agrees(shown: tuple[str, ...], seen: list[str]) -> bool:
    """Whether the output is what the page shows."""
    pattern = "\n".join(_pattern(line.strip()) for line in shown if line.strip())
    # A line of `…` may stand for no line at all.
    pattern = pattern.replace("\n.*\n", "\n(?:.*\n)?").replace("\n.*", "(?:\n.*)?")
    return re.fullmatch(pattern, "\n".join(plain(line) for line in seen if line.strip()), re.DOTALL) is not None


def _pattern(line: str) -> str:
    if line == "…":
        return ".*"
    if line.endswith(" …"):
        return re.escape(plain(line.removesuffix("…"))) + "[^\n]*"
    return re.escape(plain(line))


class Shell:
    """One bash that commands are typed into, so that `cd`, `export` and `&` last; a context manager.

    What the commands print goes to a terminal, for on a terminal modctl speaks as it does to people.
    """

    _MARK = "@@done@@"

    def __init__(self, folder: Path, environment: Mapping[str, str], columns: int = 120) -> None:
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        settings = termios.tcgetattr(theirs)
        settings[1] &= ~termios.ONLCR
        termios.tcsetattr(theirs, termios.TCSANOW, settings)
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Shell:  # noqa: PYI034 - typing.Self is of 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        cast("IO[bytes]", self._process.stdin).close()
        os.close(self._terminal)

    @property
    def session_id(self) -> int:
        """Of the shell and all that it starts."""
        return self._process.pid

    def run(self, command: str, within_s: float = 60.0) -> list[str]:
        """The lines that a command prints, stderr among them."""
        stdin = cast("IO[bytes]", self._process.stdin)
        # The command's own stdin is empty: it must not read what is typed next.
        stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n%s\\n' '{self._MARK}'\n".encode())
        stdin.flush()
        seen = b""
        while not seen.endswith(f"\n{self._MARK}\n".encode()):
            ready, _, _ = select.select([self._terminal], [], [], within_s)
            assert ready, f"{command!r} does not end: {seen!r}"
            seen += os.read(self._terminal, 65536)
        return seen.decode().removesuffix(f"{self._MARK}\n").splitlines()
