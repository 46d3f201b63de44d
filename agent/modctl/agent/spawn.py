"""Starts a gateway for this service instance: finds an interpreter and leaves no child behind."""

from __future__ import annotations

import os
import posix  # what `os` offers of it gevent replaces by what needs a hub
import sys
from typing import TYPE_CHECKING, Final

from modctl.agent.primitives import KILL, STOP, all_signals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Seconds that a gateway stays without any process.
GRACE_S: Final = 5
#: What of the environment the gateway gets, besides MODCTL_*: where its home is and how it speaks.
PASSED_ON: Final = frozenset(
    {"HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV", "XDG_RUNTIME_DIR"}
)
_BOOTSTRAP: Final = "modctl.agent.bootstrap"


class NoInterpreterError(OSError):
    """No Python interpreter was found to run the gateway with."""


#: Ours, and OpenTelemetry's: they are the operator's words to the gateway.
_PASSED_ON_AS: Final = ("MODCTL_", "OTEL_")


def interpreters(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Interpreters that may run the gateway, the likeliest first.

    `sys.executable` is not one under uWSGI, mod_wsgi and in frozen programs. The base interpreter comes last, for it
    does not see what is installed in the environment. MODCTL_PYTHON, where set, is the only one.

    Returns:
        Absolute paths of existing, executable files; maybe none.
    """
    if chosen := environ.get("MODCTL_PYTHON"):
        return [chosen] if _runs(chosen) else []
    versioned = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates: list[str] = []
    if sys.executable and os.path.basename(sys.executable).startswith(("python", "pypy")):
        candidates.append(sys.executable)
    for prefix in (sys.prefix, environ.get("VIRTUAL_ENV"), sys.base_prefix):
        if prefix and not getattr(sys, "frozen", False):
            candidates += [os.path.join(prefix, "bin", name) for name in (versioned, "python3", "python")]
    if base := getattr(sys, "_base_executable", None):
        candidates.append(base)
    named = [one for one in candidates if os.path.basename(one).startswith(("python", "pypy")) and _runs(one)]
    return list(dict.fromkeys(named))


def spawn_gateway(interpreter: str, instance_dir: str, service: str, environ: Mapping[str, str] = os.environ) -> int:
    """Starts a gateway that is nobody's child once it runs.

    The process that is started forks and leaves at once with 0: wait for it, so that the host keeps no zombie.

    Returns:
        The process id to wait for.

    Raises:
        OSError: it cannot be started.
    """
    argv = [
        interpreter,
        "-I",
        *_script(),
        "--instance-dir",
        instance_dir,
        "--service",
        service,
        "--grace",
        str(GRACE_S),
    ]
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        # posix_spawn and not fork: no fork hook of the host's runs, and gevent's and eventlet's patches have no part.
        return posix.posix_spawn(
            interpreter,
            argv,
            gateway_environment(environ, sys.path),
            file_actions=[(posix.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)],
            # Out of the host's session and process group: Ctrl-C in its terminal is not meant for the gateway.
            setsid=True,
            # The agent's thread blocks every signal, and the host may ignore some.
            setsigmask=[],
            setsigdef=all_signals() - {KILL, STOP},
        )
    finally:
        os.close(null)


def gateway_environment(environ: Mapping[str, str], entries: Sequence[str]) -> dict[str, str]:
    """The gateway's environment: little of the host's, and where the host's modules are."""
    passed = {name: value for name, value in environ.items() if name in PASSED_ON or name.startswith(_PASSED_ON_AS)}
    # Relative entries mean the host's directory, and the gateway stands in another.
    passed["MODCTL_GATEWAY_PATH"] = os.pathsep.join(
        entry for entry in entries if isinstance(entry, str) and os.path.isabs(entry) and os.pathsep not in entry
    )
    return passed


def reap(pid: int) -> bool:
    """Waits for a child of ours without waiting; True when there is nothing left to wait for."""
    try:
        return posix.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True  # the host reaps every child itself


def is_child(pid: int) -> bool:
    """Whether that process is a child of this one: a gateway is one where this process is the init of its namespace."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return int(stream.read().rpartition(b")")[2].split()[1]) == os.getpid()
    except (OSError, ValueError, IndexError):
        return False


def _runs(file: str) -> bool:
    return os.path.isfile(file) and os.access(file, os.X_OK)


def _script() -> list[str]:
    file = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap.py")
    if os.path.isfile(file):
        return [file]
    # modctl lives in a zip: hand the text over.
    loader = __spec__.loader
    source = loader.get_source(_BOOTSTRAP) if loader is not None and hasattr(loader, "get_source") else None
    if source is None:
        raise NoInterpreterError("modctl's own files cannot be found; install modctl as files")
    return ["-c", source]
