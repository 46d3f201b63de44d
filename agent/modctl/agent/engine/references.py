"""Whether anybody but us refers to what was replaced, by counting references: no walk over the process is needed then.

A module that nobody else holds is what most changes replace, and a reference count says so at once. Every reference
that is ours is found in a container of ours and counted; what is left over is somebody else's, or one of ours that was
forgotten. Then whoever asks looks closely: a wrong answer can only cost time.
"""

from __future__ import annotations

import gc
import sys
import types
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.safe import class_dict, is_kind, module_dict, mro

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DESCRIPTORS: Final = (types.GetSetDescriptorType, types.MemberDescriptorType)


def held_elsewhere(candidates: Sequence[object], ours: Iterable[object]) -> bool:
    """Whether something is left over when our own references are taken off; also where that is not certain.

    Args:
        candidates: modules that were replaced, and what is defined in them.
        ours: containers of ours that may hold them; a container counts as often as it is given.
    """
    counted = list(candidates)
    parted = [each for each in counted if type(each) is not types.FunctionType]
    containers = [candidates, *ours, *chain.from_iterable(map(_own_parts, parted)), parted]
    ids = set(map(id, counted))
    known = Counter(filter(ids.__contains__, list(map(id, gc.get_referents(*containers)))))
    del containers
    counts = _counts(counted)
    return counts != [_COUNT_IN_LIST + known[id(each)] for each in counted]


def _counts(candidates: list[Any]) -> list[int]:
    return list(map(sys.getrefcount, candidates))


#: What getrefcount says of an object that is in one list and nowhere else.
_COUNT_IN_LIST: Final = _counts([object()])[0]


def _own_parts(candidate: object) -> list[object]:
    """What belongs to a module or a class and refers to it, or to what is defined in it."""
    if (namespace := module_dict(candidate)) is not None:
        return [namespace]
    if not is_kind(candidate, type):
        return []
    parts: list[object] = [mro(candidate)]
    cells: dict[int, object] = {}
    for value in list(class_dict(candidate).values()):
        if type(value) in _DESCRIPTORS:
            parts.append(value)
        elif type(value) is types.FunctionType:
            cells.update((id(cell), cell) for cell in value.__closure__ or ())
    return [*parts, *cells.values()]
