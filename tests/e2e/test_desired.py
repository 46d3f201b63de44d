"""A change set as the desired state: who has it, who lacks it, and whom it was not written for, in real processes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any, cast

import pytest
from support import cli
from support.crew import NEW, OLD, Crew

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

pytestmark = [pytest.mark.timeout(240)]


@pytest.fixture
def crew(short_dir: Path, state_dir: Path) -> Iterator[Crew]:
    with Crew(short_dir, state_dir) as crew:
        # What was loaded before anybody watched has no proven digest once its file has changed; this has.
        crew.modctl("reimport", "pricing", "--all", "--yes")
        yield crew


def digest(source: str) -> str:
    return f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"


@pytest.fixture
def fix(crew: Crew) -> Path:
    """A fix of one module, a stub and a block."""
    file = crew.new / "fix.toml"
    file.write_text(
        f"""
[[operations]]
inject = {{ name = "pricing", file = "pricing.py", replace = true, base_digest = "{digest(OLD)}" }}
[[operations]]
inject = {{ name = "colours", attributes = {{ RED = 1 }} }}
[[operations]]
inject = {{ name = "telemetry", block = true }}
"""
    )
    return file


def verdicts(document: dict[str, Any]) -> dict[str, list[tuple[int, list[str], bool, bool]]]:
    return {
        each["module"]: [
            (group["count"], group["states"], group["differs"], group["superseded"]) for group in each["groups"]
        ]
        for each in document["results"]
    }


def test_drift_against_a_change_set_says_who_lacks_it_who_has_it_and_whom_it_is_not_for(crew: Crew, fix: Path) -> None:
    before = crew.modctl("drift", "--against", fix, "-o", "json", expect=1).document
    assert verdicts(before) == {
        "colours": [(4, ["NOT_LOADED"], True, False)],
        "pricing": [(4, ["CLEAN"], True, False)],
        "telemetry": [(4, ["NOT_LOADED"], True, False)],
    }
    odd, lagging = crew.children()[:2]
    (crew.folder / "pricing.py").write_text("RATE = 9\n")
    crew.modctl("reimport", "pricing", "--process", str(odd))
    others = ",".join(str(pid) for pid in crew.rates() if pid not in (odd, lagging))
    crew.modctl("apply", "-f", fix, "--process", others)
    # The build of one has moved on: the fix is refused there, and drift says why.
    crew.modctl("apply", "-f", fix, "--process", str(odd), expect=3)
    between = verdicts(crew.modctl("drift", "--against", fix, "-o", "json", expect=1).document)
    assert sorted((group[0], *group[2:]) for group in between["pricing"]) == [
        (1, True, False),
        (1, True, True),
        (2, False, False),
    ]
    assert between["telemetry"] == [(2, ["BLOCKED"], False, False), (2, ["NOT_LOADED"], True, False)]
    assert between["colours"] == [(2, ["INJECTED"], False, False), (2, ["NOT_LOADED"], True, False)]
    shown = crew.modctl("drift", "--against", fix, "pricing", expect=1).stdout
    assert "superseded" not in shown
    assert len(shown.splitlines()) == 5
    crew.modctl("undo", "--process", str(odd))
    crew.modctl("apply", "-f", fix, "--process", f"{odd},{lagging}", "--yes")
    assert crew.modctl("drift", "--against", fix, expect=0).stdout == ""


def test_a_context_says_what_is_desired(crew: Crew, fix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = crew.new / "config.toml"
    config.write_text('current = "here"\n[contexts.here]\ndesired = "fix.toml"\n')
    environ = {**os.environ, "MODCTL_STATE_DIR": str(crew.state_dir), "MODCTL_CONFIG": str(config)}

    def drift(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*cli.MODCTL, "drift", "--against", *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    assert drift("desired").returncode == 1
    config.write_text(f'current = "here"\n[contexts.here]\ndesired = "{crew.new}"\n')
    assert drift("desired").returncode == 1
    assert drift(str(crew.folder), "pricing").returncode == 0
    config.write_text('current = "here"\n[contexts.here]\n')
    lost = drift("desired")
    assert lost.returncode == 2
    assert 'write desired = "FILE"' in lost.stderr


def test_diff_against_a_change_set_shows_what_it_would_bring(crew: Crew, fix: Path) -> None:
    shown = crew.modctl("diff", "-f", fix, expect=1).stdout
    assert "-RATE = 1" in shown
    assert "+RATE = 2" in shown
    assert "+RED = 1" in shown
    document = crew.modctl("diff", "-f", fix, "-o", "json", expect=1).document
    assert document["summary"]["differing"] == 3 * 4
    assert {(row["name"], row["loaded"], row["differs"]) for row in document["results"]} == {
        ("pricing", True, True),
        ("colours", False, True),
        ("telemetry", False, True),
    }
    crew.modctl("apply", "-f", fix, "--all", "--yes")
    assert crew.modctl("diff", "-f", fix, expect=0).stdout == ""
    evicting = crew.new / "evict.json"
    evicting.write_text(json.dumps({"operations": [{"evict": "pricing"}]}))
    assert "-RATE = 2" in crew.modctl("diff", "-f", evicting, expect=1).stdout
    crew.modctl("diff", "-f", fix, "pricing", expect=2)


def test_diff_of_a_name_that_nobody_has_says_so(crew: Crew) -> None:
    told = crew.modctl("diff", "nothing.of.that.name", expect=0)
    assert "no process has loaded nothing.of.that.name" in told.stderr
    gone = crew.modctl("diff", "pricing", "-H", "127.0.0.1:1", "-o", "json", expect=4).document
    assert [(row["target"], row["outcome"]) for row in gone["results"]] == [("127.0.0.1:1", "UNREACHABLE")]


def test_drift_watched_tells_each_change_once(crew: Crew) -> None:
    watching = crew.background(["drift", "pricing", "--watch", "--interval", "50ms", "-o", "jsonl"])
    out = cast("IO[str]", watching.stdout)

    def told() -> tuple[int, int]:
        """How many modules differ, and how many versions there are."""
        module, rest = json.loads(out.readline()), json.loads(out.readline())
        return rest["summary"]["differing"], len(module["groups"])

    try:
        assert told() == (0, 1)
        (crew.folder / "pricing.py").write_text(NEW)
        crew.modctl("drift", "pricing", "--against", "disk", expect=1)  # the edit is known by now
        one = crew.children()[0]
        crew.modctl("reimport", "pricing", "--process", str(one))
        while (last := told()) != (1, 2):
            assert last[1] <= 2, last  # the file's change is a change of the states, too
        crew.modctl("undo", "--process", str(one))
        while (last := told())[0] != 0:
            assert last[1] <= 2, last
        watching.send_signal(signal.SIGINT)
        rest = out.read()
        assert watching.wait(30) == 130
    finally:
        watching.kill()
        watching.wait()
        out.close()
        cast("IO[str]", watching.stderr).close()
    # A second of looks every 50 ms, and nothing said twice.
    assert rest == ""
