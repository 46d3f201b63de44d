"""A service that asks for certificates, and who has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def flags(tls: Path, who: str, port: int) -> list[str]:
    """What somebody of the fixture `tls` types to reach it."""
    files = ["--cacert", tls / "ca.pem", "--cert", tls / f"{who}.pem", "--key", tls / f"{who}.key"]
    return [*map(str, files), "-H", f"localhost:{port}"]


def served(tls: Path, port: int) -> str:
    """What it says to agent.start()."""
    cert, key, ca = (str(tls / name) for name in ("shop.pem", "shop.key", "ca.pem"))
    return f'listen="127.0.0.1:{port}", tls=agent.TLS(cert={cert!r}, key={key!r}, client_ca={ca!r})'
