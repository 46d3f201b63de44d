"""The wheel, not the tree: what a user gets from `pip install modctl` and `pip install modctl[cli]`."""

from __future__ import annotations

import configparser
import email
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging"), pytest.mark.timeout(300)]


def run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [str(argument) for argument in command],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd="/",  # so that nothing is found because of where we stand
        env=environ,
    )
    if check:
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, check=False)
    if done.returncode and "No matching distribution found for hatchling" in done.stderr:
        pytest.skip("the build needs hatchling and no package index that has it is reachable")
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("modctl-*.whl")
    return built


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the wheel and what it depends on, no extra."""
    return installed(wheel, tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def full(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with modctl[cli]."""
    return installed(f"{wheel}[cli]", tmp_path_factory.mktemp("full"))


def installed(requirement: str | Path, folder: Path) -> Path:
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", requirement)
    return folder / "bin"


def test_the_wheel_holds_the_three_roots_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    outside = [name for name in names if not name.startswith(("modctl/", "modctl-"))]
    assert outside == []
    assert "modctl/__init__.py" not in names, "modctl is a namespace: a regular package here would hide parts of it"
    for package in ("v1", "local", "agent", "gateway", "client"):
        assert f"modctl/{package}/__init__.py" in names
        assert f"modctl/{package}/py.typed" in names, f"type checkers will not look into modctl.{package}"
    assert "modctl/v1/module_service_pb2_grpc.py" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_every_python_file_of_the_tree_is_in_the_wheel(wheel: Path) -> None:
    tree = {
        file.relative_to(ROOT / root).as_posix()
        for root in ("proto", "agent", "client")
        for file in (ROOT / root / "modctl").rglob("*.py*")
        if file.suffix in {".py", ".pyi"}
    }
    examples = "modctl/client/demo/examples/"
    tree |= {
        examples + file.relative_to(ROOT / "examples").as_posix()  # what `modctl demo` starts
        for file in (ROOT / "examples").rglob("*.py")
    }
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.endswith((".py", ".pyi"))} == tree


def test_the_base_install_depends_on_grpcio_and_protobuf_without_upper_pins(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        message = email.message_from_bytes(archive.read(metadata))
        scripts = configparser.ConfigParser()
        scripts.read_string(archive.read(entry_points).decode())
    requirements = message.get_all("Requires-Dist") or []
    base_only = [requirement for requirement in requirements if "extra ==" not in requirement]
    assert sorted(base_only) == ["grpcio>=1.60", "protobuf>=4.25", "tomli>=2; python_version < '3.11'"]
    assert message["License-Expression"] == "Apache-2.0"
    assert dict(scripts["console_scripts"]) == {
        "modctl": "modctl.client.cli:main",
        "modctl-agent": "modctl.agent.run:main",
    }


def test_the_base_install_can_embed_and_connect(base: Path) -> None:
    run(base / "python", "-Ic", "import modctl.agent; modctl.agent.start")
    run(base / "python", "-Ic", "import modctl.client; modctl.client.Fleet")
    run(base / "python", "-Ic", "import modctl.gateway.main")


def test_the_base_install_has_no_click_and_the_command_says_how_to_get_it(base: Path) -> None:
    assert run(base / "python", "-Ic", "import click", check=False).returncode == 1
    done = run(base / "modctl", "list", check=False)
    assert done.returncode == 2
    assert "modctl[cli]" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_service_runs_on_the_base_install_alone(base: Path, short_dir: Path) -> None:
    # required=True: it is the gateway, started from the wheel, that answers here.
    code = (
        "from modctl import agent\nwith agent.start(service='wheel', required=True) as handle: print(handle.addresses)"
    )
    environ = {**os.environ, "MODCTL_STATE_DIR": str(short_dir / "state")}
    done = subprocess.run(
        [str(base / "python"), "-Ic", code], capture_output=True, text=True, env=environ, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "unix://" in done.stdout


def test_the_command_line_of_the_wheel_runs(full: Path) -> None:
    assert run(full / "modctl", "version").stdout.strip()
    assert "reimport" in run(full / "modctl", "--help").stdout
    assert run(full / "modctl-agent", "--help").returncode == 0
