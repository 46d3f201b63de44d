# ruff: noqa: E501 - sources as they stand, a case a line
"""The texts that are kept of the program's files: how many they may become, and which of them go then."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import zlib
from typing import TYPE_CHECKING

import pytest
from modctl.agent.engine import generations
from modctl.agent.engine.generations import Generations
from modctl.agent.engine.live import keeping

if TYPE_CHECKING:
    from pathlib import Path


class Module:
    """Something to remember."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generations, "MAX_KEPT_BYTES", 1600)
    monkeypatch.setattr(generations, "_KEPT_AFTER_LETTING_GO_BYTES", 1200)


def text(number: int, size: int = 10) -> bytes:
    return b"%0*d" % (size, number)


def test_a_program_whose_modules_come_and_go_never_runs_out_of_room() -> None:
    memory, stays = Generations(), Module()
    memory.keep(memory.remember(stays), text(0))
    for number in range(1, 100):
        memory.keep(memory.remember(Module()), text(number, 100))
        gc.collect(0)
    last = Module()
    memory.keep(memory.remember(last), text(100))
    assert memory.remember(stays).kept == text(0), "it lives, and what lives is not too much"
    assert memory.remember(last).kept == text(100)


def test_texts_that_took_the_place_of_others_do_not_count() -> None:
    memory, stays, edited = Generations(), Module(), Module()
    memory.keep(memory.remember(stays), text(0, 600))
    for number in range(100):
        memory.keep(memory.remember(edited), text(number, 500))
    assert memory.remember(edited).kept == text(99, 500)
    assert memory.remember(stays).kept == text(0, 600)
    memory.keep(memory.remember(edited), None)
    assert memory.remember(edited).kept is None


def test_of_too_many_those_go_that_were_kept_longest_ago() -> None:
    memory, modules = Generations(), [Module() for _ in range(300)]
    for number, module in enumerate(modules):
        memory.keep(memory.remember(module), text(number))
        memory.keep(memory.remember(modules[0]), text(0))  # it is reloaded again and again
        kept = [each for each in modules if memory.remember(each).kept is not None]
        assert sum(len(memory.remember(each).kept or b"") for each in kept) <= 1600
        assert memory.remember(modules[0]).kept == text(0)
        assert memory.remember(module).kept == text(number)
        first = modules.index(kept[1]) if len(kept) > 1 else 0
        assert kept[1:] == modules[first : number + 1] or number == 0, (
            "none that is newer went before one that is older"
        )
    assert len(kept) >= 1200 // 10 - 1


def test_letting_go_is_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[int] = []
    real = Generations._let_go

    def counted(self: Generations) -> None:
        walks.append(len(self._loaded))
        real(self)

    monkeypatch.setattr(Generations, "_let_go", counted)
    memory, modules = Generations(), [Module() for _ in range(1000)]
    for number, module in enumerate(modules):
        memory.keep(memory.remember(module), text(number))
    assert 0 < len(walks) <= 1000 * 10 // (1600 - 1200)


def test_a_module_whose_text_had_to_go_is_reloaded_from_its_file_or_refused_and_never_guessed() -> None:
    script = textwrap.dedent("""
        import importlib, json, os, random, sys, tempfile, time
        folder = tempfile.mkdtemp(); sys.path.insert(0, folder); sys.dont_write_bytecode = True
        from modctl.agent.engine import Engine, generations
        generations.MAX_KEPT_BYTES, generations._KEPT_AFTER_LETTING_GO_BYTES = 6000, 4000
        engine = Engine(); engine.start()
        def text(name, value):
            return f"VALUE = {value!r}\\n# {random.Random(name).randbytes(400).hex()}\\ndef f(): return {value!r}\\n"
        def write(name, value):
            with open(f"{folder}/{name}.py", "w") as file: file.write(text(name, value))
        names = [f"m{n:02}" for n in range(40)]
        for name in names:
            write(name, "old")
        importlib.invalidate_caches()
        for name in names:
            importlib.import_module(name)
        def change(name, mode="REIMPORT_MODE_PATCH"):
            request = {"op": "change", "request_id": f"r{time.monotonic_ns()}", "identity": "me", "reason": "", "dry_run": False,
                       "timeout_s": 5, "override_protected": [], "operations": [{"reimport": {"name": name, "mode": mode}}]}
            answer = json.loads(engine.change(request))
            return answer["outcome"], answer
        def source(name):
            [body] = engine.answer({"op": "get_module", "name": name, "with_source": True})
            return json.loads(body)
        for name in names:
            write(name, "new")
        first, last = sys.modules["m00"], sys.modules["m39"]
        assert "'old'" in json.dumps(source("m39")), source("m39")
        assert "'old'" not in json.dumps(source("m00").get("source", "")), source("m00")
        outcome, answer = change("m39")
        assert outcome == "OUTCOME_APPLIED" and last.f() == "new", answer
        outcome, answer = change("m00")
        assert outcome == "OUTCOME_REFUSED" and first.f() == "old", answer
        write("m00", "old")
        outcome, answer = change("m00")
        assert first.f() == "old" and outcome in ("OUTCOME_UNCHANGED", "OUTCOME_APPLIED"), answer
        write("m00", "newest")
        outcome, answer = change("m00")
        assert outcome == "OUTCOME_APPLIED" and first.f() == "newest", answer
        for turn in range(60):
            write("m39", turn)
            outcome, answer = change("m39")
            assert outcome == "OUTCOME_APPLIED" and last.f() == turn, answer
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("size", [0, 1, 255, 511, 512, 513, 5000])
def test_a_text_comes_back_as_it_was_whether_it_is_worth_compressing_or_not(size: int, tmp_path: Path) -> None:
    content = (b"def f():\r\n    return '\xc3\xa9'\n" * 400)[:size]
    file = tmp_path / "m.py"
    file.write_bytes(content)
    found, packed = keeping.look(str(file))
    assert found.st_size == size
    assert packed is not None
    assert keeping.unpack(packed) == zlib.decompress(packed) == content
    assert len(packed) <= keeping.SHORT_BYTES + 11
