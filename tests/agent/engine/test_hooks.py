"""What the engine hooks: it shows nowhere, and everything is put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.engine_world import World


def test_stop_puts_everything_back(world: World) -> None:
    world.run(
        """
        import builtins, importlib
        bootstrap = importlib._bootstrap
        names = ("_load_unlocked", "_exec", "_gcd_import", "_find_and_load")
        engine.stop()
        others = lambda: [builtins.__import__, list(sys.meta_path), list(sys.path_hooks)]
        before = [getattr(bootstrap, name) for name in names] + others()
        engine = Engine()
        engine.start()
        assert bootstrap._load_unlocked is not before[0]
        applied(inject("x", "X = 1"))
        applied(undo())
        engine.stop()
        assert [getattr(bootstrap, name) for name in names] + others() == before
        engine.stop()
        engine.start()
        import colorsys
        assert "import_ms" in rows("colorsys")["colorsys"]
        """
    )


def test_what_somebody_wraps_around_our_hook_stays(world: World) -> None:
    world.run(
        """
        import importlib
        bootstrap = importlib._bootstrap
        ours, calls = bootstrap._load_unlocked, []
        def theirs(spec):
            calls.append(spec.name)
            return ours(spec)
        bootstrap._load_unlocked = theirs
        engine.stop()
        assert bootstrap._load_unlocked is theirs
        import colorsys
        assert calls == ["colorsys"]
        """
    )


def test_tracebacks_of_imports_are_what_they_were(world: World) -> None:
    code = """
        import traceback
        write("bad.py", "import worse\\n")
        write("worse.py", "raise ValueError('x')\\n")
        write("syntax.py", "x = (\\n")
        found = []
        for name in ("bad", "syntax", "not_there"):
            try:
                __import__(name)
            except Exception:
                found.append(traceback.format_exc())
        try:
            import not_there.deeper
        except Exception:
            found.append(traceback.format_exc())
        print("".join(found))
        """
    hooked = world.run(code)
    plain = world.run("engine.stop()\n" + "\n".join(line[8:] for line in code.splitlines()))
    assert "ValueError" in hooked
    assert [line for line in hooked.splitlines() if "case_.py" not in line] == [
        line for line in plain.splitlines() if "case_.py" not in line
    ]
    assert "modctl" not in hooked


def test_an_import_without_the_private_parts_still_works_and_says_less(world: World) -> None:
    world.run(
        """
        engine.stop()
        from modctl.agent.engine import bootstrap
        bootstrap.self_test = lambda: dict.fromkeys(("load", "exec", "import_module", "locks"), False)
        engine = Engine()
        engine.start()
        write("a.py", "X = 1\\n")
        applied(load("a"))
        a = sys.modules["a"]
        assert "import_ms" not in rows("a")["a"]
        applied(reimport("a"))
        applied(undo())
        assert sys.modules["a"] is a
        applied(evict("a"))
        applied(inject("b", "import a\\nY = a.X\\n"))
        applied(undo())
        assert "b" not in sys.modules
        """
    )


def test_the_engine_imports_only_the_standard_library_and_little_of_it(world: World) -> None:
    out = world.run(
        """
        import subprocess
        code = "import socket, threading, json, sys; before = set(sys.modules); import modctl.agent.engine as e; " \\
               "e.Engine().start(); print(*sorted(set(sys.modules) - before))"
        print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        """
    )
    heavy = {
        "re",
        "inspect",
        "dataclasses",
        "ast",
        "ctypes",
        "traceback",
        "hashlib",
        "importlib.metadata",
        "asyncio",
        "subprocess",
    }
    loaded = set(out.split())
    assert not {name for name in loaded if name.partition(".")[0] in ("grpc", "google")}
    assert not (heavy - {"re"}) & loaded, heavy & loaded
