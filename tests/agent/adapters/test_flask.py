"""Hot-fixes of a running Flask service: routes, blueprints, handlers, filters, configuration."""

# ruff: noqa: E501 - the rows of a table
from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support.engine_world import World

from .table import Fix, run

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("flask")

FILES = {
    "shop/__init__.py": "",
    "shop/rates.py": "RATE = 10\n\ndef total(net):\n    return net + net * RATE // 100\n",
    "shop/guards.py": (
        "import functools\n\ndef polite(function):\n    @functools.wraps(function)\n    def call(*a, **k):\n"
        "        return 'please: ' + function(*a, **k)\n    return call\n"
    ),
    "shop/models.py": (
        "class Item:\n    def __init__(self, name):\n        self.name = name\n\n"
        "    def label(self):\n        return f'<{self.name}>'\n\nITEM = Item('tea')\n"
    ),
    "shop/views.py": (
        "from flask import Blueprint, request\nfrom shop.rates import RATE, total\nfrom shop.models import ITEM\n"
        "from shop.guards import polite\n\nbp = Blueprint('views', __name__)\nTEXT = f'rate {RATE}'\n\n"
        "@bp.route('/total/<int:net>')\ndef show_total(net):\n    return str(total(net))\n\n"
        "@bp.route('/item')\ndef item():\n    return ITEM.label()\n\n"
        "@bp.route('/text')\ndef text():\n    return TEXT\n\n"
        "@bp.route('/polite')\n@polite\ndef asks():\n    return 'tea'\n\n"
        "@bp.before_request\ndef count():\n    COUNTS.append(1)\n\nCOUNTS = []\n"
    ),
    "shop/app.py": (
        "from flask import Flask, abort, render_template_string\nfrom flask.views import View\nfrom shop.views import bp\n\n"
        "app = Flask(__name__)\napp.config['GREETING'] = 'hello'\n\n"
        "@app.route('/')\ndef index():\n    return app.config['GREETING']\n\n"
        "@app.route('/old')\ndef old():\n    return 'old'\n\n"
        "@app.errorhandler(404)\ndef missing(error):\n    return 'not here', 404\n\n"
        "@app.template_filter('loud')\ndef loud(text):\n    return text.upper()\n\n"
        "@app.route('/page')\ndef page():\n    return render_template_string('{{ \"tea\"|loud }}')\n\n"
        "@app.route('/boom')\ndef boom():\n    raise KeyError('boom')\n\n"
        "@app.route('/rules')\ndef rules():\n    return ','.join(sorted(app.view_functions))\n\n"
        "def bare():\n    return 'bare'\n\napp.add_url_rule('/bare', view_func=bare)\n\n"
        "class Thing(View):\n    def dispatch_request(self):\n        return 'thing'\n\n"
        "app.add_url_rule('/thing', view_func=Thing.as_view('thing'))\n"
        "app.register_blueprint(bp, url_prefix='/api')\n"
    ),
}
BEGIN = """
from shop.app import app
client = app.test_client()

def ask(method, path):
    answer = client.open(path, method=method)
    return answer.status_code, answer.get_data(as_text=True)

assert ask("GET", "/") == (200, "hello") and ask("GET", "/page") == (200, "TEA")
"""
APP, VIEWS, RATES = "shop/app.py", "shop/views.py", "shop/rates.py"
TABLE = [
    Fix("body", ((RATES, "return net +", "return 1 + net +"),), {"GET /api/total/100": (200, "111")}, "CODE"),
    Fix("constant used elsewhere", ((RATES, "RATE = 10", "RATE = 20"),), {"GET /api/text": (200, "rate 20")}),
    Fix("constant in a function", ((RATES, "RATE = 10", "RATE = 20"),), {"GET /api/total/100": (200, "120")}),
    Fix(
        "new route",
        ((APP, "@app.route('/old')", "@app.route('/new')\ndef new():\n    return 'new'\n\n@app.route('/old')"),),
        {"GET /new": (200, "new"), "GET /old": (200, "old")},
    ),
    Fix("changed route", ((APP, "'/old'", "'/older'"),), {"GET /old": (404, "not here"), "GET /older": (200, "old")}),
    Fix(
        "changed methods",
        ((APP, "@app.route('/old')", "@app.route('/old', methods=['POST'])"),),
        {"GET /old": (405, None), "POST /old": (200, "old")},
    ),
    Fix(
        "removed route",
        ((APP, "@app.route('/old')\ndef old():\n    return 'old'\n\n", ""),),
        {"GET /old": (404, "not here")},
    ),
    Fix(
        "renamed function",
        ((APP, "def old():", "def older():"),),
        {"GET /old": (200, "old"), "GET /rules": (200, "older,page")},
    ),
    Fix("error handler's body", ((APP, "'not here'", "'gone'"),), {"GET /nothing": (404, "gone")}),
    Fix(
        "new error handler",
        (
            (
                APP,
                "@app.route('/boom')",
                "@app.errorhandler(KeyError)\ndef keys(e):\n    return 'key', 418\n\n@app.route('/boom')",
            ),
        ),
        {"GET /boom": (418, "key")},
    ),
    Fix(
        "removed error handler",
        ((APP, "@app.errorhandler(404)\ndef missing(error):\n    return 'not here', 404\n\n", ""),),
        {"GET /nothing": (404, "Not Found")},
    ),
    Fix("configuration", ((APP, "'hello'", "'good day'"),), {"GET /": (200, "good day")}),
    Fix("template filter's body", ((APP, "text.upper()", "text.title()"),), {"GET /page": (200, "Tea")}),
    Fix(
        "new template filter",
        (
            (
                APP,
                "@app.route('/page')",
                "@app.template_filter('twice')\ndef twice(t):\n    return t * 2\n\n@app.route('/page')",
            ),
            (APP, "|loud }}", "|twice }}"),
        ),
        {"GET /page": (200, "teatea")},
    ),
    Fix(
        "before_request",
        (
            (
                APP,
                "@app.route('/old')",
                "@app.before_request\ndef stop():\n    return 'closed', 503\n\n@app.route('/old')",
            ),
        ),
        {"GET /old": (503, "closed"), "GET /api/item": (503, "closed")},
    ),
    Fix(
        "method of a class with instances",
        (("shop/models.py", "f'<", "f'item <"),),
        {"GET /api/item": (200, "item <tea>")},
    ),
    Fix(
        "decorator's body", (("shop/guards.py", "'please: '", "'kindly: '"),), {"GET /api/polite": (200, "kindly: tea")}
    ),
    Fix("decorator taken off", ((VIEWS, "@polite\n", ""),), {"GET /api/polite": (200, "tea")}),
    Fix(
        "new route of a blueprint",
        ((VIEWS, "COUNTS = []", "COUNTS = []\n\n@bp.route('/more')\ndef more():\n    return str(total(200))\n"),),
        {"GET /api/more": (200, "220")},
    ),
    Fix(
        "changed route of a blueprint",
        (
            (VIEWS, "'/item'", "'/things/<name>'"),
            (VIEWS, "def item():\n    return ITEM.label()", "def item(name):\n    return name"),
        ),
        {"GET /api/item": (404, None), "GET /api/things/a": (200, "a")},
    ),
    Fix(
        "removed route of a blueprint",
        ((VIEWS, "@bp.route('/item')\ndef item():\n    return ITEM.label()\n\n", ""),),
        {"GET /api/item": (404, None)},
    ),
    Fix(
        "new module and a dependency on it",
        (
            ("shop/extra.py", "", "def extra():\n    return 'extra'\n"),
            (
                VIEWS,
                "from shop.guards import polite\n",
                "from shop.guards import polite\nfrom shop.extra import extra\n",
            ),
            (VIEWS, "return TEXT", "return extra()"),
        ),
        {"GET /api/text": (200, "extra")},
    ),
    Fix(
        "handler of a blueprint",
        ((VIEWS, "COUNTS = []", "COUNTS = []\n\n@bp.before_request\ndef closed():\n    return 'closed', 503\n"),),
        {"GET /api/item": (503, "closed")},
    ),
    Fix("changed rule of a bare call", ((APP, "'/bare'", "'/naked'"),), {"GET /bare": (404, None), "GET /naked": (200, "bare")}),
    Fix("removed rule of a bare call", ((APP, "app.add_url_rule('/bare', view_func=bare)\n\n", ""),), {"GET /bare": (404, None)}),
    Fix("method of a class-based view", ((APP, "'thing'\n\napp", "'things'\n\napp"),), {"GET /thing": (200, "things")}),
    Fix("changed rule of a class-based view", ((APP, "'/thing'", "'/that'"),), {"GET /thing": (404, None), "GET /that": (200, "thing")}),
    Fix("methods of a bare call", ((APP, "view_func=bare)", "view_func=bare, methods=['POST'])"),), {"GET /bare": (405, None), "POST /bare": (200, "bare")}),
    Fix("blueprint at another prefix", ((APP, "'/api'", "'/v2'"),), {"GET /api/item": (404, None), "GET /v2/item": (200, "<tea>")}),
    Fix("removed blueprint", ((APP, "app.register_blueprint(bp, url_prefix='/api')\n", ""),), {"GET /api/item": (404, None)}),
]  # fmt: skip


def test_hot_fixes_of_a_flask_service(tmp_path: Path) -> None:
    run(World(tmp_path, sys.executable), FILES, BEGIN, TABLE, ["GET /", "GET /old", "GET /api/item", "GET /page"])


def test_a_route_that_fails_after_registering_leaves_nothing_behind(tmp_path: Path) -> None:
    World(tmp_path, sys.executable).run(
        BEGIN
        + """
source = open("shop/app.py").read().replace("'/old'", "'/b'") + "\\n1 / 0\\n"
rules = sorted(map(str, app.url_map.iter_rules()))
result = change({"reimport": {"name": "shop.app", "mode": "REIMPORT_MODE_PATCH",
                              "modules": [{"name": "shop.app", "source": source}]}})
assert result["outcome"] == "OUTCOME_FAILED", result
assert ask("GET", "/b")[0] == 404 and ask("GET", "/old") == (200, "old")
assert sorted(map(str, app.url_map.iter_rules())) == rules and app._got_first_request
""",
        FILES,
    )
