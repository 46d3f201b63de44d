"""Classes that stand for tables: methods change in place, columns are refused."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support.engine_world import World

if TYPE_CHECKING:
    from pathlib import Path

SQLALCHEMY = {
    "models.py": """
from sqlalchemy import Column, Integer, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Session

class Base(DeclarativeBase):
    pass

class User(Base):
    __tablename__ = "users"
    LIMIT = 3
    id = Column(Integer, primary_key=True)
    name = Column(String(30))

    def label(self):
        return f"<{self.name}>"

engine = create_engine("sqlite://")
"""
}
MAKE_SQLALCHEMY = """
import models
models.Base.metadata.create_all(models.engine)
session = models.Session(models.engine)
session.add(models.User(name="anna"))
session.commit()
find = lambda: session.query(models.User).filter_by(name="anna").one()
"""
DJANGO = {
    "models.py": """
import django
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
django.setup()
from django.db import connection, models

class User(models.Model):
    LIMIT = 3
    name = models.CharField(max_length=30)

    class Meta:
        app_label = "shop"

    def label(self):
        return f"<{self.name}>"

def begin():
    with connection.schema_editor() as editor:
        editor.create_model(User)
"""
}
MAKE_DJANGO = """
import models
models.begin()
models.User.objects.create(name="anna")
find = lambda: models.User.objects.get(name="anna")
"""
CASE = """
user, User, text = find(), models.User, open("models.py").read()

def to(old, new):
    assert old in text
    module = {"name": "models", "source": text.replace(old, new, 1), "digest": "sha256:" + "0" * 64}
    return change({"reimport": {"name": "models", "mode": "REIMPORT_MODE_PATCH", "modules": [module]}})

def done(result):
    assert result["outcome"] == "OUTCOME_APPLIED", result
    assert models.User is User and type(find()) is User

done(to('f"<', 'f"user <'))
assert user.label() == "user <anna>" and find().label() == "user <anna>"
done(change(undo()))
assert user.label() == "<anna>"
done(to("    def label", "    def hello(self):\\n        return 'hi ' + self.name\\n\\n    def label"))
assert user.hello() == "hi anna" and find().hello() == "hi anna"
done(change(undo()))
assert not hasattr(User, "hello")
done(to("LIMIT = 3", "LIMIT = 4"))
assert user.LIMIT == 4
done(change(undo()))
assert user.LIMIT == 3
for old, new in COLUMNS:
    result = to(old, new)
    assert result["outcome"] == "OUTCOME_REFUSED", result
    refusal = result["modules"][0]["refusal"]
    assert refusal["reason"] == "MAPPED_COLUMN" and "User." in refusal["rule"], refusal
    assert find().label() == "<anna>"
"""


def test_declarative_classes_of_sqlalchemy(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    name = "    name = Column(String(30))\n"
    columns = [
        (name, name + "    age = Column(Integer)\n"),
        (name, name.replace("30", "60")),
        (name, ""),
        ('"users"', '"people"'),
    ]
    World(tmp_path, sys.executable).run(f"COLUMNS = {columns!r}\n{MAKE_SQLALCHEMY}{CASE}", SQLALCHEMY)


CONSTRUCTS = """
from sqlalchemy.sql.cache_key import HasCacheKey
from sqlalchemy.sql.visitors import InternalTraversal

class Thing(HasCacheKey):
    _traverse_internals = [("a", InternalTraversal.dp_string)]
    _cache_key_traversal = _traverse_internals + []

    def __init__(self, a, b):
        self.a, self.b = a, b

class Derived(Thing):
    inherit_cache = True
"""


def test_what_sqlalchemy_has_generated_of_a_list_of_parts_goes_when_the_list_changes(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    code = """
        import parts
        objects = [kind("x", b) for kind in (parts.Thing, parts.Derived) for b in "12"]
        def same():
            keys = [each._generate_cache_key() for each in objects]
            return [keys[0] == keys[1], keys[2] == keys[3]]
        assert same() == [True, True]  # and generates what works it out
        with open("parts.py") as file:
            text = file.read()
        more = text.replace("dp_string)]", "dp_string), ('b', InternalTraversal.dp_string)]")
        sent = [{"name": "parts", "source": more, "digest": "sha256:" + "0" * 64}]
        applied({"reimport": {"name": "parts", "mode": "REIMPORT_MODE_PATCH", "modules": sent}})
        assert same() == [False, False], "statements that differ would get each other's SQL"
        applied(undo())
        assert same() == [True, True]
    """
    World(tmp_path, sys.executable).run(code, {"parts.py": CONSTRUCTS})


def test_models_of_django(tmp_path: Path) -> None:
    pytest.importorskip("django")
    name = "    name = models.CharField(max_length=30)\n"
    columns = [
        (name, name + "    age = models.IntegerField(null=True)\n"),
        (name, name.replace("30", "60")),
        (name, ""),
    ]
    World(tmp_path, sys.executable).run(f"COLUMNS = {columns!r}\n{MAKE_DJANGO}{CASE}", DJANGO)
