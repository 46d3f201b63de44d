"""Rollouts as they are shown, against files that a person has looked at.

MODCTL_TEST_UPDATE_GOLDEN=1 writes the files anew: read the difference before it is committed.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from modctl.client.printers import rollouts
from modctl.client.printers.steps import sentence
from modctl.client.printers.terminal import Output
from modctl.client.rollout import Limit, RolloutSpec, RolloutState, decide
from modctl.client.rollout.state import Entry, Wave

GOLDEN = Path(__file__).parent / "golden"
NOW_S = 1763800000.0
SPEC = RolloutSpec(canary=Limit(1), max_failures=Limit(3), reason="INC-1432")


def entry(number: int, phase: str, failure: str = "", revision: int = 0) -> Entry:
    name = f"shop/web-{number}/41{number:02}@1763800000"
    target = f"svc{number:02}:50051"
    return Entry(target, name, "shop", 4100 + number, phase, True, revision, failure=failure)


def state() -> RolloutState:
    entries = [entry(1, "CHANGED", revision=7), *[entry(number, "CHANGED", revision=3) for number in range(2, 6)]]
    entries += [
        entry(6, "FAILED", "FAILED: billing.tax: ValueError: no"),
        entry(7, "FAILED", "FAILED: billing.tax: ValueError: no"),
    ]
    entries += [entry(8, "UNKNOWN", "sent, and neither an answer nor its history can be had"), entry(9, "LEFT")]
    entries += [entry(number, "WAITING") for number in range(10, 20)]
    down = Entry("svc20:50051", "svc20:50051", phase="EXCLUDED", failure="connection refused: nobody listens there")
    waves = [
        Wave("canary", [entries[0].process], NOW_S - 60, True, True, "", NOW_S - 70, NOW_S - 50),
        Wave("wave 1", [each.process for each in entries[1:9]], NOW_S + 12, began_at_unix_s=NOW_S - 5, spread_ms=3.52),
        Wave("wave 2", [each.process for each in entries[9:]]),
    ]
    return RolloutState(
        "r20251122-082600",
        "RUNNING",
        {each.process: each for each in [*entries, down]},
        waves,
        wave=1,
        frozen_total=20,
        began_at_unix_s=NOW_S - 75,
        changed_at_unix_s=NOW_S,
    )


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("terminal-80", Output(width=80, folding=True)),
        ("terminal-200", Output(width=200, folding=True)),
        ("piped", Output()),
        ("colour", Output(width=100, folding=True, colour=True)),
        ("json", Output(format="json")),
        ("jsonl", Output(format="jsonl")),
        ("yaml", Output(format="yaml")),
        ("name", Output(format="name")),
    ],
)
def test_a_rollout_is_shown_as_in_its_file(name: str, output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts.time, "time", lambda: NOW_S)
    output.out = text = io.StringIO()
    rollouts.show(state(), SPEC, 20, output)
    golden = GOLDEN / f"rollout-{name}.txt"
    if os.environ.get("MODCTL_TEST_UPDATE_GOLDEN") == "1":
        golden.write_text(text.getvalue())
    assert text.getvalue() == golden.read_text()


def test_the_counts_of_the_summary_add_up() -> None:
    document = rollouts.document(state(), SPEC, 20)
    summary = document["summary"]
    assert summary["ok"] + summary["failed"] + summary["refused"] + summary["unreachable"] == len(document["results"])
    assert summary["processes"] == 19
    assert json.loads(json.dumps(document)) == document


def test_every_step_has_its_sentence() -> None:
    running = state()
    assert sentence(decide.Send(("a", "b")), running) == "wave 1: 2 processes"
    assert sentence(decide.Soak(1.0), running) == "wave 1: soaking"
    assert sentence(decide.Undo((("a",), ("b", "c"))), running) == "undoing 3 processes"
    assert sentence(decide.Abort("too many"), running) == "aborting: too many"
    assert sentence(decide.Advance(), running) == ""
