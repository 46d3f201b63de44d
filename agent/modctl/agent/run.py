"""`modctl-agent run -- PROGRAM …` and `python -m modctl.agent app.py …`: an agent without a change to the program.

Both set the environment and become the program (exec: the same pid, the same streams, the same signals). The hook is a
directory on PYTHONPATH, which children inherit, so every Python process below has an agent.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

from modctl.agent.errors import ConfigurationError
from modctl.local.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

HOOK_DIRECTORY: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hook")
USAGE: Final = 2
_NOT_EXECUTABLE: Final = 126
_NOT_FOUND: Final = 127

#: Option, variable, what it is for. Files are made absolute: the program may change its directory.
_TEXTS: Final = (
    ("--service", "MODCTL_SERVICE", "NAME", "what this program is called"),
    ("--nats", "MODCTL_NATS", "URL", "a NATS server to be reached through"),
    ("--gateway", "MODCTL_GATEWAY", "KIND", "process (the default) or thread"),
)
_FILES: Final = (
    ("--tls-cert", "MODCTL_TLS_CERT", "FILE", "certificate of the listening addresses, PEM"),
    ("--tls-key", "MODCTL_TLS_KEY", "FILE", "its private key, PEM"),
    ("--tls-client-ca", "MODCTL_TLS_CLIENT_CA", "FILE", "clients must show a certificate that this CA signed"),
    ("--token-file", "MODCTL_TOKEN_FILE", "FILE", "clients must send the token in this file"),
    ("--policy", "MODCTL_POLICY", "FILE", "who may do what"),
    ("--state-dir", "MODCTL_STATE_DIR", "DIR", "where the sockets live"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """`modctl-agent`. Returns an exit code only where the program could not be started."""
    parser = argparse.ArgumentParser(prog="modctl-agent", description="Runs a program with modctl's agent in it.")
    parser.add_argument("--version", action="version", version=f"modctl-agent {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a program, with an agent in it and in every Python process below",
        usage="modctl-agent run [options] -- PROGRAM [ARGUMENT …]",
    )
    _add_options(run)
    run.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM", help="the program and its arguments")
    options = parser.parse_args(argv)
    program = options.program[1:] if options.program[:1] == ["--"] else options.program
    if not program:
        run.error("no program is given; write: modctl-agent run -- gunicorn app:app")
    return _become(program, options, "modctl-agent")


def module_main(argv: Sequence[str] | None = None) -> int:
    """`python -m modctl.agent`. Returns an exit code only where the program could not be started."""
    prog = "python -m modctl.agent"
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} [options] (FILE | -m MODULE) [ARGUMENT …]",
        description="Runs a Python program with modctl's agent in it.",
    )
    _add_options(parser)
    parser.add_argument(
        "-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE", help="a module, as python -m does"
    )
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="FILE", help="the script and its arguments")
    options = parser.parse_args(argv)
    if sys.flags.ignore_environment or sys.flags.no_site:
        parser.error("with -I, -E or -S Python does not load the agent; leave them out, or call agent.start() yourself")
    if options.module:
        program = ["-m", *options.module]
    elif options.program and options.program != ["--"]:
        program = options.program[1:] if options.program[0] == "--" else options.program
    else:
        parser.error("no program is given; write: python -m modctl.agent app.py")
    return _become([sys.executable, *_interpreter_options(sys.orig_argv), *program], options, prog)


def _add_options(parser: argparse.ArgumentParser) -> None:
    for option, variable, metavar, purpose in (*_TEXTS, *_FILES):
        parser.add_argument(option, dest=variable, metavar=metavar, help=f"{purpose} [{variable}]")
    parser.add_argument(
        "--listen",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="an address to serve; repeats [MODCTL_LISTEN]",
    )
    parser.add_argument(
        "--label", action="append", default=[], metavar="KEY=VALUE", help="a label; repeats [MODCTL_LABELS]"
    )
    parser.add_argument(
        "--insecure", action="store_true", help="serve an open address without protection [MODCTL_INSECURE]"
    )


def _become(program: Sequence[str], options: argparse.Namespace, prog: str) -> int:
    try:
        environ = environment(vars(options))
    except ConfigurationError as error:
        print(f"{prog}: {error}", file=sys.stderr)  # noqa: T201 - a command of our own, before the program is there
        return USAGE
    try:
        _exec(program, environ)
    except FileNotFoundError:
        print(f"{prog}: {program[0]}: no such program", file=sys.stderr)  # noqa: T201
        return _NOT_FOUND
    except OSError as error:
        print(f"{prog}: {program[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return _NOT_EXECUTABLE


def _exec(program: Sequence[str], environ: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    os.execvpe(program[0], list(program), environ)  # noqa: S606 - the operator's own command


def environment(options: dict[str, Any]) -> dict[str, str]:
    """The program's environment: this one, what the options say, and the hook.

    Args:
        options: by variable, and `listen`, `label` (lists) and `insecure`.

    Raises:
        ConfigurationError: the agent could not start with it; the program hears nothing of it, so it is said here.
    """
    from modctl.agent.settings import resolve

    environ = dict(os.environ)
    for _, variable, _, _ in _TEXTS:
        if options.get(variable):
            environ[variable] = options[variable]
    for _, variable, _, _ in _FILES:
        if options.get(variable):
            environ[variable] = os.path.abspath(options[variable])
    if options.get("listen"):
        environ["MODCTL_LISTEN"] = ",".join(options["listen"])
    if options.get("label"):
        environ["MODCTL_LABELS"] = ",".join(options["label"])
    if options.get("insecure"):
        environ["MODCTL_INSECURE"] = "1"
    resolve(environ=environ)
    environ["MODCTL_AUTOSTART"] = "1"
    entries = [HOOK_DIRECTORY, *(entry for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry)]
    environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(entries))
    return environ


def _interpreter_options(orig_argv: Sequence[str]) -> list[str]:
    """The interpreter's own options before `-m modctl.agent`, to hand on."""
    options: list[str] = []
    for word in orig_argv[1:]:
        if word.startswith("-m"):
            break
        if word.startswith("-") and not word.startswith("--") and word.endswith("m") and word[1] not in "WX":
            return [*options, word[:-1]]  # -um modctl.agent
        options.append(word)
    return options


if __name__ == "__main__":
    sys.exit(main())
