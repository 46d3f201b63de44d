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
    "shop/app.py": "from celery import Celery\n\napp = Celery('shop', broker='memory://', backend='cache+memory://')\n",
    "shop/tasks.py": (
        "from shop.app import app\nfrom shop.rates import RATE, total\n\nTEXT = f'rate {RATE}'\n\n"
        "@app.task\ndef price(net=100):\n    return total(net)\n\n"
        "@app.task(bind=True)\ndef who(self):\n    return self.name\n\n"
        "@app.task\ndef text():\n    return TEXT\n\n"
        "@app.task\ndef calls():\n    return text()\n"
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
atexit.register(os._exit, 0)

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
]  # fmt: skip


def test_hot_fixes_of_a_celery_worker(tmp_path: Path) -> None:
    run(
        World(tmp_path, sys.executable),
        FILES,
        BEGIN,
        TABLE,
        ["RUN shop.tasks.price", "RUN shop.tasks.who", "RUN shop.tasks.calls"],
    )
