"""The application that gunicorn serves: `wsgi:app`."""

from __future__ import annotations

from flask import Flask
from modctl import agent
from views import shop

agent.start(service="shop")

app = Flask("shop")
app.register_blueprint(shop)
