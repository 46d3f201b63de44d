"""What to call a service that was given no name: from its command line, so that all its processes say the same.

Every process of a service must come to the same name, the master, its forked workers and those that multiprocessing
spawned, so only `sys.argv` (which spawn hands on) and the interpreter's own command line are looked at.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Programs that run somebody's application: it is the application that has a name.
SERVERS: Final = frozenset(
    {
        "celery",
        "daphne",
        "flask",
        "granian",
        "gunicorn",
        "hypercorn",
        "uvicorn",
        "uwsgi",
        "waitress-serve",
        "ddtrace-run",
    }
)
#: Names that say nothing: every other project has a file that is called so.
GENERIC: Final = frozenset(
    {"__init__", "__main__", "app", "application", "asgi", "main", "manage", "run", "server", "wsgi"}
)
#: Directories that say nothing either.
GENERIC_DIRECTORIES: Final = frozenset(
    {"", "app", "bin", "code", "lib", "src", "usr", "tmp", "home", "root", "opt", "srv"}
)
#: Interpreter options that are followed by a value of their own.
_WITH_VALUE: Final = ("-W", "-X", "--check-hash-based-pycs")


def service_name(argv: Sequence[str], orig_argv: Sequence[str] = (), directory: str | None = None) -> str:
    """A service's name from its command line.

    Args:
        argv: sys.argv.
        orig_argv: sys.orig_argv, needed while the interpreter still starts and argv says `-m`.
        directory: what to name an application after that is called `app`; default: the working directory.

    Returns:
        `shop` for shop.py, for `-m shop`, for `gunicorn shop.wsgi:app`, and for `gunicorn app:app` in /srv/shop.
    """
    program = argv[0] if argv else ""
    arguments = list(argv[1:])
    if program == "-m":
        program = _module_of(orig_argv)
        stem = program.rpartition(".")[2] if program else ""
        folder = program.partition(".")[0]
    elif program in {"", "-c", "-"}:
        return "python"
    else:
        folder, base = os.path.split(program)
        stem = base[:-3] if base.endswith(".py") else base
        folder = os.path.basename(folder)
        if stem == "__main__":
            stem = folder
    if stem in SERVERS and (application := _application(arguments)):
        parts = [part for part in application.split(".") if part not in GENERIC]
        return _clean(parts[0]) if parts else _from_directory(directory) or stem
    if stem in GENERIC:
        named = folder if folder not in GENERIC | GENERIC_DIRECTORIES else _from_directory(directory)
        return _clean(named) if named else stem
    return _clean(stem) or "python"


def _application(arguments: Sequence[str]) -> str | None:
    """The dotted module of what a server is told to run: `module:attribute`, `-A module`, `--app module`."""
    for position, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in {"-A", "--app"}:
            following = arguments[position + 1] if position + 1 < len(arguments) else ""
            found = (value if equals else following).partition(":")[0]
            return found.removesuffix(".py").replace("/", ".").strip(".") or None
        module, colon, attribute = argument.partition(":")
        dotted = bool(module) and all(part.isidentifier() for part in module.split("."))
        if colon and dotted and attribute[:1].isidentifier():
            return module
    # `gunicorn shop` with no attribute.
    last = arguments[-1] if arguments else ""
    return last if last and all(part.isidentifier() for part in last.split(".")) else None


def _module_of(orig_argv: Sequence[str]) -> str:
    """What follows -m in an interpreter's command line."""
    position = 1
    while position < len(orig_argv):
        argument = orig_argv[position]
        if argument == "-m":
            return orig_argv[position + 1] if position + 1 < len(orig_argv) else ""
        if argument.startswith("-m"):
            return argument[2:]
        if argument.startswith("-") and not argument.startswith("--") and argument.endswith("m"):
            return orig_argv[position + 1] if position + 1 < len(orig_argv) else ""  # -Im module
        position += 2 if argument in _WITH_VALUE else 1
    return ""


def _from_directory(directory: str | None) -> str:
    if directory is None:
        try:
            directory = os.getcwd()
        except OSError:  # it was removed
            return ""
    base = os.path.basename(directory.rstrip("/"))
    return "" if base in GENERIC_DIRECTORIES else _clean(base)


def _clean(text: str) -> str:
    """Printable and without the '/' that separates the parts of a process's id."""
    return "".join(character if character.isprintable() and character != "/" else "_" for character in text)[:100]
