"""Change-set files: many operations, one transaction.

TOML, JSON or YAML, told apart by the name's ending (JSON and YAML also from stdin):

    reason = "INC-1432"                       # optional; --reason goes first

    [[operations]]
    inject = { name = "billing.tax", file = "tax.py", replace = true, ttl = "2h", base_digest = "sha256:…" }
    [[operations]]
    inject = { name = "billing.mock", attributes = { RATE = 0.19, DRY = true } }
    [[operations]]
    evict = { name = "billing.cache", recursive = true }
    [[operations]]
    reimport = "billing.rates"                # short for { name = "billing.rates" }
    [[operations]]
    import = "billing.audit"

Each operation has just one verb. Files are relative to the change-set file. Keys of the verbs:

    inject    name, one of: file source package attributes alias_of block; replace ttl base_digest filename
    evict     name recursive base_digest
    reimport  name mode recursive base_digest file ttl
    import    name

Unknown keys are refused, with file and key: a slip of the pen must not become another change.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modctl.client import packages
from modctl.client.errors import ChangeSetError, SourceError, UsageError
from modctl.client.operations import Evict, Import, Inject, Operation, Reimport

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS: dict[str, dict[str, tuple[type, ...]]] = {
    "inject": {
        "name": (str,),
        "file": (str,),
        "source": (str,),
        "package": (str,),
        "attributes": (dict,),
        "alias_of": (str,),
        "block": (bool,),
        "replace": (bool,),
        "ttl": (str, int, float),
        "base_digest": (str,),
        "filename": (str,),
    },
    "evict": {"name": (str,), "recursive": (bool,), "base_digest": (str,)},
    "reimport": {
        "name": (str,),
        "mode": (str,),
        "recursive": (bool,),
        "base_digest": (str,),
        "file": (str,),
        "ttl": (str, int, float),
    },
    "import": {"name": (str,)},
}
_TYPE_NAMES = {str: "text", bool: "true or false", dict: "a table", int: "a number", float: "a number"}


@dataclass(frozen=True)
class ChangeSet:
    """What a file asks for."""

    operations: tuple[Operation, ...]
    reason: str


def read_change_set(path: str, text: str | None = None) -> ChangeSet:
    """A change set from its file.

    Args:
        path: the file's name; its ending says the format, its folder is where other files are looked for.
        text: what was read from stdin instead; files are then relative to the working directory.

    Raises:
        ChangeSetError: the file, or something in it, is wrong.
    """
    if text is None:
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except OSError as error:
            raise ChangeSetError(path, "", error.strerror or str(error)) from error
        except UnicodeDecodeError as error:
            raise ChangeSetError(path, "", "is not UTF-8 text") from error
        folder = os.path.dirname(path)
    else:
        folder = ""
    document = _parse(path, text)
    if not isinstance(document, dict):
        raise ChangeSetError(path, "", "is not a table with `operations`")
    _check_keys(path, "", document, {"operations": (list,), "reason": (str,)})
    listed = document.get("operations")
    if not listed:
        raise ChangeSetError(path, "operations", "there are none; write at least one [[operations]] table")
    operations = [_operation(path, folder, f"operations[{index}]", each) for index, each in enumerate(listed)]
    return ChangeSet(tuple(operations), document.get("reason", ""))


def _parse(path: str, text: str) -> Any:
    ending = os.path.splitext(path)[1].lower()
    try:
        if ending == ".toml":
            if sys.version_info >= (3, 11):
                import tomllib
            else:
                import tomli as tomllib
            return tomllib.loads(text)
        if ending == ".json":
            return json.loads(text)
        if ending in (".yaml", ".yml", ""):
            return _parse_yaml(path, text)
    except ValueError as error:  # tomllib's and json's own errors are ValueErrors
        raise ChangeSetError(path, "", f"is no {ending[1:].upper()}: {error}") from error
    raise ChangeSetError(path, "", f"the ending {ending} is not known; it is .toml, .json, .yaml or .yml")


def _parse_yaml(path: str, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)  # JSON is YAML, so that stdin may be either
    except yaml.YAMLError as error:
        raise ChangeSetError(path, "", f"is no YAML: {error}") from error


def _operation(path: str, folder: str, key: str, table: Any) -> Operation:
    if not isinstance(table, dict):
        raise ChangeSetError(path, key, "is not a table with one of inject, evict, reimport and import")
    for verb in table:
        if verb not in _KEYS:
            raise ChangeSetError(path, f"{key}.{verb}", f"is no operation{_near(str(verb), _KEYS)}")
    if len(table) != 1:
        found = " and ".join(sorted(table)) or "nothing"
        raise ChangeSetError(path, key, f"has {found}; each operation has one of {', '.join(_KEYS)}")
    ((verb, given),) = table.items()
    fields: dict[str, Any] = {"name": given} if isinstance(given, str) else given
    key = f"{key}.{verb}"
    if not isinstance(fields, dict):
        raise ChangeSetError(
            path, key, 'is neither a name nor a table: evict = "billing", evict = { name = "billing" }'
        )
    _check_keys(path, key, fields, _KEYS[verb])
    if not fields.get("name"):
        raise ChangeSetError(path, f"{key}.name", "is missing")
    try:
        return _make(path, folder, key, verb, dict(fields))
    except SourceError as error:
        raise ChangeSetError(path, key, str(error)) from error
    except ChangeSetError:
        raise
    except UsageError as error:
        raise ChangeSetError(path, key, str(error)) from error


def _make(path: str, folder: str, key: str, verb: str, fields: dict[str, Any]) -> Operation:
    if "ttl" in fields:
        fields["ttl_s"] = _ttl(path, f"{key}.ttl", fields.pop("ttl"))
    if "file" in fields:
        if "source" in fields:
            raise ChangeSetError(path, f"{key}.source", "file and source exclude each other")
        fields["source"] = packages.read_source(os.path.join(folder, fields.pop("file")))
    if verb == "import":
        return Import(**fields)
    if verb == "evict":
        return Evict(**fields)
    if verb == "reimport":
        return Reimport(**fields)
    if "package" in fields:
        fields["package"], fields["archive"] = packages.read_package(os.path.join(folder, fields["package"]))
    return Inject(**fields)


def _ttl(path: str, key: str, value: Any) -> float:
    from modctl.client.durations import parse_duration

    seconds = parse_duration(str(value))
    if seconds is None:
        raise ChangeSetError(path, key, f"{value!r} is no time above zero; write 500ms, 10s, 2m or 1h30m")
    return seconds


def _check_keys(path: str, key: str, table: Mapping[str, Any], known: Mapping[str, tuple[type, ...]]) -> None:
    for name, value in table.items():
        where = f"{key}.{name}" if key else str(name)
        if name not in known:
            raise ChangeSetError(path, where, f"is not known{_near(str(name), known)}")
        types = known[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            wanted = " or ".join(dict.fromkeys(_TYPE_NAMES.get(each, "a list of tables") for each in types))
            raise ChangeSetError(path, where, f"is {value!r}, and should be {wanted}")


def _near(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
