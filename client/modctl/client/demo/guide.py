"""Tells what happens, pauses to let it be read, runs the real command line and checks what came of it."""

from __future__ import annotations

import enum
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final, TextIO

from modctl.client.demo import terminal
from modctl.client.demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: The command line of this very installation, whatever PATH says.
COMMAND: Final = (sys.executable, "-c", "import sys; from modctl.client.cli import main; sys.exit(main())")
COMMAND_TIMEOUT_S: Final = 60.0


class Pace(enum.Enum):
    """How long a step stays before the next: in seconds, or until Enter."""

    ASK = None
    READ = 2.5
    FAST = 0.2


class Guide:
    """Speaks to the person who watches."""

    def __init__(self, out: TextIO, pace: Pace) -> None:
        self._out = out
        self._pace = pace
        self._styled = out.isatty() and "NO_COLOR" not in os.environ
        self._steps = 0

    def title(self, text: str) -> None:
        """Starts a step."""
        if self._steps:
            self.pause()
        self._steps += 1
        self._write("\n" + self._style("1", f"{self._steps}. {text}") + "\n")

    def say(self, text: str) -> None:
        """Tells something."""
        self._write(text + "\n")

    def fail(self, text: str) -> None:
        """Tells that the demo could not go on."""
        self._write("\n" + self._style("31", "The demo stopped here: ") + text + "\n")

    def pause(self) -> None:
        """Gives time to read."""
        if self._pace is not Pace.ASK:
            time.sleep(self._pace.value or 0.0)
            return
        self._write(self._style("2", "    Enter goes on, Ctrl-C ends … "))
        sys.stdin.readline()

    def show(self, command: str, output: str) -> None:
        """Shows a command that was run and what it printed."""
        self._write(self._style("36", f"$ {command}") + "\n")
        self._write(output if not output or output.endswith("\n") else output + "\n")

    def modctl(self, *arguments: str, environment: Mapping[str, str], expect: int = 0) -> str:
        """Runs `modctl …` for real and shows it as a terminal would; returns what it showed.

        Raises:
            DemoError: its exit code is not the expected one.
        """
        environ = dict(environment) if self._styled else {**environment, "NO_COLOR": "1"}
        code, seen = terminal.run([*COMMAND, *arguments], environ, COMMAND_TIMEOUT_S)
        self.show(_as_typed(arguments), seen)
        if code != expect:
            raise DemoError(f"`{_as_typed(arguments)}` ended with {code}; {expect} was to be expected")
        return seen

    def check(self, holds: bool, claim: str, seen: object) -> None:
        """Holds a step to its word.

        Raises:
            DemoError: it is not so.
        """
        if not holds:
            raise DemoError(f"it is not so that {claim}; seen: {seen}")

    def _style(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._styled else text

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def document(*arguments: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """The JSON document that a command prints: what the demo checks itself with.

    Raises:
        DemoError: it printed none, or does not end.
    """
    command = [*COMMAND, *arguments, "-o", "json"]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        found: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"`{_as_typed(arguments)}` did not end within {COMMAND_TIMEOUT_S:.0f} s") from error
    except ValueError as error:
        raise DemoError(f"`{_as_typed(arguments)} -o json` printed no JSON: {done.stdout}{done.stderr}") from error
    return found


def until(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether it came true in that time."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


def _as_typed(arguments: tuple[str, ...]) -> str:
    import shlex

    return shlex.join(("modctl", *arguments))
