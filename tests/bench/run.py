"""Runs the yardstick: `python tests/bench/run.py [GROUP…] [--strict]`.

Groups: embedding listing commands pushing reloading fanout fleet shielded. Prints a line a figure as it is taken; with
--strict the exit status is 1 where a bound is broken. Times alone say little on a shared machine: every figure is a
ratio or a count.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

GROUPS = ("embedding", "listing", "commands", "pushing", "reloading", "fanout", "fleet", "shielded")


def compile_ours() -> None:
    """Writes the bytecode of our packages, as an installer does.

    A checkout has none where PYTHONDONTWRITEBYTECODE is set (as images of containers and CI do), while grpcio, which we
    are compared with, was compiled when it was installed: each measured process would compile our source anew.
    """
    for folder in ("proto", "agent", "client"):
        if not compileall.compile_dir(Path(__file__).parents[2] / folder, quiet=1):
            raise SystemExit(f"{folder} does not compile")


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="GROUP", choices=[*GROUPS, []], help="; ".join(GROUPS))
    parser.add_argument("--strict", action="store_true", help="exit 1 where a bound is broken")
    options = parser.parse_args()
    compile_ours()
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
