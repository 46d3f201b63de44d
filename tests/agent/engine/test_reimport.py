"""Bringing modules in anew: executed before they are published, the old ones stay on any failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.engine_world import World

ONE = {"app.py": "VALUE = 1\ndef f(): return VALUE\n"}
SHOP = {
    "shop/__init__.py": "from .tax import rate\nVERSION = 1\n",
    "shop/tax.py": "RATE = 1\ndef rate(): return RATE\n",
    "shop/cart.py": "import shop.tax\nfrom shop import tax as t\nfrom . import tax as t2\nfrom .tax import rate\n"
    "import shop.tax as t3\nT = shop.tax.RATE\ndef late():\n    from shop import tax\n    return tax\n",
}


def test_a_reimported_module_has_its_files_new_code_and_the_old_object_is_untouched(world: World) -> None:
    world.run(
        """
        import app
        write("app.py", "VALUE = 2\\ndef g(): return 0\\n")
        result = applied(reimport("app"))
        fresh = sys.modules["app"]
        assert fresh is not app and fresh.VALUE == 2 and app.VALUE == 1 and app.f() == 1
        told = result["modules"][0]
        assert told["action"] == "ACTION_REIMPORT" and told["tier"] == "TIER_FRESH"
        assert told["before"]["generation"] == 1 and told["after"]["generation"] == 2
        assert told["symbols"] == {"added": ["g"], "removed": ["f"], "changed": ["VALUE"]}, told["symbols"]
        assert told["after"]["digest"].startswith("sha256:")
        assert fresh.__spec__.loader.name == "app" and fresh.__file__.endswith("app.py")
        assert fresh.__builtins__ is app.__builtins__, "nothing of the staging is left in it"
        applied(undo())
        assert sys.modules["app"] is app
        applied(undo(2))
        assert sys.modules["app"] is fresh
        """,
        ONE,
    )


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("VALUE = 2\nraise ValueError('no')\n", "ValueError"),
        ("VALUE = 2\nimport sys\nsys.exit(3)\n", "SystemExit"),
        ("VALUE = 2\nraise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("VALUE = 2\nclass Odd(BaseException):\n    def __str__(self): raise RuntimeError\nraise Odd\n", "app.Odd"),
        ("import not_there_at_all\n", "ModuleNotFoundError"),
        ("def f(): f()\nf()\n", "RecursionError"),
    ],
)
def test_a_module_that_raises_leaves_the_old_one(world: World, source: str, kind: str) -> None:
    world.run(
        f"""
        import app
        before = table()
        write("app.py", {source!r})
        error = failed(reimport("app"))
        assert error["type"] == {kind!r}, error
        assert "staging.py" not in error["traceback"] and "execution.py" not in error["traceback"], error["traceback"]
        assert sys.modules["app"] is app and app.VALUE == 1 and app.f() == 1
        missing = set(before) - set(sys.modules)
        assert not missing and engine.revision == 0
        write("app.py", "VALUE = 3\\n")
        applied(reimport("app"))
        assert sys.modules["app"].VALUE == 3
        """,
        ONE,
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"VALUE = 1\nif True\n    pass\n", 2),
        (b"X = '\xff\xfe'\n", None),
        (b"# coding: no-such-encoding\nX = 1\n", None),
        (b"X = 1\0\n", None),
        (b"X = " + b"(" * 5000 + b"\n", None),
        (b"X = " + b"-" * 200_000 + b"1\n", None),
    ],
)
def test_a_source_that_does_not_compile_is_refused_with_its_place(
    world: World, content: bytes, line: int | None
) -> None:
    world.run(
        f"""
        import app
        with open("app.py", "wb") as file:
            file.write({content!r})
        result = change(reimport("app"))
        assert result["outcome"] == "OUTCOME_REFUSED", result
        told = result["modules"][0]
        assert told["refusal"]["reason"] == "BAD_SOURCE", told
        assert told["error"]["type"], told
        if {line!r} is not None:
            assert told["error"]["line"] == {line!r} and told["error"]["file"].endswith("app.py"), told["error"]
            assert told["error"]["column"] > 0
        assert sys.modules["app"] is app and app.f() == 1
        """,
        ONE,
    )


def test_code_that_loops_for_ever_is_stopped_and_the_process_goes_on(world: World) -> None:
    world.run(
        """
        import app
        write("app.py", "VALUE = 2\\nwhile True: pass\\n")
        threads = len(sys._current_frames())
        began = time.monotonic()
        error = failed(reimport("app"), timeout_s=0.3)
        assert time.monotonic() - began < 5
        assert error["type"] == "TimeoutError" and "0.3 s" in error["message"], error
        assert len(sys._current_frames()) == threads, "the run-away thread was stopped"
        assert sys.modules["app"] is app
        write("app.py", "VALUE = 3\\n")
        applied(reimport("app"))
        """,
        ONE,
    )


def test_code_that_catches_everything_while_it_loops_is_abandoned(world: World) -> None:
    world.run(
        """
        import app, builtins
        real = builtins.__import__
        write("app.py", "import time\\nend = time.monotonic() + 4\\nwhile time.monotonic() < end:\\n"
              "    try:\\n        time.sleep(0.5)\\n    except BaseException: pass\\n")
        error = failed(reimport("app"), timeout_s=0.2)
        assert "still" in error["message"] or "left" in error["message"], error
        assert sys.modules["app"] is app and builtins.__import__ is real
        write("app.py", "VALUE = 3\\n")
        applied(reimport("app"))
        assert sys.modules["app"].VALUE == 3
        time.sleep(4.5)
        assert sys.modules["app"].VALUE == 3, "what the abandoned thread did later reached nothing"
        """,
        ONE,
    )


def test_nobody_is_fooled_by_a_stale_bytecode_file(world: World) -> None:
    world.run(
        """
        import app
        stat = os.stat("app.py")
        write("app.py", "VALUE = 7\\ndef f(): return VALUE\\n")
        # same size, same time: importlib would take the .pyc
        os.utime("app.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        applied(reimport("app"))
        assert sys.modules["app"].VALUE == 7
        """,
        ONE,
    )


def test_a_submodule_is_rebound_in_its_live_parent(world: World) -> None:
    world.run(
        """
        import shop.cart
        old = shop.tax
        write("shop/tax.py", "RATE = 2\\ndef rate(): return RATE\\n")
        applied(reimport("shop.tax"))
        assert shop.tax is sys.modules["shop.tax"] is not old and shop.tax.RATE == 2
        assert shop.cart.late() is shop.tax
        applied(undo())
        assert shop.tax is old
        """,
        SHOP,
    )


def test_modules_of_one_change_see_each_other_however_they_import(world: World) -> None:
    world.run(
        """
        import shop.cart
        old = table()
        write("shop/tax.py", "RATE = 2\\ndef rate(): return RATE\\n")
        applied(reimport("shop.cart"), reimport("shop.tax"))
        assert sys.modules["shop"] is shop is old["shop"]
        cart, tax = sys.modules["shop.cart"], sys.modules["shop.tax"]
        assert cart is not old["shop.cart"] and tax is not old["shop.tax"]
        assert cart.t is tax and cart.t2 is tax and cart.t3 is tax and cart.T == 2 and cart.rate is tax.rate
        assert cart.shop is shop, "no stand-in is left behind"
        assert cart.late() is tax
        """,
        SHOP,
    )


def test_a_package_with_all_its_submodules_is_one_unit(world: World) -> None:
    world.run(
        """
        import shop.cart
        old = table()
        write("shop/tax.py", "RATE = 2\\ndef rate(): return RATE\\n")
        write("shop/extra.py", "from .tax import RATE as SEEN\\n")
        write("shop/__init__.py", "from .extra import SEEN\\nVERSION = 2\\n")
        result = applied(reimport("shop", recursive=True))
        fresh = sys.modules["shop"]
        assert fresh is not old["shop"] and fresh.SEEN == 2 and fresh.VERSION == 2
        assert fresh.tax is sys.modules["shop.tax"] and fresh.cart is sys.modules["shop.cart"]
        assert fresh.extra is sys.modules["shop.extra"] and fresh.cart.shop is fresh
        assert old["shop"].tax is old["shop.tax"], "the old package is left whole"
        applied(undo())
        assert {name: module for name, module in sys.modules.items() if name.startswith("shop")} == {
            name: module for name, module in old.items() if name.startswith("shop")}
        """,
        SHOP,
    )


def test_a_package_alone_keeps_its_loaded_submodules(world: World) -> None:
    world.run(
        """
        import shop.cart
        cart = shop.cart
        write("shop/__init__.py", "VERSION = 2\\n")
        applied(reimport("shop"))
        fresh = sys.modules["shop"]
        assert fresh.VERSION == 2 and fresh.cart is cart and fresh.tax is sys.modules["shop.tax"]
        """,
        SHOP,
    )


def test_cycles_are_executed_once_each(world: World) -> None:
    world.run(
        """
        import ring.a
        del sys.ring_log[:]
        applied(reimport("ring", recursive=True))
        assert sorted(sys.ring_log) == ["ring.a", "ring.b"], sys.ring_log
        a, b = sys.modules["ring.a"], sys.modules["ring.b"]
        assert a.b is b and b.a is a
        """,
        {
            "ring/__init__.py": "import sys\nsys.ring_log = getattr(sys, 'ring_log', [])\n",
            "ring/a.py": "import sys\nsys.ring_log.append(__name__)\nfrom . import b\n",
            "ring/b.py": "import sys\nsys.ring_log.append(__name__)\nfrom . import a\n",
        },
    )


def test_a_failure_in_the_last_of_many_leaves_all_as_they_were(world: World) -> None:
    world.run(
        """
        import shop.cart
        old = table()
        parent = dict(vars(shop))
        write("shop/tax.py", "RATE = 2\\nimport shop.brandnew\\ndef rate(): return 2\\n")
        write("shop/brandnew.py", "X = 1\\n")
        write("shop/cart.py", "import shop.tax\\nraise OSError('late')\\n")
        error = failed(reimport("shop", recursive=True))
        assert error["type"] == "OSError"
        assert "shop.brandnew" not in sys.modules and not hasattr(shop, "brandnew")
        assert {k: v for k, v in sys.modules.items() if k.startswith("shop")} == {
            k: v for k, v in old.items() if k.startswith("shop")}
        assert dict(vars(shop)) == parent and engine.revision == 0
        """,
        SHOP,
    )


def test_import_module_and_dynamic_imports_see_the_change_too(world: World) -> None:
    world.run(
        """
        import shop.cart
        write("shop/tax.py", "RATE = 9\\ndef rate(): return RATE\\n")
        write("shop/cart.py", "import importlib\\nd = importlib.import_module('shop.tax')\\n"
              "e = importlib.import_module('.tax', 'shop')\\nf = __import__('shop.tax', fromlist=['x'])\\n")
        applied(reimport("shop.cart"), reimport("shop.tax"))
        tax, cart = sys.modules["shop.tax"], sys.modules["shop.cart"]
        assert cart.d is tax and cart.e is tax and cart.f is tax
        """,
        SHOP,
    )


def test_a_star_import_takes_the_changed_submodules_names(world: World) -> None:
    world.run(
        """
        import star, user
        write("star/part.py", "NEW = 1\\n")
        write("user.py", "from star.part import *\\nfrom star import *\\n")
        applied(reimport("star.part"), reimport("user"))
        assert sys.modules["user"].NEW == 1 and sys.modules["user"].part is sys.modules["star.part"]
        """,
        {
            "star/__init__.py": "__all__ = ['part']\nfrom . import part\n",
            "star/part.py": "OLD = 1\n",
            "user.py": "from star import *\n",
        },
    )


def test_other_names_of_the_module_follow(world: World) -> None:
    world.run(
        """
        import app
        sys.modules["vendored.app"] = app
        write("app.py", "VALUE = 2\\n")
        applied(reimport("app"))
        assert sys.modules["vendored.app"] is sys.modules["app"] is not app
        assert refused(reimport("vendored.app")) == {"vendored.app": "UNSUPPORTED"}
        applied(undo())
        assert sys.modules["vendored.app"] is sys.modules["app"] is app
        """,
        ONE,
    )


def test_a_module_that_puts_something_else_in_its_place(world: World) -> None:
    world.run(
        """
        import shy
        assert type(shy).__name__ == "Shy"
        old = sys.modules["shy"]
        seen = []
        write("shy.py", "import sys\\nclass Shy:\\n    V = 2\\nsys.modules[__name__] = Shy()\\n")
        sys.modules["plain"] = plain = type(sys)("plain")
        result = change(reimport("shy"))
        assert result["outcome"] == "OUTCOME_REFUSED", result  # what stands there is no module
        import swap
        write("swap.py", "import sys\\nclass M(type(sys)):\\n    V = 2\\nm = M(__name__)\\n"
              "m.__dict__.update(globals())\\nsys.modules[__name__] = m\\n")
        applied(reimport("swap"))
        assert sys.modules["swap"].V == 2 and type(sys.modules["swap"]).__name__ == "M"
        applied(undo())
        assert sys.modules["swap"] is swap
        """,
        {"shy.py": "import sys\nclass Shy:\n    V = 1\nsys.modules[__name__] = Shy()\n", "swap.py": "V = 1\n"},
    )


def test_what_cannot_be_found_again_is_refused(world: World) -> None:
    world.run(
        """
        import app
        os.unlink("app.py")
        import importlib
        assert refused(reimport("app")) == {"app": "NO_SOURCE"}
        handmade = type(sys)("handmade")
        sys.modules["handmade"] = handmade
        assert refused(reimport("handmade")) == {"handmade": "NO_SOURCE"}
        sys.modules["ghost"], sys.modules["thing"] = None, 5
        assert refused(reimport("ghost"), reimport("thing")) == {"ghost": "NOT_A_MODULE", "thing": "NOT_A_MODULE"}
        assert sys.modules["app"] is app
        """,
        ONE,
    )


def test_source_sent_along_is_used_instead_of_the_disks(world: World) -> None:
    world.run(
        """
        import app, traceback, inspect, linecache
        source = "VALUE = 5\\n\\n\\ndef f():\\n    return 1 / 0  # sent\\n"
        sent = {"name": "app", "source": source}
        result = applied(reimport("app", modules=[sent]))
        fresh = sys.modules["app"]
        assert fresh.VALUE == 5
        assert "# sent" in inspect.getsource(fresh.f)
        try:
            fresh.f()
        except ZeroDivisionError:
            linecache.checkcache()
            assert "# sent" in traceback.format_exc()
        row = rows("app")["app"]
        assert row["_patched"] is True and row["digest"] == result["modules"][0]["after"]["digest"]
        assert get("app", with_source=True)["source"] == source
        applied(undo())
        assert sys.modules["app"] is app and "return VALUE" in inspect.getsource(app.f)
        assert "_patched" not in rows("app")["app"]
        """,
        ONE,
    )


def test_code_from_the_gateway_is_used_only_where_it_is_of_that_file_and_interpreter(world: World) -> None:
    world.run(
        """
        import app, base64, marshal, hashlib
        from importlib.util import MAGIC_NUMBER
        path = os.path.abspath("app.py")
        stat = os.stat(path)
        def sent(**other):
            code = compile("VALUE = 'precompiled'", path, "exec")
            digest = "sha256:" + hashlib.sha256(open(path, "rb").read()).hexdigest()
            return {"name": "app", "origin": path, "digest": digest,
                    "stat": [stat.st_mtime_ns, stat.st_size, stat.st_ino],
                    "code": base64.b64encode(marshal.dumps(code)).decode(), "magic": MAGIC_NUMBER.hex(), **other}
        applied(reimport("app", modules=[sent()]))
        assert sys.modules["app"].VALUE == "precompiled"
        for other in ({"magic": "00000000"}, {"optimize": 2}, {"stat": [1, 2, 3]}, {"origin": "/elsewhere.py"}):
            applied(reimport("app", modules=[sent(**other)]))
            assert sys.modules["app"].VALUE == 1, other
        """,
        ONE,
    )


def test_a_dry_run_compiles_and_executes_nothing(world: World) -> None:
    world.run(
        """
        import app
        write("app.py", "open('executed', 'w')\\n")
        before = table()
        result = change(reimport("app"), dry_run=True, request_id="one")
        assert result["outcome"] == "OUTCOME_PLANNED" and result["modules"][0]["after"]["digest"]
        assert not os.path.exists("executed") and sys.modules["app"] is app and engine.revision == 0
        write("app.py", "X = (\\n")
        assert refused(reimport("app"), dry_run=True) == {"app": "BAD_SOURCE"}
        write("app.py", "X = 1\\n")
        applied(reimport("app"), request_id="one")  # a dry run does not use a request's id up
        """,
        ONE,
    )


def test_builtins_that_change_later_are_seen(world: World) -> None:
    world.run(
        """
        import app, builtins
        write("app.py", "def f(): return added_later\\ndef g():\\n    import json\\n    return json\\n")
        applied(reimport("app"))
        builtins.added_later = 5
        assert sys.modules["app"].f() == 5
        calls = []
        real = builtins.__import__
        builtins.__import__ = lambda *args, **kwargs: calls.append(args[0]) or real(*args, **kwargs)
        sys.modules["app"].g()
        builtins.__import__ = real
        assert calls == ["json"], "later imports go to whatever __import__ there is then"
        """,
        ONE,
    )
