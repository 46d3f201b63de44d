"""What a rollout raises besides the client's own errors.

ClientError
└── RolloutError
    ├── RolloutNotFoundError (LookupError)   no state file of that id
    ├── RolloutBusyError                     another modctl is running it
    └── RolloutStateError                    it is not in a state in which that can be done
"""

from __future__ import annotations

from modctl.client.errors import ClientError


class RolloutError(ClientError):
    """The root of what modctl.client.rollout raises."""


class RolloutNotFoundError(RolloutError, LookupError):
    """There is no such rollout.

    Args:
        rollout: the id asked for; "" where the latest was meant.
        place: where was looked.
    """

    def __init__(self, rollout: str, place: str) -> None:
        what = f"no rollout {rollout!r}" if rollout else "no rollout"
        super().__init__(f"{what} in {place}; `modctl rollout history` lists them")
        self.rollout = rollout


class RolloutBusyError(RolloutError):
    """Another modctl is running the rollout.

    Args:
        rollout: its id.
        pid: of the modctl that runs it; 0 where it is not known.
    """

    def __init__(self, rollout: str, pid: int) -> None:
        by = f" by pid {pid}" if pid else ""
        super().__init__(f"rollout {rollout} is being run{by}; `modctl rollout pause|abort {rollout}` tells it")
        self.rollout = rollout
        self.pid = pid


class RolloutStateError(RolloutError):
    """A rollout is not in a state in which that can be done.

    Args:
        rollout: its id.
        status: what it is in.
        wanted: what was to be done.
        cure: what can be done instead.
    """

    def __init__(self, rollout: str, status: str, wanted: str, cure: str) -> None:
        super().__init__(f"rollout {rollout} is {status}: it cannot {wanted}; {cure}")
        self.rollout = rollout
        self.status = status
