"""What reloading in place costs a service, against importlib.reload of the same modules with compile.

Processor time is that of the whole service, whichever thread spends it; the gateway's is its own.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.yardstick import Figure, Program, synthetic_tree, workplace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODULES = 500
MANY = 200
ROUNDS = 9
WORKERS = 8
WHEELS = Path(os.environ.get("MODCTL_WHEELS", "/tmp/modctl-wheels"))
UPGRADES = (
    ("click", "8.1.3", "8.1.7", ()),
    ("jinja2", "3.1.2", "3.1.4", ("markupsafe",)),
    ("requests", "2.31.0", "2.32.3", ("urllib3==2.2.2", "idna", "certifi", "charset-normalizer")),
    ("werkzeug", "3.0.1", "3.0.3", ("markupsafe",)),
    ("flask", "3.0.0", "3.0.3", (
        "werkzeug==3.0.3", "jinja2==3.1.4", "click==8.1.7", "markupsafe", "itsdangerous", "blinker",
    )),
)  # fmt: skip


def module_source(body: int, constant: int = 1) -> str:
    """A module of 20 functions and 3 classes in 500 lines. A number of its own makes another version: `body` of one
    function's body, `constant` of a constant and an attribute of each class.
    """

    def function(number: int, indent: str = "", first: str = "") -> str:
        lines = [
            f"def function_{number}({first}amount, second={number}, *, scale=1.5):",
            f"    '''Says what {number} makes of the two.",
            "",
            "    Args:",
            "        amount: a number.",
            "        second: another.",
            "        scale: what each odd step counts.",
            "    '''",
            f"    total = amount * {body if number == 7 else 0} + second",
            "    found = {}",
            f"    for step in range({number}):",
            "        if step % 2:",
            "            total += step * scale",
            f"        elif step > {number} // 2:",
            "            found[step] = [each * 2 for each in range(step)]",
            "        else:",
            "            total -= step",
            "    if total < 0:",
            "        raise ValueError(f'{amount} and {second} make {total}')",
            "    return total, found",
        ]
        return "\n".join(indent + line for line in lines)

    functions = "\n\n\n".join(function(number) for number in range(20))
    classes = "\n\n\n".join(
        f"class Class{number}:\n    '''The {number}th.'''\n\n    limit = {constant}\n\n"
        + "\n\n".join(function(20 + number * 5 + each, "    ", "self, ") for each in range(4))
        for number in range(3)
    )
    return (
        f"'''A module.'''\n\nimport os\nfrom collections import OrderedDict\n\nVERSION = {constant}\n"
        f"TABLE = {{'a': 1, 'b': 2}}\n\n\n{functions}\n\n\n{classes}\n"
    )


class Reloads:
    """A service and the modules that are reloaded in it: each has a twin, which importlib reloads."""

    def __init__(self, place: Path, names: list[str], others: int = 0) -> None:
        self.place = place
        self.names = names
        self._version = 0
        self.write(0, 0)
        listed = [*synthetic_tree(place, others), *names, *(f"{name}_twin" for name in names)]
        (place / "names").write_text("\n".join(listed))
        self.program = Program("reload_host.py", "--path", str(place), "--load", str(place / "names"))
        self.address = self.program.said()["addresses"][0]
        time.sleep(2)  # the agent looks at what was loaded before it

    def write(self, body: int, constant: int) -> None:
        """Writes a version of all modules."""
        source = module_source(body, constant)
        for name in self.names:
            for suffix in ("", "_twin"):
                (self.place / f"{name}{suffix}.py").write_text(source)

    def step(self, *, constant: bool = False) -> None:
        """Writes the next version."""
        self._version += 1
        self.write(self._version, 1000 + self._version if constant else 0)

    def floor(self) -> dict[str, float]:
        """What importlib.reload of the twins takes."""
        return self.program.ask("importlib " + " ".join(f"{name}_twin" for name in self.names))

    def ours(self, reload: Callable[[], None]) -> tuple[float, float]:
        """Processor seconds of the service, and wall seconds."""
        self.program.ask("cpu")
        before = self.program.ask("cpu")["cpu_s"]
        began_s = time.perf_counter()
        reload()
        wall_s = time.perf_counter() - began_s
        time.sleep(0.1)  # what it still has to do afterwards counts
        return self.program.ask("cpu")["cpu_s"] - before, wall_s


def _ratios(
    reloads: Reloads, reload: Callable[[], None], rounds: int, *, constant: bool = False
) -> tuple[list[float], list[float], float, float]:
    """Ratios of processor time and of wall time, and medians of both sides' processor milliseconds."""
    cpu, wall, mine, theirs = [], [], [], []
    for number in range(rounds + 2):
        reloads.step(constant=constant)
        floor = reloads.floor()
        cpu_s, wall_s = reloads.ours(reload)
        if number < 2:
            continue  # the first have to learn what is loaded
        cpu.append(cpu_s / floor["cpu_s"])
        wall.append(wall_s / floor["wall_s"])
        mine.append(cpu_s * 1e3)
        theirs.append(floor["cpu_s"] * 1e3)
    return cpu, wall, statistics.median(mine), statistics.median(theirs)


def _warm_walls(reloads: Reloads, reload: Callable[[], None], *, constant: bool) -> tuple[float, float, float]:
    """Median ratio of wall times where the gateway has thought of it before, and both sides' median milliseconds.

    Two versions take turns: from the third time on the gateway has what leads from each to the other, as it has for all
    processes of a host but the first. importlib.reload compiles its twin each time: it is told to write no bytecode.
    """
    ratios, mine, theirs = [], [], []
    for number in range(3 * ROUNDS + 4):
        version = 1_000_000 + number % 2
        reloads.write(version, version if constant else 0)
        floor_s = reloads.floor()["wall_s"]
        _, wall_s = reloads.ours(reload)
        if number >= 4:
            ratios.append(wall_s / floor_s)
            mine.append(wall_s * 1e3)
            theirs.append(floor_s * 1e3)
    return statistics.median(ratios), statistics.median(mine), statistics.median(theirs)


def figures() -> Iterator[Figure]:
    """All rows."""
    yield from one_module()
    yield from many_modules()
    yield from upgrades()
    yield from workers()
    yield from pauses()
    yield from attached()


def one_module() -> Iterator[Figure]:
    """One changed module among 500; and whether a hundred reloads grow dearer."""
    from modctl.client import Fleet

    with workplace() as place:
        reloads = Reloads(place, ["changed"], MODULES)
        try:
            with Fleet.connect(reloads.address) as fleet:

                def reload() -> None:
                    fleet.reload("changed").raise_for_failures()

                for constant, what in ((False, "a function's body"), (True, "a constant, 3 attributes")):
                    cpu, cold, mine, theirs = _ratios(reloads, reload, ROUNDS, constant=constant)
                    detail = f"{what}: {mine:.2f} / {theirs:.2f} ms"
                    yield Figure("CPU of one reload / importlib.reload", statistics.median(cpu), 1.5, "x", detail)
                    wall, mine, theirs = _warm_walls(reloads, reload, constant=constant)
                    detail = f"{what}: {mine:.1f} / {theirs:.1f} ms; {statistics.median(cold):.1f}x of text never seen"
                    yield Figure("wall of the SDK's call / importlib.reload", wall, 5, "x", detail)
                cpu, _, _, _ = _ratios(reloads, reload, int(os.environ.get("MODCTL_BENCH_ROUNDS", "100")))
                early, late = statistics.median(cpu[:25]), statistics.median(cpu[-25:])
                detail = f"quarter medians {early:.2f} and {late:.2f}"
                yield Figure("reload time after 100 reloads / at first", late / early, 1.1, "x", detail)
        finally:
            reloads.program.close()


def many_modules() -> Iterator[Figure]:
    """200 changed modules as one transaction."""
    from modctl.client import Fleet

    for constant, what in ((False, "a function's body each"), (True, "a constant, 3 attributes each")):
        with workplace() as place:
            reloads = Reloads(place, [f"many_{number:03}" for number in range(MANY)], MODULES - MANY)
            try:
                with Fleet.connect(reloads.address, timeout_s=120) as fleet:

                    def reload(fleet: Fleet = fleet, names: list[str] = reloads.names) -> None:
                        fleet.reload(*names).raise_for_failures()

                    cpu, _, mine, theirs = _ratios(reloads, reload, 3, constant=constant)
                    detail = f"{what}: {mine:.0f} / {theirs:.0f} ms"
                    yield Figure(
                        f"CPU of {MANY} modules at once / importlib.reload", statistics.median(cpu), 1.0, "x", detail
                    )
            finally:
                reloads.program.close()


def unpacked(requirement: str) -> Path:
    """The folder of a wheel of the index, fetched once."""
    folder = WHEELS / requirement.replace("==", "-")
    if not folder.is_dir():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", str(folder)]
        subprocess.run([*command, requirement], check=True, timeout=120)
    return folder


def upgrades() -> Iterator[Figure]:
    """Real packages from one version to the next, as one transaction each."""
    from modctl.client import Fleet

    for package, old, new, needs in UPGRADES:
        source, target = unpacked(f"{package}=={old}") / package, unpacked(f"{package}=={new}") / package
        paths = [argument for each in needs for argument in ("--path", str(unpacked(each)))]
        found = sorted(target.rglob("*.py"))
        names = [_dotted(package, each.relative_to(source)) for each in sorted(source.rglob("*.py"))]
        changed = [
            _dotted(package, each.relative_to(target))
            for each in found
            if (before := source / each.relative_to(target)).is_file() and before.read_bytes() != each.read_bytes()
        ]
        spent: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(3):
            for ours in (False, True):
                with workplace() as place:
                    shutil.copytree(source, place / package)
                    (place / "names").write_text("\n".join(name for name in names if not name.endswith("__main__")))
                    agent = [] if ours else ["--no-agent"]
                    listed = ["--path", str(place), *paths, "--load", str(place / "names")]
                    with Program("reload_host.py", *listed, *agent) as program:
                        said = program.said()
                        time.sleep(1.5 if ours else 0)
                        shutil.copytree(target, place / package, dirs_exist_ok=True)
                        if not ours:
                            loaded = [name for name in said["loaded"] if name in changed]
                            spent[ours].append(program.ask("importlib " + " ".join(loaded))["cpu_s"])
                            continue
                        with Fleet.connect(said["addresses"][0], timeout_s=120) as fleet:
                            before_s = program.ask("cpu")["cpu_s"]
                            fleet.reload(f"{package}*").raise_for_failures()
                            time.sleep(0.2)
                            spent[ours].append(program.ask("cpu")["cpu_s"] - before_s)
        mine, theirs = min(spent[True]), min(spent[False])
        detail = f"{old} to {new}, {len(changed)} modules changed: {mine * 1e3:.0f} / {theirs * 1e3:.0f} ms"
        yield Figure(f"CPU of an upgrade of {package} / importlib.reload", mine / theirs, 3.0, "x", detail)


def _dotted(package: str, place: Path) -> str:
    return f"{package}.{'.'.join(place.with_suffix('').parts)}".removesuffix(".__init__")


def workers() -> Iterator[Figure]:
    """Eight processes of one host against one."""
    from modctl.client import Fleet

    with workplace() as place:
        took: dict[int, list[float]] = {1: [], WORKERS: []}
        (place / "changed.py").write_text(module_source(0))
        (place / "names").write_text("\n".join([*synthetic_tree(place, MODULES), "changed"]))
        arguments = ["reload_host.py", "--path", str(place), "--load", str(place / "names")]
        services = {
            count: [Program(*arguments, "--service", f"of{count}") for _ in range(count)] for count in (1, WORKERS)
        }
        try:
            said = {count: [each.said() for each in found] for count, found in services.items()}
            addresses = {count: found[0]["addresses"][0] for count, found in said.items()}
            time.sleep(2)
            for number in range(1, 10):
                (place / "changed.py").write_text(module_source(number))
                for count in (1, WORKERS):
                    with Fleet.connect(addresses[count]) as fleet:
                        fleet.list("changed")
                        began_s = time.perf_counter()
                        result = fleet.reload("changed")
                        took_s = time.perf_counter() - began_s
                        result.raise_for_failures()
                        if len(result) != count:
                            raise RuntimeError(f"{len(result)} of {count} processes answered")
                        took[count].append(took_s)
            one, all_of_them = statistics.median(took[1][2:]), statistics.median(took[WORKERS][2:])
            detail = f"{all_of_them * 1e3:.1f} / {one * 1e3:.1f} ms"
            yield Figure(f"wall of {WORKERS} workers / of one", all_of_them / one, 2.5, "x", detail)
        finally:
            for program in (*services[1], *services[WORKERS]):
                program.close()


def pauses() -> Iterator[Figure]:
    """How long a commit of a thousand functions holds everything, and what a look at the heap takes."""
    script = Path(__file__).with_name("reload_pauses.py")
    done = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True, timeout=300)
    commit_ms, sweep_ms = map(float, done.stdout.split())
    yield Figure("pause of a commit of 1,000 functions", commit_ms, 1.0, "ms", "median of 50")
    yield Figure("a look at a heap of a million objects", sweep_ms, 20.0, "ms", "best of 5")


def attached() -> Iterator[Figure]:
    """What it costs to have the engine attached, with 2,500 modules loaded: everything that a service with an agent
    spends in its first four seconds, its own thread's part apart.
    """
    spent: dict[str, list[float]] = {"": [], "--no-engine": [], "--no-agent": []}
    own: dict[str, list[float]] = {each: [] for each in spent}
    with workplace() as place:
        (place / "names").write_text("\n".join(synthetic_tree(place, 2500)))
        for _ in range(5):
            for option in spent:
                arguments = ["reload_host.py", "--path", str(place), "--load", str(place / "names")]
                with Program(*arguments, *([option] if option else [])) as program:
                    own[option].append(program.said()["attached_ms"])
                    time.sleep(4)
                    spent[option].append(program.ask("cpu")["since_start_s"] * 1e3)
    with_ms, without_ms = statistics.median(spent[""]), statistics.median(spent["--no-agent"])
    detail = f"{with_ms:.0f} ms with, {without_ms:.0f} ms without an agent"
    yield Figure("engine attached, 2,500 modules, in the background", with_ms - without_ms, 150, "ms", detail)
    mine_ms, floor_ms = min(own[""]), min(own["--no-engine"])
    detail = f"thread time of start(): {mine_ms:.1f} ms, {floor_ms:.1f} with an engine that does nothing (best of 5)"
    yield Figure("of it on the thread that calls start()", mine_ms - floor_ms, 1.0, "ms", detail)
