"""Hot-fixes of a running Celery worker: tasks, what they call, and how they are decorated."""
# ruff: noqa: E501 - the rows of a table

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support.engine_world import World

from .table import Fix, run

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("celery")

FILES = {
    "shop/__init__.py": "",
    "shop/rates.py": "RATE = 10\n\ndef total(net):\n    return net + net * RATE // 100\n",
    "shop/guards.py": (
        "import functools\n\ndef polite(function):\n    @functools.wraps(function)\n    def call(*a, **k):\n"
        "        return 'please: ' + function(*a, **k)\n    return call\n"
    ),
    "shop/app.py": "from celery import Celery\n\napp = Celery('shop', broker='memory://', backend='cache+memory://')\n",
    "shop/tasks.py": (
        "from celery import shared_task\nfrom shop.app import app\nfrom shop.guards import polite\n"
        "from shop.rates import RATE, total\n\nTEXT = f'rate {RATE}'\n\n"
        "@app.task\ndef price(net=100):\n    return total(net)\n\n"
        "@app.task(bind=True)\ndef who(self):\n    return self.name\n\n"
        "@app.task\ndef text():\n    return TEXT\n\n"
        "@app.task\ndef calls():\n    return text()\n\n"
        "class Base(app.Task):\n    label = 'base'\n\n    def show(self):\n        return f'<{self.label}>'\n\n"
        "@app.task(base=Base, bind=True)\ndef based(self):\n    return self.show()\n\n"
        "@app.task(bind=True, max_retries=1)\ndef flaky(self):\n    if self.request.retries == 0:\n"
        "        raise self.retry(countdown=0)\n    return f'try {self.request.retries}'\n\n"
        "@app.task\n@polite\ndef asks():\n    return 'tea'\n\n"
        "@app.task\ndef fails():\n    raise KeyError('no')\n\n"
        "@shared_task(name='shared')\ndef shares():\n    return 'shared'\n"
    ),
}
BEGIN = """
import logging
from celery.contrib.testing.worker import start_worker
import shop.tasks
from shop.app import app
logging.disable(logging.CRITICAL)
app.conf.broker_transport_options = {"polling_interval": 0.01}
worker = start_worker(app, pool="solo", perform_ping_check=False, loglevel="CRITICAL", shutdown_timeout=5)
worker.__enter__()
import atexit
atexit.register(lambda: (sys.stdout.flush(), os._exit(0)))

def ask(method, name):
    if name not in app.tasks:
        return 404, ""
    try:
        return 200, str(app.send_task(name, kwargs={}).get(timeout=5, interval=0.01))
    except Exception as error:
        return 500, type(error).__name__

assert ask("RUN", "shop.tasks.price") == (200, "110"), ask("RUN", "shop.tasks.price")
assert ask("RUN", "shop.tasks.who") == (200, "shop.tasks.who")
"""
TASKS, RATES = "shop/tasks.py", "shop/rates.py"
TABLE = [
    Fix("body of what a task calls", ((RATES, "return net +", "return 1 + net +"),), {"RUN shop.tasks.price": (200, "111")}, "CODE"),
    Fix("body of a task", ((TASKS, "return total(net)", "return -total(net)"),), {"RUN shop.tasks.price": (200, "-110")}, "CODE"),
    Fix("body of a bound task", ((TASKS, "return self.name", "return self.name.upper()"),), {"RUN shop.tasks.who": (200, "SHOP.TASKS.WHO")}, "CODE"),
    Fix("constant used elsewhere", ((RATES, "RATE = 10", "RATE = 20"),), {"RUN shop.tasks.text": (200, "rate 20"), "RUN shop.tasks.calls": (200, "rate 20")}),
    Fix("default of a parameter", ((TASKS, "net=100", "net=200"),), {"RUN shop.tasks.price": (200, "220")}),
    Fix("new task", ((TASKS, "@app.task\ndef text", "@app.task\ndef more():\n    return total(300)\n\n@app.task\ndef text"),), {"RUN shop.tasks.more": (200, "330")}),
    Fix("removed task", ((TASKS, "@app.task(bind=True)\ndef who(self):\n    return self.name\n\n", ""),), {"RUN shop.tasks.who": (404, "")}),
    Fix("renamed task", ((TASKS, "@app.task\ndef price", "@app.task\ndef cost"),), {"RUN shop.tasks.price": (404, ""), "RUN shop.tasks.cost": (200, "110")}),
    Fix("decorator's argument", ((TASKS, "@app.task\ndef price", "@app.task(name='price')\ndef price"),), {"RUN price": (200, "110"), "RUN shop.tasks.price": (404, "")}),
    Fix("bound now", ((TASKS, "@app.task\ndef text():\n    return TEXT", "@app.task(bind=True)\ndef text(self):\n    return self.name"),), {"RUN shop.tasks.text": (200, "shop.tasks.text"), "RUN shop.tasks.calls": (200, "shop.tasks.text")}),
    Fix("new module and a task that uses it", (("shop/extra.py", "", "def extra():\n    return 'extra'\n"), (TASKS, "from shop.rates", "from shop.extra import extra\nfrom shop.rates"), (TASKS, "return TEXT", "return extra()")), {"RUN shop.tasks.text": (200, "extra")}),
    Fix("method of a base class", ((TASKS, "f'<{self.label}>'", "f'[{self.label}]'"),), {"RUN shop.tasks.based": (200, "[base]")}),
    Fix("constant of a base class", ((TASKS, "label = 'base'", "label = 'other'"),), {"RUN shop.tasks.based": (200, "<other>")}),
    Fix("body of a task that retries", ((TASKS, "f'try {", "f'tried {"),), {"RUN shop.tasks.flaky": (200, "tried 1")}, "CODE"),
    Fix("no retry any more", ((TASKS, "    if self.request.retries == 0:\n        raise self.retry(countdown=0)\n", ""),), {"RUN shop.tasks.flaky": (200, "try 0")}, "CODE"),
    Fix("number of retries", ((TASKS, "max_retries=1)", "max_retries=0)"),), {"RUN shop.tasks.flaky": (500, "MaxRetriesExceededError")}),
    Fix("decorator's body", (("shop/guards.py", "'please: '", "'kindly: '"),), {"RUN shop.tasks.asks": (200, "kindly: tea")}),
    Fix("decorator taken off", ((TASKS, "@polite\n", ""),), {"RUN shop.tasks.asks": (200, "tea")}),
    Fix("another exception", ((TASKS, "raise KeyError('no')", "raise LookupError('no')"),), {"RUN shop.tasks.fails": (500, "LookupError")}, "CODE"),
    Fix("no exception any more", ((TASKS, "raise KeyError('no')", "return 'fine'"),), {"RUN shop.tasks.fails": (200, "fine")}, "CODE"),
    Fix("body of a shared task", ((TASKS, "return 'shared'", "return 'for all'"),), {"RUN shared": (200, "for all")}, "CODE"),
    Fix("new parameter with a default", ((TASKS, "def price(net=100):\n    return total(net)", "def price(net=100, more=5):\n    return total(net) + more"),), {"RUN shop.tasks.price": (200, "115")}),
    Fix("renamed function that a task calls", ((RATES, "def total(net):\n    return net +", "def sum_of(net):\n    return 1 + net +"), (TASKS, "RATE, total", "RATE, sum_of"), (TASKS, "return total(net)", "return sum_of(net)")), {"RUN shop.tasks.price": (200, "111")}),
    Fix("task in a new module", (("shop/late.py", "", "from shop.app import app\n\n@app.task\ndef late():\n    return 'late'\n"), (TASKS, "from shop.rates", "import shop.late\nfrom shop.rates")), {"RUN shop.late.late": (200, "late")}),
]  # fmt: skip


def test_hot_fixes_of_a_celery_worker(tmp_path: Path) -> None:
    run(
        World(tmp_path, sys.executable),
        FILES,
        BEGIN,
        TABLE,
        ["RUN shop.tasks.price", "RUN shop.tasks.who", "RUN shop.tasks.calls"],
    )
