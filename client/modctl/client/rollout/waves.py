"""Divides a fleet into waves. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.rollout.spec import RolloutSpec


def units(keys: Sequence[tuple[str, str]], unit: str) -> list[list[str]]:
    """What is changed together at least.

    Args:
        keys: (target, process id), in the order in which they are to be changed.
        unit: "process", or "target": all of a target's processes belong together.
    """
    if unit == "process":
        return [[process] for _, process in keys]
    by_target: dict[str, list[str]] = {}
    for target, process in keys:
        by_target.setdefault(target, []).append(process)
    return list(by_target.values())


def divide(keys: Sequence[tuple[str, str]], spec: RolloutSpec) -> list[tuple[str, list[str]]]:
    """(name, process ids) of each wave: the canary, the waves asked for, and the rest. A wave of nobody is left out.

    Args:
        keys: (target, process id), in the order in which they are to be changed.
        spec: how.
    """
    whole = units(keys, spec.unit)
    total = len(whole)
    bounds: list[tuple[str, int]] = []
    if spec.canary.number:
        bounds.append(("canary", spec.canary.of(total, at_least_one=True)))
    bounds += [
        (f"wave {number}", limit.of(total, at_least_one=True)) for number, limit in enumerate(spec.waves, start=1)
    ]
    bounds.append((f"wave {len(spec.waves) + 1}", total))
    waves: list[tuple[str, list[str]]] = []
    done = 0
    for name, bound in bounds:
        members = [process for unit in whole[done:bound] for process in unit]
        if members:
            waves.append((name, members))
        done = max(done, bound)
    return waves
