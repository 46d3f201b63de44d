"""Many gateways with two real processes each, some dead, hanging, refusing and slow: every row right, every command in
time.

MODCTL_TEST_GATEWAYS says how many: the routine run takes few, 300 need about 15 GiB and some minutes. With `-s` it says
what each command took.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import cli
from support.wounded import FANOUT, GATEWAYS, PART, ROUTINE, TIMEOUT_S, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.timeout(300 + 30 * GATEWAYS),
    pytest.mark.slow,
    pytest.mark.xdist_group("wounded"),  # one fleet for both
]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The fleet, hurt. Who changes it undoes that."""
    folder = Path(tempfile.mkdtemp(prefix="mc-", dir="/tmp"))  # a socket's path has 107 bytes
    (folder / "state").mkdir(mode=0o700)
    try:
        with World(folder, folder / "state") as world:
            world.hurt()
            yield world
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_every_command_ends_in_time_with_every_target_in_the_right_row(world: World) -> None:
    silent = {"dead": {"UNREACHABLE"}, "hanging": {"UNREACHABLE"}}
    reads = {**silent, "stuck": {"TIMED_OUT"}, "refusing": {"OK"}, "slow": {"OK"}, "well": {"OK"}}
    # The gateway knows who is there, without asking them.
    assert world.by_kind(world.run("agents", expect=3)) == {**reads, "stuck": {"OK"}}
    assert world.by_kind(world.run("list", "pricing", expect=3)) == reads
    assert world.by_kind(world.run("get", "pricing", expect=3)) == reads
    assert world.by_kind(world.run("history", expect=3)) == reads
    assert world.by_kind(world.run("diff", "pricing", "--from", str(world.source), expect=3)) == reads
    drift = world.run("drift", "pricing", expect=3)
    assert {row["outcome"] for row in drift["failures"]} == {"UNREACHABLE", "TIMED_OUT"}
    assert drift["summary"]["unreachable"] == 2 * PART
    changes = {**silent, "stuck": {"UNKNOWN"}, "refusing": {"REFUSED"}, "slow": {"APPLIED"}, "well": {"APPLIED"}}
    sent = ("pricing", "--from", str(world.source), "--yes")
    assert world.by_kind(world.run("reload", *sent, expect=3)) == changes
    assert world.values_of("RATE") == {"2"}
    assert world.by_kind(world.run("undo", "--yes", expect=3)) == changes
    if GATEWAYS > ROUTINE:
        assert world.values_of("RATE") == {"1"}
        planned = {**changes, "stuck": {"TIMED_OUT"}, "slow": {"PLANNED"}, "well": {"PLANNED"}}
        assert world.by_kind(world.run("reload", *sent, "--dry-run", expect=3)) == planned
        mock = ("--attr", "RATE=7", "--replace", "--yes")
        assert world.by_kind(world.run("inject", "pricing", *mock, expect=3)) == changes
        assert world.values_of("RATE") == {"7"}
        assert world.by_kind(world.run("evict", "pricing", "--yes", expect=3)) == changes
        assert world.by_kind(world.run("import", "pricing", "--yes", expect=3)) == changes
        # Who is stuck is asked for the names first, and never for the change: nothing was done there.
        unasked = {**changes, "stuck": {"TIMED_OUT"}}
        assert world.by_kind(world.run("reimport", "pricing", "--yes", expect=3)) == unasked
        assert world.values_of("RATE") == {"1"}
        world.each_kind_alone()


def test_rollouts_and_deadlines_account_for_every_process(world: World) -> None:
    silent = {"dead": {"UNREACHABLE"}, "hanging": {"UNREACHABLE"}}
    wounded = {**silent, "stuck": {"TIMED_OUT"}, "refusing": {"REFUSED"}}
    module = ("pricing", "--from", str(world.source))
    start = ("rollout", "start", *module, "--mode", "fresh", "--waves", "30%")
    # Who cannot take it stops it before anything has changed.
    rejected = world.run(*start, expect=3)
    assert rejected["rollout"]["status"] == "REJECTED"
    assert world.by_kind(rejected) == {**wounded, "slow": {"PLANNED"}, "well": {"PLANNED"}}
    assert world.values_of("RATE") == {"1"}
    # With as many failures as there are it goes on, and goes back where a check says no.
    spared = (*start, "--max-failures", str(6 * PART))
    aborted = world.run(*spared, "--check", "expr:pricing.rate() == 3", expect=5)
    assert aborted["rollout"]["status"] == "UNDONE"
    told = world.by_kind(aborted)
    assert told["slow"] | told["well"] == {"PLANNED", "UNCHANGED"}, "the canary has had it"
    assert {kind: told[kind] for kind in wounded} == wounded
    assert world.values_of("RATE") == {"1"}
    done = world.run(*spared, "--check", "expr:pricing.rate() == 2", expect=3)
    assert done["rollout"]["status"] == "DONE"
    assert world.by_kind(done) == {**wounded, "slow": {"APPLIED"}, "well": {"APPLIED"}}
    assert world.values_of("RATE") == {"2"}
    for_each = ("--timeout", f"{TIMEOUT_S:g}s")
    status = cli.document("rollout", "status", *for_each, state_dir=world.state_dir, expect=3)
    assert world.by_kind(status) == world.by_kind(done)
    ran = cli.modctl("rollout", "undo", "-o", "json", *for_each, state_dir=world.state_dir, expect=0, timeout_s=600)
    assert ran.document["rollout"]["status"] == "UNDONE"
    assert world.by_kind(ran.document) == {**wounded, "slow": {"UNCHANGED"}, "well": {"UNCHANGED"}}
    assert world.values_of("RATE") == {"1"}
    # Those that do not answer are cut off by the deadline where the time for each would be longer.
    # They take a place each until then: with fewer places nobody else would be asked.
    cut_off: dict[str, Any] = {"timeout_s": 3600.0, "deadline_s": 2.0 + GATEWAYS / 3, "fanout": FANOUT + 3 * PART}
    reads = {**silent, "stuck": {"TIMED_OUT"}, "refusing": {"OK"}, "slow": {"OK"}, "well": {"OK"}}
    assert world.by_kind(world.run("list", "pricing", expect=8, **cut_off)) == reads
    changes = {**silent, "stuck": {"UNKNOWN"}, "refusing": {"REFUSED"}, "slow": {"APPLIED"}, "well": {"APPLIED"}}
    assert world.by_kind(world.run("reload", *module, "--yes", expect=8, **cut_off)) == changes
    assert world.values_of("RATE") == {"2"}
    assert world.by_kind(world.run("undo", "--yes", expect=8, **cut_off)) == changes
    assert world.values_of("RATE") == {"1"}
