"""Many names in few words: svc[01-46,49]:50051, pids 4127-4130.

As clush does it, with one difference: names that share nothing but random letters (pods) are counted, not listed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NUMBER = re.compile(r"\d+")


def fold_numbers(numbers: Iterable[int], widths: dict[int, int] | None = None) -> str:
    """1,2,3,7 → 1-3,7. Runs of two are written out.

    Args:
        numbers: in any order, each counted once.
        widths: how many digits a number is padded to.
    """
    widths = widths or {}
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][-1] == number - 1 and widths.get(runs[-1][-1]) == widths.get(number):
            runs[-1].append(number)
        else:
            runs.append([number])

    def write(number: int) -> str:
        return str(number).zfill(widths.get(number, 0))

    parts: list[str] = []
    for run in runs:
        parts += [f"{write(run[0])}-{write(run[-1])}"] if len(run) > 2 else [write(number) for number in run]
    return ",".join(parts)


def fold_names(names: Sequence[str]) -> str:
    """All names as ranges, comma-separated; what the range syntax of targets reads back.

    Of names with several numbers the one that differs is folded: the first such, from the left.
    """
    unique = list(dict.fromkeys(names))
    best: dict[tuple[str, str], list[str]] = {}
    # A name goes to the pattern (the text around one of its numbers) that most names share.
    patterns: dict[tuple[str, str], list[str]] = {}
    for name in unique:
        for found in _NUMBER.finditer(name):
            if len(found.group()) <= 18:
                patterns.setdefault((name[: found.start()], name[found.end() :]), []).append(found.group())
    for name in unique:
        keys = [(name[: found.start()], name[found.end() :]) for found in _NUMBER.finditer(name)]
        keys = [key for key in keys if key in patterns]
        if not keys or ((key := max(keys, key=lambda key: len(patterns[key]))) and len(patterns[key]) == 1):
            best.setdefault((name, ""), [])
        else:
            best.setdefault(key, []).append(name[len(key[0]) : len(name) - len(key[1]) or None])
    parts: list[str] = []
    for (before, after), numbers in best.items():
        if not numbers:
            parts.append(before)
            continue
        widths = {int(number): len(number) if number.startswith("0") else 0 for number in numbers}
        padded = len({len(number) for number in numbers}) == 1 and any(number.startswith("0") for number in numbers)
        if padded:
            widths = {int(number): len(number) for number in numbers}
        inside = fold_numbers((int(number) for number in numbers), widths)
        parts.append(f"{before}{inside}{after}" if len(numbers) == 1 else f"{before}[{inside}]{after}")
    return ",".join(parts)


def count(number: int, word: str, plural: str = "") -> str:
    """1 process, 2 processes."""
    return f"{number} {word if number == 1 else plural or word + 's'}"


def processes(number: int) -> str:
    """1 process, 2 processes."""
    return count(number, "process", "processes")


def heading(places: Sequence[tuple[str, str, int]], limit: int = 60) -> str:
    """Who a block is about.

    Args:
        places: (target, service, pid) of each process.
        limit: names longer than this are counted instead.
    """
    services = list(dict.fromkeys(service for _, service, _ in places if service))
    targets = list(dict.fromkeys(target for target, _, _ in places))
    pids = [pid for _, _, pid in places if pid]
    parts = (
        [",".join(services[:3]) + (f" and {len(services) - 3} more" if len(services) > 3 else "")] if services else []
    )
    named = [target for target in targets if not target.startswith("unix:")]
    if named:
        folded = fold_names(named)
        parts.append(folded if len(folded) <= limit else f"{named[0]} … {named[-1]}")
    elif len(targets) == 1 and not services:
        parts.append(targets[0])
    if len(targets) == 1 and len(pids) == 1:
        parts.append(f"pid {pids[0]}")
    elif len(targets) == 1:
        folded = fold_numbers(pids)
        parts.append(processes(len(pids)) + (f" (pids {folded})" if len(folded) <= limit else ""))
    else:
        parts.append(f"{count(len(targets), 'target')} / {processes(len(pids))}")
    return "  ".join(parts)
