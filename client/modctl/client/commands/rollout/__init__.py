"""`modctl rollout`: a change set in waves.

start.py      begins one
operating.py  pause, resume, promote, abort, undo
showing.py    status, history
common.py     what they share
"""

from __future__ import annotations

import click
from modctl.client.commands.rollout.operating import (
    abort_command,
    pause_command,
    promote_command,
    resume_command,
    undo_command,
)
from modctl.client.commands.rollout.showing import history_command, status_command
from modctl.client.commands.rollout.start import start_command
from modctl.client.options import OrderedGroup


@click.group(
    "rollout",
    cls=OrderedGroup,
    short_help="Bring a change to a fleet in waves.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
def rollout_command() -> None:
    """Bring a change to a fleet in waves, with checks between them and a way back.

    \b
    modctl rollout start billing.tax --from src --host 'svc[01-50]:50051' \\
        --canary 1 --waves 10%,50% --soak 30s --check 'curl -fsS http://lb/health' --max-failures 1
    """


for _command in (
    start_command,
    status_command,
    pause_command,
    resume_command,
    promote_command,
    abort_command,
    undo_command,
    history_command,
):
    rollout_command.add_command(_command)
