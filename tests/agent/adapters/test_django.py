"""Hot-fixes of a running Django service: views, URLs, middleware, templates."""
# ruff: noqa: E501 - the rows of a table

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support.engine_world import World

from .table import Fix, run

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("django")

FILES = {
    "shop/__init__.py": "",
    "shop/rates.py": "RATE = 10\n\ndef total(net):\n    return net + net * RATE // 100\n",
    "shop/views.py": (
        "from django.http import HttpResponse\nfrom django.views import View\nfrom shop.rates import RATE, total\n\n"
        "TEXT = f'rate {RATE}'\n\ndef price(request, net):\n    return HttpResponse(str(total(net)))\n\n"
        "def old(request):\n    return HttpResponse('old')\n\ndef text(request):\n    return HttpResponse(TEXT)\n\n"
        "class Thing(View):\n    def get(self, request):\n        return HttpResponse('thing')\n"
    ),
    "shop/middleware.py": "class Mark:\n    def __init__(self, get):\n        self.get = get\n\n    def __call__(self, request):\n        answer = self.get(request)\n        answer['X-Mark'] = 'a'\n        return answer\n",
    "shop/urls.py": (
        "from django.urls import path\nfrom shop import views\n\nurlpatterns = [\n    path('price/<int:net>', views.price),\n"
        "    path('old', views.old, name='old'),\n    path('text', views.text),\n    path('thing', views.Thing.as_view()),\n]\n"
    ),
}
BEGIN = """
import logging
import django
from django.conf import settings
settings.configure(ROOT_URLCONF="shop.urls", SECRET_KEY="x", ALLOWED_HOSTS=["*"], MIDDLEWARE=["shop.middleware.Mark"])
django.setup()
logging.disable(logging.CRITICAL)
import shop.urls
from django.test import Client
from django.urls import reverse
client = Client(raise_request_exception=False)

def ask(method, path):
    if method == "REVERSE":
        return 200, reverse(path)
    answer = client.generic(method, path)
    body = answer.content.decode() if answer.status_code == 200 else ""
    return answer.status_code, body + answer.get("X-Mark", "")

assert ask("GET", "/old") == (200, "olda") and ask("REVERSE", "old") == (200, "/old"), ask("GET", "/old")
"""
URLS, VIEWS, RATES = "shop/urls.py", "shop/views.py", "shop/rates.py"
TABLE = [
    Fix("body", ((RATES, "return net +", "return 1 + net +"),), {"GET /price/100": (200, "111")}, "CODE"),
    Fix("constant used elsewhere", ((RATES, "RATE = 10", "RATE = 20"),), {"GET /text": (200, "rate 20"), "GET /price/100": (200, "120")}),
    Fix("body of a view", ((VIEWS, "'old'", "'older'"),), {"GET /old": (200, "older")}, "CODE"),
    Fix("method of a class-based view", ((VIEWS, "'thing'", "'things'"),), {"GET /thing": (200, "things")}, "CODE"),
    Fix("new method of a class-based view", ((VIEWS, "    def get(self", "    def post(self, request):\n        return HttpResponse('posted')\n\n    def get(self"),), {"POST /thing": (200, "posted")}),
    Fix("middleware", (("shop/middleware.py", "'a'", "'b'"),), {"GET /old": (200, "oldb")}, "CODE"),
    Fix("new route", ((URLS, "    path('text'", "    path('new', views.old),\n    path('text'"),), {"GET /new": (200, "old")}),
    Fix("changed route", ((URLS, "path('old'", "path('older'"),), {"GET /old": (404, None), "GET /older": (200, "old"), "REVERSE old": (200, "/older")}),
    Fix("removed route", ((URLS, "    path('text', views.text),\n", ""),), {"GET /text": (404, None)}),
    Fix("new view and its route", ((VIEWS, "def old", "def new(request):\n    return HttpResponse('new')\n\ndef old"), (URLS, "    path('text'", "    path('new', views.new),\n    path('text'")), {"GET /new": (200, "new")}),
]  # fmt: skip


def test_hot_fixes_of_a_django_service(tmp_path: Path) -> None:
    run(World(tmp_path, sys.executable), FILES, BEGIN, TABLE, ["GET /old", "GET /thing", "REVERSE old"])
