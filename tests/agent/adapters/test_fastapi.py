"""Hot-fixes of a running FastAPI service: routes, routers, dependencies, models, handlers."""

# ruff: noqa: E501 - the rows of a table
from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support.engine_world import World

from .table import Fix, run

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("fastapi")

FILES = {
    "shop/__init__.py": "",
    "shop/rates.py": "RATE = 10\n\ndef total(net):\n    return net + net * RATE // 100\n",
    "shop/users.py": (
        "from fastapi import Depends, HTTPException\n\ndef name(who: str = 'anna') -> str:\n    return who\n\n"
        "def user(who: str = Depends(name)) -> str:\n"
        "    if who == 'eve':\n        raise HTTPException(403, 'no')\n    return who\n"
    ),
    "shop/items.py": (
        "from fastapi import APIRouter, Depends\nfrom pydantic import BaseModel\nfrom shop.rates import RATE, total\n"
        "from shop.users import user\n\nrouter = APIRouter(prefix='/items')\nLABEL = f'rate {RATE}'\n\n"
        "class Item(BaseModel):\n    name: str\n    price: int = 100\n\n"
        "    def label(self) -> str:\n        return f'<{self.name}>'\n\n"
        "@router.get('/total/{net}')\ndef show_total(net: int):\n    return total(net)\n\n"
        "@router.get('/one')\nasync def one(who: str = Depends(user)):\n"
        "    return {'label': Item(name='tea').label(), 'who': who}\n\n"
        "@router.get('/text')\ndef text():\n    return LABEL\n"
    ),
    "shop/app.py": (
        "from fastapi import FastAPI\nfrom fastapi.responses import PlainTextResponse\n"
        "from shop.items import router\n\n"
        "app = FastAPI()\napp.include_router(router, prefix='/api')\n\n"
        "@app.get('/')\nasync def index():\n    return 'hello'\n\n"
        "@app.get('/old')\ndef old():\n    return 'old'\n\n"
        "@app.get('/boom')\ndef boom():\n    raise LookupError('boom')\n\n"
        "@app.exception_handler(LookupError)\nasync def lookups(request, error):\n"
        "    return PlainTextResponse('lookup', 418)\n\n"
        "def bare():\n    return 'bare'\n\napp.add_api_route('/bare', bare)\n"
    ),
}
BEGIN = """
import asyncio
from shop.app import app

async def call(method, path):
    path, _, query = path.partition("?")
    parts = []
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message):
        parts.append(message)
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
             "raw_path": path.encode(), "root_path": "", "scheme": "http", "query_string": query.encode(),
             "headers": [], "client": ("test", 1), "server": ("test", 80)}
    await app(scope, receive, send)
    body = b"".join(part.get("body", b"") for part in parts[1:])
    return parts[0]["status"], body.decode()

loop = asyncio.new_event_loop()

def ask(method, path):
    return loop.run_until_complete(call(method, path))

assert ask("GET", "/") == (200, '"hello"') and ask("GET", "/api/items/one")[1] == '{"label":"<tea>","who":"anna"}'
assert ask("GET", "/boom") == (418, "lookup")
"""
APP, ITEMS, USERS, RATES = "shop/app.py", "shop/items.py", "shop/users.py", "shop/rates.py"
NEW = "@app.get('/new/{number}')\nasync def new(number: int):\n    return number * 2\n\n"
TABLE = [
    Fix("body", ((RATES, "return net +", "return 1 + net +"),), {"GET /api/items/total/100": (200, "111")}, "CODE"),
    Fix("constant used elsewhere", ((RATES, "RATE = 10", "RATE = 20"),), {"GET /api/items/text": (200, "rate 20")}),
    Fix("body of a coroutine", ((APP, "'hello'", "'good day'"),), {"GET /": (200, "good day")}, "CODE"),
    Fix("new route", ((APP, "@app.get('/old')", NEW + "@app.get('/old')"),), {"GET /new/4": (200, "8")}),
    Fix("changed route", ((APP, "'/old'", "'/older'"),), {"GET /old": (404, None), "GET /older": (200, "old")}),
    Fix(
        "changed method",
        ((APP, "@app.get('/old')", "@app.post('/old')"),),
        {"GET /old": (405, None), "POST /old": (200, "old")},
    ),
    Fix("removed route", ((APP, "@app.get('/old')\ndef old():\n    return 'old'\n\n", ""),), {"GET /old": (404, None)}),
    Fix("renamed function", ((APP, "def old():\n    return 'old'", "def older():\n    return 'older'"),), {"GET /old": (200, "older")}),
    Fix(
        "new parameter",
        ((APP, "def old():\n    return 'old'", "def old(times: int = 2):\n    return 'old' * times"),),
        {"GET /old": (200, "oldold"), "GET /old?times=x": (422, None)},
    ),
    Fix("decorator's argument", ((APP, "@app.get('/old')", "@app.get('/old', status_code=202)"),), {"GET /old": (202, "old")}),
    Fix("dependency's body", ((USERS, "return who\n\ndef", "return who.upper()\n\ndef"),), {"GET /api/items/one": (200, "ANNA")}),
    Fix("rule in a dependency", ((USERS, "'eve'", "'anna'"),), {"GET /api/items/one": (403, "no")}),
    Fix(
        "new dependency",
        ((APP, "def old():\n    return 'old'", "def old(who: str = Depends(user)):\n    return who"),
         (APP, "from fastapi import FastAPI", "from fastapi import Depends, FastAPI\nfrom shop.users import user")),
        {"GET /old": (200, "anna"), "GET /old?who=eve": (403, None)},
    ),
    Fix("method of a model", ((ITEMS, "f'<", "f'item <"),), {"GET /api/items/one": (200, "item <tea>")}),
    Fix(
        "new route of a router",
        ((ITEMS, "@router.get('/text')", "@router.get('/more')\ndef more():\n    return total(200)\n\n@router.get('/text')"),),
        {"GET /api/items/more": (200, "220")},
    ),
    Fix(
        "changed route of a router",
        ((ITEMS, "'/text'", "'/words'"),),
        {"GET /api/items/text": (404, None), "GET /api/items/words": (200, "rate 10")},
    ),
    Fix(
        "removed route of a router",
        ((ITEMS, "@router.get('/text')\ndef text():\n    return LABEL\n", ""),),
        {"GET /api/items/text": (404, None)},
    ),
    Fix("exception handler's body", ((APP, "'lookup'", "'looked'"),), {"GET /boom": (418, "looked")}),
    Fix(
        "new exception handler",
        ((APP, "raise LookupError('boom')", "raise ArithmeticError('boom')"),
         (APP, "@app.exception_handler(LookupError)", ("@app.exception_handler(ArithmeticError)\nasync def sums(request, error):\n"
          "    return PlainTextResponse('sum', 419)\n\n@app.exception_handler(LookupError)"))),
        {"GET /boom": (419, "sum")},
    ),
    Fix(
        "new module and a dependency on it",
        (
            ("shop/extra.py", "", "def extra():\n    return 'extra'\n"),
            (APP, "from shop.items", "from shop.extra import extra\nfrom shop.items"),
            (APP, "return 'old'", "return extra()"),
        ),
        {"GET /old": (200, "extra")},
    ),
    Fix("router at another prefix", ((APP, "prefix='/api'", "prefix='/v2'"),), {"GET /api/items/text": (404, None), "GET /v2/items/text": (200, "rate 10")}),
    Fix("removed router", ((APP, "app.include_router(router, prefix='/api')\n", ""),), {"GET /api/items/text": (404, None)}),
    Fix("router included once more", ((APP, "prefix='/api')\n", "prefix='/api')\napp.include_router(router, prefix='/v2')\n"),), {"GET /v2/items/text": (200, "rate 10"), "GET /api/items/text": (200, "rate 10")}),
    Fix("changed route of a bare call", ((APP, "'/bare'", "'/naked'"),), {"GET /bare": (404, None), "GET /naked": (200, "bare")}),
    Fix("removed route of a bare call", ((APP, "app.add_api_route('/bare', bare)\n", ""),), {"GET /bare": (404, None)}),
    Fix("new route of a router and its prefix", ((ITEMS, "@router.get('/text')", "@router.get('/more')\ndef more():\n    return total(200)\n\n@router.get('/text')"), (APP, "prefix='/api'", "prefix='/v2'")), {"GET /v2/items/more": (200, "220"), "GET /v2/items/text": (200, "rate 10"), "GET /api/items/text": (404, None)}),
]  # fmt: skip


def test_hot_fixes_of_a_fastapi_service(tmp_path: Path) -> None:
    run(World(tmp_path, sys.executable), FILES, BEGIN, TABLE, ["GET /", "GET /old", "GET /api/items/one"])
