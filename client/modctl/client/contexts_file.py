"""Writing the configuration: the one place that makes TOML.

Comments of a file that was changed by hand are lost; the file before is kept beside it as config.toml.bak.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from modctl.client.contexts import check_name, config_path, load

if TYPE_CHECKING:
    from collections.abc import Mapping


def add(name: str, values: Mapping[str, Any], path: str | None = None) -> bool:
    """Puts a context in, in place of one of that name; returns whether there was one. The first one becomes current.

    Raises:
        UsageError: the name is none, or the file is wrong.
        OSError: the file cannot be written.
    """
    check_name(name)
    path = path or config_path()
    before = load(path)
    contexts = {each.name: dict(each.values) for each in before.contexts.values()}
    replaced = name in contexts
    contexts[name] = dict(values)
    _write(path, before.current or name, contexts, before.groups)
    load(path)  # what was written can be read: nothing wrong is left for the next command
    return replaced


def remove(name: str, path: str | None = None) -> None:
    """Takes a context out.

    Raises:
        UsageError: there is none of that name, or the file is wrong.
        OSError: the file cannot be written.
    """
    path = path or config_path()
    before = load(path)
    before.context(name)
    contexts = {each.name: dict(each.values) for each in before.contexts.values() if each.name != name}
    _write(path, "" if before.current == name else before.current, contexts, before.groups)


def use(name: str, path: str | None = None) -> None:
    """Makes a context the current one; "" makes none current.

    Raises:
        UsageError: there is none of that name, or the file is wrong.
        OSError: the file cannot be written.
    """
    path = path or config_path()
    before = load(path)
    if name:
        before.context(name)
    _write(path, name, {each.name: dict(each.values) for each in before.contexts.values()}, before.groups)


def _write(
    path: str, current: str, contexts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, tuple[str, ...]]
) -> None:
    lines = [f"current = {json.dumps(current)}", ""] if current else []
    for name, values in contexts.items():
        lines += [f"[contexts.{json.dumps(name)}]", *(f"{key} = {_toml(value)}" for key, value in values.items()), ""]
    if groups:
        lines += ["[groups]", *(f"{json.dumps(name)} = {_toml(words)}" for name, words in groups.items()), ""]
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(path, f"{path}.bak")
    temporary = f"{path}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    os.replace(temporary, path)


def _toml(value: Any) -> str:
    """JSON's texts, numbers, booleans and lists of them are TOML's, too."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
