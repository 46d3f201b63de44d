"""`modctl completion`."""

from __future__ import annotations

import click
from modctl.client.options import command


@command("completion", "Print a script for the shell's Tab key.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> int:
    """Print a script that teaches a shell to complete modctl's commands and flags.

    bash: eval "$(modctl completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc. fish: modctl completion fish >
    ~/.config/fish/completions/modctl.fish
    """
    from click.shell_completion import get_completion_class
    from modctl.client.cli import group

    maker = get_completion_class(shell)
    assert maker is not None
    click.echo(maker(group(), {}, "modctl", "_MODCTL_COMPLETE").source())
    return 0
