"""What differs between two versions of a module, by looking at their namespaces. Compares only what is safe to
compare.
"""

from __future__ import annotations

import types
from typing import Any, Final

from modctl.agent.engine.safe import class_dict, clean, is_exactly, is_kind, module_dict

_PLAIN: Final = (str, bytes, int, float, complex, bool, type(None))
_MAX_SYMBOLS: Final = 500


def symbols_between(old: object, new: object) -> dict[str, list[str]]:
    """The fields of modctl.v1.Symbols: top-level names that were added, removed, or have other code or another plain
    value.
    """
    before, after = module_dict(old), module_dict(new)
    if before is None or after is None:
        return {}
    old_names = {name: value for name, value in list(before.items()) if _counts(name)}
    new_names = {name: value for name, value in list(after.items()) if _counts(name)}
    found = {
        "added": [name for name in new_names if name not in old_names],
        "removed": [name for name in old_names if name not in new_names],
        "changed": [name for name in new_names if name in old_names and differ(old_names[name], new_names[name])],
    }
    return {key: [clean(name) for name in sorted(names)[:_MAX_SYMBOLS]] for key, names in found.items() if names}


def _counts(name: object) -> bool:
    return type(name) is str and not (name.startswith("__") and name.endswith("__"))


def differ(old: Any, new: Any) -> bool:
    """Whether two values are certainly different: other code, another plain value, or another type."""
    if old is new:
        return False
    if type(old) is not type(new):
        return True
    if is_exactly(type(new), *_PLAIN):
        return bool(old != new)
    if type(new) is types.FunctionType:
        return codes_differ(old.__code__, new.__code__) or _defaults_differ(old.__defaults__, new.__defaults__)
    if is_exactly(type(new), staticmethod, classmethod):
        return differ(old.__func__, new.__func__)
    if type(new) is property:
        return any(differ(getattr(old, part), getattr(new, part)) for part in ("fget", "fset", "fdel"))
    if is_kind(new, type):
        return _classes_differ(old, new)
    return False


def codes_differ(old: types.CodeType, new: types.CodeType) -> bool:
    """Whether two code objects do different things; where they stand does not count."""
    if (old.co_code, old.co_names, old.co_varnames, old.co_freevars, old.co_flags) != (
        new.co_code,
        new.co_names,
        new.co_varnames,
        new.co_freevars,
        new.co_flags,
    ) or len(old.co_consts) != len(new.co_consts):
        return True
    for one, other in zip(old.co_consts, new.co_consts, strict=True):
        if type(one) is not type(other):
            return True
        if type(one) is types.CodeType:
            if codes_differ(one, other):
                return True
        elif repr(one) != repr(other):  # tells 0.0 from -0.0 and 1 from True; constants of code are plain
            return True
    return False


def _defaults_differ(old: Any, new: Any) -> bool:
    if old is None or new is None or len(old) != len(new):
        return old is not new and (old or ()) != (new or ())
    return any(differ(one, other) for one, other in zip(old, new, strict=True) if is_exactly(type(other), *_PLAIN))


def _classes_differ(old: type, new: type) -> bool:
    before, after = dict(class_dict(old)), dict(class_dict(new))
    ignored = ("__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__static_attributes__")
    names = [name for name in before if name not in ignored]
    if set(names) != {name for name in after if name not in ignored}:
        return True
    return any(differ(before[name], after[name]) for name in names if not is_kind(after[name], type))
