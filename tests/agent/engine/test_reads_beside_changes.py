"""The thread that reads goes on while another changes: nothing that it walks over may change under its feet.

Threads take turns a million times a second here, so that what happens once in a hundred thousand listings of a busy
service happens within seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.engine_world import World

CASE = """
import traceback
errors, done = [], []

def guarded(work):
    def run():
        count = 0
        while time.monotonic() < until:
            try:
                work(count)
            except RequestError as error:
                if error.reason not in ("BUSY", "REVISION_GONE"):
                    errors.append(traceback.format_exc())
            except BaseException:
                errors.append(traceback.format_exc())
            if errors:
                return
            count += 1
        done.append(count)
    return run

def changes(count):
    {changes}

def reads(count):
    {reads}

applied(*(inject(f"there{{number}}", "") for number in range(300)))  # something to walk over
list(engine.answer({{"op": "list_modules"}}))
sys.setswitchinterval(1e-6)
until = time.monotonic() + 4.0
threads = [threading.Thread(target=guarded(changes)), threading.Thread(target=guarded(reads))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not errors, errors[0]
assert len(done) == 2 and min(done) > 0, done
"""
CHANGES = {
    "inject and evict": """
    names = [f"made{number}" for number in range(20)]
    applied(*(inject(name, "") for name in names))
    applied(*(evict(name) for name in names))
    """,
    "times to live": """
    change(*(inject(f"short{number}", "", ttl_s=0.001, replace=True) for number in range(5)))
    change(inject("unsure", "", replace=True), confirm_within_s=0.002)
    change(inject("unsure", "", replace=True), confirm_within_s=60)
    engine.expire()
    change(undo())
    """,
    "prepare and abandon": """
    for number in range(8):
        engine.change({"op": "prepare", "request_id": f"p{number}", "identity": "me", "lease_s": 0.05,
                       "operations": [inject("held", "", replace=True)]})
    for number in range(8):
        engine.change({"op": "abandon", "request_id": f"p{number}", "identity": "me"})
    """,
}
READS = {
    "list": """
    rows = [row["name"] for batch in answer("list_modules") for row in batch["modules"]]
    assert len(rows) == len(set(rows)) > 300
    """,
    "wait, watch and confirm": """
    for _ in range(20):
        engine.next_expiry_s()
    watch = engine.watch([], max(0, engine.revision - 3))
    watch.poll()
    watch.close()
    answer("list_revisions", limit=5)
    answer("confirm", revision=0)
    """,
}


@pytest.mark.parametrize("reads", READS)
@pytest.mark.parametrize("changes", CHANGES)
def test_reads_beside_changes_are_whole(world: World, changes: str, reads: str) -> None:
    world.run(CASE.format(changes=CHANGES[changes].strip(), reads=READS[reads].strip()))
