"""How figures are taken and told: in turn with their floor, as medians, with the bound that the product promises."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

HERE = Path(__file__).parent
PYTHON = sys.executable


@dataclass(frozen=True)
class Figure:
    """One measured line of the table.

    `value` is what is compared with `bound` (both in `unit`); `detail` says what it was made from.
    """

    name: str
    value: float
    bound: float
    unit: str
    detail: str

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        return self.value <= self.bound

    def line(self) -> str:
        """The line as people read it."""
        verdict = "ok  " if self.holds else "OVER"
        value, bound = f"{self.value:>8.2f}{self.unit:<4}", f"(at most {self.bound:g}{self.unit})"
        return f"{verdict} {self.name:<58} {value} {bound}  {self.detail}"


def in_turn(first: Callable[[], float], second: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """Medians of two measurements taken A B A B …, and the median of the ratios A/B pair by pair.

    A pair shares the machine's mood, so the ratio holds where the times drift.
    """
    pairs = [(first(), second()) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0..1) of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A short temporary directory (socket paths are limited) that is modctl's state directory too."""
    with tempfile.TemporaryDirectory(prefix="mb-") as name:
        before = os.environ.get("MODCTL_STATE_DIR")
        os.environ["MODCTL_STATE_DIR"] = f"{name}/s"
        try:
            yield Path(name)
        finally:
            if before is None:
                del os.environ["MODCTL_STATE_DIR"]
            else:
                os.environ["MODCTL_STATE_DIR"] = before


class Program:
    """A started program that says one line of JSON when it is ready, and ends when its standard input closes."""

    def __init__(self, script: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [PYTHON, str(HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )

    def said(self) -> dict[str, Any]:
        """The next line that it says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()} before it was ready")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def ask(self, word: str) -> dict[str, Any]:
        """Writes a line to it and returns the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.said()

    def close(self) -> None:
        """Ends it, kindly and then not."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wall_s(arguments: list[str]) -> float:
    """Seconds from start to exit of a program; it must succeed."""
    started = time.perf_counter()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return time.perf_counter() - started


def synthetic_tree(root: Path, count: int) -> list[str]:
    """Writes `count` small real modules in packages of 25; returns their names."""
    names: list[str] = []
    for number in range(count):
        package = root / f"synthetic_{number // 25:03}"
        if number % 25 == 0:
            package.mkdir(parents=True)
            (package / "__init__.py").write_text(f"'''Package {number}.'''\nNUMBER = {number}\n")
            names.append(package.name)
            continue
        name = f"part_{number:04}"
        (package / f"{name}.py").write_text(
            f"'''Part {number}.'''\nNUMBER = {number}\n\n\ndef double(value=NUMBER):\n    return value * 2\n"
        )
        names.append(f"{package.name}.{name}")
    return names
