"""Enumerations: a member added becomes a real member of the live class; members that are there stay what they are."""

from __future__ import annotations

import enum
import sys
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.states import BEHAVIOUR, UNTOUCHED, Site
from modctl.agent.engine.live.values import class_dict, same_data

if TYPE_CHECKING:
    from modctl.agent.engine.live.merge import Merger


def same_members(live: Any, new: Any) -> bool:
    """Whether all members of the live class are in the new one, under the same names with the same values."""
    fresh = new._member_map_
    for name, member in live._member_map_.items():
        other = fresh.get(name)
        if other is None or other._name_ != member._name_ or not same_data(member._value_, other._value_):
            return False
    return True


def merge_members(merger: Merger, live: Any, new: Any, site: Site) -> int:
    """Makes the new class's additional members members of the live one."""
    for name, member in live._member_map_.items():
        merger.world.stands_for(new._member_map_[name], member)
    added = {name: member for name, member in new._member_map_.items() if name not in live._member_map_}
    if not added:
        return UNTOUCHED
    what = site.what
    names = list(live._member_names_)
    members = dict(live._member_map_)
    values = dict(live._value2member_map_)
    unhashable: list[Any] = []
    for name, fresh in added.items():
        member = members[fresh._name_] if fresh._name_ in members else _member(live, fresh)
        merger.world.stands_for(fresh, member)
        members[name] = member
        if name == fresh._name_:
            if name in new._member_names_:
                names.append(name)
            try:
                values.setdefault(member._value_, member)
            except TypeError:
                unhashable.append(member._value_)
        _attribute(merger, live, new, name, member, what)
    # The order of the new text, as a fresh import would have it.
    order = [name for name in new._member_names_ if name in members]
    merger.put("refill", live._member_names_, None, order, f"{what}._member_names_")
    merger.put(
        "refill", live._member_map_, None, {name: members[name] for name in new._member_map_}, f"{what}._member_map_"
    )
    merger.put("refill", live._value2member_map_, None, values, f"{what}._value2member_map_")
    if unhashable and hasattr(live, "_unhashable_values_"):
        merger.put("refill", live._unhashable_values_, None, live._unhashable_values_ + unhashable, what)
    for name in ("_flag_mask_", "_singles_mask_", "_all_bits_", "_inverted_"):
        if name in class_dict(live) and class_dict(live)[name] != class_dict(new).get(name):
            merger.put("type", live, name, class_dict(new).get(name), f"{what}.{name}")
    for member in live._member_map_.values():
        if issubclass(live, enum.Flag) and getattr(member, "_inverted_", None) is not None:
            merger.put("item", member.__dict__, "_inverted_", None, f"{what}.{member._name_}._inverted_")
    return BEHAVIOUR


def _member(live: Any, fresh: Any) -> Any:
    """A member of the live class with the state of one of the new class."""
    kind = live._member_type_
    member = object.__new__(live) if kind is object else kind.__new__(live, fresh._value_)
    for key, value in fresh.__dict__.items():
        member.__dict__[key] = value
    member.__dict__["__objclass__"] = live
    return member


def _attribute(merger: Merger, live: Any, new: Any, name: str, member: Any, what: str) -> None:
    """How members are reached differs: 3.10 goes through the metaclass's `__getattr__`, 3.11 keeps a property,
    3.12 the member.
    """
    held = class_dict(new).get(name)
    if sys.version_info >= (3, 12) and isinstance(held, new):
        merger.put("type", live, name, member, f"{what}.{name}")
    elif held is not None and type(held).__module__ == "enum":
        made = type(held)()
        made.name, made.clsname = name, live.__name__
        for attribute in ("member", "_attr_type", "_cls_type"):
            if hasattr(held, attribute):
                found = getattr(held, attribute)
                setattr(made, attribute, member if attribute == "member" else live if found is new else found)
        merger.put("type", live, name, made, f"{what}.{name}")
