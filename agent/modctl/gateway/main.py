"""The gateway's process.

It is started inside somebody's service, so: it leaves the service's process at once (the one that was started exits 0
whatever happens, as a host that reaps it may judge by that), keeps none of its descriptors, and is in nobody's way when
it dies. It listens before it imports grpc, which takes most of the time: an agent's connection waits in the backlog.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.gateway.claim import Claim
    from modctl.gateway.thread import ThreadGateway

_log = logging.getLogger("modctl.gateway")

DEFAULT_GRACE_S: Final = 5.0
#: The loop is to have the interpreter soon when another thread is computing.
SWITCH_INTERVAL_S: Final = 0.001
#: A change of a hundred processes makes some ten thousand objects, and leaves few.
COLLECT_AFTER: Final = 10_000


def main(argv: Sequence[str]) -> int:
    """Runs a gateway; returns its exit code.

    Without --foreground the process that calls this ends here, with 0, and its child goes on.
    """
    if "--foreground" not in argv and not _leave():
        return 0
    _close_inherited()
    options = _parser().parse_args(list(argv))
    return run(options.instance_dir, options.service, options.grace)


def run(instance_dir: str, service: str, grace_s: float) -> int:
    """Serves in this process until it is time to leave.

    Returns:
        0, also where another gateway has the instance; 1 where it cannot serve.
    """
    from modctl.gateway.claim import Claim
    from modctl.gateway.errors import ClaimError, TakenError

    os.umask(0o077)
    os.chdir("/")
    try:
        claim = Claim(instance_dir)
    except TakenError:
        return 0
    except ClaimError as error:
        sys.stderr.write(f"modctl.gateway: {error}\n")
        return 1
    try:
        from modctl.gateway import log

        log.to_file(claim.instance_dir)
        return _serve(claim, service, grace_s)
    except BaseException:  # noqa: BLE001 - the last words: there is nobody else to hear them
        _log.exception("the gateway ended")
        return 1
    finally:
        claim.release()


def _serve(claim: Claim, service: str, grace_s: float) -> int:
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # nothing here forks without exec
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    warnings.simplefilter("ignore", SyntaxWarning)  # of sources that are compiled here; their process will say them
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _raise_file_limit()

    import asyncio

    from modctl.gateway import footprint
    from modctl.gateway.gateway import Gateway

    footprint.bound()

    async def live() -> None:
        gateway = Gateway(claim, service, grace_s)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, gateway.drain, f"signal {number.name}")
        loop.add_signal_handler(signal.SIGUSR1, gateway.freezer.freeze, "by a signal to the gateway")
        loop.add_signal_handler(signal.SIGUSR2, gateway.freezer.thaw, "by a signal to the gateway")
        keeping = [asyncio.ensure_future(each) for each in (footprint.keep_small(), gateway.strangers.keep())]
        await gateway.run(_settle)
        for each in keeping:
            each.cancel()

    asyncio.run(live())
    # Threads that wait for a disk that hangs would hold the interpreter's end for ever.
    logging.shutdown()
    claim.release()
    os._exit(0)


def _settle() -> None:
    """Spares the collector what was made until now, most of the heap, which stays until the end."""
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])


def _leave() -> bool:
    """Goes on as a child in a session of its own; False in the process that was started."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        return False
    os.setsid()
    return True


def _close_inherited() -> None:
    """Closes every descriptor of the host's that came along."""
    try:
        inherited = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        inherited = list(range(3, 4096))
    for fd in inherited:
        if fd > 2:
            with contextlib.suppress(OSError):  # the one that listed them is closed already
                os.close(fd)


def _raise_file_limit() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):
            _log.warning("the limit of %d open files cannot be raised", soft)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m modctl.gateway", description="One gateway of one service instance; started by its agents."
    )
    parser.add_argument("--instance-dir", required=True, help="the instance's private directory")
    parser.add_argument("--service", required=True, help="the service's name")
    parser.add_argument(
        "--grace", type=float, default=DEFAULT_GRACE_S, metavar="SECONDS", help="how long to stay without any process"
    )
    parser.add_argument("--foreground", action="store_true", help="do not leave the process that starts it")
    return parser


def serve_in_thread(instance_dir: str, service: str, grace_s: float = DEFAULT_GRACE_S) -> ThreadGateway:
    """Runs the same gateway in a thread of this process: see modctl.gateway.thread."""
    from modctl.gateway.thread import serve_in_thread as serve

    return serve(instance_dir, service, grace_s)
