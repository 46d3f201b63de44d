"""Real servers under load while their code is reloaded again and again: no failed request, no mixed response."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from modctl.client import Fleet
from modctl.client.operations import Reimport
from support.loaded import ASGI, GUNICORN, HOSTS, MODULE, WSGI, Load, is_installed, serving

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.timeout(3000 if "MODCTL_TEST_RELOADS" in os.environ else 300), pytest.mark.slow]

#: Of each host. More, or fewer, by MODCTL_TEST_RELOADS.
RELOADS = int(os.environ.get("MODCTL_TEST_RELOADS", "200"))
#: Of those that are like another one, and are left to longer runs.
FEWER_RELOADS = int(os.environ.get("MODCTL_TEST_RELOADS", "30"))
#: The same without any shield.
UNSHIELDED = {
    "gunicorn-gthread": (WSGI, [*GUNICORN[:3], "--bind", "127.0.0.1:{port}", "--threads", "4", "app:app"]),
    "uvicorn": (ASGI.replace("WRAP", ""), HOSTS["uvicorn"][1]),
}
#: A version, whose number is in the code of a function, in its defaults, and in what classes and constants it uses.
#: Each adds something that it needs itself.
GROWING = """
NUMBER = {0}
TABLE = {{"number": {0}}}

class Thing:
    number = {0}
    def __init__(self, value={0}):
        self.value = value
    @property
    def shown(self):
        return show_{0}(self)
    def method(self, value={0}, *, other={0}):
        return torn({0}, value, other)

def torn(*numbers):
    return [] if len(set(numbers)) == 1 else [numbers]

def get(value={0}, *, other={0}):
    return torn({0}, value, other)

def make():
    try:
        thing = Thing()
        found = [*get(), *thing.method(), *[get() for _ in range(3)][0], *(thing.shown is None and ["shown"] or [])]
        return 0 if not found else repr(found).replace(":", ";") + ":"
    except Exception as error:
        return f"{{error!r}}:"
"""
SHOW = "def show_{0}(thing):\n    return (thing.value, Thing.number, NUMBER, TABLE['number'])\n"


@pytest.mark.parametrize("host", HOSTS)
def test_two_hundred_reloads_under_load_fail_no_request_and_mix_no_response(
    host: str, state_dir: Path, short_dir: Path
) -> None:
    app, command, workers = HOSTS[host]
    if not is_installed(command):
        pytest.skip(f"{host} is not installed")
    reloads = FEWER_RELOADS if host == "gunicorn-uvicorn" else RELOADS
    with serving(app, command, workers, short_dir, state_dir) as port:
        quiet = Load(port, 4)
        time.sleep(3)
        quiet.stop()
        assert not quiet.failures, quiet.failures[:5]
        assert quiet.answers == {"0"}
        load = Load(port, 4)
        with Fleet.connect() as fleet:
            for number in range(1, reloads + 1):
                source = MODULE.format(number)
                result = fleet.apply(
                    [Reimport(name, "patch", source=source) for name in ("one", "two")], shield_wait_s=10.0
                )
                assert {row.outcome for row in result.rows} == {"APPLIED"}, [row.why for row in result.rows]
                assert len(result.rows) == workers
        load.stop()
        assert not load.failures, load.failures[:5]
        assert len(load.took_s) > reloads, "there was no load"
        figures = f"{host}: {len(load.took_s)} requests, p99 {quiet.p99_ms():.1f} → {load.p99_ms():.1f} ms"
        print(figures, f"{len(load.answers)} of {reloads} versions seen")
        assert len(load.answers) > reloads / 4, "hardly any version was ever served"


@pytest.mark.parametrize("host", UNSHIELDED)
def test_without_a_shield_nothing_is_raised_and_no_function_is_seen_half_changed(
    host: str, state_dir: Path, short_dir: Path
) -> None:
    app, command = UNSHIELDED[host]
    if not is_installed(command):
        pytest.skip(f"{host} is not installed")

    def version(number: int) -> str:
        return "".join(SHOW.format(n) for n in range(max(0, number - 50), number + 1)) + GROWING.format(number)

    (short_dir / "one.py").write_text(version(0))
    app = app.replace("(one.VALUE, one.get())", "(one.make(),)").replace("{*first, two.VALUE, two.get()}", "first")
    with serving(app, command, 1, short_dir, state_dir) as port:
        load = Load(port, 4)
        with Fleet.connect() as fleet:
            for number in range(1, FEWER_RELOADS + 1):
                result = fleet.apply([Reimport("one", "patch", source=version(number))])
                assert {row.outcome for row in result.rows} == {"APPLIED"}, [row.why for row in result.rows]
        load.stop()
        assert not load.failures, load.failures[:5]
        assert load.answers == {"0"}, load.answers
        assert len(load.took_s) > FEWER_RELOADS, "there was no load"
        print(f"{host}: {len(load.took_s)} requests, {FEWER_RELOADS} reloads")


def test_without_a_shield_responses_are_mixed_so_that_the_load_can_tell(state_dir: Path, short_dir: Path) -> None:
    pytest.importorskip("uvicorn")
    app = ASGI.replace("WRAP", "").replace("sleep(0.001)", "sleep(0.02)")
    with serving(app, HOSTS["uvicorn"][1], 1, short_dir, state_dir) as port:
        load = Load(port, 4)
        with Fleet.connect() as fleet:
            for number in range(1, 200):
                fleet.apply([Reimport(n, "patch", source=MODULE.format(number)) for n in ("one", "two")])
                if any(":" in answer for answer in load.answers):
                    break
        load.stop()
        assert any(":" in answer for answer in load.answers), "nothing was mixed: the load proves nothing"
        assert not [each for each in load.failures if not each.startswith("200 ")], load.failures[:5]
