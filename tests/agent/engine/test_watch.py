"""Watching the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.engine_world import World

FILES = {"app.py": "X = 1\n", "other.py": "Y = 1\n"}
HELP = """
def events(watch):
    return [(event["type"].removeprefix("MODULE_EVENT_TYPE_"), event["module"]["name"], event["revision"])
            for body in watch.poll() for event in json.loads(body)["events"]]
"""


def test_what_happens_to_entries_is_told_once_with_the_revision_that_did_it(world: World) -> None:
    world.run(
        HELP
        + """
narrow = engine.watch(["oth*"], None)
watch = engine.watch([], None)
assert events(watch) == []
import app
assert events(watch) == [("ADDED", "app", 0)]
assert events(watch) == []
applied(reimport("app"))
assert events(watch) == [("REPLACED", "app", 1)]
applied(evict("app"))
assert events(watch) == [("REMOVED", "app", 2)]
applied(undo())
assert events(watch) == [("ADDED", "app", 3)]
importlib.reload(sys.modules["app"])
assert events(watch) == [("CHANGED", "app", 0)]
del sys.modules["app"]
assert events(watch) == [("REMOVED", "app", 0)]
applied(load("other"))
assert events(watch) == [("ADDED", "other", 4)]
assert events(narrow) == [("ADDED", "other", 4)]
watch.close()
""",
        FILES,
    )


def test_a_reload_by_the_program_is_seen_without_anybody_listing(world: World) -> None:
    world.run(
        HELP
        + """
import app
watch = engine.watch([], None)
importlib.reload(app)
assert events(watch) == [("CHANGED", "app", 0)]
""",
        FILES,
    )


def test_missed_revisions_are_told_first_or_said_to_be_gone(world: World) -> None:
    world.run(
        HELP
        + """
for operation in (load("app"), reimport("app"), evict("app"), load("other")):
    applied(operation)
assert events(engine.watch([], 1)) == [("REPLACED", "app", 2), ("REMOVED", "app", 3), ("ADDED", "other", 4)]
assert events(engine.watch([], 4)) == []
for _ in range(25):
    applied(reimport("other"))
for number in (3, 500):
    try:
        engine.watch([], number)
    except RequestError as error:
        assert error.reason == "REVISION_GONE" and error.metadata["oldest"] == "10"
    else:
        raise AssertionError(number)
""",
        FILES,
    )
