"""`modctl sign` and `modctl verify`."""

from __future__ import annotations

import os
import time

import click
from modctl.client.options import Duration, command, flag


@command("sign", "Sign a source, for targets that want signatures.")
@click.argument("source", required=False, metavar="[FILE|DIR|ZIP|WHL]")
@flag("--name", metavar="NAME", help="The module that it is to be.")
@flag("--signing-key", type=click.Path(), metavar="F", help="The private key, as --new-key made it.")
@flag("--key-name", metavar="NAME", help="What the policy calls the key; the key file's name without .key.")
@flag("--valid", type=Duration(), default="30d", show_default=True, help="How long the signature counts.")
@flag("--out", metavar="F", help="Where the signature goes; SOURCE.sig.")
@flag("--new-key", metavar="F", help="Make a key pair: the private half in F, the public half for the policy.")
def sign_command(
    source: str | None,
    name: str | None,
    signing_key: str | None,
    key_name: str | None,
    valid: float,
    out: str | None,
    new_key: str | None,
) -> int:
    """Sign a source file or a package (its directory, a zip or a wheel) as a module of that name.

    \b
    modctl sign --new-key release-2026.key
    modctl sign tax.py --name billing.tax --signing-key release-2026.key
    modctl inject billing.tax --file tax.py --signature tax.py.sig --replace -H svc:50051
    """
    from modctl.client import signing

    if new_key is not None:
        if source is not None:
            raise click.UsageError("--new-key makes a key and signs nothing; leave the source out")
        public = signing.new_key(new_key)
        click.echo(f'[[keys]]\nname = "{key_name or _stem(new_key)}"\npublic = "{public}"')
        click.echo(f"modctl: the private key is in {new_key}; the lines above belong into the policy file", err=True)
        return 0
    if source is None or not name or not signing_key:
        raise click.UsageError("give a file, directory, zip or wheel, --name and --signing-key; or --new-key")
    key = signing.load_key(signing_key)
    digest = signing.digest_of(name, source)
    place = out or source.rstrip("/") + signing.ENDING
    signing.write(place, [signing.sign(key, key_name or _stem(signing_key), name, digest, valid)])
    click.echo(place)
    return 0


@command("verify", "Check a signature that `modctl sign` made.")
@click.argument("source", metavar="FILE|DIR|ZIP|WHL")
@flag("--name", metavar="NAME", help="The module that it is to be; what the signature says.")
@flag("--signature", metavar="F", help="The signature; SOURCE.sig.")
@flag("--public", multiple=True, required=True, metavar="KEY", help="A public key in base64. Repeats.")
def verify_command(source: str, name: str | None, signature: str | None, public: tuple[str, ...]) -> int:
    """Say whether a source is signed by one of these keys. Exits with 1 where it is not."""
    from modctl.client import exits, signing
    from modctl.local.signing import Key, problem_with

    keys = [Key(text, signing.public_key(text)) for text in public]
    signatures = signing.read(signature or source.rstrip("/") + signing.ENDING)
    named = name or (signatures[0].name if signatures else "")
    signer, problem = problem_with(named, signing.digest_of(named, source), signatures, keys, time.time())
    if problem:
        click.echo(f"modctl: {source} as {named}: {problem}", err=True)
        return exits.DIFFERENCES
    until = max(one.expires_at_unix_s for one in signatures if one.name == named)
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(until)) if until else "for ever"
    click.echo(f"{named}: signed by {signer}, counts until {shown}")
    return 0


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]
