"""Which adapters installed packages bring, read from their metadata as it lies in the folders of sys.path.

importlib.metadata would say it too: with the email package in the service's memory and some ten milliseconds of its
time. It is asked where packages may lie elsewhere: in archives, or where a finder of the program's own says.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from typing import Final

_METADATA: Final = (".dist-info", ".egg-info")


def values_of(group: str) -> list[str]:
    """`module:attribute` of each entry point of a group."""
    own = any(
        finder is not importlib.machinery.PathFinder and hasattr(finder, "find_distributions")
        for finder in sys.meta_path
    )
    if own or any(map(os.path.isfile, _others())):
        from importlib.metadata import entry_points

        return [entry.value for entry in entry_points(group=group)]
    found: dict[str, list[str]] = {}
    for place in dict.fromkeys(sys.path):
        for name, text in _texts(place or "."):
            found.setdefault(name, _values(text, group))  # of a distribution that is there twice, the first counts
    return [value for values in found.values() for value in values]


def _others() -> list[str]:
    """Entries of sys.path but the archive of the standard library, in which no packages are."""
    library = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    return [place for place in sys.path if type(place) is str and os.path.basename(place) != library]


def _texts(place: object) -> list[tuple[str, str]]:
    """Names of distributions in a folder, with their entry points."""
    if type(place) is not str:
        return []
    if place.endswith(".egg"):
        return _text_of(os.path.basename(place), os.path.join(place, "EGG-INFO"))
    try:
        with os.scandir(place) as items:
            folders = [(item.name, item.path) for item in items if item.name.lower().endswith(_METADATA)]
    except OSError:
        return []
    return [each for name, path in folders for each in _text_of(name, path)]


def _text_of(name: str, folder: str) -> list[tuple[str, str]]:
    distribution = name.lower().partition("-")[0].removesuffix(".egg").replace(".", "_")
    try:
        with open(os.path.join(folder, "entry_points.txt"), encoding="utf-8", errors="replace") as file:
            return [(distribution, file.read())]
    except OSError:
        return [(distribution, "")]  # most have none


def _values(text: str, group: str) -> list[str]:
    if f"[{group}]" not in text:
        return []
    inside = False
    values: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line == f"[{group}]"
        elif inside and "=" in line and line[0] not in "#;":
            values.append(line.partition("=")[2].partition("[")[0].strip())
    return values
