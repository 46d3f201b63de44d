"""In which order entries are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.client.listing import Modules
    from modctl.v1 import module_pb2

#: name: alphabetical; size, import-time: largest first, unknown last; order: as they appeared in sys.modules.
SORTS = ("name", "size", "import-time", "order")

_KEYS: dict[str, Callable[[module_pb2.Module], tuple[float, str]]] = {
    "name": lambda module: (0, module.name),
    "size": lambda module: (-module.size_bytes if module.HasField("size_bytes") else 1, module.name),
    "import-time": lambda module: (-module.import_ms if module.HasField("import_ms") else 1, module.name),
    "order": lambda module: (module.order, module.name),
}


def ordered(modules: Modules, sort: str) -> list[module_pb2.Module]:
    """The entries, sorted; as they came where `sort` is empty."""
    messages = list(modules.messages())
    if sort:
        messages.sort(key=_KEYS[sort])
    return messages
