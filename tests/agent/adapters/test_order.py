"""The order of routes: a router takes the first that fits, so what is changed or new has to stand where its text does."""

# ruff: noqa: E501 - sources as they stand
from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
from support.engine_world import World

from .test_fastapi import BEGIN as _BEGIN

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("fastapi")

FILES = {
    "shop/__init__.py": "",
    "shop/items.py": (
        "from fastapi import APIRouter\n\nrouter = APIRouter(prefix='/items')\n\n"
        "@router.get('/first')\ndef first():\n    return 'first'\n\n"
        "@router.get('/{name}')\ndef any_item(name: str):\n    return f'item {name}'\n"
    ),
    "shop/app.py": (
        "from fastapi import FastAPI\nfrom shop.items import router\n\n"
        "app = FastAPI()\n\n"
        "@app.get('/users/me')\ndef me():\n    return 'me'\n\n"
        "@app.get('/users/{name}')\ndef user(name: str):\n    return f'user {name}'\n\n"
        "def bare():\n    return 'bare'\n\ndef other():\n    return 'other'\n\n"
        "app.add_api_route('/bare/one', bare)\n"
        "app.add_api_route('/bare/{name}', other)\n"
        "app.include_router(router)\n"
    ),
    "shop/more.py": "from shop.app import app\n\n@app.get('/{path:path}')\ndef rest(path: str):\n    return f'rest {path}'\n",
}
BEGIN = (
    _BEGIN[: _BEGIN.index("assert ask")]
    + """
import shop.more

ROUTER = app.router
def order(router=ROUTER):
    return [getattr(route, "path", type(route).__name__) for route in router.routes]

def edited(name, *edits):
    path = f"shop/{name}.py"
    with open(path) as file:
        text = file.read()
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    sent = [{"name": f"shop.{name}", "source": text, "digest": "sha256:" + "0" * 64}]
    return applied({"reimport": {"name": f"shop.{name}", "mode": "REIMPORT_MODE_PATCH", "modules": sent}})

def get(path):
    return ask("GET", path)[1].strip('"')

before = order()
assert get("/users/me") == "me" and get("/users/eve") == "user eve" and get("/items/first") == "first"
assert get("/bare/one") == "bare" and get("/bare/two") == "other" and get("/nowhere") == "rest nowhere"
"""
)


def case(tmp_path: Path, code: str) -> None:
    World(tmp_path, sys.executable).run(BEGIN + textwrap.dedent(code), FILES)


def test_a_changed_route_keeps_its_place(tmp_path: Path) -> None:
    case(
        tmp_path,
        """
        edited("app", ("@app.get('/users/me')", "@app.get('/users/me', status_code=201)"))
        assert ask("GET", "/users/me") == (201, '"me"') and get("/users/eve") == "user eve"
        assert order() == before, order()
        applied(undo())
        assert ask("GET", "/users/me") == (200, '"me"') and order() == before
        """,
    )


def test_a_new_route_stands_before_those_that_come_after_it_in_the_text(tmp_path: Path) -> None:
    case(
        tmp_path,
        """
        new = "@app.get('/users/all')\\ndef everybody():\\n    return 'all'\\n\\n"
        edited("app", ("@app.get('/users/{name}')", new + "@app.get('/users/{name}')"))
        assert get("/users/all") == "all" and get("/users/me") == "me" and get("/users/eve") == "user eve"
        wanted = [*before[:before.index("/users/{name}")], "/users/all", *before[before.index("/users/{name}"):]]
        assert order() == wanted, order()
        applied(undo())
        assert get("/users/all") == "user all" and order() == before
        """,
    )


def test_a_new_route_at_the_end_of_its_module_is_not_behind_those_of_later_modules(tmp_path: Path) -> None:
    case(
        tmp_path,
        """
        edited("app", ("app.include_router(router)\\n", "app.include_router(router)\\n\\n@app.get('/last')\\ndef last():\\n    return 'last'\\n"))
        assert get("/last") == "last" and get("/nowhere") == "rest nowhere"
        applied(undo())
        assert get("/last") == "rest last" and order() == before
        """,
    )


def test_bare_calls_keep_their_places_when_they_change(tmp_path: Path) -> None:
    case(
        tmp_path,
        """
        edited("app", ("add_api_route('/bare/one', bare)", "add_api_route('/bare/one', bare, status_code=202)"))
        assert ask("GET", "/bare/one") == (202, '"bare"') and get("/bare/two") == "other"
        assert order() == before, order()
        edited("app", ("app.add_api_route('/bare/{name}', other)", "app.add_api_route('/bare/new', me)\\napp.add_api_route('/bare/{name}', other)"),
               ("add_api_route('/bare/one', bare)", "add_api_route('/bare/one', bare, status_code=202)"))
        assert get("/bare/new") == "me" and get("/bare/two") == "other"
        applied(undo())
        applied(undo())
        assert order() == before and ask("GET", "/bare/one") == (200, '"bare"') and get("/bare/new") == "other"
        """,
    )


def test_routes_of_included_routers_stand_in_order_too(tmp_path: Path) -> None:
    case(
        tmp_path,
        """
        new = "@router.get('/second')\\ndef second():\\n    return 'second'\\n\\n"
        edited("items", ("@router.get('/{name}')", new + "@router.get('/{name}')"), ("get('/first')", "get('/first', status_code=203)"))
        assert ask("GET", "/items/first") == (203, '"first"')
        assert get("/items/second") == "second" and get("/items/third") == "item third"
        applied(undo())
        assert get("/items/second") == "item second" and get("/items/first") == "first" and order() == before
        """,
    )


def test_what_is_removed_and_comes_again_is_where_it_was(tmp_path: Path) -> None:
    case(
        tmp_path,
        """
        gone = "@app.get('/users/me')\\ndef me():\\n    return 'me'\\n\\n"
        edited("app", (gone, ""))
        assert get("/users/me") == "user me"
        edited("app")
        assert get("/users/me") == "me" and order() == before, order()
        applied(undo())
        assert get("/users/me") == "user me"
        applied(undo())
        assert get("/users/me") == "me" and order() == before
        """,
    )
