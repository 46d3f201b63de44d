"""The `modctl` command: finds the verb, runs it, and turns what happened into an exit code.

Commands are imported when they are run: their names and one-line helps stand here, so that `modctl --help` loads
neither grpc nor any command. A test compares the lines with the commands' own.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any

try:
    import click
except ImportError:  # the service's side of modctl is installed without it
    _HAS_CLICK = False
else:
    _HAS_CLICK = True

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

#: name → (module, attribute, one line of help), in the order in which --help shows them.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "list": ("modctl.client.commands.list", "list_command", "List the modules that processes really have loaded."),
    "get": ("modctl.client.commands.get", "get_command", "Show everything about one module, its running source too."),
    "import": ("modctl.client.commands.import_", "import_command", "Make sure that modules are loaded."),
    "inject": ("modctl.client.commands.inject", "inject_command", "Put a module, package, stub, alias or block in."),
    "evict": ("modctl.client.commands.evict", "evict_command", "Remove modules."),
    "reimport": ("modctl.client.commands.reimport", "reimport_command", "Load modules afresh from their sources."),
    "reload": ("modctl.client.commands.reload", "reload_command", "Let the running program use new code."),
    "diff": ("modctl.client.commands.diff", "diff_command", "Show what running code differs in from other code."),
    "apply": ("modctl.client.commands.apply", "apply_command", "Do a file of changes as one."),
    "undo": ("modctl.client.commands.undo", "undo_command", "Take a revision back."),
    "confirm": ("modctl.client.commands.confirm", "confirm_command", "Let a change stand that waits for it."),
    "history": ("modctl.client.commands.history", "history_command", "Show what was changed, by whom, and why."),
    "watch": ("modctl.client.commands.watch", "watch_command", "Follow changes as they happen."),
    "drift": ("modctl.client.commands.drift", "drift_command", "Show which processes run which version."),
    "rollout": ("modctl.client.commands.rollout", "rollout_command", "Bring a change to a fleet in waves."),
    "agents": ("modctl.client.commands.agents", "agents_command", "List the processes found."),
    "freeze": ("modctl.client.commands.freeze", "freeze_command", "Make processes refuse every change."),
    "thaw": ("modctl.client.commands.freeze", "thaw_command", "Let frozen processes be changed again."),
    "dev": ("modctl.client.commands.dev", "dev_command", "Reload what is saved, as it is saved."),
    "context": (
        "modctl.client.commands.context",
        "context_command",
        "Keep named sets of targets and credentials.",
    ),
    "sign": ("modctl.client.commands.sign", "sign_command", "Sign a source, for targets that want signatures."),
    "verify": ("modctl.client.commands.sign", "verify_command", "Check a signature that `modctl sign` made."),
    "tls": ("modctl.client.commands.tls", "tls_command", "Make a private CA and certificates for mutual TLS."),
    "doctor": ("modctl.client.commands.doctor", "doctor_command", "Find what is wrong, and say the cure."),
    "demo": ("modctl.client.commands.demo", "demo_command", "Start a small fleet here and walk through the verbs."),
    "completion": (
        "modctl.client.commands.completion",
        "completion_command",
        "Print a script for the shell's Tab key.",
    ),
    "version": ("modctl.client.commands.version", "version_command", "Say which versions of what this is."),
}

_INSTALL = "modctl: the command needs click, which is not installed here; run: pip install 'modctl[cli]'"


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line and exits."""
    if not _HAS_CLICK:
        sys.stderr.write(f"{_INSTALL}\n")
        sys.exit(2)
    if sys.stdout is None or sys.stderr is None:  # closed by whoever started it
        devnull = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lasts
        sys.stdout, sys.stderr = sys.stdout or devnull, sys.stderr or devnull
    # gRPC's core writes to stderr about every handshake that fails; the rows say it better.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has no arrows is no reason to fail
    _leave(run(args))


def _leave(code: int) -> NoReturn:
    """Ends the process without taking the interpreter apart first, which is a tenth of a short command's time.

    And which does not always end: grpcio 1.66 on Python 3.13 waits there for ever for a thread of its own, where a call
    was cancelled and something still refers to it (one interrupted command in ten).
    """
    from modctl.client import exits

    try:
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough
        code = code or exits.BROKEN_PIPE
    except OSError as error:
        code = code or _unwritten(error)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def run(args: Sequence[str] | None = None) -> int:
    """Runs the command line; returns what to exit with. Never raises but for mistakes of ours, which it reports."""
    from modctl.client import exits
    from modctl.client.errors import ClientError, DeclinedError, NoTargetError, UsageError

    try:
        try:
            code = group().main(args=None if args is None else [*args], prog_name="modctl", standalone_mode=False)
            return code if isinstance(code, int) else exits.OK
        except click.ClickException as error:
            error.show()
            return exits.USAGE
        except UsageError as error:
            return _say(error, exits.USAGE)
        except NoTargetError as error:
            return _say(error, exits.NO_TARGET)
        except DeclinedError as error:
            return _say(error, exits.INTERRUPTED)
        except ClientError as error:
            return _say(error, exits.SOME_FAILED)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return _unwritten(error)
        except (KeyboardInterrupt, click.Abort):
            sys.stderr.write("modctl: interrupted\n")
            return exits.INTERRUPTED
    except Exception:  # noqa: BLE001 - the last place: a mistake of ours has its own exit code
        import traceback

        traceback.print_exc()
        sys.stderr.write("modctl: this is a mistake in modctl; please report it with the lines above\n")
        return exits.INTERNAL


def _unwritten(error: OSError) -> int:
    from modctl.client import exits

    sys.stderr.write(f"modctl: not everything could be written ({error}); free some room, and look again\n")
    return exits.OUTPUT_LOST


def _say(error: Exception, code: int) -> int:
    sys.stderr.write(f"modctl: {error}\n")
    return code


def group() -> click.Group:
    """The group of all commands. Made on demand, since click may not be there."""
    return _lazy_group()(
        name="modctl",
        help="See and change the code that running Python programs really have loaded, across a whole fleet, safely.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog="Reads without --host ask every agent of yours on this machine. Changes need --host or --all.",
    )


def _lazy_group() -> type[click.Group]:
    class LazyGroup(click.Group):
        """Knows its commands by name, and imports one when it is called."""

        def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
            return list(COMMANDS)

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
            if cmd_name not in COMMANDS:
                return None
            import importlib

            file, attribute, _ = COMMANDS[cmd_name]
            command: click.Command = getattr(importlib.import_module(file), attribute)
            return command

        def resolve_command(
            self, ctx: click.Context, args: list[str]
        ) -> tuple[str | None, click.Command | None, list[str]]:
            if args and args[0] not in COMMANDS and not args[0].startswith("-"):
                import difflib

                near = difflib.get_close_matches(args[0], COMMANDS, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else "; `modctl --help` lists them"
                raise click.UsageError(f"no command {args[0]!r}{hint}", ctx)
            return super().resolve_command(ctx, args)

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
            with formatter.section("Commands"):
                formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])

        def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
            from click.shell_completion import CompletionItem

            found = [
                CompletionItem(name, help=line)
                for name, (_, _, line) in COMMANDS.items()
                if name.startswith(incomplete)
            ]
            return found or click.Command.shell_complete(self, ctx, incomplete)

    return LazyGroup
