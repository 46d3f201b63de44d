"""How a fleet is divided into waves, and how limits are read."""

from __future__ import annotations

import pytest
from modctl.client.errors import UsageError
from modctl.client.rollout.spec import Limit, RolloutSpec, parse_waves
from modctl.client.rollout.state import spec_from_json, spec_to_json
from modctl.client.rollout.waves import divide


def keys(shape: dict[str, int]) -> list[tuple[str, str]]:
    return [(target, f"{target}{number}") for target, count in shape.items() for number in range(count)]


def sizes(total: int, canary: str, waves: str, unit: str = "process", per_target: int = 1) -> list[tuple[str, int]]:
    spec = RolloutSpec(canary=Limit.parse(canary, "canary"), waves=parse_waves(waves), unit=unit)
    shape = {f"t{number:03}": per_target for number in range(total // per_target)}
    return [(name, len(members)) for name, members in divide(keys(shape), spec)]


@pytest.mark.parametrize(
    ("total", "canary", "waves", "expected"),
    [
        (100, "1", "10%,50%", [("canary", 1), ("wave 1", 9), ("wave 2", 40), ("wave 3", 50)]),
        (100, "0", "", [("wave 1", 100)]),
        (100, "5%", "", [("canary", 5), ("wave 1", 95)]),
        (3, "1", "10%,50%", [("canary", 1), ("wave 3", 2)]),
        (1, "1", "10%,50%", [("canary", 1)]),
        (10, "1", "3,6", [("canary", 1), ("wave 1", 2), ("wave 2", 3), ("wave 3", 4)]),
        (2, "5", "", [("canary", 2)]),
    ],
)
def test_waves_count_everybody_who_has_it_afterwards_and_the_last_is_everybody(
    total: int, canary: str, waves: str, expected: list[tuple[str, int]]
) -> None:
    assert sizes(total, canary, waves) == expected


def test_with_targets_as_the_unit_no_target_is_divided() -> None:
    assert sizes(40, "1", "50%", unit="target", per_target=4) == [("canary", 4), ("wave 1", 16), ("wave 2", 20)]


def test_every_process_is_in_just_one_wave() -> None:
    spec = RolloutSpec(canary=Limit(2), waves=parse_waves("10%,33%,90%"))
    everybody = keys({"a": 7, "b": 13, "c": 1})
    members = [each for _, wave in divide(everybody, spec) for each in wave]
    assert members == [process for _, process in everybody]


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "101%", "10 %", "%"])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="max-failures"):
        Limit.parse(text, "max-failures")


def test_a_share_of_failures_is_rounded_down() -> None:
    assert Limit.parse("10%", "x").of(19) == 1
    assert Limit.parse("10%", "x").of(9) == 0
    assert Limit.parse("3", "x").of(2) == 2


@pytest.mark.parametrize("waves", ["50%,10%", "10%,10%", "5,3", "0"])
def test_waves_that_do_not_grow_are_refused(waves: str) -> None:
    with pytest.raises(UsageError, match="wave"):
        RolloutSpec(waves=parse_waves(waves))


def test_a_spec_survives_its_file() -> None:
    spec = RolloutSpec(
        canary=Limit(2),
        waves=parse_waves("10%,50%"),
        checks=("health", "expr:app.ok()", "curl -f x"),
        max_failures=Limit(5, True),
        soak_s=1.5,
    )
    assert spec_from_json(spec_to_json(spec)) == spec
