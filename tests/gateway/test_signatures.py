"""Client, gateway and agent must make the same modules of the same files, or no signature would ever count."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from modctl.gateway import packages
from modctl.gateway.errors import ArchiveError
from modctl.local import signing

PARTS = st.sampled_from(["__init__.py", "a.py", "b.py", "x.json", "not-a-name.py", "__pycache__", "a.pyc", "sub", "s2"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(PATHS, st.sampled_from(["", "X = 1"])))
def test_a_package_is_taken_apart_alike_on_both_sides(files: dict[str, str]) -> None:
    try:
        layout = packages.laid_out("p.q", {place: text.encode() for place, text in files.items()})
    except ArchiveError:
        return
    theirs = [signing.Module(one.name, one.package, one.content.decode()) for one in layout.modules]
    modules, data = signing.package_of("p.q", dict(files))
    assert sorted(modules) == sorted(theirs)
    assert data == layout.data
    assert signing.content_digest("p.q", modules, data) == signing.content_digest("p.q", theirs, layout.data)
