"""Contexts: named sets of targets and credentials, in ~/.config/modctl/config.toml.

    current = "shop-prod"

    [contexts.shop-prod]
    hosts = ["svc[01-50].prod:50051"]         # hosts, groups, discover, exclude, selector: whom
    cacert = "/etc/modctl/prod-ca.pem"        # cacert, cert, key, server_name, token_file, plaintext: how
    fanout = 128                              # fanout, connect_timeout, timeout, deadline, process
    protected = true                          # changes ask, and want --yes where nobody can be asked
    desired = "fixes.toml"                    # a change set, or a tree: what `modctl drift --against desired` means

    [groups]
    web = ["web[01-20]:50051"]

A flag goes before the environment, the environment before the context, the context before the default.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from modctl.client.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
#: What a context may say of each flag: its name there, and the types of its value.
KEYS: Final[dict[str, tuple[type, ...]]] = {
    "hosts": (list,),
    "groups": (list,),
    "discover": (list,),
    "exclude": (list,),
    "selector": (str,),
    "process": (str,),
    "cacert": (str,),
    "cert": (str,),
    "key": (str,),
    "server_name": (str,),
    "token_file": (str,),
    "plaintext": (bool,),
    "fanout": (int,),
    "connect_timeout": (str, int, float),
    "timeout": (str, int, float),
    "deadline": (str, int, float),
    "protected": (bool,),
    "desired": (str,),
}
#: Under these a context has what a flag of another name says.
FLAG_OF: Final = {"hosts": "host", "groups": "group"}
_FILES: Final = frozenset({"cacert", "cert", "key", "token_file", "desired"})


@dataclass(frozen=True)
class Context:
    """A named set of targets and credentials.

    Args:
        name: its name.
        values: what it says, by the keys above; file names are absolute.
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def protected(self) -> bool:
        """Whether changes in it have to be confirmed."""
        return bool(self.values.get("protected", False))

    @property
    def desired(self) -> str:
        """The change set or tree that says what is wanted of its processes; "" where nothing does."""
        return str(self.values.get("desired", ""))


@dataclass(frozen=True)
class Configuration:
    """What the file holds.

    Args:
        path: the file.
        contexts: by name.
        groups: name to targets.
        current: the name of the current context; "" where there is none.
    """

    path: str
    contexts: Mapping[str, Context] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    current: str = ""

    def context(self, name: str) -> Context:
        """The context of that name.

        Raises:
            UsageError: there is none.
        """
        if name not in self.contexts:
            known = ", ".join(sorted(self.contexts)) or "none"
            raise UsageError(f"no context {name!r} in {self.path}; there are: {known}")
        return self.contexts[name]

    def group(self, name: str) -> tuple[str, ...]:
        """The targets of a group.

        Raises:
            UsageError: there is none of that name.
        """
        if name not in self.groups:
            known = ", ".join(sorted(self.groups)) or "none"
            raise UsageError(f"no group {name!r} in {self.path}; there are: {known}")
        return self.groups[name]


def config_path(environ: Mapping[str, str] = os.environ) -> str:
    """Where the file is: MODCTL_CONFIG, else XDG's place for it."""
    if named := environ.get("MODCTL_CONFIG"):
        return os.path.abspath(named)
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(home, "modctl", "config.toml")


def load(path: str | None = None) -> Configuration:
    """What the file holds; nothing where there is none.

    Raises:
        UsageError: it cannot be read, or something in it is wrong.
    """
    path = path or config_path()
    try:
        with open(path, "rb") as file:
            document = _parse(path, file.read())
    except FileNotFoundError:
        return Configuration(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    return _configuration(path, document)


def _parse(path: str, content: bytes) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, Any] = tomllib.loads(content.decode())
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are both
        raise UsageError(f"{path}: is no TOML: {error}") from error
    return document


def _configuration(path: str, document: dict[str, Any]) -> Configuration:
    for key in document:
        if key not in ("current", "contexts", "groups"):
            raise UsageError(f"{path}: {key}: is not known; known are current, contexts and groups")
    contexts = document.get("contexts", {})
    groups = document.get("groups", {})
    current = document.get("current", "")
    if not isinstance(contexts, dict) or not isinstance(groups, dict) or not isinstance(current, str):
        raise UsageError(f"{path}: contexts and groups are tables, current is a name")
    made = {name: _context(path, name, table) for name, table in contexts.items()}
    listed = {name: _words(path, f"groups.{name}", words) for name, words in groups.items()}
    if current and current not in made:
        raise UsageError(f"{path}: current: there is no context {current!r}")
    return Configuration(path, made, listed, current)


def _context(path: str, name: str, table: Any) -> Context:
    where = f"contexts.{name}"
    check_name(name)
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {where}: is no table")
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in KEYS:
            raise UsageError(f"{path}: {where}.{key}: is not known; known are {', '.join(KEYS)}")
        if not isinstance(value, KEYS[key]) or (isinstance(value, bool) and bool not in KEYS[key]):
            raise UsageError(f"{path}: {where}.{key}: is {value!r}, which it cannot be")
        if isinstance(value, list):
            value = _words(path, f"{where}.{key}", value)
        if key in _FILES:
            value = os.path.join(os.path.dirname(path), os.path.expanduser(value))
        values[key] = value
    return Context(name, values)


def _words(path: str, key: str, words: Any) -> tuple[str, ...]:
    if isinstance(words, str):
        words = [words]
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"{path}: {key}: is no list of texts")
    return tuple(words)


def check_name(name: str) -> None:
    """Refuses what is no name of a context.

    Raises:
        UsageError: it is none.
    """
    if not _NAME.match(name):
        raise UsageError(f"context {name!r}: a name has letters, digits, dots, dashes and underscores, at most 64")
