"""`modctl version`."""

from __future__ import annotations

import click
from modctl.client.options import command, printing


@command("version", "Say which versions of what this is.")
@printing
def version_command(output: str) -> int:
    """Say the versions of modctl on this side, of Python and of what it speaks gRPC with.

    `modctl agents -o wide` says the versions of the other side.
    """
    import json
    import platform
    from importlib import metadata

    from modctl.local.version import VERSION

    versions = {
        "modctl": VERSION,
        "python": platform.python_version(),
        "grpcio": metadata.version("grpcio"),
        "protobuf": metadata.version("protobuf"),
    }
    if output in ("json", "jsonl"):
        click.echo(json.dumps({"apiVersion": "modctl/v1", "kind": "Version", **versions}))
    elif output == "yaml":
        import yaml

        click.echo(
            yaml.safe_dump({"apiVersion": "modctl/v1", "kind": "Version", **versions}, sort_keys=False), nl=False
        )
    elif output == "name":
        click.echo(VERSION)
    else:
        click.echo("".join(f"{name} {version}\n" for name, version in versions.items()), nl=False)
    return 0
