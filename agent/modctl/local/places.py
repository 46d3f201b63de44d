"""Where agents, gateways and clients of one user on one machine find each other.

    <base>/                     0700, owned by the user: one per user
        token                   0600: the bearer token of loopback TCP
        starting-N.lock         flock: who holds one is starting a gateway of any instance
        <instance>/             0700: one per service instance
            agent.sock          agents dial it
            gateway.sock        clients dial it: gRPC
            gateway.lock        flock: who holds it is the gateway
            spawn.lock          flock: who holds it is starting a gateway
            gateway.json        {"pid", "service", "addresses", ...} of the gateway that serves
            gateway.log         its log

`<base>` is the first candidate that can be made and is ours; a client looks into all of them, because it may not see
the environment that the service saw.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Mapping

AGENT_SOCKET: Final = "agent.sock"
GATEWAY_SOCKET: Final = "gateway.sock"
GATEWAY_LOCK: Final = "gateway.lock"
SPAWN_LOCK: Final = "spawn.lock"
STARTING: Final = "starting-{0}.lock"
GATEWAY_INFO: Final = "gateway.json"
GATEWAY_LOG: Final = "gateway.log"
TOKEN: Final = "token"  # noqa: S105 - a file's name, not a secret
#: sun_path on Linux, the closing NUL taken off.
MAX_SOCKET_PATH_BYTES: Final = 107


class PlaceError(OSError):
    """A directory or file that modctl would use is not safe to use."""


def base_candidates(environ: Mapping[str, str] = os.environ, uid: int | None = None) -> list[str]:
    """Absolute paths in which `<base>` may be, most wanted first, without duplicates.

    A MODCTL_STATE_DIR is the only one: who sets it says where, for the service and for the client alike, and sees
    nobody else's.
    """
    uid = os.getuid() if uid is None else uid
    if state_dir := environ.get("MODCTL_STATE_DIR"):
        return [os.path.abspath(state_dir)]
    places: list[str] = []
    if runtime_dir := environ.get("XDG_RUNTIME_DIR"):
        places.append(os.path.join(os.path.abspath(runtime_dir), "modctl"))
    places.append(f"/run/user/{uid}/modctl")
    if uid == 0:
        places.append("/run/modctl")
    # TMPDIR and not tempfile.gettempdir(), which costs a service 2 MiB to import.
    if temp_dir := environ.get("TMPDIR"):
        places.append(os.path.join(os.path.abspath(temp_dir), f"modctl-{uid}"))
    places.append(f"/tmp/modctl-{uid}")  # noqa: S108 - checked for owner and mode before use
    return list(dict.fromkeys(places))


def check_private(path: str, uid: int | None = None) -> None:
    """Refuses a directory that somebody else could write to or has made.

    Raises:
        PlaceError: it is a symlink, no directory, another user's, or open to others.
        FileNotFoundError: it is not there.
    """
    uid = os.getuid() if uid is None else uid
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise PlaceError(f"{path} is not a directory (a symlink is refused); remove it, or set MODCTL_STATE_DIR")
    if found.st_uid != uid:
        raise PlaceError(
            f"{path} belongs to uid {found.st_uid}, not to uid {uid}; set MODCTL_STATE_DIR to one of yours"
        )
    if found.st_mode & 0o077:
        raise PlaceError(f"{path} is open to other users; run: chmod 0700 {path}")


def make_private(path: str) -> str:
    """Makes a 0700 directory, or accepts one that is ours; returns the path.

    Raises:
        PlaceError: there is one that is not safe.
        OSError: it cannot be made.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    else:
        os.chmod(path, 0o700)  # whatever the umask says
    check_private(path)
    return path


def make_base(environ: Mapping[str, str] = os.environ) -> str:
    """The first candidate that is safe and can be written to, made where needed.

    Raises:
        PlaceError: no candidate can be used; says why for each. A MODCTL_STATE_DIR
            that cannot be used is never passed over.
    """
    problems: list[str] = []
    candidates = base_candidates(environ)
    for path in candidates:
        try:
            if environ.get("MODCTL_STATE_DIR"):
                os.makedirs(os.path.dirname(path), exist_ok=True)
            make_private(path)
            if os.access(path, os.W_OK | os.X_OK):
                return path
            problems.append(f"{path}: not writable")
        except OSError as error:
            problems.append(str(error) if isinstance(error, PlaceError) else f"{path}: {error.strerror}")
        if environ.get("MODCTL_STATE_DIR"):
            break
    raise PlaceError("no directory for modctl's sockets can be used: " + "; ".join(problems))


def existing_bases(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The candidates that exist and are safe, for a client that looks for agents."""
    found: list[str] = []
    for path in base_candidates(environ):
        try:
            check_private(path)
        except OSError:
            continue  # not there, or not ours: nothing of ours can be in it
        found.append(path)
    return found


def instance_name(service: str, prefix: str, version: str) -> str:
    """The folder of a service instance: the service, and what its gateway must share with it to be able to serve it.

    Two environments (sys.prefix) or two versions of modctl never share a gateway.
    """
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", service)[:40].strip(".") or "service"
    key = _sha256(f"{service}\0{prefix}\0{version}".encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{readable}-{key}"


def _sha256(data: bytes) -> hashlib._Hash:
    # hashlib loads OpenSSL, which is 4 MiB that a small service does not have yet.
    try:
        module = __import__("_sha2")  # 3.12 and later
    except ImportError:
        try:
            module = __import__("_sha256")
        except ImportError:  # a build without its own hashes
            module = __import__("hashlib")
    return module.sha256(data)  # type: ignore[no-any-return]  # which module it is depends on the Python
