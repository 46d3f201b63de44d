"""Whatever is thrown at the gateway's TCP address: it goes on, and the service does not notice."""

from __future__ import annotations

import sys
from statistics import median
from typing import TYPE_CHECKING

import pytest
from support import gateways
from support.cli import modctl

from security.attacks import ATTACKS, latencies_ms, under_attack
from security.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.services import Service

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("abuse")]

SECONDS = 1.0
#: The tail is measured by `attacks.py measure` on a quiet machine; tests share their cores with others, where only the
#: middle says something.
NOTICES = 3.0


@pytest.fixture(scope="module")
def under_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, int, int]]:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(dir="/tmp", prefix="mc-") as folder:
        state = Path(folder) / "state"
        state.mkdir(mode=0o700)
        with serving(Path(folder), state) as made:
            let_attackers_in(state, made[2])
            yield made


def let_attackers_in(state_dir: Path, port: int, *how: str | Path, host: str = "127.0.0.1") -> None:
    """Connections from an address where somebody was let in are all taken: so that attacks come in full."""
    modctl("list", "sys", *how, "-H", f"{host}:{port}", state_dir=state_dir)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_gateway_goes_on_and_the_service_does_not_notice(under_test: tuple[Service, int, int], name: str) -> None:
    service, http_port, port = under_test
    before = gateways.pids(service.state_dir)
    quiet, loud = [], []
    for _ in range(2):
        quiet.append(median(latencies_ms(http_port, SECONDS / 2)))
        loud.append(median(under_attack(name, http_port, port, SECONDS)))
    assert min(one / other for one, other in zip(loud, quiet, strict=True)) < NOTICES
    assert gateways.pids(service.state_dir) == before, "the gateway was restarted"
    assert service.agent_pids() == {service.pid}
    modctl("list", "sys", "-H", f"127.0.0.1:{port}", state_dir=service.state_dir)


def test_calls_go_through_while_a_thousand_connections_are_idle(under_test: tuple[Service, int, int]) -> None:
    import subprocess

    service, _, port = under_test
    attacks = sys.modules[under_attack.__module__].__file__
    attacker = subprocess.Popen([sys.executable, str(attacks), "idle", str(port), "30"], stdout=subprocess.DEVNULL)
    try:
        for _ in range(3):
            modctl("list", "sys", "-H", f"127.0.0.1:{port}", state_dir=service.state_dir)
            modctl("list", "sys", state_dir=service.state_dir)
    finally:
        attacker.kill()
        attacker.wait()


def test_the_files_and_memory_of_the_gateway_are_as_before(under_test: tuple[Service, int, int]) -> None:
    import os
    import time
    from pathlib import Path

    service, _, _ = under_test
    pid = gateways.pids(service.state_dir)[0]
    give_up = time.monotonic() + 20
    while len(os.listdir(f"/proc/{pid}/fd")) > 80:
        assert time.monotonic() < give_up, "descriptors are left over"
        time.sleep(0.2)
    status = Path(f"/proc/{pid}/status").read_text()
    kib = int(status.split("VmRSS:")[1].split()[0])
    assert kib < 250 * 1024


def test_handshakes_that_are_never_ended_keep_nobody_out_and_are_given_up(short_dir: Path, state_dir: Path) -> None:
    """On a TLS address: half a ClientHello each, three hundred of them."""
    import os
    import subprocess

    from support.waiting import until

    folder = short_dir / "tls"
    modctl("tls", "init", "--dir", folder, state_dir=state_dir)
    modctl("tls", "issue", "shop", "--server", "localhost", "--dir", folder, state_dir=state_dir)
    modctl("tls", "issue", "a", "--role", "admin", "--dir", folder, state_dir=state_dir)
    files = {"CERT": "shop.pem", "KEY": "shop.key", "CLIENT_CA": "ca.pem"}
    environment = {f"MODCTL_TLS_{name}": str(folder / file) for name, file in files.items()}
    attacks = str(sys.modules[under_attack.__module__].__file__)
    with serving(short_dir, state_dir, **environment) as (_, _, port):
        pid = gateways.pids(state_dir)[0]
        ours = ("--cacert", folder / "ca.pem", "--cert", folder / "a.pem", "--key", folder / "a.key")
        let_attackers_in(state_dir, port, *ours, host="localhost")
        attacker = subprocess.Popen([sys.executable, attacks, "half_open", str(port), "40"], stdout=subprocess.DEVNULL)
        try:
            until(lambda: len(os.listdir(f"/proc/{pid}/fd")) > 250, 15, what="three hundred handshakes")
            modctl("list", "sys", *ours, "-H", f"localhost:{port}", state_dir=state_dir)
            # Given up after ten seconds, though the other side holds on for forty.
            until(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 100, 25, what="their end")
            assert attacker.poll() is None
        finally:
            attacker.kill()
            attacker.wait()
        assert gateways.pids(state_dir) == [pid]
