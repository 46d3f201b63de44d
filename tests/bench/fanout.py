"""What one operator's client pays to list a thousand endpoints."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.yardstick import Figure, Program, workplace

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDPOINTS = 1000
SERVERS = 8


def figures() -> Iterator[Figure]:
    """Each round is a fresh process, so that peak memory is that of one command."""
    with workplace() as place:
        share = ENDPOINTS // SERVERS
        servers = [Program("endpoints.py", str(place), str(n * share), str(share)) for n in range(SERVERS)]
        try:
            for server in servers:
                server.said()
            rounds = []
            for _ in range(5):
                taken = {}
                for way in ("fleet", "bare"):
                    with Program("fanout_client.py", way, str(place), str(ENDPOINTS)) as client:
                        taken[way] = client.said()
                rounds.append((taken["fleet"], taken["bare"]))
            for ours, floor in rounds:
                if ours["entries"] != floor["entries"]:
                    raise RuntimeError(f"{ours['entries']} entries came, {floor['entries']} should have")
            ratio = statistics.median(ours["wall_s"] / floor["wall_s"] for ours, floor in rounds)
            mine = statistics.median(ours["wall_s"] for ours, _ in rounds)
            theirs = statistics.median(floor["wall_s"] for _, floor in rounds)
            rss = statistics.median(ours["rss_mib"] for ours, _ in rounds)
            floor_rss = statistics.median(floor["rss_mib"] for _, floor in rounds)
            yield Figure(
                "list of 1,000 endpoints / bare grpc.aio loop", ratio, 1.3, "x", f"{mine:.2f} s / {theirs:.2f} s"
            )
            yield Figure("client's peak RSS in it", rss, 150, "MiB", f"the bare loop: {floor_rss:.0f} MiB")
        finally:
            for server in servers:
                server.close()
