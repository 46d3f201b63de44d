"""Changes that the text alone decides: nothing runs, no thread, no copy of a namespace. See modctl.source.plain.

What the live objects are may still speak against it; then the change is staged as any other, with the same outcome.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.opaque import KEEP
from modctl.agent.engine.live.states import BEHAVIOUR, UNTOUCHED, VALUE, Site
from modctl.agent.engine.live.values import MISSING, class_dict, home_of, is_class, is_plain, mro

if TYPE_CHECKING:
    from modctl.agent.engine.live.merge import Merger
    from modctl.agent.engine.live.report import ModuleReport
    from modctl.agent.engine.live.world import StagedModule
    from modctl.source.plain import Plain, PlainClass, PlainName

_PLAIN_METACLASSES = (type, abc.ABCMeta)


def applies(staged: StagedModule, plain: Plain) -> bool:
    """Whether the live objects are such that nothing needs to be staged for it."""
    home = staged.home
    if KEEP in home or not all(is_plain(home.get(each.name)) for each in plain.names if each.name in home):
        return False
    return all(_can_be_changed(home.get(each.name, MISSING), each) for each in plain.classes)


def _can_be_changed(live: Any, plain: PlainClass) -> bool:
    """Whether it is a class that is changed in place, and what it holds is data."""
    if not is_class(live) or type(live) not in _PLAIN_METACLASSES or tuple in mro(live) or home_of(live) is not live:
        return False
    own = class_dict(live)
    return "__dataclass_fields__" not in own and all(is_plain(own[name]) for name, _ in plain.values if name in own)


def decide(staged: StagedModule, plain: Plain, merger: Merger, part: ModuleReport) -> None:
    """Decides on the assignments, and says what they come to.

    Args:
        staged: the module; nothing of it is staged.
        plain: what it becomes. It applies.
        merger: is told of them.
        part: of the report; added to.
    """
    part.changed += plain.behaving
    for each in plain.names:
        _decide_name(staged, each, merger, part)
    for one in plain.classes:
        _decide_class(staged, one, merger, part)


def _decide_name(staged: StagedModule, each: PlainName, merger: Merger, part: ModuleReport) -> None:
    live = staged.home.get(each.name, MISSING)
    what = f"{staged.name}.{each.name}"
    site = Site(staged, what, owned=each.owned, base=(each.known, each.base), run_time_state=each.run_time_state)
    bound, state = merger.merge(live, each.value, site)
    if bound is not live:
        merger.put("item", staged.home, each.name, bound, what)
    if live is MISSING:
        part.added.append(each.name)
    elif state == VALUE:
        part.changed.append(each.name)


def _decide_class(staged: StagedModule, each: PlainClass, merger: Merger, part: ModuleReport) -> None:
    live = staged.home[each.name]
    own = class_dict(live)
    changed = UNTOUCHED
    for name, value in each.values:
        what = f"{staged.name}.{each.name}.{name}"
        held = own.get(name, MISSING)
        settled, state = merger.merge(held, value, Site(staged, what))
        if settled is not held:
            merger.put("type", live, name, settled, what)
            merger.attributes.add(what)
            changed = BEHAVIOUR
        elif state == VALUE:
            merger.attributes.add(what)
        changed = max(changed, min(state, BEHAVIOUR))
    if type(live) is abc.ABCMeta:
        merger.abstract.append(live)
    if changed != UNTOUCHED:
        part.changed.append(each.name)
