"""What the Tab key offers: targets and contexts of the configuration, and names of modules that were listed lately.

Nobody is dialled for it: a shell waits. Names come from a file that `modctl list` writes when it is used at a terminal.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from modctl.client.listing import Modules
    from modctl.client.results import FleetResult

MAX_NAMES: Final = 20_000
#: What nobody has listed for so long is forgotten, in seconds.
KEEP_S: Final = 30 * 86400.0
_NAME_ARGUMENTS: Final = frozenset({"name", "names", "patterns"})


def cache_file(environ: Mapping[str, str] = os.environ) -> str:
    """Where names are kept."""
    home = environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "modctl", "names.json")


def remember(result: FleetResult[Modules], path: str | None = None) -> None:
    """Keeps the names of a listing. A cache that cannot be written is none, and no reason to fail."""
    path = path or cache_file()
    now_unix_s = round(time.time())
    names = {name: when for name, when in _kept(path).items() if now_unix_s - when < KEEP_S}
    seen: set[int] = set()
    for _, modules in result:
        for batch in modules.batches:
            if id(batch) not in seen:
                seen.add(id(batch))
                names.update((message.name, now_unix_s) for message in batch.messages())
    newest = sorted(names.items(), key=lambda item: -item[1])[:MAX_NAMES]
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        temporary = f"{path}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(dict(newest), file)
        os.replace(temporary, path)
    except OSError:
        pass  # a read-only home has no Tab for names, and everything else


def _kept(path: str) -> dict[str, float]:
    try:
        with open(path, encoding="utf-8") as file:
            names = json.load(file)
        return {str(name): float(when) for name, when in names.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # none yet, or broken: the next listing writes it anew


def names(incomplete: str) -> list[CompletionItem]:
    """Names of modules, one level of packages at a time: `bil` offers billing, `billing.` what is in it."""
    found = sorted(name for name in _kept(cache_file()) if name.startswith(incomplete))
    depth = incomplete.count(".")
    offered = dict.fromkeys(".".join(name.split(".")[: depth + 1]) for name in found)
    if len(offered) == 1 and (only := next(iter(offered))) in found:
        offered |= dict.fromkeys(name for name in found if name.startswith(f"{only}.") and name.count(".") == depth + 1)
    return _items(offered)


def hosts(incomplete: str) -> list[CompletionItem]:
    """Targets of the configuration's contexts and groups, and this user's sockets."""
    from modctl.client.discover import local_targets

    configuration = _configuration()
    words: list[str] = []
    if configuration is not None:
        for context in configuration.contexts.values():
            words += context.values.get("hosts", ())
        for group in configuration.groups.values():
            words += group
    words += [target.label for target in local_targets()]
    return _items(word for word in dict.fromkeys(words) if word.startswith(incomplete))


def contexts(incomplete: str) -> list[CompletionItem]:
    """Names of contexts."""
    configuration = _configuration()
    known = configuration.contexts if configuration is not None else {}
    return _items(name for name in sorted(known) if name.startswith(incomplete))


def groups(incomplete: str) -> list[CompletionItem]:
    """Names of groups."""
    configuration = _configuration()
    known = configuration.groups if configuration is not None else {}
    return _items(name for name in sorted(known) if name.startswith(incomplete))


def rollouts(incomplete: str) -> list[CompletionItem]:
    """Ids of rollouts, newest first."""
    from modctl.client.rollout.store import RolloutStore

    return _items(rollout for rollout in RolloutStore().ids() if rollout.startswith(incomplete))


def _configuration() -> Any:
    from modctl.client.contexts import load
    from modctl.client.errors import UsageError

    try:
        return load()
    except UsageError:
        return None  # the command itself will say what is wrong with it


def _items(words: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words]


class _Offering(click.types.StringParamType):
    """Text, of which Tab offers some."""

    def __init__(self, offer: Any) -> None:
        self._offer = offer

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """What begins so."""
        offered: list[CompletionItem] = self._offer(incomplete)
        return offered


def teach(command: click.Command) -> None:
    """Lets a command's names, hosts, contexts and groups be completed."""
    flags = {"host": hosts, "exclude": hosts, "context": contexts, "group": groups}
    for parameter in command.params:
        if type(parameter.type) is not click.types.StringParamType:
            continue
        if isinstance(parameter, click.Argument):
            if parameter.name in _NAME_ARGUMENTS:
                parameter.type = _Offering(names)
            elif parameter.name == "rollout":
                parameter.type = _Offering(rollouts)
        elif parameter.name in flags:
            parameter.type = _Offering(flags[parameter.name])
