"""Putting made modules in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.engine_world import World

SHOP = {"shop/__init__.py": "", "shop/tax.py": "RATE = 1\n", "lone.py": "X = 1\n"}


def test_an_injected_module_is_a_module_like_any_other(world: World) -> None:
    world.run(
        '''
        source = """from __future__ import annotations
        import dataclasses, sys
        HERE = sys.modules[__name__]
        @dataclasses.dataclass
        class Point:
            x: int = 1
        def broken():
            return 1 / 0  # here
        """.replace("        ", "", 1).replace("\\n        ", "\\n")
        applied(inject("mock", source))
        import mock, importlib, inspect, linecache, pickle, traceback
        assert mock.__spec__.name == "mock" and mock.__spec__.origin == mock.__file__ == "/modctl/mock.py"
        assert mock.HERE is mock and mock.__name__ == "mock" and mock.__package__ == ""
        assert inspect.getsource(mock) == source and "1 / 0" in inspect.getsource(mock.broken)
        linecache.checkcache()
        try:
            mock.broken()
        except ZeroDivisionError:
            assert "# here" in traceback.format_exc()
        point = pickle.loads(pickle.dumps(mock.Point(3)))
        assert point == mock.Point(3)
        assert importlib.reload(mock) is mock
        assert importlib.util.find_spec("mock").loader.get_source("mock") == source
        row = rows("mock")["mock"]
        assert row["kind"] == "MODULE_KIND_INJECTED" and row["state"] == "MODULE_STATE_INJECTED", row
        assert row["digest"].startswith("sha256:")
        assert get("mock", with_source=True)["source"] == source
        applied(undo())
        assert "mock" not in sys.modules and importlib.util.find_spec("mock") is None
        assert not [finder for finder in sys.meta_path if type(finder).__module__.startswith("modctl")]
        '''
    )


def test_an_import_under_way_misses_no_finder_when_the_last_injected_module_goes(world: World) -> None:
    world.run(
        """
        class Between:
            # Stands before the one that finds it. What our thread does between two finders of this import is done
            # here, where the lock of imports is held: so not by a change, but as the end of one does it.
            asked = 0
            def find_spec(self, name, path=None, target=None):
                if name == "lone":
                    self.asked += 1
                    sys.meta_path[0].detach()

        applied(inject("mock", "X = 1"))
        between = Between()
        import importlib.machinery
        sys.meta_path.insert(sys.meta_path.index(importlib.machinery.PathFinder), between)
        assert type(sys.meta_path[0]).__module__.startswith("modctl")
        import lone
        assert between.asked == 1 and lone.X == 1
        assert not [finder for finder in sys.meta_path if type(finder).__module__.startswith("modctl")]
        """,
        SHOP,
    )


def test_a_name_that_is_loaded_needs_replace_and_undo_brings_back_the_very_object(world: World) -> None:
    world.run(
        """
        import lone
        assert refused(inject("lone", "X = 2")) == {"lone": "ALREADY_LOADED"}
        applied(inject("lone", "X = 2", replace=True))
        assert sys.modules["lone"].X == 2
        applied(evict("lone"))
        import lone as from_disk
        assert from_disk.X == 1, "an evicted injection does not come back by itself"
        applied(undo())
        assert sys.modules["lone"].X == 2
        applied(undo())
        assert sys.modules["lone"] is lone
        """,
        SHOP,
    )


def test_what_an_injected_module_raises_leaves_no_trace(world: World) -> None:
    world.run(
        """
        before = table()
        assert failed(inject("mock", "import lone\\nraise ValueError(1)"))["type"] == "ValueError"
        assert "lone" not in sys.modules and "mock" not in sys.modules
        assert failed(inject("mock", "import sys\\nsys.exit(1)"))["type"] == "SystemExit"
        assert refused(inject("mock", "X = (")) == {"mock": "BAD_SOURCE"}
        assert table() == before, set(table()) ^ set(before)
        try:
            import mock
        except ModuleNotFoundError:
            pass
        else:
            raise AssertionError
        """,
        SHOP,
    )


def test_a_submodule_is_bound_in_its_parent_which_is_imported_first(world: World) -> None:
    world.run(
        """
        applied(inject("shop.extra", "from . import tax\\nfrom .tax import RATE\\n"))
        import shop
        assert shop.extra is sys.modules["shop.extra"] and shop.extra.tax is shop.tax
        applied(undo())
        assert "shop.extra" not in sys.modules and not hasattr(shop, "extra")
        assert "shop" not in sys.modules, "the parent was loaded by the change too"
        assert failed(inject("nowhere.extra", "X = 1"))["type"] == "ModuleNotFoundError"
        """,
        SHOP,
    )


def test_a_whole_package_with_data_comes_along(world: World) -> None:
    world.run(
        """
        import base64
        modules = [
            {"name": "pack", "package": True, "source": "from . import one\\n", "filename": "/modctl/pack/__init__.py"},
            {"name": "pack.one", "source": "from pack.sub.deep import V\\n", "filename": "/modctl/pack/one.py"},
            {"name": "pack.sub", "package": True, "source": "", "filename": "/modctl/pack/sub/__init__.py"},
            {"name": "pack.sub.deep", "source": "V = 5\\n", "filename": "/modctl/pack/sub/deep.py"},
            {"name": "pack.later", "source": "from . import one\\nW = one.V + 1\\n",
             "filename": "/modctl/pack/later.py"},
        ]
        data = {"data.txt": base64.b64encode(b"hello").decode(), "sub/more.bin": base64.b64encode(b"\\0").decode()}
        applied({"inject": {"name": "pack", "modules": modules, "data": data}})
        import pack, pkgutil, importlib.resources
        assert pack.one.V == 5 and pack.__path__ == ["/modctl/pack"]
        assert "pack.later" not in sys.modules
        import pack.later
        assert pack.later.W == 6 and pack.later.one is pack.one
        assert pkgutil.get_data("pack", "data.txt") == b"hello"
        assert importlib.resources.files("pack").joinpath("data.txt").read_text() == "hello"
        assert importlib.resources.files("pack.sub").joinpath("more.bin").read_bytes() == b"\\0"
        applied(undo())
        assert not [name for name in sys.modules if name.startswith("pack")], "what was loaded from it later goes too"
        """
    )


def test_a_package_that_replaces_another_takes_its_place_whole(world: World) -> None:
    world.run(
        """
        import shop.tax
        old, tax = shop, shop.tax
        modules = [{"name": "shop", "package": True, "source": "NEW = 1\\n", "filename": "/modctl/shop/__init__.py"}]
        applied({"inject": {"name": "shop", "modules": modules, "replace": True}})
        assert sys.modules["shop"].NEW == 1 and "shop.tax" not in sys.modules
        try:
            import shop.tax
        except ModuleNotFoundError:
            pass
        else:
            raise AssertionError
        applied(undo())
        assert sys.modules["shop"] is old and sys.modules["shop.tax"] is tax and old.tax is tax
        """,
        SHOP,
    )


def test_a_stub_of_attributes(world: World) -> None:
    world.run(
        """
        applied({"inject": {"name": "stub", "attributes": {"URL": '"http://x"', "LIMITS": '{"a": [1, 2.5, null]}'}}})
        import stub, importlib
        assert stub.URL == "http://x" and stub.LIMITS == {"a": [1, 2.5, None]}
        stub.URL = "changed"
        importlib.reload(stub)
        assert stub.URL == "http://x"
        """
    )


def test_an_alias_is_the_same_module(world: World) -> None:
    world.run(
        """
        import shop.tax
        applied({"inject": {"name": "shop.vat", "alias_of": "shop.tax"}})
        import shop.vat
        assert shop.vat is shop.tax
        row = rows("shop.vat")["shop.vat"]
        assert row["alias_of"] == "shop.tax"
        applied(undo())
        assert not hasattr(shop, "vat") and "shop.vat" not in sys.modules
        assert refused({"inject": {"name": "x", "alias_of": "not_loaded"}}) == {"not_loaded": "NOT_LOADED"}
        """,
        SHOP,
    )


def test_a_blocked_name_fails_to_import_however_it_is_spelt(world: World) -> None:
    world.run(
        """
        import shop.tax
        tax = shop.tax
        applied({"inject": {"name": "shop.tax", "block": True, "replace": True}})
        for statement in ("import shop.tax", "from shop import tax", "from shop.tax import RATE"):
            try:
                exec(statement)
            except ImportError:
                pass
            else:
                raise AssertionError(statement)
        row = rows("shop.tax")["shop.tax"]
        assert row["kind"] == "MODULE_KIND_BLOCKED" and row["state"] == "MODULE_STATE_BLOCKED"
        applied(undo())
        from shop import tax as again
        assert again is tax
        applied({"inject": {"name": "not_there_yet", "block": True}})
        assert failed(load("not_there_yet"))["type"] == "ModuleNotFoundError"
        """,
        SHOP,
    )


def test_a_time_to_live_takes_back_exactly_what_was_there(world: World) -> None:
    world.run(
        """
        import lone
        result = applied(inject("lone", "X = 2", replace=True, ttl_s=0.2), inject("other", "Y = 1"))
        assert rows("lone")["lone"]["expires_at_unix_s"] > time.time() - 1
        assert "expires_at_unix_s" not in rows("other")["other"]
        time.time = lambda: 0.0  # a clock that jumps does not matter
        deadline = time.monotonic() + 10
        while sys.modules["lone"] is not lone and time.monotonic() < deadline:
            time.sleep(engine.next_expiry_s() or 0)
            engine.expire()
        assert sys.modules["lone"] is lone and sys.modules["other"].Y == 1
        history = answer("list_revisions")[0]["revisions"]
        assert history[0]["identity"] == "modctl (ttl)" and history[0]["modules"][0]["name"] == "lone"
        assert "expires_at_unix_s" not in rows("lone")["lone"]
        """,
        SHOP,
    )


def test_what_a_later_change_built_on_is_not_taken_back_by_time(world: World) -> None:
    world.run(
        """
        import lone
        applied(inject("lone", "X = 2", replace=True, ttl_s=0.05))
        applied(inject("lone", "X = 3", replace=True))
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            engine.expire()
            time.sleep(0.05)
        assert sys.modules["lone"].X == 3
        """,
        SHOP,
    )


def test_an_injection_over_the_wrong_base_is_refused(world: World) -> None:
    world.run(
        """
        import hashlib, lone
        good = "sha256:" + hashlib.sha256(open("lone.py", "rb").read()).hexdigest()
        assert refused(inject("lone", "X = 2", replace=True, base_digest="sha256:00")) == {"lone": "BASE_DIFFERS"}
        applied(inject("lone", "X = 2", replace=True, base_digest=good))
        second = rows("lone")["lone"]["digest"]
        assert refused(evict("lone", base_digest=good)) == {"lone": "BASE_DIFFERS"}
        applied(evict("lone", base_digest=second))
        """,
        SHOP,
    )


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a..b",
        ".a",
        "a.",
        "../x",
        "a/b",
        "a\x00b",
        "x" * 5000,
        "a b",
        "1a",
        "class",
        "a.import",
        "\udc80",
        "a" * 1_000_000,
    ],
)
def test_names_that_no_module_can_have_are_refused(world: World, name: str) -> None:
    world.run(
        f"""
        name = {name!r} if len({name!r}) < 100_000 else "a" * 1_000_000
        before = table()
        for operation in (inject(name, "X = 1"), evict(name), reimport(name), load(name)):
            result = change(operation)
            assert result["outcome"] == "OUTCOME_REFUSED", result
            assert [each["refusal"]["reason"] for each in result["modules"]] == ["BAD_NAME"], result
        assert table() == before, set(table()) ^ set(before)
        """.replace(repr("a" * 1_000_000), "'a' * 1_000_000")
    )


def test_limits_on_sources_and_modules_are_answered_as_such(world: World) -> None:
    world.run(
        """
        assert refused(inject("big", "#" * (4 * 1024 * 1024 + 1))) == {"big": "LIMIT"}
        modules = [{"name": "many", "package": True, "source": ""}]
        modules += [{"name": f"many.m{number}", "source": ""} for number in range(1_000)]
        assert refused({"inject": {"name": "many", "modules": modules}}) == {"many": "LIMIT"}
        assert refused(*[inject(f"m{number}", "") for number in range(1_001)]) == {"": "LIMIT"}
        applied(inject("fits", "#" * (4 * 1024 * 1024)))
        """
    )


def test_a_stub_name_is_protected_even_before_it_is_loaded(world: World) -> None:
    world.run(
        """
        assert refused(inject("asyncio.mock", "X = 1"), inject("modctl.mock", "X = 1")) == {
            "asyncio.mock": "PROTECTED", "modctl.mock": "PROTECTED"}
        applied(inject("asyncio.mock", "X = 1"), override_protected=["asyncio.mock"])
        """
    )
