"""Everything that the engine remembers, in one place that its parts share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modctl.agent.engine import bootstrap
from modctl.agent.engine.expiry import Expiries
from modctl.agent.engine.generations import Generations
from modctl.agent.engine.holding import Holding
from modctl.agent.engine.injected import InjectedFinder
from modctl.agent.engine.journal import Answers, Journal
from modctl.agent.engine.origins import Origins
from modctl.agent.engine.recorder import Recorder
from modctl.agent.engine.rows import Rows

if TYPE_CHECKING:
    from modctl.agent.engine.live.born import Watch


class Memory:
    """The engine's state.

    Attributes:
        usable: which private parts of the import system are as known; see bootstrap.py.
        generations: what is known of names and module objects.
        origins: looks at files.
        recorder: watches imports.
        finder: finds injected modules.
        journal: revisions.
        answers: answers by request id.
        expiries: what takes itself back, and when.
        holding: changes that are prepared and wait for their commit.
        rows: encoded rows.
        born: looks for functions that calls under way make from replaced code; None until a change needs it.
        frozen: whether changes are refused.
        frozen_reason: why.
    """

    def __init__(self) -> None:
        self.usable = bootstrap.self_test()
        self.generations = Generations()
        self.origins = Origins(self.generations)
        self.recorder = Recorder(self.generations, self.usable)
        self.finder = InjectedFinder()
        self.journal = Journal()
        self.answers = Answers()
        self.expiries = Expiries()
        self.holding = Holding()
        self.rows = Rows(self.generations, self.origins, self.expiries.by_name)
        self.expiries.on_change = self.rows.forget
        self.born: Watch | None = None
        self.frozen = False
        self.frozen_reason = ""
