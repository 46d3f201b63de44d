"""Drift: which processes run which version of a module, and what that is compared with.

compare.py     groups the processes by version
references.py  the majority, the disk, a local tree, another target
desired.py     what a change set wants to be there
"""

from modctl.client.drift.compare import ModuleDrift, Place, Reference, VersionGroup, asked_by_name, compare
from modctl.client.drift.desired import Desired, Wanted, wanted_by
from modctl.client.drift.references import Disk, Known, Majority, digest, of_directory, of_listing

__all__ = [
    "Desired",
    "Disk",
    "Known",
    "Majority",
    "ModuleDrift",
    "Place",
    "Reference",
    "VersionGroup",
    "Wanted",
    "asked_by_name",
    "compare",
    "digest",
    "of_directory",
    "of_listing",
    "wanted_by",
]
