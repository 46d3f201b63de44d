"""What listings and details say, and that no foreign code runs for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.engine_world import World

FILES = {
    "app.py": '"""Doc."""\nX = 1\n\n\ndef f():\n    return X\n\n\nclass C:\n    pass\n',
    "pk/__init__.py": "",
    "pk/sub.py": "",
}

HOSTILE = """
import types, importlib.util, importlib.machinery

class Boom(Exception): pass
def boom(*args, **kwargs):
    print("FOREIGN CODE RAN", flush=True)
    import traceback
    traceback.print_stack()
    os._exit(77)

class Hostile(types.ModuleType):
    __getattribute__ = __getattr__ = __setattr__ = __repr__ = __str__ = __eq__ = __hash__ = __dir__ = boom
    __class__ = property(boom)
    __dict__ = property(boom)

class Meta(type):
    __getattribute__ = __instancecheck__ = __subclasscheck__ = __hash__ = __eq__ = __repr__ = mro_ = boom

class Thing(metaclass=Meta):
    __getattribute__ = __getattr__ = __repr__ = __eq__ = __hash__ = __len__ = __bool__ = __iter__ = boom
    __class__ = property(boom)

class Key(str):
    calls = 0
    __slots__ = ()
    def __eq__(self, other): boom()
    def __repr__(self): boom()
    def __str__(self): boom()
    def __hash__(self): return str.__hash__(self)

hostile = type.__call__(Hostile, "hostile")
thing = type.__call__(Thing)
sys.modules["hostile"] = hostile
sys.modules["thing"] = thing
sys.modules["number"] = 5
sys.modules["klass"] = Thing
sys.modules["empty"] = None
sys.modules[12] = types.ModuleType("twelve")
sys.modules[Key("key")] = types.ModuleType("key")
# a module whose spec, loader, file, path and attributes are hostile
odd = types.ModuleType("odd")
odd.__dict__.update(__spec__=thing, __loader__=thing, __file__=thing, __path__=thing, __all__=thing, VALUE=thing,
                    nested=[thing, {"k": thing}], other=thing, __package__=thing)
sys.modules["odd"] = odd
nameless = types.ModuleType("nameless")
nameless.__dict__.clear()
sys.modules["nameless"] = nameless
sys.modules["bare"] = types.ModuleType.__new__(types.ModuleType)
sys.modules["lone\\udc80"] = types.ModuleType("x")
write("lazy.py", "print('FOREIGN CODE RAN', flush=True); import os; os._exit(77)")
importlib.invalidate_caches()
spec = importlib.util.find_spec("lazy")
spec.loader = importlib.util.LazyLoader(spec.loader)
lazy = importlib.util.module_from_spec(spec)
sys.modules["lazy"] = lazy
spec.loader.exec_module(lazy)
"""


def test_no_foreign_code_runs_in_a_listing_detail_or_watch(world: World) -> None:
    world.run(
        HOSTILE
        + """
watch = engine.watch([], None)
found = rows()
assert found["hostile"]["kind"] == found["thing"]["kind"] == found["number"]["kind"] == "MODULE_KIND_OTHER", found
assert found["empty"]["kind"] == "MODULE_KIND_BLOCKED" and found["empty"]["state"] == "MODULE_STATE_BLOCKED"
assert found["lazy"]["kind"] == "MODULE_KIND_SOURCE" and found["lazy"]["origin"].endswith("lazy.py")
assert found["odd"]["kind"] == "MODULE_KIND_OTHER" and found["odd"]["package"] is True
assert found["<key of type int>"]["kind"] == "MODULE_KIND_OTHER"
assert found["key"] and found["klass"] and found["nameless"] and found["bare"]
assert "lone\\\\udc80" in found, [name for name in found if name.startswith("lone")]
rows(with_size=True)
for name in ("hostile", "thing", "odd", "number", "empty", "klass", "nameless", "bare", "lazy"):
    get(name, with_source=True, attributes=["VALUE", "nested", "other", "nope"], deep=True)
value = next(each for each in get("odd", attributes=["nested"])["attributes"])
assert "Thing" in value["value"] and value["type"] == "list", value
sys.modules["late"] = hostile
sys.modules["thing"] = odd
watch.poll()
change(load("pk.sub"))
for name in ("hostile", "thing", "odd", "lazy"):
    change(evict(name), dry_run=True)
applied(evict("hostile"), evict("odd"), evict("number"))
applied(undo())
assert dict.get(sys.modules, "hostile") is hostile
""",
        FILES,
    )


def test_kinds_and_origins(world: World) -> None:
    world.run(
        """
        import app, pk.sub, zipfile, py_compile, sqlite3, importlib
        os.makedirs("space/inner", exist_ok=True)
        write("space/inner/leaf.py", "")
        with zipfile.ZipFile("arch.zip", "w") as archive:
            archive.writestr("zipped.py", "Z = 1\\n")
        sys.path.append(os.path.abspath("arch.zip"))
        write("gone.py", "")
        py_compile.compile("gone.py", cfile="compiled.pyc")
        import zipped, space.inner.leaf, compiled
        found = rows()
        kinds = {name: found[name]["kind"].removeprefix("MODULE_KIND_") for name in
                 ("app", "pk", "zipped", "space", "compiled", "sys", "_sqlite3", "__main__", "_frozen_importlib")}
        assert kinds == {"app": "SOURCE", "pk": "SOURCE", "zipped": "SOURCE", "space": "NAMESPACE",
                         "compiled": "BYTECODE",
                         "sys": "BUILTIN", "_sqlite3": "EXTENSION", "__main__": "SOURCE",
                         "_frozen_importlib": "FROZEN"}, kinds
        assert found["app"]["origin"] == os.path.abspath("app.py") and found["pk"]["package"] is True
        assert found["os.path"]["alias_of"] == "posixpath" and "alias_of" not in found["app"]
        assert found["zipped"]["state"] == "MODULE_STATE_UNKNOWN" and "_stat" not in found["zipped"]
        assert "state" not in found["app"]
        assert get("zipped", with_source=True)["source"] == "Z = 1\\n"
        assert [name for name in rows("pk*", "app")] == ["app", "pk", "pk.sub"]
        assert set(rows(kinds=["MODULE_KIND_NAMESPACE"])) >= {"space", "space.inner"}
        """,
        FILES,
    )


def test_an_import_after_start_has_times_and_a_proven_stat(world: World) -> None:
    world.run(
        """
        write("slow.py", "import time, inner\\ntime.sleep(0.05)\\n")
        write("inner.py", "import time\\ntime.sleep(0.1)\\n")
        import slow
        row, inner = rows("slow")["slow"], rows("inner")["inner"]
        assert row["import_ms"] > 140 and 45 < row["import_self_ms"] < 95, row
        assert inner["import_ms"] > 95
        stat = os.stat("slow.py")
        assert row["_stat"] == [stat.st_mtime_ns, stat.st_size, stat.st_ino] and row["_proven"] is True
        assert row["generation"] == 1
        write("slow.py", "X = 1\\n")
        assert rows("slow")["slow"] == row, "a listing looks at no file"
        """,
        FILES,
    )


def test_a_file_that_was_there_before_the_process_is_proven_and_one_written_later_is_not(world: World) -> None:
    world.run(
        """
        import shutil
        if len(sys.argv) == 1:
            time.sleep(0.2)
            os.execv(sys.executable, [sys.executable, "-c", "import sys, os; sys.path.insert(0, os.getcwd())\\n"
                "import app\\nopen('fresh.py', 'w').write('')\\nimport fresh\\nsys.argv = ['x', 'again']\\n"
                "exec(open('case_.py').read())"])
        engine2 = engine
        row, fresh = rows("app")["app"], rows("fresh")["fresh"]
        assert "import_ms" not in row
        """,
        FILES,
    )


def test_files_that_changed_between_start_and_the_first_listing_show_as_modified(world: World) -> None:
    world.run(
        """
        engine.stop()
        import app, pk.sub
        engine = Engine()
        engine.start()
        time.sleep(0.1)
        write("app.py", "X = 2\\n")
        assert rows("app")["app"]["_stat"] == [0, 0, 0]
        stat = os.stat("pk/sub.py")
        assert rows("pk.sub")["pk.sub"]["_stat"] == [stat.st_mtime_ns, stat.st_size, stat.st_ino]
        """,
        FILES,
    )


def test_the_survey_looks_at_files_soon_after_start(world: World) -> None:
    world.run(
        """
        engine.stop()
        import app
        engine = Engine()
        engine.start()
        stat = os.stat("app.py")
        assert 0 < engine.next_expiry_s() < 2
        while (wait_s := engine.next_expiry_s()) is not None:
            time.sleep(wait_s)
            engine.expire()
        time.sleep(0.1)
        write("app.py", "X = 22\\n")
        assert rows("app")["app"]["_stat"] == [stat.st_mtime_ns, stat.st_size, stat.st_ino]
        """,
        FILES,
    )


def test_the_module_that_starts_the_agent_is_known_as_it_was_then(world: World) -> None:
    world.run(
        """
        engine.stop()
        sys.make_engine = Engine
        import starter
        engine = sys.engine
        while (wait_s := engine.next_expiry_s()) is not None:
            time.sleep(wait_s)
            engine.expire()
        write("starter.py", "X = 2\\n")
        (detail,) = answer("get_module", name="starter", with_source=True)
        assert "make_engine" in detail["source"] and "# edited" not in detail["source"], detail
        """,
        # It is edited while its own code still runs.
        {
            "starter.py": "import os, sys\nsys.engine = sys.make_engine()\nsys.engine.start()\nX = 1\n"
            "def f():\n    return 1\n"
            "with open(__file__, 'a') as file:\n    file.write('# ed' + 'ited\\n')\n"
        },
    )


def test_generations_count_what_anybody_does_to_a_name(world: World) -> None:
    world.run(
        """
        import app
        assert rows("app")["app"]["generation"] == 1
        importlib.reload(app)
        assert rows("app")["app"]["generation"] == 2
        del sys.modules["app"]
        assert "app" not in rows("app")
        import app as again
        assert rows("app")["app"]["generation"] == 3
        applied(reimport("app"))
        assert rows("app")["app"]["generation"] == 4
        applied(undo())
        row = rows("app")["app"]
        assert row["generation"] == 5
        sys.modules["app"] = type(sys)("app")
        assert rows("app")["app"]["generation"] == 6
        orders = [row["order"] for row in rows().values()]
        assert len(set(orders)) == len(orders)
        """,
        FILES,
    )


def test_an_entry_that_is_still_being_imported_says_so(world: World) -> None:
    world.run(
        """
        write("slow.py", "import time\\ntime.sleep(0.5)\\n")
        thread = threading.Thread(target=lambda: __import__("slow"))
        thread.start()
        while "slow" not in sys.modules:
            time.sleep(0.001)
        assert rows("slow")["slow"]["initializing"] is True
        assert refused(evict("slow")) == {"slow": "IN_FLIGHT"}
        assert refused(reimport("slow")) == {"slow": "IN_FLIGHT"}
        thread.join()
        assert "initializing" not in rows("slow")["slow"]
        """,
    )


def test_listings_come_in_batches_and_warm_ones_are_the_same(world: World) -> None:
    world.run(
        """
        import types
        for number in range(1_700):
            sys.modules[f"made{number}"] = types.ModuleType(f"made{number}")
        bodies = answer("list_modules")
        assert all(len(body["modules"]) == 500 for body in bodies[:-1]) and len(bodies[-1]["modules"]) <= 500
        names = [row["name"] for body in bodies for row in body["modules"]]
        assert len(names) == len(set(names)) == len(sys.modules)
        assert answer("list_modules") == bodies
        assert rows("made1[0-3]") == rows("made10", "made11", "made12", "made13")
        small = rows("made5")["made5"]
        sys.modules["made5"].big = list(range(1_000_000, 1_050_000))
        assert rows("made5", with_size=True)["made5"]["size_bytes"] > 400_000
        assert "size_bytes" not in rows("made5")["made5"]
        assert answer("list_modules", patterns=["nothing*"]) == [{"modules": []}]
        """
    )


def test_everything_about_one_entry(world: World) -> None:
    world.run(
        """
        import app
        write("user.py", "from app import f\\nimport app as application\\n")
        import user
        applied(reimport("app"))
        found = get("app", attributes=["X", "f", "missing"], with_source=True)
        assert found["module"]["name"] == "app"
        assert found["spec"]["loader"].endswith("SourceFileLoader") and found["spec"]["has_location"] is True
        assert {each["name"]: each["kind"] for each in found["exports"]} == {"X": "int", "f": "function", "C": "class"}
        assert next(each["line"] for each in found["exports"] if each["name"] == "f") == 5
        assert found["history"][0]["number"] == 1
        assert {(each["holder"], each["name"]) for each in found["holders"]} >= {
            ("user.f", "app.f"), ("user.application", "app")}, found["holders"]
        assert found["_source_path"] == os.path.abspath("app.py")
        values = {each["name"]: each for each in found["attributes"]}
        assert values["X"]["value"] == "1" and values["X"]["type"] == "int"
        assert values["f"]["value"] == "<function>" and "error" in values["missing"]
        assert get("user")["exports"][0]["defined_in"] == "app"
        import shared_
        assert "user2" in get("shared_")["importers"]
        """,
        {**FILES, "shared_.py": "import user2\ndef g(): pass\n", "user2.py": "import shared_\n"},
    )


def test_values_are_bounded(world: World) -> None:
    world.run(
        """
        import app
        app.loop = loop = []
        loop.append(loop)
        app.deep = deep = []
        for _ in range(10_000):
            deep.append(inner := []); deep = inner
        app.long = list(range(100_000))
        app.text = "x" * 1_000_000
        app.huge = 10 ** 50_000
        app.odd = "lone \\udc80"
        app.mapping = {("a", 1): {b"x", b"x"}, "t": (1,), "e": (), "s": set(), "f": frozenset({2})}
        found = {each["name"]: each for each in get("app", attributes=list(vars(app)))["attributes"]}
        for name in ("loop", "deep", "long", "text"):
            assert found[name]["truncated"] is True and len(found[name]["value"]) <= 10_100, name
        assert "bits" in found["huge"]["value"]
        mapping = found["mapping"]["value"]
        assert mapping == "{('a', 1): {b'x'}, 't': (1,), 'e': (), 's': set(), 'f': frozenset({2})}", mapping
        """,
        FILES,
    )


def test_resolve_finds_without_executing(world: World) -> None:
    world.run(
        """
        import pk.sub
        told = answer("resolve", names=["pk", "app", "a..b", "nowhere"], recursive=True)[0]["modules"]
        found = {each["name"]: each for each in told}
        assert set(found) == {"pk", "app", "a..b", "nowhere", "pk.sub"}
        assert found["app"]["loaded"] is False and found["app"]["origin"] == os.path.abspath("app.py")
        assert found["pk"]["package"] is True and found["pk.sub"]["loader"] == "SourceFileLoader"
        assert found["nowhere"]["origin"] == "" and "app" not in sys.modules
        """,
        FILES,
    )


def test_a_walk_that_nothing_changed_is_told_by_its_number(world: World) -> None:
    world.run(
        """
        def walk(known):
            return [json.loads(body) for body in engine.answer({"op": "list_modules", "known_walk": known})]

        walk(0)  # the first listings make rows
        first = walk(0)
        number = first[-1].pop("walk")
        assert number > 0 and first[-1] == {"modules": []}
        assert walk(number) == [{"same": number}]
        assert "walk" not in json.loads(list(engine.answer({"op": "list_modules"}))[-1])
        for differ in (
            lambda: applied(load("app")),
            lambda: sys.modules.__setitem__("made", type(sys)("made")),
            lambda: sys.modules.__setitem__("made", type(sys)("made")),
            lambda: sys.modules["made"].__dict__.__setitem__("__spec__", sys.__spec__),
            lambda: sys.modules.pop("made"),
            lambda: (write("app.py", "X = 2"), applied(reimport("app"))),
            lambda: applied(undo()),
        ):
            differ()
            told = walk(number)
            assert told[0].get("modules"), told
            walk(0)
            number = walk(0)[-1]["walk"]
            assert walk(number) == [{"same": number}]
        try:
            list(engine.answer({"op": "list_modules", "known_walk": "x"}))
        except RequestError as error:
            assert error.reason == "BAD_REQUEST"
        else:
            raise AssertionError
        """,
        FILES,
    )
