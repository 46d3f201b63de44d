"""A fleet on hosts with addresses of their own, over mutual TLS, and a network that is cut at the wrong moment."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from support import netns
from support.netns import DOMAIN, PORT, Network
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

#: modctl, which runs a shell's command once before it tells anybody to commit.
AT_COMMIT = """
import os, subprocess
from modctl.client.rollout.fleet_port import LiveFleet

commit = LiveFleet.commit
left = [os.environ["AT_COMMIT"]]

async def committing(self, processes, request_id):
    if left and any(target.startswith(os.environ["AT_TARGET"]) for target, _ in processes):
        subprocess.run(left.pop(), shell=True, check=True)
    return await commit(self, processes, request_id)

LiveFleet.commit = committing
from modctl.client.cli import main
main()
"""


@pytest.fixture
def network(short_dir: Path) -> Iterator[Network]:
    if why_not := netns.why_not():
        pytest.skip(why_not)
    with Network(short_dir) as network:
        yield network


def phases(network: Network) -> list[set[str]]:
    """What the rollout says of each host's processes."""
    found: list[set[str]] = [set() for _ in network.addresses]
    for entry in network.state()["entries"].values():
        found[network.addresses.index(entry["target"].rpartition(":")[0])].add(entry["phase"])
    return found


def changed(network: Network) -> bool:
    return any(entry["phase"] == "CHANGED" for entry in network.state().get("entries", {}).values())


def test_a_name_and_a_service_record_stand_for_every_host_behind_them(network: Network) -> None:
    everyone = {f"{address}:{PORT}" for address in network.addresses}
    for whom in (
        ["-H", f"web.{DOMAIN}:{PORT}"],
        ["--discover", f"dns:///web.{DOMAIN}:{PORT}"],
        ["--discover", f"srv:///_modctl._tcp.{DOMAIN}"],
        ["-H", f"10.0.0.[11-13]:{PORT}"],
        ["-H", f"h[1-3].{DOMAIN}:{PORT}"],
        ["-H", f"10.0.0.[11-14]:{PORT}", "--exclude", f"10.0.0.14:{PORT}"],
    ):
        rows = network.modctl("list", "pricing", *whom, "-o", "json").document["results"]
        assert [row["outcome"] for row in rows] == ["OK"] * 6, whom
        named = {row["target"] for row in rows}
        assert named == everyone or named == {f"h{number}.{DOMAIN}:{PORT}" for number in (1, 2, 3)}, whom
    one = network.modctl("list", "pricing", "-H", f"web.{DOMAIN}:{PORT}", "-l", "host=h2", "-o", "json").document
    assert {row["target"] for row in one["results"]} == {f"10.0.0.12:{PORT}"}
    # Down is the address, not the name.
    network.cut(3)
    partly = network.modctl("agents", "-H", f"web.{DOMAIN}:{PORT}", "-o", "json", expect=3).document
    assert partly["summary"] == partly["summary"] | {"targets": 3, "ok": 4, "unreachable": 1}
    bad = [row for row in partly["results"] if row["outcome"] != "OK"]
    assert [(row["target"], row["outcome"]) for row in bad] == [(f"10.0.0.13:{PORT}", "UNREACHABLE")]


def test_hosts_cut_off_in_mid_wave_stop_it_and_resume_leads_to_one_version(network: Network) -> None:
    running = network.background(network.start_arguments("--soak", "1s", "--on-failure", "pause"))
    try:
        until(lambda: changed(network), 30, what="the canary is changed")
        network.cut(3)
        out, err = running.communicate(timeout=100)
    finally:
        running.kill()
    assert running.returncode == 6, (out, err)
    assert "PAUSED" in out
    # The canary has it; the second host had prepared and was not told to commit; the third was never heard of again.
    assert network.rates() == [{"2"}, {"1"}, {"1"}]
    said = phases(network)
    assert said[0] == {"CHANGED"}
    assert "CHANGED" not in said[1] | said[2]
    rows = network.modctl("rollout", "status", "-o", "json", expect=6).document["results"]
    assert all(row["error"]["message"] for row in rows if row["target"] == f"10.0.0.13:{PORT}")
    network.mend(3)
    until(network._all_reached, 30, what="the third host is back", every_s=0.3)
    network.modctl("rollout", "resume", expect=0)
    assert network.rates() == [{"2"}] * 3
    assert phases(network) == [{"CHANGED"}] * 3
    network.modctl("drift", "pricing", "-H", f"web.{DOMAIN}:{PORT}", expect=0)


@pytest.mark.skipif(
    os.environ.get("MODCTL_TEST_NETWORK") != "1", reason="waits for half a minute: MODCTL_TEST_NETWORK=1"
)
def test_an_answer_lost_after_the_commit_is_unknown_until_the_host_can_be_asked(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AT_COMMIT", network.silence_command(2))
    monkeypatch.setenv("AT_TARGET", "10.0.0.12")
    program = [sys.executable, "-c", AT_COMMIT]
    ran = network.modctl(*network.start_arguments("--canary", "1", "--waves", "2"), expect=6, program=program)
    # It was committed there, and nobody could hear it: that is said, and what could be undone is undone.
    assert network.rates() == [{"1"}, {"2"}, {"1"}]
    assert phases(network) == [{"UNDONE"}, {"UNKNOWN"}, {"WAITING"}]
    assert "2 cannot be asked" in ran.stdout
    rows = network.modctl("rollout", "status", "-o", "json", expect=6).document["results"]
    assert {row["outcome"] for row in rows if row["target"] == f"10.0.0.12:{PORT}"} == {"UNKNOWN"}
    network.modctl("rollout", "undo", expect=6)  # not yet
    network.mend(2)
    until(network._all_reached, 30, what="the second host is back", every_s=0.3)
    network.modctl("rollout", "undo", expect=0)
    assert network.rates() == [{"1"}] * 3
    assert phases(network) == [{"UNDONE"}, {"UNDONE"}, {"WAITING"}]
