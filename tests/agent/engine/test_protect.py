"""What must not be touched, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.engine_world import World


def test_what_the_process_stands_on_is_protected_with_the_rule(world: World) -> None:
    world.run(
        """
        import asyncio, threading, logging, _socket, colorsys, ssl
        def rule(name):
            result = change(evict(name, recursive=True))
            assert result["outcome"] == "OUTCOME_REFUSED", (name, result)
            return {each["name"]: each["refusal"]["rule"] for each in result["modules"]}[name]
        assert rule("sys") == "builtin" and rule("builtins") == "builtin"
        assert rule("_frozen_importlib") == "frozen"
        assert rule("_socket") in ("extension", "builtin")
        for name in ("threading", "asyncio", "logging", "importlib", "ssl"):
            assert rule(name) == "stdlib-core", name
        assert rule("json") == "used-by-modctl", "computed from what the agent has imported"
        assert rule("modctl.agent.engine") == "modctl" and rule("modctl") == "modctl"
        assert refused(evict("__main__"), reimport("__main__")) == {"__main__": "MAIN"}
        applied(evict("colorsys"))
        """
    )


def test_an_override_is_for_the_names_that_it_names(world: World) -> None:
    world.run(
        """
        import json.decoder
        old = json.decoder
        assert refused(evict("json.decoder"), evict("json.scanner"), override_protected=["json.decoder"]) == {
            "json.scanner": "PROTECTED"}
        applied(evict("json.decoder"), override_protected=["json.decoder"])
        assert "json.decoder" not in sys.modules
        assert refused(evict("__main__"), override_protected=["__main__"]) == {"__main__": "MAIN"}
        for one in (evict("modctl.agent.errors"), reimport("modctl.agent.errors"), inject("modctl.mock", "")):
            [name] = refused(one, override_protected=["modctl.agent.errors", "modctl.mock", "modctl"])
            assert refused(one, override_protected=[name]) == {name: "PROTECTED"}, "nobody saws off his own branch"
        applied(undo())
        assert sys.modules["json.decoder"] is old
        """
    )


def test_a_distribution_with_a_loaded_extension_module_is_protected_as_a_whole(world: World) -> None:
    world.run(
        """
        import types, importlib.machinery
        def fake(name, origin, kind, package=False):
            module = types.ModuleType(name)
            loader = kind(name, origin)
            module.__spec__ = importlib.machinery.ModuleSpec(name, loader, origin=origin, is_package=package)
            module.__file__ = origin
            if package:
                module.__path__ = [os.path.dirname(origin)]
            sys.modules[name] = module
        source, extension = importlib.machinery.SourceFileLoader, importlib.machinery.ExtensionFileLoader
        site = os.path.abspath("site")
        fake("fast", site + "/fast/__init__.py", source, True)
        fake("fast.core", site + "/fast/core.so", extension)
        fake("fast.api", site + "/fast/api.py", source)
        fake("fastyaml", site + "/fastyaml.py", source)      # of the same distribution as _fastyaml
        fake("_fastyaml", site + "/_fastyaml.so", extension)
        fake("pure", site + "/pure.py", source)
        shared = types.ModuleType("shared"); shared.__path__ = [site + "/shared"]
        shared.__spec__ = importlib.machinery.ModuleSpec("shared", None, is_package=True)
        sys.modules["shared"] = shared
        fake("shared.quick", site + "/shared/quick.so", extension)
        fake("shared.plain", site + "/shared/plain.py", source)
        write("site/fastyaml-1.dist-info/RECORD", "fastyaml.py,sha256=x,1\\n_fastyaml.so,sha256=y,2\\n")
        write("site/pure-1.dist-info/RECORD", "pure.py,sha256=x,1\\n")
        write("site/quick-1.dist-info/RECORD", "shared/quick.so,sha256=x,1\\n")
        write("site/plain-1.dist-info/RECORD", "shared/plain.py,sha256=x,1\\n")
        def rules(*names):
            result = change(*[evict(name) for name in names])
            return {each["name"]: each["refusal"]["rule"] for each in result["modules"] if "refusal" in each}
        assert rules("fast.api", "fastyaml", "_fastyaml", "fast.core") == {
            "fast.api": "extension-distribution", "fastyaml": "extension-distribution", "_fastyaml": "extension",
            "fast.core": "extension"}
        applied(evict("pure"), evict("shared.plain"))
        # What stands for a package, or is not there, may have C code below all the same.
        sys.modules["lazy"] = type("Lazy", (), {"__path__": [site]})()
        fake("lazy.core", site + "/lazy/core.so", extension)
        fake("gone.core", site + "/gone/core.so", extension)
        result = change(inject("lazy", "", replace=True), inject("gone", "x = 1\\n"), inject("alone", "x = 1\\n"))
        told = {each["name"]: each["refusal"]["rule"] for each in result["modules"] if "refusal" in each}
        assert told == {"lazy": "extension-distribution", "gone": "extension-distribution"}
        """
    )


def test_an_import_that_brought_c_code_cannot_be_undone_and_says_so(world: World) -> None:
    world.run(
        """
        import shutil, sysconfig, importlib.machinery
        import _json  # an extension module on most builds: a copy of its file plays the third-party one
        source = getattr(_json, "__file__", None)
        if source is None:
            raise SystemExit(0)
        suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
        os.makedirs("cpack")
        shutil.copy(source, "cpack/_json" + suffix)
        write("cpack/__init__.py", "from . import _json\\n")
        result = applied(load("cpack"))
        assert result["undoable"] is False
        refusal = change(undo())["modules"][0]["refusal"]
        assert refusal["reason"] == "NOT_UNDOABLE" and "cpack" in refusal["hint"], refusal
        write("bad.py", "import cpack2\\nraise ValueError\\n")
        os.makedirs("cpack2")
        shutil.copy(source, "cpack2/_json" + suffix)
        write("cpack2/__init__.py", "from . import _json\\n")
        result = change(load("bad"))
        assert result["outcome"] == "OUTCOME_FAILED" and "cannot be unloaded" in result["message"], result["message"]
        assert "cpack2" in sys.modules and "bad" not in sys.modules
        """
    )
