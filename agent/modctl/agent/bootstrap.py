"""The first lines of a gateway process, run as a script by `python -I` and never imported by a service.

The process that the agent starts leaves at once and with 0, whatever happens: a host that reaps all its children takes
offence at another code (gunicorn's master stops on 3 and 4), and one that waits for children must find none left.
"""

import os
import sys


def _leave_the_host() -> None:
    try:
        if os.fork():
            os._exit(0)
    except OSError:  # no process to be had: the agent notices that nobody serves, and tries again later
        os._exit(0)
    # Descriptors that the host made inheritable: held open here they would keep its ports and pipes alive.
    for number in os.listdir("/proc/self/fd"):
        if int(number) > 2:
            try:
                os.close(int(number))
            except OSError:
                continue  # the descriptor of this very listing


def _become_the_gateway(argv: list[str]) -> int:
    # After our own entries: the host's may shadow nothing, but modctl may live in one of them.
    known = set(sys.path)
    sys.path += [entry for entry in os.environ.pop("MODCTL_GATEWAY_PATH", "").split(os.pathsep) if entry not in known]
    try:
        main = __import__("modctl.gateway.main", fromlist=["main"]).main
    except BaseException:
        import traceback

        directory = argv[argv.index("--instance-dir") + 1]
        handle = os.open(os.path.join(directory, "gateway.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(handle, f"{sys.executable} cannot run the gateway:\n{traceback.format_exc()}".encode())
        raise
    code: int = main([*argv, "--foreground"])
    return code


if __name__ == "__main__":
    _leave_the_host()
    sys.exit(_become_the_gateway(sys.argv[1:]))
