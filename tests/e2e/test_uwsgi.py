"""uWSGI, which embeds Python, forks by itself and by default calls no hook of Python's."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import cli, processes, uwsgi
from support.services import Service, fetch
from support.waiting import until

from e2e.hosts import WSGI, Host

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("uwsgi")]

WORKERS = 3
OPTIONS = (
    *("--master", "--die-on-term", "--need-app", "--processes", str(WORKERS), "--http-socket", "127.0.0.1:{port}"),
    *("--virtualenv", sys.prefix, "--wsgi-file", "app.py", "--callable", "app"),
)
CHAINED = (
    WSGI.replace(
        'agent.start(service="host")',
        """
import uwsgi
hooked = []
uwsgi.post_fork_hook = lambda: hooked.append(os.getpid())
agent.start(service="host")
""",
    )
    + """
inner = app
def app(environ, start_response):
    assert hooked == [os.getpid()], "the program's own post_fork_hook was lost"
    return inner(environ, start_response)
"""
)

#: What importing uWSGI's own helper comes to; it is not installed everywhere.
DECORATORS = """
import sys, types, uwsgi
decorators = sys.modules["uwsgidecorators"] = types.ModuleType("uwsgidecorators")
decorators.postfork_chain = []
def hook():
    for each in decorators.postfork_chain:
        each()
uwsgi.post_fork_hook = hook
"""

#: The master has loaded the program too, except where workers load it for themselves.
HOSTS = [
    Host("threads", WSGI, (*OPTIONS, "--enable-threads"), agents=WORKERS + 1),
    Host("own-hook", CHAINED, (*OPTIONS, "--enable-threads"), agents=WORKERS + 1),
    Host("lazy-apps", WSGI, (*OPTIONS, "--enable-threads", "--lazy-apps"), agents=WORKERS),
    Host("fork-hooks", WSGI, (*OPTIONS, "--enable-threads", "--py-call-uwsgi-fork-hooks"), agents=WORKERS + 1),
    Host("osafterfork", WSGI, (*OPTIONS, "--enable-threads", "--py-call-osafterfork"), agents=WORKERS + 1),
]


@pytest.fixture(params=[pytest.param(host, id=host.name) for host in HOSTS])
def running(request: pytest.FixtureRequest) -> Iterator[tuple[Host, Service, str]]:
    host: Host = request.param
    if host.name == "osafterfork" and sys.version_info >= (3, 13):
        pytest.skip("uWSGI 2.0's --py-call-osafterfork aborts its own workers on Python 3.13, agent or not")
    program = uwsgi.binary()
    folder = Path(tempfile.mkdtemp(prefix="mc-", dir="/tmp"))
    service, url = host.start(folder, interpreter=program)
    try:
        yield host, service, url
    finally:
        service.end()
        shutil.rmtree(folder, ignore_errors=True)


def test_every_uwsgi_worker_has_an_agent_and_its_successor_too(running: tuple[Host, Service, str]) -> None:
    host, service, url = running
    before = service.wait_for_agents(host.agents)
    assert {row["pid"] for row in cli.agents(service.state_dir)} == before
    answer = until(lambda: fetch(url), 10.0)
    assert answer.startswith("hello ")
    os.kill(int(answer.split()[1]), signal.SIGKILL)
    until(lambda: service.agent_pids() - before, 15.0, what="the agent of the worker's successor", every_s=0.1)
    service.wait_for_agents(host.agents)
    assert until(lambda: fetch(url), 10.0).startswith("hello ")
    until(lambda: uwsgi.workers_hear(service, WORKERS), 15.0, what="all workers")
    service.stop(signal.SIGTERM, within_s=20.0)
    until(lambda: not processes.mentioning(str(service.state_dir)), 15.0, what="the gateway to leave", every_s=0.2)


def test_without_threads_uwsgi_serves_on_unharmed() -> None:
    # Nothing of Python's but the request runs there, so no agent can answer in its own time; the service must not care.
    folder = Path(tempfile.mkdtemp(prefix="mc-", dir="/tmp"))
    service, url = Host("no-threads", WSGI, OPTIONS, agents=0).start(folder, interpreter=uwsgi.binary())
    try:
        until(lambda: fetch(url), 20.0, what=f"an answer of {url}")
        answers = [fetch(url) for _ in range(50)]
        assert all(answer and answer.startswith("hello ") for answer in answers), service.output[-2000:]
        until(lambda: uwsgi.workers_hear(service, WORKERS), 15.0, what="all workers")
        service.stop(signal.SIGTERM, within_s=20.0)
        until(lambda: not processes.mentioning(str(service.state_dir)), 15.0, what="the end of all", every_s=0.2)
    finally:
        service.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("decorated", [False, True], ids=["hook", "uwsgidecorators"])
def test_workers_that_are_told_to_end_while_their_agents_start_do_end(decorated: bool) -> None:
    """uWSGI would print what the signal raised in the hook, and go on without it: for a minute, or for ever."""
    folder = Path(tempfile.mkdtemp(prefix="mc-", dir="/tmp"))
    program = WSGI.replace(
        "agent.start(",
        """
import time
from modctl.agent.runtime import Runtime
def slow(runtime):
    open(f"{os.environ['MODCTL_STATE_DIR']}/starts-{os.getpid()}", "w").close()
    time.sleep(60)
Runtime.reborn = slow
agent.start(""",
        1,
    )
    program = DECORATORS + program if decorated else program
    # Whoever runs the tests in the background ignores it, and what is ignored is handed down.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        service, _ = Host("slow-start", program, OPTIONS, agents=0).start(folder, interpreter=uwsgi.binary())
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        until(lambda: len(list(service.state_dir.glob("starts-*"))) == WORKERS, 20.0, what="workers in the hook")
        service.stop(signal.SIGTERM, within_s=15.0)
        until(lambda: not processes.mentioning(str(service.state_dir)), 15.0, what="the end of all", every_s=0.2)
    finally:
        service.end()
        shutil.rmtree(folder, ignore_errors=True)
