"""Says two times in ms: a commit of 1,000 functions, and a look for holders in a heap of a million objects."""

from __future__ import annotations

import gc
import statistics
import time

from modctl.agent.engine.live.operations import Batch


def commit_ms() -> float:
    """The median of 50 commits that give 1,000 functions other code and defaults."""
    namespace: dict[str, object] = {}
    exec("\n".join(f"def f{number}(a, b=1): return a + {number}" for number in range(1000)), namespace)
    functions = [each for name, each in namespace.items() if name.startswith("f")]
    took = []
    for turn in range(50):
        other: dict[str, object] = {}
        exec("\n".join(f"def f{number}(a, b={turn}): return a - {number}" for number in range(1000)), other)
        batch = Batch()
        for number, function in enumerate(functions):
            fresh = other[f"f{number}"]
            batch.set_function(function, "__code__", fresh.__code__, "f")  # type: ignore[arg-type,attr-defined]
            batch.set_function(function, "__defaults__", fresh.__defaults__, "f")  # type: ignore[arg-type,attr-defined]
        _, took_s = batch.commit()
        took.append(took_s * 1e3)
    return statistics.median(took)


def sweep_ms() -> float:
    """The best of five looks for the holders of a few code objects, for a million objects."""
    heap = [[number] for number in range(1_000_000 - len(gc.get_objects()))]
    codes = [(lambda: 1).__code__ for _ in range(3)]
    took = []
    for _ in range(5):
        began_s = time.perf_counter()
        gc.get_referrers(*codes)
        took.append((time.perf_counter() - began_s) * 1e3)
    del heap
    return min(took)


if __name__ == "__main__":
    print(commit_ms(), sweep_ms())
