"""Source bytes to text and to code: decoded as Python would, compiled once for all processes of the host."""

from __future__ import annotations

import importlib.util
import io
import marshal
import sys
import threading
import tokenize
import traceback
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from modctl.gateway import compiler
from modctl.gateway.errors import SourceError
from modctl.gateway.states import digest_of
from modctl.source.straight import is_straight

if TYPE_CHECKING:
    from types import CodeType

MAGIC: Final = importlib.util.MAGIC_NUMBER.hex()
OPTIMIZE: Final = sys.flags.optimize
MAX_SOURCE_BYTES: Final = 4 * 1024 * 1024
#: compile() holds the interpreter; what is larger is compiled by a process of its own.
ASIDE_CHARACTERS: Final = 64 * 1024
KEPT_BYTES: Final = 32 * 1024 * 1024


class Compiled(NamedTuple):
    """A source, ready for any process.

    Attributes:
        text: the source as text.
        digest: sha256 of its bytes.
        filename: co_filename of the code.
        code: the code, marshalled.
        straight: whether executing it can neither wait nor run anybody's code.
    """

    text: str
    digest: str
    filename: str
    code: bytes
    straight: bool


class Sources:
    """Decodes and compiles, and keeps what was compiled last by digest and file name. Any thread; may block."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._known: OrderedDict[tuple[str, str], Compiled] = OrderedDict()
        self._lock = threading.Lock()
        #: How often something was really compiled.
        self.compilations = 0

    def compiled(self, content: bytes, filename: str) -> Compiled:
        """The source as text and code.

        Raises:
            SourceError: it is over MAX_SOURCE_BYTES, cannot be decoded, or is no Python.
        """
        if len(content) > MAX_SOURCE_BYTES:
            raise SourceError("ValueError", f"{len(content)} bytes, at most {MAX_SOURCE_BYTES} are taken", filename)
        key = (digest_of(content), filename)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        text = decoded(content, filename)
        self.compilations += 1
        marshalled = compiler.aside(text, filename) if len(text) > ASIDE_CHARACTERS else None
        straight = False
        if marshalled is None:
            code = code_of(text, filename)
            marshalled, straight = marshal.dumps(code), is_straight(code)
        made = Compiled(text, key[0], filename, marshalled, straight)
        self._keep(key, made)
        return made

    def _keep(self, key: tuple[str, str], made: Compiled) -> None:
        with self._lock:
            if key in self._known:
                return
            self._known[key] = made
            self._bytes += len(made.text) + len(made.code)
            while self._bytes > self._kept_bytes and len(self._known) > 1:
                _, oldest = self._known.popitem(last=False)
                self._bytes -= len(oldest.text) + len(oldest.code)


def decoded(content: bytes, filename: str) -> str:
    """The text of source bytes: byte order mark, declared encoding (PEP 263) and line ends as Python takes them.

    Raises:
        SourceError: they cannot be decoded.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    except SyntaxError as error:
        raise SourceError("SyntaxError", str(error.msg), filename, line=1) from error
    try:
        text = content.decode(encoding)
        text.encode("utf-8")  # some codecs make lone surrogates, which no source may have
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = content.count(b"\n", 0, start) + 1
        column = start - content.rfind(b"\n", 0, start)
        problem = f"(unicode error) {error}; declare another encoding in the first two lines, or save it as UTF-8"
        raise SourceError("SyntaxError", problem, filename, line, column) from error
    except (LookupError, ValueError, TypeError) as error:
        raise SourceError("SyntaxError", f"encoding problem: {encoding}: {error}", filename, line=1) from error
    except Exception as error:
        raise SourceError("SyntaxError", f"encoding problem: {encoding}: {error!r}", filename, line=1) from error
    return io.IncrementalNewlineDecoder(None, translate=True).decode(text, final=True)


def code_of(text: str, filename: str) -> CodeType:
    """The code of a module.

    Raises:
        SourceError: it is no Python, or more deeply nested than the compiler can take.
    """
    try:
        return compile(text, filename, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise SourceError(
            type(error).__name__,
            str(error.msg),
            filename,
            error.lineno or 0,
            error.offset or 0,
            "".join(traceback.format_exception_only(type(error), error)),
        ) from error
    except (ValueError, OverflowError, TypeError) as error:  # null bytes, where SyntaxError does not say so yet
        line = text.count("\n", 0, text.find("\0")) + 1 if "\0" in text else 0
        raise SourceError(type(error).__name__, str(error), filename, line) from error
    except (RecursionError, MemoryError) as error:
        problem = str(error) or "too deeply nested for the compiler"
        raise SourceError(type(error).__name__, problem, filename) from error
