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
    "shop/guards.py": (
        "import functools\nfrom django.http import HttpResponse\n\ndef guarded(view):\n    @functools.wraps(view)\n"
        "    def call(request, *a, **k):\n        if request.GET.get('who') == 'eve':\n"
        "            return HttpResponse('no', status=403)\n        return view(request, *a, **k)\n    return call\n"
    ),
    "shop/models.py": (
        "from django.db import models\n\nclass Query(models.QuerySet):\n    def cheap(self):\n        return self.filter(price__lt=100)\n\n"
        "class Item(models.Model):\n    LIMIT = 3\n    name = models.CharField(max_length=9)\n    price = models.IntegerField(default=1)\n"
        "    objects = Query.as_manager()\n\n    class Meta:\n        app_label = 'shop'\n\n"
        "    def label(self):\n        return f'<{self.name}>'\n"
    ),
    "shop/forms.py": (
        "from django import forms\n\nclass Order(forms.Form):\n    number = forms.IntegerField(min_value=1)\n\n"
        "    def clean_number(self):\n        number = self.cleaned_data['number']\n"
        "        if number > 10:\n            raise forms.ValidationError('too many')\n        return number\n"
    ),
    "shop/tags.py": "from django import template\n\nregister = template.Library()\n\n@register.filter\ndef loud(text):\n    return text.upper()\n",
    "shop/context.py": "def extra(request):\n    return {'who': 'anna'}\n",
    "shop/signals.py": (
        "from django.core.signals import request_started\nfrom django.dispatch import receiver\n\nSEEN = []\n\n"
        "@receiver(request_started)\ndef started(sender, **k):\n    SEEN[:] = ['a']\n"
    ),
    "shop/api_urls.py": "from django.urls import path\nfrom shop import views\n\nurlpatterns = [path('old', views.old, name='api-old')]\n",
    "shop/views.py": (
        "from django.http import HttpResponse\nfrom django.shortcuts import render\nfrom django.template import engines\n"
        "from django.views import View\nfrom shop import signals\nfrom shop.forms import Order\nfrom shop.guards import guarded\n"
        "from shop.models import Item\nfrom shop.rates import RATE, total\n\n"
        "TEXT = f'rate {RATE}'\n\ndef price(request, net):\n    return HttpResponse(str(total(net)))\n\n"
        "def old(request):\n    return HttpResponse('old')\n\ndef text(request):\n    return HttpResponse(TEXT)\n\n"
        "def items(request):\n    return HttpResponse(','.join(item.label() for item in Item.objects.cheap()[:Item.LIMIT]))\n\n"
        "@guarded\ndef secret(request):\n    return HttpResponse('secret')\n\n"
        "def order(request):\n    form = Order(request.GET)\n    return HttpResponse('fine' if form.is_valid() else str(form.errors['number'][0]), status=200)\n\n"
        "def page(request):\n    template = engines['django'].from_string('{% load shop %}{{ who|loud }}')\n    return HttpResponse(template.render({}, request))\n\n"
        "def seen(request):\n    return HttpResponse(''.join(signals.SEEN))\n\n"
        "def missing(request, exception):\n    return HttpResponse('nothing here', status=404)\n\n"
        "class Thing(View):\n    answer = 'thing'\n\n    def get(self, request):\n        return HttpResponse(self.answer)\n"
    ),
    "shop/middleware.py": "class Mark:\n    def __init__(self, get):\n        self.get = get\n\n    def __call__(self, request):\n        answer = self.get(request)\n        answer['X-Mark'] = 'a'\n        return answer\n",
    "shop/urls.py": (
        "from django.urls import include, path\nfrom shop import views\n\nhandler404 = views.missing\n\nurlpatterns = [\n    path('price/<int:net>', views.price),\n"
        "    path('old', views.old, name='old'),\n    path('text', views.text),\n    path('thing', views.Thing.as_view()),\n"
        "    path('items', views.items),\n    path('secret', views.secret),\n    path('order', views.order),\n    path('page', views.page),\n"
        "    path('seen', views.seen),\n    path('api/', include('shop.api_urls')),\n]\n"
    ),
}
BEGIN = """
import logging
import django
from django.conf import settings
settings.configure(
    ROOT_URLCONF="shop.urls", SECRET_KEY="x", ALLOWED_HOSTS=["*"], MIDDLEWARE=["shop.middleware.Mark"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {
        "libraries": {"shop": "shop.tags"}, "context_processors": ["shop.context.extra"]}}],
)
django.setup()
logging.disable(logging.CRITICAL)
import shop.urls
from django.db import connection
from django.test import Client
from django.urls import reverse
from shop.models import Item
with connection.schema_editor() as editor:
    editor.create_model(Item)
for name, price in (("tea", 5), ("cup", 50), ("pot", 500)):
    Item.objects.create(name=name, price=price)
client = Client(raise_request_exception=False)

def ask(method, path):
    if method == "REVERSE":
        return 200, reverse(path)
    answer = client.generic(method, path)
    body = answer.content.decode() if answer.status_code in (200, 404) else ""
    return answer.status_code, body + answer.get("X-Mark", "")

assert ask("GET", "/old") == (200, "olda") and ask("REVERSE", "old") == (200, "/old"), ask("GET", "/old")
assert ask("GET", "/items") == (200, "<tea>,<cup>a") and ask("GET", "/page") == (200, "ANNAa"), ask("GET", "/page")
assert ask("GET", "/nothing") == (404, "nothing herea"), ask("GET", "/nothing")
"""
URLS, VIEWS, RATES, MODELS = "shop/urls.py", "shop/views.py", "shop/rates.py", "shop/models.py"
TABLE = [
    Fix("body", ((RATES, "return net +", "return 1 + net +"),), {"GET /price/100": (200, "111")}, "CODE"),
    Fix("constant used elsewhere", ((RATES, "RATE = 10", "RATE = 20"),), {"GET /text": (200, "rate 20"), "GET /price/100": (200, "120")}),
    Fix("body of a view", ((VIEWS, "'old'", "'older'"),), {"GET /old": (200, "older"), "GET /api/old": (200, "older")}, "CODE"),
    Fix("method of a class-based view", ((VIEWS, "HttpResponse(self.answer)", "HttpResponse(self.answer * 2)"),), {"GET /thing": (200, "thingthing")}, "CODE"),
    Fix("attribute of a class-based view", ((VIEWS, "answer = 'thing'", "answer = 'things'"),), {"GET /thing": (200, "things")}),
    Fix("new method of a class-based view", ((VIEWS, "    def get(self", "    def post(self, request):\n        return HttpResponse('posted')\n\n    def get(self"),), {"POST /thing": (200, "posted")}),
    Fix("middleware", (("shop/middleware.py", "'a'", "'b'"),), {"GET /old": (200, "oldb")}, "CODE"),
    Fix("new route", ((URLS, "    path('text'", "    path('new', views.old),\n    path('text'"),), {"GET /new": (200, "old")}),
    Fix("changed route", ((URLS, "path('old'", "path('older'"),), {"GET /old": (404, None), "GET /older": (200, "old"), "REVERSE old": (200, "/older")}),
    Fix("removed route", ((URLS, "    path('text', views.text),\n", ""),), {"GET /text": (404, None)}),
    Fix("new view and its route", ((VIEWS, "def old", "def new(request):\n    return HttpResponse('new')\n\ndef old"), (URLS, "    path('text'", "    path('new', views.new),\n    path('text'")), {"GET /new": (200, "new")}),
    Fix("route of an included list", (("shop/api_urls.py", "path('old'", "path('older'"),), {"GET /api/old": (404, None), "GET /api/older": (200, "old"), "REVERSE api-old": (200, "/api/older")}),
    Fix("included elsewhere", ((URLS, "'api/'", "'v2/'"),), {"GET /api/old": (404, None), "GET /v2/old": (200, "old")}),
    Fix("method of a model", ((MODELS, "f'<{", "f'item <{"),), {"GET /items": (200, "item <tea>,item <cup>")}, "CODE"),
    Fix("constant of a model", ((MODELS, "LIMIT = 3", "LIMIT = 1"),), {"GET /items": (200, "<tea>a")}),
    Fix("method of a query set", ((MODELS, "price__lt=100", "price__lt=10"),), {"GET /items": (200, "<tea>a")}, "CODE"),
    Fix("rule of a form", (("shop/forms.py", "number > 10", "number > 5"),), {"GET /order?number=7": (200, "too many")}, "CODE"),
    Fix("decorator's body", (("shop/guards.py", "'eve'", "'anna'"),), {"GET /secret?who=anna": (403, None), "GET /secret?who=eve": (200, "secret")}),
    Fix("decorator taken off", ((VIEWS, "@guarded\n", ""),), {"GET /secret?who=eve": (200, "secret")}),
    Fix("template filter's body", (("shop/tags.py", "text.upper()", "text.title()"),), {"GET /page": (200, "Anna")}),
    Fix("context processor", (("shop/context.py", "'anna'", "'bea'"),), {"GET /page": (200, "BEA")}, "CODE"),
    Fix("receiver of a signal", (("shop/signals.py", "['a']", "['b']"),), {"GET /seen": (200, "ba")}),
    Fix("handler of an error", ((VIEWS, "'nothing here'", "'gone'"),), {"GET /nothing": (404, "gone")}, "CODE"),
    Fix("new module and a view that uses it", (("shop/extra.py", "", "def extra():\n    return 'extra'\n"), (VIEWS, "from shop.rates", "from shop.extra import extra\nfrom shop.rates"), (VIEWS, "HttpResponse(TEXT)", "HttpResponse(extra())")), {"GET /text": (200, "extra")}),
]  # fmt: skip


def test_hot_fixes_of_a_django_service(tmp_path: Path) -> None:
    run(World(tmp_path, sys.executable), FILES, BEGIN, TABLE, ["GET /old", "GET /thing", "REVERSE old"])
