"""What starting the command costs."""

from __future__ import annotations

import subprocess
import sysconfig
from typing import TYPE_CHECKING

from bench.listing import loaded_tree
from bench.yardstick import HERE, PYTHON, Figure, Program, in_turn, wall_s, workplace

if TYPE_CHECKING:
    from collections.abc import Iterator

MODCTL = f"{sysconfig.get_path('scripts')}/modctl"


def figures() -> Iterator[Figure]:
    """`modctl list` of one process, `modctl --help`."""
    with workplace() as place:
        tree = loaded_tree(place)
        with Program("host.py", *tree, "--inside", "modctl") as service:
            address = service.said()["addresses"][0]
            ours = [MODCTL, "list", "--host", address]
            floor = [PYTHON, str(HERE / "floor_list.py"), address]
            wall_s(ours), wall_s(floor)
            mine, theirs, ratio = in_turn(lambda: wall_s(ours), lambda: wall_s(floor), 15)
            yield Figure(
                "modctl list, 3,000 entries / bare grpc.aio script", ratio, 1.5, "x",
                f"{mine * 1000:.0f} ms / {theirs * 1000:.0f} ms",
            )  # fmt: skip
            named = [MODCTL, "list", "json", "--host", address]
            floor = [PYTHON, str(HERE / "floor_list.py"), address, "json"]
            mine, theirs, ratio = in_turn(lambda: wall_s(named), lambda: wall_s(floor), 15)
            yield Figure(
                "modctl list json / bare grpc.aio script", ratio, 1.5, "x",
                f"{mine * 1000:.0f} ms / {theirs * 1000:.0f} ms",
            )  # fmt: skip
    ours, floor = [MODCTL, "--help"], [PYTHON, "-c", "import click"]
    wall_s(ours), wall_s(floor)
    mine, theirs, ratio = in_turn(lambda: wall_s(ours), lambda: wall_s(floor), 21)
    yield Figure(
        "modctl --help / python -c 'import click'", ratio, 1.5, "x", f"{mine * 1000:.0f} ms / {theirs * 1000:.0f} ms"
    )
    told = subprocess.run(
        [PYTHON, "-X", "importtime", MODCTL, "--help"], capture_output=True, text=True, check=True
    ).stderr
    loaded = sum(1 for line in told.splitlines() if line.split("|")[-1].strip().partition(".")[0] in {"grpc", "google"})
    yield Figure("grpc or protobuf modules imported by modctl --help", loaded, 0, "", "")
