"""Fixtures of every test: a private place for sockets, so that no test sees another's agents or the user's own."""

from __future__ import annotations

import compileall
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

DOCKER = "MODCTL_TEST_DOCKER"
ROOT = Path(__file__).resolve().parent.parent


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compiles the product once, as an installer does: the tests start it a thousand times, and where the environment
    says PYTHONDONTWRITEBYTECODE each process would do that anew.
    """
    if not hasattr(session.config, "workerinput"):  # the workers' master has done it
        for folder in ("proto", "agent", "client"):
            compileall.compile_dir(ROOT / folder, quiet=2)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Names the group of each test as xdist does it, where that is in vain, and skips containers unless asked for."""
    if config.getoption("loadgroup", False):  # in a worker of `--dist loadgroup`
        for item in items:
            _name_group(item)
    if os.environ.get(DOCKER) == "1":
        return
    skip = pytest.mark.skip(reason=f"needs a Docker engine: `make test-docker` runs it ({DOCKER}=1)")
    for item in items:
        if item.get_closest_marker("docker"):
            item.add_marker(skip)


def _name_group(item: pytest.Item) -> None:
    """Tests of a group run on one worker. xdist 3.8 says the group in an attribute that pytest 9.2 does not read."""
    groups = {str(mark.args[0]) for mark in item.iter_markers("xdist_group")}
    node_id = getattr(item, "_id", None)
    if groups and node_id is not None and "@" not in item.nodeid.rpartition("]")[2]:
        item._id = type(node_id).parse(f"{item.nodeid}@{'_'.join(sorted(groups))}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Lone surrogates, which some tests are about, cannot travel from an xdist worker: they are shown escaped."""
    report = yield
    report.sections = [(_printable(title), _printable(text)) for title, text in report.sections]
    if report.longrepr is not None and not isinstance(report.longrepr, tuple):
        told = str(report.longrepr)
        if told != _printable(told):
            report.longrepr = _printable(told)
    return report


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A private directory whose path is short enough for unix sockets in it, which pytest's own is not."""
    folder = tempfile.mkdtemp(
        prefix="mc-", dir="/tmp"
    )  # whatever TMPDIR says: 107 bytes is all a socket's path may have
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_modctl_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer's shell says about modctl must not decide a test."""
    for name in [name for name in os.environ if name.startswith("MODCTL_") and not name.startswith("MODCTL_TEST_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def state_dir(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A MODCTL_STATE_DIR of this test's own, in the environment of what it starts."""
    place = short_dir / "state"
    place.mkdir(mode=0o700)
    monkeypatch.setenv("MODCTL_STATE_DIR", str(place))
    return place
