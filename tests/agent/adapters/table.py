"""Hot-fixes of a service, each applied, observed, undone, and observed again, in one process that never restarts."""

# ruff: noqa: E501 - the rows of a table
from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from support.engine_world import World


class Fix(NamedTuple):
    """One hot-fix.

    Attributes:
        what: in words.
        edits: (file, old text, new text); an empty old text makes a new file.
        seen: request ("GET /x") to (status, body) afterwards.
        tier: of the first module, where it is to be a certain one.
    """

    what: str
    edits: tuple[tuple[str, str, str], ...]
    seen: dict[str, tuple[int, str | None]]
    tier: str = ""


_RUN = """
def module_of(path):
    return path[:-3].replace("/", ".").removesuffix(".__init__")

def see(request):
    method, path = request.split(" ", 1)
    try:
        status, body = ask(method, path)
    except Exception as error:
        return [500, type(error).__name__]
    return [status, body]

originals = {}
for number, (what, edits, seen, tier) in enumerate(TABLE):
    before = {request: see(request) for request in seen}
    every = {request: see(request) for request in ALWAYS}
    sources = {}
    for path, old, new in edits:
        text = sources.get(path)
        if text is None:
            text = open(path).read() if old else ""
        assert not old or old in text, (what, old)
        sources[path] = text.replace(old, new, 1) if old else new
    sent = [{"name": module_of(path), "source": text, "filename": os.path.abspath(path),
             "digest": "sha256:" + "0" * 64} for path, text in sources.items()]
    operations = [{"reimport": {"name": each["name"], "mode": "REIMPORT_MODE_PATCH", "modules": [each]}} for each in sent]
    result = change(*operations)
    assert result["outcome"] == "OUTCOME_APPLIED", (what, result)
    after = {request: see(request) for request in seen}
    for request, (status, body) in seen.items():
        assert after[request][0] == status and (body is None or body in after[request][1]), (what, request, after[request])
    assert after != before, (what, "nothing was to be seen", before)
    tiers = {each["name"]: each.get("tier") for each in result["modules"]}
    assert not tier or tiers[sent[0]["name"]] == f"TIER_{tier}", (what, tiers)
    back = change(undo())
    assert back["outcome"] == "OUTCOME_APPLIED", (what, back)
    now = {request: see(request) for request in seen}
    assert now == before, (what, "undo", before, now)
    assert {request: see(request) for request in ALWAYS} == every, (what, "undo")
    # Once more, and a failure in the middle leaves nothing behind.
    broken = [dict(each, source=each["source"] + "\\nraise RuntimeError('late')\\n") for each in sent[-1:]]
    bad = change(*operations[:-1], {"reimport": {"name": broken[0]["name"], "mode": "REIMPORT_MODE_PATCH", "modules": broken}})
    assert bad["outcome"] == "OUTCOME_FAILED", (what, bad)
    now = {request: see(request) for request in seen}
    assert now == before, (what, "failure", before, now)
print("fixes:", len(TABLE))
"""


def run(world: World, files: dict[str, str], begin: str, table: list[Fix], always: list[str]) -> None:
    """Runs a table against a service.

    Args:
        world: where.
        files: the service.
        begin: Python that imports it and defines ask(method, path) → (status, body).
        table: the hot-fixes.
        always: requests that must be answered the same before and after each.
    """
    rows = json.dumps([[fix.what, fix.edits, fix.seen, fix.tier] for fix in table])
    code = f"TABLE = json.loads({rows!r})\nALWAYS = {always!r}\n{begin}\n{_RUN}"
    told = world.run(code, files)
    assert f"fixes: {len(table)}" in told
