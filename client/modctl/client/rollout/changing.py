"""The steps of a rollout that change processes: sending a wave, and taking back what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modctl.client.rollout.decide import allowed_failures, due
from modctl.client.rollout.port import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.rollout.runner import Runner
    from modctl.client.rollout.state import Entry

#: Before those who could not undo the change are asked again, in seconds.
PAUSE_BETWEEN_UNDO_ROUNDS_S = 1.0


async def send(runner: Runner, entries: Sequence[Entry]) -> None:
    """Brings the change to processes of one wave: at once where they can be prepared, else a few at a time.

    A few: never so many at once that more could fail than one beyond what is allowed.
    """
    state = runner.state
    wave = state.waves[state.wave]
    wave.began_at_unix_s = wave.began_at_unix_s or runner.clock.now_unix_s()
    for attempt in sorted({entry.attempt for entry in entries}):
        group = [entry for entry in entries if entry.attempt == attempt]
        request_id = f"{state.rollout}.change.{attempt}"
        if not (runner.spec.two_phase and await _two_phase(runner, group, request_id)):
            await _few_at_a_time(runner, group, request_id)
        if _too_many(runner):
            return
    wave.looked = wave.checked = False
    if not due(state):
        wave.soak_until_unix_s = runner.clock.now_unix_s() + runner.spec.soak_s


def _too_many(runner: Runner) -> bool:
    return len(runner.state.failures) > allowed_failures(runner.state, runner.spec)


async def _few_at_a_time(runner: Runner, entries: Sequence[Entry], request_id: str) -> None:
    rest = list(entries)
    while rest and not _too_many(runner) and not runner.state.reconcile:
        room = allowed_failures(runner.state, runner.spec) - len(runner.state.failures) + 1
        batch, rest = rest[:room], rest[room:]
        _sending(runner, batch)
        _take_answers(runner, batch, await runner.port.change(_where(batch), request_id))
        runner.save()


async def _two_phase(runner: Runner, entries: Sequence[Entry], request_id: str) -> bool:
    """Prepares all, then commits all. False where somebody does not know how: nothing was changed then."""
    port, spec = runner.port, runner.spec
    answers = _one_each(entries, await port.prepare(_where(entries), request_id, spec.lease_s))
    prepared = [entry for entry in entries if answers[entry.process].outcome == "PREPARED"]
    if any(answer.outcome == "UNSUPPORTED" for answer in answers.values()):
        if prepared:
            await port.abandon(_where(prepared), request_id)
        return False
    for entry in entries:
        answer = answers[entry.process]
        if answer.outcome == "UNCHANGED":
            entry.phase = "UNCHANGED"
        elif answer.outcome == "APPLIED":
            entry.phase, entry.revision = "CHANGED", answer.revision  # an earlier run got so far
        elif answer.outcome != "PREPARED":
            # Without a commit nothing changes, whatever became of the request.
            entry.phase, entry.failure = "FAILED", _told(answer)
    if _too_many(runner):
        await port.abandon(_where(prepared), request_id)
        return True
    if prepared:
        _sending(runner, prepared)
        _take_answers(runner, prepared, await port.commit(_where(prepared), request_id))
        runner.save()
    return True


def _where(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    return [(entry.target, entry.process) for entry in entries]


def _sending(runner: Runner, entries: Sequence[Entry]) -> None:
    for entry in entries:
        entry.phase, entry.sent_at_unix_s = "SENDING", runner.clock.now_unix_s()
    runner.save()


def _one_each(entries: Sequence[Entry], answers: Sequence[Answer]) -> dict[str, Answer]:
    known = {answer.process: answer for answer in answers}
    return {
        entry.process: known.get(entry.process) or Answer(entry.process, "UNKNOWN", "no answer") for entry in entries
    }


def _told(answer: Answer) -> str:
    return f"{answer.outcome}: {answer.why or answer.reason or 'no reason was given'}"


def _take_answers(runner: Runner, entries: Sequence[Entry], answers: Sequence[Answer]) -> None:
    switched_at: list[float] = []
    for entry in entries:
        answer = _one_each([entry], answers)[entry.process]
        if answer.outcome == "APPLIED":
            entry.phase, entry.revision, entry.failure = "CHANGED", answer.revision, ""
            if answer.switched_at_unix_s:
                switched_at.append(answer.switched_at_unix_s)
        elif answer.outcome == "UNCHANGED":
            entry.phase = "UNCHANGED"
        elif answer.outcome in ("UNKNOWN", "TIMED_OUT"):
            runner.state.reconcile = True  # stays SENDING until it was asked
        else:
            entry.phase, entry.failure = "FAILED", _told(answer)
    if len(switched_at) > 1:
        wave = runner.state.waves[runner.state.wave]
        wave.spread_ms = round((max(switched_at) - min(switched_at)) * 1000, 3)


async def undo(runner: Runner, waves: Sequence[Sequence[Entry]]) -> None:
    """Takes the change back, newest wave first; afterwards everybody is asked what they have."""
    state = runner.state
    if state.undo_rounds:
        await runner.clock.sleep(PAUSE_BETWEEN_UNDO_ROUNDS_S)
    for entries in waves:
        for attempt in sorted({entry.undo_attempt for entry in entries}):
            group = [entry for entry in entries if entry.undo_attempt == attempt]
            for entry in group:
                entry.phase = "UNDOING"
            runner.save()
            revisions = {(entry.target, entry.process): entry.revision for entry in group}
            answers = _one_each(group, await runner.port.undo(revisions, f"{state.rollout}.undo.{attempt}"))
            for entry in group:
                answer = answers[entry.process]
                if answer.outcome in ("APPLIED", "UNCHANGED"):
                    entry.phase, entry.failure = "UNDONE", entry.failure.partition("undo: ")[0]
                elif answer.outcome not in ("UNKNOWN", "TIMED_OUT"):
                    entry.phase, entry.failure = "CHANGED", f"undo: {_told(answer)}"
                    entry.undo_attempt += 1
            runner.save()
    state.undo_rounds += 1
    state.reconcile = True
