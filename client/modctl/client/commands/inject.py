"""`modctl inject`."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from modctl.client.options import changing, command, flag
from modctl.client.session import Session


@command("inject", "Put a module, package, stub, alias or block in.")
@click.argument("name")
@flag("--file", "-f", metavar="F|-", help="A Python source file; - is stdin.")
@flag("--package", metavar="DIR|ZIP|WHL", help="A package: its directory, a zip or a wheel.")
@flag("--attr", multiple=True, metavar="K=JSON", help="A stub module with this attribute. Repeats.")
@flag("--alias-of", metavar="NAME", help="The entry of that name, under this name too.")
@flag("--block", is_flag=True, help="Nothing: importing the name fails.")
@flag("--replace", is_flag=True, help="Even where an entry of that name is there.")
@flag("--base-digest", default="", metavar="DIGEST", help="Only where this is what is loaded now.")
@changing
def inject_command(
    name: str,
    file: str | None,
    package: str | None,
    attr: tuple[str, ...],
    alias_of: str | None,
    block: bool,
    replace: bool,
    ttl: float | None,
    base_digest: str,
    **flags: Any,
) -> int:
    """Put a module into sys.modules that no disk has: a source, a package, a stub, an alias, or a block.

    \b
    modctl inject billing.tax --file tax.py --replace --ttl 30m -H 'svc[01-20]:50051'
    modctl inject payments.gateway --attr 'ENABLED=false' --all
    """
    given = [text for text, value in _contents(file, package, attr, alias_of, block) if value]
    if len(given) != 1:
        problem = f"{' and '.join(given)} exclude each other" if given else "nothing to inject"
        raise click.UsageError(f"{problem}; give one of --file, --package, --attr, --alias-of and --block")
    from modctl.client import packages
    from modctl.client.operations import Inject
    from modctl.client.printers import CHANGE_RESULT

    content: dict[str, Any] = {}
    if file == "-":
        if flags["hosts_file"] is not None and flags["hosts_file"].name in ("-", "<stdin>"):
            raise click.UsageError("--file - and --hosts-file - cannot both read stdin")
        content["source"] = sys.stdin.buffer.read()
        packages.check_source("stdin", content["source"])
    elif file is not None:
        content["source"] = packages.read_source(file)
    elif package is not None:
        content["package"], content["archive"] = packages.read_package(package)
    elif attr:
        content["attributes"] = _attributes(attr)
    elif alias_of is not None:
        content["alias_of"] = alias_of
    else:
        content["block"] = True
    operation = Inject(name, replace=replace, ttl_s=ttl or 0.0, base_digest=base_digest, **content)
    return Session(flags).change(CHANGE_RESULT, lambda fleet, options: fleet.inject(operation, options=options))


def _contents(
    file: str | None, package: str | None, attr: tuple[str, ...], alias_of: str | None, block: bool
) -> list[tuple[str, object]]:
    return [("--file", file), ("--package", package), ("--attr", attr), ("--alias-of", alias_of), ("--block", block)]


def _attributes(texts: tuple[str, ...]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise click.UsageError(f"--attr {text!r}: write NAME=JSON: RATE=0.19, NAME='\"text\"', ON=true")
        try:
            attributes[key] = json.loads(value)
        except ValueError as error:
            raise click.UsageError(
                f"--attr {key}: {value!r} is no JSON ({error}); text needs quotes: {key}='\"{value}\"'"
            ) from error
    return attributes
