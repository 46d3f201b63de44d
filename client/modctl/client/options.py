"""Flags that many commands share, in the sections in which --help shows them.

Every flag has an environment variable: --connect-timeout is MODCTL_CONNECT_TIMEOUT. The flag goes first, then the
environment, then the default.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click
from modctl.client import exits
from modctl.client.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CommandT = TypeVar("CommandT", bound="Callable[..., Any]")

_FORMATS = ("table", "wide", "json", "jsonl", "yaml", "name")


if TYPE_CHECKING:
    _Seconds = click.ParamType[float]
else:
    _Seconds = click.ParamType  # generic in newer clicks only


class Duration(_Seconds):
    """A time with a unit: 500ms, 10s, 2m, 1h30m. A bare number is seconds. The value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The text as seconds; fails where it is no time above zero."""
        if isinstance(value, (int, float)):
            return float(value)
        seconds = parse_duration(value)
        if seconds is None:
            self.fail(f"{value!r} is no time above zero; write 500ms, 10s, 2m or 1h30m", param, ctx)
        return seconds


class Flag(click.Option):
    """A click option that knows its section of --help and its environment variable."""

    def __init__(self, *args: Any, section: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section
        longest = max((text for text in self.opts if text.startswith("--")), key=len, default="")
        if longest and not self.envvar:
            self.envvar = "MODCTL_" + longest[2:].replace("-", "_").upper()


class ModctlCommand(click.Command):
    """A command whose --help shows its flags by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes one list of flags for each section, the command's own first."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Argument):
                continue  # the usage line has it; click 8.5 and later give it a line, with nothing to say
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "Output"), []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Says once what holds for every flag."""
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text("Every flag can be given as MODCTL_<FLAG>, too: MODCTL_HOST, MODCTL_CONNECT_TIMEOUT.")


class OrderedGroup(click.Group):
    """A group whose --help lists its commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """As they were added."""
        return list(self.commands)


def flag(*names: str, section: str = "Options", **kwargs: Any) -> Callable[[CommandT], CommandT]:
    """click.option with a section and an environment variable."""
    return click.option(*names, cls=Flag, section=section, **kwargs)


def command(name: str, short_help: str, **kwargs: Any) -> Callable[[Callable[..., int | None]], ModctlCommand]:
    """A command of modctl. What the function returns is the exit code."""

    def decorate(function: Callable[..., int | None]) -> ModctlCommand:
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
        made: ModctlCommand = click.command(
            name, cls=ModctlCommand, short_help=short_help, context_settings=settings, **kwargs
        )(_quiet_in_a_closed_pipe(function))
        if "_MODCTL_COMPLETE" in os.environ:
            from modctl.client.completing import teach

            teach(made)
        return made

    return decorate


def _quiet_in_a_closed_pipe(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Who reads our output may have seen enough. click would end with 0 or 1, as its version has it."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> int | None:
        try:
            code = function(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python would complain again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return exits.BROKEN_PIPE
        return code

    return run


def _all(flags: Sequence[Callable[[CommandT], CommandT]]) -> Callable[[CommandT], CommandT]:
    def decorate(function: CommandT) -> CommandT:
        for each in reversed(flags):
            function = each(function)
        return function

    return decorate


_TARGETING = [
    flag(
        "--host",
        "-H",
        multiple=True,
        metavar="TARGET",
        section="Targets",
        help="An address, a list or a range: svc[01-50]:50051, a:1,b:2, [::1]:50051, unix:///run/x.sock. Repeats. "
        "A DNS name means all its addresses.",
    ),
    flag(
        "--hosts-file",
        type=click.File("r"),
        metavar="F|-",
        section="Targets",
        help="A file of targets, one or more a line; # starts a comment.",
    ),
    flag("--group", "-G", multiple=True, metavar="NAME", section="Targets", help="The targets of a group. Repeats."),
    flag(
        "--discover",
        multiple=True,
        metavar="SOURCE",
        section="Targets",
        help="dns:///svc:50051 (every address), srv:///_modctl._tcp.svc, exec:CMD (its output's words). Repeats.",
    ),
    flag("--exclude", multiple=True, metavar="TARGET", section="Targets", help="Leave these out."),
    flag("--pick", type=click.IntRange(1), metavar="N", section="Targets", help="Only N of the targets, by chance."),
    flag(
        "--selector",
        "-l",
        metavar="LABELS",
        section="Targets",
        help="Only processes with these labels: zone=a, tier in (web,api), !canary; also service, host, role.",
    ),
    flag("--context", metavar="NAME", section="Targets", help="Targets and credentials of this context."),
    flag(
        "--process",
        default="all",
        show_default=True,
        metavar="all|PID|any",
        section="Targets",
        help="Which processes of each target: all, any one, or pids or ids with commas.",
    ),
]
#: The context as a place of credentials alone.
_CONTEXT = [flag("--context", metavar="NAME", section="Security", help="Credentials of this context.")]
_ALL = [
    flag(
        "--all",
        is_flag=True,
        section="Targets",
        help="Every agent of yours on this machine: a change has to be told so.",
    )
]
_RUNNING = [
    flag(
        "--fanout",
        type=click.IntRange(1, 4096),
        default=64,
        show_default=True,
        section="Running",
        help="Targets at once.",
    ),
    flag("--connect-timeout", type=Duration(), default="2s", show_default=True, section="Running", help="To connect."),
    flag(
        "--timeout",
        type=Duration(),
        default="10s",
        show_default=True,
        section="Running",
        help="For a process to answer.",
    ),
    flag("--deadline", type=Duration(), section="Running", help="For the whole command."),
]
_CHANGING = [
    flag("--dry-run", is_flag=True, section="Running", help="Plan and check only; nothing is changed."),
    flag("--reason", metavar="TEXT", section="Running", help="Why, for the history."),
    flag("--yes", "-y", is_flag=True, section="Running", help="Do not ask before changing several processes."),
]
_ENDING = [
    flag("--ttl", type=Duration(), section="Running", help="Take it back by itself after so long: 10m."),
    flag(
        "--confirm-within",
        type=Duration(),
        section="Running",
        help="Take it back by itself unless `modctl confirm` comes in time: 60s.",
    ),
    flag(
        "--shield-wait",
        type=Duration(),
        section="Running",
        help="How long to wait for shielded units of work.  [default: 2s]",
    ),
    flag(
        "--wait-drained",
        type=Duration(),
        section="Running",
        help="Afterwards, wait so long until nothing runs old code, and say what still does.",
    ),
]
_OVERRIDE = [
    flag(
        "--override",
        "--override-protected",
        "override",
        envvar="MODCTL_OVERRIDE",
        multiple=True,
        metavar="NAME",
        section="Running",
        help="Touch this protected name all the same. Repeats.",
    )
]
_SIGNATURE = [
    flag(
        "--signature",
        multiple=True,
        type=click.Path(),
        metavar="F",
        section="Running",
        help="A file of `modctl sign` for what is sent. Repeats.",
    )
]
_OUTPUT = [
    flag(
        "--output",
        "-o",
        type=click.Choice(_FORMATS),
        default="table",
        show_default=True,
        section="Output",
        help="How to print.",
    ),
    flag("--by-host", is_flag=True, section="Output", help="Do not fold identical answers."),
    flag("--no-headers", is_flag=True, section="Output", help="Tables without their first line."),
    flag(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        section="Output",
        help="NO_COLOR is honoured.",
    ),
    flag("--quiet", "-q", is_flag=True, section="Output", help="Only errors on stderr."),
    flag("--verbose", "-v", is_flag=True, section="Output", help="Nothing is shortened."),
]
_SECURITY = [
    flag("--cacert", type=click.Path(), section="Security", help="PEM file of the authorities to believe."),
    flag("--cert", type=click.Path(), section="Security", help="PEM file of our certificate."),
    flag("--key", type=click.Path(), section="Security", help="PEM file of our key."),
    flag("--server-name", metavar="NAME", section="Security", help="The name in the target's certificate."),
    flag("--token-file", type=click.Path(), section="Security", help="File with a bearer token."),
    flag("--plaintext", is_flag=True, section="Security", help="No TLS to addresses off this machine either."),
]

#: For commands that read.
reading = _all([*_TARGETING, *_RUNNING, *_OUTPUT, *_SECURITY])
#: For commands that change modules.
changing = _all([*_TARGETING, *_ALL, *_RUNNING, *_CHANGING, *_ENDING, *_OVERRIDE, *_SIGNATURE, *_OUTPUT, *_SECURITY])
#: For commands that change whether a process may be changed.
gating = _all([*_TARGETING, *_ALL, *_RUNNING, *_CHANGING[1:], *_OUTPUT, *_SECURITY])
#: For commands on what was begun before: it knows its targets.
operating = _all([*_RUNNING, *_CONTEXT, *_OUTPUT, *_SECURITY])
#: For commands that speak to nobody.
printing = _all(_OUTPUT[:1])
