"""Rollouts: one change set, many processes, in waves, with checks and a way back.

    spec ──▶ waves ──▶ state ──▶ decide ──▶ runner ──▶ port ──▶ the fleet
                                   │          ├──▶ store    the state file, written before and after each step
                                   └ pure     └──▶ checks   a command here, an expression there, health

`decide` is a pure function of the state, and the state is written before anything is sent: so a runner that is killed
at any moment is followed by one that reads the file, asks the processes what they have (by the rollout's request ids in
their histories), and goes on. Ideas taken from Ansible (serial, max failures), Argo Rollouts (promote, abort) and
Salt's batches; from their trackers, what to avoid: results with two shapes, and a limit that nobody reads right.
"""

from __future__ import annotations

from modctl.client.rollout.begin import roll_out
from modctl.client.rollout.errors import RolloutBusyError, RolloutError, RolloutNotFoundError, RolloutStateError
from modctl.client.rollout.runner import Runner
from modctl.client.rollout.spec import Limit, RolloutSpec
from modctl.client.rollout.state import Entry, RolloutState, Wave
from modctl.client.rollout.store import RolloutStore

__all__ = [
    "Entry",
    "Limit",
    "RolloutBusyError",
    "RolloutError",
    "RolloutNotFoundError",
    "RolloutSpec",
    "RolloutState",
    "RolloutStateError",
    "RolloutStore",
    "Runner",
    "Wave",
    "roll_out",
]
