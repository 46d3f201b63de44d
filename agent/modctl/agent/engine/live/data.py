"""Plain values and containers: what the source says against what the program has made of it.

Three values decide: what the old source bound (the base), what is there now, and what the new source binds. A live
value that is still the base takes the new one; one that differs is the program's own state and stays, and where the
source changed too that is reported.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.states import UNTOUCHED, VALUE, Site
from modctl.agent.engine.live.values import CONTAINERS, MAPPINGS, MISSING, is_plain, same_data

if TYPE_CHECKING:
    from modctl.agent.engine.live.merge import Merger


def merge_data(merger: Merger, live: Any, new: Any, site: Site) -> tuple[Any, int]:
    """Plain data on one side at least."""
    if same_data(live, new):
        return live, UNTOUCHED
    known, base = site.base
    if known and not same_data(live, base):
        if not same_data(new, base):
            merger.kept.append((site.what, "the program changed it and so did the source"))
        return live, UNTOUCHED
    if not known and site.run_time_state:
        merger.kept.append((site.what, "functions rebind it at run time"))
        return live, UNTOUCHED
    return new, VALUE


def merge_container(merger: Merger, live: Any, new: Any, site: Site) -> tuple[Any, int]:
    """Two containers of one type: the live one stays and takes the contents."""
    known, base = site.base
    if site.inner:
        # A container that a closure shares: what a decorator keeps there is the program's.
        return (live, UNTOUCHED) if not new else _take(merger, live, _union(live, new), site)
    if not site.owned:
        return (live, UNTOUCHED) if merger.same(live, new) else (new, VALUE)
    if type(live) in MAPPINGS:
        wanted = _merged(live, new, base, merger, site) if known and type(base) in MAPPINGS else new
        return _take(merger, live, wanted, site)
    if known and not merger.same(live, base):
        if not merger.same(new, base) and not merger.same(live, new):
            merger.kept.append((site.what, "the program changed it and so did the source"))
        return live, UNTOUCHED
    return _take(merger, live, new, site)


def _take(merger: Merger, live: Any, wanted: Any, site: Site) -> tuple[Any, int]:
    if _alike(merger, live, wanted):
        merger.world.stands_for(wanted, live)
        return live, UNTOUCHED
    merger.world.stands_for(wanted, live)
    merger.put("refill", live, None, _shallow(wanted), site.what)
    return live, VALUE


def _shallow(container: Any) -> Any:
    """A copy that does not stand for the live container, so that it can be put right item by item."""
    kind = type(container)
    if kind in (list, set, deque, bytearray):
        return kind(container)
    return dict(container)


def _alike(merger: Merger, live: Any, wanted: Any) -> bool:
    if type(live) in MAPPINGS:
        return list(live) == list(wanted) and all(merger.same(live[key], wanted[key]) for key in live)
    if type(live) is set:
        return all(map(is_plain, live)) and live == wanted
    return len(live) == len(wanted) and all(map(merger.same, live, wanted))


def _union(live: Any, new: Any) -> Any:
    if type(live) in MAPPINGS:
        return {**live, **new}
    if type(live) is set:
        return live | new
    return live if all(any(item is other for other in live) for item in new) else new


def _merged(live: Any, new: Any, base: Any, merger: Merger, site: Site) -> dict[Any, Any]:
    """Key by key: the program's additions, removals and changes stay, the source's are taken."""
    wanted: dict[Any, Any] = {}
    for key, value in new.items():
        held, was = live.get(key, MISSING), base.get(key, MISSING)
        if was is MISSING:
            wanted[key] = value if held is MISSING else held
            if held is not MISSING and not merger.same(held, value):
                merger.kept.append((f"{site.what}[{key!r}]", "the program added it and so did the source"))
        elif held is MISSING:
            continue  # the program took it out
        elif merger.same(held, was):
            nested = type(held) in CONTAINERS and type(held) is type(value) and not merger.same(held, value)
            wanted[key] = value if nested or not merger.same(held, value) else held
        else:
            wanted[key] = held
            if not merger.same(value, was):
                merger.kept.append((f"{site.what}[{key!r}]", "the program changed it and so did the source"))
    wanted |= {
        key: held
        for key, held in live.items()
        if key not in new and (key not in base or not merger.same(held, base[key]))
    }
    return wanted
