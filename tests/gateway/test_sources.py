"""Source to text and code: decoded as Python would, and no source ends the gateway."""

from __future__ import annotations

import marshal
import subprocess
import sys
import textwrap

import pytest
from modctl.gateway import compiler
from modctl.gateway.errors import SourceError
from modctl.gateway.sources import MAX_SOURCE_BYTES, Sources, code_of, decoded

FILE = "/modctl/x.py"


def run(content: bytes) -> dict[str, object]:
    compiled = Sources().compiled(content, FILE)
    code = marshal.loads(compiled.code)
    assert code.co_filename == FILE
    world: dict[str, object] = {}
    exec(code, world)
    return world


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"X = 'a'\n", "a"),
        (b"X = 'a'", "a"),
        ("X = 'é'".encode(), "é"),
        (b"\xef\xbb\xbfX = 'a'\r\n", "a"),
        (b"# coding: latin-1\nX = '\xe9'\n", "é"),
        (b"#!/usr/bin/python\n# -*- coding: cp1252 -*-\nX = '\x80'\n", "€"),
        ("# coding: utf-8\nX = '😀'\n".encode(), "😀"),
        (b"# coding: euc-jp\nX = '\xa4\xa2'\n", "あ"),
        (b"if 1:\r\n    X = 'a'\r\n", "a"),
        (b"X = 'a'\rY = 1\r", "a"),
    ],
)
def test_source_is_decoded_as_python_does(content: bytes, value: str) -> None:
    assert run(content)["X"] == value


def test_nothing_is_a_module_too() -> None:
    assert "X" not in run(b"")


@pytest.mark.parametrize(
    ("content", "kind", "line"),
    [
        (b"X = '\xe9'\n", "SyntaxError", 1),
        (b"A = 1\nB = 2\nX = '\xff\xfe'\n", "SyntaxError", 3),
        (b"# coding: nonsense\n", "SyntaxError", 1),
        (b"# coding: hex\n00\n", "SyntaxError", 1),
        (b"# coding: idna\n\xff\n", "SyntaxError", 2),
        (b"\xef\xbb\xbf# coding: latin-1\n", "SyntaxError", 1),
        (b"# coding: utf-7\nX = '+2AA-'\n", "SyntaxError", 0),
        (b"# coding: raw-unicode-escape\nX = '\\ud800'\n", "SyntaxError", 0),
        (b"A = 1\nB = (\n", "SyntaxError", 2),
        (b"A = 1\n  B = 2\n", "IndentationError", 2),
        (b"if 1:\n\tA = 1\n        B = 1\n", "TabError", 3),
        (b"return 1\n", "SyntaxError", 1),
        (b"X = 1\nX = 0777\n", "SyntaxError", 2),
        ("X = 1\n\nX = “quoted”\n".encode(), "SyntaxError", 3),
        (b"print 'x'\n", "SyntaxError", 1),
    ],
)
def test_bad_source_says_what_and_where(content: bytes, kind: str, line: int) -> None:
    with pytest.raises(SourceError) as refused:
        Sources().compiled(content, FILE)
    assert refused.value.type_name == kind
    assert refused.value.file == FILE
    if line:
        assert refused.value.line == line
    assert refused.value.to_message().traceback


def test_nul_bytes_are_named(  # the exception's type depends on the version
) -> None:
    with pytest.raises(SourceError, match="null bytes"):
        Sources().compiled(b"A = 1\nB = 2\0\n", FILE)


def test_a_column_is_told() -> None:
    with pytest.raises(SourceError) as refused:
        Sources().compiled(b"value = 1 +\n", FILE)
    assert (refused.value.line, refused.value.column) == (1, 12)


DEEP = {
    "parentheses": "(" * 50_000 + ")" * 50_000,
    "lists": "[" * 3_000 + "]" * 3_000,
    "unary": "-" * 50_000 + "1",
    "sums": "1+" * 50_000 + "1",
    "attributes": "a" + ".b" * 20_000,
    "calls": "a" + "()" * 20_000,
    "not": "not " * 20_000 + "1",
    "lambda": "lambda:" * 10_000 + "1",
    "strings": "'x'" * 20_000,
    "if": "".join(" " * depth + "if 1:\n" for depth in range(99)) + " " * 99 + "1",
    "too many if": "".join(" " * depth + "if 1:\n" for depth in range(200)) + " " * 200 + "1",
    "elif": "if a: 1\n" + "elif a: 1\n" * 5_000,
    "comparison": "a" + " < a" * 20_000,
    "f-string": "f'" + "{" * 500 + "}" * 500 + "'",
    "ternary": "1 if 1 else " * 5_000 + "1",
    "power": "2" + "**2" * 5_000,
    "dots": "." * 20_000,
    "for": "".join(" " * depth + "for x in y:\n" for depth in range(25)) + " " * 25 + "1",
}


def test_deep_nesting_is_compiled_or_refused_but_ends_nothing() -> None:
    # In a process of its own: what fails here would take this one along.
    program = textwrap.dedent("""
        import sys
        sys.path.insert(0, sys.argv[1])
        from gateway.test_sources import DEEP
        from modctl.gateway.errors import SourceError
        from modctl.gateway.gateway import compiling_thread
        from modctl.gateway.sources import code_of
        pool = compiling_thread()
        for name, text in DEEP.items():
            try:
                pool.submit(code_of, text, "x.py").result()
            except SourceError as error:
                print(name, error.type_name, error.line)
        print("alive")
    """)
    tests = __file__.rpartition("/gateway/")[0]
    done = subprocess.run(
        [sys.executable, "-c", program, tests], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("alive\n")
    assert "parentheses" in done.stdout


def test_what_is_too_large_is_not_compiled() -> None:
    with pytest.raises(SourceError, match="at most"):
        Sources().compiled(b"#" * (MAX_SOURCE_BYTES + 1), FILE)


def test_a_large_source_is_compiled_by_another_process() -> None:
    text = "\n".join(f"def f{number}(x):\n    return x + {number}" for number in range(4_000))
    assert len(text) > 100_000
    sources = Sources()
    compiled = sources.compiled(text.encode(), "/srv/ünïcode.py")
    world: dict[str, object] = {}
    code = marshal.loads(compiled.code)
    exec(code, world)
    assert world["f3999"](1) == 4000  # type: ignore[operator]
    assert code.co_filename == "/srv/ünïcode.py"
    assert marshal.loads(compiler.aside(text, FILE) or b"") == code_of(text, FILE)


def test_a_large_source_with_an_error_says_where() -> None:
    text = "X = 1\n" * 20_000 + "X = (\n"
    with pytest.raises(SourceError) as refused:
        Sources().compiled(text.encode(), FILE)
    assert (refused.value.type_name, refused.value.line) == ("SyntaxError", 20_001)
    assert refused.value.file == FILE


def test_a_compiler_that_dies_is_an_error_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "_PROGRAM", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(SourceError, match="ended the compiler"):
        compiler.aside("X = 1", FILE)


def test_a_compiler_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "_PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(compiler, "TIMEOUT_S", 0.3)
    with pytest.raises(SourceError, match="more than"):
        compiler.aside("X = 1", FILE)


def test_without_an_interpreter_it_is_compiled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    assert compiler.aside("X = 1", FILE) is None


def test_the_same_source_is_compiled_once_for_each_file_name() -> None:
    sources = Sources()
    for filename in ("/a.py", "/a.py", "/b.py", "/a.py"):
        sources.compiled(b"X = 1\n", filename)
    assert sources.compilations == 2


def test_what_is_kept_is_bounded() -> None:
    sources = Sources(kept_bytes=5_000)
    for number in range(200):
        sources.compiled(b"X = %d\n" % number, "/a.py")
    assert sum(len(kept.text) + len(kept.code) for kept in sources._known.values()) <= 5_000


def test_a_codec_that_raises_anything_is_an_error_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    import codecs

    def wild(data: bytes, errors: str = "strict") -> tuple[str, int]:
        raise ZeroDivisionError("codec")

    info = codecs.CodecInfo(codecs.utf_8_encode, wild, name="wild")
    codecs.register(found := lambda name: info if name == "wild" else None)
    try:
        with pytest.raises(SourceError, match="wild"):
            decoded(b"# coding: wild\nX = 1\n", FILE)
    finally:
        codecs.unregister(found)
