"""How far a name's new value is from its live one. The order is that of consequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from modctl.agent.engine.live.world import StagedModule
    from modctl.source.statements import Statement

#: Nothing differs.
UNTOUCHED = 0
#: Only functions inside do something else: readers need not run, what they hold is updated.
INNER = 1
#: The same object does something else: readers that called it may have to run.
BEHAVIOUR = 2
#: Another value: readers run.
VALUE = 3


class Site(NamedTuple):
    """Where a value is bound: what a merge may need to know about it."""

    module: StagedModule
    #: For people: `billing.tax.rate`.
    what: str
    #: Whether the old version's statement made the live object, so that it may be changed in place.
    owned: bool = True
    #: Whether the new value was made by running the statement, and is not something that was there already.
    born: bool = True
    #: Whether this is a part of another value: a cell, a wrapper's function.
    inner: bool = False
    #: Parameters whose live default stays.
    kept_defaults: frozenset[str] = frozenset()
    #: (True, value when loaded) where that is known.
    base: tuple[bool, Any] = (False, None)
    #: Whether functions rebind the name at run time.
    run_time_state: bool = False
    #: The class statement's new and old version.
    statement: Statement | None = None
    old_statement: Statement | None = None
    #: Attributes of a class whose statement stayed but reads what has another value.
    follows: frozenset[str] = frozenset()

    def inside(self, suffix: str) -> Site:
        """The site of a part of this one's value."""
        return self._replace(
            what=self.what + suffix,
            inner=True,
            kept_defaults=frozenset(),
            base=(False, None),
            run_time_state=False,
        )
