"""The steps of a rollout that only look: preflight, the look after a soak, and asking everybody what they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modctl.client.rollout.decide import allowed_failures
from modctl.client.rollout.state import MAY_HAVE_IT, Entry, Wave
from modctl.client.rollout.waves import divide

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modctl.client.rollout.port import Answer, Made, Sighted, Sighting
    from modctl.client.rollout.runner import Runner

#: How often a process is asked what it has before it counts as one that cannot be asked.
ASK_TIMES = 3
#: What never took effect is sent so often.
SENDINGS = 2
#: What a change may take beyond the bound on its execution before "not in the history" means "did not happen", in
#: seconds.
SETTLE_MARGIN_S = 5.0


async def preflight(runner: Runner) -> None:
    """Finds out who is there and who could take the change; divides them into waves. Nothing is changed."""
    state, spec = runner.state, runner.spec
    sighting = await runner.port.survey()
    state.entries = {each.process: _entry(each, joined=False) for each in in_order(sighting.processes)}
    for target, why in sighting.silent.items():
        state.entries[target] = Entry(target, target, phase="EXCLUDED", failure=why or "no answer")
    state.frozen_total = len(state.entries)
    if not state.entries:
        state.status, state.message = "REJECTED", "no process was found"
        return
    await plan(runner, [entry for entry in state.entries.values() if entry.phase == "WAITING"])
    if why := _rejection(runner):
        state.status, state.message = "REJECTED", f"preflight: {why}; nothing was changed"
        return
    keys = [(entry.target, entry.process) for entry in state.in_phase("WAITING")]
    state.waves = [Wave(name, members) for name, members in divide(keys, spec)]
    state.status = "RUNNING"
    if not state.waves:
        failed = f", {len(state.failures)} failed" if state.failures else ""
        state.status, state.message = "DONE", f"everybody who answered has it already{failed}"


def in_order(processes: Sequence[Sighted]) -> list[Sighted]:
    """Target by target as they were named; of each the masters last: whom they fork afterwards has the new code."""
    targets: dict[str, list[Sighted]] = {}
    for each in processes:
        targets.setdefault(each.target, []).append(each)
    return [each for group in targets.values() for each in sorted(group, key=lambda one: one.role == "MASTER")]


async def plan(runner: Runner, entries: Sequence[Entry]) -> None:
    """Asks them whether they could take the change."""
    by_process = {entry.process: entry for entry in entries}
    answers = {each.process: each for each in await runner.port.plan([(one.target, one.process) for one in entries])}
    known = _versions(runner.state.entries.values()) if any(entry.joined for entry in entries) else {}
    for process, entry in by_process.items():
        answer = answers.get(process)
        entry.planned = True
        if answer is None:
            entry.phase, entry.failure = "EXCLUDED", "no answer"
        elif answer.outcome == "UNCHANGED":
            entry.phase = "UNCHANGED"
        elif answer.outcome != "PLANNED":
            entry.phase, entry.failure = "EXCLUDED", _told(answer)
        else:
            entry.before = dict(answer.before)
            if not runner.spec.allow_mixed and (odd := _odd(entry.before, known)):
                entry.phase, entry.failure = "EXCLUDED", f"joined with another version of {odd}"


def _told(answer: Answer) -> str:
    return f"{answer.outcome}: {answer.why or answer.reason or 'no reason was given'}"


def _rejection(runner: Runner) -> str:
    state, spec = runner.state, runner.spec
    if not spec.allow_mixed:
        for name, digests in _versions(state.entries.values()).items():
            if len(digests) > 1:
                return (
                    f"{name} runs in {len(digests)} versions; `modctl drift {name}` shows them, --allow-mixed goes on"
                )
        odd = [entry for entry in state.failures if "BASE_DIFFERS" in entry.failure]
        if odd:
            return f"{len(odd)} run another base than the change was made for ({odd[0].process}: {odd[0].failure})"
    allowed = allowed_failures(state, spec)
    if len(state.failures) > allowed:
        first = state.failures[0]
        return (
            f"{len(state.failures)} of {state.frozen_total} failed and {allowed} may "
            f"(--max-failures {spec.max_failures}); {first.process}: {first.failure}"
        )
    return ""


def _versions(entries: Iterable[Entry]) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for entry in entries:
        for name, digest in entry.before.items():
            if digest:
                versions.setdefault(name, set()).add(digest)
    return versions


def _odd(before: Mapping[str, str], known: Mapping[str, set[str]]) -> str:
    return next((name for name, digest in before.items() if digest and name in known and digest not in known[name]), "")


async def look(runner: Runner) -> None:
    """Sees, after a soak, who of those that were changed is still there, and who came."""
    state = runner.state
    sighting = await runner.port.survey()
    there = {each.process for each in sighting.processes}
    came = _welcome(runner, sighting)
    new = [(entry.target, entry.process) for entry in state.in_phase("WAITING") if entry.joined and not entry.planned]
    if new:
        # Who was forked from a process that has it has it too, and it is ours to take back.
        for process, made in (await runner.port.history(new, f"{state.rollout}.change.")).items():
            _believe(state.entries[process], made, settled=True)
    for entry in state.in_phase("CHANGED", "UNKNOWN"):
        if entry.target in sighting.silent:
            entry.phase = "UNKNOWN"
            entry.failure = f"changed, and cannot be reached since: {sighting.silent[entry.target]}"
        elif entry.process not in there:
            _leave(entry, came)
        elif entry.phase == "UNKNOWN":
            state.reconcile = True
    for entry in state.in_phase("WAITING", "UNCHANGED"):
        if entry.target not in sighting.silent and entry.process not in there:
            entry.phase = "LEFT"
    state.waves[state.wave].looked = True


def _leave(entry: Entry, came: dict[str, int]) -> None:
    # A server that recycles its workers is well; one that loses them after a change is not.
    entry.phase, entry.failure = "LEFT", ""
    if came.get(entry.target, 0) > 0:
        came[entry.target] -= 1
    else:
        entry.failure = "ended after it was sent the change, and nothing took its place"


def _welcome(runner: Runner, sighting: Sighting) -> dict[str, int]:
    """Takes in who is new; returns how many came, by target."""
    came: dict[str, int] = {}
    entries = runner.state.entries
    for each in in_order(sighting.processes):
        if each.process not in entries:
            entries[each.process] = _entry(each, joined=True)
            came[each.target] = came.get(each.target, 0) + 1
            entries.pop(each.target, None)  # the target that was silent has an answer now
    return came


def _entry(each: Sighted, joined: bool) -> Entry:
    return Entry(each.target, each.process, each.service, each.pid, joined=joined)


async def reconcile(runner: Runner) -> None:
    """Asks everybody what they have, and believes them and not the file.

    Whoever was sent the change and has it not in its history, after the time in which it could have come, has not
    got it.
    """
    state, clock = runner.state, runner.clock
    settled_at_unix_s = _settled_at(runner)
    if (left_s := settled_at_unix_s - clock.now_unix_s()) > 0 and state.in_phase("SENDING"):
        # Most have it by now. Only for the others the time is waited for.
        await _ask_all(runner, settled=False)
        if state.in_phase("SENDING"):
            await clock.sleep(left_s)
    for attempt in range(ASK_TIMES):
        await _ask_all(runner, settled=True)
        if not state.in_phase("SENDING", "UNDOING"):
            break
        if attempt + 1 < ASK_TIMES:
            await clock.sleep(1.0)
    for entry in state.in_phase("SENDING", "UNDOING"):
        entry.phase = "UNKNOWN"
        entry.failure = entry.failure or "sent, and neither an answer nor its history can be had"
    state.reconcile = False


def _settled_at(runner: Runner) -> float:
    sent_at = [entry.sent_at_unix_s for entry in runner.state.in_phase("SENDING")]
    return max(sent_at, default=0.0) + runner.spec.execution_timeout_s + SETTLE_MARGIN_S


async def _ask_all(runner: Runner, settled: bool) -> None:
    state = runner.state
    sighting = await runner.port.survey()
    came = _welcome(runner, sighting)
    there = {each.process for each in sighting.processes}
    where = [(each.target, each.process) for each in sighting.processes]
    history = await runner.port.history(where, f"{state.rollout}.change.")
    for entry in list(state.entries.values()):
        if entry.process in there:
            if entry.process in history:
                _believe(entry, history[entry.process], settled)
        elif entry.target not in sighting.silent and entry.phase in MAY_HAVE_IT:
            _leave(entry, came)
        elif entry.target not in sighting.silent and entry.phase == "WAITING":
            entry.phase = "LEFT"


def _believe(entry: Entry, made: Sequence[Made], settled: bool) -> None:
    standing = [each for each in made if each.standing]
    if standing:
        if entry.phase in ("SENDING", "UNKNOWN"):
            entry.failure = ""
        entry.phase, entry.revision = "CHANGED", standing[0].revision
    elif entry.phase in MAY_HAVE_IT and made:
        if entry.phase == "CHANGED":
            entry.failure = entry.failure or "somebody else took the change back"
        entry.phase = "UNDONE"
    elif entry.phase == "UNDOING":
        entry.phase = "STUCK"  # its history does not know the change any more, so that it cannot say either
    elif entry.phase in ("SENDING", "UNKNOWN") and settled:
        entry.attempt += 1
        if entry.attempt < SENDINGS:
            entry.phase, entry.failure = "WAITING", ""
        else:
            entry.phase, entry.failure = "FAILED", "sent, and it did not take effect"
