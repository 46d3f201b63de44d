"""Runs the yardstick: `python tests/bench/run.py [GROUP…] [--strict]`.

Groups: embedding listing commands pushing reloading fanout fleet. Prints a line a figure as it is taken; with --strict
the exit status is 1 where a bound is broken. Times alone say little on a shared machine: every figure is a ratio or a
count.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

GROUPS = ("embedding", "listing", "commands", "pushing", "reloading", "fanout", "fleet")


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="GROUP", choices=[*GROUPS, []], help="; ".join(GROUPS))
    parser.add_argument("--strict", action="store_true", help="exit 1 where a bound is broken")
    options = parser.parse_args()
    broken = 0
    started = time.perf_counter()
    for group in options.groups or GROUPS:
        print(f"# {group}", flush=True)
        for figure in importlib.import_module(f"bench.{group}").figures():
            print(figure.line(), flush=True)
            broken += not figure.holds
    print(f"# {broken} of the bounds broken; {time.perf_counter() - started:.0f} s", flush=True)
    return 1 if broken and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
