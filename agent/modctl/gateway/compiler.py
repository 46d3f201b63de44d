"""Compiles large sources in a process of its own: compile() holds the interpreter from end to end, and all calls wait.

The other process also takes what a hostile source may do to a compiler: all memory, all time, a crash.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from typing import Final

from modctl.gateway.errors import SourceError

TIMEOUT_S: Final = 60
MEMORY_BYTES: Final = 2 * 1024 * 1024 * 1024
_LENGTH: Final = struct.Struct("!I")
_COMPILED: Final = b"C"
_FAILED: Final = b"E"

_PROGRAM: Final = f"""
import sys, marshal, json, traceback, warnings, resource
warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES}, {MEMORY_BYTES}))
resource.setrlimit(resource.RLIMIT_CPU, ({TIMEOUT_S}, {TIMEOUT_S}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
told = sys.stdin.buffer.read()
length = int.from_bytes(told[:4], "big")
filename = told[4:4 + length].decode("utf-8", "surrogatepass")
text = told[4 + length:].decode("utf-8")
try:
    said = b"C" + marshal.dumps(compile(text, filename, "exec", dont_inherit=True))
except BaseException as error:
    said = b"E" + json.dumps({{
        "type_name": type(error).__name__,
        "message": str(getattr(error, "msg", None) or error or "too deeply nested for the compiler"),
        "line": getattr(error, "lineno", 0) or 0,
        "column": getattr(error, "offset", 0) or 0,
        "traceback": "".join(traceback.format_exception_only(type(error), error)),
    }}).encode()
sys.stdout.buffer.write(said)
"""


def aside(text: str, filename: str) -> bytes | None:
    """The marshalled code of a module, made in another process; None where no interpreter can be started.

    Raises:
        SourceError: it is no Python, or compiling it took too long or ended the compiler.
    """
    if not os.path.basename(sys.executable or "").startswith("python"):
        return None  # embedded: the executable is the host's
    optimize = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    name = filename.encode("utf-8", "surrogatepass")
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", *optimize, "-c", _PROGRAM],
            input=_LENGTH.pack(len(name)) + name + text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SourceError("TimeoutError", f"compiling it took more than {TIMEOUT_S} s", filename) from None
    except OSError:
        return None
    kind, said = done.stdout[:1], done.stdout[1:]
    if kind == _COMPILED:
        return said
    if kind == _FAILED:
        raise SourceError(file=filename, **json.loads(said))
    raise SourceError("MemoryError", f"compiling it ended the compiler (exit {done.returncode})", filename)
