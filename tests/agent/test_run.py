"""Programs that know of no agent: `modctl-agent run -- …` and `python -m modctl.agent …`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.fake_gateway import FakeGateway
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

RUN = (sys.executable, "-c", "import sys; from modctl.agent.run import main; sys.exit(main())", "run")
MODULE = (sys.executable, "-m", "modctl.agent")
APP = """
import json, sys, os, time
started = "modctl.agent.runtime" in sys.modules
print(json.dumps([__name__, sys.argv, sys.modules["__main__"].__file__, sys.path[0], started]))
sys.stdout.flush()
time.sleep(float(sys.argv[1]))
"""


@pytest.fixture
def app(short_dir: Path) -> Path:
    file = short_dir / "shop.py"
    file.write_text(APP)
    return file


def run(*command: str | Path, expect: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=30, env=os.environ | environment
    )
    assert done.returncode == expect, done.stderr
    return done


@pytest.mark.parametrize("way", ["run", "module", "module -m", "run sh"])
def test_a_program_runs_as_it_would_and_has_an_agent(state_dir: Path, app: Path, way: str) -> None:
    command = {
        "run": [*RUN, "--label", "zone=a", "--", sys.executable, app, "2"],
        "module": [*MODULE, "--label", "zone=a", app, "2"],
        "module -m": [*MODULE, "--label", "zone=a", "-m", "shop", "2"],
        "run sh": [*RUN, "--label=zone=a", "--", "sh", "-c", f"{sys.executable} {app} 2; exit 5"],
    }[way]
    with FakeGateway(state_dir, "shop") as gateway:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=app.parent
        )
        process_of = gateway.one().process
        assert process_of["labels"] == {"zone": "a"}
        assert process_of["role"] == "PROCESS_ROLE_MAIN"
        if way != "run sh":
            assert process_of["pid"] == process.pid, "it became the program"
        output, errors = process.communicate(timeout=20)
    assert errors == ""
    name, argv, file, first_entry, started = json.loads(output)
    assert (name, argv[1:], file) == ("__main__", ["2"], str(app))
    assert first_entry in (str(app.parent), "")
    assert not started, "nothing was done before the program began"
    assert process.returncode == (5 if way == "run sh" else 0)


def test_a_short_helper_gets_no_agent_and_feels_nothing(state_dir: Path, app: Path) -> None:
    with FakeGateway(state_dir, "shop") as gateway:
        done = run(*RUN, "--", sys.executable, app, "0.1")
        assert done.stderr == ""
        assert gateway.connections == []
    code = "import sys; print(*sorted(name for name in sys.modules if 'modctl' in name), 'json' in sys.modules)"
    assert run(*RUN, "--", sys.executable, "-c", code).stdout.split() == [
        "modctl",
        "modctl.agent",
        "modctl.agent.errors",
        "modctl.agent.hooked",
        "False",
    ]


def test_children_have_agents_too_and_their_roles(state_dir: Path, short_dir: Path) -> None:
    file = short_dir / "shop.py"
    file.write_text(
        "import os, subprocess, sys, time\n"
        "if len(sys.argv) == 1:\n"
        "    if os.fork() == 0: time.sleep(4); os._exit(0)\n"  # forked before there was an agent
        "    subprocess.Popen([sys.executable, __file__, 'child'])\n"
        "time.sleep(4)\n"
    )
    with FakeGateway(state_dir, "shop") as gateway:
        process = subprocess.Popen([*RUN, "--", sys.executable, str(file)])
        present = gateway.wait(lambda present: len(present) == 3)
        roles = {connection.process["pid"]: connection.process["role"] for connection in present}
        assert roles.pop(process.pid) == "PROCESS_ROLE_MASTER"
        assert sorted(roles.values()) == ["PROCESS_ROLE_MAIN", "PROCESS_ROLE_WORKER"]
        assert process.wait(20) == 0


def test_a_program_that_starts_its_own_agent_has_the_last_word(state_dir: Path, short_dir: Path) -> None:
    file = short_dir / "shop.py"
    file.write_text(
        "import time\ntime.sleep(1.2)\nfrom modctl import agent\n"
        "handle = agent.start(service='mine')\nprint(handle.process.split('/')[0], flush=True)\ntime.sleep(1)\n"
    )
    with FakeGateway(state_dir, "shop") as hooked, FakeGateway(state_dir, "mine") as own:
        process = subprocess.Popen([*RUN, "--", sys.executable, str(file)], stdout=subprocess.PIPE, text=True)
        hooked.one()
        own.one()
        assert hooked.present() == []
        assert process.communicate(timeout=20)[0] == "mine\n"
        assert process.returncode == 0


def test_the_sitecustomize_that_is_hidden_runs_and_its_faults_are_its_own(short_dir: Path, app: Path) -> None:
    folder = short_dir / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.customized = __file__\n")
    code = "import sys, sitecustomize as s; print(sys.customized == s.__file__, [e for e in sys.path if 'hook' in e])"
    done = run(*RUN, "--", sys.executable, "-c", code, PYTHONPATH=str(folder))
    assert done.stdout == "True []\n"
    assert "sitecustomize" in run(*RUN, "--", sys.executable, "-c", "import sitecustomize; print(sitecustomize)").stdout
    (folder / "sitecustomize.py").write_text("1 / 0")
    assert "ZeroDivisionError" in run(*RUN, "--", sys.executable, "-c", "", PYTHONPATH=str(folder)).stderr


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ([*RUN], 2, "no program is given"),
        ([*RUN, "--"], 2, "no program is given"),
        ([*MODULE], 2, "no program is given"),
        ([*RUN, "--", "/nowhere/program"], 127, "no such program"),
        ([*RUN, "--", "/tmp"], 126, "/tmp"),
        ([*RUN, "--listen", "0.0.0.0:1", "--", "true"], 2, "needs TLS"),
        ([*RUN, "--label", "zone", "--", "true"], 2, "key=value"),
        ([*RUN, "--nonsense", "--", "true"], 2, "modctl-agent"),
        ([sys.executable, "-I", "-m", "modctl.agent", "app.py"], 2, "leave them out"),
        ([sys.executable, "-c", "import sys; from modctl.agent.run import main; sys.exit(main())"], 2, "COMMAND"),
    ],
)
def test_what_cannot_be_run_is_said_and_nothing_is_printed_on_stdout(
    command: list[str], code: int, message: str
) -> None:
    done = run(*command, expect=code)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_options_become_variables_of_everything_below(state_dir: Path, short_dir: Path) -> None:
    (short_dir / "policy").write_text("")
    names = ["LISTEN", "SERVICE", "LABELS", "POLICY", "STATE_DIR", "INSECURE", "AUTOSTART"]
    code = f"import os; print(*(os.environ.get('MODCTL_' + name) for name in {names}), sep='|')"
    options = [
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "0.0.0.0:0",
        "--service",
        "shop",
        "--label",
        "a=b",
        "--label",
        "c=d",
    ]
    options += ["--policy", "policy", "--state-dir", "state", "--insecure"]
    done = subprocess.run(
        [*RUN, *options, "--", sys.executable, "-c", code], capture_output=True, text=True, cwd=short_dir
    )
    assert done.stdout.strip().split("|") == [
        "127.0.0.1:0,0.0.0.0:0", "shop", "a=b,c=d", str(short_dir / "policy"), str(short_dir / "state"), "1", "1",
    ]  # fmt: skip


def test_the_kill_switch_holds_here_too(state_dir: Path, app: Path) -> None:
    with FakeGateway(state_dir, "shop") as gateway:
        run(*RUN, "--", sys.executable, app, "1.2", MODCTL_DISABLE="1")
        assert gateway.connections == []


def test_multiprocessing_that_spawns_has_agents_and_its_tracker_has_none(state_dir: Path, short_dir: Path) -> None:
    file = short_dir / "shop.py"
    file.write_text(
        "import multiprocessing, time\n"
        "def work(): time.sleep(4)\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    workers = [context.Process(target=work) for _ in range(2)]\n"
        "    [worker.start() for worker in workers]\n"
        "    time.sleep(4)\n    [worker.join() for worker in workers]\n"
    )
    with FakeGateway(state_dir, "shop") as gateway:
        process = subprocess.Popen([*RUN, "--", sys.executable, str(file)])
        gateway.wait(lambda present: len(present) == 3)
        until(lambda: process.poll() is not None, within_s=20)
        assert len(gateway.connections) == 3
        assert process.returncode == 0
