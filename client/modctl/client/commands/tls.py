"""`modctl tls init` and `modctl tls issue`."""

from __future__ import annotations

import click
from modctl.client.options import flag

_DAYS = click.IntRange(1, 3650)


@click.group("tls", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def tls_command() -> None:
    """Make a private CA and certificates for mutual TLS.

    \b
    modctl tls init                                         # the authority
    modctl tls issue shop --server shop.internal            # for the service
    modctl tls issue anna --role operator                   # for a person, or a pipeline
    """


@tls_command.command("init")
@flag("--dir", "folder", default="modctl-tls", show_default=True, metavar="DIR", help="Where everything goes.")
@flag("--ca-name", default="modctl CA", show_default=True, help="What the authority calls itself.")
@flag("--days", type=_DAYS, default=365, show_default=True, help="How long it counts.")
def init_command(folder: str, ca_name: str, days: int) -> int:
    """Make an authority: a certificate to believe and a key to keep."""
    from modctl.client import authority

    made = authority.make_authority(folder, ca_name, days)
    click.echo(made.cert)
    click.echo(f"modctl: keep {made.key} to yourself: who has it can become anybody", err=True)
    return 0


@tls_command.command("issue")
@click.argument("name")
@flag("--dir", "folder", default="modctl-tls", show_default=True, metavar="DIR", help="Where the authority is.")
@flag("--server", multiple=True, metavar="NAME", help="For a service: a host or address that it has. Repeats.")
@flag("--role", type=click.Choice(["viewer", "operator", "admin"]), help="For an operator: what it may do.")
@flag("--uri", multiple=True, metavar="URI", help="A further identity of an operator, for policies. Repeats.")
@flag("--days", type=_DAYS, default=90, show_default=True, help="How long it counts.")
def issue_command(
    name: str, folder: str, server: tuple[str, ...], role: str | None, uri: tuple[str, ...], days: int
) -> int:
    """Issue a certificate and its key, for a service (--server) or an operator (--role)."""
    import os

    from modctl.client import authority

    made = authority.issue(folder, name, days, servers=server, role=role or "", uris=uri)
    click.echo(f"{made.cert}\n{made.key}")
    ca = os.path.join(folder, authority.CA_CERT)
    if server:
        tls = f'agent.TLS(cert="{made.cert}", key="{made.key}", client_ca="{ca}")'
        hint = f'agent.start(listen="0.0.0.0:50051", tls={tls})'
    else:
        hint = f"modctl agents --cacert {ca} --cert {made.cert} --key {made.key} -H HOST:50051"
    click.echo(f"modctl: {hint}", err=True)
    return 0
