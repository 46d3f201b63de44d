"""`modctl context`: named sets of targets and credentials."""

from __future__ import annotations

from typing import Any

import click
from modctl.client.errors import UsageError
from modctl.client.options import Duration, OrderedGroup, command, flag, printing

_FIELDS = ("hosts", "groups", "discover", "exclude", "selector", "process")


@click.group(
    "context",
    cls=OrderedGroup,
    short_help="Keep named sets of targets and credentials.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
def context_command() -> None:
    """Keep named sets of targets and credentials in ~/.config/modctl/config.toml (MODCTL_CONFIG).

    Reads without a target use the current context. Changes need it named: --context NAME, or --all.
    """


@command("list", "List the contexts.")
@printing
def list_command(output: str) -> None:
    """List the contexts; * marks the current one."""
    from modctl.client.contexts import load
    from modctl.client.printers.documents import FORMATS, write_document
    from modctl.client.printers.terminal import make_output

    configuration = load()
    contexts = [configuration.contexts[name] for name in sorted(configuration.contexts)]
    how = make_output(output, False, False, "auto", False, False)
    if output in FORMATS:
        results = [
            {"name": each.name, "current": each.name == configuration.current, **_plain(dict(each.values))}
            for each in contexts
        ]
        write_document("ContextList", {"results": results, "summary": {"contexts": len(results)}}, how)
        return
    if output == "name":
        click.echo("".join(f"{each.name}\n" for each in contexts), nl=False)
        return
    from modctl.client.printers.columns import Column, render

    columns = [Column(""), Column("CONTEXT"), Column("TARGETS", shrink="end"), Column("SECURITY"), Column("NOTE")]
    rows = [
        (
            "*" if each.name == configuration.current else "",
            each.name,
            " ".join(str(part) for key in _FIELDS for part in _listed(each.values.get(key))) or "this machine",
            _security(dict(each.values)),
            "protected" if each.protected else "",
        )
        for each in contexts
    ]
    how.write(render(columns, rows, how) if rows else "")
    if not rows:
        how.note(f"modctl: {configuration.path} has no contexts; `modctl context add` makes one")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else [value] if value else []


def _security(values: dict[str, Any]) -> str:
    if values.get("plaintext"):
        return "plaintext"
    how = [name for name, key in (("mTLS", "cert"), ("TLS", "cacert"), ("token", "token_file")) if values.get(key)]
    return "+".join(each for each in how if not (each == "TLS" and "mTLS" in how))


@command("use", "Make a context the current one.")
@click.argument("name", default="")
def use_command(name: str) -> None:
    """Make a context the current one; without a NAME, none is."""
    from modctl.client.contexts_file import use

    _saving(lambda: use(name))
    click.echo(f"modctl: the current context is {name}" if name else "modctl: no context is current", err=True)


@command("add", "Add a context, or replace one.")
@click.argument("name")
@flag("--host", "-H", multiple=True, metavar="TARGET", help="As for every command. Repeats.")
@flag("--group", "-G", multiple=True, metavar="NAME", help="The targets of a group. Repeats.")
@flag("--discover", multiple=True, metavar="SOURCE", help="dns:///…, srv:///…, exec:CMD. Repeats.")
@flag("--exclude", multiple=True, metavar="TARGET", help="Leave these out.")
@flag("--selector", "-l", metavar="LABELS", help="Only processes with these labels.")
@flag("--process", metavar="all|PID|any", help="Which processes of each target.")
@flag("--cacert", type=click.Path(exists=True, resolve_path=True), help="PEM file of the authorities to believe.")
@flag("--cert", type=click.Path(exists=True, resolve_path=True), help="PEM file of our certificate.")
@flag("--key", type=click.Path(exists=True, resolve_path=True), help="PEM file of our key.")
@flag("--server-name", metavar="NAME", help="The name in the target's certificate.")
@flag("--token-file", type=click.Path(exists=True, resolve_path=True), help="File with a bearer token.")
@flag("--plaintext", is_flag=True, help="No TLS to addresses off this machine either.")
@flag("--fanout", type=click.IntRange(1, 4096), help="Targets at once.")
@flag("--connect-timeout", type=Duration(), help="To connect.")
@flag("--timeout", type=Duration(), help="For a process to answer.")
@flag("--deadline", type=Duration(), help="For a whole command.")
@flag("--protected", is_flag=True, help="Changes ask, and want --yes where nobody can be asked.")
@flag("--desired", type=click.Path(exists=True, resolve_path=True), help="For `modctl drift --against desired`.")
@flag("--use", "use_it", is_flag=True, help="Make it the current one.")
def add_command(name: str, use_it: bool, **given: Any) -> None:
    """Add a context, or replace the one of that name; the first one becomes current."""
    from modctl.client import contexts, contexts_file
    from modctl.client.finding.find import check_source
    from modctl.client.settings import Settings
    from modctl.client.targets import parse_targets

    parse_targets(given["host"])
    parse_targets(given["exclude"])
    for source in given["discover"]:
        check_source(source)
    if given["selector"]:
        Settings(labels=given["selector"])
    configuration = contexts.load()
    for group in given["group"]:
        configuration.group(group)
    flags = {flag: key for key, flag in contexts.FLAG_OF.items()}
    values = {flags.get(key, key): value for key, value in given.items() if value}
    replaced = _saving(lambda: contexts_file.add(name, values))
    if use_it:
        _saving(lambda: contexts_file.use(name))
    click.echo(f"modctl: {'replaced' if replaced else 'added'} {name} in {configuration.path}", err=True)


@command("remove", "Remove a context.")
@click.argument("name")
def remove_command(name: str) -> None:
    """Remove a context; its certificates and tokens are left where they are."""
    from modctl.client.contexts_file import remove

    _saving(lambda: remove(name))
    click.echo(f"modctl: removed {name}", err=True)


def _saving(work: Any) -> Any:
    try:
        return work()
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error


for _command in (list_command, use_command, add_command, remove_command):
    context_command.add_command(_command)
