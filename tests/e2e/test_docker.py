"""docker-compose.yml, run: an operator and replicas with addresses of their own, over mutual TLS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
REPLICAS = 3
WORKERS = 2

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("docker")]


class Compose:
    """docker-compose.yml as a project of this test's own."""

    def __init__(self, certificates: Path) -> None:
        self._project = f"modctltest{os.getpid()}"
        self._environment = {**os.environ, "CERTIFICATES": str(certificates)}
        if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
            self._command = ["docker", "compose"]
        elif shutil.which("docker-compose"):
            self._command = ["docker-compose"]
            # Compose 1.29 with BuildKit wants a buildx that old machines do not have.
            self._environment |= {"DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
        else:
            pytest.skip("neither `docker compose` nor docker-compose is installed")

    def __call__(self, *arguments: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._command, "--project-name", self._project, *arguments],
            cwd=ROOT,
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{arguments}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done

    def containers(self, service: str) -> list[str]:
        """Ids of a service's containers."""
        return self("ps", "--quiet", service).stdout.split()

    def modctl(self, *arguments: str, expect: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """`modctl …` as the operator types it."""
        done = self("exec", "-T", "operator", "modctl", *arguments, check=False, stdin=stdin)
        if expect is not None:
            assert done.returncode == expect, f"modctl {arguments} ended with {done}"
        return done

    def document(self, *arguments: str, expect: int | None = 0, stdin: str = "") -> dict[str, Any]:
        """The JSON document of a command of the operator's."""
        parsed: dict[str, Any] = json.loads(self.modctl(*arguments, "-o", "json", expect=expect, stdin=stdin).stdout)
        return parsed


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def address_of(container: str) -> str:
    return docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)


def health_of(container: str) -> str:
    return docker("inspect", "--format", "{{.State.Health.Status}}", container)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no Docker engine answers")
    certificates = tmp_path_factory.mktemp("certificates")
    subprocess.run(["sh", str(ROOT / "examples" / "certificates.sh"), str(certificates)], check=True)
    compose = Compose(certificates)
    try:
        compose("up", "--detach", "--build", "--scale", f"web={REPLICAS}")
        everyone = [*compose.containers("web"), *compose.containers("orders"), *compose.containers("ticker")]
        until(lambda: all(health_of(one) == "healthy" for one in everyone), 90.0, what="all healthy", every_s=0.5)
        yield compose
    finally:
        compose("down", "--volumes", "--timeout", "5", check=False)


def test_a_name_with_several_addresses_reaches_every_replica(fleet: Compose) -> None:
    listing = fleet.document("list", "billing*", "--host", "web:50051")
    addresses = {address_of(container) for container in fleet.containers("web")}
    assert {row["target"].rpartition(":")[0] for row in listing["results"]} == addresses
    assert len(addresses) == REPLICAS
    assert listing["summary"]["targets"] == REPLICAS
    assert listing["summary"]["ok"] == REPLICAS * WORKERS
    assert all("billing.tax" in {module["name"] for module in row["modules"]} for row in listing["results"])


def test_one_command_reaches_every_service(fleet: Compose) -> None:
    found = fleet.document("agents", "--host", "web:50051,orders:50051", "--host", "ticker:50051")
    by_service: dict[str, int] = {}
    for row in found["results"]:
        by_service[row["service"]] = by_service.get(row["service"], 0) + 1
    assert by_service == {"shop": REPLICAS * WORKERS, "orders": 2, "ticker": 1}


def test_a_change_reaches_every_replica_and_is_taken_back(fleet: Compose) -> None:
    def prices() -> set[int]:
        code = (
            "import json, socket, urllib.request as r\n"
            "for *_, address in socket.getaddrinfo('web', 8000, socket.AF_INET, socket.SOCK_STREAM):\n"
            "    for _ in range(10):\n"
            "        print(json.load(r.urlopen(f'http://{address[0]}:8000/price?sku=tea'))['gross_cents'])\n"
        )
        return set(map(int, fleet("exec", "-T", "operator", "python", "-c", code).stdout.split()))

    assert prices() == {540}
    mock = "def with_tax(net_cents):\n    return net_cents\n"
    arguments = ("inject", "billing.tax", "--file", "-", "--replace", "--yes", "--host", "web:50051")
    done = fleet.document(*arguments, stdin=mock)
    assert [row["outcome"] for row in done["results"]] == ["APPLIED"] * REPLICAS * WORKERS
    assert prices() == {450}
    history = fleet.document("history", "--host", "web:50051")
    assert "operator://example/anna" in json.dumps(history), "the certificate says who it was"
    fleet.document("undo", "--yes", "--host", "web:50051")
    assert prices() == {540}


def test_without_a_certificate_nothing_is_told(fleet: Compose) -> None:
    bare = ("env", "-u", "MODCTL_CERT", "-u", "MODCTL_KEY", "modctl", "list", "billing*", "--host", "ticker:50051")
    done = fleet("exec", "-T", "operator", *bare, check=False)
    assert done.returncode in {4, 7}
    assert "billing" not in done.stdout
    assert "certificate" in done.stderr + done.stdout


def test_a_replica_that_hangs_is_one_row_and_the_others_answer(fleet: Compose) -> None:
    victim = fleet.containers("web")[0]
    docker("pause", victim)
    try:
        arguments = ("list", "billing.tax", "--host", "web:50051", "--connect-timeout", "1s", "--timeout", "2s")
        listing = fleet.document(*arguments, expect=3)
        bad = [row for row in listing["results"] if row["outcome"] != "OK"]
        assert {row["target"] for row in bad} == {f"{address_of(victim)}:50051"}
        assert {row["outcome"] for row in bad} <= {"UNREACHABLE", "TIMED_OUT"}
        assert listing["summary"]["ok"] == (REPLICAS - 1) * WORKERS
    finally:
        docker("unpause", victim)


def test_a_replica_that_was_killed_is_reported(fleet: Compose) -> None:
    # The last one: the fleet has a replica less from here on.
    victim = fleet.containers("web")[0]
    gone = f"{address_of(victim)}:50051"
    docker("kill", victim)
    listing = fleet.document("list", "billing.tax", "--host", f"web:50051,{gone}", "--connect-timeout", "2s", expect=3)
    assert [row["target"] for row in listing["results"] if row["outcome"] == "UNREACHABLE"] == [gone]
    assert listing["summary"]["ok"] == (REPLICAS - 1) * WORKERS
    # Docker's name server forgets it, so the name alone is the rest of the fleet.
    rest = fleet.document("list", "billing.tax", "--host", "web:50051")
    assert rest["summary"] == rest["summary"] | {"targets": REPLICAS - 1, "ok": (REPLICAS - 1) * WORKERS, "failed": 0}
