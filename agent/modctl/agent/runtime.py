"""The agent of one process: its thread, what it waits for, and how the thread is stopped for a fork and goes on after.

One raw daemon thread polls two descriptors, the connection and a waker, and sleeps while nothing happens. All state
lives in this object and none on the thread's stack, so the thread can end at any turn of its loop and another can go on
where it was: that is what `pause()` and `resume()` do around a fork, and succession.py for a change that has to wait.
"""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from modctl.agent import standby
from modctl.agent.descriptors import Waker, send_note
from modctl.agent.dialer import Dialer
from modctl.agent.identity import ROLE_MAIN, ROLE_MASTER, ROLE_WORKER, Identity, clean_text
from modctl.agent.jobs import Jobs
from modctl.agent.log import DEBUG, ERROR, log
from modctl.agent.primitives import (
    POLLIN,
    POLLOUT,
    all_signals,
    allocate_lock,
    get_ident,
    get_native_id,
    poll,
    set_signal_mask,
    start_deaf_thread,
)
from modctl.agent.serving import Requests
from modctl.agent.succession import Succeeded, Succession
from modctl.agent.wire import PROTOCOL_VERSION, Wire, WireClosedError, parse_body

if TYPE_CHECKING:
    from modctl.agent.descriptors import OwnedSocket
    from modctl.agent.ports import EnginePort
    from modctl.agent.settings import Settings

#: A forked child dials so much later: many exec or exit at once.
CHILD_DELAY_S: Final = 0.2
#: A connection that is not welcomed by then is given up: its gateway hangs.
WELCOME_S: Final = 30.0
#: The longest sleep: a host may close the waker's descriptors, and then nothing else would end it.
LONGEST_SLEEP_S: Final = 30.0
_REAP_S: Final = 0.05


class Runtime:
    """One process's agent.

    Args:
        settings: what start() was told.
        engine: who answers.
        dialer: who connects; default: by settings.

    Attributes:
        identity: who this process is.
        addresses: what the gateway serves; empty while there is none.
        pid: the process that this state belongs to.
    """

    def __init__(self, settings: Settings, engine: EnginePort, dialer: Dialer | None = None) -> None:
        self.settings = settings
        self.engine = engine
        self._dialer = dialer or Dialer(settings)
        self._role = ROLE_MAIN
        self._forker_pid = 0
        self._parent_note: OwnedSocket | None = None
        self._waiters: list[Any] = []
        self._fresh()

    def _fresh(self) -> None:
        """What belongs to one process and cannot be inherited."""
        self.pid = os.getpid()
        self.identity = Identity(self.settings)
        self.addresses: tuple[str, ...] = ()
        self._lock = allocate_lock()
        self._running = False
        self._holding = False
        self._stopping = False
        self._ended = allocate_lock()
        self._native_id = 0
        self._ident = 0
        self._waker = Waker()
        self._jobs = Jobs(self.wake)
        self._succession = Succession(self.pid, self._jobs, self._start_thread)
        self._wire: Wire | None = None
        self._requests: Requests | None = None
        self._welcomed = False
        self._welcome_by_s = 0.0
        self._told: dict[str, Any] = {}
        self._short_updates = False
        self._expiring = False
        self._waiters = []

    # From other threads.

    def start(self) -> None:
        """Starts the thread.

        Raises:
            RuntimeError: the system gives no thread.
        """
        with self._lock:
            if self._running:
                return
            self._holding = self._stopping = False
            self._ended = allocate_lock()
            self._ended.acquire()
            self._running = True
        try:
            self._start_thread()
        except RuntimeError:
            self._running = False
            raise

    def _start_thread(self) -> None:
        start_deaf_thread(self._main, (self.pid, self._ended))

    def adopt(self, forker_pid: int, *, has_forked: bool) -> None:
        """What happened in this process before there was an agent in it: who forked it, whether it has forked."""
        if has_forked:
            self._role = ROLE_MASTER
        elif forker_pid:
            self._role, self._forker_pid = ROLE_WORKER, forker_pid

    def stop(self, timeout_s: float = 1.0) -> bool:
        """Ends the thread and the connection; False where the thread is busy and ends later."""
        with self._lock:
            self._stopping = True
            running = self._running
        if running and self._ident != get_ident():
            if not self._waker.wake() or not self._ended.acquire(True, timeout_s):
                return False
            self._ended.release()
            _wait_until_gone(self._native_id)
        if not self._running:
            self._close()
        return True

    def pause(self, timeout_s: float) -> bool:
        """Ends the thread and keeps everything else, so that a fork finds this process without it.

        Returns:
            False where it is busy and goes on; a fork is safe then too, it only shows as a second thread.
        """
        deadline_s = monotonic() + timeout_s
        with self._lock:
            if not self._running:
                return True
            self._holding = True
        if not self._waker.wake() or not self._ended.acquire(True, max(0.0, timeout_s)):
            return False
        self._ended.release()
        _wait_until_gone(self._native_id)
        return self._jobs.wait_idle(deadline_s - monotonic()) if self._jobs.active else True

    def resume(self) -> None:
        """Undoes pause()."""
        with self._lock:
            self._holding = False
            if self._running or self._stopping:
                return
        self.start()

    def reborn(self) -> None:
        """In a forked child: lets go of what is the parent's and dials for itself, a little later."""
        note, waker, wire, dialer = self._parent_note, self._waker, self._wire, self._dialer
        self._forker_pid = self.pid
        self._role = ROLE_WORKER
        self._fresh()
        # The parent's waker is kept to tell it that it has become a master, once that is true.
        self._parent_note = waker.write_end
        waker.read_end.close()
        if note is not None:
            note.close()
        if wire is not None:
            wire.close()
        dialer.abandon()
        standby.after_fork_in_child()
        self._dialer = Dialer(self.settings)
        self._dialer.hold_off(CHILD_DELAY_S)
        self.engine.after_fork_in_child()
        self.start()

    def busy_here(self) -> bool:
        """Whether the calling thread is one of the agent's own."""
        return (self._running and self._ident == get_ident()) or self._jobs.on_job_thread()

    def wake(self) -> bool:
        """Makes the thread look around."""
        return self._waker.wake()

    def wait_served(self, timeout_s: float) -> bool:
        """Waits until the gateway serves, or until it is clear that it will not soon; True if it serves."""
        news = allocate_lock()
        news.acquire()
        self._waiters.append(news)
        if not self._welcomed:
            self._dialer.hold_off(0.0)
            self.wake()
            if not self._dialer.definite:
                news.acquire(True, timeout_s)
        if news in self._waiters:
            self._waiters.remove(news)
        return self._welcomed

    @property
    def queued_at_s(self) -> float:
        """When it last waited for its turn to start a gateway, on the monotonic clock; 0 where there is nothing to
        wait for.
        """
        return 0.0 if self._dialer.definite else self._dialer.queued_at_s

    @property
    def problem(self) -> str | None:
        """Why there is no gateway, in words."""
        return None if self._welcomed else self._dialer.problem

    def describe(self) -> dict[str, Any]:
        """This process, as a modctl.v1.Process."""
        engine = self.engine
        if self._role == ROLE_WORKER and os.getppid() != self._forker_pid:
            self._role = ROLE_MAIN  # who forked it is gone: it daemonized
        return self.identity.process(
            role=self._role,
            revision=engine.revision,
            frozen=engine.frozen,
            frozen_reason=clean_text(engine.frozen_reason),
            entries=engine.entries,
        )

    # On the thread.

    def _main(self, pid: int, ended: Any) -> None:
        succeeded = False
        try:
            # A signal that this thread took would not interrupt the main thread's system call, and one that the host
            # waits for with sigwait() would kill the process.
            set_signal_mask(all_signals())
            self._ident, self._native_id = get_ident(), get_native_id()
            _name_thread()
            self.engine.start()
            self._loop(pid)
            if self._stopping:
                self._close()
        except Succeeded:
            succeeded = True
        except BaseException as error:  # noqa: BLE001 - a raw thread has nobody above it, and would print
            self._crashed(error)
        finally:
            if os.getpid() != pid:
                # Code that the engine ran forked and came back in the child, on what is now its main thread. The
                # child has an agent of its own; there is nothing here for this thread to go on with.
                os._exit(70)
            if not succeeded:
                ended.release()

    def _loop(self, pid: int) -> None:
        while not self._leave() and os.getpid() == pid:
            self._safe_turn()

    def _safe_turn(self) -> None:
        try:
            self._sleep(self._turn())
        except WireClosedError as error:
            self._lost(str(error))
        except Exception as error:  # noqa: BLE001 - a fault of ours: a new connection starts afresh, ever more slowly
            log(ERROR, "the agent failed and starts afresh", error=error)
            self._hang_up()
            self._dialer.failed(f"the agent failed: {error!r}")

    def _leave(self) -> bool:
        if not (self._holding or self._stopping):
            return False
        with self._lock:
            if not (self._holding or self._stopping):
                return False
            self._running = False
            return True

    def _crashed(self, error: BaseException) -> None:
        with self._lock:
            self._running = False
        log(ERROR, "the agent's thread ended by an error of its own; this process is not served any more", error=error)
        self._dialer.problem, self._dialer.definite = f"the agent's thread ended: {error!r}", True
        self._hang_up()
        self._tell_waiters()

    def _turn(self) -> float:
        """One turn of the loop but the sleep; seconds to sleep at most."""
        if not self._waker.ours():
            self._waker.close()
            self._waker = Waker()
        timeout_s = LONGEST_SLEEP_S
        while self._jobs.finished:
            self._collect()
        if self._wire is None:
            step = self._dialer.step()
            if isinstance(step, Wire):
                self._connected(step)
            else:
                if self._dialer.definite:
                    self._tell_waiters()
                timeout_s = min(timeout_s, step)
        if self._requests is not None and self._requests.has_small:
            requests = self._requests
            answer = self._succession.make_small(requests)
            if self._wire is not None:
                requests.deliver(answer, self._wire)
            if requests.has_small:
                timeout_s = 0.0
        if self._wire is not None:
            timeout_s = min(timeout_s, self._serve(self._wire))
        return min(timeout_s, self._expire())

    def _serve(self, wire: Wire) -> float:
        assert self._requests is not None
        self._requests.poll_watches(wire)
        self._requests.pump(wire)
        self._tell_changes(wire)
        if wire.flush() and self._requests.unfinished:
            return 0.0  # the socket took all there was: make more, after a look at what else is to be done
        if not self._welcomed:
            left_s = self._welcome_by_s - monotonic()
            if left_s <= 0:
                raise WireClosedError(f"the gateway (pid {wire.peer_pid}) did not say welcome within {WELCOME_S:g} s")
            return left_s
        next_poll_s = self._requests.next_poll_s()
        return LONGEST_SLEEP_S if next_poll_s is None else next_poll_s

    def _sleep(self, timeout_s: float) -> None:
        if self._dialer.has_children:
            timeout_s = min(timeout_s, _REAP_S)
        poller = poll()
        poller.register(self._waker.read_end.fd, POLLIN)
        if self._wire is not None:
            poller.register(self._wire.fd, POLLIN | (POLLOUT if self._wire.pending_bytes else 0))
        for fd, events in poller.poll(max(0, int(timeout_s * 1000 + 0.999))):
            if fd == self._waker.read_end.fd:
                if Waker.NOTE_WORKER in self._waker.drain():
                    self._role = ROLE_MASTER
            elif self._wire is not None and events & ~POLLOUT:
                self._receive(self._wire)
        if self._wire is None:
            self._dialer.reap()

    def _receive(self, wire: Wire) -> None:
        for frame in wire.receive():
            if frame.request_id == 0:
                self._own_frame(wire, frame.body)
            elif self._requests is not None:
                self._requests.begin(frame, wire)

    def _own_frame(self, wire: Wire, body: bytes) -> None:
        try:
            fields = parse_body(body)
        except ValueError as error:
            raise WireClosedError(f"the gateway sent what is no message: {error}") from error
        if "ping" in fields:
            wire.tell({"pong": fields["ping"]})
        if isinstance(fields.get("welcome"), dict):
            self._welcome(fields["welcome"])
        if isinstance(fields.get("refused"), dict):
            self._hang_up()
            self._dialer.refused(str(fields["refused"].get("message")))
            self._tell_waiters()

    def _welcome(self, welcome: dict[str, Any]) -> None:
        self._short_updates = welcome.get("short_updates") is True
        addresses = welcome.get("addresses")
        self.addresses = tuple(str(one) for one in addresses) if isinstance(addresses, list) else ()
        if not self._welcomed:
            self._welcomed = True
            self._dialer.welcomed()
            if self._parent_note is not None:
                if os.getppid() == self._forker_pid:
                    send_note(self._parent_note, Waker.NOTE_WORKER)
                self._parent_note.close()
                self._parent_note = None
        self._tell_waiters()

    def _connected(self, wire: Wire) -> None:
        self._wire = wire
        self._requests = Requests(self.engine, self._jobs, self.describe)
        self._welcomed = False
        self._welcome_by_s = monotonic() + WELCOME_S
        self._told = self.describe()
        settings = self.settings
        hello = {
            "v": PROTOCOL_VERSION,
            "process": self._told,
            "listen": list(settings.listen),
            "tls": settings.tls._asdict() if settings.tls is not None else None,
            "token_file": settings.token_file,
            "insecure": settings.insecure,
            "policy": settings.policy.file if settings.policy is not None else None,
            "nats": settings.nats,
            "attachments": True,
            "attached_code": True,
        }
        wire.tell({"hello": hello})

    def _tell_changes(self, wire: Wire) -> None:
        told, engine = self._told, self.engine
        now = (self._role, engine.revision, engine.frozen)
        if now == (told.get("role"), told.get("revision"), told.get("frozen")):
            return
        if self._short_updates and (now[0], now[2]) == (told.get("role"), told.get("frozen")):
            short = {"revision": now[1], "entries": engine.entries}
            self._told = {**told, **short}
            wire.tell({"update": short})
        else:
            process = self.describe()
            if process != told:
                self._told = process
                wire.tell({"update": {"process": process}})

    def _collect(self) -> None:
        finished = self._jobs.finished.popleft()
        if finished.owner is self:
            self._expiring = False
        elif self._requests is not None and finished.owner is self._requests and self._wire is not None:
            self._requests.deliver(finished.result, self._wire)

    def _expire(self) -> float:
        due_s = self.engine.next_expiry_s()
        if due_s is None or self._expiring:
            return LONGEST_SLEEP_S
        if due_s > 0:
            return due_s
        self._expiring = self._jobs.start(self, self._take_back)
        return LONGEST_SLEEP_S if self._expiring else 1.0

    def _take_back(self) -> None:
        try:
            self.engine.expire()
        except Exception as error:  # noqa: BLE001 - tried again with the next turn
            log(ERROR, "what was injected for a time could not be taken back", error=error)

    def _lost(self, why: str) -> None:
        log(DEBUG, "connection to the gateway lost: %s", why)
        peer_pid = self._wire.peer_pid if self._wire is not None else 0
        self._hang_up()
        self._dialer.lost(why, peer_pid)

    def _close(self) -> None:
        self._hang_up()
        self._dialer.abandon()
        self._waker.close()
        self._tell_waiters()

    def _hang_up(self) -> None:
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        self._welcomed = self._short_updates = False
        self.addresses = ()

    def _tell_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for news in waiters:
            news.release()


def _wait_until_gone(native_id: int) -> None:
    """Waits until the kernel has forgotten a thread that is at its end: microseconds, bounded to 20 ms."""
    file = f"/proc/self/task/{native_id}"
    deadline_s = monotonic() + 0.02
    while monotonic() < deadline_s:
        try:
            os.stat(file)
        except OSError:
            return
        os.sched_yield()


def _name_thread() -> None:
    """For top and ps: fifteen characters, all that the kernel keeps."""
    try:
        with open("/proc/thread-self/comm", "wb", 0) as stream:
            stream.write(b"modctl-agent")
    except OSError:
        return  # no /proc: it goes by the program's name
