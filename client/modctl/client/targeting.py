"""From flags, environment and context to whom a command is about and how they are spoken to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from modctl.client import contexts
from modctl.client.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modctl.client.contexts import Context

_TIMES = ("connect_timeout", "timeout", "deadline")
#: Flags that name targets: where one is given, the context's targets are not meant.
WHOM = ("host", "hosts_file", "group", "discover")


def with_context(flags: Mapping[str, Any]) -> tuple[dict[str, Any], Context | None]:
    """The flags with what the context says where neither the command line nor the environment does.

    Args:
        flags: as the command got them from click.

    Returns:
        The flags, and the context in force. Its targets count as named where --context named it; `implied` is true
        where they are there only because it is the current one.

    Raises:
        UsageError: there is no such context, or the configuration is wrong.
    """
    merged = {"implied": False, **flags}
    if "context" not in flags:
        return merged, None
    configuration = contexts.load()
    named = flags["context"] or ""
    name = named or configuration.current
    if not name:
        return merged, None
    context = configuration.context(name)
    given = _given()
    whom = any(merged.get(flag) for flag in WHOM)
    for key, value in context.values.items():
        flag = contexts.FLAG_OF.get(key, key)
        if flag in WHOM and whom:
            continue
        if flag in merged and not given(flag):
            merged[flag] = _seconds(context, key, value) if flag in _TIMES else value
    merged["implied"] = not whom and not named
    return merged, context


def _seconds(context: Context, key: str, value: object) -> float:
    from modctl.client.durations import parse_duration

    seconds = parse_duration(str(value))
    if seconds is None:
        raise UsageError(f"context {context.name}: {key}: {value!r} is no time above zero; write 500ms, 10s or 2m")
    return seconds


def _given() -> Callable[[str], bool]:
    """Whether a flag was given on the command line or in the environment."""
    current = click.get_current_context(silent=True)

    def given(flag: str) -> bool:
        source = current.get_parameter_source(flag) if current is not None else None
        return source in (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)

    return given


def words(flags: Mapping[str, Any]) -> list[str]:
    """The addresses that hosts, hosts file and groups name, unparsed.

    Raises:
        UsageError: a group that is not known, or a hosts file with nothing in it.
    """
    from modctl.client.targets import read_hosts_file

    found = list(flags["host"])
    if flags["hosts_file"]:
        with flags["hosts_file"] as file:
            listed = read_hosts_file(file.read())
        if not listed and not found:
            raise UsageError("--hosts-file: there is no target in it")
        found += listed
    groups = [part for each in flags.get("group") or () for part in each.split(",") if part]
    if groups:
        configuration = contexts.load()
        for group in groups:
            found += configuration.group(group)
    return found
